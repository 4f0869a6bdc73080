//! Why the local cluster did not start or answer.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why the local cluster did not start or answer.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The programs of the control plane are neither installed nor could they be built.
    #[error("failed to provide the control plane's programs")]
    Setup(#[from] hosttask_setup::SetupError),
    /// The `supervise` binary of this package has not been built.
    #[error(
        "found no supervise binary beside {}; build it: cargo build -p hosttask-tests --bins",
        beside.display()
    )]
    SupervisorMissing {
        /// The binary that runs now.
        beside: PathBuf,
    },
    /// A program ended although it should run on.
    #[error("{program} ended with {status}; log: {}\n{tail}", log.display())]
    Exited {
        /// Which program.
        program: String,
        /// Its exit status.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A program runs but did not become ready in time.
    #[error("{program} was not {expected} after {} s; log: {}\n{tail}", after.as_secs(), log.display())]
    NotReady {
        /// Which program.
        program: String,
        /// What was waited for.
        expected: &'static str,
        /// How long.
        after: Duration,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The private certificates could not be made.
    #[error("failed to make the cluster's certificates")]
    Certificates(#[from] rcgen::Error),
    /// A kubeconfig that was just written cannot be used.
    #[error("failed to load the kubeconfig {}", path.display())]
    Kubeconfig {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: kube::config::KubeconfigError,
    },
    /// The API server refused a request of the cluster itself.
    #[error("failed to {doing}")]
    Api {
        /// What was tried.
        doing: String,
        /// What the API server or the client said.
        source: kube::Error,
    },
    /// A program of the control plane gave an answer that cannot be read.
    #[error("failed to read the answer of {program}: {answer}")]
    Answer {
        /// Which program.
        program: &'static str,
        /// What it printed.
        answer: String,
    },
    /// The system refused an operation on a file, folder, port or process.
    #[error("failed to {doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl ClusterError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    pub(crate) fn api(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Api { doing, source }
    }

    /// Another process took a port between its choice and the program's start.
    pub(crate) fn is_port_race(&self) -> bool {
        matches!(self, Self::Exited { tail, .. } if tail.contains("address already in use"))
    }
}
