//! Where output goes: to a reader that may be slow, may go away, and may come back.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cut::Cut;
use crate::sys::{Connection, Host};

/// How long one attempt to write or to connect takes before a cut is looked for.
const SLICE: Duration = Duration::from_millis(100);

/// The first and the longest pause between two attempts to connect again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a reader that went away holds the process up; from then on output is lost until it is back.
const RETURN: Duration = Duration::from_secs(10);

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
    pub(super) fn send(&mut self, mut bytes: &[u8], cut: &Cut) -> usize {
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

pub(super) fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}
