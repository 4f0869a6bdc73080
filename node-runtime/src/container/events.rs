//! What happens to a container, told to any number of listeners, none of which can hold it up or make it grow.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use crate::state::EventKind;

/// How many events wait for a listener before the oldest are left out. Ends, and the steps of the container itself, never are.
const MOST: usize = 1024;

/// How many of those that are never left out wait for a listener before it is cut off.
const MOST_KEPT: usize = 16 * 1024;

/// Something that happened to a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What one listener hears, in the order in which it happened.
///
/// *Guarantees*: it first hears how far the container is (created, started, exited), so that a late listener misses no step.
/// An end is never left out: a listener that lets 16,384 of them wait is cut off, and [`Events::is_cut`] says so.
#[derive(Debug)]
pub struct Events {
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    kept: usize,
    lost: u64,
    is_cut: bool,
    is_over: bool,
}

/// Whoever tells.
#[derive(Debug, Default)]
pub(super) struct Hub {
    listeners: Vec<Weak<Queue>>,
    /// The steps of the container so far, four at most.
    steps: Vec<Event>,
}

impl Events {
    /// The next event; none after `timeout`, and none for ever once [`Events::is_over`].
    pub fn next(&self, timeout: Duration) -> Option<Event> {
        let begin = Instant::now();
        let mut waiting = self.queue.lock();
        loop {
            if let Some(event) = waiting.events.pop_front() {
                waiting.kept -= usize::from(is_kept(&event.kind));
                return Some(event);
            }
            let left = timeout.saturating_sub(begin.elapsed());
            if waiting.is_over || left.is_zero() {
                return None;
            }
            let woken = self.queue.changed.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many events were left out, because too many waited. None of them was an end.
    pub fn lost(&self) -> u64 {
        self.queue.lock().lost
    }

    /// Whether it hears nothing more because it let too many ends wait. It has to ask for the state of each process.
    pub fn is_cut(&self) -> bool {
        self.queue.lock().is_cut
    }

    /// Whether everything was heard: the container was deleted, or the listener was cut off.
    pub fn is_over(&self) -> bool {
        let waiting = self.queue.lock();
        waiting.is_over && waiting.events.is_empty()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: &Event) {
        let mut waiting = self.lock();
        if waiting.is_over {
            return;
        }
        let is_kept = is_kept(&event.kind);
        if !is_kept && waiting.events.len() - waiting.kept >= MOST {
            waiting.leave_one_out();
        }
        if is_kept && waiting.kept >= MOST_KEPT {
            waiting.is_cut = true;
            waiting.is_over = true;
        } else {
            waiting.kept += usize::from(is_kept);
            waiting.is_over = event.kind == EventKind::Deleted;
            waiting.events.push_back(event.clone());
        }
        drop(waiting);
        self.changed.notify_all();
    }
}

impl Waiting {
    fn leave_one_out(&mut self) {
        let oldest = self.events.iter().position(|it| !is_kept(&it.kind));
        if let Some(oldest) = oldest {
            self.events.remove(oldest);
            self.lost += 1;
        }
    }
}

impl Hub {
    pub(super) fn tell(&mut self, at: Timestamp, kind: EventKind) {
        let event = Event { at, kind };
        self.listeners.retain(|listener| match listener.upgrade() {
            Some(queue) => {
                queue.push(&event);
                true
            }
            None => false,
        });
        if is_step(&event.kind) {
            self.steps.push(event);
        }
    }

    pub(super) fn listen(&mut self) -> Events {
        let queue = Arc::new(Queue::default());
        for event in &self.steps {
            queue.push(event);
        }
        self.listeners.push(Arc::downgrade(&queue));
        Events { queue }
    }
}

/// Whether it is never left out.
fn is_kept(kind: &EventKind) -> bool {
    is_step(kind) || matches!(kind, EventKind::Exited { .. })
}

/// Whether it is a step of the container itself, of which there are four in its life.
fn is_step(kind: &EventKind) -> bool {
    match kind {
        EventKind::Created
        | EventKind::Started { .. }
        | EventKind::Exited { exec: None, .. }
        | EventKind::Deleted => true,
        EventKind::Exited { exec: Some(_), .. }
        | EventKind::ExecAdded { .. }
        | EventKind::ExecStarted { .. }
        | EventKind::MemoryLimit
        | EventKind::ProcessLimit
        | EventKind::Paused
        | EventKind::Resumed => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use crate::record::Exit;

    fn exit(exec: Option<&str>) -> EventKind {
        let exit = Exit {
            code: 0,
            at: Timestamp::UNIX_EPOCH,
            memory_limit: false,
        };
        let exec = exec.map(|it| Id::parse(it).unwrap());
        EventKind::Exited { exec, exit }
    }

    fn heard(events: &Events) -> Vec<EventKind> {
        std::iter::from_fn(|| events.next(Duration::ZERO).map(|it| it.kind)).collect()
    }

    #[test]
    fn a_late_listener_hears_the_steps_so_far_and_everything_from_then_on() {
        let mut hub = Hub::default();
        hub.tell(Timestamp::UNIX_EPOCH, EventKind::Created);
        hub.tell(Timestamp::UNIX_EPOCH, EventKind::Started { pid: 1 });
        hub.tell(Timestamp::UNIX_EPOCH, EventKind::MemoryLimit);
        let late = hub.listen();
        hub.tell(Timestamp::UNIX_EPOCH, EventKind::Paused);
        let expected = [
            EventKind::Created,
            EventKind::Started { pid: 1 },
            EventKind::Paused,
        ];
        assert_eq!(heard(&late), expected);
        assert!(!late.is_over());
    }

    #[test]
    fn a_listener_that_never_listens_loses_no_end_and_does_not_grow_beyond_its_bound() {
        let mut hub = Hub::default();
        let events = hub.listen();
        for _ in 0..2 * MOST {
            hub.tell(Timestamp::UNIX_EPOCH, EventKind::MemoryLimit);
            hub.tell(Timestamp::UNIX_EPOCH, exit(Some("a")));
        }
        assert_eq!(events.lost(), 1024);
        let heard = heard(&events);
        assert_eq!(heard.len(), 3 * MOST);
        let ends = heard.iter().filter(|it| **it == exit(Some("a")));
        assert_eq!(ends.count(), 2 * MOST);
    }

    #[test]
    fn a_listener_that_would_lose_an_end_is_cut_off_and_told() {
        let mut hub = Hub::default();
        let events = hub.listen();
        for _ in 0..=MOST_KEPT {
            hub.tell(Timestamp::UNIX_EPOCH, exit(Some("a")));
        }
        assert!(events.is_cut() && !events.is_over());
        assert_eq!(heard(&events).len(), MOST_KEPT);
        assert!(events.is_over());
    }

    #[test]
    fn listeners_that_are_gone_are_forgotten() {
        let mut hub = Hub::default();
        for _ in 0..100 {
            drop(hub.listen());
        }
        hub.tell(Timestamp::UNIX_EPOCH, EventKind::MemoryLimit);
        assert_eq!(hub.listeners.len(), 0);
    }

    #[test]
    fn nothing_follows_the_deletion() {
        let mut hub = Hub::default();
        let events = hub.listen();
        hub.tell(Timestamp::UNIX_EPOCH, EventKind::Deleted);
        assert_eq!(heard(&events), [EventKind::Deleted]);
        assert!(events.is_over());
        assert_eq!(events.next(Duration::from_hours(1)), None);
    }
}
