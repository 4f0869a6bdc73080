//! Why a command of the shim failed.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::id::Id;
use crate::keeper::boot::BootError;
use crate::keeper::protocol::Failure;
use crate::shim::service;
use crate::ttrpc;

/// Why a command of the shim failed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The host lacks something no container can do without.
    #[error("failed to open the host; `hosttask-node doctor` says what it lacks")]
    Host(#[source] io::Error),
    /// What containerd said could not be read.
    #[error("failed to read standard input")]
    Input(#[source] io::Error),
    /// The answer could not be made or given.
    #[error("failed to print the answer")]
    Print(#[source] io::Error),
    /// A file or folder could not be used.
    #[error("failed to {verb} {}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The shim of a pod is gone, so that none of its containers can be added.
    #[error(
        "the shim of the pod {sandbox} does not answer at {address}, and its containers ended with it; the pod has to be made anew"
    )]
    NoSandbox {
        /// The sandbox.
        sandbox: Id,
        /// Where its shim was.
        address: String,
        /// What came back.
        source: ttrpc::Error,
    },
    /// The shim could not be started.
    #[error("failed to start the shim")]
    Start(#[source] BootError),
    /// The shim said why it cannot be asked.
    #[error("the shim failed to start: {0}")]
    Refused(Failure),
    /// The shim ended before it could be asked.
    #[error("the shim ended before it was ready{}", words(.said))]
    Died {
        /// Its last words.
        said: String,
    },
    /// The shim said nothing for too long.
    #[error("the shim was not ready in time, and was ended; is the host overloaded?")]
    Silent,
    /// The shim was started, and does not answer.
    #[error("the shim does not answer at {address}")]
    Unready {
        /// Where it should.
        address: String,
        /// What came back.
        source: ttrpc::Error,
    },
    /// Somebody serves the address of this shim.
    #[error("the address {address} is served already")]
    Taken {
        /// Which.
        address: String,
    },
    /// The tasks cannot begin, or something of a container cannot be removed.
    #[error(transparent)]
    Service(#[from] service::Error),
    /// A thread could not be made.
    #[error("failed to make a thread")]
    Thread(#[source] io::Error),
}

fn words(said: &str) -> String {
    match said.trim() {
        "" => ", without a word".to_owned(),
        said => format!(": {said}"),
    }
}

impl CommandError {
    /// A file or folder that could not be used.
    pub(super) fn file(
        verb: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { verb, path, source }
    }
}

impl From<BootError> for CommandError {
    fn from(error: BootError) -> Self {
        match error {
            BootError::Refused(failure) => Self::Refused(failure),
            BootError::Died { said } => Self::Died { said },
            BootError::Silent => Self::Silent,
            BootError::Pipe(_) | BootError::Start { .. } => Self::Start(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::protocol::{Kind, chain};

    #[test]
    fn why_there_is_no_shim_is_said_in_words_of_the_shim() {
        let said = |error: BootError| chain(&CommandError::from(error));
        let died = BootError::Died {
            said: "no room\n".to_owned(),
        };
        assert_eq!(said(died), "the shim ended before it was ready: no room");
        let mute = BootError::Died {
            said: String::new(),
        };
        assert!(said(mute).ends_with("without a word"));
        let refused = BootError::Refused(Failure {
            kind: Kind::Internal,
            message: "no pipe".to_owned(),
        });
        assert_eq!(said(refused), "the shim failed to start: no pipe");
        let start = BootError::Start {
            program: PathBuf::from("shim"),
            source: io::ErrorKind::NotFound.into(),
        };
        for error in [start, BootError::Silent] {
            let said = said(error);
            assert!(said.contains("the shim"), "{said}");
        }
    }
}
