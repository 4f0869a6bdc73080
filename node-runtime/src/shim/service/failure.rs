//! Why a call failed, and the code that says so in containerd's words.

use std::io;
use std::path::PathBuf;

use crate::container::{self, Kind, chain};
use crate::id::{Id, IdError};
use crate::launch::Problems;
use crate::shim::{rootfs, streams};
use crate::ttrpc::{Code, Status};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The service or the method is not one of a shim.
    #[error("{service}/{method} is no method of the task service")]
    NoMethod { service: String, method: String },
    /// The request cannot be read.
    #[error("the request of {method} cannot be decoded")]
    Decode {
        method: String,
        source: protobuf::Error,
    },
    /// The answer, or an event, cannot be written.
    #[error("{what} cannot be encoded")]
    Encode {
        what: String,
        source: protobuf::Error,
    },
    /// A name is none.
    #[error("the {what} is no name")]
    Name { what: &'static str, source: IdError },
    /// There is no such task.
    #[error("there is no task {0:?} in this shim")]
    NoTask(String),
    /// There is no such process.
    #[error("the task {id} has no process {exec:?}")]
    NoExec { id: Id, exec: String },
    /// There is one.
    #[error("there is a task {0} already; delete it first")]
    TaskExists(Id),
    /// There is a process of that name.
    #[error("the task {id} has a process {exec} already; delete it first, or choose another name")]
    ExecExists { id: Id, exec: Id },
    /// The shim was told to leave, and has nothing to stay for.
    #[error("the shim is about to leave; start another one")]
    Leaves,
    /// It is not a task of this shim.
    #[error("this shim is for {own}; start another one for {id}")]
    OtherShim { own: Id, id: Id },
    /// The pod of a container is not here.
    #[error(
        "the container {id} belongs to the pod {pod}, which is not in this shim; create that first"
    )]
    NoPod { id: Id, pod: String },
    /// It is not in a state in which this can be done.
    #[error("the pod {id} {why}")]
    Pod { id: Id, why: &'static str },
    /// It ended already.
    #[error("the pod {0} has ended")]
    PodEnded(Id),
    /// A pod has no process that this could be done with.
    #[error("the pod {0} has no process of its own; ask its containers")]
    NoProcess(Id),
    /// The config of a bundle cannot be read.
    #[error("failed to read {}; a bundle is a folder with a config.json", path.display())]
    Config { path: PathBuf, source: io::Error },
    /// It is no JSON.
    #[error("{what} cannot be read as JSON")]
    Json {
        what: &'static str,
        source: serde_json::Error,
    },
    /// What a config asks for cannot be done.
    #[error(transparent)]
    Plan(#[from] Problems),
    /// What a pod asks for all of its containers cannot be had.
    #[error("windows.resources of the pod cannot be had")]
    PodLimits(#[source] Problems),
    /// A field of a config cannot be served.
    #[error("{field}: {rule}")]
    Field { field: String, rule: &'static str },
    /// The streams cannot be had.
    #[error(transparent)]
    Streams(#[from] streams::Error),
    /// The root that the snapshotter gives cannot be used.
    #[error(transparent)]
    Root(#[from] rootfs::Error),
    /// A number is no signal of this system.
    #[error("{number} is no signal that processes here understand; use {known}")]
    Signal { number: u32, known: &'static str },
    /// A request has something that is not known, or lacks something.
    #[error("{what}: {rule}")]
    Request { what: String, rule: &'static str },
    /// It can be done by no shim of ours.
    #[error("{0}")]
    Never(&'static str),
    /// Nobody waits for the answer any more.
    #[error("the caller's time is over")]
    TooLate,
    /// How a process ended was never told.
    #[error("the end of the process was not told")]
    Untold,
    /// No thread could be made.
    #[error("failed to make a thread that tells what happens to the task")]
    Thread(#[source] io::Error),
    /// The container refused or failed.
    #[error(transparent)]
    Container(#[from] container::Error),
    /// A task could not be made.
    #[error(transparent)]
    Creation(Box<Self>),
}

impl Failure {
    /// The code that says so.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::NoMethod { .. } | Self::NoProcess(_) | Self::Never(_) => Code::Unimplemented,
            Self::Decode { .. }
            | Self::Name { .. }
            | Self::Json { .. }
            | Self::Plan(_)
            | Self::PodLimits(_)
            | Self::Field { .. }
            | Self::Request { .. } => Code::InvalidArgument,
            Self::NoTask(_) | Self::NoExec { .. } | Self::PodEnded(_) => Code::NotFound,
            Self::Config { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Code::InvalidArgument
            }
            Self::TaskExists(_) | Self::ExecExists { .. } => Code::AlreadyExists,
            Self::OtherShim { .. }
            | Self::NoPod { .. }
            | Self::Pod { .. }
            | Self::Signal { .. } => Code::FailedPrecondition,
            Self::Leaves | Self::Untold => Code::Unavailable,
            Self::TooLate => Code::DeadlineExceeded,
            Self::Thread(_) => Code::ResourceExhausted,
            Self::Encode { .. } | Self::Config { .. } => Code::Internal,
            Self::Streams(error) => of_request(error.kind()),
            Self::Root(error) => of_request(error.kind()),
            Self::Container(error) => of_container(error),
            // Of a creation, `Unimplemented` has containerd try again with an older version of the service, and tell what became
            // of that try in place of the reason.
            Self::Creation(failure) => {
                let code = failure.code();
                if code == Code::Unimplemented {
                    return Code::FailedPrecondition;
                }
                code
            }
        }
    }
}

/// `NotFound` is said of tasks and processes alone: containerd and its clients take it for the word that they are gone, and
/// drop the failure.
fn of_container(error: &container::Error) -> Code {
    use container::Error;
    match (error, error.kind()) {
        (Error::Refused(_), kind) => of_kind(kind),
        (Error::Host { .. } | Error::CreateJob { .. } | Error::Record(_), Kind::NotFound) => {
            Code::Internal
        }
        (_, kind) => of_request(kind),
    }
}

/// What a request names and is not there is an error in the request.
fn of_request(kind: Kind) -> Code {
    if kind == Kind::NotFound {
        return Code::InvalidArgument;
    }
    of_kind(kind)
}

fn of_kind(kind: Kind) -> Code {
    match kind {
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::FailedPrecondition => Code::FailedPrecondition,
        // `NotFound` would say that there is no such task.
        Kind::InvalidArgument | Kind::ProgramNotFound | Kind::NotExecutable => {
            Code::InvalidArgument
        }
        Kind::Unsupported => Code::Unimplemented,
        Kind::Internal => Code::Internal,
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        Self::new(failure.code(), chain(&failure))
    }
}
