//! What can go wrong with a container, and of which kind it is.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::id::Id;
use crate::state::Refused;
use crate::{launch, record, storage};

/// Why something was not done.
#[derive(Debug, Error)]
#[expect(
    clippy::error_impl_error,
    reason = "one error per module, named by the module"
)]
pub enum Error {
    /// It cannot be done in this state.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The record could not be read or written.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// The root or a mount could not be placed or removed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The job could not be made.
    #[error("failed to make the job {name:?}")]
    CreateJob {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A job has that name: all roots of a host share the names of their containers.
    #[error(
        "a container {0} exists already on this host, perhaps below another --root; choose another name"
    )]
    NameTaken(Id),
    /// A stream leads nowhere.
    #[error("failed to open {stream}: {target:?}")]
    OpenStream {
        /// Which stream.
        stream: &'static str,
        /// Where it should lead.
        target: String,
        /// Why.
        source: io::Error,
    },
    /// A pseudo console has one stream for all that is printed.
    #[error("stderr leads somewhere, but the process has a terminal; leave stderr out")]
    StderrOfTerminal,
    /// One program reads both outputs.
    #[error("stdout and stderr name different log drivers; give both the same")]
    TwoDrivers,
    /// A pseudo console ends with its input, and everything in it.
    #[error(
        "the process has a terminal, which would end with its input; type what its program takes for the end, or stop it"
    )]
    EndOfTerminal,
    /// The user could not be logged on.
    #[error("failed to log on the user of the process")]
    LogOn {
        /// Why.
        source: io::Error,
    },
    /// The environment of the user could not be read.
    #[error("failed to read the environment of {account}")]
    Environment {
        /// Who it is.
        account: String,
        /// Why.
        source: io::Error,
    },
    /// The program was not found, or is none.
    #[error(transparent)]
    Resolve(#[from] launch::ResolveError),
    /// The folder a process starts in could not be made.
    #[error("failed to make the folder {} that the process is to start in", path.display())]
    Directory {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program was found and could not be started.
    #[error("failed to start {program}")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// No thread could be made to wait for a process or to pass its output on.
    #[error("failed to make a thread for {what}")]
    Thread {
        /// What it is for.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The host refused.
    #[error("failed to {action}")]
    Host {
        /// What was tried.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A process that cannot be asked to end.
    #[error(
        "the process {pid} could not be asked to end: it has neither a console nor a window; kill it"
    )]
    CannotAsk {
        /// Its number.
        pid: u32,
    },
    /// A signal for every process of the container, and for one of them.
    #[error("the signal is for all processes and for {0} alone; leave one of them out")]
    AllOfOne(Id),
    /// It did not end, even though it was ended.
    #[error("processes of the container do not end although they were killed; the host holds them")]
    DoesNotEnd,
    /// It runs, or might run.
    #[error("the container {id} might run: {why}; end the process that holds it first")]
    MightRun {
        /// Its name.
        id: Id,
        /// Why one thinks so.
        why: String,
    },
}

/// The kinds of failure: what a client can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// There is no such container, process or file.
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
    /// Anything else: the system failed.
    Internal,
}

impl Error {
    /// Of which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Refused(refused) => refused_kind(refused),
            Self::Record(error) => record_kind(error),
            Self::Storage(error) => storage_kind(error),
            Self::Resolve(error) => resolve_kind(error),
            Self::Spawn { source, .. } => spawn_kind(source),
            Self::NameTaken(_) => Kind::AlreadyExists,
            Self::StderrOfTerminal | Self::TwoDrivers | Self::AllOfOne(_) => Kind::InvalidArgument,
            Self::EndOfTerminal | Self::CannotAsk { .. } | Self::MightRun { .. } => {
                Kind::FailedPrecondition
            }
            Self::CreateJob { source, .. }
            | Self::OpenStream { source, .. }
            | Self::LogOn { source }
            | Self::Host { source, .. } => system_kind(source),
            Self::Environment { .. }
            | Self::Directory { .. }
            | Self::Thread { .. }
            | Self::DoesNotEnd => Kind::Internal,
        }
    }

    pub(super) fn host(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Host { action, source }
    }
}

fn refused_kind(refused: &Refused) -> Kind {
    match refused {
        Refused::NothingToSignal | Refused::NoSuchAdded(_) | Refused::Deleted => Kind::NotFound,
        Refused::AddedExists(_) => Kind::AlreadyExists,
        Refused::AlreadyStarted
        | Refused::Starting
        | Refused::NotStarted
        | Refused::Stopping
        | Refused::Ended
        | Refused::StillRuns
        | Refused::Paused
        | Refused::NotPaused
        | Refused::Deleting
        | Refused::AddedStarting(_)
        | Refused::AddedNotStarted(_)
        | Refused::AddedEnded(_)
        | Refused::AddedAlreadyStarted(_)
        | Refused::AddedStillRuns(_)
        | Refused::TooManyAdded => Kind::FailedPrecondition,
        Refused::Unexpected(_) => Kind::Internal,
    }
}

fn record_kind(error: &record::Error) -> Kind {
    match error {
        record::Error::AlreadyExists { .. } => Kind::AlreadyExists,
        record::Error::NotFound { .. } => Kind::NotFound,
        record::Error::Busy { .. }
        | record::Error::Damaged { .. }
        | record::Error::Newer { .. } => Kind::FailedPrecondition,
        record::Error::TooLarge { .. }
        | record::Error::Link { .. }
        | record::Error::NoFolder { .. } => Kind::InvalidArgument,
        record::Error::Other { .. } | record::Error::Encode { .. } | record::Error::Io { .. } => {
            Kind::Internal
        }
    }
}

fn spawn_kind(error: &io::Error) -> Kind {
    use io::ErrorKind;
    let kinds = [
        (ErrorKind::NotFound, Kind::ProgramNotFound),
        (ErrorKind::PermissionDenied, Kind::NotExecutable),
        (ErrorKind::InvalidInput, Kind::NotExecutable),
    ];
    choose(&kinds, error).unwrap_or_else(|| system_kind(error))
}

fn system_kind(error: &io::Error) -> Kind {
    use io::ErrorKind;
    let kinds = [
        (ErrorKind::NotFound, Kind::NotFound),
        (ErrorKind::AlreadyExists, Kind::AlreadyExists),
        (ErrorKind::InvalidInput, Kind::InvalidArgument),
        (ErrorKind::Unsupported, Kind::Unsupported),
    ];
    choose(&kinds, error).unwrap_or(Kind::Internal)
}

fn choose(kinds: &[(io::ErrorKind, Kind)], error: &io::Error) -> Option<Kind> {
    let found = kinds.iter().find(|(from, _)| *from == error.kind());
    found.map(|(_, kind)| *kind)
}

fn resolve_kind(error: &launch::ResolveError) -> Kind {
    use launch::ResolveError;
    match error {
        ResolveError::NotFound { .. } => Kind::ProgramNotFound,
        ResolveError::Batch { .. } | ResolveError::Folder { .. } | ResolveError::Script { .. } => {
            Kind::NotExecutable
        }
        ResolveError::DirectoryNotFound { .. } => Kind::NotFound,
        ResolveError::Directory { .. }
        | ResolveError::Program { .. }
        | ResolveError::Unquoted { .. }
        | ResolveError::BatchArgument { .. }
        | ResolveError::LineTooLong { .. }
        | ResolveError::VariableTooLong { .. }
        | ResolveError::NoProgram => Kind::InvalidArgument,
    }
}

fn storage_kind(error: &storage::Error) -> Kind {
    match error {
        storage::Error::Taken { .. } | storage::Error::Planted { .. } => Kind::FailedPrecondition,
        storage::Error::Compression { .. }
        | storage::Error::ForeignLayer { .. }
        | storage::Error::Entry { .. }
        | storage::Error::TooMuch { .. }
        | storage::Error::Location { .. }
        | storage::Error::Mount { .. } => Kind::InvalidArgument,
        storage::Error::NoMeans { .. } => Kind::Unsupported,
        storage::Error::Layer { source, .. } => system_kind(source),
        storage::Error::Io { .. } | storage::Error::Note { .. } | storage::Error::Undo { .. } => {
            Kind::Internal
        }
    }
}

/// An error and its causes, joined by colons.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |it| it.source());
    let words: Vec<String> = causes.map(ToString::to_string).collect();
    words.join(": ")
}
