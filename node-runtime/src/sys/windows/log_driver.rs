//! Log drivers by containerd's protocol for Windows: three named pipes whose names are in the environment. The driver dials
//! all of them, and closing the third says that it is ready.

use std::env;
use std::io::{self, Read as _};
use std::os::windows::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use windows_sys::Win32::System::Threading::CREATE_NO_WINDOW;

use super::pipe::random_text;
use super::server::PipeListener;
use crate::sys::log_driver::{LogDriver, LogProgram};
use crate::sys::{Connection, Listener};

/// Starts one, and waits at most so long until it is ready.
///
/// # Errors
/// `NotFound` without the program; `TimedOut`, and it is ended, where it is not ready in time.
pub fn start(driver: &LogProgram<'_>, patience: Duration) -> io::Result<LogDriver> {
    let deadline = Instant::now() + patience;
    let name = format!(
        r"\\.\pipe\ProtectedPrefix\Administrators\hosttask-log-{}",
        random_text(16)?
    );
    let names = ["stdout", "stderr", "wait"].map(|stream| format!("{name}-{stream}"));
    let [stdout, stderr, wait] = &names;
    let mut listeners = [
        PipeListener::open(stdout)?,
        PipeListener::open(stderr)?,
        PipeListener::open(wait)?,
    ];
    // Without it, Windows has no libraries of its own for a program.
    let windows = env::var_os("SYSTEMROOT").unwrap_or_default();
    let mut child = Command::new(driver.program)
        .args(driver.arguments)
        .env_clear()
        .env("SYSTEMROOT", windows)
        .envs(driver.variables.iter().copied())
        .env("CONTAINER_STDOUT", stdout)
        .env("CONTAINER_STDERR", stderr)
        .env("CONTAINER_WAIT", wait)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .creation_flags(CREATE_NO_WINDOW)
        .spawn()?;
    match dialled(&mut listeners, deadline) {
        Ok((stdout, stderr)) => Ok(LogDriver {
            child,
            stdout,
            stderr,
        }),
        Err(error) => Err(end(&mut child, error)),
    }
}

type Outputs = (Box<dyn Connection>, Box<dyn Connection>);

/// Waits until it has dialled all three, and closed the last.
fn dialled(listeners: &mut [PipeListener; 3], deadline: Instant) -> io::Result<Outputs> {
    let left = || deadline.saturating_duration_since(Instant::now());
    let accept = |listener: &mut PipeListener| {
        let client = listener.accept(left())?;
        client.ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))
    };
    let [stdout, stderr, wait] = listeners;
    let (stdout, stderr) = (accept(stdout)?, accept(stderr)?);
    let mut wait = accept(wait)?;
    wait.set_timeout(Some(left()))?;
    wait.read(&mut [0])?;
    Ok((stdout, stderr))
}

/// Ends one that is of no use, and says why it was not.
fn end(child: &mut Child, error: io::Error) -> io::Error {
    let ended = child.kill().and_then(|()| child.wait());
    match ended {
        Ok(_) => error,
        Err(second) => io::Error::other(format!("{error}; and it could not be ended: {second}")),
    }
}
