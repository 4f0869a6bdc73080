//! Answers the calls of many clients at once. None can hurt another: each has a thread that reads, each call has one that
//! answers, both are bounded, and so are the time for a frame and the memory for requests.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Service;
use super::conversation::Conversation;
use super::tally::Tally;
use crate::sys::{Cancel, Connection, Listener};

/// The most clients at once; one more is hung up on. containerd has one for each container of a pod.
pub const MOST_CLIENTS: usize = 256;

/// The most calls under way, of all clients.
pub const MOST_CALLS: usize = 1024;

/// The most calls under way of one client: a call of `Wait` for each process, and some more.
pub const MOST_CALLS_OF_A_CLIENT: usize = 256;

/// So many of both are never taken by calls that wait without a bound ([`Service::waits`]): a client cannot say that it gave
/// one up, and could do nothing any more once it gave up all.
pub const CALLS_KEPT: usize = 32;

/// The most memory for requests of all clients, in bytes, and for those of one.
pub const MOST_BYTES: usize = 64 * 1024 * 1024;
/// See [`MOST_BYTES`].
pub const MOST_BYTES_OF_A_CLIENT: usize = 16 * 1024 * 1024;

/// How long it waits for news before it looks whether it is over.
const LOOK: Duration = Duration::from_secs(1);

/// How long calls have to be answered when it is over, and then clients to take the answers and leave.
const FAREWELL: Duration = Duration::from_secs(2);
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How often in a row accepting may fail before it gives up, and how long it waits in between: a minute in all.
const FAILURES: u32 = 600;
const RETRY: Duration = Duration::from_millis(100);

/// Serves until it is over: `is_over` is asked after each call, and at least each second. Clients are hung up on then.
///
/// # Errors
/// What the system said where no client could be accepted for a minute, or where there is no thread to do so.
pub fn serve(
    mut listener: Box<dyn Listener>,
    service: Arc<dyn Service>,
    is_over: &dyn Fn() -> bool,
) -> io::Result<()> {
    let server = Arc::new(Server::new(service));
    let stop = listener.canceller();
    thread::scope(|scope| {
        let accepting = thread::Builder::new()
            .name("accept".to_owned())
            .spawn_scoped(scope, || {
                let accepted = server.accept(listener.as_mut());
                server.tell();
                accepted
            })?;
        server.wait_until(None, || is_over() || accepting.is_finished());
        server.is_over.store(true, Ordering::Release);
        stop();
        let accepted = accepting.join();
        server.take_leave();
        // It has no reason to panic; where it does, that is for whoever is above to see.
        accepted.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What the threads of a server share.
pub(super) struct Server {
    pub(super) service: Arc<dyn Service>,
    pub(super) tally: Arc<Tally>,
    clients: Mutex<Clients>,
    news: Mutex<u64>,
    has_news: Condvar,
    is_over: AtomicBool,
}

/// How each client is hung up on.
#[derive(Default)]
struct Clients {
    next: u64,
    hang_up: BTreeMap<u64, Cancel>,
}

impl Server {
    fn new(service: Arc<dyn Service>) -> Self {
        Self {
            service,
            tally: Tally::new(MOST_CALLS, MOST_CALLS - CALLS_KEPT, MOST_BYTES),
            clients: Mutex::default(),
            news: Mutex::new(0),
            has_news: Condvar::new(),
            is_over: AtomicBool::new(false),
        }
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self) -> MutexGuard<'_, u64> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something ended, so that it may be over.
    pub(super) fn tell(&self) {
        *self.news() += 1;
        self.has_news.notify_all();
    }

    /// Waits until something is so, at most until `deadline`.
    fn wait_until(&self, deadline: Option<Instant>, is_so: impl Fn() -> bool) {
        loop {
            let before = *self.news();
            let left = deadline.map_or(LOOK, |it| it.saturating_duration_since(Instant::now()));
            if left.is_zero() || is_so() {
                return;
            }
            let span = left.min(LOOK);
            let waited = self
                .has_news
                .wait_timeout_while(self.news(), span, |news| *news == before);
            drop(waited);
        }
    }

    /// Accepts clients until it is over.
    fn accept(self: &Arc<Self>, listener: &mut dyn Listener) -> io::Result<()> {
        let mut failures = 0;
        while !self.is_over.load(Ordering::Acquire) {
            match listener.accept(Duration::from_hours(1)) {
                Ok(client) => {
                    failures = 0;
                    if let Some(client) = client {
                        self.welcome(client);
                    }
                }
                Err(_) if self.is_over.load(Ordering::Acquire) => {}
                Err(error) if failures >= FAILURES => return Err(error),
                Err(_) => {
                    failures += 1;
                    thread::sleep(RETRY);
                }
            }
        }
        Ok(())
    }

    /// Gives a client a thread. Where there is none, or too many clients are there, it is hung up on, and notices.
    fn welcome(self: &Arc<Self>, client: Box<dyn Connection>) {
        let Ok((incoming, outgoing)) = client.split() else {
            return;
        };
        let Some(place) = Place::take(self, incoming.canceller()) else {
            return;
        };
        let calls = MOST_CALLS_OF_A_CLIENT;
        let tally = Tally::new(calls, calls - CALLS_KEPT, MOST_BYTES_OF_A_CLIENT);
        let conversation = Conversation::new(self, tally, outgoing, incoming.canceller());
        let thread = thread::Builder::new().name("client".to_owned());
        let spawned = thread.spawn(move || {
            conversation.listen(incoming);
            drop(place);
        });
        // Without the thread the closure was dropped, and the connection with it.
        drop(spawned);
    }

    /// Lets calls under way be answered, and answers be taken, and hangs up.
    fn take_leave(&self) {
        self.wait_until(Some(Instant::now() + FAREWELL), || self.tally.calls() == 0);
        let last_words = Instant::now() + LAST_WORDS;
        self.wait_until(Some(last_words), || self.clients().hang_up.is_empty());
        for hang_up in self.clients().hang_up.values() {
            hang_up();
        }
    }
}

/// The place of a client; free again when dropped.
struct Place {
    server: Arc<Server>,
    number: u64,
}

impl Place {
    /// None where there are too many.
    fn take(server: &Arc<Server>, hang_up: Cancel) -> Option<Self> {
        let mut clients = server.clients();
        if clients.hang_up.len() >= MOST_CLIENTS {
            return None;
        }
        let number = clients.next;
        clients.next += 1;
        clients.hang_up.insert(number, hang_up);
        server.service.clients(clients.hang_up.len());
        Some(Self {
            server: Arc::clone(server),
            number,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = self.server.clients();
        clients.hang_up.remove(&self.number);
        self.server.service.clients(clients.hang_up.len());
        drop(clients);
        self.server.tell();
    }
}
