//! Passes the streams of a process on: one thread per stream, each with a fixed buffer, each ended by a cut.
//!
//! ```text
//!   process ──pipe──▶ thread ──connection──▶ reader       what is printed
//!                       │ the reader is slow: the pipe fills, the process waits
//!                       │ the reader is gone: tried again with a back-off, for a while; then it is lost, and counted
//!                       └ the process ended: one second to pass on the rest, then cut; what is for a reader that is away and
//!                         will be back is kept until the process is deleted
//! ```

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Error;
use super::cut::{Count, Cut, Running};
use super::output::{Output, is_pause};
use crate::sys::{Connection, pipe};

/// How long one attempt to read what a client sends takes before a cut is looked for.
const INPUT_SLICE: Duration = Duration::from_millis(100);

/// How much is passed on at once.
const BUFFER: usize = 32 * 1024;

/// How long threads that were cut have to end. They need a moment; no more is waited for.
const CUT: Duration = Duration::from_secs(2);

/// The threads of one process.
#[derive(Debug)]
pub(super) struct Relays {
    ends: Mutex<Vec<End>>,
    outputs: Arc<Count>,
    input: Option<InputEnd>,
    has_console: bool,
    story: Arc<Story>,
}

/// What became of the output of a process, and what of it is kept after its end. Whoever forgets it gives that up.
#[derive(Debug, Default)]
pub(super) struct Story {
    facts: Arc<Facts>,
    kept: Mutex<Vec<End>>,
}

#[derive(Debug, Default)]
struct Facts {
    lost: AtomicU64,
    was_cut: AtomicBool,
}

/// Ends one stream.
#[derive(Debug)]
struct End {
    cut: Arc<Cut>,
    canceller: pipe::Canceller,
    /// Whether its thread keeps output for a reader that is away.
    keeps: Arc<AtomicBool>,
}

/// Ends the input.
#[derive(Debug)]
struct InputEnd {
    cut: Arc<Cut>,
    canceller: pipe::Canceller,
    /// Whether nothing is waited for any more: what is there is passed on, and then it ends.
    is_last: Arc<AtomicBool>,
}

impl End {
    fn cut(&self) {
        self.cut.set();
        self.canceller.cancel();
    }

    fn keeps(&self) -> bool {
        self.keeps.load(Ordering::Acquire)
    }
}

impl Relays {
    pub(super) fn new(has_console: bool) -> Self {
        Self {
            ends: Mutex::default(),
            outputs: Arc::default(),
            input: None,
            has_console,
            story: Arc::default(),
        }
    }

    pub(super) fn story(&self) -> Arc<Story> {
        Arc::clone(&self.story)
    }

    pub(super) fn output(
        &mut self,
        stream: &'static str,
        reader: pipe::Reader,
        mut output: Output,
    ) -> Result<(), Error> {
        let end = End {
            cut: Arc::default(),
            canceller: reader.canceller(),
            keeps: output.keeps(),
        };
        let (cut, facts) = (Arc::clone(&end.cut), Arc::clone(&self.story.facts));
        self.lock().push(end);
        let running = Running::new(&self.outputs);
        spawn(stream, move || {
            pass_on(reader, &mut output, &cut, &facts);
            output.finish(&cut);
            drop(output);
            drop(running);
        })
    }

    pub(super) fn input(&mut self, writer: pipe::Writer, input: Input) -> Result<(), Error> {
        let end = InputEnd {
            cut: Arc::default(),
            canceller: writer.canceller(),
            is_last: Arc::default(),
        };
        let (cut, is_last) = (Arc::clone(&end.cut), Arc::clone(&end.is_last));
        self.input = Some(end);
        let has_console = self.has_console;
        spawn("stdin", move || {
            let writer = input.pass_on(writer, &cut, &is_last);
            if has_console {
                // The end of its input would end the terminal and everything in it.
                cut.wait(Duration::MAX);
            }
            drop(writer);
        })
    }

    /// Ends what the process reads, as somebody asked for, after what was sent before.
    pub(super) fn end_input(&self) -> Result<(), Error> {
        if self.has_console {
            return Err(Error::EndOfTerminal);
        }
        if let Some(input) = &self.input {
            input.is_last.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn close_input(&self) {
        if let Some(input) = &self.input {
            input.cut.set();
            input.canceller.cancel();
        }
    }

    /// Passes on what is left until the deadline, then cuts, but for what is kept for a reader that is away. No other thread of
    /// the outputs is left afterwards.
    pub(super) fn finish(&self, deadline: Instant) {
        self.close_input();
        if self.outputs.wait_at_most(0, deadline) {
            return;
        }
        let (kept, cut): (Vec<_>, Vec<_>) = self.lock().drain(..).partition(End::keeps);
        let is_cut = !self.outputs.wait_at_most(kept.len(), Instant::now());
        self.story.facts.was_cut.store(is_cut, Ordering::Release);
        cut.iter().for_each(End::cut);
        self.outputs.wait_at_most(kept.len(), Instant::now() + CUT);
        self.story.lock().extend(kept);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<End>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever forgets it leaves no thread behind but those that keep something.
impl Drop for Relays {
    fn drop(&mut self) {
        self.close_input();
        self.lock().iter().for_each(End::cut);
    }
}

impl Story {
    /// Bytes that were printed and not passed on.
    pub(super) fn lost(&self) -> u64 {
        self.facts.lost.load(Ordering::Acquire)
    }

    /// Whether the rest was cut off after the process had ended.
    pub(super) fn was_cut(&self) -> bool {
        self.facts.was_cut.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<End>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        self.lock().iter().for_each(End::cut);
    }
}

impl Facts {
    fn lose(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.lost.fetch_add(bytes, Ordering::AcqRel);
    }
}

fn spawn(stream: &'static str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = thread::Builder::new().name(stream.to_owned());
    let spawned = thread.spawn(work);
    spawned.map(drop).map_err(|source| Error::Thread {
        what: stream,
        source,
    })
}

fn pass_on(mut reader: pipe::Reader, output: &mut Output, cut: &Cut, facts: &Facts) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        facts.lose(output.send(bytes, cut));
    }
}

/// Where input comes from.
#[derive(Debug)]
pub(super) enum Input {
    /// From nobody.
    Nothing,
    /// From a file.
    File(File),
    /// From a client.
    Connection(Box<dyn Connection>),
}

impl Input {
    /// Passes on what is sent until the sender closes, the process reads no more, it is cut, or nothing was there and nothing is
    /// waited for. The process reads its end when the writer, which is given back, is dropped.
    fn pass_on(self, mut writer: pipe::Writer, cut: &Cut, is_last: &AtomicBool) -> pipe::Writer {
        let mut source: Box<dyn Read> = match self {
            Self::Nothing => return writer,
            Self::File(file) => Box::new(file),
            Self::Connection(mut connection) => {
                if connection.set_timeout(Some(INPUT_SLICE)).is_err() {
                    return writer;
                }
                Box::new(connection)
            }
        };
        let mut buffer = vec![0; BUFFER];
        while !cut.is_set() {
            let ends = is_last.load(Ordering::Acquire);
            match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    if writer.write_all(bytes).is_err() {
                        break;
                    }
                }
                Err(error) if is_pause(&error) && ends => break,
                Err(error) if is_pause(&error) || error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        writer
    }
}
