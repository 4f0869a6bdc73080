//! The host: everything that is asked of Windows, handed to who does it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use windows_sys::Win32::Foundation::ERROR_ACCESS_DENIED;
use windows_sys::Win32::System::Threading::{
    CREATE_BREAKAWAY_FROM_JOB, DETACHED_PROCESS, PROCESS_CREATION_FLAGS,
};

use super::completion_port::CompletionPort;
use super::job::{Starts, WindowsJob};
use super::process::{WindowsProcess, is};
use super::server::{PipeConnection, PipeListener};
use super::spawn::{self, Birth};
use super::storage::WindowsStorage;
use super::{account, boot, features, folder, helper, logon, processors};
use crate::launch::quote;
use crate::sys::{
    Connection, Features, Host, Identity, Job, Listener, Places, Process, ProcessId, Rules,
    Storage, Streams, User,
};

/// Windows.
#[derive(Debug)]
pub(in crate::sys) struct WindowsHost {
    port: Arc<CompletionPort>,
    places: Places,
    storage: WindowsStorage,
    features: OnceLock<Arc<Features>>,
    starts: Starts,
}

impl WindowsHost {
    /// Opens it. Programs that are started from now on heed Ctrl+C, whatever whoever started us decided.
    ///
    /// # Errors
    /// What the system said where it lacks something no container can do without.
    pub(in crate::sys) fn open() -> io::Result<Self> {
        Self::starting(Starts::WhereNeeded)
    }

    fn starting(starts: Starts) -> io::Result<Self> {
        helper::heed_interrupts()?;
        Ok(Self {
            port: Arc::new(CompletionPort::open()?),
            places: places()?,
            storage: WindowsStorage::default(),
            features: OnceLock::new(),
            starts,
        })
    }

    /// What it can do, found out when it is first asked for.
    fn found(&self) -> io::Result<&Arc<Features>> {
        if let Some(found) = self.features.get() {
            return Ok(found);
        }
        let found = features::find(self.storage.means(), self.storage.view_refused())?;
        Ok(self.features.get_or_init(|| Arc::new(found)))
    }
}

/// The same backend as if every job were a silo: each program is started by a launcher from inside of its job. It is for the
/// contract suite, which so proves the launcher where there are no silos.
///
/// # Errors
/// As of opening the backend.
pub fn native_from_inside() -> io::Result<Arc<dyn Host>> {
    Ok(Arc::new(WindowsHost::starting(Starts::Inside)?))
}

fn places() -> io::Result<Places> {
    let windows = folder::windows()?;
    // The drive with its colon; Windows itself is always at the root of one.
    let drive = windows.split('\\').next().unwrap_or("C:").to_owned();
    Ok(Places {
        rules: Rules::Windows,
        system: folder::system()?,
        container_root: format!(r"{drive}\hpc\"),
        state_root: format!(r"{drive}\ProgramData\hosttask\node"),
        processors: processors::count(),
        windows,
    })
}

impl Host for WindowsHost {
    fn features(&self) -> Features {
        // It only fails where no job can be made, and then nothing can be done at all.
        self.found()
            .map(|found| Features::clone(found))
            .unwrap_or_default()
    }

    fn places(&self) -> Places {
        self.places.clone()
    }

    fn boot_id(&self) -> io::Result<String> {
        boot::id()
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn create_job(&self, name: &str) -> io::Result<Arc<dyn Job>> {
        let job = WindowsJob::create(name, Vec::new(), self.starts, &self.port, self.found()?)?;
        Ok(Arc::new(job))
    }

    fn open_job(&self, name: &str) -> io::Result<Arc<dyn Job>> {
        let job = WindowsJob::open(name, self.starts, &self.port, self.found()?)?;
        Ok(Arc::new(job))
    }

    fn log_on(&self, user: &User, owner: &str) -> io::Result<Arc<dyn Identity>> {
        Ok(Arc::new(logon::log_on(user, owner)?))
    }

    fn sweep_identities(&self, lives: &dyn Fn(&str) -> bool) -> io::Result<Vec<String>> {
        account::sweep(lives)
    }

    fn open_process(&self, id: ProcessId) -> io::Result<Option<Arc<dyn Process>>> {
        let found = WindowsProcess::find(id)?;
        Ok(found.map(|process| -> Arc<dyn Process> { Arc::new(process) }))
    }

    fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(PipeListener::open(address)?))
    }

    fn connect(&self, address: &str, timeout: Duration) -> io::Result<Box<dyn Connection>> {
        Ok(Box::new(PipeConnection::connect(address, timeout)?))
    }

    fn spawn_detached(
        &self,
        program: &Path,
        arguments: &[String],
        output: File,
    ) -> io::Result<ProcessId> {
        let program = program.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
        let named: Vec<String> = [program.to_owned()]
            .into_iter()
            .chain(arguments.iter().cloned())
            .collect();
        let line = quote(&named);
        let again = output.try_clone()?;
        // It outlives whoever ends our job, where that job lets anybody out.
        let apart = detached(program, &line, output, CREATE_BREAKAWAY_FROM_JOB);
        let process = match apart {
            Err(error) if is(&error, ERROR_ACCESS_DENIED) => detached(program, &line, again, 0)?,
            apart => apart?,
        };
        Ok(process.id())
    }

    fn storage(&self) -> &dyn Storage {
        &self.storage
    }
}

/// Starts a program with no console and no streams but the one it prints to.
fn detached(
    program: &str,
    line: &str,
    output: File,
    flags: PROCESS_CREATION_FLAGS,
) -> io::Result<WindowsProcess> {
    let born = spawn::start(Birth {
        program,
        command_line: line,
        directory: None,
        environment: None,
        streams: Streams {
            stdin: None,
            stdout: Some(output),
            stderr: None,
        },
        console_streams: false,
        also: Vec::new(),
        jobs: Vec::new(),
        token: None,
        console: None,
        flags: flags | DETACHED_PROCESS,
    })?;
    WindowsProcess::born(born, false, None)
}
