//! `Survey`: the walk over the nodes of a Scheduled task: how their last run ended, and which are due.

use std::borrow::Cow;

use hosttask_crds::node::{LedgerEntry, LedgerState};
use hosttask_crds::task::ConcurrencyPolicy;
use jiff::Timestamp;

use super::calendar::{Calendar, Due};
use crate::desired::Desired;
use crate::observed::{JobView, NodeView, Observed};
use crate::plan::course::{Standing, WaveTally};
use crate::plan::failure::Verdict;
use crate::plan::order::FirstGroup;
use crate::plan::outcome::{COMPLIANT, announce, ended, failure, result, tries};
use crate::plan::reach::{Reach, reach};
use crate::plan::site::{Children, Site, first_step, is_success};
use crate::plan::tally::Tally;
use crate::plan::{Action, Note};
use crate::revision::Run;

/// A node and what would be run there.
pub(super) type Candidate<'a> = (&'a NodeView, Run);

/// The walk over the nodes.
pub(super) struct Survey<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    pub(super) standing: Standing<'a>,
    pub(super) calendar: Option<&'a Calendar<'a>>,
    pub(super) now: Timestamp,
    pub(super) found: Found<'a>,
}

/// What a walk found.
#[derive(Default)]
pub(super) struct Found<'a> {
    pub(super) tally: Tally,
    /// All nodes: waves do not count for a schedule.
    pub(super) wave: WaveTally,
    /// Nodes that answer and had a run.
    pub(super) ran: i32,
    /// Writes that wait for nothing: results, and Jobs of former machines that go.
    pub(super) actions: Vec<Action>,
    /// What deletes Jobs of older revisions that never started their program.
    pub(super) stuck: Vec<Action>,
    /// What deletes Jobs that still run when their node is due again.
    pub(super) replaced: Vec<Action>,
    pub(super) notes: Vec<Note>,
    /// Nodes whose check found something to do: the program follows, in the slot the node holds.
    pub(super) follow: Vec<Candidate<'a>>,
    /// Nodes whose retry is due.
    pub(super) again: Vec<Candidate<'a>>,
    /// Nodes that are due.
    pub(super) fresh: Vec<Candidate<'a>>,
    /// The first group with work, where groups follow one another.
    pub(super) group: FirstGroup<'a>,
}

impl<'a> Survey<'a> {
    /// Walks over all nodes.
    pub(super) fn walk(mut self) -> Found<'a> {
        if self.desired.job.check.is_some() {
            self.found.tally.compliant = Some(0);
            self.found.tally.non_compliant = Some(0);
        }
        let mut children = Children::of(self.observed);
        for node in &self.observed.nodes {
            self.node(node, &children.take(node));
        }
        for node in &self.observed.left {
            self.entry(&children.take(node));
        }
        self.found
    }

    fn node(&mut self, node: &'a NodeView, site: &Site<'a>) {
        self.found.tally.desired += 1;
        let (entry, follow) = self.entry(site);
        let due = self.calendar.and_then(|calendar| calendar.due(node));
        if let Some(turn) = self.calendar.and_then(|calendar| calendar.turn(node)) {
            self.found.tally.wake.at(turn);
        }
        self.found.actions.extend(site.strangers());
        self.found.stuck.extend(site.stuck(self.standing.update));
        let running = site.running(self.standing.update);
        let leftover = site.leftover();
        // The next time of the schedule makes the one before void.
        let follow = follow.filter(|run| run.tick == due.map(|due| due.tick));
        if running.is_none() && leftover.is_none() && follow.is_none() && !self.answers(node) {
            return;
        }
        self.found.tally.base += 1;
        self.found.wave.base += 1;
        self.last_run(node, entry.as_deref(), due, running.is_some());
        if let Some(job) = running {
            self.hold();
            return self.running(node, site, job, due);
        }
        if let Some(reason) = leftover {
            self.hold();
            return self.wait(node, reason);
        }
        if let Some(run) = follow {
            self.hold();
            self.found.follow.push((node, run));
            return self.progress(node, "not compliant");
        }
        if let Some(due) = due {
            self.start(node, site, entry.as_deref(), due);
        }
    }

    /// Whether a node can be started: one that does not answer has no turn.
    fn answers(&mut self, node: &NodeView) -> bool {
        let away = match reach(node, self.desired, false, self.now) {
            Reach::Here => return true,
            Reach::Limbo { until } => {
                self.found.wave.disturbed += 1;
                Some(until)
            }
            Reach::Away => None,
        };
        self.found.tally.unreachable += 1;
        if let Some(until) = away {
            self.found.tally.wake.at(until);
        }
        false
    }

    /// The entry of the last run, with the result of a Job that ended since, or the program that is to follow.
    fn entry(&mut self, site: &Site<'a>) -> (Option<Cow<'a, LedgerEntry>>, Option<Run>) {
        let last = self.observed.ledger.get(&site.node.name);
        let end = site.ended(None, last);
        let new = end.and_then(|(job, end)| result(self.desired, site.node, job, end, last));
        if let Some(entry) = new {
            self.found.notes.extend(announce(site.node, &entry));
            self.found.actions.push(Action::RecordResult {
                node: site.node.name.clone(),
                entry: Box::new(entry.clone()),
            });
            return (Some(Cow::Owned(entry)), None);
        }
        (last.map(Cow::Borrowed), site.follows(end))
    }

    /// Counts how the last run ended. While the next one is under way it still is the last one.
    fn last_run(
        &mut self,
        node: &NodeView,
        entry: Option<&LedgerEntry>,
        due: Option<Due>,
        runs: bool,
    ) {
        let Some(entry) = entry else {
            return;
        };
        self.found.ran += 1;
        let is_current = due.is_some_and(|due| tick(entry) >= Some(due.tick));
        let tally = &mut self.found.tally;
        tally.updated += i32::from(is_current && !runs);
        match entry.state {
            LedgerState::NonCompliant => count(&mut tally.non_compliant),
            LedgerState::Failed => {
                let retry = entry.next_retry_time.as_ref().map(|time| time.0);
                tally.fail(ended(entry), failure(node, entry, retry));
            }
            LedgerState::Succeeded | LedgerState::RebootPending => {
                tally.healthy += 1;
                tally.good += 1;
                if entry.reason.as_deref() == Some(COMPLIANT) {
                    count(&mut tally.compliant);
                }
            }
        }
    }

    fn running(&mut self, node: &'a NodeView, site: &Site<'a>, job: &JobView, due: Option<Due>) {
        let is_over = due.is_some_and(|due| Some(due.tick) > job.tick && self.is_in_time(due));
        let schedule = self.desired.schedule.as_ref();
        let policy = schedule.map(|schedule| schedule.concurrency);
        if is_over && policy == Some(ConcurrencyPolicy::Replace) {
            self.found.replaced.extend(site.replaced());
            return self.progress(node, "its Job is replaced");
        }
        match site.judge(job, self.desired, self.now) {
            Some(Verdict::Failed { failure, .. }) => {
                self.found.group.meet(self.desired, node);
                return self.found.tally.fail(job.created, failure);
            }
            Some(Verdict::Starting { until }) => self.found.tally.wake.at(until),
            Some(Verdict::Healthy) | None => {}
        }
        self.progress(node, site.progress(job));
    }

    /// A node that is due, and on which nothing runs.
    fn start(
        &mut self,
        node: &'a NodeView,
        site: &Site<'a>,
        entry: Option<&LedgerEntry>,
        due: Due,
    ) {
        let current = entry.filter(|entry| tick(entry) >= Some(due.tick));
        let tried = site.tried(self.standing.update, Some(due.tick));
        let run = Run {
            tick: Some(due.tick),
            attempt: tried
                .max(current.map_or(0, |entry| entry.attempts))
                .saturating_add(1),
            step: first_step(self.desired),
        };
        let held = node.unschedulable && !self.desired.placement.include_unschedulable;
        let Some(entry) = current else {
            if self.is_skipped(entry, due) || !(self.is_in_time(due) || tried > 0) {
                return;
            }
            if let Some(until) = due.until.filter(|until| *until > self.now) {
                self.found.tally.wake.at(until);
            }
            self.wait(node, "due");
            if held {
                self.found.tally.cordoned += 1;
            } else {
                self.found.fresh.push((node, run));
            }
            return;
        };
        let retry = entry.next_retry_time.as_ref().map(|time| time.0);
        let is_last = is_success(entry) || tries(entry) > self.desired.job.retry_limit;
        match retry.filter(|_| !is_last) {
            Some(time) if time > self.now => self.found.tally.wake.at(time),
            Some(_) if !held => {
                self.found.group.meet(self.desired, node);
                self.found.again.push((node, run));
            }
            Some(_) | None => {}
        }
    }

    /// Whether the run before was still under way when this one was due. (One that is replaced has no entry.)
    fn is_skipped(&self, last: Option<&LedgerEntry>, due: Due) -> bool {
        let schedule = self.desired.schedule.as_ref();
        let forbids =
            schedule.is_some_and(|schedule| schedule.concurrency == ConcurrencyPolicy::Forbid);
        forbids && last.is_some_and(|last| ended(last) > due.at)
    }

    fn is_in_time(&self, due: Due) -> bool {
        due.until.is_none_or(|until| until > self.now)
    }

    fn wait(&mut self, node: &'a NodeView, reason: &str) {
        self.found.group.meet(self.desired, node);
        self.found.tally.pending += 1;
        self.found.tally.wait_for(&node.name, reason);
    }

    fn progress(&mut self, node: &'a NodeView, reason: &str) {
        self.found.group.meet(self.desired, node);
        self.found.tally.in_progress += 1;
        self.found.tally.wait_for(&node.name, reason);
    }

    /// The node holds a slot.
    fn hold(&mut self) {
        self.found.wave.in_flight += 1;
        self.found.wave.disturbed += 1;
    }
}

fn tick(entry: &LedgerEntry) -> Option<Timestamp> {
    entry.scheduled_time.as_ref().map(|time| time.0)
}

fn count(counter: &mut Option<i32>) {
    *counter = Some(counter.unwrap_or(0).saturating_add(1));
}
