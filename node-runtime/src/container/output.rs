//! Where output goes: to a reader that may be slow, may go away, and may come back.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cut::Cut;
use crate::sys::{Connection, Host};

/// How long one attempt to connect takes, and one to write to a reader that was given up.
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
    /// Where the reader was before anything was printed.
    first: Option<Box<dyn Connection>>,
    connection: Option<Box<dyn Connection>>,
    away: Away,
    /// Whether the reader took nothing for longer than it is waited for.
    has_stalled: bool,
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
        first: Option<Box<dyn Connection>>,
    ) -> Self {
        Self {
            host,
            address,
            patience,
            first,
            connection: None,
            away: Away::none(),
            has_stalled: false,
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
            // What is left of a write that was cut short is never sent again: nobody knows how much of it arrived.
            match connection.write(bytes) {
                Ok(count) if count > 0 => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    self.set_stalled(false);
                }
                Err(error) if is_pause(&error) => {
                    self.set_stalled(true);
                    return bytes.len();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => self.connection = None,
            }
        }
        0
    }

    /// A reader that stalled is not waited for again for its whole time, until it goes on.
    fn set_stalled(&mut self, has_stalled: bool) {
        let Some(patience) = self.patience.filter(|_| self.has_stalled != has_stalled) else {
            return;
        };
        self.has_stalled = has_stalled;
        let timeout = if has_stalled {
            patience.min(SLICE)
        } else {
            patience
        };
        let set = self
            .connection
            .as_mut()
            .map(|it| it.set_timeout(Some(timeout)));
        if !matches!(set, Some(Ok(()))) {
            self.connection = None;
        }
    }

    /// Looks for the reader again; false where what is to be sent has to be given up.
    fn connect(&mut self, cut: &Cut) -> bool {
        if let Some(first) = self.first.take() {
            self.hold(first, cut);
            return true;
        }
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
        if let Ok(connection) = self.host.connect(&self.address, SLICE) {
            self.hold(connection, cut);
        }
        if self.connection.is_some() {
            self.away = Away::none();
            return true;
        }
        self.away.next = Instant::now() + self.away.pause;
        self.away.pause = (self.away.pause * 2).min(LONGEST_PAUSE);
        !has_given_up
    }

    /// Uses a connection, unless it is broken. Only the cut ends a write to a reader that may hold the process up.
    fn hold(&mut self, mut connection: Box<dyn Connection>, cut: &Cut) {
        self.has_stalled = false;
        if connection.set_timeout(self.patience).is_ok() {
            cut.then(connection.canceller());
            self.connection = Some(connection);
        }
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

pub(super) fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}
