//! Log drivers by containerd's protocol for Windows: three named pipes whose names are in the environment. The driver dials
//! all of them, and closing the third says that it is ready.

use std::env;
use std::io;
use std::os::windows::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use windows_sys::Win32::Foundation::{ERROR_NO_DATA, ERROR_PIPE_CONNECTED};
use windows_sys::Win32::System::Threading::CREATE_NO_WINDOW;

use super::deadline::Deadline;
use super::named_pipe::{Direction, Instance, serve};
use super::overlapped::Channel;
use super::pipe::random_text;
use super::process::is;
use super::security::{ADMINISTRATORS, Descriptor};
use super::server::PipeConnection;
use crate::sys::Connection;
use crate::sys::log_driver::{LogDriver, LogProgram};

/// The two outputs.
type Outputs = (Box<dyn Connection>, Box<dyn Connection>);

/// Starts one, and waits at most so long until it is ready.
///
/// # Errors
/// `NotFound` without the program; `TimedOut`, and it is ended, where it is not ready in time.
pub fn start(driver: &LogProgram<'_>, patience: Duration) -> io::Result<LogDriver> {
    let deadline = Deadline::after(patience);
    let name = format!(
        r"\\.\pipe\ProtectedPrefix\Administrators\hosttask-log-{}",
        random_text(16)?
    );
    let names = ["stdout", "stderr", "wait"].map(|stream| format!("{name}-{stream}"));
    let [stdout, stderr, wait] = &names;
    let ends = [serve_one(stdout)?, serve_one(stderr)?, serve_one(wait)?];
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
    match dialled(ends, deadline) {
        Ok((stdout, stderr)) => Ok(LogDriver {
            child,
            stdout,
            stderr,
        }),
        Err(error) => Err(end(&mut child, error)),
    }
}

/// A pipe for one client.
fn serve_one(address: &str) -> io::Result<Channel> {
    let access = Descriptor::parse(ADMINISTRATORS)?;
    Channel::new(serve(address, Direction::Both, Instance::Only, &access)?)
}

/// Waits until it has dialled all three, and closed the last. That may have been before anybody looked.
fn dialled([stdout, stderr, wait]: [Channel; 3], deadline: Deadline) -> io::Result<Outputs> {
    if !is_there(&stdout, deadline)? || !is_there(&stderr, deadline)? {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    if is_there(&wait, deadline)? {
        wait.read(&mut [0], deadline)?;
    }
    Ok((
        Box::new(PipeConnection::new(stdout)),
        Box::new(PipeConnection::new(stderr)),
    ))
}

/// Waits for the client of a pipe; false where it came and went.
fn is_there(end: &Channel, deadline: Deadline) -> io::Result<bool> {
    match end.connect(deadline) {
        Err(error) if is(&error, ERROR_NO_DATA) => Ok(false),
        Err(error) if !is(&error, ERROR_PIPE_CONNECTED) => Err(error),
        Ok(()) | Err(_) => Ok(true),
    }
}

/// Ends one that is of no use, and says why it was not.
fn end(child: &mut Child, error: io::Error) -> io::Error {
    let ended = child.kill().and_then(|()| child.wait());
    match ended {
        Ok(_) => error,
        Err(second) => io::Error::other(format!("{error}; and it could not be ended: {second}")),
    }
}
