//! FIFOs, as containerd makes them for the streams of a task, and single ends of pipes, as connections.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::OFlags;
use rustix::io::ioctl_fionread;

use super::pipe::End;
use crate::sys::{Cancel, Connection, Halves};

/// Whether an address is that of a FIFO.
pub(super) fn is_fifo(address: &str) -> bool {
    fs::metadata(address).is_ok_and(|found| found.file_type().is_fifo())
}

/// Opens a FIFO. Both of its ends are opened: it neither waits for the other side, nor ends or breaks when that goes away, so
/// that a containerd that is started again finds it as it was.
///
/// Reading never ends by itself: containerd says with `CloseIO` that nothing more comes.
pub(super) fn connect(address: &str) -> io::Result<Box<dyn Connection>> {
    let mut options = OpenOptions::new();
    let flags =
        i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).map_err(io::Error::other)?;
    let file = options
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(Path::new(address))?;
    Ok(Box::new(PipeConnection::new(file.into(), true)?))
}

/// One end of a pipe, or a FIFO.
#[derive(Debug)]
pub(super) struct PipeConnection {
    end: End,
    timeout: Option<Duration>,
    /// Whether nobody but us may have it open, so that what is in it would be gone with our end.
    is_fifo: bool,
}

impl PipeConnection {
    pub(super) fn new(end: OwnedFd, is_fifo: bool) -> io::Result<Self> {
        Ok(Self {
            end: End::new(end)?,
            timeout: None,
            is_fifo,
        })
    }
}

impl Connection for PipeConnection {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout = timeout;
        Ok(())
    }

    fn canceller(&self) -> Cancel {
        let canceller = self.end.canceller();
        Box::new(move || canceller.cancel())
    }

    fn split(self: Box<Self>) -> io::Result<Halves> {
        // It has one direction.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn holds_unread(&self) -> bool {
        self.is_fifo && ioctl_fionread(self.end.file()).is_ok_and(|unread| unread > 0)
    }
}

impl Read for PipeConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = |mut file: &fs::File| file.read(buffer);
        self.end.perform(PollFlags::IN, self.timeout, read)
    }
}

impl Write for PipeConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = |mut file: &fs::File| file.write(bytes);
        self.end.perform(PollFlags::OUT, self.timeout, write)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
