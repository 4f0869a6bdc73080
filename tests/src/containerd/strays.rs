//! The processes that name a folder in their arguments or variables: what a bench started, wherever it has got to.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::process::{Pid, getpid};

/// A process of the bench.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Its number.
    pub pid: Pid,
    /// Its arguments, with spaces between them.
    pub command: String,
}

/// All processes that have a text in their arguments or variables, but not the one that asks.
///
/// A process that has ended and was not waited for has neither, and is none.
pub fn strays(text: &Path) -> Vec<Stray> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let own = getpid();
    numbers
        .filter_map(Pid::from_raw)
        .filter(|pid| *pid != own)
        .filter_map(|pid| {
            // A process may be gone meanwhile, or be of somebody else.
            let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let arguments = read("cmdline");
            let wanted = text.as_os_str().as_bytes();
            let is_ours = contains(&arguments, wanted) || contains(&read("environ"), wanted);
            is_ours.then(|| Stray {
                pid,
                command: String::from_utf8_lossy(&arguments).replace('\0', " "),
            })
        })
        .collect()
}

/// The process at the other end of a socket: for a server, the one that listens.
///
/// # Errors
/// The system does not say.
pub fn peer(socket: &UnixStream) -> io::Result<Pid> {
    Ok(rustix::net::sockopt::socket_peercred(socket)?.pid)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
