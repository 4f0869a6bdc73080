//! `WindowsHostNode`: the ledger of what ran on one Windows node. The operator writes it, people read it.
#![expect(
    unreachable_pub,
    reason = "the derive of the schema repeats each struct inside a private scope"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A `WindowsHostNode` records which run-once tasks ran on the Windows node of the same name and how they ended.
/// The operator creates it and deletes it with the Node. When the node is re-imaged, its entries are void.
#[expect(
    clippy::duplicated_attributes,
    reason = "columns of one type repeat their type_"
)]
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "hosttask.dev",
    version = "v1alpha1",
    kind = "WindowsHostNode",
    plural = "windowshostnodes",
    status = "WindowsHostNodeStatus",
    shortname = "whn",
    category = "hostprocess",
    derive = "PartialEq",
    printcolumn(name = "Build", type_ = "string", json_path = ".status.windowsBuild"),
    printcolumn(name = "Done", type_ = "integer", json_path = ".status.succeededTasks"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failedTasks"),
    printcolumn(
        name = "Reboot",
        type_ = "string",
        json_path = ".status.rebootRequired"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
pub struct WindowsHostNodeSpec {}

/// What ran on the node.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WindowsHostNodeStatus {
    /// The UID of the Node object the entries belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub node_uid: Option<String>,
    /// The hardware or virtual machine identity the entries belong to; another value means the node was re-imaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub system_uuid: Option<String>,
    /// The boot the node was last seen in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub boot_id: Option<String>,
    /// The Windows build of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub windows_build: Option<String>,
    /// Whether a task asked for a reboot that has not happened yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot_required: Option<bool>,
    /// How many entries succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub succeeded_tasks: Option<i32>,
    /// How many entries failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub failed_tasks: Option<i32>,
    /// One entry per run-once task, the newest revision only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<LedgerEntry>,
}

/// How a task ended on the node.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEntry {
    /// The task as `namespace/name`.
    #[schemars(length(max = 317))]
    pub task: String,
    /// The UID of the task, so that a task of the same name that is created later runs again.
    #[schemars(length(max = 64))]
    pub task_uid: String,
    /// The revision that ran.
    #[schemars(length(max = 253))]
    pub revision: String,
    /// How it ended.
    pub state: LedgerState,
    /// How many times it was tried at this revision (Scheduled: at this time of the schedule).
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub attempts: i32,
    /// How many of the attempts belong to earlier runs, before the node rebooted or `job.checkOnly` was lifted. They do not
    /// count against `job.retry.limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub earlier_attempts: Option<i32>,
    /// The time of the schedule that it ran for (Scheduled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_time: Option<Time>,
    /// The exit code of the program, where it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = i32::MIN, max = i32::MAX))]
    pub exit_code: Option<i32>,
    /// Why, as one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub reason: Option<String>,
    /// What the program last wrote, at most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_retry_time: Option<Time>,
    /// The boot of the node when its program ended. While the node is still in it, a reboot that the program asked for is
    /// outstanding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub boot_id: Option<String>,
    /// Whether the entry still counts when the machine behind the node is another one, or was installed anew: `job.rerunOn`
    /// of the task had no `NodeReimage` when the program ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survives_reimage: Option<bool>,
}

/// How it ended. Failed: with `nextRetryTime` it is tried again. `RebootPending`: with a reboot-required code, and the node
/// has not rebooted since. `NonCompliant`: `job.check` found something to do, and `job.checkOnly` left it so.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerState {
    /// It ended with a success code.
    Succeeded,
    /// It failed; with `nextRetryTime` it is tried again.
    Failed,
    /// It ended with a reboot-required code and the node has not rebooted since.
    RebootPending,
    /// The check found something to do, and `job.checkOnly` left it so.
    NonCompliant,
}
