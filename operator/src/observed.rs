//! What one reconcile knows about the cluster: plain data, own writes that the watches have not shown yet already applied.

use std::collections::{BTreeMap, BTreeSet};

use hosttask_crds::node::LedgerEntry;
use hosttask_crds::task::WindowsHostTaskStatus;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::desired::Content;

/// Everything one pass over a task may decide on. Collections are in name order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The status as last written; conditions keep their transition times from it.
    pub status: WindowsHostTaskStatus,
    /// When the task was created.
    pub created: Timestamp,
    /// The Windows nodes that `placement` selects and whose taints it tolerates, in name order.
    pub nodes: Vec<NodeView>,
    /// Windows nodes with a Job of the task that are not (or no longer) among `nodes`: nothing starts there, but what ended is
    /// recorded before the Job's TTL takes it.
    pub left: Vec<NodeView>,
    /// The task's own DaemonSets, one per wave, in name order; those of waves that are no more too.
    pub daemon_sets: Vec<DaemonSetState>,
    /// DaemonSets of a name that a wave of the task needs and that somebody else controls (checked live before the first
    /// write), in name order.
    pub foreign: Vec<ForeignSet>,
    /// The task's pods, of any revision.
    pub pods: Vec<PodView>,
    /// The task's Jobs, of any revision, including those that were created but not yet seen by the watch.
    pub jobs: Vec<JobView>,
    /// The valid ledger entry of this task per node: same task UID, and the node was not re-imaged since.
    pub ledger: BTreeMap<String, LedgerEntry>,
    /// The task's ControllerRevisions by number, oldest first.
    pub revisions: Vec<RevisionView>,
    /// The content of the stable revision; loaded only in mode Daemon while it differs from the content that is asked for.
    pub stable_content: Option<Content>,
    /// The `pod-security.kubernetes.io/enforce` level of the namespace, where it is set.
    pub pod_security: Option<String>,
    /// Why Kubernetes cannot create pods for the children, from their newest `FailedCreate` event.
    pub failed_create: Option<String>,
    /// What people asked for by annotations of the task.
    pub requests: Requests,
    /// The tasks of `dependsOn`, in that order.
    pub dependencies: Vec<DependencyView>,
    /// What other tasks leave to this one.
    pub grants: Grants,
}

/// What people asked for by annotations of the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Requests {
    /// `hosttask.dev/retry`: another value than `status.lastHandledRetry` makes a failed revision be tried again.
    pub retry: Option<String>,
    /// `hosttask.dev/approved-wave`: as `rollout.approvedWave`.
    pub approved_wave: Option<String>,
}

/// A task that this one depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DependencyView {
    /// Its name.
    pub name: String,
    /// Whether it exists.
    pub exists: bool,
    /// Whether it depends, directly or not, on this task.
    pub is_cycle: bool,
    /// Nodes on which it is healthy or done at its current revision.
    pub done: BTreeSet<String>,
}

/// What other tasks leave to this one. The default leaves everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Grants {
    /// Nodes that another task works on, and which (`namespace/name`): nothing is started there.
    pub busy: BTreeMap<String, String>,
    /// How many more nodes the task may start, under the cap of the whole cluster; none: no cap.
    pub slots: Option<i32>,
}

/// A Windows node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// The UID of the Node object.
    pub uid: String,
    /// Whether its Ready condition is True.
    pub ready: bool,
    /// When Ready last changed.
    pub ready_changed: Option<Timestamp>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// The identity of the machine.
    pub system_uuid: String,
    /// The current boot.
    pub boot_id: String,
    /// The position of its wave in `Desired::waves`.
    pub wave: usize,
    /// Its values of the labels of `Desired::order`, in that order.
    pub topology: Vec<Option<String>>,
    /// Its conditions that `Desired::node_conditions` names. One that the node does not have is left out.
    pub conditions: Vec<ConditionView>,
}

/// A condition of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConditionView {
    /// Its type.
    pub kind: String,
    /// True, False or Unknown.
    pub status: String,
    /// When its status last changed, by our own clock where we saw it happen.
    pub changed: Option<Timestamp>,
}

impl NodeView {
    /// Which machine this is: the UID of the Node object and the identity of the machine behind it. It changes when the
    /// node is created anew and when it is re-imaged in place; in both cases the Jobs made before are void. Whether the ledger
    /// is void too is told by [`crate::plan::node::is_void`].
    pub fn machine(&self) -> String {
        format!("{}/{}", self.uid, self.system_uuid)
    }
}

/// A DaemonSet of a name that the task needs and that somebody else controls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignSet {
    /// Its name.
    pub name: String,
    /// Who controls it, as `Kind name`.
    pub owner: String,
}

/// The state of the task's own DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetState {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The hash of what was last applied (annotation `hosttask.dev/applied`).
    pub applied: String,
    /// The revision its template is at (label on the template).
    pub revision: String,
    /// Whether the DaemonSet controller has seen the last template: `status.observedGeneration` equals the generation.
    pub settled: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The wave it is for (label `hosttask.dev/wave`).
    pub wave: String,
    /// The hash of the division of the fleet it was made for (annotation `hosttask.dev/layout`).
    pub layout: String,
}

/// A pod of the task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about one pod"
)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its resource version, for the delete precondition.
    pub resource_version: String,
    /// Its node; for a daemon pod that is not bound yet, the node its affinity names.
    pub node: String,
    /// The revision it runs.
    pub revision: String,
    /// The attempt, for pods of Jobs.
    pub attempt: Option<i32>,
    /// The UID of the Job that controls it; empty for daemon pods.
    pub job: String,
    /// The wave, for daemon pods (label `hosttask.dev/wave`).
    pub wave: String,
    /// Whether nothing controls it: a daemon pod that is handed over from one DaemonSet to another.
    pub orphan: bool,
    /// Whether the scheduling gate of `dependsOn` holds it.
    pub gated: bool,
    /// When it was created.
    pub created: Timestamp,
    /// When it became ready, by our own clock where we saw it happen; none while it is not ready.
    pub ready_since: Option<Timestamp>,
    /// When it lost its readiness (the last transition of its Ready condition to False), where it was ready before. The
    /// start grace counts from here; none: from its creation.
    pub unready_since: Option<Timestamp>,
    /// Whether it is being deleted, by us or by others.
    pub deleting: bool,
    /// Whether it ended (phase Succeeded or Failed).
    pub finished: bool,
    /// Container restarts seen within `restart_window` (at most since the operator started).
    pub recent_restarts: i32,
    /// Whether one of its containers runs or has run, init containers too.
    pub started: bool,
    /// What keeps a container from running.
    pub trouble: Option<Trouble>,
    /// How its program ended, where it does not run again or crashes again and again.
    pub exit: Option<Exit>,
    /// The newest run that ended of the containers that were restarted, whatever they do now; none where no restart was seen
    /// within `restart_window`.
    pub last_run: Option<Exit>,
}

/// What keeps a container from running.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The kubelet's waiting reason, such as `CrashLoopBackOff`, `ImagePullBackOff` or `CreateContainerError`.
    pub reason: String,
    /// The kubelet's message.
    pub message: String,
}

/// How a program ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Exit {
    /// The exit code.
    pub code: i32,
    /// The kubelet's reason, such as Error or `DeadlineExceeded`.
    pub reason: String,
    /// The termination message or log tail, at most 1024 characters.
    pub message: String,
}

/// A Job of the task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobView {
    /// Its name.
    pub name: String,
    /// Its UID; empty while it was created but not yet seen.
    pub uid: String,
    /// The node it is for.
    pub node: String,
    /// The machine that node was when the Job was created, see [`NodeView::machine`].
    pub machine: String,
    /// The revision it runs.
    pub revision: String,
    /// The attempt, counted from 1.
    pub attempt: i32,
    /// Whether it runs the check in place of the program (label `hosttask.dev/step`).
    pub check: bool,
    /// The time of the schedule it is for (label `hosttask.dev/tick`).
    pub tick: Option<Timestamp>,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// How it ended.
    pub end: Option<JobEnd>,
}

/// How a Job ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobEnd {
    /// Whether the Job's Complete condition is True (else Failed is).
    pub complete: bool,
    /// The reason of that condition, such as `PodFailurePolicy`, `BackoffLimitExceeded` or `DeadlineExceeded`.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// When.
    pub time: Timestamp,
    /// The exit of its last pod, where a pod ran.
    pub exit: Option<Exit>,
}

/// A ControllerRevision of the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RevisionView {
    /// Its name, which is the revision.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its number: the higher, the newer.
    pub number: i64,
    /// The digest of its data, see [`crate::revision::digest`].
    pub digest: String,
    /// Whether this task controls it.
    pub ours: bool,
}
