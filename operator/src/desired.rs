//! What a valid task asks for: defaults applied, percentages parsed, nothing that could still be malformed.

use std::time::Duration;

use hosttask_crds::task::{
    Account, Approval, ConcurrencyPolicy, ConditionStatus, FailureAction, Mode, Tolerate,
};
use k8s_openapi::api::core::v1::{PodTemplateSpec, Toleration};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The namespace and name of a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskKey {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl std::fmt::Display for TaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A valid task. `validate` is the only place that makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Namespace and name.
    pub key: TaskKey,
    /// The task's UID.
    pub uid: String,
    /// The generation of the spec.
    pub generation: i64,
    /// Daemon, RunOnce or Scheduled.
    pub mode: Mode,
    /// Do nothing but report.
    pub suspend: bool,
    /// Start no further node.
    pub paused: bool,
    /// Which nodes.
    pub placement: Placement,
    /// What runs: the part that makes the revision.
    pub content: Content,
    /// `rollout.maxUnavailable`, default 1.
    pub max_unavailable: Amount,
    /// `rollout.minReadySeconds`, default 10 s.
    pub min_ready: Duration,
    /// `rollout.progressDeadlineSeconds`, default 1800 s.
    pub progress_deadline: Duration,
    /// `rollout.revisionHistoryLimit`, default 10.
    pub revision_history_limit: usize,
    /// `health.minHealthy`, default 100 %.
    pub min_healthy: Amount,
    /// `health.maxRestarts`, default 2.
    pub max_restarts: i32,
    /// `health.restartWindowSeconds`, default 600 s.
    pub restart_window: Duration,
    /// `health.startGraceSeconds`, default 1200 s.
    pub start_grace: Duration,
    /// `health.nodeConditions`.
    pub node_conditions: Vec<NodeCondition>,
    /// How Jobs run. Only read in modes RunOnce and Scheduled.
    pub job: JobPolicy,
    /// When the task runs: in mode Scheduled, and only there.
    pub schedule: Option<Schedule>,
    /// The waves, in order. Never empty: the last is `default`, which takes every node that no other takes.
    pub waves: Vec<Wave>,
    /// `rollout.partition`; none where it is not set or 0.
    pub partition: Option<Amount>,
    /// `rollout.order`.
    pub order: Vec<TopologyOrder>,
    /// `rollout.approvedWave`.
    pub approved_wave: Option<String>,
    /// `rollout.failurePolicy`; none: failures are only reported.
    pub failure_policy: Option<FailurePolicy>,
    /// `rollout.unreachableNodes.afterSeconds`, default 60 s.
    pub unreachable_after: Duration,
    /// `rollout.unreachableNodes.maxUnreachable`; none: no limit.
    pub max_unreachable: Option<Amount>,
    /// `rollout.maintenanceWindows`; empty: always open.
    pub windows: Vec<Window>,
    /// `dependsOn`: names of tasks in the same namespace.
    pub depends_on: Vec<String>,
}

/// A part of the fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct Wave {
    /// Its name.
    pub name: String,
    /// Label requirements, all of which a node of it meets. Empty for `default`.
    pub requirements: Vec<Requirement>,
    /// Its own budget, where it has one.
    pub max_unavailable: Option<Amount>,
    /// How long it must stay well before the next wave starts.
    pub soak: Duration,
    /// Whether somebody must approve it before the next wave starts.
    pub approval: Approval,
}

impl Wave {
    /// The wave of the nodes that no other wave takes.
    pub fn rest() -> Self {
        Self {
            name: hosttask_crds::label::DEFAULT_WAVE.to_owned(),
            requirements: Vec::new(),
            max_unavailable: None,
            soak: Duration::ZERO,
            approval: Approval::Auto,
        }
    }
}

/// A node label that orders the nodes of a wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyOrder {
    /// The label.
    pub key: String,
    /// Whether the nodes of one value wait for all of the value before.
    pub sequential: bool,
}

/// What to do about failed nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePolicy {
    /// At how many failed nodes. A percentage is rounded up, at least 1.
    pub max_failed: Amount,
    /// What.
    pub action: FailureAction,
}

/// A condition that the Node must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCondition {
    /// Its type.
    pub kind: String,
    /// The status it must have.
    pub status: ConditionStatus,
}

/// A maintenance window. `window` computes when it is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// When it opens: five cron fields, valid.
    pub schedule: String,
    /// How long it stays open.
    pub duration: Duration,
    /// The IANA time zone of the schedule, known.
    pub time_zone: String,
}

/// A number of nodes or a percentage of a number of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many nodes.
    Count(i32),
    /// So many percent, 0 to 100.
    Percent(i32),
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// What runs on the nodes: the user's words, and the same as types.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// The canonical JSON that the revision is a hash of: `template` and `runAs` as the user wrote them, the digests of the
    /// inputs, and the exit codes. Stored as the data of the ControllerRevision.
    pub raw: Value,
    /// The template, decoded.
    pub template: PodTemplateSpec,
    /// The account, decoded.
    pub run_as: Identity,
}

/// The account the containers run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A built-in account other than Inherit, or Inherit.
    Account(Account),
    /// A member of a local group.
    LocalGroup(String),
}

/// Which nodes, compiled from `spec.placement`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// Label requirements, all of which a node must meet. `kubernetes.io/os in (windows)` and the builds are among them.
    pub requirements: Vec<Requirement>,
    /// Taints that are tolerated, as they go into the pod.
    pub tolerations: Vec<Toleration>,
    /// As the user chose.
    pub tolerate: Tolerate,
    /// Whether cordoned nodes take part.
    pub include_unschedulable: bool,
}

/// One label requirement, with the operators that `LabelSelector` and node affinity share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// The comparison.
    pub operator: Operator,
    /// The values, for In and `NotIn`.
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label is present.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

/// How the Jobs of a task run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobPolicy {
    /// `job.activeDeadlineSeconds`.
    pub active_deadline: Option<Duration>,
    /// `job.ttlSecondsAfterFinished`, default 3600 s.
    pub ttl_after_finished: Duration,
    /// Success codes, sorted. Default 0.
    pub success: Vec<i32>,
    /// Reboot-required codes, sorted. Default 1641 and 3010.
    pub reboot_required: Vec<i32>,
    /// `job.retry.limit`, default 3.
    pub retry_limit: i32,
    /// `job.retry.initialSeconds`, default 300 s.
    pub retry_initial: Duration,
    /// `job.retry.maxSeconds`, default 86400 s.
    pub retry_max: Duration,
    /// `job.check.command`: what is run in place of the first container's command, to find out whether there is anything to
    /// do.
    pub check: Option<Vec<String>>,
    /// `job.checkOnly`: the program is not run, whatever the check finds. Only with `check`.
    pub check_only: bool,
    /// `job.rerunOn`, default `SpecChange` and `NodeReimage`.
    pub rerun_on: RerunOn,
}

/// What makes a node that is done run the program again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RerunOn {
    /// A new revision.
    pub spec_change: bool,
    /// Another machine behind the node, or one that was installed anew.
    pub node_reimage: bool,
    /// A reboot after the program ended.
    pub node_reboot: bool,
}

impl Default for RerunOn {
    fn default() -> Self {
        Self {
            spec_change: true,
            node_reimage: true,
            node_reboot: false,
        }
    }
}

/// When a Scheduled task runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// `schedule.cron`: five cron fields, valid.
    pub cron: String,
    /// `schedule.timeZone`, known, default UTC.
    pub time_zone: String,
    /// `schedule.startingDeadlineSeconds`: how long after its time a run may still be started. None: until the next one.
    pub starting_deadline: Option<Duration>,
    /// `schedule.concurrencyPolicy`, default Forbid.
    pub concurrency: ConcurrencyPolicy,
    /// `schedule.jitterSeconds`: over how long the nodes are spread, default 0 s.
    pub jitter: Duration,
}
