//! The work queue: which key is worked on next, never the same one twice at once, and when a failed one is tried again.
//!
//! ```text
//!              add                    take                     done(Success)
//!   (absent) ───────▶ ready (FIFO) ─────────▶ running ───────────────────────▶ (absent)
//!      ▲                 ▲                      │  │ add: marked dirty
//!      │    when due     │   dirty, or at once  │  │
//!   delayed ─────────────┴──────────────────────┘  │ done(Failure): back-off
//!      ▲───────────────────────────────────────────┘
//! ```
//!
//! The core here is plain data: time is passed in. [`driver`] puts a lock and workers around it.

pub mod driver;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// The delay after the first failure of a key.
pub const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest delay between two tries of a failing key.
pub const MAX_BACKOFF: Duration = Duration::from_mins(5);

/// How the work on a key ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded; with a delay it is looked at again even if nothing happens. The failure count starts at zero again.
    Success(Option<Duration>),
    /// It failed: it is tried again after the back-off, but not before `at_least`.
    Failure {
        /// The shortest delay, for instance what the server asked for.
        at_least: Duration,
    },
    /// What it was decided on was out of date: again at once the first times, then with back-off like a failure.
    Stale,
}

/// A key was handed to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken<K> {
    /// The key.
    pub key: K,
    /// How long it was ready before a worker took it.
    pub waited: Duration,
}

/// How many stale ends in a row are answered at once; more than these are a fight with another writer.
const QUICK_STALE: u32 = 3;
/// The delay after one of the first stale ends: long enough for the watch event that is on its way.
const STALE_DELAY: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, Default)]
struct Entry {
    ready_since: Option<Instant>,
    running_since: Option<Instant>,
    dirty: bool,
    due: Option<Instant>,
    failures: u32,
    stale: u32,
}

/// The keys that wait, run or are delayed.
///
/// *Guarantees*: a key is never taken while it runs; an add while it runs makes it ready again when it is done; a key
/// that is ready is taken after at most as many other takes as there were ready keys before it; of several delays for
/// one key the earliest counts.
#[derive(Clone, Debug)]
pub struct Queue<K> {
    entries: BTreeMap<K, Entry>,
    ready: VecDeque<K>,
    delayed: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Clone> Default for Queue<K> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            ready: VecDeque::new(),
            delayed: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone> Queue<K> {
    /// Makes a key ready. Returns whether that is news: false where it was ready or marked already.
    pub fn add(&mut self, key: K, now: Instant) -> bool {
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.running_since.is_some() {
            return !std::mem::replace(&mut entry.dirty, true);
        }
        if entry.ready_since.is_some() {
            return false;
        }
        entry.ready_since = Some(now);
        if let Some(due) = entry.due.take() {
            self.delayed.remove(&(due, key.clone()));
        }
        self.ready.push_back(key);
        true
    }

    /// Makes a key ready after a delay. An earlier delay that is already set stays.
    pub fn add_after(&mut self, key: K, delay: Duration, now: Instant) {
        let Some(due) = now.checked_add(delay) else {
            return;
        };
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.ready_since.is_some() || entry.due.is_some_and(|earlier| earlier <= due) {
            return;
        }
        if let Some(later) = entry.due.replace(due) {
            self.delayed.remove(&(later, key.clone()));
        }
        self.delayed.insert((due, key));
    }

    /// Hands out the key that has been ready longest, and marks it as running.
    pub fn take(&mut self, now: Instant) -> Option<Taken<K>> {
        self.promote(now);
        let key = self.ready.pop_front()?;
        let entry = self.entries.entry(key.clone()).or_default();
        let since = entry.ready_since.take().unwrap_or(now);
        entry.running_since = Some(now);
        Some(Taken {
            key,
            waited: now.saturating_duration_since(since),
        })
    }

    /// Ends the work on a key. Returns how long it ran and, where it failed, after what time it is tried again.
    pub fn done(
        &mut self,
        key: &K,
        outcome: Outcome,
        now: Instant,
    ) -> (Duration, Option<Duration>) {
        let Some(entry) = self.entries.get_mut(key) else {
            return (Duration::ZERO, None);
        };
        let ran = entry
            .running_since
            .take()
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let dirty = std::mem::take(&mut entry.dirty);
        let (again, retry) = entry.settle(outcome);
        if dirty {
            self.add(key.clone(), now);
        } else if let Some(delay) = again {
            self.add_after(key.clone(), delay, now);
        }
        let idle = |e: &Entry| {
            e.ready_since.is_none() && e.due.is_none() && e.failures == 0 && e.stale == 0
        };
        if self.entries.get(key).is_some_and(idle) {
            self.entries.remove(key);
        }
        (ran, retry)
    }

    /// Moves the delayed keys whose time has come to the end of the ready ones, the earliest first.
    fn promote(&mut self, now: Instant) {
        while let Some((due, _)) = self.delayed.first()
            && *due <= now
            && let Some((due, key)) = self.delayed.pop_first()
        {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.due = None;
            }
            self.add(key, due);
        }
    }

    /// When the next delayed key becomes ready; none while a key is ready or nothing is delayed.
    pub fn next_due(&self) -> Option<Instant> {
        self.delayed.first().map(|(due, _)| *due)
    }

    /// How many keys are ready.
    pub fn depth(&self) -> usize {
        self.ready.len()
    }

    /// Whether no key is ready or delayed.
    pub fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.delayed.is_empty()
    }

    /// For how long the keys that run have been running.
    pub fn running(&self, now: Instant) -> impl Iterator<Item = Duration> {
        self.entries
            .values()
            .filter_map(move |e| Some(now.saturating_duration_since(e.running_since?)))
    }
}

impl Entry {
    /// Counts the outcome. Returns after what time the key is due again, and the same where that is a retry.
    fn settle(&mut self, outcome: Outcome) -> (Option<Duration>, Option<Duration>) {
        match outcome {
            Outcome::Success(again) => {
                (self.failures, self.stale) = (0, 0);
                (again, None)
            }
            Outcome::Failure { at_least } => {
                let delay = backoff(self.failures).max(at_least);
                self.failures = self.failures.saturating_add(1);
                (Some(delay), Some(delay))
            }
            Outcome::Stale if self.stale < QUICK_STALE => {
                self.stale = self.stale.saturating_add(1);
                (Some(STALE_DELAY), Some(STALE_DELAY))
            }
            Outcome::Stale => self.settle(Outcome::Failure {
                at_least: Duration::ZERO,
            }),
        }
    }
}

/// The delay after `failures` failures before this one: 1 s, 2 s, 4 s … 5 min.
pub fn backoff(failures: u32) -> Duration {
    FIRST_BACKOFF
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests;
