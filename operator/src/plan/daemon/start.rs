//! `start`: which pods are replaced in one pass, and which gated ones may start.

use crate::desired::{Amount, Desired};
use crate::observed::Observed;
use crate::plan::gate::Gates;
use crate::plan::turn::{Candidates, Turn};
use crate::plan::{Action, budget};

use super::survey::{Area, Candidate};

/// The share of a wave that may be disturbed to bring the stable revision back, where its own budget is smaller.
const RETREAT: Amount = Amount::Percent(25);

/// Chooses among the waves up to the position, each within its own budget.
pub(super) fn forward<'a>(
    turn: &mut Turn<'_, 'a>,
    desired: &Desired,
    areas: &mut [Area<'a>],
) -> Vec<Action> {
    let mut actions = Vec::new();
    for (wave, area) in areas.iter_mut().enumerate() {
        if area.tally.settled {
            let max = budget::of_wave(desired, wave, area.tally.base);
            actions.extend(replace(turn, area, max));
        }
    }
    actions
}

/// Chooses in the newest wave that has nodes to bring back.
pub(super) fn retreat<'a>(
    turn: &mut Turn<'_, 'a>,
    desired: &Desired,
    areas: &mut [Area<'a>],
) -> Vec<Action> {
    if areas.iter().any(|area| !area.tally.settled) {
        // A node that joins, or loses its pod, must not get the failed revision again.
        return Vec::new();
    }
    let newest = areas.iter().rposition(|area| area.tally.open > 0);
    let Some((wave, area)) = newest.and_then(|wave| Some((wave, areas.get_mut(wave)?))) else {
        return Vec::new();
    };
    let base = area.tally.base;
    let max = budget::of_wave(desired, wave, base).max(budget::allowed(RETREAT, base));
    replace(turn, area, max)
}

fn replace<'a>(turn: &mut Turn<'_, 'a>, area: &mut Area<'a>, max: i32) -> Vec<Action> {
    let candidates = Candidates {
        bad: std::mem::take(&mut area.bad),
        healthy: std::mem::take(&mut area.healthy),
        group: area.group,
    };
    let chosen = turn.choose(&area.tally, max, candidates);
    chosen.into_iter().map(delete).collect()
}

/// Deletes the pod of a node, so that the DaemonSet controller starts the next one.
pub(super) fn delete((node, pod): Candidate<'_>) -> Action {
    Action::DeletePod {
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        resource_version: pod.resource_version.clone(),
        node: node.name.clone(),
    }
}

/// Lifts the gate of pods on whose nodes all is well that the task depends on.
pub(super) fn ungate(observed: &Observed, gates: &Gates<'_>) -> Vec<Action> {
    if gates.cycle.is_some() {
        return Vec::new();
    }
    let waiting = observed
        .pods
        .iter()
        .filter(|pod| pod.gated && !pod.deleting);
    waiting
        .filter(|pod| gates.waits_for(&pod.node).is_none())
        .map(|pod| Action::UngatePod {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            node: pod.node.clone(),
        })
        .collect()
}
