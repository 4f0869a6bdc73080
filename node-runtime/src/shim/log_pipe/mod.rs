//! The log of a shim, where containerd reads it: a pipe that the shim serves on Windows, a file of the bundle on Linux.
//!
//! Whoever says something never waits. One thread hands the lines over; while nobody reads they wait, at most [`MOST_LINES`]
//! of them. Then the oldest are dropped, and the next reader is told how many. Another thread takes readers as they come, also
//! while there is nothing to read: one that left would keep the next one out.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::log::{self, Format, Level};
use crate::sys::{Cancel, Connection, Host, Listener};

/// The most lines that wait for a reader.
pub const MOST_LINES: usize = 1024;

/// The most bytes of a message; what is longer is cut.
const LONGEST: usize = 16 * 1024;

/// The most readers that are kept: the one that came last takes the lines, those before it are there for when it leaves.
const MOST_READERS: usize = 8;

/// How long a reader may take for one line before it is given up for another one.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a wait for a reader takes.
const LONG: Duration = Duration::from_mins(10);

/// How long it rests where nobody took a line, or a reader could not be taken.
const REST: Duration = Duration::from_millis(200);

/// Where lines go.
#[derive(Debug)]
pub enum Target {
    /// To whoever connects to a pipe.
    Pipe(Box<dyn Listener>),
    /// Into a pipe in the file system that the reader made.
    File(PathBuf),
}

/// The log.
#[derive(Clone)]
pub struct Lines {
    shared: Arc<Shared>,
    host: Arc<dyn Host>,
    name: Arc<str>,
    /// Ends the taking of readers.
    stop: Option<Arc<Cancel>>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<String>,
    /// The readers that came since the last line.
    readers: Readers,
    /// How many were dropped since the last reader was told.
    dropped: usize,
    /// Whether one is on its way.
    is_busy: bool,
    is_over: bool,
}

impl Waiting {
    fn put(&mut self, line: String) {
        if self.lines.len() >= MOST_LINES {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line);
    }

    /// Puts back what nobody took, unless there is no room any more.
    fn put_back(&mut self, line: String, dropped: usize) {
        self.dropped += dropped;
        if self.lines.len() >= MOST_LINES {
            self.dropped += 1;
        } else {
            self.lines.push_front(line);
        }
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty() && !self.is_busy
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// A log whose lines go there. Each begins with a name: containerd mixes those of all shims.
    ///
    /// # Errors
    /// Where there is no thread for it.
    pub fn start(host: Arc<dyn Host>, name: &str, target: Target) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (mut sink, stop) = match target {
            Target::Pipe(listener) => {
                let stop = Arc::new(listener.canceller());
                let taking = Arc::clone(&shared);
                thread::Builder::new()
                    .name("log readers".to_owned())
                    .spawn(move || take_readers(&taking, listener))?;
                (Sink::Pipe(Readers::default()), Some(stop))
            }
            Target::File(path) => (Sink::File(path, None), None),
        };
        let lines = Self {
            shared: Arc::clone(&shared),
            host: Arc::clone(&host),
            name: Arc::from(name),
            stop,
        };
        let told = Arc::clone(&lines.name);
        let thread = thread::Builder::new().name("log".to_owned());
        thread.spawn(move || hand_over(&shared, host.as_ref(), &told, &mut sink))?;
        Ok(lines)
    }

    /// Says something. It returns at once.
    pub fn say(&self, level: Level, message: &str) {
        let end = message.floor_char_boundary(LONGEST);
        let message = message.get(..end).unwrap_or_default();
        let line = line(self.host.as_ref(), level, &self.name, message);
        self.shared.lock().put(line);
        self.shared.changed.notify_all();
    }

    /// Waits until everything was read, at most this long, and ends.
    pub fn finish(&self, patience: Duration) {
        let waiting = self.shared.lock();
        let empty = self
            .shared
            .changed
            .wait_timeout_while(waiting, patience, |it| !it.is_empty());
        let (mut waiting, _) = empty.unwrap_or_else(PoisonError::into_inner);
        waiting.is_over = true;
        drop(waiting);
        self.shared.changed.notify_all();
        if let Some(stop) = &self.stop {
            stop();
        }
    }
}

/// The thread that takes readers.
fn take_readers(shared: &Shared, mut listener: Box<dyn Listener>) {
    while !shared.lock().is_over {
        match listener.accept(LONG) {
            Ok(Some(mut reader)) => {
                if reader.set_timeout(Some(PATIENCE)).is_ok() {
                    // Not under the lock: to see who left takes a moment, and whoever says something must not wait.
                    let mut readers = std::mem::take(&mut shared.lock().readers);
                    readers.add(reader);
                    shared.lock().readers = readers;
                    shared.changed.notify_all();
                }
            }
            Ok(None) => {}
            Err(_) => rest(shared),
        }
    }
}

/// Waits a little, or until it is over.
fn rest(shared: &Shared) {
    let over = shared
        .changed
        .wait_timeout_while(shared.lock(), REST, |it| !it.is_over);
    drop(over.unwrap_or_else(PoisonError::into_inner));
}

fn line(host: &dyn Host, level: Level, name: &str, message: &str) -> String {
    let message = format!("{name}: {message}");
    let mut line = log::line(Format::Json, level, &message, Some(host.now()));
    line.push('\n');
    line
}

/// The thread that hands lines over.
fn hand_over(shared: &Shared, host: &dyn Host, name: &str, sink: &mut Sink) {
    loop {
        let waiting = shared.lock();
        let some = shared
            .changed
            .wait_while(waiting, |it| it.lines.is_empty() && !it.is_over);
        let mut waiting = some.unwrap_or_else(PoisonError::into_inner);
        if waiting.is_over {
            return;
        }
        let Some(first) = waiting.lines.pop_front() else {
            continue;
        };
        let dropped = std::mem::take(&mut waiting.dropped);
        waiting.is_busy = true;
        let new = std::mem::take(&mut waiting.readers);
        drop(waiting);
        let told = if dropped > 0 {
            let message = format!("{dropped} lines were dropped: nobody read them");
            line(host, Level::Error, name, &message)
        } else {
            String::new()
        };
        let is_taken = sink.take(new, (told + &first).as_bytes());
        let mut waiting = shared.lock();
        waiting.is_busy = false;
        if !is_taken {
            waiting.put_back(first, dropped);
            let rest = shared
                .changed
                .wait_timeout_while(waiting, REST, |it| !it.is_over && it.readers.is_empty());
            drop(rest.unwrap_or_else(PoisonError::into_inner));
        }
        shared.changed.notify_all();
    }
}

/// Where lines go, and who takes them at present.
enum Sink {
    Pipe(Readers),
    File(PathBuf, Option<File>),
}

impl Sink {
    /// Hands bytes over, to a new reader where one came; false where nobody took them all.
    fn take(&mut self, new: Readers, bytes: &[u8]) -> bool {
        match self {
            Self::Pipe(readers) => {
                new.0.into_iter().for_each(|reader| readers.add(reader));
                readers.write(bytes)
            }
            Self::File(path, file) => {
                if file.is_none() {
                    *file = open(path).ok();
                }
                let taken = file.as_mut().is_some_and(|it| it.write_all(bytes).is_ok());
                if !taken {
                    *file = None;
                }
                taken
            }
        }
    }
}

/// Those who read a pipe, in the order they came.
///
/// Whoever came last takes the lines: those before it were left by a containerd that ended. It may as well be somebody who looks
/// in for a moment, so the others are kept until they turn out to have left too.
#[derive(Default)]
struct Readers(Vec<Box<dyn Connection>>);

impl Readers {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one. Where there are too many, those go that left, else the oldest.
    fn add(&mut self, reader: Box<dyn Connection>) {
        if self.0.len() >= MOST_READERS {
            self.0.retain_mut(|reader| is_there(reader.as_mut()));
        }
        if self.0.len() >= MOST_READERS {
            self.0.remove(0);
        }
        self.0.push(reader);
    }

    /// Hands bytes to the one that came last of those that take them; false where nobody took them all.
    fn write(&mut self, bytes: &[u8]) -> bool {
        while let Some(reader) = self.0.last_mut() {
            if reader.write_all(bytes).is_ok() {
                return true;
            }
            self.0.pop();
        }
        false
    }
}

/// Whether somebody still reads. A reader says nothing, so there is nothing to lose by listening.
fn is_there(reader: &mut dyn Connection) -> bool {
    let Ok(()) = reader.set_timeout(Some(Duration::from_millis(1))) else {
        return false;
    };
    let is_there = match reader.read(&mut [0]) {
        Ok(bytes) => bytes > 0,
        Err(error) => matches!(
            error.kind(),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
        ),
    };
    is_there && reader.set_timeout(Some(PATIENCE)).is_ok()
}

/// Opens the pipe for both ways, so that it neither waits for a reader nor breaks without one: what is written waits for the
/// next containerd. A file that is no pipe would grow for ever.
fn open(path: &PathBuf) -> io::Result<File> {
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_file() || kind.is_dir() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    OpenOptions::new().read(true).write(true).open(path)
}

#[cfg(test)]
mod tests;
