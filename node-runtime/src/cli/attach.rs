//! The streams of an attached command: its own standard streams, relayed over connections that the keeper opens.

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::arguments::Streams;
use super::context::{Context, absolute};
use super::error::CommandError;
use crate::container::{Sink, Source, Stdio};
use crate::keeper::address;
use crate::sys::{Connection, Listener};

/// How long the last output may take after the end of the program: the keeper cuts it after a second by itself.
const DRAIN: Duration = Duration::from_secs(5);

/// How long a thread waits for the keeper before it looks whether that still makes sense.
const LOOK: Duration = Duration::from_millis(200);

/// The relays of an attached command.
#[derive(Debug)]
pub(super) struct Relays {
    /// The folder with its sockets, where it has one.
    folder: Option<PathBuf>,
    outputs: usize,
    ended: Receiver<()>,
    is_over: Arc<AtomicBool>,
}

impl Relays {
    /// Waits until everything that the program printed is printed here, or until it takes too long.
    pub(super) fn drain(self) {
        self.is_over.store(true, Ordering::Release);
        let deadline = Instant::now() + DRAIN;
        for _ in 0..self.outputs {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.ended.recv_timeout(left).is_err() {
                return;
            }
        }
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(folder) = &self.folder {
            // It is ours alone, and empty but for sockets that nobody needs any more.
            drop(std::fs::remove_dir_all(folder));
        }
    }
}

/// Where the streams of a detached command lead: to files, or nowhere.
pub(super) fn detached(streams: &Streams) -> Result<Stdio, CommandError> {
    Ok(Stdio {
        stdin: source(streams.stdin.as_deref(), || Ok(Source::Null))?,
        stdout: sink(streams.stdout.as_deref(), || Ok(Sink::Null))?,
        stderr: sink(streams.stderr.as_deref(), || Ok(Sink::Null))?,
    })
}

/// Where the streams of an attached command lead: to files where those are named, and to our own streams.
///
/// A terminal prints everything to its output: for a program that has one, errors get no stream of their own.
pub(super) fn attached(
    context: &Context,
    streams: &Streams,
    has_terminal: bool,
) -> Result<(Stdio, Relays), CommandError> {
    let process = std::process::id();
    let folder = address::folder_of_streams(&context.places, &context.root, process);
    if let Some(folder) = &folder {
        // Protects the root first.
        context.store()?;
        std::fs::create_dir_all(folder).map_err(CommandError::file("make the folder", folder))?;
    }
    let (tells, ended) = mpsc::channel();
    let mut relays = Relays {
        folder,
        outputs: 0,
        ended,
        is_over: Arc::new(AtomicBool::new(false)),
    };
    let stdin = source(streams.stdin.as_deref(), || {
        let (address, door) = open(context, "stdin", &relays.is_over)?;
        spawn(move || door.wait().map(feed))?;
        Ok(Source::Pipe(address))
    })?;
    let mut output = |file: Option<&Path>, stream, print: fn() -> Box<dyn Write>| {
        sink(file, || {
            let (address, door) = open(context, stream, &relays.is_over)?;
            let tells: Sender<()> = tells.clone();
            let format = context.log_format();
            spawn(move || {
                if let Some(mut connection) = door.wait()
                    && copy(connection.as_mut(), print().as_mut()).is_err()
                {
                    super::notice(
                        format,
                        &format!(
                            "nobody reads {stream} any more; the rest of what the program prints there is lost"
                        ),
                    );
                }
                // Nobody hears it after the end.
                let _is_heard = tells.send(());
            })?;
            relays.outputs += 1;
            Ok(Sink::Pipe(address))
        })
    };
    let stdout = output(streams.stdout.as_deref(), "stdout", || {
        Box::new(io::stdout())
    })?;
    let stderr = if has_terminal {
        sink(streams.stderr.as_deref(), || Ok(Sink::Null))?
    } else {
        output(streams.stderr.as_deref(), "stderr", || {
            Box::new(io::stderr())
        })?
    };
    let all = Stdio {
        stdin,
        stdout,
        stderr,
    };
    Ok((all, relays))
}

fn source(
    file: Option<&Path>,
    other: impl FnOnce() -> Result<Source, CommandError>,
) -> Result<Source, CommandError> {
    match file {
        Some(file) => Ok(Source::File(absolute(file)?)),
        None => other(),
    }
}

fn sink(
    file: Option<&Path>,
    other: impl FnOnce() -> Result<Sink, CommandError>,
) -> Result<Sink, CommandError> {
    match file {
        Some(file) => Ok(Sink::File(absolute(file)?)),
        None => other(),
    }
}

/// Where the keeper will come.
struct Door {
    listener: Box<dyn Listener>,
    is_over: Arc<AtomicBool>,
}

impl Door {
    /// The keeper's connection; none where it never comes.
    fn wait(mut self) -> Option<Box<dyn Connection>> {
        loop {
            let was_over = self.is_over.load(Ordering::Acquire);
            match self.listener.accept(LOOK) {
                Ok(Some(mut connection)) => {
                    connection.set_timeout(None).ok()?;
                    return Some(connection);
                }
                Ok(None) if was_over => return None,
                Ok(None) => {}
                Err(_) => return None,
            }
        }
    }
}

fn open(
    context: &Context,
    stream: &'static str,
    is_over: &Arc<AtomicBool>,
) -> Result<(String, Door), CommandError> {
    let process = std::process::id();
    let address = address::of_stream(&context.places, &context.root, process, stream);
    let listener = context.host.listen(&address);
    let listener = listener.map_err(|source| CommandError::Stream { stream, source })?;
    let is_over = Arc::clone(is_over);
    Ok((address, Door { listener, is_over }))
}

fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<(), CommandError> {
    let spawned = thread::Builder::new().spawn(work);
    spawned.map(|_| ()).map_err(CommandError::Thread)
}

/// Passes on what we are given, until its end, which the program sees as the end of its input.
fn feed(mut connection: Box<dyn Connection>) {
    let mut input = io::stdin().lock();
    let mut part = [0; 16 * 1024];
    loop {
        let count = match input.read(&mut part) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let (part, _) = part.split_at(count);
        if connection.write_all(part).is_err() {
            return;
        }
    }
}

/// Prints what comes, at once, until its end.
///
/// # Errors
/// Where nobody reads it any more.
fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    let mut part = [0; 16 * 1024];
    loop {
        let count = match from.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return Ok(()),
        };
        let (part, _) = part.split_at(count);
        let printed = match to.write_all(part) {
            // A console of Windows takes text only.
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                to.write_all(String::from_utf8_lossy(part).as_bytes())
            }
            printed => printed,
        };
        printed.and_then(|()| to.flush())?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::{Global, LogFormat};
    use super::*;

    /// Takes text only, as a console of Windows does.
    struct Console(String);

    impl Write for Console {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = std::str::from_utf8(bytes);
            self.0
                .push_str(text.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn output_that_is_no_text_still_reaches_a_console() {
        let mut console = Console(String::new());
        copy(&mut b"K\xf6ln\n".as_slice(), &mut console).unwrap();
        assert_eq!(console.0, "K\u{fffd}ln\n");
    }

    #[test]
    fn a_program_with_a_terminal_gets_no_stream_for_its_errors_and_any_other_gets_one() {
        for has_terminal in [true, false] {
            // Each has a root of its own, and with it addresses of its own.
            let root = tempfile::tempdir().unwrap();
            let global = Global {
                root: Some(root.path().join("root")),
                log: None,
                log_format: LogFormat::Text,
                output: None,
            };
            let context = Context::open(global).unwrap();
            let streams = Streams {
                stdin: Some(root.path().join("input")),
                stdout: None,
                stderr: None,
                pid_file: None,
            };
            let (stdio, relays) = attached(&context, &streams, has_terminal).unwrap();
            assert!(matches!(stdio.stdout, Sink::Pipe(_)), "{stdio:?}");
            assert_eq!(stdio.stderr == Sink::Null, has_terminal, "{stdio:?}");
            drop(relays);
        }
    }
}
