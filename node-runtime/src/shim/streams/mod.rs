//! `streams`: the stream addresses of containerd's requests, as the streams of a container. Pure, but for the folder of a log.
//!
//! | address | what it is |
//! | --- | --- |
//! | empty | nothing |
//! | `\\.\pipe\…`, `npipe://./pipe/…` | a named pipe that containerd serves (Windows) |
//! | `/…`, `fifo:///…` | a FIFO that containerd made, or a socket (Linux) |
//! | `file:///C:/…`, `file:///…` | a file, to whose end the program writes |
//! | `binary:///C:/…?key=value` | a log driver, for both outputs |
//!
//! The task service asks for them when a task or an exec is created, before anything else is made:
//!
//! ```ignore
//! let stdio = streams::stdio(&StreamsRequest { .. }).map_err(|error| Status::new(code(error.kind()), chain(&error)))?;
//! let options = container::Options { stdio, .. };
//! ```

mod uri;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::container::{Driver, Kind, Sink, Source, Stdio};
use crate::sys::{Host, Rules};

use self::uri::Uri;

pub use self::uri::Fault;

/// The most bytes of an address. Windows has 256 characters for the name of a pipe, Linux 4,096 for a path; arguments of a log
/// driver come on top.
const LONGEST: usize = 16 * 1024;

/// What a request says about the streams of a task or of an exec.
#[derive(Clone, Copy)]
pub struct StreamsRequest<'a> {
    /// Whose rules hold.
    pub host: &'a dyn Host,
    /// The namespace of containerd, for a log driver.
    pub namespace: &'a str,
    /// The task, for a log driver.
    pub id: &'a str,
    /// The exec; none: the task itself.
    pub exec: Option<&'a str>,
    /// What is read, as the request has it; empty: nothing.
    pub stdin: &'a str,
    /// Where it prints.
    pub stdout: &'a str,
    /// Where it complains.
    pub stderr: &'a str,
    /// Whether it has a terminal, which has no second output.
    pub terminal: bool,
    /// How long a reader that went away is waited for, before output is lost; none: as long as it takes. It is
    /// `io_retry_timeout_in_sec` of the runtime's options, whose 0 is none.
    pub retry: Option<Duration>,
}

/// Addresses are as [`shown`] has them: those of log drivers have arguments.
impl fmt::Debug for StreamsRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamsRequest")
            .field("id", &self.id)
            .field("exec", &self.exec)
            .field("stdin", &shown(self.stdin))
            .field("stdout", &shown(self.stdout))
            .field("stderr", &shown(self.stderr))
            .field("terminal", &self.terminal)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// Why streams cannot be had.
#[derive(Debug, Error)]
#[expect(
    clippy::error_impl_error,
    reason = "one error per module, named by the module"
)]
pub enum Error {
    /// A terminal has one output.
    #[error(
        "stderr is {0:?}, but the process has a terminal, which prints all to stdout; leave stderr empty"
    )]
    StderrOfTerminal(String),
    /// An address is none, or of no use for this stream.
    #[error("{stream} is {address:?}: {fault}")]
    Address {
        /// Which stream.
        stream: &'static str,
        /// The address, without what may be secret.
        address: String,
        /// Why.
        fault: Fault,
    },
    /// A log driver reads both outputs.
    #[error(
        "stdout and stderr name different log drivers; give both the same, or leave stderr empty"
    )]
    TwoDrivers,
    /// The folder of a log file cannot be made.
    #[error("failed to make the folder {} for the log of {stream}", path.display())]
    Folder {
        /// Which stream.
        stream: &'static str,
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Of which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::StderrOfTerminal(_) => Kind::FailedPrecondition,
            Self::Address { .. } | Self::TwoDrivers => Kind::InvalidArgument,
            Self::Folder { .. } => Kind::Internal,
        }
    }
}

/// The streams that a request asks for. Nothing is connected to yet: that is done when the container, or the exec, is made,
/// and for what is read when it is started, and fails there when nobody is at the other end.
///
/// # Errors
/// [`Error::StderrOfTerminal`] is a failed precondition, as containerd's clients expect it; every other says what is wrong
/// with which address.
pub fn stdio(request: &StreamsRequest<'_>) -> Result<Stdio, Error> {
    if request.terminal && !request.stderr.is_empty() {
        return Err(Error::StderrOfTerminal(shown(request.stderr)));
    }
    let stdio = Stdio {
        stdin: source(request)?,
        stdout: sink(request, "stdout", request.stdout)?,
        stderr: sink(request, "stderr", request.stderr)?,
    };
    match (&stdio.stdout, &stdio.stderr) {
        (Sink::Driver(stdout), Sink::Driver(stderr)) if stdout == stderr => {}
        (_, Sink::Driver(_)) | (Sink::Driver(_), Sink::File(_) | Sink::Stream { .. }) => {
            return Err(Error::TwoDrivers);
        }
        _ => {}
    }
    for (stream, sink) in [("stdout", &stdio.stdout), ("stderr", &stdio.stderr)] {
        if let Sink::File(path) = sink {
            make_folder(stream, path)?;
        }
    }
    Ok(stdio)
}

fn source(request: &StreamsRequest<'_>) -> Result<Source, Error> {
    let (stream, address) = ("stdin", request.stdin);
    match parse(request, stream, address)? {
        None => Ok(Source::Null),
        Some(Uri::Pipe(address)) => Ok(Source::Stream(address)),
        Some(Uri::File(_) | Uri::Binary { .. }) => Err(Error::Address {
            stream,
            address: shown(address),
            fault: Fault::OnlyOutput,
        }),
    }
}

fn sink(request: &StreamsRequest<'_>, stream: &'static str, address: &str) -> Result<Sink, Error> {
    Ok(match parse(request, stream, address)? {
        None => Sink::Null,
        Some(Uri::Pipe(address)) => Sink::Stream {
            address,
            retry: request.retry.filter(|it| !it.is_zero()),
        },
        Some(Uri::File(path)) => Sink::File(path),
        Some(Uri::Binary { program, arguments }) => Sink::Driver(Driver {
            program,
            arguments,
            id: request.exec.unwrap_or(request.id).to_owned(),
            namespace: request.namespace.to_owned(),
        }),
    })
}

fn parse(
    request: &StreamsRequest<'_>,
    stream: &'static str,
    address: &str,
) -> Result<Option<Uri>, Error> {
    if address.is_empty() {
        return Ok(None);
    }
    let fails = |fault| Error::Address {
        stream,
        address: shown(address),
        fault,
    };
    if address.len() > LONGEST {
        return Err(fails(Fault::TooLong));
    }
    let rules: Rules = request.host.places().rules;
    uri::parse(rules, address).map(Some).map_err(fails)
}

/// An address as it may be shown: without the arguments of a log driver, and not endless.
fn shown(address: &str) -> String {
    let path = address.split_once('?').map_or(address, |(path, _)| path);
    path.chars().take(256).collect()
}

/// containerd's clients name a log in a folder that need not exist yet.
fn make_folder(stream: &'static str, path: &Path) -> Result<(), Error> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    fs::create_dir_all(folder).map_err(|source| Error::Folder {
        stream,
        path: folder.to_path_buf(),
        source,
    })
}

#[cfg(test)]
mod tests;
