//! `log_driver`: starts a program that reads the output of a process, by the protocol that containerd has on each system.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};
use std::{fmt, thread};

use super::Connection;

#[cfg(unix)]
pub use super::linux::log_driver::start;
#[cfg(windows)]
pub use super::windows::log_driver::start;

/// How often is looked whether one has ended.
const LOOK: Duration = Duration::from_millis(50);

/// What is to be started. It is outside of every job: a log outlives what it is of.
#[derive(Clone, Copy)]
pub struct LogProgram<'a> {
    /// Its full path.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: &'a [String],
    /// Its variables; it has no others but those of the protocol.
    pub variables: &'a [(&'a str, &'a str)],
}

/// Arguments and values are left out: this ends up in logs.
impl fmt::Debug for LogProgram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogProgram")
            .field("program", &self.program)
            .field("arguments", &self.arguments.len())
            .finish_non_exhaustive()
    }
}

/// One that is ready.
#[derive(Debug)]
pub struct LogDriver {
    /// The program.
    pub child: Child,
    /// Where what is printed is written to.
    pub stdout: Box<dyn Connection>,
    /// Where what is complained is written to.
    pub stderr: Box<dyn Connection>,
}

/// Lets a driver whose connections are closed end, and ends it where it has not after `patience`. It does not wait.
pub fn let_end(mut child: Child, patience: Duration) {
    let deadline = Instant::now() + patience;
    let wait = move || {
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                // It fails only where it has ended meanwhile.
                let _ended = child.kill().and_then(|()| child.wait().map(drop));
                return;
            }
            thread::sleep(LOOK);
        }
    };
    // Without a thread it is not waited for, and ends when it reads the end of its streams.
    let _waits = thread::Builder::new()
        .name("log driver".to_owned())
        .spawn(wait);
}
