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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOON: Outcome = Outcome::Success(None);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn keys_are_taken_in_the_order_of_their_first_add() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for key in ["b", "a", "b", "c"] {
            queue.add(key, now);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.take(now).map(|t| t.key)).collect();
        assert_eq!(order, ["b", "a", "c"]);
    }

    #[test]
    fn an_add_while_a_key_runs_makes_it_ready_when_it_is_done_and_not_before() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add("a", now);
        assert!(queue.take(now).is_some());
        assert!(queue.add("a", now));
        assert!(queue.take(now).is_none(), "it runs");
        queue.done(&"a", SOON, now);
        assert!(queue.take(now).is_some(), "the add was not lost");
        queue.done(&"a", SOON, now);
        assert!(queue.take(now).is_none());
        assert!(queue.entries.is_empty(), "a finished key costs no memory");
    }

    #[test]
    fn of_several_delays_the_earliest_wins() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add_after("a", seconds(10), now);
        queue.add_after("a", seconds(3), now);
        queue.add_after("a", seconds(7), now);
        assert!(queue.take(now + seconds(2)).is_none());
        assert_eq!(queue.next_due(), Some(now + seconds(3)));
        assert!(queue.take(now + seconds(3)).is_some());
        queue.done(&"a", SOON, now + seconds(3));
        assert!(
            queue.take(now + seconds(60)).is_none(),
            "the later delays are gone"
        );
    }

    #[test]
    fn a_failing_key_backs_off_to_five_minutes_and_starts_afresh_after_a_success() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        let mut delays = Vec::new();
        queue.add("a", now);
        for _ in 0..12 {
            assert!(queue.take(now).is_some());
            let (_, retry) = queue.done(
                &"a",
                Outcome::Failure {
                    at_least: Duration::ZERO,
                },
                now,
            );
            let delay = retry.expect("a failure is tried again");
            delays.push(delay.as_secs());
            assert!(
                queue
                    .take(now + delay.saturating_sub(Duration::from_millis(1)))
                    .is_none()
            );
            now += delay;
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert!(queue.take(now).is_some());
        queue.done(&"a", SOON, now);
        queue.add("a", now);
        queue.take(now);
        let retry = queue
            .done(
                &"a",
                Outcome::Failure {
                    at_least: seconds(5),
                },
                now,
            )
            .1;
        assert_eq!(
            retry,
            Some(seconds(5)),
            "the first delay again, but not below what was asked for"
        );
    }

    #[test]
    fn stale_ends_are_answered_quickly_at_first_and_then_with_back_off() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.add("a", now);
        let mut delays = Vec::new();
        for _ in 0..5 {
            queue.take(now);
            let delay = queue.done(&"a", Outcome::Stale, now).1.unwrap_or_default();
            delays.push(delay);
            now += delay;
        }
        assert_eq!(
            delays,
            [
                STALE_DELAY,
                STALE_DELAY,
                STALE_DELAY,
                seconds(1),
                seconds(2)
            ]
        );
    }

    #[test]
    fn with_a_thousand_keys_and_two_workers_every_key_is_processed_in_order() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for key in 0..1_000 {
            queue.add(key, now);
        }
        let (mut running, mut processed): (VecDeque<i32>, Vec<i32>) = (VecDeque::new(), Vec::new());
        loop {
            while running.len() < 2
                && let Some(taken) = queue.take(now)
            {
                running.push_back(taken.key);
            }
            let Some(key) = running.pop_front() else {
                break;
            };
            queue.done(&key, SOON, now);
            processed.push(key);
        }
        assert_eq!(processed, (0..1_000).collect::<Vec<_>>());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(u8),
        After(u8, u64),
        Take,
        Done(usize, u8),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u8..6).prop_map(Step::Add),
            (0_u8..6, 0_u64..400).prop_map(|(k, s)| Step::After(k, s)),
            Just(Step::Take),
            (0_usize..8, 0_u8..4).prop_map(|(i, o)| Step::Done(i, o)),
            (0_u64..400).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn no_key_runs_twice_at_once_and_no_add_is_lost(steps in proptest::collection::vec(step(), 1..200)) {
            let (mut queue, mut now) = (Queue::default(), Instant::now());
            let mut running: Vec<u8> = Vec::new();
            // keys that were added and must still be taken at least once
            let mut owed: BTreeSet<u8> = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Add(key) => { queue.add(key, now); owed.insert(key); }
                    Step::After(key, delay) => { queue.add_after(key, seconds(delay), now); owed.insert(key); }
                    Step::Take => if let Some(taken) = queue.take(now) {
                        prop_assert!(!running.contains(&taken.key), "{} runs already", taken.key);
                        running.push(taken.key);
                        owed.remove(&taken.key);
                    },
                    Step::Done(at, how) => if !running.is_empty() {
                        let key = running.remove(at % running.len());
                        let outcome = match how {
                            0 => SOON,
                            1 => Outcome::Success(Some(seconds(30))),
                            2 => Outcome::Failure { at_least: Duration::ZERO },
                            _ => Outcome::Stale,
                        };
                        queue.done(&key, outcome, now);
                        if how > 0 { owed.insert(key); }
                    },
                    Step::Wait(delay) => now += seconds(delay),
                }
            }
            for key in running.drain(..) {
                queue.done(&key, SOON, now);
            }
            now += seconds(1_000);
            while let Some(taken) = queue.take(now) {
                owed.remove(&taken.key);
                queue.done(&taken.key, SOON, now);
            }
            prop_assert!(owed.is_empty(), "lost: {owed:?}");
            prop_assert!(queue.entries.is_empty() && queue.is_idle(), "left over: {queue:?}");
        }
    }
}
