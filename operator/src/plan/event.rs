//! `transitions`: the events that the step from one status to the next is worth.

use hosttask_crds::task::{NodeFailure, WindowsHostTaskStatus};
use hosttask_crds::{ConditionType, Reason};

use super::course::Step;
use super::tally::{Tally, cut};
use super::{Action, Note};
use crate::desired::Desired;
use crate::status;

/// The longest note, in characters: the API's limit of events.
pub(super) const NOTE: usize = 1024;

/// What the statuses do not tell of the step from one to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// Whether the rollout begins, for the first time or again.
    pub(super) afresh: bool,
    /// What makes the revision count as failed, where it does from now on.
    pub(super) failed_by: Reason,
}

/// The waves that are left behind: told once, as the next pass is at another wave.
pub(super) fn steps(desired: &Desired, steps: &[Step]) -> Vec<Action> {
    let note = |step: &Step| {
        let (reason, wave, text) = match step {
            Step::Completed(wave) => (Reason::WaveCompleted, wave, "enough of its nodes are well"),
            Step::Skipped(wave) => (
                Reason::WaveSkipped,
                wave,
                "it has no node that can be reached",
            ),
        };
        let name = desired.waves.get(*wave).map_or("", |wave| &wave.name);
        Action::Publish(Note {
            warning: false,
            reason,
            note: format!("wave {name}: {text}"),
            node: None,
        })
    };
    steps.iter().map(note).collect()
}

/// Events are published when something changes, never because it still is so.
pub(super) fn transitions(
    previous: &WindowsHostTaskStatus,
    next: &WindowsHostTaskStatus,
    tally: &Tally,
    turn: Turn,
) -> Vec<Action> {
    let mut notes = Vec::new();
    let mut tell = |warning, reason, text: &str, node: Option<&str>| {
        notes.push(Note {
            warning,
            reason,
            note: cut(text, NOTE),
            node: node.map(str::to_owned),
        });
    };
    let update = next.update_revision.as_deref().unwrap_or_default();
    let begun = |status: &WindowsHostTaskStatus| {
        status
            .wave
            .as_ref()
            .is_some_and(|wave| wave.start_time.is_some())
            && status.update_revision == next.update_revision
    };
    if begun(next) && (turn.afresh || !begun(previous)) {
        tell(
            false,
            Reason::RolloutStarted,
            &format!("rolling out {update} (nodes: {})", tally.desired),
            None,
        );
    }
    let wave = |status: &WindowsHostTaskStatus| {
        let wave = status.wave.as_ref();
        wave.map(|wave| (wave.name.clone(), wave.start_time.clone()))
    };
    if let Some(begins) = next
        .wave
        .as_ref()
        .filter(|wave| wave.total > 1 && wave.start_time.is_some())
        && wave(previous) != wave(next)
    {
        let text = format!(
            "wave {} ({} of {})",
            begins.name,
            begins.index + 1,
            begins.total
        );
        tell(false, Reason::WaveStarted, &text, None);
    }
    let known = |failure: &NodeFailure| {
        previous
            .failures
            .iter()
            .any(|old| old.node == failure.node && old.revision == failure.revision)
    };
    // An attempt of a Job is announced with its result: it is in the ledger then and not looked at again.
    for failure in next
        .failures
        .iter()
        .filter(|failure| failure.attempts.is_none() && !known(failure))
    {
        let message = failure.message.as_deref().unwrap_or("no message");
        let text = format!(
            "{} on {}: {}: {message}",
            failure.revision, failure.node, failure.reason
        );
        let reason = match failure.reason.as_str() {
            "NodeRegressed" | "NodeNotReady" => Reason::NodeRegressed,
            _ => Reason::NodeFailed,
        };
        tell(true, reason, &text, Some(&failure.node));
    }
    let reason_of = |status, kind| status::reason(status, kind);
    let stalled = reason_of(next, ConditionType::Stalled);
    if let Some(reason) = stalled.filter(|_| stalled != reason_of(previous, ConditionType::Stalled))
    {
        tell(
            true,
            reason,
            status::message(next, ConditionType::Stalled),
            None,
        );
    }
    let ready = reason_of(next, ConditionType::Ready);
    let text = status::message(next, ConditionType::Ready);
    let turns = ready != reason_of(previous, ConditionType::Ready);
    let failed = next.failed_revision.is_some() && previous.failed_revision != next.failed_revision;
    if failed && stalled.is_none() {
        // It goes on all the same: back, or with a policy that only reports.
        tell(true, turn.failed_by, text, None);
    }
    match ready {
        Some(reason @ Reason::RollingBack) if turns => tell(true, reason, text, None),
        Some(reason @ (Reason::AwaitingApproval | Reason::WaitingForWindow)) if turns => {
            tell(false, reason, text, None);
        }
        Some(reason @ (Reason::Paused | Reason::Suspended)) if turns => {
            tell(false, reason, text, None);
        }
        Some(
            reason @ (Reason::RolloutComplete
            | Reason::AllNodesSucceeded
            | Reason::EnoughNodesSucceeded
            | Reason::NoMatchingNodes),
        ) if !status::is_finished(previous, update) => {
            tell(false, reason, text, None);
        }
        _ => {}
    }
    notes.into_iter().map(Action::Publish).collect()
}
