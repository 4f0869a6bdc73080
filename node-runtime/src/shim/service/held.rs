//! A container of the shim, and the thread that tells what happens to it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::events::{Birth, Teller};
use super::failure::Failure;
use super::process::{Process, Processes};
use crate::container::{Container, Event, EventKind, Events};
use crate::id::{Id, IdError};
use crate::launch::Plan;
use crate::limits::Limits;
use crate::shim::publisher::Publish;

/// How long nothing has to happen until one looks whether the container is still held.
const LOOK: Duration = Duration::from_secs(1);

/// A container.
pub(super) struct Held {
    pub(super) container: Container,
    pub(super) plan: Plan,
    pub(super) bundle: PathBuf,
    pub(super) processes: Arc<Processes>,
    /// The limits that were asked for last. Locked while they are changed.
    pub(super) limits: Mutex<Limits>,
    /// How long a reader that went away is waited for.
    pub(super) retry: Option<Duration>,
    is_dropped: Arc<AtomicBool>,
    teller: Mutex<Option<JoinHandle<()>>>,
}

/// What a container is held with.
pub(super) struct Parts {
    pub(super) plan: Plan,
    pub(super) bundle: PathBuf,
    pub(super) retry: Option<Duration>,
    pub(super) birth: Birth,
}

impl Held {
    /// Holds a container that was just made, and begins to tell what happens to it.
    ///
    /// # Errors
    /// Where nobody can tell it: then the container is removed.
    pub(super) fn new(
        container: Container,
        parts: Parts,
        publisher: &Arc<dyn Publish>,
    ) -> Result<Self, Failure> {
        let processes = Arc::new(Processes::new(parts.birth.streams.clone()));
        let is_dropped = Arc::new(AtomicBool::new(false));
        let mut voice = Voice {
            teller: Teller::new(container.id().clone(), parts.birth),
            publisher: Arc::clone(publisher),
            processes: Arc::clone(&processes),
            is_dropped: Arc::clone(&is_dropped),
        };
        let events = container.events();
        let thread = thread::Builder::new().name("events".to_owned());
        let teller = match thread.spawn(move || voice.tell_all(&events)) {
            Ok(teller) => teller,
            Err(error) => {
                container.delete(None)?;
                return Err(Failure::Thread(error));
            }
        };
        Ok(Self {
            limits: Mutex::new(parts.plan.limits.clone()),
            plan: parts.plan,
            bundle: parts.bundle,
            retry: parts.retry,
            container,
            processes,
            is_dropped,
            teller: Mutex::new(Some(teller)),
        })
    }

    /// One of its processes; an empty name is the first.
    pub(super) fn process(&self, exec: &str) -> Result<(Option<Id>, Arc<Process>), Failure> {
        let id = exec_id(exec)?;
        let found = self.processes.find(id.as_ref());
        let missing = || Failure::NoExec {
            id: self.container.id().clone(),
            exec: exec.to_owned(),
        };
        Ok((id, found.ok_or_else(missing)?))
    }

    /// Waits until everything was told. It was deleted, so that takes no longer than publishing takes.
    pub(super) fn hear_out(&self) {
        let mut teller = self.teller.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(teller) = teller.take() {
            // A thread that panicked has told all that it will.
            drop(teller.join());
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.is_dropped.store(true, Ordering::Release);
    }
}

/// The name of an added process; none for an empty one.
pub(super) fn exec_id(text: &str) -> Result<Option<Id>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |source: IdError| Failure::Name {
        what: "exec_id",
        source,
    };
    Id::parse(text).map(Some).map_err(wrong)
}

/// Publishes what happens to a container.
struct Voice {
    teller: Teller,
    publisher: Arc<dyn Publish>,
    processes: Arc<Processes>,
    is_dropped: Arc<AtomicBool>,
}

impl Voice {
    fn tell_all(&mut self, events: &Events) {
        while !events.is_over() && !self.is_dropped.load(Ordering::Acquire) {
            if let Some(event) = events.next(LOOK) {
                self.tell(event);
            }
        }
        self.processes.give_up();
    }

    fn tell(&mut self, event: Event) {
        if let Some((topic, event)) = self.teller.event(&event.kind) {
            self.publisher.publish(topic, event);
        }
        // Whoever waits for an end hears of it after it was published.
        if let EventKind::Exited { exec, exit } = event.kind
            && let Some(process) = self.processes.find(exec.as_ref())
        {
            process.end.tell(exit);
        }
    }
}
