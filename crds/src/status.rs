//! The status of a `WindowsHostTask`: what the operator found and did.
#![expect(
    unreachable_pub,
    reason = "the derive of the schema repeats each struct inside a private scope"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of a task.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WindowsHostTaskStatus {
    /// The generation of the spec that this status describes; -1 until the operator has seen the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 9_007_199_254_740_991i64))]
    pub observed_generation: Option<i64>,
    /// The last revision whose rollout was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub stable_revision: Option<String>,
    /// The revision that the spec and the inputs ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub update_revision: Option<String>,
    /// The update revision whose rollout failed: too many failed nodes, or a missed progress deadline, under a failure
    /// policy of Pause or Rollback. It is not tried again until the content or the annotation `hosttask.dev/retry` changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub failed_revision: Option<String>,
    /// How often a revision name was already taken by other content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub collision_count: Option<i32>,
    /// Nodes the task should run on, reachable or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub desired_nodes: Option<i32>,
    /// Nodes at the update revision (RunOnce: that finished it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub updated_nodes: Option<i32>,
    /// Nodes that are healthy at any revision (RunOnce: that finished the update revision successfully).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub healthy_nodes: Option<i32>,
    /// Nodes that were started and are not yet healthy, finished or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub in_progress_nodes: Option<i32>,
    /// Nodes on which the update revision failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub failed_nodes: Option<i32>,
    /// Desired nodes that do not answer. They are left out of the budget and of percentages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub unreachable_nodes: Option<i32>,
    /// Reachable nodes that still wait for the update revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub pending_nodes: Option<i32>,
    /// Nodes on which `job.check` found that there is nothing to do. Present with `job.check` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub compliant_nodes: Option<i32>,
    /// Nodes on which `job.check` found something to do, and `job.checkOnly` left it so. Present with `job.check` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub non_compliant_nodes: Option<i32>,
    /// When the task was last due (Scheduled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// When the task is due next (Scheduled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,
    /// When a node last changed its state in this rollout. The progress deadline counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_progress_time: Option<Time>,
    /// The part of the fleet that is being rolled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<WaveStatus>,
    /// The value of the annotation `hosttask.dev/retry` that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub last_handled_retry: Option<String>,
    /// When the next maintenance window opens, while the rollout waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_window_time: Option<Time>,
    /// The newest failures, at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<NodeFailure>,
    /// Ready, Reconciling, Stalled, Healthy and Validated. Reconciling and Stalled are present only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The part of the fleet that is being rolled out.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WaveStatus {
    /// The wave's name; `default` is the whole fleet.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The wave's position, counted from 0.
    #[schemars(range(min = 0, max = 1000))]
    pub index: i32,
    /// How many waves there are.
    #[schemars(range(min = 0, max = 1000))]
    pub total: i32,
    /// Which division into waves this is about: a hash of their names and selectors, absent without waves. When they are edited,
    /// the operator looks anew for the wave that is next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub layout: Option<String>,
    /// When the wave's rollout began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// Until when the wave's nodes have to stay well before the next wave starts; present while it soaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak_end_time: Option<Time>,
    /// What the rollout waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

/// What the rollout waits for. Budget: as many nodes are disturbed as `maxUnavailable` allows. Paused: `rollout.paused`
/// or `suspend` must be lifted. Soak: the wave's nodes must stay well until `soakEndTime`. Approval: somebody must approve the
/// wave. Window: the next maintenance window. Dependency: tasks of `dependsOn`. Unreachable: too many nodes do not answer.
/// `OtherTask`: another task works on the nodes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// For nodes in flight: as many nodes are disturbed as `maxUnavailable` allows.
    Budget,
    /// For `rollout.paused` or `suspend` to be lifted.
    Paused,
    /// For the wave to stay well long enough.
    Soak,
    /// For somebody to approve the wave.
    Approval,
    /// For a maintenance window.
    Window,
    /// For tasks that this one depends on.
    Dependency,
    /// For nodes to come back: more than `maxUnreachable` do not answer.
    Unreachable,
    /// For other tasks that work on the nodes.
    OtherTask,
}

/// A failure on one node.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NodeFailure {
    /// The node.
    #[schemars(length(max = 253))]
    pub node: String,
    /// The revision that failed there.
    #[schemars(length(max = 253))]
    pub revision: String,
    /// Why, as one word, such as `CrashLoop`, `NotReady`, `ImagePull`, `NodeRegressed` or `ExitCode`; the page of reasons
    /// explains each.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// The exit code of the program, where it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = i32::MIN, max = i32::MAX))]
    pub exit_code: Option<i32>,
    /// What the program last wrote, or what Kubernetes says, at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub message: Option<String>,
    /// How many times it was tried (RunOnce).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub attempts: Option<i32>,
    /// When it is tried again (RunOnce).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_retry_time: Option<Time>,
}
