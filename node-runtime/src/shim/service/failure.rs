//! Why a call failed, and the code that says so in containerd's words.

use crate::container::{self, Kind, chain};
use crate::ttrpc::{Code, Status};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The service or the method is not one of a shim.
    #[error("{service}/{method} is no method of the task service")]
    NoMethod { service: String, method: String },
    /// The request cannot be read.
    #[error("the request of {method} cannot be decoded: {source}")]
    Decode {
        method: String,
        source: protobuf::Error,
    },
    /// The answer cannot be written.
    #[error("the answer to {method} cannot be encoded: {source}")]
    Encode {
        method: String,
        source: protobuf::Error,
    },
    /// The container refused or failed.
    #[error(transparent)]
    Container(#[from] container::Error),
}

impl Failure {
    fn code(&self) -> Code {
        match self {
            Self::NoMethod { .. } => Code::Unimplemented,
            Self::Decode { .. } => Code::InvalidArgument,
            Self::Encode { .. } => Code::Internal,
            Self::Container(error) => of_kind(error.kind()),
        }
    }
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
