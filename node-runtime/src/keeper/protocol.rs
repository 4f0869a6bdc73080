//! What a keeper is asked, and what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::container::Stdio;
use crate::id::Id;
use crate::limits::Limits;
use crate::state::Signal;
use crate::sys::{Console, LimitKind, ProcessId};

pub use crate::container::chain;

/// What a keeper is asked. `exec` names a process that was started later; none is the container's first one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "ask")]
pub enum Request {
    /// Create the container. The first request, once.
    #[serde(rename_all = "camelCase")]
    Create {
        /// The folder with the `config.json`.
        bundle: PathBuf,
        /// Where the streams of the first process lead.
        stdio: Stdio,
        /// Which process the keeper is: it cannot find out its own start time.
        keeper: ProcessId,
    },
    /// Start its first process.
    Start,
    /// How far it is.
    Status {
        /// Which process.
        exec: Option<Id>,
    },
    /// How a process ended; null where it runs on after the time.
    #[serde(rename_all = "camelCase")]
    Wait {
        /// Which process.
        exec: Option<Id>,
        /// How long to wait, in milliseconds, at most [`LONGEST_WAIT_MS`].
        timeout_ms: u64,
    },
    /// Prepare another process in it.
    Exec {
        /// Its name.
        id: Id,
        /// What it is.
        process: Process,
        /// Where its streams lead.
        stdio: Stdio,
    },
    /// Start a process that was prepared.
    StartExec {
        /// Its name.
        id: Id,
    },
    /// Send a signal.
    Kill {
        /// Which process.
        exec: Option<Id>,
        /// The signal.
        signal: Signal,
        /// Whether every process of the container gets it.
        all: bool,
    },
    /// Ask every process to end, wait, end those that are left. Answers with how the first one ended.
    #[serde(rename_all = "camelCase")]
    Stop {
        /// How long they have, in milliseconds.
        grace_ms: u64,
    },
    /// Stop time for it.
    Pause,
    /// Let it go on.
    Resume,
    /// Change limits. Those that are not named stay.
    Update {
        /// An OCI `windows.resources` object.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        resources: Option<Value>,
        /// Limits that the OCI object does not know.
        #[serde(default)]
        limits: Box<Limits>,
        /// Limits to lift.
        #[serde(default)]
        lift: BTreeSet<LimitKind>,
    },
    /// What it used.
    Usage,
    /// Its processes.
    Processes,
    /// The size of a pseudo console changed.
    Resize {
        /// Which process.
        exec: Option<Id>,
        /// The size.
        console: Console,
    },
    /// Nothing more comes from standard input.
    CloseStdin {
        /// Which process.
        exec: Option<Id>,
    },
    /// Forget a process that ended, or the container and all of it.
    Delete {
        /// Which process.
        exec: Option<Id>,
    },
    /// The next event of the container since this connection asked first; null where none came in time.
    #[serde(rename_all = "camelCase")]
    NextEvent {
        /// How long to wait, in milliseconds, at most [`LONGEST_WAIT_MS`].
        timeout_ms: u64,
    },
}

impl Request {
    /// What is asked, in a word for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Start => "start",
            Self::Status { .. } => "status",
            Self::Wait { .. } => "wait",
            Self::Exec { .. } => "exec",
            Self::StartExec { .. } => "start exec",
            Self::Kill { .. } => "kill",
            Self::Stop { .. } => "stop",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Update { .. } => "update",
            Self::Usage => "usage",
            Self::Processes => "processes",
            Self::Resize { .. } => "resize",
            Self::CloseStdin { .. } => "close stdin",
            Self::Delete { .. } => "delete",
            Self::NextEvent { .. } => "events",
        }
    }

    /// Whether it changes something, and not only asks.
    pub fn is_change(&self) -> bool {
        match self {
            Self::Status { .. }
            | Self::Wait { .. }
            | Self::Usage
            | Self::Processes
            | Self::Resize { .. }
            | Self::NextEvent { .. } => false,
            Self::Create { .. }
            | Self::Start
            | Self::Exec { .. }
            | Self::StartExec { .. }
            | Self::Kill { .. }
            | Self::Stop { .. }
            | Self::Pause
            | Self::Resume
            | Self::Update { .. }
            | Self::CloseStdin { .. }
            | Self::Delete { .. } => true,
        }
    }
}

/// The longest a keeper waits for one request: who wants to wait longer asks again, so that nobody waits for a client that is
/// gone.
pub const LONGEST_WAIT_MS: u64 = 20_000;

/// What another process in a container is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Process {
    /// An OCI `process` object.
    Whole(Value),
    /// The container's own `process` with these changes.
    #[serde(rename_all = "camelCase")]
    Like {
        /// Its arguments, the first naming the program.
        args: Vec<String>,
        /// The folder it starts in; none: as the container's.
        cwd: Option<String>,
        /// Its user; none: the container's.
        user: Option<String>,
        /// Variables over those of the container.
        env: BTreeMap<String, String>,
        /// Whether it has a pseudo console.
        terminal: bool,
    },
}

/// Arguments and variables may be secret, so nothing of them is shown.
impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Process::Whole",
            Self::Like { .. } => "Process::Like",
        })
    }
}

/// What a keeper answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Response {
    /// It was done; the value is what the request asks for, null where it asks for nothing.
    Done(Value),
    /// It was not done.
    Failed(Failure),
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind of failure.
    pub kind: Kind,
    /// The whole chain of causes, in words.
    pub message: String,
}

/// The kinds of failure; each has its exit code, see [`crate::cli`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// There is no such container or process.
    NotFound,
    /// There is one of that name already.
    AlreadyExists,
    /// It is not in a state in which this can be done.
    FailedPrecondition,
    /// What was asked for makes no sense.
    InvalidArgument,
    /// This host cannot do it.
    Unsupported,
    /// The program to start does not exist.
    ProgramNotFound,
    /// The program to start is none, or may not be run.
    NotExecutable,
    /// Too many clients at once.
    Busy,
    /// Anything else: the system failed.
    Internal,
}

impl Failure {
    /// A failure with its whole chain of causes in one line.
    pub fn new(kind: Kind, error: &dyn std::error::Error) -> Self {
        let message = chain(error);
        Self { kind, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_not_in_the_debug_output_of_a_request() {
        let secret = "hunter2".to_owned();
        let process = Process::Like {
            args: vec!["login".to_owned(), secret.clone()],
            cwd: None,
            user: None,
            env: BTreeMap::from([("PASSWORD".to_owned(), secret.clone())]),
            terminal: false,
        };
        let whole = Process::Whole(serde_json::json!({ "args": [secret] }));
        for process in [process, whole] {
            assert!(!format!("{process:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_failure_says_every_cause_once() {
        let cause = serde_json::from_str::<u32>("x").unwrap_err();
        let said = cause.to_string();
        let failure = Failure::new(
            Kind::Internal,
            &crate::keeper::frame::FrameError::Malformed(cause),
        );
        assert_eq!(failure.message, format!("a message is malformed: {said}"));
    }
}
