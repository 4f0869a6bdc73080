//! Log drivers by containerd's protocol for Linux: descriptor 3 is stdout, 4 is stderr, and closing 5 says that it is ready.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};

use super::fifo::PipeConnection;
use crate::sys::Connection as _;
use crate::sys::log_driver::{LogDriver, LogProgram};

/// Moves the three descriptors, which come as the first three, to where they belong. No other way passes them on without
/// code that runs between fork and exec.
const MOVE: &str = r#"exec 3<&0 4<&2 5>&1 </dev/null >/dev/null 2>/dev/null; exec "$@""#;

/// Starts one, and waits at most so long until it is ready.
///
/// # Errors
/// `NotFound` without the program; `TimedOut`, and it is ended, where it is not ready in time.
pub fn start(driver: &LogProgram<'_>, patience: Duration) -> io::Result<LogDriver> {
    if !driver.program.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let (their_stdout, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (their_stderr, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    let (ready, their_ready) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut child = Command::new("/bin/sh")
        .args(["-c", MOVE, "sh"])
        .arg(driver.program)
        .args(driver.arguments)
        .env_clear()
        .envs(driver.variables.iter().copied())
        .stdin(Stdio::from(their_stdout))
        .stdout(Stdio::from(their_ready))
        .stderr(Stdio::from(their_stderr))
        .spawn()?;
    match wait_ready(ready, patience).and_then(|()| ends(stdout, stderr)) {
        Ok((stdout, stderr)) => Ok(LogDriver {
            child,
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
        }),
        Err(error) => Err(end(&mut child, error)),
    }
}

fn ends(stdout: OwnedFd, stderr: OwnedFd) -> io::Result<(PipeConnection, PipeConnection)> {
    Ok((
        PipeConnection::new(stdout, false)?,
        PipeConnection::new(stderr, false)?,
    ))
}

/// Waits for the end of a pipe: it closes its own end, or writes something before that.
fn wait_ready(ready: OwnedFd, patience: Duration) -> io::Result<()> {
    let mut ready = PipeConnection::new(ready, false)?;
    ready.set_timeout(Some(patience))?;
    ready.read(&mut [0]).map(drop)
}

/// Ends one that is of no use, and says why it was not.
fn end(child: &mut Child, error: io::Error) -> io::Error {
    let ended = child.kill().and_then(|()| child.wait());
    match ended {
        Ok(_) => error,
        Err(second) => io::Error::other(format!("{error}; and it could not be ended: {second}")),
    }
}
