//! `Survey`: the walk over the nodes of a Daemon task: what is counted, wave by wave, and which nodes could be started.

use hosttask_crds::task::NodeFailure;
use jiff::Timestamp;

use crate::desired::Desired;
use crate::observed::{NodeView, Observed, PodView};
use crate::plan::course::WaveTally;
use crate::plan::failure::{REFUSED, Verdict, healthy_from, is_healthy, judge, overdue, refusal};
use crate::plan::gate::waits_for;
use crate::plan::order::FirstGroup;
use crate::plan::reach::{Reach, reach, regressed};
use crate::plan::tally::{Tally, later};

/// A node and the pod to be replaced.
pub(super) type Candidate<'a> = (&'a NodeView, &'a PodView);

/// The walk over the nodes.
pub(super) struct Survey<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    /// The update revision.
    pub(super) update: &'a str,
    /// The revision that nodes are brought to: the stable one on the way back.
    pub(super) target: &'a str,
    pub(super) finished: bool,
    /// Whether the progress deadline passed just now: what has not come up by now is to blame.
    pub(super) missed: bool,
    /// Whether pods that failed at the update revision are to be replaced.
    pub(super) retries: bool,
    pub(super) now: Timestamp,
    pub(super) found: Found<'a>,
}

/// What a walk found.
#[derive(Default)]
pub(super) struct Found<'a> {
    pub(super) tally: Tally,
    /// Wave by wave, in the order of `desired.waves`.
    pub(super) waves: Vec<Area<'a>>,
    /// Pods that failed at the update revision, where they are tried again.
    pub(super) again: Vec<Candidate<'a>>,
    /// A node whose pod waits for a task of `dependsOn`.
    pub(super) gated: Option<&'a str>,
    /// Nodes in progress whose pod waits for a task of `dependsOn`.
    pub(super) gated_nodes: i32,
}

/// What was found in one wave.
#[derive(Default)]
pub(super) struct Area<'a> {
    pub(super) tally: WaveTally,
    /// Whether the wave's DaemonSet is at the target, so that a missing pod will be.
    pub(super) at_target: bool,
    /// Whether the wave has a DaemonSet.
    pub(super) has_set: bool,
    /// Nodes whose pod is to be replaced and is not well.
    pub(super) bad: Vec<Candidate<'a>>,
    /// Nodes whose pod is to be replaced and is well.
    pub(super) healthy: Vec<Candidate<'a>>,
    /// The first group with work, where groups follow one another.
    pub(super) group: FirstGroup<'a>,
}

impl<'a> Survey<'a> {
    /// Counts a node. `pod` is the one that stands for it.
    pub(super) fn node(&mut self, node: &'a NodeView, pod: Option<&'a PodView>) {
        let tally = &mut self.found.tally;
        tally.desired += 1;
        tally.updated += i32::from(pod.is_some_and(|pod| is_updated(pod, self.update)));
        // A node that was left out is started when it has its conditions, also after the end. What failed is taken away
        // in any case: that a condition is gone may be its doing.
        let is_back = self.target != self.update;
        let done = pod.is_none_or(|pod| pod.revision == self.target);
        let reach = reach(
            node,
            self.desired,
            is_back || (self.finished && done),
            self.now,
        );
        if reach != Reach::Here {
            return self.away(node, pod, reach);
        }
        match pod {
            Some(pod) if pod.deleting => self.replacing(node, Some(pod), "terminating"),
            Some(pod) if pod.finished => self.ended(node, pod),
            Some(pod) if pod.revision == self.target => self.at_target(node, pod),
            Some(pod) => self.outdated(node, pod),
            None => {
                let has_set = self.area(node).is_some_and(|area| area.has_set);
                self.found.tally.without_pod += i32::from(has_set);
                self.replacing(node, None, "no pod yet");
            }
        }
    }

    fn area(&mut self, node: &NodeView) -> Option<&mut Area<'a>> {
        self.found.waves.get_mut(node.wave)
    }

    /// A node that does not answer, or lost a condition it must have. It counts only where we had started it before.
    fn away(&mut self, node: &'a NodeView, pod: Option<&'a PodView>, reach: Reach) {
        let since = pod
            .filter(|_| !self.finished)
            .and_then(|pod| self.start_of(pod));
        let (Some(pod), Some(since)) = (pod, since) else {
            return self.untouched(node, pod, reach);
        };
        let left = node
            .ready_changed
            .filter(|left| !node.ready && *left >= since);
        let is_forward = self.target == self.update;
        if let (Some((kind, status)), true) = (regressed(node, self.desired, since), is_forward) {
            let message =
                format!("the node's condition {kind} became {status} after its pod was replaced");
            self.in_flight(node);
            return self.lost(node, pod, "NodeRegressed", message);
        }
        let Some(left) = left.filter(|_| is_forward || reach != Reach::Away) else {
            return self.untouched(node, Some(pod), reach);
        };
        self.in_flight(node);
        let grace = self
            .desired
            .start_grace
            .saturating_add(self.desired.min_ready);
        let until = later(left, grace);
        if until <= self.now {
            let message = "the node stopped answering after its pod was replaced".to_owned();
            return self.lost(node, pod, "NodeNotReady", message);
        }
        self.in_progress(node, "node not ready");
        self.found.tally.wake.at(until);
    }

    /// When the rollout touched the node of this pod.
    fn start_of(&self, pod: &PodView) -> Option<Timestamp> {
        if pod.revision == self.target {
            return Some(pod.created);
        }
        // It was deleted after the wave began at the earliest.
        let wave = self
            .observed
            .status
            .wave
            .as_ref()
            .filter(|_| pod.deleting)?;
        wave.start_time.as_ref().map(|time| time.0)
    }

    fn lost(&mut self, node: &NodeView, pod: &PodView, reason: &str, message: String) {
        let failure = NodeFailure {
            node: node.name.clone(),
            revision: self.target.to_owned(),
            reason: reason.to_owned(),
            message: Some(message),
            ..NodeFailure::default()
        };
        self.fail(pod.created, failure);
    }

    fn fail(&mut self, time: Timestamp, failure: NodeFailure) {
        self.found.tally.lost += 1;
        self.found.tally.fail(time, failure);
    }

    /// A node that does not answer and that this rollout has not touched.
    fn untouched(&mut self, node: &'a NodeView, pod: Option<&'a PodView>, reach: Reach) {
        let Reach::Limbo { until } = reach else {
            return self.unreachable(pod);
        };
        self.found.tally.wake.at(until);
        if let Some(area) = self.area(node) {
            area.tally.disturbed += 1;
        }
        if self.finished {
            return self.unreachable(pod);
        }
        if pod.is_some_and(|pod| pod.revision == self.target && !pod.deleting) {
            self.found.tally.in_progress += 1;
        } else {
            self.found.tally.pending += 1;
        }
        self.found.tally.wait_for(&node.name, "node not ready");
        self.base(node);
        self.open(node);
    }

    fn unreachable(&mut self, pod: Option<&PodView>) {
        let tally = &mut self.found.tally;
        tally.unreachable += 1;
        tally.updated -= i32::from(pod.is_some_and(|pod| is_updated(pod, self.update)));
    }

    /// A node whose pod is gone or going: the replacement is on its way.
    fn replacing(&mut self, node: &'a NodeView, pod: Option<&PodView>, reason: &str) {
        self.in_flight(node);
        if let Some(failure) = self.known_refusal(node) {
            let time = pod.map_or(self.now, |pod| pod.created);
            return self.fail(time, failure);
        }
        if self.area(node).is_some_and(|area| area.at_target) {
            self.in_progress(node, reason);
        } else {
            self.open(node);
            self.found.tally.pending += 1;
        }
    }

    /// A node whose pod ended: the kubelet refused it, or evicted it, and the DaemonSet controller makes another one.
    fn ended(&mut self, node: &'a NodeView, pod: &PodView) {
        if pod.revision == self.target {
            // Each new pod is refused anew: the grace counts from the begin of the wave.
            let begin = self.observed.status.wave.as_ref();
            let begin = begin.and_then(|wave| wave.start_time.as_ref());
            let begin = begin.map_or(pod.created, |time| time.0);
            let (until, failure) = refusal(pod, self.desired, begin);
            if until <= self.now {
                self.in_flight(node);
                return self.fail(pod.created, failure);
            }
            self.found.tally.wake.at(until);
        }
        self.replacing(node, Some(pod), "pod ended");
    }

    /// The refusal that is reported of this node: it holds until a pod starts there, as each try is only a moment long.
    fn known_refusal(&self, node: &NodeView) -> Option<NodeFailure> {
        let known = self.observed.status.failures.iter();
        known
            .filter(|it| it.node == node.name && it.revision == self.target)
            .find(|it| it.reason == REFUSED)
            .cloned()
    }

    fn at_target(&mut self, node: &'a NodeView, pod: &'a PodView) {
        if pod.gated {
            self.in_flight(node);
            if waits_for(self.observed, &node.name).is_none() {
                return self.in_progress(node, "starting");
            }
            self.found.gated.get_or_insert(&node.name);
            self.found.gated_nodes += 1;
            return self.in_progress(node, "waits for dependsOn");
        }
        match judge(pod, self.desired, self.now) {
            Verdict::Healthy => {
                self.base(node);
                self.found.tally.healthy += 1;
                self.found.tally.good += 1;
                if let Some(area) = self.area(node) {
                    area.tally.good += 1;
                }
            }
            Verdict::Starting { until } => {
                self.in_flight(node);
                self.found.tally.wake.at(until);
                if let (Some(failure), false) = (self.known_refusal(node), pod.started) {
                    return self.fail(pod.created, failure);
                }
                self.blame(pod);
                let reason = pod.trouble.as_ref();
                let reason = reason.map_or("starting", |trouble| trouble.reason.as_str());
                self.in_progress(node, reason);
            }
            Verdict::Failed { failure, again } => {
                self.in_flight(node);
                if self.retries {
                    self.found.again.push((node, pod));
                    return self.in_progress(node, "tried again");
                }
                self.fail(pod.created, failure);
                if let Some(again) = again {
                    self.found.tally.wake.at(again);
                }
            }
        }
    }

    fn outdated(&mut self, node: &'a NodeView, pod: &'a PodView) {
        let well = is_healthy(pod, self.desired, self.now);
        let tally = &mut self.found.tally;
        tally.healthy += i32::from(well);
        if let (Some(from), false) = (healthy_from(pod, self.desired), well) {
            tally.wake.at(from);
        }
        // On the way back: what failed is still to be seen.
        let is_update = pod.revision == self.update;
        let verdict = is_update.then(|| judge(pod, self.desired, self.now));
        if let Some(Verdict::Failed { failure, .. }) = verdict {
            self.fail(pod.created, failure);
        } else {
            if is_update && !well {
                self.blame(pod);
            }
            self.found.tally.pending += 1;
        }
        if node.unschedulable && !self.desired.placement.include_unschedulable {
            // Left out as one that does not answer, unless an earlier update of ours may have broken it: so many bad updates
            // in a row as you like break no more nodes than the budget allows.
            let stable = self.observed.status.stable_revision.as_ref();
            let is_ours = self.target == self.update && stable != Some(&pod.revision);
            if let Some(area) = self.area(node).filter(|_| !well && is_ours) {
                area.tally.disturbed += 1;
                self.found.tally.wait_for(&node.name, "cordoned");
            }
            self.found.tally.cordoned += 1;
            return;
        }
        self.base(node);
        self.open(node);
        if let Some(area) = self.area(node) {
            area.tally.disturbed += i32::from(!well);
            let list = if well {
                &mut area.healthy
            } else {
                &mut area.bad
            };
            list.push((node, pod));
        }
    }

    /// A pod of the update revision had not come up when the progress deadline passed.
    fn blame(&mut self, pod: &PodView) {
        if self.missed {
            self.found.tally.blame(pod.created, overdue(pod));
        }
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

    fn in_flight(&mut self, node: &'a NodeView) {
        self.base(node);
        if let Some(area) = self.area(node) {
            area.tally.in_flight += 1;
            area.tally.disturbed += 1;
        }
    }
}

/// Whether the pod counts as one of the update revision.
fn is_updated(pod: &PodView, update: &str) -> bool {
    pod.revision == update && !pod.deleting && !pod.finished
}
