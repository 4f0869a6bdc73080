//! How many nodes are in which state: counted from the virtual cluster itself, not from what the operator reports.

use std::collections::{BTreeMap, BTreeSet};

use hosttask_crds::node::LedgerState;

use super::report::{Sample, WaveReport};
use super::world::World;
use crate::desired::Amount;
use crate::observed::NodeView;

/// What a node does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// It has no ready pod (RunOnce: its program runs).
    Disturbed,
    /// It has what was there before (RunOnce: it waits).
    Stable,
    /// It has the update (RunOnce: its program ended well).
    Updated,
    /// It does not answer.
    Unreachable,
    /// The program failed there (RunOnce).
    Failed,
}

/// How many nodes are in which state.
#[derive(Debug, Default)]
pub(super) struct Census {
    stable: usize,
    updated: usize,
    moving: usize,
    unreachable: usize,
    failed: usize,
    /// Nodes that the rollout disturbs, by wave: those without a ready pod, and those that stopped answering after their pod
    /// was replaced.
    pub(super) disturbed: Vec<usize>,
}

impl Census {
    /// Counts the nodes.
    pub(super) fn take(world: &World) -> Self {
        let mut census = Self {
            disturbed: vec![0; world.desired.waves.len()],
            ..Self::default()
        };
        let update = world
            .observed
            .status
            .update_revision
            .as_deref()
            .unwrap_or_default();
        let daemon = if world.is_daemon() {
            serving(world, update)
        } else {
            BTreeMap::new()
        };
        let running: BTreeSet<&str> = world
            .observed
            .jobs
            .iter()
            .filter(|job| job.end.is_none())
            .map(|job| job.node.as_str())
            .collect();
        for node in &world.observed.nodes {
            let state = if world.is_daemon() {
                let found = daemon.get(node.name.as_str()).copied();
                if node.ready {
                    found.unwrap_or(State::Disturbed)
                } else {
                    State::Unreachable
                }
            } else {
                ran(world, node, update, running.contains(node.name.as_str()))
            };
            let lost = state == State::Unreachable
                && world.touched.contains(&node.name)
                && !running.contains(node.name.as_str());
            if (state == State::Disturbed || lost)
                && let Some(count) = census.disturbed.get_mut(node.wave)
            {
                *count += 1;
            }
            *match state {
                State::Disturbed => &mut census.moving,
                State::Stable => &mut census.stable,
                State::Updated => &mut census.updated,
                State::Unreachable => &mut census.unreachable,
                State::Failed => &mut census.failed,
            } += 1;
        }
        census
    }

    /// The counts for the picture. Which daemon pods failed for good is what the operator says, out of those that are not well.
    pub(super) fn sample(&self, at: i64, failed: usize) -> Sample {
        let failed = failed.saturating_sub(self.failed).min(self.moving);
        Sample {
            at,
            stable: self.stable,
            updated: self.updated,
            moving: self.moving - failed,
            failed: failed + self.failed,
            unreachable: self.unreachable,
        }
    }
}

/// The best pod of every node that has one.
fn serving<'a>(world: &'a World, update: &str) -> BTreeMap<&'a str, State> {
    let mut found = BTreeMap::new();
    for pod in &world.observed.pods {
        let serves = pod.ready_since.is_some() && !pod.deleting;
        let state = match (serves, pod.revision == update) {
            (false, _) => State::Disturbed,
            (true, false) => State::Stable,
            (true, true) => State::Updated,
        };
        let best = found.entry(pod.node.as_str()).or_insert(state);
        *best = (*best).max(state);
    }
    found
}

fn ran(world: &World, node: &NodeView, update: &str, runs: bool) -> State {
    let entry = world.observed.ledger.get(&node.name);
    let entry = entry.filter(|entry| entry.revision == update);
    if runs {
        State::Disturbed
    } else if entry.is_some_and(|entry| entry.state != LedgerState::Failed) {
        State::Updated
    } else if entry.is_some() {
        State::Failed
    } else if node.ready {
        State::Stable
    } else {
        State::Unreachable
    }
}

/// The waves with their nodes and budgets, before anything happens.
pub(super) fn waves(world: &World) -> Vec<WaveReport> {
    let each = world.desired.waves.iter().enumerate();
    each.map(|(index, wave)| {
        let nodes = world
            .observed
            .nodes
            .iter()
            .filter(|node| node.wave == index);
        let (mut count, mut reachable) = (0, 0);
        for node in nodes {
            count += 1;
            reachable += usize::from(node.ready);
        }
        WaveReport {
            name: wave.name.clone(),
            nodes: count,
            budget: budget(
                wave.max_unavailable
                    .unwrap_or(world.desired.max_unavailable),
                reachable,
            ),
            ..WaveReport::default()
        }
    })
    .collect()
}

/// How many of `nodes` may be disturbed at once. Counted here a second time, so that a mistake in the plan shows.
fn budget(amount: Amount, nodes: usize) -> usize {
    match amount {
        Amount::Count(count) => usize::try_from(count).unwrap_or(0),
        Amount::Percent(percent) => {
            let percent = usize::try_from(percent).unwrap_or(0);
            let share = nodes.saturating_mul(percent) / 100;
            if percent > 0 { share.max(1) } else { 0 }
        }
    }
}
