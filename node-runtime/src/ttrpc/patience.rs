//! Reads and writes of whole frames that must be over by some time, however small the pieces are.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use crate::sys::{Incoming, Outgoing};

/// Reads a frame: waits for its first byte as long as it takes, and for the rest no longer than `patience` in all.
#[derive(Debug)]
pub(super) struct Patient<'a> {
    incoming: &'a mut dyn Incoming,
    patience: Duration,
    until: Option<Instant>,
}

impl<'a> Patient<'a> {
    pub(super) fn new(incoming: &'a mut dyn Incoming, patience: Duration) -> Self {
        Self {
            incoming,
            patience,
            until: None,
        }
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.incoming
            .set_timeout(self.until.map(left).transpose()?)?;
        let count = self.incoming.read(buffer)?;
        self.until
            .get_or_insert_with(|| Instant::now() + self.patience);
        Ok(count)
    }
}

/// Writes until a time.
#[derive(Debug)]
pub(super) struct Hurried<'a> {
    outgoing: &'a mut dyn Outgoing,
    until: Option<Instant>,
}

impl<'a> Hurried<'a> {
    /// Without an end where there is no such time.
    pub(super) fn new(outgoing: &'a mut dyn Outgoing, until: Option<Instant>) -> Self {
        Self { outgoing, until }
    }
}

impl Write for Hurried<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing
            .set_timeout(self.until.map(left).transpose()?)?;
        self.outgoing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.outgoing.flush()
    }
}

/// What is left until a time; `TimedOut` where that is nothing.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}
