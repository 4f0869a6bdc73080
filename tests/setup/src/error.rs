//! Why something could not be set up, and what the reader can do about it.

use std::fmt;
use std::path::PathBuf;
use std::{error, io};

use crate::version::Version;

/// Why a program or folder could not be provided.
#[derive(Debug)]
pub enum SetupError {
    /// There is no `go` in `PATH` or in its usual place.
    GoMissing {
        /// The lowest version that builds the program.
        needed: Version,
    },
    /// The `go` that was found cannot build the program, or cannot fetch a newer one.
    GoTooOld {
        /// Which `go` was asked.
        program: PathBuf,
        /// What it said.
        said: String,
        /// The lowest version that builds the program.
        needed: Version,
    },
    /// A program that Debian's packages have is not installed.
    ToolMissing {
        /// Its name.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// `go build` ran and failed.
    Build {
        /// Its whole output.
        log: PathBuf,
        /// The last lines of the output.
        tail: String,
    },
    /// The system refused an operation on a file, folder or process.
    Io {
        /// What was tried, as in "failed to …".
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl SetupError {
    /// Wraps what the system said; `doing` completes "failed to …".
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// 2 when the user has to install something first, 1 for every other failure.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::GoMissing { .. } | Self::GoTooOld { .. } | Self::ToolMissing { .. } => 2,
            Self::Build { .. } | Self::Io { .. } => 1,
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GoMissing { needed } => write!(
                f,
                "Go is not installed; the programs of the bench are built from Go modules and need Go {needed} or newer\n{}",
                Install(*needed)
            ),
            Self::GoTooOld {
                program,
                said,
                needed,
            } => write!(
                f,
                "{} cannot build the programs of the bench, which need Go {needed} or newer; it said: {said}\n{}",
                program.display(),
                Install(*needed)
            ),
            Self::ToolMissing { program, package } => write!(
                f,
                "{program} is not installed; install it with: sudo apt-get install -y --no-install-recommends {package}"
            ),
            Self::Build { log, tail } => {
                write!(
                    f,
                    "failed to build a program of the bench; whole log: {}\n{tail}",
                    log.display()
                )
            }
            // The cause follows in the chain.
            Self::Io { doing, .. } => write!(f, "failed to {doing}"),
        }
    }
}

impl error::Error for SetupError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::GoMissing { .. }
            | Self::GoTooOld { .. }
            | Self::ToolMissing { .. }
            | Self::Build { .. } => None,
        }
    }
}

/// How to install Go, for a person who reads it in a terminal.
struct Install(Version);

impl fmt::Display for Install {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needed = self.0;
        let arch = match std::env::consts::ARCH {
            "aarch64" => "arm64",
            "x86_64" => "amd64",
            other => other,
        };
        let os = std::env::consts::OS;
        write!(
            f,
            "install it from https://go.dev/dl/, for example:\n  \
             curl -fsSL https://go.dev/dl/go{needed}.0.{os}-{arch}.tar.gz | sudo tar -C /usr/local -xz\n  \
             export PATH=$PATH:/usr/local/go/bin\n\
             then run the same command again (or name a folder with etcd, kube-apiserver, \
             kube-controller-manager, kube-scheduler and kubectl in KUBEBUILDER_ASSETS; Go is still needed for kstatus)"
        )
    }
}
