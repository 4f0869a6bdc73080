//! Serves the clients of a keeper: each has a thread, none can hurt another, and nobody is waited for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::frame::{self, FrameError};
use super::protocol::{Failure, Kind, Request, Response};
use crate::sys::{Connection, Host, Listener};

/// The most clients at once. One more is told to come back, unless a spare place is for what it wants.
pub const MOST_CLIENTS: usize = 64;

/// Places beyond those, for clients that do not stay: attached ones may take all others for days, and the container must
/// still be killed, stopped and deleted.
pub const SPARE_PLACES: usize = 8;

/// How long a client may take to send its first request, to complete a request it began, or to take an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it waits for a client before it looks whether it is over.
const LOOK: Duration = Duration::from_secs(10);

/// How long clients have to fetch their answers when it is over.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often in a row accepting may fail before it gives up, and how long it waits in between: a minute in all.
const FAILURES: u32 = 600;
const RETRY: Duration = Duration::from_millis(100);

/// What answers requests.
pub trait Service: Send + Sync {
    /// A client came.
    fn session(self: Arc<Self>) -> Box<dyn Session>;

    /// Whether there is nothing to serve any more.
    fn is_over(&self) -> bool;
}

/// What answers one client.
pub trait Session: Send {
    /// Answers a request.
    fn answer(&mut self, request: Request) -> Response;
}

/// Serves until the service is over. `address` is the listener's.
///
/// # Errors
/// What the system said where no client could be accepted for a minute.
pub fn serve<S: Service + 'static>(
    host: &Arc<dyn Host>,
    address: &str,
    mut listener: Box<dyn Listener>,
    service: &Arc<S>,
) -> io::Result<()> {
    let clients = Arc::new(AtomicUsize::new(0));
    let mut failures = 0;
    while !service.is_over() {
        match listener.accept(LOOK) {
            Ok(None) => failures = 0,
            Ok(Some(connection)) => {
                failures = 0;
                let client = Client {
                    host: Arc::clone(host),
                    address: address.to_owned(),
                    place: Place::take(&clients),
                };
                client.serve(connection, Arc::clone(service));
            }
            Err(error) if failures >= FAILURES => return Err(error),
            Err(_) => {
                failures += 1;
                thread::sleep(RETRY);
            }
        }
    }
    let deadline = Instant::now() + FAREWELL;
    while clients.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// One of the places for clients; free again when dropped, also by a panic.
struct Place {
    clients: Arc<AtomicUsize>,
    /// How many others were taken.
    before: usize,
}

impl Place {
    fn take(clients: &Arc<AtomicUsize>) -> Self {
        let before = clients.fetch_add(1, Ordering::AcqRel);
        Self {
            clients: Arc::clone(clients),
            before,
        }
    }

    fn is_spare(&self) -> bool {
        self.before >= MOST_CLIENTS
    }

    fn is_one_too_many(&self) -> bool {
        self.before >= MOST_CLIENTS + SPARE_PLACES
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clients.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One client.
struct Client {
    host: Arc<dyn Host>,
    address: String,
    place: Place,
}

impl Client {
    /// Serves it in a thread of its own. Where no thread can be made, the connection is closed, and the client says so.
    fn serve<S: Service + 'static>(self, mut connection: Box<dyn Connection>, service: Arc<S>) {
        if self.place.is_one_too_many() {
            refuse(connection.as_mut(), Kind::Busy, &TooMany);
            return;
        }
        let thread = thread::Builder::new().name("client".to_owned());
        let spawned = thread.spawn(move || {
            let mut session = service.clone().session();
            let is_spare = self.place.is_spare();
            converse(connection.as_mut(), session.as_mut(), is_spare);
            drop(session);
            // The connection is gone before anybody is told: its client is no reason to wait.
            drop(connection);
            let Self {
                host,
                address,
                place,
            } = self;
            drop(place);
            if service.is_over() {
                // Whoever accepts wakes up by one more client. Where that fails, it looks by itself soon.
                drop(host.connect(&address, Duration::from_secs(1)));
            }
        });
        // Without the thread the closure was dropped, and the connection with it.
        drop(spawned);
    }
}

/// Answers one client until it leaves, breaks the rules or is too slow. One that was answered may think as long as it likes,
/// as whoever shows events page by page does, but not in a spare place.
fn converse(connection: &mut dyn Connection, session: &mut dyn Session, is_spare: bool) {
    let mut received = frame::receive::<Request>(connection, PATIENCE);
    let mut has_changed = false;
    loop {
        let request = match received {
            Ok(Some(request)) => request,
            Ok(None) | Err(FrameError::Broken { .. }) => return,
            Err(error) => return refuse(connection, Kind::InvalidArgument, &error),
        };
        if is_spare && stays(&request, has_changed) {
            return refuse(connection, Kind::Busy, &TooMany);
        }
        has_changed |= request.is_change();
        let answer = session.answer(request);
        if connection.set_timeout(Some(PATIENCE)).is_err() {
            return;
        }
        match frame::write(connection, &answer) {
            Ok(()) => {}
            Err(error @ FrameError::TooLong(_)) => refuse(connection, Kind::Internal, &error),
            Err(_) => return,
        }
        received = if is_spare {
            frame::receive(connection, PATIENCE)
        } else {
            frame::receive_later(connection, PATIENCE)
        };
    }
}

/// Whether whoever asks this means to stay. To wait for what one's own change brings about is not staying.
fn stays(request: &Request, has_changed: bool) -> bool {
    matches!(request, Request::Exec { .. } | Request::NextEvent { .. })
        || (matches!(request, Request::Wait { .. }) && !has_changed)
}

/// Tells a client why it is not served, as far as it listens.
fn refuse(connection: &mut dyn Connection, kind: Kind, error: &dyn std::error::Error) {
    let answer = Response::Failed(Failure::new(kind, error));
    if connection.set_timeout(Some(RETRY)).is_ok() {
        drop(frame::write(connection, &answer));
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the keeper serves {MOST_CLIENTS} commands already; try again")]
struct TooMany;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use serde_json::Value;

    use super::*;
    use crate::sys::{Cancel, Halves};

    /// A client that sends its messages one by one and thinks for an hour before each but the first.
    #[derive(Debug, Default)]
    struct Thoughtful {
        to_come: Vec<Vec<u8>>,
        coming: io::Cursor<Vec<u8>>,
        timeout: Option<Duration>,
        unlimited: usize,
    }

    impl Thoughtful {
        fn new(requests: &[Request]) -> Self {
            let frames = requests.iter().rev().map(|request| {
                let mut bytes = Vec::new();
                frame::write(&mut bytes, request).unwrap();
                bytes
            });
            let mut to_come: Vec<Vec<u8>> = frames.collect();
            let first = to_come.pop().unwrap();
            Self {
                to_come,
                coming: io::Cursor::new(first),
                ..Self::default()
            }
        }
    }

    impl Read for Thoughtful {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.unlimited += usize::from(self.timeout.is_none());
            let count = self.coming.read(buffer)?;
            if count > 0 || self.to_come.is_empty() {
                return Ok(count);
            }
            if self.timeout.is_some_and(|it| it < Duration::from_hours(1)) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.coming = io::Cursor::new(self.to_come.pop().unwrap());
            self.coming.read(buffer)
        }
    }

    impl Write for Thoughtful {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Connection for Thoughtful {
        fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
            self.timeout = timeout;
            Ok(())
        }

        fn canceller(&self) -> Cancel {
            Box::new(|| {})
        }

        fn split(self: Box<Self>) -> io::Result<Halves> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    /// Counts.
    #[derive(Default)]
    struct Count(usize);

    impl Session for Count {
        fn answer(&mut self, _: Request) -> Response {
            self.0 += 1;
            Response::Done(Value::Null)
        }
    }

    fn answered(client: &mut Thoughtful, is_spare: bool) -> usize {
        let mut count = Count::default();
        converse(client, &mut count, is_spare);
        count.0
    }

    #[test]
    fn a_client_that_was_answered_may_think_but_not_in_the_middle_of_a_request() {
        let requests = [Request::Usage, Request::Usage, Request::Usage];
        let mut client = Thoughtful::new(&requests);
        assert_eq!(answered(&mut client, false), requests.len());
        // One for each request after the first, and one for the end.
        assert_eq!(client.unlimited, requests.len());
    }

    #[test]
    fn nobody_thinks_in_a_spare_place() {
        let mut client = Thoughtful::new(&[Request::Usage, Request::Usage]);
        assert_eq!(answered(&mut client, true), 1);
    }
}
