//! Handles of jobs and processes: what asks their holder.

use std::any::Any;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, pidfd_send_signal};
use serde::de::DeserializeOwned;

use super::message::{self, Answer, Request, Start, ask};
use super::{holder, procfs, socket};
use crate::limits::Limits;
use crate::sys::{
    Console, Identity, Job, Launch, Notice, Process, ProcessId, ProcessInfo, Streams, Usage,
};

/// The exit code of a process that was killed together with the holder of its job: the one of `SIGKILL`.
const KILLED: u32 = 137;
/// The exit code of a process that somebody else has started: Linux tells it to the parent alone.
const UNKNOWN: u32 = 255;

/// A handle of a job: the connection that keeps it.
#[derive(Debug)]
pub(super) struct LinuxJob {
    name: String,
    _handle: BufReader<UnixStream>,
}

impl LinuxJob {
    /// Makes a job, held by a process of the program `helper`.
    pub(super) fn create(helper: &Path, name: &str) -> io::Result<Arc<dyn Job>> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut child = holder::start(helper, name, OwnedFd::from(theirs))?;
        thread::spawn(move || child.wait());
        Self::first(name, ours)
    }

    /// Opens a job that lives.
    pub(super) fn open(name: &str) -> io::Result<Arc<dyn Job>> {
        let ((), handle) = ask(name, &Request::Hold, &[])?;
        Ok(Self::held(name, handle))
    }

    /// The first handle of a job whose holder is just being started.
    fn first(name: &str, handle: UnixStream) -> io::Result<Arc<dyn Job>> {
        let mut handle = BufReader::new(handle);
        let mut line = String::new();
        handle.read_line(&mut line)?;
        let answer: Answer<()> = serde_json::from_str(&line)
            .map_err(|_| io::Error::other("the process that holds the job did not start"))?;
        answer.map_err(message::error)?;
        Ok(Self::held(name, handle))
    }

    fn held(name: &str, handle: BufReader<UnixStream>) -> Arc<dyn Job> {
        Arc::new(Self {
            name: name.to_owned(),
            _handle: handle,
        })
    }

    fn ask<T: DeserializeOwned>(&self, request: &Request) -> io::Result<T> {
        ask(&self.name, request, &[]).map(|(answer, _)| answer)
    }
}

impl Job for LinuxJob {
    fn name(&self) -> &str {
        &self.name
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn nest(&self, name: &str) -> io::Result<Arc<dyn Job>> {
        let (ours, theirs) = UnixStream::pair()?;
        ask::<()>(
            &self.name,
            &Request::Nest(name.to_owned()),
            &[theirs.into()],
        )?;
        Self::first(name, ours)
    }

    fn spawn(
        &self,
        launch: &Launch,
        streams: Streams,
        _identity: &dyn Identity,
    ) -> io::Result<Arc<dyn Process>> {
        if launch.console.is_some() || !launch.drop_privileges.is_empty() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let streams = [streams.stdin, streams.stdout, streams.stderr];
        let present = [0, 1, 2].map(|index: usize| streams.get(index).is_some_and(Option::is_some));
        let files: Vec<OwnedFd> = streams.into_iter().flatten().map(OwnedFd::from).collect();
        let request = Request::Spawn(Start::new(launch, present));
        let (id, mut rest) = ask::<ProcessId>(&self.name, &request, &files)?;
        let end = Arc::new(End::default());
        let told = Arc::clone(&end);
        thread::spawn(move || {
            let mut code = [0; 4];
            let read = rest.read_exact(&mut code);
            told.tell(read.map_or(KILLED, |()| u32::from_ne_bytes(code)));
        });
        let job = Some((self.name.clone(), end));
        Ok(Arc::new(LinuxProcess {
            id,
            descriptor: procfs::open(id)?,
            job,
        }))
    }

    fn set_limits(&self, limits: &Limits) -> io::Result<()> {
        match limits.kinds().first() {
            None => Ok(()),
            Some(kind) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("the backend for Linux cannot limit {kind:?}"),
            )),
        }
    }

    fn usage(&self) -> io::Result<Usage> {
        self.ask(&Request::Usage)
    }

    fn processes(&self) -> io::Result<Vec<ProcessInfo>> {
        self.ask(&Request::Processes)
    }

    fn interrupt(&self) -> io::Result<Vec<u32>> {
        self.ask(&Request::Interrupt)
    }

    fn terminate(&self, exit_code: u32) -> io::Result<()> {
        self.ask(&Request::Terminate(None, exit_code))
    }

    fn suspend(&self) -> io::Result<()> {
        self.ask(&Request::Suspend)
    }

    fn resume(&self) -> io::Result<()> {
        self.ask(&Request::Resume(None))
    }

    fn wait_empty(&self, timeout: Duration) -> io::Result<bool> {
        self.ask(&Request::WaitEmpty(timeout))
    }

    fn next_notice(&self, timeout: Duration) -> io::Result<Option<Notice>> {
        self.ask(&Request::Notice(timeout))
    }
}

/// How a process ended, once it did.
#[derive(Debug, Default)]
struct End {
    code: Mutex<Option<u32>>,
    told: Condvar,
}

impl End {
    fn tell(&self, code: u32) {
        *self.code.lock().unwrap_or_else(PoisonError::into_inner) = Some(code);
        self.told.notify_all();
    }

    fn wait(&self, timeout: Duration) -> Option<u32> {
        let code = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .told
            .wait_timeout_while(code, timeout, |code| code.is_none());
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A handle of a process.
#[derive(Debug)]
pub(super) struct LinuxProcess {
    id: ProcessId,
    /// None where it was gone at once.
    descriptor: Option<OwnedFd>,
    /// Its job, and what tells how it ended, where it is one that we have started.
    job: Option<(String, Arc<End>)>,
}

impl LinuxProcess {
    /// Finds a process that somebody else has started.
    pub(super) fn open(id: ProcessId) -> io::Result<Option<Arc<dyn Process>>> {
        let is_running = procfs::Stat::read(id.pid).is_some_and(|it| !it.has_ended);
        let descriptor = procfs::open(id)?.filter(|_| is_running);
        Ok(descriptor.map(|descriptor| {
            let process: Arc<dyn Process> = Arc::new(Self {
                id,
                descriptor: Some(descriptor),
                job: None,
            });
            process
        }))
    }

    /// Asks the holder of its job; none where it has none, or where both are gone.
    fn ask(&self, request: &Request) -> io::Result<Option<()>> {
        let Some((job, _)) = &self.job else {
            return Ok(None);
        };
        match ask(job, request, &[]) {
            Ok(((), _)) => Ok(Some(())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a signal. Returns whether it is there.
    fn signal(&self, signal: Signal) -> io::Result<bool> {
        let Some(process) = &self.descriptor else {
            return Ok(false);
        };
        match pidfd_send_signal(process, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(false),
            result => Ok(result.map(|()| true)?),
        }
    }
}

impl Process for LinuxProcess {
    fn id(&self) -> ProcessId {
        self.id
    }

    fn resume(&self) -> io::Result<()> {
        self.ask(&Request::Resume(Some(self.id))).map(drop)
    }

    fn wait(&self, timeout: Duration) -> io::Result<Option<u32>> {
        if let Some((_, end)) = &self.job {
            return Ok(end.wait(timeout));
        }
        let Some(process) = &self.descriptor else {
            return Ok(Some(UNKNOWN));
        };
        Ok(socket::is_ready(process, timeout)?.then_some(UNKNOWN))
    }

    fn terminate(&self, exit_code: u32) -> io::Result<()> {
        if self
            .ask(&Request::Terminate(Some(self.id), exit_code))?
            .is_none()
        {
            self.signal(Signal::KILL)?;
        }
        Ok(())
    }

    fn interrupt(&self) -> io::Result<bool> {
        self.signal(Signal::TERM)
    }

    fn resize(&self, _console: Console) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
