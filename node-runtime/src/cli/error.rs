//! Why a command failed, and with which code it ends then.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::id::Id;
use crate::keeper::boot::BootError;
use crate::keeper::client::AskError;
use crate::keeper::protocol::Kind;
use crate::{container, install, launch, record, storage};

/// The exit code of a command that failed.
pub const FAILED: u32 = 125;
/// The exit code where the program to run is none, or may not be run.
pub const NOT_EXECUTABLE: u32 = 126;
/// The exit code where the program to run does not exist.
pub const NOT_FOUND: u32 = 127;

/// Why a command failed.
#[derive(Debug, Error)]
pub(super) enum CommandError {
    /// The host lacks something no container can do without.
    #[error("failed to open the host; `hosttask-node doctor` says what it lacks")]
    Host(#[source] io::Error),
    /// Something is missing that must work; the findings were printed.
    #[error("{0} of the findings above must be resolved before containers can run")]
    Unfit(usize),
    /// Not everything could be removed; what could not was printed.
    #[error("{0} things could not be removed, see above; what holds them has to end first")]
    Left(usize),
    /// There is no such container.
    #[error(
        "there is no container {id} in {root}; `hosttask-node --root \"{root}\" list` shows those there are, and --root names another folder of records",
        root = root.display()
    )]
    NoContainer {
        /// Its name.
        id: Id,
        /// Where it was looked for.
        root: PathBuf,
    },
    /// There is one of that name.
    #[error("the container {0} exists already; choose another name, or `hosttask-node delete {0}`")]
    Exists(Id),
    /// Its keeper is gone.
    #[error(
        "the keeper of {0} is gone, and with it everything that ran in it; `hosttask-node delete {0}` removes the rest"
    )]
    NoKeeper(Id),
    /// A shim holds it, and only containerd may ask that.
    #[error(
        "a shim of containerd holds {0}; ask containerd for that, by `ctr`, `crictl` or `kubectl`"
    )]
    HeldByShim(Id),
    /// The job of a container that a shim holds could not be looked at.
    #[error("failed to look at the job of {id}")]
    Job {
        /// Whose.
        id: Id,
        /// What the system said.
        source: io::Error,
    },
    /// Records could not be read or written.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// Leftovers could not be removed.
    #[error(transparent)]
    Container(#[from] container::Error),
    /// A layer could not be unpacked.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// There is no keeper.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The keeper refused, failed, or left.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// A file could not be used.
    #[error("failed to {verb} {}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds no JSON.
    #[error("{} is no JSON document", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it ends to be one.
        source: serde_json::Error,
    },
    /// The result could not be printed.
    #[error("failed to print the result")]
    Print(#[source] io::Error),
    /// A stream of the command could not be made.
    #[error("failed to make a stream for {stream}")]
    Stream {
        /// Which.
        stream: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A thread could not be made.
    #[error("failed to make a thread")]
    Thread(#[source] io::Error),
    /// An option has a value that it cannot have. The value may be secret and is left out.
    #[error(transparent)]
    Option(#[from] super::quantity::QuantityError),
    /// An option asks for a limit that cannot be.
    #[error(transparent)]
    Limits(#[from] launch::Problems),
    /// The runtime could not be installed in containerd, or removed from it.
    #[error(transparent)]
    Install(#[from] install::Error),
    /// Containers of the runtime are on the node.
    #[error(
        "{0} containers of this runtime are on the node, and nobody could end them without it; remove their pods first, or say --force"
    )]
    StillUsed(usize),
    /// Nothing was given to change.
    #[error("nothing to change; name a limit, or a file with --resources")]
    NothingToChange,
}

impl CommandError {
    /// Whether the keeper of a container that exists is gone, or went when it was asked.
    pub(super) fn is_gone(&self) -> bool {
        if let Self::Ask(error) = self {
            return error.is_gone();
        }
        matches!(self, Self::NoKeeper(_))
    }

    /// The code with which the command ends.
    pub(super) fn exit_code(&self) -> u32 {
        let Self::Ask(error) = self else {
            return FAILED;
        };
        match error.kind() {
            Kind::ProgramNotFound => NOT_FOUND,
            Kind::NotExecutable => NOT_EXECUTABLE,
            Kind::NotFound
            | Kind::AlreadyExists
            | Kind::FailedPrecondition
            | Kind::InvalidArgument
            | Kind::Unsupported
            | Kind::Busy
            | Kind::Internal => FAILED,
        }
    }

    /// For `map_err`: a file could not be used.
    pub(super) fn file(
        verb: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { verb, path, source }
    }
}
