//! Jobs.
#![expect(unsafe_code, reason = "jobs are made and ended by Win32 calls")]

use std::any::Any;
use std::io;
use std::mem;
use std::os::windows::io::{AsHandle, AsRawHandle};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use windows_sys::Win32::Foundation::{ERROR_ALREADY_EXISTS, GetLastError};
use windows_sys::Win32::System::JobObjects::{
    CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOBOBJECT_BASIC_ACCOUNTING_INFORMATION,
    JOBOBJECT_BASIC_UI_RESTRICTIONS, JOBOBJECT_EXTENDED_LIMIT_INFORMATION, OpenJobObjectW,
    TerminateJobObject,
};
use windows_sys::Win32::System::Threading::{CREATE_NO_WINDOW, CREATE_SUSPENDED};

use super::abi::JOB_OBJECT_ALL_ACCESS;
use super::completion_port::{CompletionPort, Subscription};
use super::deadline::Deadline;
use super::handle::{Handle, own};
use super::held::{Held, Room};
use super::launcher::{self, Errand};
use super::process::WindowsProcess;
use super::pseudo_console::PseudoConsole;
use super::security::{ADMINISTRATORS, Descriptor};
use super::silo::{Bound, Trials};
use super::spawn::{self, Birth, Born};
use super::suspend::{self, Suspended};
use super::text::wide;
use super::token::WindowsIdentity;
use super::{bind, environment, interrupt, job_info, process_list, usage};
use crate::limits::Limits;
use crate::sys::{
    Attachment, Features, Identity, Job, Launch, Notice, Process, ProcessInfo, Streams, Usage,
};

/// How long a wait for an empty job trusts that a message will come, before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// From where programs are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Starts {
    /// From inside of silos, and from outside of all other jobs.
    WhereNeeded,
    /// From inside of every job, as where each is a silo.
    Inside,
}

/// A job.
#[derive(Debug)]
pub(super) struct WindowsJob {
    name: String,
    handle: Arc<Held>,
    /// The jobs around it, the outermost first. They are not kept alive by this one.
    outer: Vec<Weak<Held>>,
    starts: Starts,
    /// What only those in it see.
    bound: Bound,
    port: Arc<CompletionPort>,
    features: Arc<Features>,
    /// None for a job that was opened: only the process that made it hears of it.
    reports: Option<Subscription>,
    suspended: Mutex<Suspended>,
}

/// The name in the kernel. It is the same in all sessions, so that an administrator reaches what a service made.
fn kernel_name(name: &str) -> io::Result<Vec<u16>> {
    wide(&format!("Global\\{name}"))
}

impl WindowsJob {
    /// Makes it.
    pub(super) fn create(
        name: &str,
        outer: Vec<Weak<Held>>,
        starts: Starts,
        port: &Arc<CompletionPort>,
        features: &Arc<Features>,
    ) -> io::Result<Self> {
        let handle = create(name)?;
        let reports = Some(port.watch(&handle)?);
        if features.job_io_usage {
            // Where the disks are not counted, all reads and writes are told.
            usage::count_io(&handle);
        }
        Ok(Self {
            name: name.to_owned(),
            handle: Arc::new(Held::new(handle)),
            outer,
            starts,
            bound: Bound::default(),
            port: Arc::clone(port),
            features: Arc::clone(features),
            reports,
            suspended: Mutex::default(),
        })
    }

    /// Opens one that lives.
    pub(super) fn open(
        name: &str,
        starts: Starts,
        port: &Arc<CompletionPort>,
        features: &Arc<Features>,
    ) -> io::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            handle: Arc::new(Held::new(open(name)?)),
            outer: Vec::new(),
            starts,
            bound: Bound::default(),
            port: Arc::clone(port),
            features: Arc::clone(features),
            reports: None,
            suspended: Mutex::default(),
        })
    }

    /// The backend's own type again. `InvalidInput` for a job of another backend.
    pub(super) fn of(job: &dyn Job) -> io::Result<&Self> {
        let job = job.as_any().downcast_ref();
        job.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Lets something appear to those in it alone, while it has no process.
    pub(super) fn bind(&self, attachment: &Attachment<'_>, trials: &Trials) -> io::Result<()> {
        trials.ask(!self.outer.is_empty())?;
        self.bound.add(&self.handle, attachment)
    }

    /// The jobs around it. An error where one is gone: a program would be started without the limits of that job.
    fn around(&self) -> io::Result<Vec<Arc<Held>>> {
        let outer = self.outer.iter().map(Weak::upgrade);
        outer
            .collect::<Option<_>>()
            .ok_or_else(|| io::Error::other("the job around this one is gone; make both again"))
    }

    /// Whether a process in it is the host of a console.
    fn is_host(&self, pid: u32, process: &Handle) -> bool {
        match &self.reports {
            Some(reports) => reports.notices().is_host(pid, process),
            None => process_list::is_console_host(process, process_list::BIRTH),
        }
    }

    /// Whether programs are started from inside of it, as its paths are those of a silo.
    fn is_entered(&self) -> bool {
        self.starts == Starts::Inside || bind::is_silo(&self.handle)
    }

    /// Starts a program through a launcher, of which nobody hears.
    fn send(&self, errand: Errand<'_>) -> io::Result<Born> {
        let Some(reports) = &self.reports else {
            return launcher::start(errand, &|_| ());
        };
        let _quiet = reports.notices().launch();
        launcher::start(errand, &|launcher| {
            reports
                .notices()
                .is_launcher(launcher.pid, &launcher.process);
        })
    }

    /// Waits a moment, or until something was reported.
    fn wait_for_any(&self, timeout: Duration) {
        match &self.reports {
            Some(reports) => reports.notices().wait_for_any(timeout),
            None => std::thread::park_timeout(timeout),
        }
    }
}

impl Drop for WindowsJob {
    fn drop(&mut self) {
        self.bound.clear(&self.handle);
    }
}

impl Job for WindowsJob {
    fn name(&self) -> &str {
        &self.name
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn nest(&self, name: &str) -> io::Result<Arc<dyn Job>> {
        // A system that cannot tell has none.
        let ui = job_info::query::<JOBOBJECT_BASIC_UI_RESTRICTIONS>(&self.handle);
        if ui.is_ok_and(|ui| ui.UIRestrictionsClass != 0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a job with limits of the kind `ui` can have no job inside it; remove `ui`",
            ));
        }
        let this = Arc::downgrade(&self.handle);
        let outer = self.outer.iter().cloned().chain([this]).collect();
        let job = Self::create(name, outer, self.starts, &self.port, &self.features)?;
        Ok(Arc::new(job))
    }

    fn spawn(
        &self,
        launch: &Launch,
        mut streams: Streams,
        identity: &dyn Identity,
    ) -> io::Result<Arc<dyn Process>> {
        let identity = WindowsIdentity::of(identity)?;
        let token = identity.token_without(&launch.drop_privileges)?;
        let console = match launch.console {
            Some(size) => Some(console(size, &mem::take(&mut streams))?),
            None => None,
        };
        let around = self.around()?;
        let jobs = around.iter().chain([&self.handle]);
        // While it is held, the job is neither suspended nor resumed: what is born in between would be missed.
        let mut state = suspend::lock(&self.suspended);
        let stands_still = state.stands_still();
        let waits = launch.suspended || stands_still;
        let is_entered = self.is_entered();
        let born = if is_entered {
            let _room = Room::make(jobs.clone().map(Arc::clone))?;
            let errand = Errand {
                launch,
                streams,
                jobs: jobs.map(|it| it.as_handle()).collect(),
                job: &self.handle,
                token: token.as_deref(),
                console: console.as_ref(),
            };
            self.send(errand)?
        } else {
            // A console of its own without a window: Ctrl+C reaches those who share a console, and nobody else's.
            let own_console = if console.is_none() {
                CREATE_NO_WINDOW
            } else {
                0
            };
            spawn::start(Birth {
                program: &launch.program,
                command_line: &launch.command_line,
                directory: Some(&launch.directory),
                environment: Some(environment::block(&launch.environment)?),
                streams,
                console_streams: console.is_some(),
                also: Vec::new(),
                jobs: jobs.map(|it| it.as_handle()).collect(),
                token: token.as_deref(),
                console: console.as_ref(),
                flags: own_console | if waits { CREATE_SUSPENDED } else { 0 },
            })?
        };
        if let Some(reports) = &self.reports {
            reports.notices().is_program(born.pid, &born.process);
        }
        let pid = born.pid;
        let process = WindowsProcess::born(born, waits || is_entered, console)?;
        if stands_still {
            let settled = suspend::suspend_born(&self.handle, pid, &mut state);
            let settled = settled.and_then(|()| {
                if launch.suspended {
                    Ok(())
                } else {
                    process.resume()
                }
            });
            // Else it would stand still for ever, and nobody knows of it.
            settled.inspect_err(|_| drop(process.terminate(1)))?;
        } else if is_entered && !launch.suspended {
            let resumed = process.resume();
            resumed.inspect_err(|_| drop(process.terminate(1)))?;
        }
        Ok(Arc::new(process))
    }

    fn set_limits(&self, limits: &Limits) -> io::Result<()> {
        if !self.outer.is_empty() && !limits.ui.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a job inside another one takes no limits of the kind `ui`; remove `ui`",
            ));
        }
        self.handle.set_limits(limits, &self.features)
    }

    fn usage(&self) -> io::Result<Usage> {
        let ended = self
            .reports
            .as_ref()
            .map_or(0, |it| it.notices().hosts_ended());
        let is_host = |pid, process: &Handle| self.is_host(pid, process);
        usage::of(&self.handle, &self.features, &is_host, ended)
    }

    fn processes(&self) -> io::Result<Vec<ProcessInfo>> {
        process_list::details(&self.handle, &|pid, process| self.is_host(pid, process))
    }

    fn interrupt(&self) -> io::Result<Vec<u32>> {
        interrupt::ask_all(&self.handle, &|pid, process| self.is_host(pid, process))
    }

    fn terminate(&self, exit_code: u32) -> io::Result<()> {
        process_list::settle(&self.handle);
        terminate(&self.handle, exit_code)
    }

    fn suspend(&self) -> io::Result<()> {
        suspend::suspend(&self.handle, &self.suspended, !self.is_entered())
    }

    fn resume(&self) -> io::Result<()> {
        suspend::resume(&self.handle, &self.suspended)
    }

    fn wait_empty(&self, timeout: Duration) -> io::Result<bool> {
        let deadline = Deadline::after(timeout);
        loop {
            let now: JOBOBJECT_BASIC_ACCOUNTING_INFORMATION = job_info::query(&self.handle)?;
            if now.ActiveProcesses == 0 {
                return Ok(true);
            }
            if deadline.is_over() {
                return Ok(false);
            }
            self.wait_for_any(deadline.left(ASK_AGAIN));
        }
    }

    fn next_notice(&self, timeout: Duration) -> io::Result<Option<Notice>> {
        if let Some(reports) = &self.reports {
            return Ok(reports.notices().next(timeout));
        }
        // Only the process that made the job is told.
        std::thread::park_timeout(timeout);
        Ok(None)
    }
}

/// Makes the kernel's job. All in it ends when the last handle of it is closed.
pub(super) fn create(name: &str) -> io::Result<Handle> {
    let name = kernel_name(name)?;
    let access = Descriptor::parse(ADMINISTRATORS)?;
    // SAFETY: the name ends with a zero, and `access` lives until the call is over.
    let raw = unsafe { CreateJobObjectW(&access.attributes(), name.as_ptr()) };
    // SAFETY: it takes nothing; the call before it sets the error also where it succeeds.
    let error = unsafe { GetLastError() };
    // SAFETY: `raw` is what the call returned: null, or a handle that only this function knows.
    let handle = unsafe { own(raw) }?;
    if error == ERROR_ALREADY_EXISTS {
        return Err(io::Error::from_raw_os_error(error.cast_signed()));
    }
    end_with_last_handle(&handle)?;
    Ok(handle)
}

fn end_with_last_handle(job: &Handle) -> io::Result<()> {
    let mut info: JOBOBJECT_EXTENDED_LIMIT_INFORMATION = job_info::query(job)?;
    info.BasicLimitInformation.LimitFlags |= JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    job_info::set(job, &info)
}

/// Opens the kernel's job.
pub(super) fn open(name: &str) -> io::Result<Handle> {
    let name = kernel_name(name)?;
    // SAFETY: the name ends with a zero.
    let raw = unsafe { OpenJobObjectW(JOB_OBJECT_ALL_ACCESS, 0, name.as_ptr()) };
    // SAFETY: `raw` is what the call just returned: null, or a handle that only this function knows.
    unsafe { own(raw) }
}

/// Ends all in it.
pub(super) fn terminate(job: &Handle, exit_code: u32) -> io::Result<()> {
    // SAFETY: the job is open while it is borrowed.
    super::handle::check(unsafe { TerminateJobObject(job.as_raw_handle(), exit_code) })
}

/// The pseudo console that stands between the streams and the program.
fn console(size: crate::sys::Console, streams: &Streams) -> io::Result<PseudoConsole> {
    let missing = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "a pseudo console needs both standard input and standard output",
        )
    };
    let input = streams.stdin.as_ref().ok_or_else(missing)?;
    let output = streams.stdout.as_ref().ok_or_else(missing)?;
    PseudoConsole::open(size, input.as_handle(), output.as_handle())
}
