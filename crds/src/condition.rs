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
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
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
        }
    };
}

reasons! {
    /// The operator has not looked at the task yet.
    Pending,
    /// A revision is being rolled out (Daemon) or run (RunOnce).
    RollingOut,
    /// `rollout.paused` holds the rollout.
    Paused,
    /// `suspend` holds the task.
    Suspended,
    /// All nodes of the wave are well; the next wave starts after `soakSeconds`.
    Soaking,
    /// The wave is to be approved before the next one starts; the message says how.
    AwaitingApproval,
    /// The next maintenance window is not open yet.
    WaitingForWindow,
    /// Tasks of `dependsOn` are not well on the nodes yet, or do not exist.
    WaitingForDependency,
    /// More nodes than `unreachableNodes.maxUnreachable` do not answer: no further node is started until they are back.
    TooManyUnreachable,
    /// The update revision failed; the stable revision is brought back.
    RollingBack,
    /// The update revision failed, and the stable revision runs again.
    RolledBack,
    /// The update revision failed on `failurePolicy.maxFailedNodes` nodes: no further node is started.
    FailureThresholdExceeded,
    /// All nodes but those that `rollout.partition` holds back run the update revision.
    PartitionReached,
    /// Every reachable node runs the update revision, and enough of them are healthy.
    RolloutComplete,
    /// The task finished successfully on every reachable node.
    AllNodesSucceeded,
    /// The task finished on every reachable node: it failed on some, and `health.minHealthy` of them succeeded.
    EnoughNodesSucceeded,
    /// No Windows node matches the placement.
    NoMatchingNodes,
    /// The rollout is over, but fewer nodes than `health.minHealthy` are healthy.
    Degraded,
    /// No node changed its state for `rollout.progressDeadlineSeconds`.
    ProgressDeadlineExceeded,
    /// The spec breaks a rule; the message lists every problem with its field, value and fix.
    InvalidSpec,
    /// The API server refused a child that the operator wanted to write.
    ChildRejected,
    /// The namespace's Pod Security level does not allow HostProcess pods.
    PodSecurityDenied,
    /// Kubernetes cannot create the pods: quota, admission or a missing service account.
    PodsNotCreated,
    /// An object of a child's name exists and belongs to somebody else.
    NameConflict,
    /// A ConfigMap or Secret named in `inputs` does not exist.
    InputMissing,
    /// The operator may not read Secrets in this namespace.
    SecretAccessDenied,
    /// A write failed for a passing reason and is tried again.
    ProgressingWithRetry,
    /// Enough nodes are healthy.
    NodesHealthy,
    /// Fewer nodes than `health.minHealthy` are healthy.
    NodesUnhealthy,
    /// The spec and its children are acceptable.
    Valid,
    /// Event: a new revision is rolled out.
    RolloutStarted,
    /// Event: the rollout of a wave begins.
    WaveStarted,
    /// Event: all nodes of a wave are well, and it soaked.
    WaveCompleted,
    /// Event: a wave has no reachable node and is passed over.
    WaveSkipped,
    /// Event: the update revision failed on a node.
    NodeFailed,
    /// Event: a node broke after it was changed.
    NodeRegressed,
    /// Event: the task's program asked for a reboot of a node.
    RebootRequired,
}
