//! Passes the streams of a process on: one thread per stream, each with a fixed buffer, each ended by a cut.
//!
//! ```text
//!   process ──pipe──▶ thread ──connection──▶ reader       what is printed
//!                       │ the reader is slow: the pipe fills, the process waits
//!                       │ the reader is gone: tried again with a back-off, for a while; then it is lost, and counted
//!                       └ the process ended: one second to pass on the rest, then cut
//! ```

use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Error;
use crate::sys::{Connection, Host, pipe};

/// How long one attempt to write or to connect takes before a cut is looked for.
const SLICE: Duration = Duration::from_millis(100);

/// How long one attempt to read what a client sends takes before a cut is looked for.
const INPUT_SLICE: Duration = Duration::from_millis(500);

/// The first and the longest pause between two attempts to connect again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a reader that went away holds the process up; from then on output is lost until it is back.
const RETURN: Duration = Duration::from_secs(10);

/// How much is passed on at once.
const BUFFER: usize = 32 * 1024;

/// How long threads that were cut have to end. They need a slice; no more is waited for.
const CUT: Duration = Duration::from_secs(2);

/// The threads of one process.
#[derive(Debug)]
pub(super) struct Relays {
    cut: Arc<Cut>,
    cancellers: Vec<pipe::Canceller>,
    outputs: Arc<Count>,
    input: Option<InputEnd>,
    facts: Arc<Facts>,
}

/// What became of the output of a process.
#[derive(Debug, Default)]
pub(super) struct Facts {
    lost: AtomicU64,
    was_cut: AtomicBool,
}

/// Ends the input.
#[derive(Debug, Clone)]
struct InputEnd {
    cut: Arc<Cut>,
    canceller: pipe::Canceller,
}

impl Relays {
    pub(super) fn new() -> Self {
        Self {
            cut: Arc::default(),
            cancellers: Vec::new(),
            outputs: Arc::default(),
            input: None,
            facts: Arc::default(),
        }
    }

    pub(super) fn facts(&self) -> Arc<Facts> {
        Arc::clone(&self.facts)
    }

    pub(super) fn output(
        &mut self,
        stream: &'static str,
        reader: pipe::Reader,
        mut output: Output,
    ) -> Result<(), Error> {
        self.cancellers.push(reader.canceller());
        let (cut, facts) = (Arc::clone(&self.cut), Arc::clone(&self.facts));
        let running = Running::new(&self.outputs);
        spawn(stream, move || {
            pass_on(reader, &mut output, &cut, &facts);
            drop(output);
            drop(running);
        })
    }

    pub(super) fn input(&mut self, writer: pipe::Writer, input: Input) -> Result<(), Error> {
        let end = InputEnd {
            cut: Arc::default(),
            canceller: writer.canceller(),
        };
        let cut = Arc::clone(&end.cut);
        self.input = Some(end);
        spawn("stdin", move || input.pass_on(writer, &cut))
    }

    /// Ends what the process reads.
    pub(super) fn close_input(&self) {
        if let Some(input) = &self.input {
            input.cut.set();
            input.canceller.cancel();
        }
    }

    /// Passes on what is left until the deadline, then cuts. No thread of the outputs is left afterwards.
    pub(super) fn finish(&self, deadline: Instant) {
        self.close_input();
        if self.outputs.wait_none(deadline) {
            return;
        }
        self.facts.was_cut.store(true, Ordering::Release);
        self.cut();
        self.outputs.wait_none(Instant::now() + CUT);
    }

    fn cut(&self) {
        self.cut.set();
        for canceller in &self.cancellers {
            canceller.cancel();
        }
    }
}

/// Whoever forgets it leaves no thread behind.
impl Drop for Relays {
    fn drop(&mut self) {
        self.close_input();
        self.cut();
    }
}

impl Facts {
    /// Bytes that were printed and not passed on.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Acquire)
    }

    /// Whether the rest was cut off after the process had ended.
    pub(super) fn was_cut(&self) -> bool {
        self.was_cut.load(Ordering::Acquire)
    }

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

/// Where output goes.
#[derive(Debug)]
pub(super) struct Output {
    host: Arc<dyn Host>,
    address: String,
    patience: Option<Duration>,
    connection: Option<Box<dyn Connection>>,
    away: Away,
    /// Since when it takes nothing.
    stalled: Option<Instant>,
}

/// A reader that is not there.
#[derive(Debug, Clone, Copy)]
struct Away {
    since: Option<Instant>,
    next: Instant,
    pause: Duration,
}

impl Output {
    pub(super) fn new(
        host: Arc<dyn Host>,
        address: String,
        patience: Option<Duration>,
        connection: Option<Box<dyn Connection>>,
    ) -> Self {
        let connection = connection.and_then(in_slices);
        Self {
            host,
            address,
            patience,
            connection,
            away: Away::none(),
            stalled: None,
        }
    }

    /// Sends it, waits for a reader that is slow or away as long as is right, and returns how many bytes were lost.
    fn send(&mut self, mut bytes: &[u8], cut: &Cut) -> usize {
        while !bytes.is_empty() {
            if cut.is_set() {
                return bytes.len();
            }
            let Some(connection) = &mut self.connection else {
                if !self.connect(cut) {
                    return bytes.len();
                }
                continue;
            };
            match connection.write(bytes) {
                Ok(count) if count > 0 => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    self.stalled = None;
                }
                Err(error) if is_pause(&error) => {
                    let since = *self.stalled.get_or_insert_with(Instant::now);
                    if self.patience.is_some_and(|it| since.elapsed() >= it) {
                        return bytes.len();
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => self.connection = None,
            }
        }
        0
    }

    /// Looks for the reader again; false where what is to be sent has to be given up.
    fn connect(&mut self, cut: &Cut) -> bool {
        let now = Instant::now();
        let since = *self.away.since.get_or_insert(now);
        let has_given_up = now.duration_since(since) >= self.patience.unwrap_or(RETURN);
        let left = self.away.next.saturating_duration_since(now);
        if has_given_up && !left.is_zero() {
            return false;
        }
        if cut.wait(left) {
            return false;
        }
        let connection = self.host.connect(&self.address, SLICE);
        self.connection = connection.ok().and_then(in_slices);
        if self.connection.is_some() {
            self.away = Away::none();
            return true;
        }
        self.away.next = Instant::now() + self.away.pause;
        self.away.pause = (self.away.pause * 2).min(LONGEST_PAUSE);
        !has_given_up
    }
}

impl Away {
    fn none() -> Self {
        Self {
            since: None,
            next: Instant::now(),
            pause: FIRST_PAUSE,
        }
    }
}

/// Lets each operation take one slice; none where the connection is broken.
fn in_slices(mut connection: Box<dyn Connection>) -> Option<Box<dyn Connection>> {
    let set = connection.set_timeout(Some(SLICE));
    set.is_ok().then_some(connection)
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// Where input comes from.
#[derive(Debug)]
pub(super) struct Input {
    connection: Box<dyn Connection>,
}

impl Input {
    pub(super) fn new(connection: Box<dyn Connection>) -> Self {
        Self { connection }
    }

    /// Passes on what is sent until the sender closes, the process reads no more, or it is cut. Then the process reads its end.
    fn pass_on(mut self, mut writer: pipe::Writer, cut: &Cut) {
        let mut buffer = vec![0; BUFFER];
        if self.connection.set_timeout(Some(INPUT_SLICE)).is_err() {
            return;
        }
        while !cut.is_set() {
            match self.connection.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    if writer.write_all(bytes).is_err() {
                        return;
                    }
                }
                Err(error) if is_pause(&error) || error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

/// Something that happens once, and can be waited for.
#[derive(Debug, Default)]
struct Cut {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Cut {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    fn is_set(&self) -> bool {
        *self.lock()
    }

    /// Waits for it; whether it happened.
    fn wait(&self, timeout: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |is_set| !*is_set);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// How many threads run.
#[derive(Debug, Default)]
struct Count {
    running: Mutex<usize>,
    changed: Condvar,
}

impl Count {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until none runs; whether that is so.
    fn wait_none(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), left, |running| *running > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
    }
}

/// One of them.
struct Running(Arc<Count>);

impl Running {
    fn new(count: &Arc<Count>) -> Self {
        *count.lock() += 1;
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.changed.notify_all();
    }
}
