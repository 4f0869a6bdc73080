//! `WindowsHostTask`: one program on every selected Windows node, as a user writes it, and what became of it.
//!
//! Longer than 400 lines: the spec is one document, read from top to bottom.
#![expect(
    unreachable_pub,
    reason = "the derive of the schema repeats each struct inside a private scope"
)]

use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::status::{NodeFailure, Waiting, WaveStatus, WindowsHostTaskStatus};
use crate::template::Template;

/// A `WindowsHostTask` runs a HostProcess container on every selected Windows node: as a service (Daemon), once
/// (RunOnce) or again and again (Scheduled). The operator creates the DaemonSet or the Jobs, replaces pods node by node within the budget, and
/// reports per node what happened.
#[expect(
    clippy::duplicated_attributes,
    reason = "columns of one type repeat their type_"
)]
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "hosttask.dev",
    version = "v1alpha1",
    kind = "WindowsHostTask",
    plural = "windowshosttasks",
    namespaced,
    status = "WindowsHostTaskStatus",
    shortname = "wht",
    category = "all",
    category = "hostprocess",
    derive = "PartialEq",
    selectable = ".spec.mode",
    selectable = ".spec.suspend",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Desired",
        type_ = "integer",
        json_path = ".status.desiredNodes"
    ),
    printcolumn(
        name = "Updated",
        type_ = "integer",
        json_path = ".status.updatedNodes"
    ),
    printcolumn(
        name = "Healthy",
        type_ = "integer",
        json_path = ".status.healthyNodes"
    ),
    printcolumn(name = "Wave", type_ = "string", json_path = ".status.wave.name"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failedNodes"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Unreachable",
        type_ = "integer",
        json_path = ".status.unreachableNodes",
        priority = "1"
    ),
    printcolumn(
        name = "Waiting",
        type_ = "string",
        json_path = ".status.wave.waiting",
        priority = "1"
    ),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.updateRevision",
        priority = "1"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = "1"
    )
)]
pub struct WindowsHostTaskSpec {
    /// How the program runs on a node. Daemon: as long as the node exists (a DaemonSet). RunOnce: to its end, once per
    /// node and revision (a Job per node). Scheduled: to its end, on every node each time `schedule` is due (a Job per node
    /// and time). Immutable: delete the task and create it again to change the mode.
    pub mode: Mode,

    /// Do nothing on any node, only report. Running pods and Jobs are left alone. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// The Windows account the containers run as. It must be said: there is no default that would silently mean SYSTEM.
    pub run_as: RunAs,

    /// Which Windows nodes the task runs on. Without it: every Windows node, tolerating the usual Windows-pool taints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,

    /// The pod to run, as in a DaemonSet or Job. What every HostProcess pod needs is added by the operator: `os`,
    /// `hostNetwork`, `securityContext.windowsOptions`, the node selector, tolerations and the restart policy.
    pub template: Template,

    /// ConfigMaps and Secrets of this namespace whose content is part of the revision: a change rolls the task out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,

    /// Tasks of this namespace that must be healthy (Daemon) or done (RunOnce, Scheduled) on a node, at their current
    /// revision, before this task starts there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,

    /// How a new revision reaches the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,

    /// When a node counts as healthy, and when as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,

    /// When the program runs. With mode Scheduled, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,

    /// How the per-node Jobs run. Only with mode RunOnce and Scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
}

/// How the program runs on a node.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum Mode {
    /// As long as the node exists.
    Daemon,
    /// To its end, once per node and revision.
    RunOnce,
    /// To its end, on every node at each time of a schedule.
    Scheduled,
}

/// The Windows account of the containers: exactly one of `account` and `localGroup`.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunAs {
    /// A built-in service account. System has full control of the node; `LocalService` and `NetworkService` have few rights.
    /// Inherit takes the account containerd itself runs as (annotation `microsoft.com/hostprocess-inherit-user`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// An existing local group of the node: a temporary user that is a member of this group runs the container.
    /// Needs containerd 1.7 or newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 104))]
    pub local_group: Option<String>,
}

/// A built-in service account. System has full control of the node; `LocalService` and `NetworkService` have few rights.
/// Inherit takes the account containerd itself runs as (annotation `microsoft.com/hostprocess-inherit-user`).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// `NT AUTHORITY\SYSTEM`
    System,
    /// `NT AUTHORITY\LocalService`
    LocalService,
    /// `NT AUTHORITY\NetworkService`
    NetworkService,
    /// The account containerd runs as.
    Inherit,
}

/// Which Windows nodes the task runs on.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Labels a node must have. `kubernetes.io/os=windows` is always required as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<LabelSelector>,
    /// Windows builds, as in the node label `node.kubernetes.io/windows-build`, such as `10.0.20348`. Empty: any build.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(max = 20)))]
    pub windows_builds: Vec<String>,
    /// Which taints are tolerated. `WindowsPools`: the taints that the cloud vendors and common guides put on
    /// Windows pools (keys `os` and `node.kubernetes.io/os`). All: every taint. None: no taint. Default `WindowsPools`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerate: Option<Tolerate>,
    /// Further taints that are tolerated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Whether cordoned nodes take part. Default true. With false a RunOnce task waits until the node is uncordoned,
    /// and a Daemon task leaves the pod of a cordoned node at its revision (Kubernetes itself still starts missing
    /// daemon pods there).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_unschedulable: Option<bool>,
}

/// Which taints are tolerated. `WindowsPools`: the taints that the cloud vendors and common guides put on
/// Windows pools (keys `os` and `node.kubernetes.io/os`). All: every taint. None: no taint. Default `WindowsPools`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tolerate {
    /// Every taint.
    All,
    /// The usual taints of Windows pools.
    #[default]
    WindowsPools,
    /// No taint.
    None,
}

/// ConfigMaps and Secrets whose content is part of the revision.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// ConfigMaps of the task's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config_maps: Vec<ConfigMapInput>,
    /// Secrets of the task's namespace. The operator has no access to Secrets by default: bind the `ClusterRole`
    /// `hosttask-secret-reader` in the namespace first (the condition names the command).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretInput>,
}

/// A ConfigMap whose content is part of the revision.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapInput {
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A Secret whose content is part of the revision.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretInput {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The Secret must exist, but a change of its content rolls nothing out (for tokens that are renewed often). Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_changes: Option<bool>,
}

/// How a new revision reaches the nodes.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Start no further node. What runs goes on; nodes that join get the stable revision. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// How many nodes may be disturbed at once: a number, or a percentage of the nodes that can be reached (rounded down,
    /// at least 1). Strict: a node that answers and is unhealthy for any reason counts, and so does one that stopped
    /// answering after its pod was replaced. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0, "maximum" = 100_000, "maxLength" = 16))]
    pub max_unavailable: Option<IntOrString>,
    /// How long a pod must be ready until its node counts as healthy, in seconds. Default 10: without a probe a program is
    /// ready the moment it starts, also one that is about to crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub min_ready_seconds: Option<i32>,
    /// After how many seconds without any progress the rollout counts as stuck. The clock stands still while the
    /// rollout is paused or suspended. Default 1800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub progress_deadline_seconds: Option<i32>,
    /// How many old revisions are kept as `ControllerRevisions`. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub revision_history_limit: Option<i32>,
    /// How many nodes stay on the revision they have: a number, or a percentage of the nodes that can be reached (rounded
    /// up). Only without `waves`. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0, "maximum" = 100_000, "maxLength" = 16))]
    pub partition: Option<IntOrString>,
    /// In which order the nodes of a wave are started: by these node labels, first to last, and then in an order that differs
    /// from revision to revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<TopologyOrder>,
    /// The parts of the fleet that get a new revision one after the other. A node is in the first wave whose selector it
    /// matches; all others are in the last wave, `default`. While a wave is rolled out, nodes of later waves, new ones too,
    /// have the stable revision. Changing the waves restarts no pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Wave>,
    /// Approves waves with `approval: Manual`, as `REVISION/WAVE`: that wave and every one before it may be left, at that
    /// revision only. The condition Ready says what to write here. The annotation `hosttask.dev/approved-wave` does the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 317))]
    pub approved_wave: Option<String>,
    /// What happens when the update revision fails on nodes. Without it a failed node holds its place in the budget, and the
    /// progress deadline reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<FailurePolicy>,
    /// What counts as unreachable, and how many such nodes are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable_nodes: Option<UnreachableNodes>,
    /// When nodes may be started. Empty: always. What was started before a window closed is finished; a rollback does not
    /// wait for a window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintenance_windows: Vec<MaintenanceWindow>,
}

/// A node label that orders the nodes of a wave.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TopologyOrder {
    /// The label, such as `topology.kubernetes.io/zone`. Its values are taken in alphabetical order; nodes without the
    /// label come last.
    #[schemars(length(min = 1, max = 317))]
    pub topology_key: String,
    /// Whether a node of the next value is started only once every reachable node of the one before is done. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequential: Option<bool>,
}

/// A part of the fleet.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Wave {
    /// The wave's name, part of the name of its DaemonSet. `default` is taken by the nodes that no wave selects.
    #[schemars(length(min = 1, max = 20))]
    pub name: String,
    /// Labels of the nodes of this wave.
    pub node_selector: LabelSelector,
    /// As `rollout.maxUnavailable`, of the wave's nodes. Default: that value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0, "maximum" = 100_000, "maxLength" = 16))]
    pub max_unavailable: Option<IntOrString>,
    /// How long all nodes of the wave must be well before the next wave starts, in seconds. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_592_000))]
    pub soak_seconds: Option<i32>,
    /// Whether the next wave starts by itself (Auto) or after `approvedWave` names this wave (Manual). Default Auto.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// Whether the next wave starts by itself (Auto) or after `approvedWave` names this wave (Manual). Default Auto.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approval {
    /// By itself.
    #[default]
    Auto,
    /// Once somebody approved.
    Manual,
}

/// What happens when the update revision fails on nodes.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FailurePolicy {
    /// At how many failed nodes the action is taken: a number from 1, or a percentage of the nodes that can be reached
    /// (rounded up, at least 1). Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0, "maximum" = 100_000, "maxLength" = 16))]
    pub max_failed_nodes: Option<IntOrString>,
    /// Pause: start no further node. Rollback (mode Daemon): bring the stable revision back, newest wave first. Continue:
    /// only report. Also taken when the progress deadline passes. The failed revision is not tried again until the content
    /// changes, or the annotation `hosttask.dev/retry` does. Default Pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<FailureAction>,
}

/// What to do about a failed revision: Pause starts no further node, Rollback brings the stable revision back (mode Daemon),
/// Continue only reports. Default Pause.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureAction {
    /// Start no further node.
    #[default]
    Pause,
    /// Bring the stable revision back.
    Rollback,
    /// Only report.
    Continue,
}

/// What counts as unreachable, and how many such nodes are accepted.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct UnreachableNodes {
    /// How long a node may be not Ready until it is left out of the rollout, in seconds; before that it holds a place in
    /// the budget. Default 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub after_seconds: Option<i32>,
    /// With more unreachable nodes than this no further node is started: a number, or a percentage of all nodes of the task
    /// (rounded down). Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0, "maximum" = 100_000, "maxLength" = 16))]
    pub max_unreachable: Option<IntOrString>,
}

/// A time in which nodes may be started.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindow {
    /// When the window opens, as five cron fields: minute, hour, day of month, month, day of week.
    #[schemars(length(min = 9, max = 100))]
    pub schedule: String,
    /// How long it stays open, in seconds.
    #[schemars(range(min = 60, max = 604_800))]
    pub duration_seconds: i32,
    /// The IANA time zone of the schedule, such as `Europe/Berlin`. Default `Etc/UTC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
}

/// A task of the same namespace that must be well on a node first.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// The task's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// When a node counts as healthy, and when as failed.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// How many of the reachable nodes must be healthy at the update revision for Ready=True: a number or a percentage
    /// (rounded up). Default 100%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0, "maximum" = 100_000, "maxLength" = 16))]
    pub min_healthy: Option<IntOrString>,
    /// How many container restarts within `restartWindowSeconds` are accepted before the node counts as failed. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_restarts: Option<i32>,
    /// The window in which restarts are counted, in seconds. Default 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub restart_window_seconds: Option<i32>,
    /// How long a pod may take to become ready, in seconds. Pulling a Windows image takes minutes. Default 1200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub start_grace_seconds: Option<i32>,
    /// Conditions of the Node that must hold on every changed node until the rollout is over; a node that loses one counts as
    /// failed. A node that lacks one before it is started is treated as unreachable. Ready is always looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_conditions: Vec<NodeConditionRequirement>,
}

/// A condition that the Node must have.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NodeConditionRequirement {
    /// The condition's type, such as `DiskPressure` or one of node-problem-detector.
    #[schemars(length(min = 1, max = 316))]
    pub r#type: String,
    /// The status it must have.
    pub status: ConditionStatus,
}

/// The status of a condition.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    #[default]
    True,
    /// It does not hold.
    False,
    /// Nobody knows.
    Unknown,
}

/// When a Scheduled task runs on its nodes.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// When the program is due, as five cron fields: minute, hour, day of month, month, day of week. The first run is at the
    /// first such time after the task was created. Of several times that were missed only the last is made up for.
    #[schemars(length(min = 9, max = 100))]
    pub cron: String,
    /// The IANA time zone of `cron`, such as `Europe/Berlin`. Default `Etc/UTC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// How long after it was due the program may still be started on a node, in seconds. Default: until it is due again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub starting_deadline_seconds: Option<i32>,
    /// What happens on a node where the program still runs when it is due again. Forbid: nothing, that run is left out.
    /// Replace: the running Job is deleted, and the program started anew. Default Forbid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_policy: Option<ConcurrencyPolicy>,
    /// Over how many seconds the nodes are spread: each starts later by a time of its own, always the same. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub jitter_seconds: Option<i32>,
}

/// How the per-node Jobs of a task run.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// After how many seconds a Job is stopped and counts as failed. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub active_deadline_seconds: Option<i64>,
    /// After how many seconds a finished Job is deleted. The result stays in the node's ledger (`kubectl get whn NODE`).
    /// Default 3600. At least 60, so that the result is recorded before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i32>,
    /// What the exit codes of the program mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_codes: Option<ExitCodes>,
    /// How a failed node is tried again. Other nodes go on meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// A test that runs on a node first. Where it ends with 0 the node is compliant: it is done, and the program does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Only check: the program runs nowhere, the status counts compliant and non-compliant nodes. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_only: Option<bool>,
    /// What makes a node that is done run the program again (RunOnce). `SpecChange`: a new revision. `NodeReimage`: the machine
    /// behind the node is another one, or was installed anew. `NodeReboot`: the node rebooted. An empty list: nothing ever.
    /// Default `SpecChange` and `NodeReimage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_on: Option<Vec<RerunOn>>,
    /// Any text: another one is a new revision, and so runs the program again on every node (RunOnce).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub rerun_nonce: Option<String>,
}

/// A test that runs on a node before the program.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What runs in place of command and arguments of the first container. 0 means compliant, any other exit code that there
    /// is something to do. A test that cannot be run at all is a failure.
    #[schemars(length(min = 1), inner(length(max = 32_767)))]
    pub command: Vec<String>,
}

/// What the exit codes of the program mean. Any other code is a failure.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ExitCodes {
    /// Codes that mean success. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), inner(range(min = i32::MIN, max = i32::MAX)))]
    pub success: Option<Vec<i32>>,
    /// Codes that mean success once the node is rebooted, as Windows installers use them. Default: 3010 and 1641.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(inner(range(min = i32::MIN, max = i32::MAX)))]
    pub reboot_required: Option<Vec<i32>>,
}

/// What happens on a node where the program still runs when it is due again. Forbid: nothing, it is next run when it is due
/// after that. Replace: the running Job is deleted, and the program started anew. Default Forbid.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConcurrencyPolicy {
    /// The program that runs goes on, and the new run is left out.
    #[default]
    Forbid,
    /// The program that runs is stopped first.
    Replace,
}

/// What makes a node that is done run the program again. `SpecChange`: a new revision. `NodeReimage`: the machine behind the
/// node is another one, or was installed anew. `NodeReboot`: the node rebooted after the program ended there.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum RerunOn {
    /// A new revision.
    SpecChange,
    /// Another machine, or one that was installed anew.
    NodeReimage,
    /// A reboot after the program ended.
    NodeReboot,
}

/// How a failed node is tried again: attempt n starts `initialSeconds` × 2ⁿ⁻¹ after the failure, at most `maxSeconds`.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// How many times a failed node is tried again for one revision. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub limit: Option<i32>,
    /// The delay before the first retry, in seconds. Default 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub initial_seconds: Option<i32>,
    /// The longest delay before a retry, in seconds. Default 86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub max_seconds: Option<i32>,
}
