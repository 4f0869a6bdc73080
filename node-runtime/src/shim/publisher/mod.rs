//! Tells containerd what happens to tasks: a queue, and one thread that empties it over ttrpc.
//!
//! Whoever publishes never waits. While containerd is away the events wait too, at most [`MOST_EVENTS`] of them; then the
//! oldest that is no exit is dropped, and an exit only where all are. Each is sent again until containerd took it, so that one
//! whose answer was lost arrives twice, and none overtakes another.

mod queue;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use containerd_shim_protos::api::ForwardRequest;
use containerd_shim_protos::shim::event::Envelope;
use protobuf::well_known_types::any::Any;
use protobuf::well_known_types::timestamp::Timestamp;
use protobuf::{Message as _, MessageField};

pub use queue::MOST_EVENTS;
use queue::{Queue, Queued};

use crate::keeper::protocol::chain;
use crate::sys::Host;
use crate::ttrpc::{Client, Code, Error};

/// The service of containerd that takes events.
pub const SERVICE: &str = "containerd.services.events.ttrpc.v1.Events";

/// Its method.
pub const METHOD: &str = "Forward";

/// How long containerd may take for one event.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it rests before it tries again: at first, and at most.
const FIRST_REST: Duration = Duration::from_millis(50);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// Tells containerd what happened.
pub trait Publish: Send + Sync {
    /// Queues an event and returns at once. Events arrive in the order in which they were queued.
    fn publish(&self, topic: &str, event: Any);
}

/// Where a publisher says what went wrong, once for each silence of containerd.
pub type Say = Box<dyn Fn(&str) + Send + Sync>;

/// Publishes over ttrpc.
pub struct Publisher {
    shared: Arc<Shared>,
    host: Arc<dyn Host>,
    namespace: String,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    is_over: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Waits for an event; none when it is over.
    fn next(&self) -> Option<Queued> {
        let mut queue = self.lock();
        loop {
            if self.is_over() {
                return None;
            }
            if let Some(first) = queue.take() {
                return Some(first);
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits, but not longer than until it is over.
    fn rest(&self, span: Duration) {
        let queue = self.lock();
        let over = self
            .changed
            .wait_timeout_while(queue, span, |_| !self.is_over());
        drop(over.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Publisher {
    /// Publishes for a namespace at an address; nowhere where it is none: then events are forgotten.
    ///
    /// # Errors
    /// Where there is no thread for it.
    pub fn start(
        host: Arc<dyn Host>,
        namespace: &str,
        address: Option<String>,
        say: Say,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::default()),
            changed: Condvar::new(),
            is_over: AtomicBool::new(false),
        });
        let thread = match address {
            None => {
                say("events go nowhere: containerd gave no TTRPC_ADDRESS");
                None
            }
            Some(address) => {
                let sender = Sender {
                    shared: Arc::clone(&shared),
                    host: Arc::clone(&host),
                    address,
                    say,
                    client: None,
                };
                let thread = thread::Builder::new().name("events".to_owned());
                Some(thread.spawn(move || sender.run())?)
            }
        };
        if thread.is_none() {
            shared.is_over.store(true, Ordering::Release);
        }
        Ok(Self {
            shared,
            host,
            namespace: namespace.to_owned(),
            thread: Mutex::new(thread),
        })
    }

    /// Waits until everything was sent, at most this long, and ends. Returns how many events nobody will get.
    pub fn finish(&self, patience: Duration) -> usize {
        let queue = self.shared.lock();
        let left = self
            .shared
            .changed
            .wait_timeout_while(queue, patience, |queue| {
                queue.left() > 0 && !self.shared.is_over()
            });
        let (queue, _) = left.unwrap_or_else(PoisonError::into_inner);
        let left = queue.left();
        self.shared.is_over.store(true, Ordering::Release);
        drop(queue);
        self.shared.changed.notify_all();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // One that waits for an answer would keep us waiting as well.
        if left == 0
            && let Some(thread) = thread
        {
            drop(thread.join());
        }
        left
    }
}

impl Publish for Publisher {
    fn publish(&self, topic: &str, event: Any) {
        if self.shared.is_over() {
            return;
        }
        let now = self.host.now();
        let envelope = Envelope {
            timestamp: MessageField::some(Timestamp {
                seconds: now.as_second(),
                nanos: now.subsec_nanosecond(),
                ..Timestamp::default()
            }),
            namespace: self.namespace.clone(),
            topic: topic.to_owned(),
            event: MessageField::some(event),
            ..Envelope::default()
        };
        self.shared.lock().put(Queued {
            topic: topic.to_owned(),
            envelope,
        });
        self.shared.changed.notify_all();
    }
}

/// The thread that sends.
struct Sender {
    shared: Arc<Shared>,
    host: Arc<dyn Host>,
    address: String,
    say: Say,
    client: Option<Client>,
}

impl Sender {
    fn run(mut self) {
        while let Some(event) = self.shared.next() {
            self.send(&event);
            let dropped = {
                let mut queue = self.shared.lock();
                queue.sent();
                queue.dropped()
            };
            self.shared.changed.notify_all();
            if dropped > 0 {
                (self.say)(&format!(
                    "{dropped} events were dropped: more than {MOST_EVENTS} waited for containerd"
                ));
            }
        }
    }

    /// Sends one event until it was taken, or until nobody wants it sent any more.
    fn send(&mut self, event: &Queued) {
        let request = ForwardRequest {
            envelope: MessageField::some(event.envelope.clone()),
            ..ForwardRequest::default()
        };
        let topic = &event.topic;
        let Ok(request) = request.write_to_bytes() else {
            (self.say)(&format!(
                "an event {topic} cannot be encoded and was dropped"
            ));
            return;
        };
        let mut rest = FIRST_REST;
        let mut is_first = true;
        while !self.shared.is_over() {
            let was_connected = self.client.is_some();
            match self.forward(&request) {
                Ok(()) => return,
                Err(Failed::ForGood(error)) => {
                    let why = chain(&error);
                    (self.say)(&format!("containerd cannot take an event {topic}: {why}"));
                    return;
                }
                // It left since the event before; the next one may be there already.
                Err(Failed::ForNow(Error::Io(_))) if was_connected => self.client = None,
                Err(Failed::ForNow(error)) => {
                    self.client = None;
                    if is_first {
                        let why = chain(&error);
                        (self.say)(&format!("containerd takes no events for now: {why}"));
                    }
                    is_first = false;
                    self.shared.rest(rest);
                    rest = (rest * 2).min(LONGEST_REST);
                }
            }
        }
    }

    fn forward(&mut self, request: &[u8]) -> Result<(), Failed> {
        let began = Instant::now();
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(&self.host, &self.address, PATIENCE)
                .map_err(|error| Failed::ForNow(error.into()))?,
        };
        let client = self.client.insert(client);
        let left = PATIENCE.saturating_sub(began.elapsed());
        let sent = client.call(SERVICE, METHOD, request, left);
        sent.map(drop).map_err(Failed::of_call)
    }
}

/// Why an event was not taken.
enum Failed {
    /// It may be later.
    ForNow(Error),
    /// It would fail again, and hold up all that come after it.
    ForGood(Error),
}

impl Failed {
    fn of_call(error: Error) -> Self {
        let is_final = match &error {
            // It is longer than containerd takes, or it is none.
            Error::Status(status) => matches!(
                status.code,
                Code::InvalidArgument | Code::Unimplemented | Code::ResourceExhausted
            ),
            // It is longer than a frame.
            Error::Io(error) => error.kind() == io::ErrorKind::InvalidInput,
            Error::Answer(_) => false,
        };
        if is_final {
            Self::ForGood(error)
        } else {
            Self::ForNow(error)
        }
    }
}
