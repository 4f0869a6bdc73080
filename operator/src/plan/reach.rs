//! `reach`: whether a node answers, is only just silent, or is away; and what it lost since it was started. Pure.

use jiff::Timestamp;

use super::tally::later;
use crate::desired::Desired;
use crate::observed::NodeView;

/// Whether something can be started on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It is Ready and has every condition of `health.nodeConditions`.
    Here,
    /// It lost one of them a moment ago: nothing starts there, and it counts as disturbed; away from `until` on.
    Limbo {
        /// When it counts as away.
        until: Timestamp,
    },
    /// It lost one of them for `unreachableNodes.afterSeconds`, or never had it.
    Away,
}

/// Judges a node. `over`: the rollout is, and has no more to do there: its conditions count no more, only whether it is Ready.
pub(super) fn reach(node: &NodeView, desired: &Desired, over: bool, now: Timestamp) -> Reach {
    let mut reach = Reach::Here;
    let missing = missing(node, desired)
        .filter(|_| !over)
        .map(|(_, _, since)| since);
    for since in (!node.ready)
        .then_some(node.ready_changed)
        .into_iter()
        .chain(missing)
    {
        let until = since.map(|since| later(since, desired.unreachable_after));
        reach = match (until.filter(|until| *until > now), reach) {
            (None, _) => return Reach::Away,
            (Some(until), Reach::Limbo { until: first }) => Reach::Limbo {
                until: until.min(first),
            },
            (Some(until), Reach::Here | Reach::Away) => Reach::Limbo { until },
        };
    }
    reach
}

/// The first condition that changed away from what is wanted at or after `start`, and what it is now.
pub(super) fn regressed<'a>(
    node: &'a NodeView,
    desired: &'a Desired,
    start: Timestamp,
) -> Option<(&'a str, &'a str)> {
    // Of a node that does not answer nobody knows its conditions: that is told by Ready, and after its grace.
    missing(node, desired)
        .filter(|(_, status, _)| node.ready || *status != "Unknown")
        .find(|(.., since)| since.is_some_and(|since| since >= start))
        .map(|(kind, status, _)| (kind, status))
}

/// The conditions that are wanted and not there: type, what it is instead, since when.
fn missing<'a>(
    node: &'a NodeView,
    desired: &'a Desired,
) -> impl Iterator<Item = (&'a str, &'a str, Option<Timestamp>)> {
    desired.node_conditions.iter().filter_map(|wanted| {
        let found = node.conditions.iter().find(|it| it.kind == wanted.kind);
        match found {
            Some(found) if found.status == word(wanted.status) => None,
            Some(found) => Some((wanted.kind.as_str(), found.status.as_str(), found.changed)),
            None => Some((wanted.kind.as_str(), "absent", None)),
        }
    })
}

/// The status as it stands in a Node.
fn word(status: hosttask_crds::task::ConditionStatus) -> &'static str {
    use hosttask_crds::task::ConditionStatus;
    match status {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown => "Unknown",
    }
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
