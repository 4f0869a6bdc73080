//! Why a Windows node could not be started or changed.

use std::io;
use std::path::PathBuf;

use crate::cluster::ClusterError;
use crate::poll::TimedOut;

/// Why a Windows node could not be started or changed.
#[derive(Debug, thiserror::Error)]
pub enum WindowsNodeError {
    /// Its programs could not be provided.
    #[error("failed to provide kubelet and containerd for Windows")]
    Setup(#[from] hosttask_setup::SetupError),
    /// A program of the runtime was not built.
    #[error(
        "{} is missing; build it with: cargo build --locked --package hosttask-node-runtime --bins --target x86_64-pc-windows-gnu",
        path.display()
    )]
    NotBuilt {
        /// Where it is looked for.
        path: PathBuf,
    },
    /// kubelet refuses loopback addresses, and the machine has no other.
    #[error(
        "kubelet refuses a loopback address as the address of a node, and this machine has no other; add one with: ip address add 10.99.0.1/32 dev lo"
    )]
    NoAddress,
    /// A program of the node could not be started, or ended.
    #[error(transparent)]
    Process(#[from] ClusterError),
    /// Something did not happen in time.
    #[error("{source}; the node's logs are in {}", logs.display())]
    Late {
        /// What was waited for.
        source: TimedOut,
        /// Where to look for the reason.
        logs: PathBuf,
    },
    /// A program that sets up the node failed.
    #[error("{program} failed with {code:?}: {said}")]
    Failed {
        /// Which program, with its arguments.
        program: String,
        /// Its exit code.
        code: Option<i32>,
        /// The end of its output.
        said: String,
    },
    /// A request to the control plane failed.
    #[error("failed to {doing}")]
    Api {
        /// What was asked for.
        doing: String,
        /// The client's error.
        source: kube::Error,
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

impl WindowsNodeError {
    /// Whether the machine lacks something that the message says how to add. Nothing was started then.
    pub fn is_lacking(&self) -> bool {
        use hosttask_setup::SetupError::{GoMissing, GoTooOld, ToolMissing};
        match self {
            Self::Setup(error) => matches!(
                error,
                ToolMissing { .. } | GoMissing { .. } | GoTooOld { .. }
            ),
            Self::NotBuilt { .. } | Self::NoAddress => true,
            Self::Process(_)
            | Self::Late { .. }
            | Self::Failed { .. }
            | Self::Api { .. }
            | Self::Io { .. } => false,
        }
    }

    /// Wraps what the system said; `doing` completes "failed to …".
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
