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
    let mut change = Change {
        previous,
        next,
        turn,
        notes: Vec::new(),
    };
    change.begins(tally.desired);
    change.failures();
    change.summary();
    change.notes.into_iter().map(Action::Publish).collect()
}

/// The step from one status to the next.
struct Change<'a> {
    previous: &'a WindowsHostTaskStatus,
    next: &'a WindowsHostTaskStatus,
    turn: Turn,
    notes: Vec<Note>,
}

impl Change<'_> {
    fn tell(&mut self, warning: bool, reason: Reason, text: &str, node: Option<&str>) {
        self.notes.push(Note {
            warning,
            reason,
            note: cut(text, NOTE),
            node: node.map(str::to_owned),
        });
    }

    /// The rollout, and its waves where it has several.
    fn begins(&mut self, nodes: i32) {
        let (previous, next) = (self.previous, self.next);
        let begun = |status: &WindowsHostTaskStatus| {
            let wave = status.wave.as_ref();
            wave.is_some_and(|wave| wave.start_time.is_some())
                && status.update_revision == next.update_revision
        };
        if begun(next) && (self.turn.afresh || !begun(previous)) {
            let update = next.update_revision.as_deref().unwrap_or_default();
            let text = format!("rolling out {update} (nodes: {nodes})");
            self.tell(false, Reason::RolloutStarted, &text, None);
        }
        let wave = |status: &WindowsHostTaskStatus| {
            let wave = status.wave.as_ref();
            wave.map(|wave| (wave.name.clone(), wave.start_time.clone()))
        };
        let wave_begun = next
            .wave
            .as_ref()
            .filter(|wave| wave.total > 1 && wave.start_time.is_some());
        if let Some(begun) = wave_begun.filter(|_| wave(previous) != wave(next)) {
            let (name, total) = (&begun.name, begun.total);
            let text = format!("wave {name} ({} of {total})", begun.index + 1);
            self.tell(false, Reason::WaveStarted, &text, None);
        }
    }

    /// Nodes that failed. An attempt of a Job is announced with its result: it is in the ledger then and not looked at
    /// again.
    fn failures(&mut self) {
        let is_known = |failure: &NodeFailure| {
            let mut known = self.previous.failures.iter();
            known.any(|old| old.node == failure.node && old.revision == failure.revision)
        };
        let new = |failure: &&NodeFailure| failure.attempts.is_none() && !is_known(failure);
        for failure in self.next.failures.iter().filter(new) {
            let message = failure.message.as_deref().unwrap_or("no message");
            let text = format!(
                "{} on {}: {}: {message}",
                failure.revision, failure.node, failure.reason
            );
            let reason = match failure.reason.as_str() {
                "NodeRegressed" | "NodeNotReady" => Reason::NodeRegressed,
                _ => Reason::NodeFailed,
            };
            self.tell(true, reason, &text, Some(&failure.node));
        }
    }

    /// What Ready and Stalled say now and did not before.
    fn summary(&mut self) {
        let (previous, next) = (self.previous, self.next);
        let is_new = |kind| {
            let reason = status::reason(next, kind);
            reason.filter(|_| reason != status::reason(previous, kind))
        };
        if let Some(reason) = is_new(ConditionType::Stalled) {
            let text = status::message(next, ConditionType::Stalled);
            self.tell(true, reason, text, None);
        }
        let text = status::message(next, ConditionType::Ready);
        let fails = previous.failed_revision != next.failed_revision;
        let stalled = status::reason(next, ConditionType::Stalled).is_some();
        if fails && next.failed_revision.is_some() && !stalled {
            // It goes on all the same: back, or with a policy that only reports.
            self.tell(true, self.turn.failed_by, text, None);
        }
        match is_new(ConditionType::Ready) {
            Some(reason @ Reason::RollingBack) => self.tell(true, reason, text, None),
            Some(
                reason @ (Reason::AwaitingApproval
                | Reason::WaitingForWindow
                | Reason::NonCompliant
                | Reason::Paused
                | Reason::Suspended),
            ) => self.tell(false, reason, text, None),
            _ => {}
        }
        let update = next.update_revision.as_deref().unwrap_or_default();
        if let Some(
            reason @ (Reason::RolloutComplete
            | Reason::AllNodesSucceeded
            | Reason::EnoughNodesSucceeded
            | Reason::NoMatchingNodes),
        ) = status::reason(next, ConditionType::Ready)
            && !status::is_finished(previous, update)
        {
            self.tell(false, reason, text, None);
        }
    }
}
