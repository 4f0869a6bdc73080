//! Where output goes: to a reader that may be slow, may go away, and may come back.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::cut::Cut;
use super::driver;
use crate::sys::{Connection, Host};

/// How long one attempt to connect takes, and one to write to a reader that was given up.
const SLICE: Duration = Duration::from_millis(100);

/// The first and the longest pause between two attempts to connect again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a reader that went away holds the process up; from then on output is lost until it is back.
const RETURN: Duration = Duration::from_secs(10);

/// How long a reader is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// One that is there and takes nothing; none: as long as it takes.
    pub(super) slow: Option<Duration>,
    /// One that went away; none: as long as it takes.
    pub(super) away: Option<Duration>,
    /// Whether what is left after the end of the process is kept for a reader that is away.
    pub(super) keeps: bool,
}

impl Patience {
    /// With a reader that holds the process up while it is there.
    pub(super) fn of_pipe() -> Self {
        Self {
            slow: None,
            away: Some(RETURN),
            keeps: false,
        }
    }

    /// With a reader that holds nothing up for longer than this.
    pub(super) fn at_most(slow: Duration) -> Self {
        Self {
            slow: Some(slow),
            away: Some(slow),
            keeps: false,
        }
    }

    /// With a reader that comes back.
    pub(super) fn of_stream(away: Option<Duration>) -> Self {
        Self {
            slow: None,
            away,
            keeps: true,
        }
    }
}

/// Where output goes.
#[derive(Debug)]
pub(super) struct Output {
    host: Arc<dyn Host>,
    /// Where the reader comes back to; none: it does not.
    address: Option<String>,
    patience: Patience,
    /// Where the reader was before anything was printed.
    first: Option<Box<dyn Connection>>,
    connection: Option<Box<dyn Connection>>,
    away: Away,
    /// Whether the reader took nothing for longer than it is waited for.
    has_stalled: bool,
    /// Whether something is kept for a reader that is away.
    keeps: Arc<AtomicBool>,
    /// The log driver that reads it.
    driver: Option<Arc<driver::Running>>,
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
        address: Option<String>,
        patience: Patience,
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
            keeps: Arc::default(),
            driver: None,
        }
    }

    /// Holds the log driver that reads it, which has to end once all of its streams have.
    pub(super) fn hold_driver(&mut self, driver: Option<Arc<driver::Running>>) {
        self.driver = driver;
    }

    /// Whether something is kept for a reader that is away, from now on.
    pub(super) fn keeps(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.keeps)
    }

    /// Waits until the reader took what the system still has for it, where that would be gone with our end.
    pub(super) fn finish(&mut self, cut: &Cut) {
        let Some(connection) = self.connection.as_mut().or(self.first.as_mut()) else {
            return;
        };
        while self.patience.keeps && !cut.is_set() && connection.holds_unread() {
            self.keeps.store(true, Ordering::Release);
            if cut.wait(FIRST_PAUSE) {
                return;
            }
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
        let slow = self.patience.slow;
        let Some(patience) = slow.filter(|_| self.has_stalled != has_stalled) else {
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
        let Some(address) = &self.address else {
            return false;
        };
        let now = Instant::now();
        let since = *self.away.since.get_or_insert(now);
        let is_over = |most| now.duration_since(since) >= most;
        let has_given_up = self.patience.away.is_some_and(is_over);
        let keeps = self.patience.keeps && !has_given_up;
        self.keeps.store(keeps, Ordering::Release);
        let left = self.away.next.saturating_duration_since(now);
        if has_given_up && !left.is_zero() {
            return false;
        }
        if cut.wait(left) {
            return false;
        }
        if let Ok(connection) = self.host.connect(address, SLICE) {
            self.hold(connection, cut);
        }
        if self.connection.is_some() {
            self.away = Away::none();
            self.keeps.store(false, Ordering::Release);
            return true;
        }
        self.away.next = Instant::now() + self.away.pause;
        self.away.pause = (self.away.pause * 2).min(LONGEST_PAUSE);
        !has_given_up
    }

    /// Uses a connection, unless it is broken. Only the cut ends a write to a reader that may hold the process up.
    fn hold(&mut self, mut connection: Box<dyn Connection>, cut: &Cut) {
        self.has_stalled = false;
        if connection.set_timeout(self.patience.slow).is_ok() {
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
