//! A process that is held by a handle.
#![expect(unsafe_code, reason = "processes are asked and ended by Win32 calls")]

use std::collections::BTreeSet;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INVALID_PARAMETER, FILETIME, WAIT_FAILED, WAIT_OBJECT_0,
};
use windows_sys::Win32::System::Threading::{
    GetExitCodeProcess, GetProcessTimes, OpenProcess, PROCESS_ACCESS_RIGHTS,
    PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, ResumeThread,
    TerminateProcess, WaitForSingleObject,
};

use super::deadline::Deadline;
use super::handle::{Handle, check, own};
use super::interrupt;
use super::library::unsupported;
use super::pseudo_console::PseudoConsole;
use super::spawn::Born;
use crate::sys::{Console, Process, ProcessId};

/// A process.
#[derive(Debug)]
pub(super) struct WindowsProcess {
    handle: Handle,
    id: ProcessId,
    /// Its first thread, until it was told to run.
    suspended: Mutex<Option<Handle>>,
    console: Mutex<Option<PseudoConsole>>,
}

impl WindowsProcess {
    /// One that was just born.
    pub(super) fn born(
        born: Born,
        is_suspended: bool,
        console: Option<PseudoConsole>,
    ) -> io::Result<Self> {
        // Else it would run, or stand still for ever, and nobody knows of it.
        let times = times(&born.process).inspect_err(|_| drop(terminate(&born.process, 1)))?;
        let started = times.created;
        Ok(Self {
            handle: born.process,
            id: ProcessId {
                pid: born.pid,
                started,
            },
            suspended: Mutex::new(is_suspended.then_some(born.thread)),
            console: Mutex::new(console),
        })
    }

    /// One that was recorded; none where it ended, or where another has its number now.
    pub(super) fn find(id: ProcessId) -> io::Result<Option<Self>> {
        // Another that has its number now may be one that nobody may end, so that right is asked for last.
        let rights = PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE;
        let Some(found) = open(id.pid, rights)? else {
            return Ok(None);
        };
        let ended = || wait(&found, Duration::ZERO).map(|exit| exit.is_some());
        if times(&found)?.created != id.started || ended()? {
            return Ok(None);
        }
        // The number is still the same one's: `found` holds it.
        match open(id.pid, rights | PROCESS_TERMINATE) {
            Ok(handle) => Ok(handle.map(|handle| Self {
                handle,
                id,
                suspended: Mutex::new(None),
                console: Mutex::new(None),
            })),
            Err(_) if ended()? => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Closes its console, whose reader sees no end before. Windows may wait there for that reader, so a thread does it.
    fn close_console(&self) {
        let console = lock(&self.console).take();
        if let Some(console) = console {
            // Without a thread it is closed here.
            drop(thread::Builder::new().spawn(move || drop(console)));
        }
    }
}

impl Process for WindowsProcess {
    fn id(&self) -> ProcessId {
        self.id
    }

    fn resume(&self) -> io::Result<()> {
        let mut suspended = lock(&self.suspended);
        if let Some(thread) = suspended.as_ref() {
            // SAFETY: the thread is open while `suspended` has it.
            if unsafe { ResumeThread(thread.as_raw_handle()) } == u32::MAX {
                return Err(io::Error::last_os_error());
            }
            *suspended = None;
        }
        Ok(())
    }

    fn wait(&self, timeout: Duration) -> io::Result<Option<u32>> {
        let exit = wait(&self.handle, timeout)?;
        if exit.is_some() {
            self.close_console();
        }
        Ok(exit)
    }

    fn terminate(&self, exit_code: u32) -> io::Result<()> {
        match terminate(&self.handle, exit_code) {
            // What ended already cannot be ended again, and Windows calls that a lack of rights.
            Err(error) if is(&error, ERROR_ACCESS_DENIED) => {
                let exit = wait(&self.handle, Duration::ZERO)?;
                exit.map(|_| ()).ok_or(error)
            }
            ended => ended,
        }
    }

    fn interrupt(&self) -> io::Result<bool> {
        if wait(&self.handle, Duration::ZERO)?.is_some() {
            return Ok(false);
        }
        let asked = interrupt::ask(&[self.id.pid], &BTreeSet::new())?;
        Ok(asked.contains(&self.id.pid))
    }

    fn resize(&self, console: Console) -> io::Result<()> {
        let own = lock(&self.console);
        let own = own
            .as_ref()
            .ok_or_else(|| unsupported("pseudo console for this process"))?;
        own.resize(console)
    }
}

/// Ends a process.
pub(super) fn terminate(process: &Handle, exit_code: u32) -> io::Result<()> {
    // SAFETY: the process is open while it is borrowed.
    check(unsafe { TerminateProcess(process.as_raw_handle(), exit_code) })
}

/// Opens a process by its number; none where no process has it.
pub(super) fn open(pid: u32, rights: PROCESS_ACCESS_RIGHTS) -> io::Result<Option<Handle>> {
    // SAFETY: it takes numbers only.
    let raw = unsafe { OpenProcess(rights, 0, pid) };
    // SAFETY: `raw` is what the call just returned: null, or a handle that only this function knows.
    match unsafe { own(raw) } {
        Ok(handle) => Ok(Some(handle)),
        Err(error) if is(&error, ERROR_INVALID_PARAMETER) => Ok(None),
        Err(error) => Err(error),
    }
}

/// When a process was started and how long it ran, in 100 ns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Since 1601.
    pub(super) created: u64,
    pub(super) user: u64,
    pub(super) kernel: u64,
}

/// When a process was started and how long it ran.
pub(super) fn times(process: &Handle) -> io::Result<Times> {
    let zero = FILETIME::default();
    let (mut created, mut ended, mut kernel, mut user) = (zero, zero, zero, zero);
    // SAFETY: the process is open while it is borrowed; the four locals receive one value each.
    let result = unsafe {
        GetProcessTimes(
            process.as_raw_handle(),
            &raw mut created,
            &raw mut ended,
            &raw mut kernel,
            &raw mut user,
        )
    };
    check(result)?;
    let join = |it: FILETIME| u64::from(it.dwHighDateTime) << 32 | u64::from(it.dwLowDateTime);
    Ok(Times {
        created: join(created),
        user: join(user),
        kernel: join(kernel),
    })
}

/// This process, as others find it.
pub fn own_process() -> io::Result<ProcessId> {
    let pid = std::process::id();
    let own = open(pid, PROCESS_QUERY_LIMITED_INFORMATION)?;
    let own = own.ok_or(io::ErrorKind::NotFound)?;
    let started = times(&own)?.created;
    Ok(ProcessId { pid, started })
}

/// Waits for the end of a process.
pub(super) fn wait(process: &Handle, timeout: Duration) -> io::Result<Option<u32>> {
    let deadline = Deadline::after(timeout);
    loop {
        // SAFETY: the process is open while it is borrowed.
        let woken =
            unsafe { WaitForSingleObject(process.as_raw_handle(), deadline.milliseconds()) };
        match woken {
            WAIT_OBJECT_0 => return exit_code(process).map(Some),
            WAIT_FAILED => return Err(io::Error::last_os_error()),
            _ if deadline.is_over() => return Ok(None),
            _ => {}
        }
    }
}

/// The exit code of a process that ended. 259 is one like any other: that it ended is known from its handle.
fn exit_code(process: &Handle) -> io::Result<u32> {
    let mut code = 0;
    // SAFETY: the process is open while it is borrowed; `code` receives one value.
    check(unsafe { GetExitCodeProcess(process.as_raw_handle(), &raw mut code) })?;
    Ok(code)
}

/// Whether an error is this one of Windows.
pub(super) fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
