//! The virtual nodes themselves: what the operator sees of them, and when they go and come.

use hosttask_crds::task::ConditionStatus;
use jiff::Timestamp;

use super::{Event, Machine, World};
use crate::observed::{ConditionView, NodeView};
use crate::placement::wave_of;

impl World {
    /// A node as the operator sees it; none where the task does not select it.
    pub(super) fn view(&self, name: &str) -> Option<NodeView> {
        let Machine {
            node,
            ready,
            changed,
            lost_condition,
        } = self.machines.get(name)?;
        let placement = &self.desired.placement;
        if !placement.selects(&node.labels) || !placement.tolerates(&node.taints) {
            return None;
        }
        let order = self.desired.order.iter();
        let conditions = self
            .desired
            .node_conditions
            .iter()
            .enumerate()
            .map(|(place, wanted)| {
                let lost = lost_condition.filter(|_| place == 0);
                ConditionView {
                    kind: wanted.kind.clone(),
                    status: status(wanted.status, lost.is_none()).to_owned(),
                    changed: Some(lost.unwrap_or(self.observed.created)),
                }
            });
        Some(NodeView {
            name: node.name.clone(),
            uid: format!("uid-{}", node.name),
            ready: *ready,
            ready_changed: Some(*changed),
            unschedulable: node.unschedulable,
            system_uuid: format!("machine-{}", node.name),
            boot_id: "boot-1".to_owned(),
            wave: wave_of(&self.desired.waves, &node.labels),
            topology: order.map(|it| node.labels.get(&it.key).cloned()).collect(),
            conditions: conditions.collect(),
        })
    }

    pub(super) fn refresh(&mut self, name: &str) {
        let Some(view) = self.view(name) else { return };
        let nodes = &mut self.observed.nodes;
        if let Ok(at) = nodes.binary_search_by(|node| node.name.as_str().cmp(name))
            && let Some(node) = nodes.get_mut(at)
        {
            *node = view;
        }
    }

    pub(in crate::simulate) fn node(&self, name: &str) -> Option<&NodeView> {
        let nodes = &self.observed.nodes;
        let at = nodes
            .binary_search_by(|node| node.name.as_str().cmp(name))
            .ok()?;
        nodes.get(at)
    }

    pub(super) fn is_up(&self, node: &str) -> bool {
        self.machines.get(node).is_some_and(|machine| machine.ready)
    }

    /// A node stops answering, or answers again: what was to happen on it happens then.
    pub(super) fn power(&mut self, name: &str, ready: bool, since: Timestamp) {
        let Some(machine) = self.machines.get_mut(name).filter(|it| it.ready != ready) else {
            return;
        };
        (machine.ready, machine.changed) = (ready, since);
        self.refresh(name);
        let mut waiting = Vec::new();
        for pod in self.observed.pods.iter_mut().filter(|pod| pod.node == name) {
            if !ready {
                // The node lifecycle controller says so of every pod of the node.
                pod.unready_since = pod.ready_since.and(Some(since)).or(pod.unready_since);
                pod.ready_since = None;
            } else if pod.deleting {
                waiting.push(Event::PodGone(pod.uid.clone()));
            } else if pod.attempt.is_none() && !pod.gated {
                waiting.push(Event::PodRuns(pod.uid.clone()));
            }
        }
        let jobs = self
            .observed
            .jobs
            .iter()
            .filter(|job| job.node == name && job.end.is_none());
        waiting.extend(jobs.map(|job| Event::JobEnds(job.name.clone())));
        if ready {
            for event in waiting {
                self.push(0, event);
            }
        }
    }
}

fn status(wanted: ConditionStatus, is_met: bool) -> &'static str {
    match (wanted, is_met) {
        (ConditionStatus::True, true) | (ConditionStatus::False, false) => "True",
        (ConditionStatus::False, true)
        | (ConditionStatus::True | ConditionStatus::Unknown, false) => "False",
        (ConditionStatus::Unknown, true) => "Unknown",
    }
}
