//! `transitions`: the events that the step from one status to the next is worth.

use hosttask_crds::task::{NodeFailure, WindowsHostTaskStatus};
use hosttask_crds::{ConditionType, Reason};

use super::tally::{Tally, cut};
use super::{Action, Note};
use crate::status;

/// The longest note, in characters: the API's limit of events.
pub(super) const NOTE: usize = 1024;

/// Events are published when something changes, never because it still is so.
pub(super) fn transitions(
    previous: &WindowsHostTaskStatus,
    next: &WindowsHostTaskStatus,
    tally: &Tally,
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
    if begun(next) && !begun(previous) {
        tell(
            false,
            Reason::RolloutStarted,
            &format!("rolling out {update} (nodes: {})", tally.desired),
            None,
        );
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
        tell(true, Reason::NodeFailed, &text, Some(&failure.node));
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
    match ready {
        Some(reason @ (Reason::Paused | Reason::Suspended))
            if ready != reason_of(previous, ConditionType::Ready) =>
        {
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
