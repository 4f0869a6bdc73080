//! Services, asked of the service control manager.
#![expect(unsafe_code, reason = "services are reached by Win32 calls")]

use std::io;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{
    ERROR_INSUFFICIENT_BUFFER, ERROR_MORE_DATA, ERROR_SERVICE_ALREADY_RUNNING,
    ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_NOT_ACTIVE,
};
use windows_sys::Win32::System::Services::{
    CloseServiceHandle, ControlService, ENUM_SERVICE_STATUSW, EnumDependentServicesW,
    OpenSCManagerW, OpenServiceW, QUERY_SERVICE_CONFIGW, QueryServiceConfigW, QueryServiceStatus,
    SC_HANDLE, SC_MANAGER_CONNECT, SERVICE_ACTIVE, SERVICE_CONTROL_STOP,
    SERVICE_ENUMERATE_DEPENDENTS, SERVICE_QUERY_CONFIG, SERVICE_QUERY_STATUS, SERVICE_RUNNING,
    SERVICE_START, SERVICE_STATUS, SERVICE_STOP, SERVICE_STOPPED, StartServiceW,
};

use super::abi::size;
use super::handle::check;
use super::process::is;
use super::text::{narrow, units, wide};
use crate::sys::services::Services;

/// How often a service that is about to start or stop is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The services of this system.
#[derive(Debug)]
pub(in crate::sys) struct WindowsServices;

/// A handle of the service control manager. It is no kernel handle, and closed by a call of its own.
#[derive(Debug)]
struct Opened(SC_HANDLE);

impl Opened {
    /// # Errors
    /// The last error of this thread where it is null, so nothing may be called in between.
    fn own(raw: SC_HANDLE) -> io::Result<Self> {
        if raw.is_null() {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(raw))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: `own` took it over from the call that opened it, and nothing else closes it.
        unsafe { CloseServiceHandle(self.0) };
    }
}

fn open(name: &str, access: u32) -> io::Result<Opened> {
    // SAFETY: no names of machine and database stand for this machine and the one that is in use.
    let manager = unsafe { OpenSCManagerW(ptr::null(), ptr::null(), SC_MANAGER_CONNECT) };
    let manager = Opened::own(manager)?;
    let name = wide(name)?;
    // SAFETY: the manager is open, and the name ends with a zero.
    let service = unsafe { OpenServiceW(manager.0, name.as_ptr(), access) };
    Opened::own(service).map_err(|error| {
        if is(&error, ERROR_SERVICE_DOES_NOT_EXIST) {
            return io::Error::new(io::ErrorKind::NotFound, error);
        }
        error
    })
}

fn status(service: &Opened) -> io::Result<SERVICE_STATUS> {
    let mut status = SERVICE_STATUS::default();
    // SAFETY: the service is open for questions about its status, which is a local.
    check(unsafe { QueryServiceStatus(service.0, &raw mut status) })?;
    Ok(status)
}

/// Waits until a service is in a state. One that stops while it is to start has failed, with its own code.
fn wait(service: &Opened, state: u32, timeout: Duration) -> io::Result<()> {
    let begin = Instant::now();
    loop {
        let status = status(service)?;
        if status.dwCurrentState == state {
            return Ok(());
        }
        if state == SERVICE_RUNNING && status.dwCurrentState == SERVICE_STOPPED {
            let code = status.dwWin32ExitCode;
            return Err(io::Error::other(format!(
                "it ended with the code {code} when it was started"
            )));
        }
        if begin.elapsed() >= timeout {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(LOOK);
    }
}

/// A buffer whose elements have the alignment of every structure that the manager fills.
fn buffer(bytes: u32) -> Vec<u64> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    vec![0; bytes.div_ceil(8)]
}

impl Services for WindowsServices {
    fn command_line(&self, name: &str) -> io::Result<String> {
        let service = open(name, SERVICE_QUERY_CONFIG)?;
        let mut needed = 0;
        // SAFETY: the service is open for this; no buffer of no bytes asks for the size alone.
        let asked = unsafe { QueryServiceConfigW(service.0, ptr::null_mut(), 0, &raw mut needed) };
        match check(asked) {
            Err(error) if !is(&error, ERROR_INSUFFICIENT_BUFFER) => return Err(error),
            _ => {}
        }
        let mut buffer = buffer(needed);
        let config = buffer.as_mut_ptr().cast::<QUERY_SERVICE_CONFIGW>();
        // SAFETY: the buffer has as many bytes as the call before asked for, aligned for the structure at its start.
        let asked = unsafe { QueryServiceConfigW(service.0, config, needed, &raw mut needed) };
        check(asked)?;
        // SAFETY: the call filled the structure, and nothing moves the buffer.
        let line = unsafe { (*config).lpBinaryPathName };
        if line.is_null() {
            return Err(io::ErrorKind::NotFound.into());
        }
        // SAFETY: the text stands in the same buffer and ends with a zero.
        Ok(narrow(unsafe { units(line) }))
    }

    fn dependents(&self, name: &str) -> io::Result<Vec<String>> {
        let service = open(name, SERVICE_ENUMERATE_DEPENDENTS)?;
        let (mut needed, mut count) = (0, 0);
        // SAFETY: the service is open for this; no buffer of no bytes asks for the size alone.
        let asked = unsafe {
            EnumDependentServicesW(
                service.0,
                SERVICE_ACTIVE,
                ptr::null_mut(),
                0,
                &raw mut needed,
                &raw mut count,
            )
        };
        match check(asked) {
            Err(error) if !is(&error, ERROR_MORE_DATA) => return Err(error),
            _ => {}
        }
        let mut buffer = buffer(needed.max(size::<ENUM_SERVICE_STATUSW>()));
        let bytes = u32::try_from(buffer.len().saturating_mul(8)).map_err(io::Error::other)?;
        let first = buffer.as_mut_ptr().cast::<ENUM_SERVICE_STATUSW>();
        // SAFETY: the buffer has so many bytes, aligned for the structures at its start.
        let asked = unsafe {
            EnumDependentServicesW(
                service.0,
                SERVICE_ACTIVE,
                first,
                bytes,
                &raw mut needed,
                &raw mut count,
            )
        };
        check(asked)?;
        let count = usize::try_from(count).map_err(io::Error::other)?;
        let name_of = |index: usize| {
            // SAFETY: the call filled `count` structures from `first` on.
            let entry = unsafe { first.add(index) };
            // SAFETY: as above.
            let name = unsafe { (*entry).lpServiceName };
            // SAFETY: the text stands in the same buffer and ends with a zero.
            narrow(unsafe { units(name) })
        };
        // They come in the reverse of the order in which they start.
        Ok((0..count).map(name_of).collect())
    }

    fn stop(&self, name: &str, timeout: Duration) -> io::Result<()> {
        let service = open(name, SERVICE_STOP | SERVICE_QUERY_STATUS)?;
        let mut status = SERVICE_STATUS::default();
        // SAFETY: the service is open for this, and the status is a local.
        let asked = unsafe { ControlService(service.0, SERVICE_CONTROL_STOP, &raw mut status) };
        match check(asked) {
            Err(error) if is(&error, ERROR_SERVICE_NOT_ACTIVE) => return Ok(()),
            // One that is stopping already refuses to be told again.
            Err(error)
                if self::status(&service).is_ok_and(|it| it.dwCurrentState == SERVICE_RUNNING) =>
            {
                return Err(error);
            }
            _ => {}
        }
        wait(&service, SERVICE_STOPPED, timeout)
    }

    fn start(&self, name: &str, timeout: Duration) -> io::Result<()> {
        let service = open(name, SERVICE_START | SERVICE_QUERY_STATUS)?;
        // SAFETY: the service is open for this, and gets no arguments.
        let asked = unsafe { StartServiceW(service.0, 0, ptr::null()) };
        match check(asked) {
            Err(error) if !is(&error, ERROR_SERVICE_ALREADY_RUNNING) => return Err(error),
            _ => {}
        }
        wait(&service, SERVICE_RUNNING, timeout)
    }
}
