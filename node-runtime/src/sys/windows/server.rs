//! Named pipes between processes: a server for administrators of this machine only, and its clients.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_FILE_NOT_FOUND, ERROR_NO_DATA, ERROR_PIPE_BUSY,
    ERROR_PIPE_CONNECTED, ERROR_SEM_TIMEOUT,
};

use super::deadline::Deadline;
use super::named_pipe::{Direction, Instance, open, serve, wait_for_free};
use super::overlapped::{Channel, Event};
use super::process::is;
use super::security::{ADMINISTRATORS, Descriptor};
use crate::sys::{Cancel, Connection, Halves, Incoming, Listener, Outgoing};

/// A server. One end always waits for a client, so that nobody else can take the name.
#[derive(Debug)]
pub(super) struct PipeListener {
    address: String,
    access: Descriptor,
    free: Channel,
    cancelled: Arc<Event>,
}

impl PipeListener {
    /// Serves an address. `AlreadyExists` where somebody does.
    pub(super) fn open(address: &str) -> io::Result<Self> {
        // Wine takes a second server in spite of the flag; Windows says here what it would say below.
        if is_served(address) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let access = Descriptor::parse(ADMINISTRATORS)?;
        let first = serve(address, Direction::Both, Instance::First, &access);
        let first = first.map_err(|error| match error {
            // The owner of the name keeps us out, or has as many ends as he wants.
            taken if is(&taken, ERROR_PIPE_BUSY) => io::ErrorKind::AlreadyExists.into(),
            denied if is(&denied, ERROR_ACCESS_DENIED) && is_served(address) => {
                io::ErrorKind::AlreadyExists.into()
            }
            denied if is(&denied, ERROR_ACCESS_DENIED) => io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{address} may not be served; run as an administrator"),
            ),
            other => other,
        })?;
        let cancelled = Arc::new(Event::new()?);
        Ok(Self {
            address: address.to_owned(),
            access,
            free: Channel::cancelled_by(first, &cancelled)?,
            cancelled,
        })
    }

    fn another(&self) -> io::Result<Channel> {
        let another = serve(
            &self.address,
            Direction::Both,
            Instance::Another,
            &self.access,
        )?;
        Channel::cancelled_by(another, &self.cancelled)
    }
}

fn is_served(address: &str) -> bool {
    match wait_for_free(address, 1) {
        Ok(()) => true,
        Err(error) => is(&error, ERROR_SEM_TIMEOUT),
    }
}

impl Listener for PipeListener {
    fn accept(&mut self, timeout: Duration) -> io::Result<Option<Box<dyn Connection>>> {
        let deadline = Deadline::after(timeout);
        match self.free.connect(deadline) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(None),
            // It is there already, or came and went before we looked: what it sent can be read.
            Err(error) if is(&error, ERROR_PIPE_CONNECTED) || is(&error, ERROR_NO_DATA) => {}
            outcome => outcome?,
        }
        let free = self.another()?;
        let taken = std::mem::replace(&mut self.free, free);
        Ok(Some(Box::new(PipeConnection::new(taken.again()?))))
    }

    fn canceller(&self) -> Cancel {
        let cancelled = Arc::clone(&self.cancelled);
        Box::new(move || cancelled.set())
    }
}

/// A stream to another process, or one direction of it.
#[derive(Debug)]
pub(super) struct PipeConnection {
    channel: Channel,
    timeout: Option<Duration>,
}

impl PipeConnection {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel,
            timeout: None,
        }
    }

    /// Connects to an address, waiting for a server that is busy.
    pub(super) fn connect(address: &str, timeout: Duration) -> io::Result<Self> {
        let deadline = Deadline::after(timeout);
        loop {
            match open(address, Direction::Both, true) {
                Ok(end) => return Channel::new(end).map(Self::new),
                Err(error) if is(&error, ERROR_PIPE_BUSY) => {}
                Err(error) => return Err(error),
            }
            if deadline.is_over() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match wait_for_free(address, deadline.milliseconds()) {
                // Another client may be quicker, so it is tried again in any case.
                Ok(()) => {}
                Err(error) if is(&error, ERROR_SEM_TIMEOUT) => {}
                // The end that was busy is gone; the next one is about to be made.
                Err(error) if is(&error, ERROR_FILE_NOT_FOUND) => std::thread::yield_now(),
                Err(error) => return Err(error),
            }
        }
    }

    fn deadline(&self) -> Deadline {
        Deadline::after_any(self.timeout)
    }
}

impl Read for PipeConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.channel.read(buffer, self.deadline())
    }
}

impl Write for PipeConnection {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.channel.write(buffer, self.deadline())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection for PipeConnection {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout = timeout;
        Ok(())
    }

    fn canceller(&self) -> Cancel {
        let cancelled = self.channel.cancelled();
        Box::new(move || cancelled.set())
    }

    fn split(self: Box<Self>) -> io::Result<Halves> {
        let half = || {
            let channel = self.channel.again()?;
            let timeout = self.timeout;
            Ok::<_, io::Error>(Box::new(Self { channel, timeout }))
        };
        Ok((half()?, half()?))
    }
}

impl Incoming for PipeConnection {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        Connection::set_timeout(self, timeout)
    }

    fn canceller(&self) -> Cancel {
        Connection::canceller(self)
    }
}

impl Outgoing for PipeConnection {
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        Connection::set_timeout(self, timeout)
    }

    fn canceller(&self) -> Cancel {
        Connection::canceller(self)
    }
}
