//! Pipes whose operations can be cancelled from another thread.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// Our end of a stream that a program prints to.
#[derive(Debug)]
pub struct Reader(End);

/// Our end of a stream that a program reads.
#[derive(Debug)]
pub struct Writer(End);

/// Cancels the operations of an end, those under way and those to come.
#[derive(Debug, Clone)]
pub struct Canceller(Arc<OwnedFd>);

/// An end that does not block, and the event that cancels.
#[derive(Debug)]
pub(super) struct End {
    file: File,
    cancelled: Arc<OwnedFd>,
}

/// A pipe that we read. The file is the end of the child.
pub fn output() -> io::Result<(Reader, File)> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((Reader(End::new(ours)?), theirs.into()))
}

/// A pipe that we write. The file is the end of the child.
pub fn input() -> io::Result<(File, Writer)> {
    let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((theirs.into(), Writer(End::new(ours)?)))
}

impl Reader {
    /// What cancels it.
    pub fn canceller(&self) -> Canceller {
        self.0.canceller()
    }
}

impl Writer {
    /// What cancels it.
    pub fn canceller(&self) -> Canceller {
        self.0.canceller()
    }
}

impl Canceller {
    /// Makes every operation fail with `ConnectionAborted`.
    pub fn cancel(&self) {
        // It fails only when the counter is full, and then it is cancelled already.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

impl End {
    pub(super) fn new(end: OwnedFd) -> io::Result<Self> {
        fcntl_setfl(&end, fcntl_getfl(&end)? | OFlags::NONBLOCK)?;
        let cancelled = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let file = end.into();
        Ok(Self { file, cancelled })
    }

    /// What cancels it.
    pub(super) fn canceller(&self) -> Canceller {
        Canceller(Arc::clone(&self.cancelled))
    }

    /// The end itself.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Waits until the operation is possible, and does it; `TimedOut` where it is not for so long.
    pub(super) fn perform(
        &self,
        when: PollFlags,
        timeout: Option<Duration>,
        mut operation: impl FnMut(&File) -> io::Result<usize>,
    ) -> io::Result<usize> {
        // What is too long to be counted is for ever.
        let timeout = timeout.and_then(|it| Timespec::try_from(it).ok());
        loop {
            let mut ends = [
                PollFd::from_borrowed_fd(self.cancelled.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.file.as_fd(), when),
            ];
            match poll(&mut ends, timeout.as_ref()) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            if !ends[0].revents().is_empty() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            match operation(&self.file) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0
            .perform(PollFlags::IN, None, |mut file| file.read(buffer))
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .perform(PollFlags::OUT, None, |mut file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
