//! `Calendar`: when a Scheduled task is due on each of its nodes. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::desired::{Desired, Schedule};
use crate::observed::{NodeView, Observed};
use crate::plan::budget;
use crate::plan::tally::{Tally, later};
use crate::schedule::Cron;

/// How many times of the schedule within the jitter are looked up in advance.
const KNOWN: usize = 64;

/// The schedule of a task, as seen at one moment.
#[derive(Debug)]
pub(super) struct Calendar<'a> {
    desired: &'a Desired,
    schedule: &'a Schedule,
    cron: Cron,
    created: Timestamp,
    now: Timestamp,
    /// The times that passed within the jitter, and one before, newest first.
    passed: Vec<Timestamp>,
    /// The next time.
    pub(super) next: Option<Timestamp>,
}

/// A time of the schedule on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// The time.
    pub(super) tick: Timestamp,
    /// When the node's turn is: the time and the node's share of the jitter.
    pub(super) at: Timestamp,
    /// Until when it may be started; none: until the next time.
    pub(super) until: Option<Timestamp>,
}

impl<'a> Calendar<'a> {
    /// Tells when it last was time, and when it is next.
    pub(super) fn tell(&self, tally: &mut Tally) {
        tally.last_tick = self.newest();
        tally.next_tick = self.next;
        if let Some(next) = self.next {
            tally.wake.at(next);
        }
    }

    /// The calendar of a task; none of one without a schedule.
    pub(super) fn of(desired: &'a Desired, observed: &Observed, now: Timestamp) -> Option<Self> {
        let schedule = desired.schedule.as_ref()?;
        let cron = Cron::parse(&schedule.cron, &schedule.time_zone).ok()?;
        let mut calendar = Self {
            desired,
            schedule,
            created: observed.created,
            now,
            passed: Vec::new(),
            next: cron.next(now),
            cron,
        };
        let mut before = Some(now);
        while let Some(tick) = before.and_then(|before| calendar.last(before)) {
            calendar.passed.push(tick);
            let is_enough = later(tick, schedule.jitter) <= now || calendar.passed.len() >= KNOWN;
            before = (!is_enough)
                .then(|| tick.checked_sub(Duration::from_nanos(1)).ok())
                .flatten();
        }
        Some(calendar)
    }

    /// The last time the task was due, not counting the nodes' jitter.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.passed.first().copied()
    }

    /// The last time the task was due at a moment, after it was created.
    fn last(&self, at: Timestamp) -> Option<Timestamp> {
        self.cron.last(at).filter(|tick| *tick > self.created)
    }

    /// The time that is due on a node: of several that passed, the last.
    pub(super) fn due(&self, node: &NodeView) -> Option<Due> {
        let share = self.share(node);
        let mut passed = self.passed.iter().copied();
        let known = passed.find(|tick| later(*tick, share) <= self.now);
        let tick = match known {
            None if self.passed.len() >= KNOWN => self.last(self.now.checked_sub(share).ok()?)?,
            known => known?,
        };
        let at = later(tick, share);
        let deadline = self.schedule.starting_deadline;
        Some(Due {
            tick,
            at,
            until: deadline.map(|deadline| later(at, deadline)),
        })
    }

    /// When the node's next turn is.
    pub(super) fn turn(&self, node: &NodeView) -> Option<Timestamp> {
        let share = self.share(node);
        let waiting = self.passed.iter().copied();
        let waiting = waiting.map(|tick| later(tick, share));
        let first = waiting.filter(|at| *at > self.now).min();
        first.or_else(|| self.next.map(|tick| later(tick, share)))
    }

    /// The node's share of the jitter, always the same, in whole seconds.
    fn share(&self, node: &NodeView) -> Duration {
        let seconds = self.schedule.jitter.as_secs();
        if seconds == 0 {
            return Duration::ZERO;
        }
        let place = budget::place(&node.uid, &self.desired.uid);
        let number = place
            .iter()
            .take(8)
            .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        Duration::from_secs(number % seconds)
    }
}
