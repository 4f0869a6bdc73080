//! What the pod state machine reads, remembers and says.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;

use super::container::Container;
use super::life::Note;
use super::refusal::Refusal;
use super::script::Script;

/// What a step depends on beside the pod and its state.
#[derive(Clone, Copy, Debug)]
pub(super) struct World<'a> {
    /// The time of the step.
    pub now: Timestamp,
    /// The seed of everything that varies.
    pub seed: u64,
    /// How much faster than real the kubelet's own delays go (back-off, probe periods). Script seconds are not touched.
    pub speed: f64,
    /// What containers do.
    pub script: &'a Script,
    /// The node.
    pub node: &'a NodeFacts,
}

/// What the state machine knows of the node.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeFacts {
    /// The node's name.
    pub name: String,
    /// The node's address, which is the address of its HostProcess pods too.
    pub ip: String,
    /// The local groups that exist on it.
    pub local_groups: Vec<String>,
}

/// The state of a pod on its node between two steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodState {
    /// When the node saw the pod first.
    pub since: Timestamp,
    /// Init containers, in their order.
    pub init: Vec<Container>,
    /// The other containers.
    pub main: Vec<Container>,
    /// Why the pod as a whole does not run here.
    pub refused: Option<Refusal>,
    /// Why and since when the containers are being stopped.
    pub stopping: Option<Stopping>,
    /// The conditions as last computed.
    pub conditions: BTreeMap<&'static str, Condition>,
    /// Nothing moves any more.
    pub settled: bool,
    /// When its machine last started over: nothing begins before.
    pub(super) resumed: Timestamp,
    /// When it was last looked at.
    pub(super) seen: Timestamp,
}

/// Why the containers are being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopping {
    /// Since when.
    pub since: Timestamp,
    /// Because `activeDeadlineSeconds` is over, else because the pod is deleted or its work is done.
    pub deadline: bool,
}

/// A condition with the time of its last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// Whether it holds.
    pub holds: bool,
    /// Since when it holds or does not.
    pub since: Timestamp,
    /// Why it does not.
    pub reason: &'static str,
    /// More of it.
    pub message: String,
}

/// What a step says.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The state to hand to the next step.
    pub state: PodState,
    /// The status to report. None where an earlier process has reported the pod's end.
    pub status: Option<PodStatus>,
    /// Everything has stopped and the deletion was asked for: the object can go.
    pub delete: bool,
    /// When to step again, if the pod does not change before.
    pub wake: Option<Timestamp>,
    /// What happened.
    pub notes: Vec<Note>,
}
