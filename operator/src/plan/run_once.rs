//! Mode RunOnce: a Job per node, revision and attempt, within the budget; results go into the ledger of the node.

use std::collections::BTreeMap;
use std::time::Duration;

use hosttask_crds::Reason;
use hosttask_crds::node::{LedgerEntry, LedgerState};
use hosttask_crds::task::NodeFailure;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::failure::MESSAGE;
use super::revisions::Revisions;
use super::tally::{Tally, cut, later, write_to};
use super::{Action, Decision, Note, budget};
use crate::build;
use crate::desired::{Desired, JobPolicy};
use crate::observed::{JobEnd, JobView, NodeView, Observed};
use crate::status::Phase;

/// The longest message of a ledger entry, in characters.
const LOG_TAIL: usize = 1024;

/// What one pass does for a RunOnce task. `finished`: the update revision was completed before.
pub(super) fn decide(
    desired: &Desired,
    observed: &Observed,
    revisions: &Revisions,
    finished: bool,
    now: Timestamp,
) -> Decision {
    let mut walk = Walk {
        desired,
        observed,
        update: &revisions.update,
        now,
        found: Found::default(),
    };
    let mut by_node: BTreeMap<&str, Vec<&JobView>> = BTreeMap::new();
    for job in &observed.jobs {
        by_node.entry(&job.node).or_default().push(job);
    }
    for node in &observed.nodes {
        // A node that was deleted and registered again did not run what its predecessor ran.
        let mut jobs = by_node.remove(node.name.as_str()).unwrap_or_default();
        jobs.retain(|job| job.machine == node.machine());
        walk.node(node, &jobs);
    }
    let Found {
        mut tally,
        mut actions,
        notes,
        busy,
        open,
        mut again,
        mut fresh,
    } = walk.found;
    tally.finished = finished;
    let waiting = again.len() + fresh.len();
    let mut started = 0;
    if !desired.paused {
        if revisions.is_new() {
            let somewhere = NodeView {
                name: "windows-node".to_owned(),
                ..NodeView::default()
            };
            let node = observed.nodes.first().unwrap_or(&somewhere);
            actions.push(Action::CheckJob(Box::new(build::job(
                desired,
                &revisions.update,
                node,
                1,
            ))));
        }
        actions.extend(revisions.write.clone());
        let order = |(node, _): &(&NodeView, i32)| budget::place(&node.uid, &revisions.update);
        again.sort_by_cached_key(order);
        fresh.sort_by_cached_key(order);
        again.append(&mut fresh);
        let max = budget::allowed(desired.max_unavailable, tally.base);
        let starts = budget::start(max, busy, busy, again, Vec::new());
        started = starts.len();
        actions.extend(starts.into_iter().map(|(node, attempt)| {
            Action::CreateJob(Box::new(build::job(
                desired,
                &revisions.update,
                node,
                attempt,
            )))
        }));
    }
    let over = open == 0 && busy == 0 && !revisions.is_new();
    let phase = phase(desired, &tally, finished, over);
    Decision {
        actions,
        tally,
        phase,
        held_by_budget: waiting > started,
        notes,
    }
}

fn phase(desired: &Desired, tally: &Tally, finished: bool, over: bool) -> Phase {
    let needed = budget::needed(desired.min_healthy, tally.base);
    let done = || {
        Phase::Complete(if tally.desired == 0 {
            Reason::NoMatchingNodes
        } else {
            Reason::AllNodesSucceeded
        })
    };
    if finished {
        return if tally.base - tally.lost >= needed {
            done()
        } else {
            Phase::Degraded
        };
    }
    if desired.paused {
        return Phase::Paused;
    }
    // With every node away nothing was run: that is no end.
    if !over || (tally.base == 0 && tally.desired > 0) {
        return Phase::Rolling;
    }
    if tally.good >= needed {
        done()
    } else {
        Phase::Degraded
    }
}

/// The walk over the nodes.
struct Walk<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    update: &'a str,
    now: Timestamp,
    found: Found<'a>,
}

#[derive(Default)]
struct Found<'a> {
    tally: Tally,
    actions: Vec<Action>,
    notes: Vec<Note>,
    /// Nodes with an unfinished Job.
    busy: i32,
    /// Nodes of the base that are neither done nor out of attempts.
    open: i32,
    /// Nodes whose retry is due, and the attempt it is.
    again: Vec<(&'a NodeView, i32)>,
    /// Nodes that were not started yet, and the attempt it is.
    fresh: Vec<(&'a NodeView, i32)>,
}

impl<'a> Walk<'a> {
    fn node(&mut self, node: &'a NodeView, jobs: &[&JobView]) {
        self.found.tally.desired += 1;
        let entry = self.entry(node, jobs);
        // It holds its slot even where the node was away before it was created: it runs once the node is back. Of several
        // (an old revision's beside ours), the newest is the one to report.
        let running = jobs
            .iter()
            .copied()
            .filter(|job| job.end.is_none())
            .max_by_key(|job| (job.revision == self.update, job.attempt));
        self.found.busy += i32::from(running.is_some());
        let tally = &mut self.found.tally;
        let done = |entry: &LedgerEntry| entry.state != LedgerState::Failed;
        if entry.as_ref().is_some_and(done) {
            tally.base += 1;
            tally.updated += 1;
            tally.healthy += 1;
            tally.good += 1;
            return;
        }
        if let Some(job) = running {
            return self.running(node, job);
        }
        if !node.ready {
            tally.unreachable += 1;
            return;
        }
        let tried = jobs
            .iter()
            .filter(|job| job.revision == self.update)
            .map(|job| job.attempt)
            .max()
            .unwrap_or(0);
        let attempt = tried
            .max(entry.as_ref().map_or(0, |entry| entry.attempts))
            .saturating_add(1);
        let last = entry
            .as_ref()
            .is_some_and(|entry| entry.attempts > self.desired.job.retry_limit);
        let held = node.unschedulable && !self.desired.placement.include_unschedulable && !last;
        tally.cordoned += i32::from(held);
        tally.base += i32::from(!held);
        self.found.open += i32::from(!held && !last);
        let Some(entry) = entry else {
            tally.pending += 1;
            if !held {
                self.found.fresh.push((node, attempt));
            }
            return;
        };
        let retry = entry
            .next_retry_time
            .as_ref()
            .map(|time| time.0)
            .filter(|_| !last);
        tally.fail(ended(&entry), failure(node, &entry, retry));
        if last {
            tally.updated += 1;
            tally.lost += 1;
        } else if let Some(time) = retry.filter(|time| *time > self.now) {
            tally.wake.at(time);
            tally.not_before = tally.not_before.max(Some(time));
        } else {
            tally.not_before = tally.not_before.max(retry);
            if !held {
                self.found.again.push((node, attempt));
            }
        }
    }

    /// The ledger's entry of the update revision, with the result of a Job that ended since.
    fn entry(&mut self, node: &NodeView, jobs: &[&JobView]) -> Option<LedgerEntry> {
        let last = self.observed.ledger.get(&node.name);
        let entry = last.filter(|entry| entry.revision == self.update);
        let recorded = entry.map_or(0, |entry| entry.attempts);
        // Another revision ran here since: what this one did before is no longer what the node is like, whether or not
        // its Job is still there.
        let since = last.filter(|_| entry.is_none()).map(ended);
        let found = jobs
            .iter()
            .filter(|job| job.revision == self.update && job.attempt > recorded)
            .filter_map(|job| job.end.as_ref().map(|end| (*job, end)))
            .filter(|(job, _)| since.is_none_or(|since| job.created >= since))
            .max_by_key(|(job, _)| job.attempt);
        let Some((job, end)) = found else {
            return entry.cloned();
        };
        let entry = result(self.desired, node, job, end);
        self.found.actions.push(Action::RecordResult {
            node: node.name.clone(),
            entry: Box::new(entry.clone()),
        });
        self.found.notes.extend(announce(node, &entry));
        Some(entry)
    }

    fn running(&mut self, node: &NodeView, job: &JobView) {
        let tally = &mut self.found.tally;
        tally.base += 1;
        self.found.open += 1;
        let pod = self
            .observed
            .pods
            .iter()
            .find(|pod| pod.node == node.name && !pod.finished);
        tally.without_pod += i32::from(pod.is_none());
        let trouble = pod
            .and_then(|pod| pod.trouble.as_ref())
            .map(|trouble| trouble.reason.as_str());
        if job.revision == self.update {
            tally.in_progress += 1;
            tally.wait_for(
                &node.name,
                if node.ready {
                    trouble.unwrap_or("running")
                } else {
                    "node not ready"
                },
            );
        } else {
            tally.pending += 1;
            tally.wait_for(&node.name, "an older revision runs");
        }
    }
}

/// What the end of a Job means, for the ledger.
fn result(desired: &Desired, node: &NodeView, job: &JobView, end: &JobEnd) -> LedgerEntry {
    let policy = &desired.job;
    // A program that Kubernetes stopped for its deadline did not end by itself, whatever code it left with.
    let exit = end
        .exit
        .as_ref()
        .filter(|_| end.complete || end.reason != "DeadlineExceeded");
    let code = exit.map(|exit| exit.code);
    let listed = |codes: &[i32]| code.is_some_and(|code| codes.contains(&code));
    let (state, reason) = if listed(&policy.reboot_required) {
        (LedgerState::RebootPending, "RebootRequired")
    } else if end.complete || listed(&policy.success) {
        (LedgerState::Succeeded, "Succeeded")
    } else if exit.is_some() {
        (LedgerState::Failed, "ExitCode")
    } else {
        (
            LedgerState::Failed,
            if end.reason.is_empty() {
                "JobFailed"
            } else {
                end.reason.as_str()
            },
        )
    };
    let message = exit
        .map(|exit| exit.message.as_str())
        .filter(|text| !text.is_empty());
    let message = message
        .or(Some(end.message.as_str()))
        .filter(|text| !text.is_empty());
    let again = state == LedgerState::Failed && job.attempt <= policy.retry_limit;
    LedgerEntry {
        task: desired.key.to_string(),
        task_uid: desired.uid.clone(),
        revision: job.revision.clone(),
        state,
        attempts: job.attempt,
        exit_code: code,
        reason: Some(reason.to_owned()),
        message: message.map(|text| cut(text, LOG_TAIL)),
        start_time: Some(Time(job.created)),
        completion_time: Some(Time(end.time)),
        next_retry_time: again.then(|| Time(later(end.time, delay(policy, job.attempt)))),
        boot_id: (state == LedgerState::RebootPending).then(|| node.boot_id.clone()),
    }
}

/// How long after failed attempt `attempts` the next one starts: doubled each time, up to the maximum.
fn delay(policy: &JobPolicy, attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1))
        .unwrap_or(0)
        .min(31);
    policy
        .retry_initial
        .saturating_mul(1 << doublings)
        .min(policy.retry_max)
}

fn ended(entry: &LedgerEntry) -> Timestamp {
    entry
        .completion_time
        .as_ref()
        .map(|time| time.0)
        .unwrap_or_default()
}

fn failure(node: &NodeView, entry: &LedgerEntry, retry: Option<Timestamp>) -> NodeFailure {
    NodeFailure {
        node: node.name.clone(),
        revision: entry.revision.clone(),
        reason: entry
            .reason
            .clone()
            .unwrap_or_else(|| "JobFailed".to_owned()),
        exit_code: entry.exit_code,
        message: entry.message.as_ref().map(|message| cut(message, MESSAGE)),
        attempts: Some(entry.attempts),
        next_retry_time: retry.map(Time),
    }
}

fn announce(node: &NodeView, entry: &LedgerEntry) -> Option<Note> {
    let (reason, text) = match entry.state {
        LedgerState::Succeeded => return None,
        LedgerState::RebootPending => (Reason::RebootRequired, "asks for a reboot"),
        LedgerState::Failed => (Reason::NodeFailed, "failed"),
    };
    let mut words = format!(
        "{} on {}: attempt {} {text}",
        entry.revision, node.name, entry.attempts
    );
    if let Some(code) = entry.exit_code {
        write_to(&mut words, format_args!(" with exit code {code}"));
    } else if let Some(reason) = &entry.reason {
        write_to(&mut words, format_args!(" ({reason})"));
    }
    if let Some(message) = &entry.message {
        write_to(&mut words, format_args!(": {message}"));
    }
    let warning = entry.state == LedgerState::Failed;
    Some(Note {
        warning,
        reason,
        note: cut(&words, super::event::NOTE),
        node: Some(node.name.clone()),
    })
}
