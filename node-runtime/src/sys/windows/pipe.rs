//! Pipes to a program: our end can be cut off from another thread, the program's end is as any.
//!
//! Anonymous pipes of Windows cannot do that, so each is a named one with a name that nobody can guess, one server and one
//! client, both of them ours until the program inherits its end.
#![expect(
    unsafe_code,
    reason = "the name comes from the system's random numbers"
)]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use windows_sys::Win32::Security::Authentication::Identity::RtlGenRandom;

use super::deadline::Deadline;
use super::named_pipe::{Direction, Instance, open, serve};
use super::overlapped::{Channel, Event};
use super::security::{Descriptor, OWNER};

/// A pipe whose end we read. The file is the program's; it is not inherited until it is passed on.
pub fn output() -> io::Result<(Reader, File)> {
    let (ours, theirs) = pair(Direction::Reads)?;
    Ok((Reader(ours), theirs))
}

/// A pipe whose end we write. The file is the program's; it is not inherited until it is passed on.
pub fn input() -> io::Result<(File, Writer)> {
    let (ours, theirs) = pair(Direction::Writes)?;
    Ok((theirs, Writer(ours)))
}

/// A pipe and the program's end of it, for who waits no longer than a deadline.
pub(super) fn pair(direction: Direction) -> io::Result<(Channel, File)> {
    let name = format!(r"\\.\pipe\hosttask-{}-{}", process::id(), random_text(16)?);
    let ours = serve(&name, direction, Instance::Only, &Descriptor::parse(OWNER)?)?;
    let theirs = open(&name, direction, false)?;
    Ok((Channel::new(ours)?, theirs.into_file()))
}

/// So many random bytes in hexadecimal.
pub(super) fn random_text(bytes: usize) -> io::Result<String> {
    let mut random = vec![0_u8; bytes];
    let length = u32::try_from(bytes).map_err(io::Error::other)?;
    // SAFETY: the vector has as many bytes as are named.
    if !unsafe { RtlGenRandom(random.as_mut_ptr().cast(), length) } {
        return Err(io::Error::other("the system has no random numbers"));
    }
    let mut text = String::with_capacity(2 * bytes);
    for byte in random {
        write!(text, "{byte:02x}").map_err(io::Error::other)?;
    }
    Ok(text)
}

/// A read or write that waits as long as it takes, unless it is cancelled.
fn forever() -> Deadline {
    Deadline::after(Duration::MAX)
}

/// Reads what a program prints. Fails with `ConnectionAborted` once it was cancelled.
#[derive(Debug)]
pub struct Reader(Channel);

impl Reader {
    /// Cuts this end off from another thread.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.0.cancelled())
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer, forever())
    }
}

/// Writes what a program reads. Fails with `ConnectionAborted` once it was cancelled.
#[derive(Debug)]
pub struct Writer(Channel);

impl Writer {
    /// Cuts this end off from another thread.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.0.cancelled())
    }
}

impl Write for Writer {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer, forever())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ends what a [`Reader`] or a [`Writer`] waits for, and everything it is asked later.
#[derive(Debug, Clone)]
pub struct Canceller(Arc<Event>);

impl Canceller {
    /// Cuts it off. A second time changes nothing.
    pub fn cancel(&self) {
        self.0.set();
    }
}
