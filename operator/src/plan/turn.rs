//! `Turn`: which nodes are started in one pass, wave by wave, out of those whose turn it could be. Pure, and the same for
//! both modes.

use hosttask_crds::task::Waiting;

use super::budget;
use super::course::WaveTally;
use super::gate::{Bar, Gates};
use super::order::{FirstGroup, Rank};
use crate::desired::Desired;
use crate::observed::NodeView;

/// The candidates of one wave.
#[derive(Debug)]
pub(super) struct Candidates<'a, T> {
    /// Nodes that are not well already: they go first.
    pub(super) bad: Vec<(&'a NodeView, T)>,
    /// Nodes that are well.
    pub(super) healthy: Vec<(&'a NodeView, T)>,
    /// The first group with work, where groups follow one another.
    pub(super) group: FirstGroup<'a>,
}

/// The choice of one pass.
#[derive(Debug)]
pub(super) struct Turn<'g, 'a> {
    desired: &'g Desired,
    gates: &'g Gates<'a>,
    revision: &'g str,
    /// Whether dependencies and groups count: not on the way back.
    orderly: bool,
    slots: usize,
    /// What was left.
    pub(super) left: Left<'a>,
}

/// Why candidates were left.
#[derive(Clone, Debug, Default)]
pub(super) struct Left<'a> {
    /// How many nodes are started.
    pub(super) started: usize,
    /// Whether nodes wait for others in flight: for a slot of the budget, or for their group.
    budget: bool,
    /// A node that waits for a task of `dependsOn`.
    pub(super) dependency: Option<&'a str>,
    /// Whether nodes wait for other tasks.
    other_task: bool,
    /// Whether nodes, or DaemonSets, wait for a gate that is shut for all.
    pub(super) shut: bool,
}

impl<'g, 'a> Turn<'g, 'a> {
    /// The choice for a revision: `orderly` on the way forward.
    pub(super) fn new(
        desired: &'g Desired,
        gates: &'g Gates<'a>,
        revision: &'g str,
        orderly: bool,
    ) -> Self {
        Self {
            desired,
            gates,
            revision,
            orderly,
            slots: gates.slots(),
            left: Left::default(),
        }
    }

    /// Chooses from a wave within its own budget: at most `max` nodes of it disturbed at once.
    pub(super) fn choose<T>(
        &mut self,
        wave: &WaveTally,
        max: i32,
        candidates: Candidates<'a, T>,
    ) -> Vec<(&'a NodeView, T)> {
        let Candidates {
            mut bad,
            mut healthy,
            group,
        } = candidates;
        if self.orderly && !self.gates.is_open() {
            self.left.shut |= !bad.is_empty() || !healthy.is_empty();
            return Vec::new();
        }
        bad.retain(|(node, _)| self.is_free(node));
        healthy.retain(|(node, _)| self.is_free(node) && self.is_next(node, group));
        let (mut bad, mut later): (Vec<_>, Vec<_>) = bad
            .into_iter()
            .partition(|(node, _)| self.is_next(node, group));
        let candidates = bad.len() + healthy.len();
        if wave.in_flight < max {
            self.sort(&mut bad);
        }
        // In a big wave most passes find no free slot, and each place in the order is a hash.
        if wave.disturbed < max {
            self.sort(&mut healthy);
        }
        let mut starts = budget::start(max, wave.in_flight, wave.disturbed, bad, healthy);
        if starts.is_empty() && candidates > 0 {
            // What is down in a later group uses up the budget that this one needs: one of the two has to go first, and
            // what is down has nothing to lose.
            if wave.in_flight < max {
                self.sort(&mut later);
            }
            starts = budget::start(max, wave.in_flight, wave.disturbed, later, Vec::new());
        }
        self.left.budget |= starts.len() < candidates;
        self.left.other_task |= starts.len() > self.slots;
        starts.truncate(self.slots);
        self.slots -= starts.len();
        self.left.started += starts.len();
        starts
    }

    fn sort<T>(&self, nodes: &mut [(&'a NodeView, T)]) {
        if self.orderly {
            nodes.sort_by_cached_key(|(node, _)| Rank::of(node, self.revision));
        } else {
            nodes.sort_by_cached_key(|(node, _)| budget::place(&node.uid, self.revision));
        }
    }

    /// Whether another task works on the node.
    pub(super) fn is_busy(&self, node: &NodeView) -> bool {
        self.gates.is_busy(&node.name)
    }

    /// Whether it is the turn of the node's group.
    fn is_next(&mut self, node: &NodeView, group: FirstGroup<'_>) -> bool {
        let admitted = !self.orderly || group.admits(self.desired, node);
        self.left.budget |= !admitted;
        admitted
    }

    /// Whether neither dependencies nor other tasks keep the node.
    fn is_free(&mut self, node: &'a NodeView) -> bool {
        let bar = if self.orderly {
            self.gates.bar(&node.name)
        } else {
            self.is_busy(node).then_some(Bar::OtherTask)
        };
        match bar {
            Some(Bar::Dependency) => {
                self.left.dependency.get_or_insert(&node.name);
                false
            }
            Some(Bar::OtherTask) => {
                self.left.other_task = true;
                false
            }
            None => true,
        }
    }
}

impl Left<'_> {
    /// What the rollout waits for, where nodes are left. `idle`: no node is under way.
    pub(super) fn waiting(&self, idle: bool) -> Option<Waiting> {
        let idle = idle && self.started == 0;
        if idle && self.other_task {
            return Some(Waiting::OtherTask);
        }
        if idle && self.dependency.is_some() {
            return Some(Waiting::Dependency);
        }
        (self.budget || self.other_task || self.dependency.is_some()).then_some(Waiting::Budget)
    }
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
