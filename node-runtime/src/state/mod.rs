//! `state`: what a container may be asked in each state, and what follows. Pure.
//!
//! ```text
//!             not spawned
//!           ┌─────────────┐
//!           ▼             │                        pause
//!        Created ─start▶ Starting ─spawned▶ Running ◀───▶ paused
//!           │                                  │   resume
//!           │                               init ended
//!           │                                  ▼
//!           │    the others are ended, or asked to end before: Ending
//!      kill, delete                            │
//!           │             nothing runs in it any more: exit is told
//!           ▼                                  ▼
//!        Stopped ◀─────────────────────────────┘
//!           │  ▲
//!      delete  could not be cleaned up
//!           ▼  │
//!        Deleting ─cleaned up▶ Deleted
//! ```
//!
//! A process that was added later goes Created, Starting, Running, Stopped in the same way, and is gone when it is deleted.
//!
//! *Guarantees*, each a law of `tests/state_laws.rs`: every container and every added process that ends tells its exit exactly
//! once; created comes before started, started before exited, exited before deleted; an added process tells its exit before
//! its container does; a refusal changes nothing; every state can reach Deleted; what can fail stands before what is told.

mod added;
mod life;
mod signal;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use thiserror::Error;

use crate::id::Id;
use crate::record::Exit;
use crate::sys::ProcessId;

pub use signal::{Signal, UnknownSignal};

/// The exit code of what was ended by us: that of a program that was killed, as container tools have it (128 + 9).
pub const KILLED: u32 = 137;

/// The most added processes of a container. For one more, the one that ended first is forgotten: its exit was told.
pub const MOST_ADDED: usize = 4096;

/// A container and the processes that were added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// How far the container is.
    pub stage: Stage,
    /// The processes that were added, until each is deleted.
    pub added: BTreeMap<Id, Added>,
    /// Whether memory was refused to a process of it.
    pub memory_limit: bool,
}

/// How far a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// It can be started.
    Created,
    /// Its first process is being started: so short that whoever wants something else waits for the outcome.
    Starting,
    /// Its first process runs.
    Running {
        /// Which process.
        process: ProcessId,
        /// Whether every process of it is stopped for the time being.
        paused: bool,
        /// What its processes were told. Those that were asked to end may outlive the first.
        told: Option<Signal>,
    },
    /// Its first process ended, others have not yet.
    Ending {
        /// Which process that was.
        process: ProcessId,
        /// Its exit code.
        code: u32,
        /// Whether the others may end by themselves.
        graceful: bool,
    },
    /// Nothing of it runs.
    Stopped(Exit),
    /// What was made for it is being removed.
    Deleting(Exit),
    /// Nothing of it is left.
    Deleted(Exit),
}

/// How far an added process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It can be started.
    Created,
    /// It is being started.
    Starting,
    /// It runs.
    Running {
        /// Which process.
        process: ProcessId,
        /// Whether memory was refused to it.
        memory_limit: bool,
    },
    /// It ended.
    Stopped(Exit),
}

/// What is asked by a client, or was seen at the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Start the first process.
    Start,
    /// The first process runs.
    Spawned(ProcessId),
    /// The first process could not be started.
    NotSpawned,
    /// Ask every process to end, or end it.
    Signal(Signal),
    /// Stop every process for the time being.
    Pause,
    /// Let them go on.
    Resume,
    /// Set limits.
    Update,
    /// The first process ended with this exit code.
    InitEnded(u32),
    /// No process is in the job.
    Empty,
    /// Memory was refused to this process, or to one that the host does not name.
    MemoryLimit(Option<u32>),
    /// A process was refused.
    ProcessLimit,
    /// Remove what was made for it.
    Delete,
    /// It was removed.
    CleanedUp,
    /// It could not be removed.
    NotCleanedUp,
    /// Add a process.
    Add(Id),
    /// Start it.
    StartAdded(Id),
    /// It runs.
    AddedSpawned(Id, ProcessId),
    /// It could not be started.
    AddedNotSpawned(Id),
    /// Ask it to end, or end it.
    SignalAdded(Id, Signal),
    /// It ended with this exit code, and what it printed was passed on.
    AddedEnded(Id, u32),
    /// Forget it.
    DeleteAdded(Id),
}

/// What follows, in this order. Those that can fail stand first: when one fails, the state stays and nothing is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Write down that it is about to run.
    RememberRunning,
    /// Let every process go on.
    Resume,
    /// Stop every process for the time being.
    Suspend,
    /// End every process.
    Terminate,
    /// End every process, because the first ended. Whoever waits for the others repeats it until none is left.
    EndTree,
    /// Set limits.
    SetLimits,
    /// End an added process.
    TerminateAdded(Id),
    /// Write down how far it is. It can fail without harm: what the record then says is older, not wrong.
    Remember,
    /// Tell whoever listens.
    Tell(EventKind),
    /// Ask every process to end. Takes long: the caller does it.
    Interrupt,
    /// Ask an added process to end. Takes long: the caller does it.
    InterruptAdded(Id),
    /// Start the first process and answer whether it runs. Takes long: the caller does it.
    Spawn,
    /// Start an added process and answer whether it runs. Takes long: the caller does it.
    SpawnAdded(Id),
    /// Remove what was made for it and answer whether that is done. Takes long: the caller does it.
    CleanUp,
}

/// Something that happened to a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum EventKind {
    /// It can be started.
    Created,
    /// Its first process runs.
    Started {
        /// The number of that process.
        pid: u32,
    },
    /// A process was added.
    ExecAdded {
        /// Its name.
        exec: Id,
    },
    /// An added process runs.
    ExecStarted {
        /// Its name.
        exec: Id,
        /// Its number.
        pid: u32,
    },
    /// The container, or a process that was added, ended.
    Exited {
        /// The name of the added process; none: the container.
        #[serde(skip_serializing_if = "Option::is_none")]
        exec: Option<Id>,
        /// How.
        exit: Exit,
    },
    /// A process was refused memory.
    MemoryLimit,
    /// A process was refused for the number of those that run.
    ProcessLimit,
    /// Every process is stopped for the time being.
    Paused,
    /// They go on.
    Resumed,
    /// Nothing of it is left.
    Deleted,
}

/// Why a request cannot be done in this state.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// It was started before.
    #[error("the container was started already")]
    AlreadyStarted,
    /// Its first process is being started.
    #[error("the container is being started; ask again")]
    Starting,
    /// It was not started.
    #[error("the container does not run; start it first")]
    NotStarted,
    /// It is being stopped.
    #[error("the container is being stopped; wait for its end")]
    Stopping,
    /// Its first process ended.
    #[error("the container has ended; delete it and create it again")]
    Ended,
    /// It ended already, and has to do so no more.
    #[error("no process runs that could be signalled: it has ended")]
    NothingToSignal,
    /// It runs.
    #[error("the container runs; stop or kill it first")]
    StillRuns,
    /// It is paused.
    #[error("the container is paused; resume it first")]
    Paused,
    /// It is not.
    #[error("the container is not paused")]
    NotPaused,
    /// It is being removed.
    #[error("the container is being deleted")]
    Deleting,
    /// It is no more.
    #[error("the container was deleted")]
    Deleted,
    /// There is none of that name.
    #[error("no process \"{0}\" was added to the container")]
    NoSuchAdded(Id),
    /// There is one of that name.
    #[error(
        "a process \"{0}\" was added to the container before; choose another name, or delete that one"
    )]
    AddedExists(Id),
    /// It is being started.
    #[error("the process \"{0}\" is being started; ask again")]
    AddedStarting(Id),
    /// It has to run for that.
    #[error("the process \"{0}\" does not run; start it first")]
    AddedNotStarted(Id),
    /// It ended.
    #[error("the process \"{0}\" has ended")]
    AddedEnded(Id),
    /// It was started before.
    #[error("the process \"{0}\" was started already")]
    AddedAlreadyStarted(Id),
    /// It runs.
    #[error("the process \"{0}\" runs; kill it first")]
    AddedStillRuns(Id),
    /// There are too many.
    #[error("{MOST_ADDED} processes were added and none of them ended; kill some first")]
    TooManyAdded,
    /// A report about something that this state cannot have.
    #[error("the host reported something that cannot be: {0}")]
    Unexpected(&'static str),
}

impl State {
    /// A container that was just made.
    pub fn created() -> Self {
        Self {
            stage: Stage::Created,
            added: BTreeMap::new(),
            memory_limit: false,
        }
    }

    /// What follows from a request at this time.
    ///
    /// # Errors
    /// Why it cannot be done now; then the state stays what it is.
    pub fn apply(&self, request: Request, now: Timestamp) -> Result<(Self, Vec<Effect>), Refused> {
        let mut next = self.clone();
        let effects = match request {
            Request::Start => next.start(),
            Request::Spawned(process) => next.spawned(process),
            Request::NotSpawned => next.not_spawned(),
            Request::Signal(signal) => next.signal(signal, now),
            Request::Pause => next.pause(),
            Request::Resume => next.resume(),
            Request::Update => next.update(),
            Request::InitEnded(code) => next.init_ended(code),
            Request::Empty => Ok(next.empty(now)),
            Request::MemoryLimit(pid) => Ok(next.memory_limit(pid)),
            Request::ProcessLimit => Ok(next.process_limit()),
            Request::Delete => next.delete(now),
            Request::CleanedUp => next.cleaned_up(),
            Request::NotCleanedUp => next.not_cleaned_up(),
            Request::Add(id) => next.add(id),
            Request::StartAdded(id) => next.start_added(&id),
            Request::AddedSpawned(id, process) => next.added_spawned(id, process),
            Request::AddedNotSpawned(id) => next.added_not_spawned(&id),
            Request::SignalAdded(id, signal) => next.signal_added(&id, signal, now),
            Request::AddedEnded(id, code) => next.added_ended(&id, code, now),
            Request::DeleteAdded(id) => next.delete_added(&id, now),
        }?;
        Ok((next, effects))
    }

    /// How the container ended, once it has.
    pub fn exit(&self) -> Option<&Exit> {
        match &self.stage {
            Stage::Stopped(exit) | Stage::Deleting(exit) | Stage::Deleted(exit) => Some(exit),
            Stage::Created | Stage::Starting | Stage::Running { .. } | Stage::Ending { .. } => None,
        }
    }
}
