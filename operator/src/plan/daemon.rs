//! Mode Daemon: keep the DaemonSet's template current, and replace its pods node by node within the budget.

use std::collections::BTreeMap;

use hosttask_crds::Reason;
use hosttask_crds::task::NodeFailure;
use jiff::Timestamp;

use super::failure::{Verdict, is_healthy, judge};
use super::phase::phase;
use super::revisions::Revisions;
use super::tally::{Tally, later};
use super::{Action, Decision, budget};
use crate::build;
use crate::desired::Desired;
use crate::observed::{DaemonSetState, NodeView, Observed, PodView};
use crate::status::Phase;

/// What one pass does for a Daemon task. `finished`: the update revision was rolled out completely before.
pub(super) fn decide(
    desired: &Desired,
    observed: &Observed,
    revisions: &Revisions,
    finished: bool,
    now: Timestamp,
) -> Decision {
    let ours = observed.daemon_sets.first();
    let mut actions = template(desired, observed, revisions, ours);
    let at_update = ours.is_some_and(|state| state.revision == revisions.update && !state.deleting);
    // While the controller has not seen the new template, it would start the old one again on a node we free.
    let settled = actions.is_empty() && at_update && ours.is_some_and(|state| state.settled);
    let mut survey = Survey {
        desired,
        observed,
        update: &revisions.update,
        finished,
        at_update,
        now,
        found: Found::default(),
    };
    let mut by_node: BTreeMap<&str, Vec<&PodView>> = BTreeMap::new();
    for pod in &observed.pods {
        by_node.entry(&pod.node).or_default().push(pod);
    }
    for node in &observed.nodes {
        survey.node(
            node,
            by_node
                .get(node.name.as_str())
                .and_then(|pods| serving(pods)),
        );
    }
    let Found {
        mut tally,
        in_flight,
        disturbed,
        mut bad,
        mut healthy,
    } = survey.found;
    tally.finished = finished;
    let candidates = bad.len() + healthy.len();
    let max = budget::allowed(desired.max_unavailable, tally.base);
    let order = |(node, _): &(&NodeView, &PodView)| budget::place(&node.uid, &revisions.update);
    bad.sort_by_cached_key(order);
    healthy.sort_by_cached_key(order);
    let mut started = 0;
    if settled && !desired.paused {
        let starts = budget::start(max, in_flight, disturbed, bad, healthy);
        started = starts.len();
        actions.extend(starts.into_iter().map(|(node, pod)| Action::DeletePod {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            resource_version: pod.resource_version.clone(),
            node: node.name.clone(),
        }));
    }
    let over = settled && candidates == 0 && tally.in_progress == 0;
    let phase = phase(desired, &tally, finished, over, Reason::RolloutComplete);
    if matches!(phase, Phase::Complete(_)) && !finished {
        // What completes the rollout also ends its claim on nodes that left during it.
        return decide(desired, observed, revisions, true, now);
    }
    Decision {
        actions,
        tally,
        phase,
        held_by_budget: settled && candidates > started,
        notes: Vec::new(),
    }
}

/// The writes that bring the DaemonSet's template, and the revision it is of, up to date.
fn template(
    desired: &Desired,
    observed: &Observed,
    revisions: &Revisions,
    ours: Option<&DaemonSetState>,
) -> Vec<Action> {
    if ours.is_some_and(|state| state.deleting) {
        return Vec::new();
    }
    let stable = observed.status.stable_revision.as_deref();
    let holds = desired.paused && stable != Some(revisions.update.as_str());
    let wanted = match (holds, stable, &observed.stable_content) {
        (false, ..) => build::daemon_set(desired, 0, &desired.content, &revisions.update),
        // Nodes that join meanwhile get what is known to work.
        (true, Some(stable), Some(content)) => build::daemon_set(desired, 0, content, stable),
        (true, ..) => return Vec::new(),
    };
    let outdated = ours.is_none_or(|state| state.applied != build::applied(&wanted));
    let mut actions = Vec::new();
    if !holds {
        if outdated && revisions.is_new() {
            actions.push(Action::CheckDaemonSet(Box::new(wanted.clone())));
        }
        actions.extend(revisions.write.clone());
    }
    if outdated {
        actions.push(Action::ApplyDaemonSet(Box::new(wanted)));
    }
    actions
}

/// The pod that stands for its node: one that runs before one that goes, the newest of several.
fn serving<'a>(pods: &[&'a PodView]) -> Option<&'a PodView> {
    pods.iter()
        .copied()
        .max_by_key(|pod| (!pod.deleting && !pod.finished, pod.created, &pod.name))
}

/// The walk over the nodes.
struct Survey<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    update: &'a str,
    finished: bool,
    /// Whether the template is at the update revision, so that a missing pod will be.
    at_update: bool,
    now: Timestamp,
    found: Found<'a>,
}

#[derive(Default)]
struct Found<'a> {
    tally: Tally,
    /// Nodes that were started and are not healthy.
    in_flight: i32,
    /// Nodes that are in flight or not healthy for any other reason.
    disturbed: i32,
    bad: Vec<(&'a NodeView, &'a PodView)>,
    healthy: Vec<(&'a NodeView, &'a PodView)>,
}

impl<'a> Survey<'a> {
    fn node(&mut self, node: &'a NodeView, pod: Option<&'a PodView>) {
        self.found.tally.desired += 1;
        if !node.ready {
            return self.away(node, pod);
        }
        let held = node.unschedulable && !self.desired.placement.include_unschedulable;
        match pod {
            Some(pod) if pod.deleting => self.replacing(node, "terminating"),
            Some(pod) if pod.finished => self.replacing(node, "pod ended"),
            Some(pod) if pod.revision == self.update => self.updated(node, pod),
            Some(pod) => self.outdated(node, pod, held),
            None => {
                self.found.tally.without_pod += 1;
                self.replacing(node, "no pod yet");
            }
        }
    }

    /// A node that does not answer. It counts only where we had started it before it left.
    fn away(&mut self, node: &NodeView, pod: Option<&PodView>) {
        let since = pod.and_then(|pod| {
            if pod.revision == self.update {
                Some(pod.created)
            } else if pod.deleting {
                // It was deleted after the rollout began at the earliest.
                self.observed
                    .status
                    .wave
                    .as_ref()
                    .and_then(|wave| wave.start_time.as_ref())
                    .map(|time| time.0)
            } else {
                None
            }
        });
        let left = node.ready_changed;
        let (Some(pod), Some(left), false) = (
            pod,
            left.filter(|left| since.is_some_and(|since| *left >= since)),
            self.finished,
        ) else {
            self.found.tally.unreachable += 1;
            return;
        };
        let at_update = pod.revision == self.update && !pod.deleting;
        self.in_flight();
        let tally = &mut self.found.tally;
        tally.updated += i32::from(at_update);
        let until = later(
            left,
            self.desired
                .start_grace
                .saturating_add(self.desired.min_ready),
        );
        if until <= self.now {
            tally.lost += 1;
            tally.fail(
                pod.created,
                NodeFailure {
                    node: node.name.clone(),
                    revision: self.update.to_owned(),
                    reason: "NodeNotReady".to_owned(),
                    message: Some(
                        "the node stopped answering after its pod was replaced".to_owned(),
                    ),
                    ..NodeFailure::default()
                },
            );
        } else {
            tally.in_progress += 1;
            tally.wake.at(until);
            tally.wait_for(&node.name, "node not ready");
        }
    }

    /// A node whose pod is gone or going: the replacement is on its way.
    fn replacing(&mut self, node: &NodeView, reason: &str) {
        self.in_flight();
        let tally = &mut self.found.tally;
        if self.at_update {
            tally.in_progress += 1;
            tally.wait_for(&node.name, reason);
        } else {
            tally.pending += 1;
        }
    }

    fn updated(&mut self, node: &NodeView, pod: &PodView) {
        self.found.tally.updated += 1;
        match judge(pod, self.desired, self.now) {
            Verdict::Healthy => {
                let tally = &mut self.found.tally;
                tally.base += 1;
                tally.healthy += 1;
                tally.good += 1;
            }
            Verdict::Starting { until } => {
                self.in_flight();
                let tally = &mut self.found.tally;
                tally.in_progress += 1;
                tally.wake.at(until);
                let reason = pod
                    .trouble
                    .as_ref()
                    .map_or("starting", |trouble| trouble.reason.as_str());
                tally.wait_for(&node.name, reason);
            }
            Verdict::Failed { failure, again } => {
                self.in_flight();
                let tally = &mut self.found.tally;
                tally.lost += 1;
                tally.fail(pod.created, failure);
                if let Some(again) = again {
                    tally.wake.at(again);
                }
            }
        }
    }

    fn outdated(&mut self, node: &'a NodeView, pod: &'a PodView, held: bool) {
        let well = is_healthy(pod, self.desired, self.now);
        let found = &mut self.found;
        found.tally.pending += 1;
        found.tally.healthy += i32::from(well);
        found.disturbed += i32::from(!well);
        if let (Some(since), false) = (pod.ready_since, well) {
            found.tally.wake.at(later(since, self.desired.min_ready));
        }
        if held {
            found.tally.cordoned += 1;
            return;
        }
        found.tally.base += 1;
        if well {
            found.healthy.push((node, pod));
        } else {
            found.bad.push((node, pod));
        }
    }

    fn in_flight(&mut self) {
        self.found.tally.base += 1;
        self.found.in_flight += 1;
        self.found.disturbed += 1;
    }
}
