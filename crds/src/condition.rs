//! The condition types and reasons of a task's status: part of the API, stable, and documented from here.

/// The condition types of a `WindowsHostTask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// The summary: at least `health.minHealthy` of the reachable nodes run or finished the update revision.
    Ready,
    /// Work is going on. Present only while true.
    Reconciling,
    /// No further progress without a change by somebody. Present only while true.
    Stalled,
    /// The nodes are healthy, whatever the rollout does.
    Healthy,
    /// The spec, its inputs and the children made of it are acceptable.
    Validated,
}

impl ConditionType {
    /// Every type, in the order in which the conditions are written.
    pub const ALL: [Self; 5] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::Healthy,
        Self::Validated,
    ];

    /// The type as it stands in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Healthy => "Healthy",
            Self::Validated => "Validated",
        }
    }

    /// What it means when it is true, for the reference page.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ready => {
                "The summary: at least `health.minHealthy` of the reachable nodes run or finished the update revision. \
                 Wait for this one."
            }
            Self::Reconciling => "Work is going on. Present only while true.",
            Self::Stalled => {
                "No further progress without a change by somebody. Present only while true."
            }
            Self::Healthy => "The nodes are healthy, whatever the rollout does.",
            Self::Validated => "The spec, its inputs and the children made of it are acceptable.",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident $({ cause: $cause:literal, fix: $fix:literal })?),+ $(,)?) => {
        /// Why a condition has its status, or why an event was published. The words are part of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
        pub enum Reason { $($(#[doc = $doc])+ $name),+ }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The reason as it stands in conditions, events and metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// What it means, for the reference page.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+)),+ }
            }

            /// How it comes about, for the reference page; empty where nothing has to happen for it.
            pub fn cause(self) -> &'static str {
                match self { $(Self::$name => concat!($($cause)?)),+ }
            }

            /// What to do about it, for the reference page; empty where nothing is wrong.
            pub fn fix(self) -> &'static str {
                match self { $(Self::$name => concat!($($fix)?)),+ }
            }
        }
    };
}

reasons! {
    /// The operator has not looked at the task yet.
    Pending {
        cause: "The task is new, or the operator is not running or not yet the leader.",
        fix: "Wait a moment; if it stays, look at the operator: `kubectl -n hosttask-system get pods`."
    },
    /// A revision is being rolled out (Daemon) or run (RunOnce).
    RollingOut {
        cause: "The spec, an input or the set of nodes changed.",
        fix: "Nothing: wait. The message says how far it is, what it waits for and which node is to blame."
    },
    /// `rollout.paused` holds the rollout.
    Paused {
        cause: "Somebody set `spec.rollout.paused`.",
        fix: "Remove it, or set it to false."
    },
    /// `suspend` holds the task.
    Suspended {
        cause: "Somebody set `spec.suspend`.",
        fix: "Remove it, or set it to false."
    },
    /// All nodes of the wave are well; the next wave starts after `soakSeconds`.
    Soaking {
        cause: "The wave has `soakSeconds`; a node that breaks meanwhile counts as a failure of the revision.",
        fix: "Nothing: wait until `status.wave.soakEndTime`."
    },
    /// The wave is to be approved before the next one starts; the message says how.
    AwaitingApproval {
        cause: "The wave has `approval: Manual`.",
        fix: "Look at the nodes of the wave, then set `spec.rollout.approvedWave`, or the annotation `hosttask.dev/approved-wave`, to what the message says."
    },
    /// The next maintenance window is not open yet.
    WaitingForWindow {
        cause: "The time is outside all of `spec.rollout.maintenanceWindows`.",
        fix: "Nothing: it goes on at `status.nextWindowTime`. To go on at once, remove the windows."
    },
    /// Tasks of `dependsOn` are not well on the nodes yet, or do not exist.
    WaitingForDependency {
        cause: "A task that this one depends on is still being rolled out, failed, or has another name.",
        fix: "Look at the task that the message names; correct the name, or remove it from `spec.dependsOn`."
    },
    /// A task of `dependsOn` depends, directly or through others, on this task: neither can start.
    DependencyCycle {
        cause: "The tasks' `dependsOn` form a circle, which the message shows.",
        fix: "Remove one of the dependencies."
    },
    /// More nodes than `unreachableNodes.maxUnreachable` do not answer: no further node is started until they are back.
    TooManyUnreachable {
        cause: "A network, a zone or the control plane is in trouble; nodes were not Ready for longer than `unreachableNodes.afterSeconds`.",
        fix: "Bring the nodes back, delete the Node objects of machines that are gone, or raise `maxUnreachable`."
    },
    /// The update revision failed; the stable revision is brought back.
    RollingBack {
        cause: "The revision failed on `failurePolicy.maxFailedNodes` nodes, or made no progress, and `failurePolicy.action` is Rollback.",
        fix: "Nothing: wait. `status.failures` names the nodes and what the program wrote."
    },
    /// The update revision failed, and the stable revision runs again.
    RolledBack {
        cause: "As for RollingBack. The same content is not tried again.",
        fix: "Correct template or inputs; or revert them in Git, which ends the rollout. To try the same again, change the annotation `hosttask.dev/retry`."
    },
    /// The update revision failed on `failurePolicy.maxFailedNodes` nodes: no further node is started.
    FailureThresholdExceeded {
        cause: "`failurePolicy.action` is Pause, or it is Rollback and there is no earlier revision that was ever complete.",
        fix: "Read `status.failures`, correct template or inputs. To try the same again, change the annotation `hosttask.dev/retry`."
    },
    /// All nodes but those that `rollout.partition` holds back run the update revision.
    PartitionReached {
        cause: "`rollout.partition` is set.",
        fix: "Nothing. To go on, lower or remove the partition."
    },
    /// Every reachable node runs the update revision, and enough of them are healthy.
    RolloutComplete,
    /// The task finished successfully on every reachable node.
    AllNodesSucceeded,
    /// The task finished on every reachable node: it failed on some, and `health.minHealthy` of them succeeded.
    EnoughNodesSucceeded {
        cause: "The program failed on some nodes, no more than `health.minHealthy` allows.",
        fix: "Read `status.failures` and the ledgers of the nodes: `kubectl get whn`."
    },
    /// Enough nodes finished their last run; the task runs again when its schedule is due.
    Scheduled {
        cause: "The task's last runs are over.",
        fix: "Nothing. The next run is at `status.nextScheduleTime`."
    },
    /// All nodes were checked; some are not compliant, and `job.checkOnly` leaves them so. Ready is True: the dry run is done.
    NonCompliant {
        cause: "The program of `job.check` ended with another code than 0 on some nodes; `status.nonCompliantNodes` counts them, and their ledgers name them: `kubectl get whn`.",
        fix: "Look at the nodes, or set `job.checkOnly` to false: then the task's program runs on them."
    },
    /// No Windows node matches the placement.
    NoMatchingNodes {
        cause: "The cluster has no Windows node, or none with the labels, builds and taints of `spec.placement`.",
        fix: "If there should be some, compare the labels and taints of the nodes with `spec.placement`."
    },
    /// The rollout is over, but fewer nodes than `health.minHealthy` are healthy.
    Degraded {
        cause: "Nodes broke after the rollout, or the program failed on too many nodes and is not tried again.",
        fix: "Read `status.failures` and repair the nodes or the program."
    },
    /// No node changed its state for `rollout.progressDeadlineSeconds`.
    ProgressDeadlineExceeded {
        cause: "Nodes cannot pull the image, do not get ready, or hold the budget.",
        fix: "Read the message and `status.failures`; correct the content or the nodes. It goes on by itself where a node recovers, unless a failure policy stops it."
    },
    /// The spec breaks a rule; the message lists every problem with its field, value and fix.
    InvalidSpec {
        cause: "A field breaks a rule of [validation.md](../../operator/docs/validation.md). The children of the last valid spec stay as they are.",
        fix: "Correct the fields that `Validated` lists."
    },
    /// The API server refused a child that the operator wanted to write.
    ChildRejected {
        cause: "An admission webhook, a policy or a limit of the cluster refuses the DaemonSet or a Job.",
        fix: "Read what the API server said in the message, and change the task or the policy."
    },
    /// The namespace's Pod Security level does not allow HostProcess pods.
    PodSecurityDenied {
        cause: "HostProcess pods need the level `privileged`.",
        fix: "`kubectl label namespace NAMESPACE pod-security.kubernetes.io/enforce=privileged`, or move the task to a namespace that has it."
    },
    /// Kubernetes cannot create the pods: quota, admission or a missing service account.
    PodsNotCreated {
        cause: "The DaemonSet or Job controller cannot create pods; the message repeats its words.",
        fix: "Raise the quota, correct the policy, or create the ServiceAccount."
    },
    /// An object of a child's name exists and belongs to somebody else.
    NameConflict {
        cause: "An object with the name of a child exists, and the task does not own it.",
        fix: "Delete or rename that object, or give the task another name."
    },
    /// A ConfigMap or Secret named in `inputs` does not exist.
    InputMissing {
        cause: "The ConfigMap or Secret was deleted, not created yet, or has another name.",
        fix: "Create it, or remove it from `spec.inputs`."
    },
    /// The operator may not read Secrets in this namespace.
    SecretAccessDenied {
        cause: "The operator reads Secrets only in namespaces that allow it.",
        fix: "Run the command in the message; it binds the ClusterRole `hosttask-secret-reader`."
    },
    /// A write failed for a passing reason and is tried again.
    ProgressingWithRetry {
        cause: "The API server is overloaded or was not reached, or an object changed at the same moment.",
        fix: "Nothing: wait. If it stays, read the message."
    },
    /// Enough nodes are healthy.
    NodesHealthy,
    /// Fewer nodes than `health.minHealthy` are healthy.
    NodesUnhealthy {
        cause: "Pods are not ready, restart, or their nodes lost a condition.",
        fix: "Read `status.failures` and look at the pods of the nodes."
    },
    /// The spec and its children are acceptable.
    Valid,
    /// Event: a new revision is rolled out.
    RolloutStarted {
        cause: "The spec or an input changed, or a failed revision is tried again.",
        fix: ""
    },
    /// Event: the rollout of a wave begins.
    WaveStarted {
        cause: "The wave before is done, or the rollout begins.",
        fix: ""
    },
    /// Event: all nodes of a wave are well, and it soaked.
    WaveCompleted,
    /// Event: a wave has no reachable node and is passed over.
    WaveSkipped {
        cause: "No node has the wave's labels, or none of them answers.",
        fix: "If there should be some, compare the labels of the nodes with the wave's `nodeSelector`."
    },
    /// Event: the update revision failed on a node.
    NodeFailed {
        cause: "The program ended with a failure, crashes, does not get ready or cannot be started.",
        fix: "Read the message; `kubectl get whn NODE -o yaml` tells how Jobs ended."
    },
    /// Event: a node broke after it was changed.
    NodeRegressed {
        cause: "The node lost Ready or a condition of `health.nodeConditions` after the task changed it, before the rollout was over.",
        fix: "Look at the node. The revision counts as failed there."
    },
    /// Event: the task's program asked for a reboot of a node.
    RebootRequired {
        cause: "The program ended with a code of `job.exitCodes.rebootRequired`.",
        fix: "Reboot the node; nothing does it for you."
    },
}
