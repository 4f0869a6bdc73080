//! Why containerd, or a client of it, cannot be used.

use std::io;
use std::path::PathBuf;

use crate::cluster::ClusterError;

/// Why containerd, or a client of it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContainerdError {
    /// Its programs could not be built.
    #[error("failed to provide containerd")]
    Setup(#[from] hosttask_setup::SetupError),
    /// It could not be started or signalled.
    #[error(transparent)]
    Process(#[from] ClusterError),
    /// It does not listen.
    #[error("containerd does not listen; log: {}", log.display())]
    NotUp {
        /// Why the last try to connect failed.
        source: io::Error,
        /// What it wrote.
        log: PathBuf,
    },
    /// It was asked to end, and did not.
    #[error("containerd does not end; log: {}", log.display())]
    DoesNotEnd {
        /// What it wrote.
        log: PathBuf,
    },
    /// A command of its client took too long, and was killed.
    #[error("no end after {seconds} s: {command}")]
    Endless {
        /// The command as one would type it.
        command: String,
        /// How long it had.
        seconds: u64,
    },
    /// The system refused an operation on a file, folder or process.
    #[error("failed to {doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl ContainerdError {
    /// Wraps what the system said; `doing` completes "failed to …".
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
