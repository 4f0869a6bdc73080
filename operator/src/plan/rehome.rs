//! `rehome`: hands running pods from the DaemonSets of one division of the fleet to those of another, without a restart.
//!
//! ```text
//! DaemonSets of another layout ── pods end on reachable nodes ── wait
//!   │ the API server would take the new ones
//!   v
//! deleted, pods left running ── one is still there ── wait
//!   │ all are gone
//!   v
//! pods without a DaemonSet get the wave of their node ── a watch still shows an old label ── again
//!   │ none is left
//!   v
//! Settled: the missing DaemonSets are made, each adopts the pods of its wave
//! ```
//!
//! The order is what keeps pods alive. A pod that gets another label while its DaemonSet lives is replaced by it; a
//! DaemonSet whose affinity changes first deletes the pods of the nodes it loses; one that is made before the pods have
//! their labels starts a second pod beside them.
//!
//! *Guarantees*: no pod is ever deleted from here. Every step follows from what is observed, so the operator may die after
//! any write. A re-homing that has begun is finished, even where the task is paused, suspended or blocked meanwhile:
//! without DaemonSets no node would get its pod back. A suspended or blocked task begins none.
//!
//! *Left to the DaemonSet controller*: two pods on one node (it keeps the older), pods that ended, and pods of nodes that
//! `placement` no longer selects. It adopts them and deletes them. (Without waves it leaves a pod whose
//! node got a `NoSchedule` taint later; a pod that is handed over is judged anew.) A node whose label changes
//! while pods are handed over moves at once, as it does at any other time.

use std::collections::BTreeMap;

use hosttask_crds::label::{DEFAULT_WAVE, REVISION};
use k8s_openapi::api::apps::v1::DaemonSet;

use super::Action;
use super::tally::write_to;
use crate::desired::Desired;
use crate::observed::{DaemonSetState, Observed, PodView};
use crate::{build, revision};

/// How many names a message has.
const NAMES: usize = 3;

/// How far the DaemonSets are those that the waves ask for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rehome {
    /// Every DaemonSet there is belongs to the waves of the spec, and every pod to one of them. Those that are missing may
    /// be made.
    Settled,
    /// Pods are being handed over. Nothing else is to be written for the DaemonSets and pods of the task meanwhile.
    Working {
        /// The writes of this pass, in order. None of them starts or restarts a pod.
        actions: Vec<Action>,
        /// What it waits for, to be read after "waiting for".
        waits_for: String,
    },
}

/// What is to be done before the DaemonSets of the spec's waves can be made.
pub(super) fn rehome(desired: &Desired, observed: &Observed) -> Rehome {
    let layout = revision::layout(&desired.waves);
    let former: Vec<&DaemonSetState> = observed
        .daemon_sets
        .iter()
        .filter(|set| set.layout != layout)
        .collect();
    if !former.is_empty() {
        return take_apart(desired, observed, &former);
    }
    let lost = |pod: &&PodView| {
        !pod.deleting && !observed.daemon_sets.iter().any(|set| set.wave == pod.wave)
    };
    // Cheap where nothing is to be done: this is looked at in every pass.
    let lost: Vec<&PodView> = observed.pods.iter().filter(lost).collect();
    let moves = moves(desired, observed, &lost);
    if moves.is_empty() {
        return Rehome::Settled;
    }
    hand_over(moves)
}

/// Whether a write belongs to a re-homing that has begun. It is carried out even where the task is suspended or blocked.
///
/// Of the DaemonSets only missing ones are made, at a revision that is kept already: nothing that a suspended task has not
/// rolled out before reaches a node this way.
pub(super) fn goes_on(desired: &Desired, observed: &Observed, action: &Action) -> bool {
    match action {
        Action::OrphanDaemonSet { .. } | Action::MovePod { .. } => has_begun(desired, observed),
        Action::ApplyDaemonSet(set) => {
            is_missing(observed, set) && is_kept(observed, set) && has_begun(desired, observed)
        }
        Action::CheckDaemonSet(_)
        | Action::CheckJob(_)
        | Action::CreateRevision(_)
        | Action::RenumberRevision { .. }
        | Action::DeleteRevision { .. }
        | Action::UngatePod { .. }
        | Action::DeletePod { .. }
        | Action::CreateJob(_)
        | Action::DeleteJob { .. }
        | Action::RecordResult { .. }
        | Action::Publish(_) => false,
    }
}

/// Whether a DaemonSet was taken from its pods and they have no other yet.
fn has_begun(desired: &Desired, observed: &Observed) -> bool {
    let layout = revision::layout(&desired.waves);
    let going = |set: &DaemonSetState| set.deleting && set.layout != layout;
    observed.daemon_sets.iter().any(going)
        || observed.pods.iter().any(|pod| pod.orphan && !pod.deleting)
}

fn is_missing(observed: &Observed, set: &DaemonSet) -> bool {
    let name = set.metadata.name.as_deref().unwrap_or_default();
    observed.daemon_sets.iter().all(|known| known.name != name)
        && observed.foreign.iter().all(|other| other.name != name)
}

fn is_kept(observed: &Observed, set: &DaemonSet) -> bool {
    let labels = set.metadata.labels.as_ref();
    let revision = labels.and_then(|labels| labels.get(REVISION));
    observed
        .revisions
        .iter()
        .any(|kept| kept.ours && Some(&kept.name) == revision)
}

/// DaemonSets of another layout are there: `former`.
fn take_apart(desired: &Desired, observed: &Observed, former: &[&DaemonSetState]) -> Rehome {
    // DaemonSets made before there were waves select by the task alone: their pods keep them whatever wave they get, and a
    // pod without a wave is nobody's once its DaemonSet is gone.
    let unmarked = |pod: &&PodView| !pod.deleting && pod.wave.is_empty();
    let unmarked: Vec<&PodView> = observed.pods.iter().filter(unmarked).collect();
    let marks = moves(desired, observed, &unmarked);
    if !marks.is_empty() {
        return hand_over(marks);
    }
    let mut actions = Vec::new();
    if !has_begun(desired, observed) {
        if desired.suspend {
            return waiting("the task to be resumed, to make DaemonSets for its new waves");
        }
        if let Some(other) = observed.foreign.first() {
            return waiting(&format!(
                "the name of DaemonSet {}, which its new waves need",
                other.name
            ));
        }
        // A DaemonSet does not adopt a pod that is ending: its new one would start beside it.
        let ending = ending(observed);
        if !ending.is_empty() {
            return waiting(&format!("pods to end on {}", some(&ending)));
        }
        actions.extend(checks(desired, observed));
    }
    let names: Vec<&str> = former.iter().map(|set| set.name.as_str()).collect();
    let present = former.iter().filter(|set| !set.deleting);
    actions.extend(present.map(|set| Action::OrphanDaemonSet {
        name: set.name.clone(),
        uid: set.uid.clone(),
    }));
    Rehome::Working {
        actions,
        waits_for: format!("the DaemonSets of its former waves to go: {}", some(&names)),
    }
}

/// Reachable nodes with a pod that is ending.
fn ending(observed: &Observed) -> Vec<&str> {
    let pods = observed.pods.iter().filter(|pod| pod.deleting);
    let nodes: BTreeMap<&str, bool> = observed
        .nodes
        .iter()
        .map(|node| (node.name.as_str(), node.ready))
        .collect();
    pods.map(|pod| pod.node.as_str())
        .filter(|node| nodes.get(node) == Some(&true))
        .collect()
}

/// Asks the API server whether it would take the new DaemonSets, while the old ones still live.
///
/// Their content and revision matter little here: what is new is where they run. A DaemonSet of the same name and another
/// selector would be refused for that alone; it was made before there were waves.
fn checks<'a>(
    desired: &'a Desired,
    observed: &'a Observed,
) -> impl Iterator<Item = Action> + use<'a> {
    let update = observed
        .status
        .update_revision
        .as_deref()
        .unwrap_or_default();
    let same_selector = |name: &str, wave: &str| {
        let mut known = observed.daemon_sets.iter();
        known.all(|set| set.name != name || set.wave == wave)
    };
    desired
        .waves
        .iter()
        .enumerate()
        .filter(move |(_, wave)| {
            let name = revision::daemon_set_name(&desired.key.name, &wave.name);
            same_selector(&name, &wave.name)
        })
        .map(move |(position, _)| {
            let set = build::daemon_set(desired, position, &desired.content, update);
            Action::CheckDaemonSet(Box::new(set))
        })
}

/// What gives pods that no DaemonSet can adopt to one that can.
///
/// A pod goes to the wave of its node, whether or not the watch has shown yet that nothing controls it. A pod of a wave that
/// is no more, on a node that is none of the task's, goes to a DaemonSet that is there, which decides about it.
fn moves(desired: &Desired, observed: &Observed, lost: &[&PodView]) -> Vec<Action> {
    if lost.is_empty() {
        return Vec::new();
    }
    let waves: BTreeMap<&str, usize> = observed
        .nodes
        .iter()
        .map(|node| (node.name.as_str(), node.wave))
        .collect();
    let adopter = observed
        .daemon_sets
        .iter()
        .filter(|set| !set.deleting)
        .max_by_key(|set| set.wave == DEFAULT_WAVE)
        .map(|set| set.wave.as_str());
    let is_former = |wave: &str| desired.waves.iter().all(|known| known.name != wave);
    let mut moves = Vec::new();
    for pod in lost {
        let wave = match waves.get(pod.node.as_str()) {
            Some(position) => desired.waves.get(*position).map(|wave| wave.name.as_str()),
            None => adopter.filter(|_| pod.orphan && is_former(&pod.wave)),
        };
        if let Some(wave) = wave.filter(|wave| *wave != pod.wave) {
            moves.push(Action::MovePod {
                name: pod.name.clone(),
                uid: pod.uid.clone(),
                node: pod.node.clone(),
                wave: wave.to_owned(),
            });
        }
    }
    moves
}

fn hand_over(moves: Vec<Action>) -> Rehome {
    let pods = moves.len();
    Rehome::Working {
        actions: moves,
        waits_for: format!("pods to be given to their new waves ({pods})"),
    }
}

fn waiting(what: &str) -> Rehome {
    Rehome::Working {
        actions: Vec::new(),
        waits_for: what.to_owned(),
    }
}

/// The first names, and how many more there are.
fn some(names: &[&str]) -> String {
    let mut text = names
        .iter()
        .take(NAMES)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    let more = names.len().saturating_sub(NAMES);
    if more > 0 {
        write_to(&mut text, format_args!(" and {more} more"));
    }
    text
}

#[cfg(test)]
#[path = "rehome_tests.rs"]
mod tests;
