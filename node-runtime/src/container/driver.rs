//! Log drivers: a program that reads the output of a process.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sys::Connection;
use crate::sys::log_driver::{self, LogProgram};

/// How long one may take to be ready, and to end. So long containerd's other shims wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program that reads the output of a process, in containerd's protocol.
///
/// It gets `CONTAINER_ID` and `CONTAINER_NAMESPACE`; on Windows the names of its pipes in `CONTAINER_STDOUT`,
/// `CONTAINER_STDERR` and `CONTAINER_WAIT`, on Linux the descriptors 3, 4 and 5. It has ten seconds to close the third of
/// them, and ten to end after the end of the output. It is outside of the container's job.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Driver {
    /// The full path of the program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Whose output it is.
    pub id: String,
    /// In which namespace of containerd.
    pub namespace: String,
}

/// Arguments are left out: this ends up in logs.
impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("program", &self.program)
            .field("arguments", &self.arguments.len())
            .field("id", &self.id)
            .field("namespace", &self.namespace)
            .finish()
    }
}

/// A driver that runs. When the last one lets go of it, after its streams were closed, it has to end.
#[derive(Debug)]
pub(super) struct Running(Option<Child>);

/// What a driver reads.
pub(super) struct Outputs {
    pub(super) stdout: Box<dyn Connection>,
    pub(super) stderr: Box<dyn Connection>,
    pub(super) running: Arc<Running>,
}

impl Driver {
    /// Starts it, and waits until it is ready.
    pub(super) fn start(&self) -> io::Result<Outputs> {
        let variables = [
            ("CONTAINER_ID", self.id.as_str()),
            ("CONTAINER_NAMESPACE", self.namespace.as_str()),
        ];
        let program = LogProgram {
            program: &self.program,
            arguments: &self.arguments,
            variables: &variables,
        };
        let driver = log_driver::start(&program, PATIENCE)?;
        Ok(Outputs {
            stdout: driver.stdout,
            stderr: driver.stderr,
            running: Arc::new(Running(Some(driver.child))),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = self.0.take() {
            log_driver::let_end(child, PATIENCE);
        }
    }
}
