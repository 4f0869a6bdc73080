//! `gate`: what keeps nodes from being started although it would be their turn: maintenance windows, silent nodes, tasks
//! they depend on, other tasks at work. Pure, and the same for both modes.

use hosttask_crds::Reason;
use hosttask_crds::task::Waiting;
use jiff::Timestamp;

use super::budget;
use super::tally::Tally;
use super::window::{self, WindowState};
use crate::desired::{Amount, Desired};
use crate::observed::Observed;
use crate::status::Phase;

/// The gates of a task in one pass.
#[derive(Debug)]
pub(super) struct Gates<'a> {
    observed: &'a Observed,
    /// Whether no maintenance window is open.
    pub(super) closed: bool,
    /// When the next one opens.
    pub(super) opens: Option<Timestamp>,
    /// Whether more nodes than `unreachableNodes.maxUnreachable` do not answer.
    pub(super) silent: bool,
    /// The first task of `dependsOn` that does not exist.
    missing: Option<&'a str>,
    /// The first task of `dependsOn` that depends on this one.
    pub(super) cycle: Option<&'a str>,
}

/// Why a node is not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bar {
    /// A task it depends on is not well there.
    Dependency,
    /// Another task works there.
    OtherTask,
}

impl<'a> Gates<'a> {
    /// Looks at all of them.
    pub(super) fn of(
        desired: &'a Desired,
        observed: &'a Observed,
        tally: &Tally,
        now: Timestamp,
    ) -> Self {
        let (closed, opens) = match window::state(&desired.windows, now) {
            WindowState::Open { .. } => (false, None),
            WindowState::Closed { opens } => (true, opens),
        };
        let silent = desired
            .max_unreachable
            .is_some_and(|max| tally.unreachable > floor(max, tally.desired));
        let first = |is: fn(&crate::observed::DependencyView) -> bool| {
            let found = observed.dependencies.iter().find(|it| is(it));
            found.map(|it| it.name.as_str())
        };
        Self {
            observed,
            closed,
            opens,
            silent,
            missing: first(|it| !it.exists),
            cycle: first(|it| it.is_cycle),
        }
    }

    /// Whether anything may be started at all.
    pub(super) fn is_open(&self) -> bool {
        !self.closed && !self.silent && self.cycle.is_none()
    }

    /// What keeps this node from being started.
    pub(super) fn bar(&self, node: &str) -> Option<Bar> {
        if self.waits_for(node).is_some() {
            return Some(Bar::Dependency);
        }
        self.is_busy(node).then_some(Bar::OtherTask)
    }

    /// Whether another task works on the node.
    pub(super) fn is_busy(&self, node: &str) -> bool {
        self.observed.grants.busy.contains_key(node)
    }

    /// How many nodes may be started in this pass, all in all.
    pub(super) fn slots(&self) -> usize {
        self.observed
            .grants
            .slots
            .map_or(usize::MAX, |slots| usize::try_from(slots).unwrap_or(0))
    }

    /// The first task that this one depends on and that is not well on the node.
    pub(super) fn waits_for(&self, node: &str) -> Option<&'a str> {
        waits_for(self.observed, node)
    }

    /// What a task in a circle of dependencies reports.
    pub(super) fn circle(&self) -> Option<Phase> {
        let name = self.cycle?;
        Some(Phase::Stalled {
            reason: Reason::DependencyCycle,
            message: format!(
                "dependsOn: {name} depends on this task, directly or through others; take one of the two out of dependsOn"
            ),
        })
    }

    /// What a task reports that may start nothing, though nodes wait.
    pub(super) fn shut(&self, desired: &Desired, tally: &Tally) -> Option<Phase> {
        if self.silent {
            let max = desired
                .max_unreachable
                .map_or(0, |max| floor(max, tally.desired));
            return Some(Phase::Held {
                reason: Reason::TooManyUnreachable,
                waiting: Waiting::Unreachable,
                message: format!(
                    "{} nodes do not answer, at most {max} may (rollout.unreachableNodes.maxUnreachable)",
                    tally.unreachable
                ),
            });
        }
        self.closed.then(|| Phase::Held {
            reason: Reason::WaitingForWindow,
            waiting: Waiting::Window,
            message: match self.opens {
                Some(opens) => format!("the next maintenance window opens at {opens}"),
                None => "no maintenance window opens in the years to come".to_owned(),
            },
        })
    }

    /// What a task reports whose nodes all wait for other tasks; `node` is one of them.
    pub(super) fn dependency(&self, node: &str) -> Phase {
        let message = match (self.missing, self.waits_for(node)) {
            (Some(name), _) => format!("task {name} of dependsOn does not exist"),
            (None, name) => format!(
                "task {} of dependsOn is not done on {node}",
                name.unwrap_or_default()
            ),
        };
        Phase::Held {
            reason: Reason::WaitingForDependency,
            waiting: Waiting::Dependency,
            message,
        }
    }
}

/// The first task that this one depends on and that is not well on the node.
pub(super) fn waits_for<'a>(observed: &'a Observed, node: &str) -> Option<&'a str> {
    observed
        .dependencies
        .iter()
        .find(|it| !it.exists || !it.done.contains(node))
        .map(|it| it.name.as_str())
}

/// How many of `nodes` an amount is; a percentage is rounded down.
fn floor(amount: Amount, nodes: i32) -> i32 {
    match amount {
        Amount::Percent(percent) => nodes - budget::needed(Amount::Percent(100 - percent), nodes),
        Amount::Count(count) => count,
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
