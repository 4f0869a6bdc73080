//! Calls a server, from many threads at once over one connection.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::frame::{self, Kind};
use super::message::{self, Question};
use super::patience::{Hurried, Patient};
use super::status::Status;
use crate::sys::{Cancel, Host, Incoming, Outgoing};

/// How long a server may take to complete an answer that it began.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "one error per module, named by the module"
)]
pub enum Error {
    /// The server says that it failed.
    #[error(transparent)]
    Status(#[from] Status),
    /// The connection broke (`ConnectionReset`, `BrokenPipe`: the server is gone), or the time is over (`TimedOut`). Whether
    /// the call was done is not known.
    #[error("failed to talk to the server")]
    Io(#[from] io::Error),
    /// The server's answer is none.
    #[error("the server's answer cannot be decoded")]
    Answer(#[from] protobuf::Error),
}

/// A connection to a server. It is closed when dropped.
pub struct Client {
    way: Mutex<Way>,
    pending: Arc<Pending>,
    hang_up: Cancel,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// The way to the server, and the number of the next stream; none when they are used up.
struct Way {
    outgoing: Box<dyn Outgoing>,
    next: Option<u32>,
}

impl Client {
    /// Connects, waiting at most `timeout` for a server that is busy.
    ///
    /// # Errors
    /// `NotFound` where nobody serves the address, or what else the system said.
    pub fn connect(host: &Arc<dyn Host>, address: &str, timeout: Duration) -> io::Result<Self> {
        let (incoming, outgoing) = host.connect(address, timeout)?.split()?;
        let hang_up = incoming.canceller();
        let pending = Arc::new(Pending::default());
        let ours = Arc::clone(&pending);
        thread::Builder::new()
            .name("answers".to_owned())
            .spawn(move || ours.listen(incoming))?;
        Ok(Self {
            way: Mutex::new(Way {
                outgoing,
                next: Some(1),
            }),
            pending,
            hang_up,
        })
    }

    /// Calls a method with an encoded request, and returns the encoded response.
    ///
    /// # Errors
    /// [`Error`]. After [`Error::Status`], and after `TimedOut` while waiting, the connection can be used again.
    pub fn call(
        &self,
        service: &str,
        method: &str,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Vec<u8>, Error> {
        let until = Instant::now().checked_add(timeout);
        let question = Question {
            service: service.to_owned(),
            method: method.to_owned(),
            payload: payload.to_owned(),
            timeout: Some(timeout),
        };
        let question = question.encode()?;
        let (stream, answer) = self.send(&question, until)?;
        let left = until.map_or(timeout, |it| it.saturating_duration_since(Instant::now()));
        match answer.recv_timeout(left) {
            Ok(result) => Ok(message::answered(&result?)??),
            Err(RecvTimeoutError::Timeout) => {
                self.pending.forget(stream);
                Err(Error::Io(io::ErrorKind::TimedOut.into()))
            }
            Err(RecvTimeoutError::Disconnected) => Err(gone().into()),
        }
    }

    /// Sends a request; the answer comes where this returns it.
    fn send(
        &self,
        question: &[u8],
        until: Option<Instant>,
    ) -> io::Result<(u32, mpsc::Receiver<io::Result<Vec<u8>>>)> {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = way.next.ok_or_else(gone)?;
        way.next = stream.checked_add(2);
        let answer = self.pending.expect(stream)?;
        let mut writer = Hurried::new(way.outgoing.as_mut(), until);
        if let Err(error) = frame::write(&mut writer, Kind::Request, stream, question) {
            self.pending.forget(stream);
            // What is too long was not begun; anything else may have been, and nothing can follow half a frame.
            if error.kind() != io::ErrorKind::InvalidInput {
                way.next = None;
                (self.hang_up)();
            }
            return Err(error);
        }
        Ok((stream, answer))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        (self.hang_up)();
    }
}

/// Where the answer of a call goes, still encoded.
type Waiting = SyncSender<io::Result<Vec<u8>>>;

/// Calls without an answer; none when there will be no more answers.
struct Pending(Mutex<Option<BTreeMap<u32, Waiting>>>);

impl Default for Pending {
    fn default() -> Self {
        Self(Mutex::new(Some(BTreeMap::new())))
    }
}

impl Pending {
    /// Expects an answer.
    fn expect(&self, stream: u32) -> io::Result<mpsc::Receiver<io::Result<Vec<u8>>>> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.as_mut().ok_or_else(gone)?.insert(stream, sender);
        Ok(receiver)
    }

    /// Expects it no more.
    fn forget(&self, stream: u32) -> Option<Waiting> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.as_mut()?.remove(&stream)
    }

    /// Takes answers until the server leaves. Whoever still waits is told then.
    fn listen(&self, mut incoming: Box<dyn Incoming>) {
        while let Ok(true) = self.receive(incoming.as_mut()) {}
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes the next frame; false where there is none.
    fn receive(&self, incoming: &mut dyn Incoming) -> io::Result<bool> {
        let mut reader = Patient::new(incoming, PATIENCE);
        let Some(header) = frame::read_header(&mut reader)? else {
            return Ok(false);
        };
        // An answer that nobody waits for any more is read past, as is one that is too long.
        let waiting = match header.kind {
            Kind::Response => self.forget(header.stream),
            Kind::Request | Kind::Data | Kind::Other(_) => None,
        };
        let answer = match &waiting {
            Some(_) if !header.is_too_long() => {
                Ok(frame::read_payload(&mut reader, header.length)?)
            }
            _ => {
                frame::skip_payload(&mut reader, header.length)?;
                Err(io::ErrorKind::InvalidData.into())
            }
        };
        if let Some(waiting) = waiting {
            // Who gave up meanwhile does not take it.
            drop(waiting.send(answer));
        }
        Ok(true)
    }
}

/// The server hung up, or this side did after a request was broken off.
fn gone() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
