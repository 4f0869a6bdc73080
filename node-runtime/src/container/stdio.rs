//! Where the streams of a process lead, and the child's ends of them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Error;
use super::driver::{self, Driver};
use super::output::{Output, Patience};
use super::relay::{Input, Relays};
use crate::sys::{Connection, Host, Rules, Streams, pipe};

/// How long somebody may take to answer at the other end of a pipe, when a container is created.
const CONNECT: Duration = Duration::from_secs(5);

/// Where the streams of a process lead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stdio {
    /// What it reads.
    pub stdin: Source,
    /// What it prints.
    pub stdout: Sink,
    /// What it complains. Nowhere where it has a pseudo console.
    pub stderr: Sink,
}

/// Where a stream comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// It is at its end from the beginning.
    #[default]
    Null,
    /// A file, which the process reads itself.
    File(PathBuf),
    /// An address for [`Host::connect`]; what is sent there is passed on.
    Pipe(String),
    /// The same, but connected to when the process is started and no sooner. `ctr` sends what it is given as soon as somebody
    /// reads, and can say that this was all only once it was told that the task is there.
    Stream(String),
}

/// Where a stream leads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sink {
    /// It is thrown away.
    #[default]
    Null,
    /// A file, made where it is missing, to whose end the process writes itself.
    File(PathBuf),
    /// An address for [`Host::connect`], to which it is passed on. A reader that does not read holds the process up, as any
    /// pipe does, but never its end.
    Pipe(String),
    /// The same, but a reader that takes nothing for `patience` holds nothing up: what is printed meanwhile is lost, counted,
    /// and said.
    ImpatientPipe {
        /// The address.
        address: String,
        /// How long a reader is waited for.
        patience: Duration,
    },
    /// The same, with a reader that comes back, as containerd does when it is started again. Nothing that it did not take is
    /// lost: meanwhile the process is held up, and what is left when it ends is kept until it is deleted.
    Stream {
        /// The address: of a pipe, a socket, or a FIFO.
        address: String,
        /// How long a reader that went away holds the process up, before output is lost; none: as long as it takes.
        retry: Option<Duration>,
    },
    /// A program that reads it. The same for both outputs is one program.
    Driver(Driver),
}

/// Streams whose other ends are there: a client that is gone is found when a container is created, not when it runs.
#[derive(Debug)]
pub(super) struct Prepared {
    host: Arc<dyn Host>,
    stdio: Stdio,
    has_console: bool,
    stdin: Option<Box<dyn Connection>>,
    stdout: Option<Box<dyn Connection>>,
    stderr: Option<Box<dyn Connection>>,
    driver: Option<Arc<driver::Running>>,
}

/// Our ends of the streams of a process.
#[derive(Debug)]
pub(super) struct Ends {
    stdin: Option<pipe::Writer>,
    /// What a terminal is typed from.
    typed: Option<File>,
    stdout: Option<pipe::Reader>,
    stderr: Option<pipe::Reader>,
}

impl Prepared {
    /// Connects to whoever is at the other ends. `has_console` merges what is printed and what is complained.
    pub(super) fn new(
        host: &Arc<dyn Host>,
        stdio: Stdio,
        has_console: bool,
    ) -> Result<Self, Error> {
        if has_console && stdio.stderr != Sink::Null {
            return Err(Error::StderrOfTerminal);
        }
        let connect = |stream, address: Option<&str>| {
            let Some(address) = address else {
                return Ok(None);
            };
            let connection = host.connect(address, CONNECT);
            connection.map(Some).map_err(failed(stream, address))
        };
        let sender = match &stdio.stdin {
            Source::Pipe(address) => Some(address.as_str()),
            Source::Null | Source::File(_) | Source::Stream(_) => None,
        };
        let mut prepared = Self {
            host: Arc::clone(host),
            has_console,
            stdin: connect("stdin", sender)?,
            stdout: connect("stdout", stdio.stdout.address())?,
            stderr: connect("stderr", stdio.stderr.address())?,
            driver: None,
            stdio,
        };
        prepared.start_driver()?;
        Ok(prepared)
    }

    /// Starts the program that reads one output or both.
    fn start_driver(&mut self) -> Result<(), Error> {
        let (stream, driver) = match (&self.stdio.stdout, &self.stdio.stderr) {
            (Sink::Driver(stdout), Sink::Driver(stderr)) if stdout != stderr => {
                return Err(Error::TwoDrivers);
            }
            (Sink::Driver(driver), _) => ("stdout", driver),
            (_, Sink::Driver(driver)) => ("stderr", driver),
            _ => return Ok(()),
        };
        let target = driver.program.display().to_string();
        let started = driver.start();
        let outputs = started.map_err(failed(stream, &target))?;
        let reads = |sink: &Sink| matches!(sink, Sink::Driver(_));
        if reads(&self.stdio.stdout) {
            self.stdout = Some(outputs.stdout);
        }
        if reads(&self.stdio.stderr) {
            self.stderr = Some(outputs.stderr);
        }
        self.driver = Some(outputs.running);
        Ok(())
    }

    /// Opens the files and makes the pipes of a process that is about to be started.
    pub(super) fn open(&mut self) -> Result<(Streams, Ends), Error> {
        if let (Source::Stream(address), None) = (&self.stdio.stdin, &self.stdin) {
            let connection = self.host.connect(address, CONNECT);
            self.stdin = Some(connection.map_err(failed("stdin", address))?);
        }
        let rules = self.host.places().rules;
        let mut streams = Streams::default();
        let mut ends = Ends {
            stdin: None,
            typed: None,
            stdout: None,
            stderr: None,
        };
        let target = self.stdio.stdin.target();
        let file = match &self.stdio.stdin {
            Source::File(path) => Some(File::open(path).map_err(failed("stdin", &target))?),
            Source::Null | Source::Pipe(_) | Source::Stream(_) => None,
        };
        // The end of what a terminal reads is the end of the terminal, so its other end is always ours to keep.
        if self.has_console || self.stdio.stdin.is_passed_on() {
            let (child, ours) = pipe::input().map_err(failed("stdin", &target))?;
            (streams.stdin, ends.stdin, ends.typed) = (Some(child), Some(ours), file);
        } else {
            streams.stdin = file.or_else(|| null(rules));
        }
        (streams.stdout, ends.stdout) = self.stdio.stdout.open("stdout", rules)?;
        (streams.stderr, ends.stderr) = self.stdio.stderr.open("stderr", rules)?;
        Ok((streams, ends))
    }

    /// Begins to pass on what a process that was started prints and reads.
    pub(super) fn relay(&mut self, ends: Ends) -> Result<Relays, Error> {
        let mut relays = Relays::new(self.has_console);
        let outputs = [
            (
                "stdout",
                ends.stdout,
                self.stdout.take(),
                &self.stdio.stdout,
            ),
            (
                "stderr",
                ends.stderr,
                self.stderr.take(),
                &self.stdio.stderr,
            ),
        ];
        for (stream, reader, connection, sink) in outputs {
            if let (Some(reader), Some(patience)) = (reader, sink.patience()) {
                let address = sink.address().map(str::to_owned);
                let host = Arc::clone(&self.host);
                let mut output = Output::new(host, address, patience, connection);
                if let Sink::Driver(_) = sink {
                    output.hold_driver(self.driver.clone());
                }
                relays.output(stream, reader, output)?;
            }
        }
        self.driver = None;
        if let Some(writer) = ends.stdin {
            let input = match (self.stdin.take(), ends.typed) {
                (Some(connection), _) => Input::Connection(connection),
                (None, Some(file)) => Input::File(file),
                (None, None) => Input::Nothing,
            };
            relays.input(writer, input)?;
        }
        Ok(relays)
    }
}

impl Source {
    /// Whether it comes through us.
    fn is_passed_on(&self) -> bool {
        matches!(self, Self::Pipe(_) | Self::Stream(_))
    }

    /// How it is called in an error.
    fn target(&self) -> String {
        match self {
            Self::Null => "the terminal".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Pipe(address) | Self::Stream(address) => address.clone(),
        }
    }
}

impl Sink {
    fn address(&self) -> Option<&str> {
        match self {
            Self::Pipe(address)
            | Self::ImpatientPipe { address, .. }
            | Self::Stream { address, .. } => Some(address),
            Self::Null | Self::File(_) | Self::Driver(_) => None,
        }
    }

    /// How long its reader is waited for; none where nobody reads through us.
    fn patience(&self) -> Option<Patience> {
        match self {
            Self::Pipe(_) | Self::Driver(_) => Some(Patience::of_pipe()),
            Self::ImpatientPipe { patience, .. } => Some(Patience::at_most(*patience)),
            Self::Stream { retry, .. } => Some(Patience::of_stream(*retry)),
            Self::Null | Self::File(_) => None,
        }
    }

    fn open(
        &self,
        stream: &'static str,
        rules: Rules,
    ) -> Result<(Option<File>, Option<pipe::Reader>), Error> {
        match self {
            Self::Null => Ok((null(rules), None)),
            Self::File(path) => {
                let file = append(path).map_err(failed(stream, &path.display().to_string()))?;
                Ok((Some(file), None))
            }
            Self::Pipe(_) | Self::ImpatientPipe { .. } | Self::Stream { .. } | Self::Driver(_) => {
                let target = || self.address().unwrap_or("a log driver").to_owned();
                let (ours, child) = pipe::output().map_err(|source| Error::OpenStream {
                    stream,
                    target: target(),
                    source,
                })?;
                Ok((Some(child), Some(ours)))
            }
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The device that is empty and takes everything. A host without one closes the stream instead.
fn null(rules: Rules) -> Option<File> {
    let path = match rules {
        Rules::Windows => r"\\.\NUL",
        Rules::Posix => "/dev/null",
    };
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.ok()
}

fn failed<'a>(stream: &'static str, target: &'a str) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::OpenStream {
        stream,
        target: target.to_owned(),
        source,
    }
}
