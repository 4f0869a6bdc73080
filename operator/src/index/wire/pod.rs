//! The few fields we read of a pod.

use hosttask_crds::label::DEPENDENCY_GATE;
use serde::Deserialize;

use super::{Condition, Meta, Stamp, slim};

slim! {
    /// A Pod.
    Pod {
        /// Metadata.
        metadata: Meta,
        /// The part of the spec we read.
        spec: PodSpec,
        /// The part of the status we read.
        status: PodStatus,
    }
}

slim! {
    /// The part of a pod's spec we read.
    PodSpec {
        /// The node it is bound to.
        node_name: String,
        /// Its affinity: it names the node before the pod is bound.
        affinity: Affinity,
        /// What holds it back from the scheduler.
        scheduling_gates: Vec<SchedulingGate>,
    }
}

impl Pod {
    /// Whether our own gate holds it back from the scheduler.
    pub(in crate::index) fn is_gated(&self) -> bool {
        let mut gates = self.spec.scheduling_gates.iter();
        gates.any(|gate| gate.name == DEPENDENCY_GATE)
    }
}

slim! {
    /// What holds a pod back from the scheduler.
    SchedulingGate {
        /// Its name.
        name: String,
    }
}

slim! {
    /// A pod's affinity.
    Affinity {
        /// The node affinity.
        node_affinity: NodeAffinity,
    }
}

slim! {
    /// A pod's node affinity.
    NodeAffinity {
        /// The part that must hold.
        #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
        required: NodeSelector,
    }
}

slim! {
    /// Terms, one of which must hold.
    NodeSelector {
        /// The terms.
        node_selector_terms: Vec<NodeSelectorTerm>,
    }
}

slim! {
    /// A term.
    NodeSelectorTerm {
        /// Requirements on fields of the node.
        match_fields: Vec<FieldRequirement>,
    }
}

slim! {
    /// A requirement on a field of the node.
    FieldRequirement {
        /// The field.
        key: String,
        /// The values.
        values: Vec<String>,
    }
}

slim! {
    /// The part of a pod's status we read.
    PodStatus {
        /// The phase.
        phase: String,
        /// Why the pod failed as a whole.
        reason: String,
        /// Why the pod failed as a whole.
        message: String,
        /// The conditions.
        conditions: Vec<Condition>,
        /// The init containers.
        init_container_statuses: Vec<ContainerStatus>,
        /// The containers.
        container_statuses: Vec<ContainerStatus>,
    }
}

slim! {
    /// A container.
    ContainerStatus {
        /// How often it was restarted.
        restart_count: u32,
        /// What it does.
        state: ContainerState,
        /// What it did before its last restart.
        last_state: ContainerState,
    }
}

slim! {
    /// What a container does; the running state has nothing we read.
    ContainerState {
        /// It does not run yet.
        waiting: Option<Waiting>,
        /// It ended.
        terminated: Option<Terminated>,
    }
}

slim! {
    /// Why a container does not run.
    Waiting {
        /// Why, as one word.
        reason: String,
        /// Why.
        message: String,
    }
}

slim! {
    /// How a container ended.
    Terminated {
        /// Its exit code.
        exit_code: i32,
        /// Why, as one word.
        reason: String,
        /// Its termination message or log tail.
        message: String,
        /// When, by the node's clock.
        finished_at: Stamp,
    }
}
