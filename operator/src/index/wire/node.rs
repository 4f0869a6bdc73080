//! The few fields we read of a node.

use serde::Deserialize;

use super::{Condition, Every, Meta, slim};
use crate::placement::Taint;

slim! {
    /// A Node.
    Node {
        /// Metadata, with every label: a task may select by any.
        metadata: Meta<Every>,
        /// The part of the spec we read.
        spec: NodeSpec,
        /// The part of the status we read.
        status: NodeStatus,
    }
}

slim! {
    /// The part of a node's spec we read.
    NodeSpec {
        /// Whether it is cordoned.
        unschedulable: bool,
        /// The taints.
        taints: Vec<Taint>,
    }
}

slim! {
    /// The part of a node's status we read.
    NodeStatus {
        /// The conditions.
        conditions: Vec<Condition>,
        /// Identity and versions.
        node_info: NodeInfo,
    }
}

slim! {
    /// The identity of a node.
    NodeInfo {
        /// The identity of the machine.
        #[serde(rename = "systemUUID")]
        system_uuid: String,
        /// The current boot.
        #[serde(rename = "bootID")]
        boot_id: String,
    }
}
