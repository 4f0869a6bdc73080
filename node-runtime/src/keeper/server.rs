//! Serves the clients of a keeper: each has a thread, none can hurt another, and nobody is waited for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::frame::{self, FrameError};
use super::protocol::{Failure, Kind, Request, Response};
use crate::sys::{Connection, Host, Listener};

/// The most clients at once. One more is told to come back.
pub const MOST_CLIENTS: usize = 64;

/// How long a client may take to send a request, or to take an answer.
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
    is_one_too_many: bool,
}

impl Place {
    fn take(clients: &Arc<AtomicUsize>) -> Self {
        let before = clients.fetch_add(1, Ordering::AcqRel);
        Self {
            clients: Arc::clone(clients),
            is_one_too_many: before >= MOST_CLIENTS,
        }
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
        if self.place.is_one_too_many {
            refuse(connection.as_mut(), Kind::Busy, &TooMany);
            return;
        }
        let thread = thread::Builder::new().name("client".to_owned());
        let spawned = thread.spawn(move || {
            converse(connection.as_mut(), service.clone().session().as_mut());
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

/// Answers one client until it leaves, breaks the rules or is too slow.
fn converse(connection: &mut dyn Connection, session: &mut dyn Session) {
    loop {
        let request = match frame::receive::<Request>(connection, PATIENCE) {
            Ok(Some(request)) => request,
            Ok(None) | Err(FrameError::Broken { .. }) => return,
            Err(error) => return refuse(connection, Kind::InvalidArgument, &error),
        };
        let answer = session.answer(request);
        if connection.set_timeout(Some(PATIENCE)).is_err() {
            return;
        }
        match frame::write(connection, &answer) {
            Ok(()) => {}
            Err(error @ FrameError::TooLong(_)) => refuse(connection, Kind::Internal, &error),
            Err(_) => return,
        }
    }
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
