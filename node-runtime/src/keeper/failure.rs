//! Why a keeper does not do what it is asked, and which kind of failure that is.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::protocol::Kind;
use crate::{container, launch};

/// Why a request was not done.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    /// Nothing was created yet.
    #[error("the keeper holds no container yet; create it first")]
    NoContainer,
    /// A container was created before.
    #[error("the keeper holds its container already")]
    Created,
    /// Nobody had it create a container for too long.
    #[error("the keeper waited too long for its container and ends; create it again")]
    Leaves,
    /// There is no config, or it cannot be read.
    #[error(
        "failed to read {}; a bundle is a folder with a config.json, `hosttask-node spec` prints one", path.display()
    )]
    Read {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The config cannot be done as it is.
    #[error("{} cannot be used:\n{problems}", path.display())]
    Config {
        /// Which.
        path: PathBuf,
        /// All that is wrong with it, one per line.
        problems: launch::Problems,
    },
    /// The part of a config that was sent cannot be done as it is.
    #[error(transparent)]
    Problems(#[from] launch::Problems),
    /// A document of ours could not be written as JSON.
    #[error("failed to write the answer")]
    Json(#[source] serde_json::Error),
    /// The container refused, or the system failed.
    #[error(transparent)]
    Container(#[from] container::Error),
}

impl Refusal {
    /// Its kind.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::NoContainer | Self::Created | Self::Leaves => Kind::FailedPrecondition,
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Kind::InvalidArgument
            }
            Self::Config { .. } | Self::Problems(_) => Kind::InvalidArgument,
            Self::Read { .. } | Self::Json(_) => Kind::Internal,
            Self::Container(error) => kind(error),
        }
    }
}

fn kind(error: &container::Error) -> Kind {
    match error.kind() {
        container::Kind::NotFound => Kind::NotFound,
        container::Kind::AlreadyExists => Kind::AlreadyExists,
        container::Kind::FailedPrecondition => Kind::FailedPrecondition,
        container::Kind::InvalidArgument => Kind::InvalidArgument,
        container::Kind::Unsupported => Kind::Unsupported,
        container::Kind::ProgramNotFound => Kind::ProgramNotFound,
        container::Kind::NotExecutable => Kind::NotExecutable,
        container::Kind::Internal => Kind::Internal,
    }
}
