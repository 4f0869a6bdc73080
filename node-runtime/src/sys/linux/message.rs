//! What is asked of the holder of a job: one request for each connection, with files beside it, and one answer.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::sys::{Launch, ProcessId};

/// A request.
#[derive(Serialize, Deserialize)]
pub(super) enum Request {
    /// Keeps the job while the connection is open.
    Hold,
    /// Makes a job in it, which the file beside it holds first.
    Nest(String),
    /// Starts a program with the files beside it. The answer is followed by the exit code when it ended.
    Spawn(Start),
    Terminate(Option<ProcessId>, u32),
    Interrupt,
    Suspend,
    Resume(Option<ProcessId>),
    Usage,
    Processes,
    WaitEmpty(Duration),
    Notice(Duration),
}

/// What a [`Launch`] says, and which of the three streams are beside it.
#[derive(Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    pub(super) directory: String,
    pub(super) environment: Vec<(String, String)>,
    pub(super) suspended: bool,
    pub(super) streams: [bool; 3],
}

impl Start {
    pub(super) fn new(launch: &Launch, streams: [bool; 3]) -> Self {
        Self {
            program: launch.program.clone(),
            arguments: launch.arguments.clone(),
            directory: launch.directory.clone(),
            environment: launch.environment.clone().into_iter().collect(),
            suspended: launch.suspended,
            streams,
        }
    }
}

/// What a holder answers: an error is its number.
pub(super) type Answer<T> = Result<T, i32>;

/// Where the holder of a job listens. Such names are no files: nobody can leave one behind.
pub(super) fn address(job: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("hosttask-job-{job}"))
}

/// Asks the holder of a job; `NotFound` where it is gone, or goes meanwhile. What it says after the answer can be read from
/// the connection.
pub(super) fn ask<T: DeserializeOwned>(
    job: &str,
    request: &Request,
    files: &[OwnedFd],
) -> io::Result<(T, BufReader<UnixStream>)> {
    const GONE: [Errno; 3] = [Errno::CONNREFUSED, Errno::CONNRESET, Errno::PIPE];
    let exchanged = exchange(job, request, files).map_err(|error| {
        let is_gone = GONE
            .iter()
            .any(|it| Some(it.raw_os_error()) == error.raw_os_error());
        if is_gone {
            io::ErrorKind::NotFound.into()
        } else {
            error
        }
    });
    let (line, connection) = exchanged?;
    if line.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let answer: Answer<T> = serde_json::from_str(&line)?;
    Ok((answer.map_err(error)?, connection))
}

/// Sends a request, and reads the line that answers it.
fn exchange(
    job: &str,
    request: &Request,
    files: &[OwnedFd],
) -> io::Result<(String, BufReader<UnixStream>)> {
    let mut connection = UnixStream::connect_addr(&address(job)?)?;
    let borrowed: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&borrowed));
    }
    let first = [IoSlice::new(b"\n")];
    retry_on_intr(|| sendmsg(&connection, &first, &mut control, SendFlags::NOSIGNAL))?;
    connection.write_all(&serde_json::to_vec(request)?)?;
    connection.shutdown(Shutdown::Write)?;
    let mut connection = BufReader::new(connection);
    let mut line = String::new();
    connection.read_line(&mut line)?;
    Ok((line, connection))
}

/// An error of the system, with a kind where it has none of its own.
pub(super) fn error(number: i32) -> io::Error {
    match Errno::from_raw_os_error(number) {
        Errno::NOEXEC => io::Error::new(io::ErrorKind::InvalidInput, "it is no program"),
        Errno::ADDRINUSE => io::ErrorKind::AlreadyExists.into(),
        other => other.into(),
    }
}

/// Reads a request and the files beside it.
pub(super) fn receive(mut connection: &UnixStream) -> io::Result<(Request, Vec<File>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut first = [IoSliceMut::new(&mut byte)];
    retry_on_intr(|| {
        recvmsg(
            connection,
            &mut first,
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            files.extend(rights.map(File::from));
        }
    }
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    Ok((serde_json::from_str(&text)?, files))
}

/// Writes an answer.
pub(super) fn send<T: Serialize>(
    mut connection: &UnixStream,
    result: io::Result<T>,
) -> io::Result<()> {
    let answer: Answer<T> = result.map_err(|error| {
        // What is wrong without the system having said so: a zero in an argument.
        error
            .raw_os_error()
            .unwrap_or_else(|| Errno::INVAL.raw_os_error())
    });
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    connection.write_all(&line)
}
