//! The label sets of the metrics. Their values come from fixed words, resource names and task names, never from texts.

use hosttask_crds::ConditionType;
use hosttask_crds::task::WindowsHostTaskStatus;
use prometheus_client::encoding::EncodeLabelSet;

use super::CONTROLLER;
use crate::desired::TaskKey;
use crate::error::Cause;

/// The one controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Controller {
    controller: &'static str,
}

impl Controller {
    pub(super) const OURS: Self = Self {
        controller: CONTROLLER,
    };
}

/// The one work queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Queue {
    name: &'static str,
    controller: &'static str,
}

impl Queue {
    pub(super) const OURS: Self = Self {
        name: CONTROLLER,
        controller: CONTROLLER,
    };
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// Nothing more to do until something changes.
    Success,
    /// To be looked at again after a known time.
    RequeueAfter,
    /// It failed.
    Error(Cause),
}

/// How passes ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reconciled {
    pub(super) controller: &'static str,
    pub(super) result: &'static str,
}

/// Why passes failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Failed {
    pub(super) controller: &'static str,
    pub(super) cause: &'static str,
}

/// An answer of the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Request {
    pub(super) code: String,
    pub(super) method: String,
    pub(super) host: String,
}

/// A write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Write {
    pub(super) verb: &'static str,
    pub(super) resource: String,
}

/// An election.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Leader {
    pub(super) name: String,
}

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    pub(super) kind: &'static str,
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Build {
    pub(super) version: &'static str,
}

/// Nodes of a task in one state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NodeState {
    namespace: String,
    name: String,
    state: &'static str,
}

impl NodeState {
    pub(super) fn new(key: &TaskKey, state: &'static str) -> Self {
        Self {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            state,
        }
    }
}

/// One possible status of one condition of a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Condition {
    namespace: String,
    name: String,
    r#type: &'static str,
    status: &'static str,
}

/// The node counters of a status.
pub(super) fn node_states(status: &WindowsHostTaskStatus) -> [(&'static str, Option<i32>); 7] {
    [
        ("desired", status.desired_nodes),
        ("updated", status.updated_nodes),
        ("healthy", status.healthy_nodes),
        ("in_progress", status.in_progress_nodes),
        ("failed", status.failed_nodes),
        ("unreachable", status.unreachable_nodes),
        ("pending", status.pending_nodes),
    ]
}

/// Every condition type with every status, and whether the task has it. An absent condition has none of them.
pub(super) fn conditions(key: &TaskKey, status: &WindowsHostTaskStatus) -> Vec<(Condition, bool)> {
    let of = |kind: ConditionType, value: &'static str| {
        let holds = status
            .conditions
            .iter()
            .any(|c| c.type_ == kind.as_str() && c.status == value);
        let label = Condition {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            r#type: kind.as_str(),
            status: value,
        };
        (label, holds)
    };
    ConditionType::ALL
        .into_iter()
        .flat_map(|kind| ["True", "False", "Unknown"].map(|value| of(kind, value)))
        .collect()
}
