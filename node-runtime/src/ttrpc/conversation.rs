//! One client of a server: what it sends, and the answers in the order in which they are ready.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::frame::{self, Header, Kind};
use super::message::{self, Question};
use super::patience::{Hurried, Patient};
use super::server::Server;
use super::status::{Code, Status};
use super::tally::{Share, Tally};
use super::{Call, Caller};
use crate::sys::{Cancel, Incoming, Outgoing};

/// How long a client may take to complete a frame that it began, or to take an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One client.
pub(super) struct Conversation {
    server: Arc<Server>,
    tally: Arc<Tally>,
    line: Arc<Line>,
}

impl Conversation {
    /// With a client of `server`, whose own bounds are `tally`. `hang_up` ends what is read from it.
    pub(super) fn new(
        server: &Arc<Server>,
        tally: Arc<Tally>,
        outgoing: Box<dyn Outgoing>,
        hang_up: Cancel,
    ) -> Self {
        Self {
            server: Arc::clone(server),
            tally,
            line: Arc::new(Line {
                outgoing: Mutex::new(outgoing),
                has_left: Arc::default(),
                hang_up,
            }),
        }
    }

    /// Answers it until it leaves, is hung up on, or sends half a frame.
    pub(super) fn listen(self, mut incoming: Box<dyn Incoming>) {
        let mut last = 0;
        while let Ok(true) = self.receive(incoming.as_mut(), &mut last) {}
        self.line.has_left.store(true, Ordering::Release);
    }

    /// Takes the next frame; false where there is none. `last` is the last stream that was begun.
    fn receive(&self, incoming: &mut dyn Incoming, last: &mut u32) -> io::Result<bool> {
        let mut reader = Patient::new(incoming, PATIENCE);
        let Some(header) = frame::read_header(&mut reader)? else {
            return Ok(false);
        };
        let length = header.length;
        match check(&header, last)
            .and_then(|is_call| is_call.then(|| self.admit(&header)).transpose())
        {
            Ok(Some(shares)) => {
                let payload = frame::read_payload(&mut reader, length)?;
                self.answer(header.stream, payload, shares);
            }
            Ok(None) => frame::skip_payload(&mut reader, length)?,
            // Told first: a client need not send all of what is not read.
            Err(status) => {
                self.line.send(header.stream, Err(status));
                frame::skip_payload(&mut reader, length)?;
            }
        }
        Ok(true)
    }

    /// Takes the places of a call.
    fn admit(&self, header: &Header) -> Result<[Share; 2], Status> {
        let bytes = usize::try_from(header.length).unwrap_or(usize::MAX);
        let shares = self.tally.take(bytes).zip(self.server.tally.take(bytes));
        Ok(shares.ok_or_else(busy)?.into())
    }

    /// Answers a call in a thread of its own.
    fn answer(&self, stream: u32, payload: Vec<u8>, shares: [Share; 2]) {
        let (server, line) = (Arc::clone(&self.server), Arc::clone(&self.line));
        let tally = Arc::clone(&self.tally);
        let thread = thread::Builder::new().name("call".to_owned());
        let spawned = thread.spawn(move || {
            let result = result(&server, &tally, &line, &payload);
            drop(payload);
            line.send(stream, result);
            drop(shares);
            server.tell();
        });
        if let Err(error) = spawned {
            let message = format!("there is no thread for the call: {error}");
            let status = Status::new(Code::Unavailable, message);
            self.line.send(stream, Err(status));
        }
    }
}

/// Whether a frame is a call, or may be ignored; an error is what its client is told.
fn check(header: &Header, last: &mut u32) -> Result<bool, Status> {
    let Header { length, stream, .. } = *header;
    if header.is_too_long() {
        let message = format!(
            "the request of {length} bytes is longer than {} bytes, which is the most",
            frame::LONGEST
        );
        return Err(Status::new(Code::ResourceExhausted, message));
    }
    let invalid = |message: String| Err(Status::new(Code::InvalidArgument, message));
    match header.kind {
        // Of another version, or of somebody who takes us for a client: what was not asked is not answered.
        Kind::Other(_) | Kind::Response => Ok(false),
        _ if stream % 2 == 0 => invalid(format!(
            "stream {stream} is none of a client: they have odd numbers"
        )),
        Kind::Data => invalid(format!(
            "stream {stream} takes no data: no method of this server streams"
        )),
        Kind::Request if stream <= *last => invalid(format!(
            "stream {stream} was begun before: the next number is above {last}"
        )),
        Kind::Request => {
            *last = stream;
            Ok(true)
        }
    }
}

/// What a call is refused with that has no place.
fn busy() -> Status {
    let message = "the shim answers as many calls as it can; try again";
    Status::new(Code::ResourceExhausted, message)
}

/// What a call ends with. A panic is the failure of this call alone.
fn result(
    server: &Server,
    tally: &Arc<Tally>,
    line: &Line,
    request: &[u8],
) -> Result<Vec<u8>, Status> {
    let question = Question::decode(request)?;
    let call = Call {
        service: &question.service,
        method: &question.method,
        payload: &question.payload,
        timeout: question.timeout,
        caller: Caller::new(&line.has_left, question.timeout),
    };
    let take_wait = || tally.take_wait().zip(server.tally.take_wait());
    let waits = server.service.waits(call.service, call.method);
    let _place = waits.then(|| take_wait().ok_or_else(busy)).transpose()?;
    let called = panic::catch_unwind(AssertUnwindSafe(|| server.service.call(&call)));
    called.unwrap_or_else(|_| {
        let message = format!(
            "{} of {} hit a mistake of the shim",
            call.method, call.service
        );
        Err(Status::new(Code::Internal, message))
    })
}

/// The way back to a client.
struct Line {
    outgoing: Mutex<Box<dyn Outgoing>>,
    has_left: Arc<AtomicBool>,
    hang_up: Cancel,
}

impl Line {
    /// Sends an answer. A client that does not take it in time is hung up on: half an answer cannot be taken back.
    fn send(&self, stream: u32, result: Result<Vec<u8>, Status>) {
        let Ok(bytes) = encode(result) else {
            return self.cut();
        };
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_left.load(Ordering::Acquire) {
            return;
        }
        let mut writer = Hurried::new(outgoing.as_mut(), Instant::now().checked_add(PATIENCE));
        if frame::write(&mut writer, Kind::Response, stream, &bytes).is_err() {
            self.cut();
        }
    }

    fn cut(&self) {
        self.has_left.store(true, Ordering::Release);
        (self.hang_up)();
    }
}

/// An answer, or that it is longer than a frame.
fn encode(result: Result<Vec<u8>, Status>) -> Result<Vec<u8>, Status> {
    let bytes = message::answer(result)?;
    if u32::try_from(bytes.len()).is_ok_and(|length| length <= frame::LONGEST) {
        return Ok(bytes);
    }
    let message = format!(
        "the answer of {} bytes is longer than {} bytes, which is the most",
        bytes.len(),
        frame::LONGEST
    );
    message::answer(Err(Status::new(Code::ResourceExhausted, message)))
}
