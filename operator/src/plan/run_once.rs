//! Mode RunOnce: a Job per node, revision and attempt, within the budget; results go into the ledger of the node.

use std::collections::BTreeMap;

use hosttask_crds::Reason;
use hosttask_crds::node::{LedgerEntry, LedgerState};
use hosttask_crds::task::Waiting;
use jiff::Timestamp;

use super::course::{Course, Standing};
use super::failure::{self, Verdict};
use super::outcome::{announce, ended, failure, result};
use super::phase::phase;
use super::revisions::Revisions;
use super::tally::Tally;
use super::{Action, Decision, Note, budget};
use crate::build;
use crate::desired::Desired;
use crate::observed::{JobView, NodeView, Observed, PodView};

/// What one pass does for a RunOnce task.
pub(super) fn decide(
    desired: &Desired,
    observed: &Observed,
    revisions: &Revisions,
    standing: Standing<'_>,
    now: Timestamp,
) -> Decision {
    let finished = standing.finished;
    let mut walk = Walk {
        desired,
        observed,
        update: &revisions.update,
        now,
        pods: BTreeMap::new(),
        found: Found::default(),
    };
    walk.nodes();
    let Found {
        mut tally,
        mut actions,
        stuck,
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
        // After the check: a Job that waits for its image may still get it, what the API server refuses never runs.
        actions.extend(stuck);
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
    let complete = if tally.failed == 0 {
        Reason::AllNodesSucceeded
    } else {
        Reason::EnoughNodesSucceeded
    };
    let phase = phase(desired, &tally, finished, over, complete);
    Decision {
        actions,
        tally,
        phase,
        waiting: (waiting > started).then_some(Waiting::Budget),
        opens: None,
        failed: false,
        course: Course::default(),
        notes,
    }
}

/// The walk over the nodes.
struct Walk<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    update: &'a str,
    now: Timestamp,
    /// The pods that did not end, by node.
    pods: BTreeMap<&'a str, Vec<&'a PodView>>,
    found: Found<'a>,
}

#[derive(Default)]
struct Found<'a> {
    tally: Tally,
    actions: Vec<Action>,
    /// What deletes Jobs of older revisions that never started their program.
    stuck: Vec<Action>,
    notes: Vec<Note>,
    /// Nodes with an unfinished Job, or with a pod that a deleted one left.
    busy: i32,
    /// Nodes of the base that are neither done nor out of attempts.
    open: i32,
    /// Nodes whose retry is due, and the attempt it is.
    again: Vec<(&'a NodeView, i32)>,
    /// Nodes that were not started yet, and the attempt it is.
    fresh: Vec<(&'a NodeView, i32)>,
}

impl<'a> Walk<'a> {
    fn nodes(&mut self) {
        for pod in self.observed.pods.iter().filter(|pod| !pod.finished) {
            self.pods.entry(&pod.node).or_default().push(pod);
        }
        let mut by_node: BTreeMap<&str, Vec<&JobView>> = BTreeMap::new();
        for job in &self.observed.jobs {
            by_node.entry(&job.node).or_default().push(job);
        }
        for node in &self.observed.nodes {
            // A node that was deleted and registered again did not run what its predecessor ran.
            let (jobs, former): (Vec<_>, Vec<_>) = by_node
                .remove(node.name.as_str())
                .unwrap_or_default()
                .into_iter()
                .partition(|job| job.machine == node.machine());
            self.node(node, &jobs, &former);
        }
        for node in &self.observed.left {
            let mut jobs = by_node.remove(node.name.as_str()).unwrap_or_default();
            jobs.retain(|job| job.machine == node.machine());
            self.entry(node, &jobs);
        }
    }

    /// `jobs` are of this machine, `former` of another one that had the node's name.
    fn node(&mut self, node: &'a NodeView, jobs: &[&JobView], former: &[&JobView]) {
        self.found.tally.desired += 1;
        let entry = self.entry(node, jobs);
        // It holds its slot even where the node was away before it was created: it runs once the node is back. Of several
        // (an old revision's beside ours), the newest is the one to report.
        let running = jobs
            .iter()
            .copied()
            .filter(|job| job.end.is_none())
            .max_by_key(|job| (job.revision == self.update, job.attempt));
        let leftover = self.clear(node, jobs, former);
        self.found.busy += i32::from(running.is_some() || leftover.is_some());
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
        if let Some(reason) = leftover {
            tally.base += 1;
            tally.pending += 1;
            tally.wait_for(&node.name, reason);
            self.found.open += 1;
            return;
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
        let Some(entry) = result(self.desired, node, job, end, last) else {
            return entry.cloned();
        };
        self.found.actions.push(Action::RecordResult {
            node: node.name.clone(),
            entry: Box::new(entry.clone()),
        });
        self.found.notes.extend(announce(node, &entry));
        Some(entry)
    }

    /// Plans the deletion of Jobs that no longer are to run here. Returns why the node cannot be started, where nothing but
    /// such leftovers keeps it.
    fn clear(
        &mut self,
        node: &NodeView,
        jobs: &[&JobView],
        former: &[&JobView],
    ) -> Option<&'static str> {
        let pods = self
            .pods
            .get(node.name.as_str())
            .map_or(&[][..], Vec::as_slice);
        // Jobs are pinned by the node's name: what was created for the former machine would run beside ours. It goes even
        // from a paused task, which starts nothing.
        let strangers = former.iter().filter(|job| job.end.is_none());
        self.found
            .actions
            .extend(strangers.clone().filter_map(|job| delete(job)));
        let superseded = jobs
            .iter()
            .filter(|job| job.end.is_none() && job.revision != self.update);
        self.found.stuck.extend(
            superseded
                .filter(|job| {
                    pods.iter()
                        .any(|pod| is_of(pod, job) && failure::is_stuck(pod))
                })
                .filter_map(|job| delete(job)),
        );
        if strangers.count() > 0 {
            return Some("the Job of its former machine is deleted");
        }
        // A Job is gone before its pod is, and only the end of the pod is the end of the program.
        let orphan = |pod: &&PodView| !jobs.iter().chain(former).any(|job| is_of(pod, job));
        pods.iter()
            .any(orphan)
            .then_some("the pod of a deleted Job ends")
    }

    fn running(&mut self, node: &NodeView, job: &JobView) {
        let pods = self.pods.get(node.name.as_str());
        let pod = pods.and_then(|pods| pods.iter().find(|pod| is_of(pod, job)));
        let tally = &mut self.found.tally;
        tally.base += 1;
        self.found.open += 1;
        tally.without_pod += i32::from(pods.is_none());
        if job.revision != self.update {
            tally.pending += 1;
            tally.wait_for(&node.name, "an older revision runs");
            return;
        }
        // The user has to see what keeps the program from starting; the Job goes on, for it may recover.
        let stuck = pod
            .filter(|pod| node.ready && failure::is_stuck(pod))
            .map(|pod| failure::judge(pod, self.desired, self.now));
        match stuck {
            Some(Verdict::Failed { mut failure, .. }) => {
                failure.attempts = Some(job.attempt);
                return tally.fail(job.created, failure);
            }
            Some(Verdict::Starting { until }) => tally.wake.at(until),
            Some(Verdict::Healthy) | None => {}
        }
        tally.in_progress += 1;
        let trouble = pod
            .and_then(|pod| pod.trouble.as_ref())
            .map(|trouble| trouble.reason.as_str());
        tally.wait_for(
            &node.name,
            if node.ready {
                trouble.unwrap_or("running")
            } else {
                "node not ready"
            },
        );
    }
}

/// Whether a Job of the same node made this pod.
fn is_of(pod: &PodView, job: &JobView) -> bool {
    pod.revision == job.revision && pod.attempt.is_none_or(|attempt| attempt == job.attempt)
}

/// Deletes a Job, unless that is under way, or the watch has not shown yet which one it is.
fn delete(job: &JobView) -> Option<Action> {
    (!job.deleting && !job.uid.is_empty()).then(|| Action::DeleteJob {
        name: job.name.clone(),
        uid: job.uid.clone(),
        node: job.node.clone(),
    })
}
