//! `template`: at which revision the DaemonSet of each wave is, and the writes that bring it there.

use k8s_openapi::api::apps::v1::DaemonSet;

use crate::build;
use crate::desired::Desired;
use crate::observed::{DaemonSetState, Observed};
use crate::plan::Action;
use crate::plan::revisions::Revisions;

/// What the templates of the waves are to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim {
    /// The update revision up to this wave, the stable one after it.
    Update {
        /// The last wave that is begun.
        position: usize,
        /// Whether another wave may be begun now: a maintenance window is open, and nothing else forbids it.
        open: bool,
    },
    /// The stable revision in all waves, for nodes that join: the rollout is paused.
    Hold,
    /// The stable revision in all waves, to bring it back.
    Back,
}

/// The writes for all waves, and for each wave whether its DaemonSet is written.
pub(super) fn templates(
    desired: &Desired,
    observed: &Observed,
    revisions: &Revisions,
    aim: Aim,
) -> (Vec<Action>, Vec<bool>) {
    let mut writes = Vec::new();
    let mut check = None;
    let mut written = Vec::with_capacity(desired.waves.len());
    for wave in 0..desired.waves.len() {
        let state = of_wave(desired, observed, wave);
        let wanted = wanted(desired, observed, revisions, aim, wave, state);
        let outdated = wanted.filter(|(set, _)| {
            state.is_none_or(|state| !state.deleting && state.applied != build::applied(set))
        });
        written.push(outdated.is_some());
        if let Some((set, is_update)) = outdated {
            if is_update && check.is_none() {
                check = Some(set.clone());
            }
            writes.push(Action::ApplyDaemonSet(Box::new(set)));
        }
    }
    let mut actions = Vec::new();
    if let Aim::Update { open, .. } = aim {
        if let Some(set) = check.filter(|_| revisions.is_new()) {
            actions.push(Action::CheckDaemonSet(Box::new(set)));
        }
        // What was never checked is kept only once it is.
        if open || !revisions.is_new() {
            actions.extend(revisions.write.clone());
        }
    }
    actions.extend(writes);
    (actions, written)
}

/// The DaemonSet of a wave, as it is.
pub(super) fn of_wave<'a>(
    desired: &Desired,
    observed: &'a Observed,
    wave: usize,
) -> Option<&'a DaemonSetState> {
    let name = &desired.waves.get(wave)?.name;
    observed.daemon_sets.iter().find(|set| set.wave == *name)
}

/// The DaemonSet that a wave is to have, and whether it is at the update revision; none where it is left as it is.
fn wanted(
    desired: &Desired,
    observed: &Observed,
    revisions: &Revisions,
    aim: Aim,
    wave: usize,
    state: Option<&DaemonSetState>,
) -> Option<(DaemonSet, bool)> {
    let update = revisions.update.as_str();
    let stable = observed.status.stable_revision.as_deref();
    let at_update = || {
        let set = build::daemon_set(desired, wave, &desired.content, update);
        Some((set, true))
    };
    // Its content is only loaded where it is another.
    if stable == Some(update) {
        return at_update();
    }
    let at_stable = || {
        let (stable, content) = (stable?, observed.stable_content.as_ref()?);
        Some((build::daemon_set(desired, wave, content, stable), false))
    };
    match aim {
        Aim::Update { position, open } if wave <= position => {
            let begun = state.is_some_and(|state| state.revision == update);
            // Pods whose DaemonSet was taken away for other waves get one in any case.
            if open || begun || (state.is_none() && has_pods(desired, observed, wave, update)) {
                at_update()
            } else {
                at_stable()
            }
        }
        Aim::Hold if state.is_none() => at_stable().or_else(|| {
            has_pods(desired, observed, wave, update)
                .then(at_update)
                .flatten()
        }),
        Aim::Update { .. } | Aim::Hold | Aim::Back => at_stable(),
    }
}

/// Whether pods of a wave are at a revision.
fn has_pods(desired: &Desired, observed: &Observed, wave: usize, revision: &str) -> bool {
    let name = desired.waves.get(wave).map(|wave| &wave.name);
    observed
        .pods
        .iter()
        .any(|pod| Some(&pod.wave) == name && pod.revision == revision)
}
