//! `Survey`: the walk over the nodes of a RunOnce task: what is counted, wave by wave, and which nodes could be started.
//!
//! Longer than 400 lines: one walk over the nodes, each case beside the next.

use std::borrow::Cow;

use hosttask_crds::node::{LedgerEntry, LedgerState};
use hosttask_crds::task::NodeFailure;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::desired::Desired;
use crate::observed::{JobView, NodeView, Observed};
use crate::plan::course::{Standing, WaveTally};
use crate::plan::failure::Verdict;
use crate::plan::order::FirstGroup;
use crate::plan::outcome::{COMPLIANT, announce, ended, failure, result, tries};
use crate::plan::reach::{Reach, reach, regressed};
use crate::plan::site::{Children, Site, first_step, is_rebooted, is_success};
use crate::plan::tally::{Tally, later};
use crate::plan::{Action, Note};
use crate::revision::Run;

/// A node and what would be run there.
pub(super) type Candidate<'a> = (&'a NodeView, Run);

/// The walk over the nodes.
pub(super) struct Survey<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    pub(super) standing: Standing<'a>,
    pub(super) now: Timestamp,
    pub(super) found: Found<'a>,
}

/// What a walk found.
#[derive(Default)]
pub(super) struct Found<'a> {
    pub(super) tally: Tally,
    /// Writes that wait for nothing: results, and Jobs of former machines that go.
    pub(super) actions: Vec<Action>,
    /// What deletes Jobs of older revisions that never started their program.
    pub(super) stuck: Vec<Action>,
    pub(super) notes: Vec<Note>,
    /// Wave by wave, in the order of `desired.waves`.
    pub(super) waves: Vec<Area<'a>>,
}

/// What was found in one wave.
#[derive(Default)]
pub(super) struct Area<'a> {
    pub(super) tally: WaveTally,
    /// Nodes whose check found something to do: the program follows, in the slot the node holds.
    pub(super) follow: Vec<Candidate<'a>>,
    /// Nodes whose retry is due.
    pub(super) again: Vec<Candidate<'a>>,
    /// Nodes that were not started yet.
    pub(super) fresh: Vec<Candidate<'a>>,
    /// The first group with work, where groups follow one another.
    pub(super) group: FirstGroup<'a>,
}

impl<'a> Survey<'a> {
    /// Walks over all nodes.
    pub(super) fn walk(mut self) -> Found<'a> {
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
        let running = site.running(self.standing.update);
        self.found.actions.extend(site.strangers());
        self.found.stuck.extend(site.stuck(self.standing.update));
        let leftover = site.leftover();
        let is_done = entry
            .as_deref()
            .is_some_and(|entry| self.is_done(entry, node));
        if running.is_some() || leftover.is_some() || (follow.is_some() && !is_done) {
            self.hold(node);
        }
        match (entry, running, leftover) {
            (Some(entry), ..) if is_done => self.done(node, &entry),
            (_, Some(job), _) => self.running(node, site, job),
            (_, None, Some(reason)) => self.leftover(node, reason),
            (entry, None, None) => match follow {
                Some(run) => self.follow(node, run),
                None => self.startable(node, site, entry),
            },
        }
    }

    fn area(&mut self, node: &NodeView) -> Option<&mut Area<'a>> {
        self.found.waves.get_mut(node.wave)
    }

    /// The ledger's entry as far as it counts for the update revision, with the result of a Job that ended since, or the
    /// program that is to follow.
    fn entry(&mut self, site: &Site<'a>) -> (Option<Cow<'a, LedgerEntry>>, Option<Run>) {
        let update = self.standing.update;
        let last = self.observed.ledger.get(&site.node.name);
        let end = site.ended(Some(update), last);
        let new = end.and_then(|(job, end)| result(self.desired, site.node, job, end, last));
        if let Some(entry) = new {
            self.found.notes.extend(announce(site.node, &entry));
            self.record(site.node, &entry);
            return (Some(Cow::Owned(entry)), None);
        }
        let any = !self.desired.job.rerun_on.spec_change;
        let counts = |entry: &&LedgerEntry| entry.revision == update || (any && is_success(entry));
        let entry = last.filter(counts);
        let entry = match entry {
            Some(entry) if self.is_retried(entry) => {
                let entry = tried_again(entry);
                self.record(site.node, &entry);
                Some(Cow::Owned(entry))
            }
            entry => entry.map(Cow::Borrowed),
        };
        (entry, site.follows(end))
    }

    fn record(&mut self, node: &NodeView, entry: &LedgerEntry) {
        self.found.actions.push(Action::RecordResult {
            node: node.name.clone(),
            entry: Box::new(entry.clone()),
        });
    }

    /// Whether somebody asked that this failure be tried again, by the annotation `hosttask.dev/retry`.
    fn is_retried(&self, entry: &LedgerEntry) -> bool {
        self.standing.answers
            && entry.state == LedgerState::Failed
            && entry.earlier_attempts != Some(entry.attempts)
    }

    fn is_done(&self, entry: &LedgerEntry, node: &NodeView) -> bool {
        let job = &self.desired.job;
        match entry.state {
            LedgerState::Failed => false,
            LedgerState::NonCompliant => job.check_only,
            LedgerState::Succeeded | LedgerState::RebootPending => {
                !is_rebooted(job.rerun_on, entry, node)
            }
        }
    }

    /// A node that ran the program, or needs not.
    fn done(&mut self, node: &'a NodeView, entry: &LedgerEntry) {
        self.base(node);
        let tally = &mut self.found.tally;
        tally.updated += 1;
        if entry.state == LedgerState::NonCompliant {
            return count(&mut tally.non_compliant);
        }
        if entry.reason.as_deref() == Some(COMPLIANT) {
            count(&mut tally.compliant);
        }
        let since = entry.start_time.as_ref().map(|time| time.0);
        if let Some(since) = since.filter(|_| !self.standing.finished)
            && self.broke(node, since)
        {
            return;
        }
        self.found.tally.healthy += 1;
        self.found.tally.good += 1;
        if let Some(area) = self.area(node) {
            area.tally.good += 1;
        }
    }

    /// Whether a node that ran the program since `since` lost Ready, or a condition, after that: it is counted then.
    fn broke(&mut self, node: &'a NodeView, since: Timestamp) -> bool {
        if let Some((kind, status)) = regressed(node, self.desired, since) {
            let message =
                format!("the node's condition {kind} became {status} after the program ran");
            self.hold(node);
            self.lost(node, since, "NodeRegressed", message);
            return true;
        }
        let left = node
            .ready_changed
            .filter(|left| !node.ready && *left >= since);
        let Some(left) = left else {
            return false;
        };
        self.hold(node);
        let until = self.grace(left);
        if until <= self.now {
            let message = "the node stopped answering after the program ran".to_owned();
            self.lost(node, since, "NodeNotReady", message);
        } else {
            self.in_progress(node, "node not ready");
            self.found.tally.wake.at(until);
        }
        true
    }

    fn running(&mut self, node: &'a NodeView, site: &Site<'a>, job: &JobView) {
        self.base(node);
        self.found.tally.without_pod += i32::from(!site.has_pods());
        if job.revision != self.standing.update {
            self.open(node);
            let tally = &mut self.found.tally;
            tally.pending += 1;
            return tally.wait_for(&node.name, "an older revision runs");
        }
        if !self.standing.finished && self.breaks(node, job) {
            return self.open(node);
        }
        // The user has to see what keeps the program from starting; the Job goes on, for it may recover.
        match site.judge(job, self.desired, self.now) {
            Some(Verdict::Failed { failure, .. }) => {
                self.open(node);
                return self.found.tally.fail(job.created, failure);
            }
            Some(Verdict::Starting { until }) => self.found.tally.wake.at(until),
            Some(Verdict::Healthy) | None => {}
        }
        let reason = site.progress(job);
        self.in_progress(node, reason);
    }

    /// Whether a node broke while its Job runs: it is a failure then, though the Job may still end well.
    fn breaks(&mut self, node: &'a NodeView, job: &JobView) -> bool {
        if let Some((kind, status)) = regressed(node, self.desired, job.created) {
            let message =
                format!("the node's condition {kind} became {status} while the program ran");
            self.fail(node, job.created, "NodeRegressed", message);
            return true;
        }
        let left = node.ready_changed;
        let Some(left) = left.filter(|left| !node.ready && *left >= job.created) else {
            return false;
        };
        let until = self.grace(left);
        if until > self.now {
            self.found.tally.wake.at(until);
            return false;
        }
        let message = "the node stopped answering while the program ran".to_owned();
        self.fail(node, job.created, "NodeNotReady", message);
        true
    }

    fn grace(&self, left: Timestamp) -> Timestamp {
        let desired = self.desired;
        later(left, desired.start_grace.saturating_add(desired.min_ready))
    }

    fn leftover(&mut self, node: &'a NodeView, reason: &str) {
        self.base(node);
        self.open(node);
        self.found.tally.pending += 1;
        self.found.tally.wait_for(&node.name, reason);
    }

    fn follow(&mut self, node: &'a NodeView, run: Run) {
        self.base(node);
        self.in_progress(node, "not compliant");
        if let Some(area) = self.area(node) {
            area.follow.push((node, run));
        }
    }

    /// A node on which nothing runs and that is not done.
    fn startable(
        &mut self,
        node: &'a NodeView,
        site: &Site<'a>,
        entry: Option<Cow<'a, LedgerEntry>>,
    ) {
        match reach(node, self.desired, false, self.now) {
            Reach::Here => {}
            Reach::Limbo { until } => return self.limbo(node, until),
            Reach::Away => {
                self.found.tally.unreachable += 1;
                return;
            }
        }
        let job = &self.desired.job;
        let known = entry.as_ref().map_or(0, |entry| entry.attempts);
        let run = Run {
            tick: None,
            attempt: site
                .tried(self.standing.update, None)
                .max(known)
                .saturating_add(1),
            step: first_step(self.desired),
        };
        // One that is to be tried again from the start counts as one that was never started.
        let is_failed =
            |entry: &Cow<'_, LedgerEntry>| entry.state == LedgerState::Failed && tries(entry) > 0;
        let failed = entry.filter(is_failed);
        let last = failed
            .as_ref()
            .is_some_and(|entry| tries(entry) > job.retry_limit);
        let held = node.unschedulable && !self.desired.placement.include_unschedulable && !last;
        if held {
            self.found.tally.cordoned += 1;
        } else {
            self.base(node);
        }
        if !held && !last {
            self.open(node);
        }
        let Some(entry) = failed else {
            self.found.tally.pending += 1;
            return self.offer(node, held, |area| area.fresh.push((node, run)));
        };
        let retry = entry.next_retry_time.as_ref().map(|time| time.0);
        let retry = retry.filter(|_| !last);
        let tally = &mut self.found.tally;
        tally.fail(ended(&entry), failure(node, &entry, retry));
        if last {
            tally.updated += 1;
            tally.lost += 1;
        } else if let Some(time) = retry.filter(|time| *time > self.now) {
            tally.wake.at(time);
            tally.not_before = tally.not_before.max(Some(time));
        } else {
            tally.not_before = tally.not_before.max(retry);
            self.offer(node, held, |area| area.again.push((node, run)));
        }
    }

    fn offer(&mut self, node: &NodeView, held: bool, push: impl FnOnce(&mut Area<'a>)) {
        if let (false, Some(area)) = (held, self.area(node)) {
            push(area);
        }
    }

    /// A node that stopped answering a moment ago.
    fn limbo(&mut self, node: &'a NodeView, until: Timestamp) {
        self.found.tally.wake.at(until);
        if let Some(area) = self.area(node) {
            area.tally.disturbed += 1;
        }
        if self.standing.finished {
            self.found.tally.unreachable += 1;
            return;
        }
        self.base(node);
        self.open(node);
        self.found.tally.pending += 1;
        self.found.tally.wait_for(&node.name, "node not ready");
    }

    fn base(&mut self, node: &'a NodeView) {
        self.found.tally.base += 1;
        if let Some(area) = self.area(node) {
            area.tally.base += 1;
        }
    }

    /// The node is pending or in progress.
    fn open(&mut self, node: &'a NodeView) {
        let desired = self.desired;
        if let Some(area) = self.area(node) {
            area.tally.open += 1;
            area.group.meet(desired, node);
        }
    }

    fn in_progress(&mut self, node: &'a NodeView, reason: &str) {
        self.open(node);
        self.found.tally.in_progress += 1;
        self.found.tally.wait_for(&node.name, reason);
    }

    /// The node holds a slot: something runs there, or has yet to end, or broke it.
    fn hold(&mut self, node: &NodeView) {
        if let Some(area) = self.area(node) {
            area.tally.in_flight += 1;
            area.tally.disturbed += 1;
        }
    }

    fn lost(&mut self, node: &NodeView, time: Timestamp, reason: &str, message: String) {
        self.found.tally.lost += 1;
        self.fail(node, time, reason, message);
    }

    fn fail(&mut self, node: &NodeView, time: Timestamp, reason: &str, message: String) {
        let failure = NodeFailure {
            node: node.name.clone(),
            revision: self.standing.update.to_owned(),
            reason: reason.to_owned(),
            message: Some(message),
            ..NodeFailure::default()
        };
        self.found.tally.fail(time, failure);
    }
}

/// The entry of a failure that is due again at once, and has all its retries before it again.
fn tried_again(entry: &LedgerEntry) -> LedgerEntry {
    LedgerEntry {
        earlier_attempts: Some(entry.attempts),
        next_retry_time: Some(Time(ended(entry))),
        ..entry.clone()
    }
}

fn count(counter: &mut Option<i32>) {
    *counter = Some(counter.unwrap_or(0).saturating_add(1));
}
