//! `Conditions`: the condition list of a status, in its fixed order, with the transition times of the one before.

use hosttask_crds::task::WindowsHostTaskStatus;
use hosttask_crds::{ConditionType, Reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The condition of a type.
pub(super) fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions
        .iter()
        .find(|condition| condition.type_ == kind.as_str())
}

/// The reason of a condition of a status, where it is one of ours.
pub(crate) fn reason(status: &WindowsHostTaskStatus, kind: ConditionType) -> Option<Reason> {
    let word = &find(&status.conditions, kind)?.reason;
    Reason::ALL
        .iter()
        .copied()
        .find(|reason| reason.as_str() == word)
}

/// The message of a condition of a status; empty where it is absent.
pub(crate) fn message(status: &WindowsHostTaskStatus, kind: ConditionType) -> &str {
    find(&status.conditions, kind)
        .map(|condition| condition.message.as_str())
        .unwrap_or_default()
}

/// A condition list under construction. Reconciling and Stalled are present only while true, and never both.
#[derive(Debug)]
pub(super) struct Conditions<'a> {
    previous: &'a [Condition],
    generation: i64,
    now: Timestamp,
    list: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    pub(super) fn new(previous: &'a [Condition], generation: i64, now: Timestamp) -> Self {
        Self {
            previous,
            generation,
            now,
            list: Vec::new(),
        }
    }

    /// The summary alone: neither Reconciling nor Stalled.
    pub(super) fn ready(&mut self, status: &str, reason: Reason, message: &str) {
        self.set(ConditionType::Ready, status, reason, message);
    }

    /// Work goes on.
    pub(super) fn rolling(&mut self, reason: Reason, message: &str) {
        self.set(ConditionType::Ready, "False", reason, message);
        self.set(ConditionType::Reconciling, "True", reason, message);
    }

    /// Nothing goes on without a change by somebody.
    pub(super) fn stalled(&mut self, reason: Reason, message: &str) {
        self.set(ConditionType::Ready, "False", reason, message);
        self.set(ConditionType::Stalled, "True", reason, message);
    }

    /// Keeps a condition as it was; one that never was is Unknown.
    pub(super) fn keep(&mut self, kind: ConditionType) {
        match find(self.previous, kind) {
            Some(condition) => {
                let kept = Condition {
                    observed_generation: Some(self.generation),
                    ..condition.clone()
                };
                self.list.push(kept);
            }
            None => self.set(kind, "Unknown", Reason::Pending, "not looked at yet"),
        }
    }

    pub(super) fn set(&mut self, kind: ConditionType, status: &str, reason: Reason, message: &str) {
        let since = find(self.previous, kind)
            .filter(|condition| condition.status == status)
            .map_or(Time(self.now), |condition| {
                condition.last_transition_time.clone()
            });
        self.list.push(Condition {
            type_: kind.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.as_str().to_owned(),
            message: message.to_owned(),
            observed_generation: Some(self.generation),
            last_transition_time: since,
        });
    }

    /// The list, in the order of [`ConditionType::ALL`].
    pub(super) fn done(mut self) -> Vec<Condition> {
        let place = |condition: &Condition| {
            ConditionType::ALL
                .iter()
                .position(|kind| kind.as_str() == condition.type_)
        };
        self.list.sort_by_key(place);
        self.list
    }
}
