//! `container`: runs what [`crate::state`] decides against a host.
//!
//! ```text
//!   client ─▶ Container ─request─▶ state ─effects─▶ host, record, listeners      under one lock, in this order
//!                 │                  ▲
//!          spawn, clean up           │ what was seen
//!          without the lock          │
//!                 └──────▶ one watcher per process: its end, what the host says about the job
//! ```
//!
//! *Guarantees*: a container that could not be created leaves nothing; the first process is in the job from its first
//! instruction on; every end is told once, after the output was passed on or cut; a container has ended when its job is
//! empty; what was added and has ended leaves no thread and no handle; deadlines do not depend on the time of day.

mod create;
mod cut;
mod driver;
mod error;
mod events;
mod inner;
mod output;
mod process;
mod recover;
mod relay;
mod stdio;
mod stop;
mod watch;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::launch::{Plan, ProcessPlan};
use crate::limits::Limits;
use crate::record::{Exit, Store};
use crate::state::{Refused, Request};
use crate::sys::{Console, Host, Job, Means, ProcessId, ProcessInfo, Usage};

use self::inner::Inner;

pub use self::create::pod_job;
pub use self::driver::Driver;
pub use self::error::{Error, Kind, chain};
pub use self::events::{Event, Events};
pub use self::recover::{
    Found, Standing, Swept, discard, discard_within, inspect, inspect_all, sweep,
};
pub use self::stdio::{Sink, Source, Stdio};
pub use crate::state::{EventKind, KILLED, Signal};

/// What a container is made of.
#[derive(Debug)]
pub struct Options {
    /// Its name.
    pub id: Id,
    /// The folder with its config, to which relative paths of the plan belong.
    pub bundle: PathBuf,
    /// What it is to be.
    pub plan: Plan,
    /// Where the streams of its first process lead.
    pub stdio: Stdio,
    /// Where it is written down.
    pub store: Arc<Store>,
    /// The job of its pod: the limits of both hold.
    pub pod: Option<Arc<dyn Job>>,
    /// The process that holds it, so that another one can see whether it still does. Without it, nobody else ever believes
    /// that it ended before its job is gone.
    pub keeper: Option<ProcessId>,
    /// Where that process is asked.
    pub address: Option<String>,
}

/// A container, and everything that runs in it.
///
/// Every method can be called from any thread, at any time; what makes no sense at that time is refused with a reason. When
/// it is dropped without having been deleted, everything that runs in it is ended.
pub struct Container {
    inner: Arc<Inner>,
}

/// How far a container, or a process that was added to it, is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The container.
    pub id: Id,
    /// The added process; none: the container and its first process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<Id>,
    /// How far it is.
    pub phase: Phase,
    /// The process, once it was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessId>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// The folder with the config.
    pub bundle: String,
    /// Where the root appears, with a separator at its end.
    pub root: String,
    /// By which means; none where nothing had to be attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub means: Option<Means>,
    /// Better means that did not do, and why.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tried: Vec<String>,
    /// The names of added processes that are not deleted.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub execs: Vec<Id>,
    /// What became of its output.
    pub output: Output,
    /// Processes that could not be asked when all were asked to end: they have neither a console nor a window.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub not_asked: Vec<u32>,
    /// Why the record on disk is older than this; none: it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_error: Option<String>,
}

/// How far something is, in the words of the OCI where it has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It can be started.
    Created,
    /// It runs.
    Running,
    /// It runs, and is stopped for the time being.
    Paused,
    /// It was told to end, or its first process ended, and not everything has.
    Stopping,
    /// Nothing of it runs.
    Stopped,
}

/// What became of the output of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Bytes that were printed and could not be passed on, because the reader was gone or did not read.
    pub lost_bytes: u64,
    /// Whether the streams were still open a second after the end, by a descendant or by a slow reader, and were cut then.
    pub was_cut: bool,
}

impl Container {
    /// Makes a container: its record, its job with its limits, its root and its mounts.
    ///
    /// *Guarantees*: each step is written down before it is done; when one fails, everything before it is undone.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`] for the second of two with the same name, [`Kind::Unsupported`] for a limit or a mount that the
    /// host cannot do.
    pub fn create(host: Arc<dyn Host>, options: Options) -> Result<Self, Error> {
        let inner = create::create(host, options)?;
        Ok(Self { inner })
    }

    /// Its name.
    pub fn id(&self) -> &Id {
        &self.inner.id
    }

    /// Starts the first process. After a failure it can be tried again.
    ///
    /// # Errors
    /// [`Kind::ProgramNotFound`] with every path that was tried, and [`Kind::NotExecutable`].
    pub fn start(&self) -> Result<ProcessId, Error> {
        process::start(&self.inner)
    }

    /// Adds a process to a container that runs. [`Container::start_exec`] starts it.
    pub fn exec(&self, id: Id, process: ProcessPlan, stdio: Stdio) -> Result<(), Error> {
        process::add(&self.inner, id, process, stdio)
    }

    /// Starts a process that was added. It is in the job of the container.
    ///
    /// # Errors
    /// As [`Container::start`], and [`Kind::FailedPrecondition`] where the container has ended or is paused.
    pub fn start_exec(&self, id: &Id) -> Result<ProcessId, Error> {
        process::start_added(&self.inner, id)
    }

    /// How far it, or an added process, is.
    pub fn status(&self, exec: Option<&Id>) -> Result<Status, Error> {
        self.inner.status(exec)
    }

    /// Waits for its end, or for that of an added process; none after `timeout`. Any number of waiters get the same answer.
    pub fn wait(&self, exec: Option<&Id>, timeout: Duration) -> Result<Option<Exit>, Error> {
        self.inner.wait(exec, timeout)
    }

    /// Tells every process of the container to end, or one that was added. It does not wait.
    ///
    /// `all` says the same of the container once more, as container tools do, and cannot be said of an added process.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where it has ended already; [`Kind::FailedPrecondition`] where the process cannot be asked.
    pub fn kill(&self, exec: Option<&Id>, signal: Signal, all: bool) -> Result<(), Error> {
        stop::kill(&self.inner, exec, signal, all)
    }

    /// Ends every process of the container. A start that is under way is waited for, no longer than `patience`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where it has ended already; [`Refused::Starting`] where it is still being started.
    pub fn end(&self, patience: Duration) -> Result<(), Error> {
        stop::end(&self.inner, patience)
    }

    /// Asks every process to end, waits `grace` for all of them, and ends those that are left. A container that is paused
    /// goes on first. One that was not started, or has ended, is stopped already.
    pub fn stop(&self, grace: Duration) -> Result<Exit, Error> {
        stop::stop(&self.inner, grace)
    }

    /// Stops every process for the time being.
    pub fn pause(&self) -> Result<(), Error> {
        self.inner.apply(Request::Pause)
    }

    /// Lets them go on.
    pub fn resume(&self) -> Result<(), Error> {
        self.inner.apply(Request::Resume)
    }

    /// Sets limits, also while it runs. Those that are none are lifted.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] names the first that the host lacks; nothing is changed then.
    pub fn update(&self, limits: &Limits) -> Result<(), Error> {
        self.inner.update(limits)
    }

    /// The limits that hold.
    pub fn limits(&self) -> Limits {
        self.inner.lock().limits.clone()
    }

    /// What it used so far, until it is deleted.
    pub fn usage(&self) -> Result<Usage, Error> {
        let usage = self.inner.job()?.usage();
        usage.map_err(Error::host("read what the container used"))
    }

    /// The processes in it.
    pub fn processes(&self) -> Result<Vec<ProcessInfo>, Error> {
        let processes = self.inner.job()?.processes();
        processes.map_err(Error::host("list the processes of the container"))
    }

    /// Sets the size of the pseudo console of a process.
    pub fn resize(&self, exec: Option<&Id>, console: Console) -> Result<(), Error> {
        let running = self.inner.running(exec)?;
        let resized = running.process.resize(console);
        resized.map_err(Error::host("set the size of the terminal"))
    }

    /// Lets a process read the end of its input.
    ///
    /// # Errors
    /// [`Kind::FailedPrecondition`] where it has a terminal, which would end with its input.
    pub fn close_stdin(&self, exec: Option<&Id>) -> Result<(), Error> {
        self.inner.running(exec)?.relays.end_input()
    }

    /// Removes an added process that ended, or the container: its job, root, mounts, accounts and record.
    ///
    /// # Errors
    /// [`Kind::FailedPrecondition`] while it runs. When something could not be removed, it can be tried again.
    pub fn delete(&self, exec: Option<&Id>) -> Result<Exit, Error> {
        match exec {
            Some(id) => process::delete_added(&self.inner, id),
            None => create::delete(&self.inner),
        }
    }

    /// What happens to it from now on, after the steps it took so far.
    pub fn events(&self) -> Events {
        self.inner.lock().hub.listen()
    }
}

/// The same as closing the last handle of the job, but at once and not only once the last watcher let go of it.
impl Drop for Container {
    fn drop(&mut self) {
        if let Ok(job) = self.inner.job() {
            // Whatever it answers: the job ends its processes by itself when its last handle is closed.
            let _ended_anyway = job.terminate(KILLED);
        }
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = self.inner.lock().state.stage.clone();
        f.debug_struct("Container")
            .field("id", &self.inner.id)
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}

impl Error {
    fn deleted() -> Self {
        Self::Refused(Refused::Deleted)
    }
}
