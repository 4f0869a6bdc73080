//! What a simulation found: plain data, printed as JSON, YAML or text.

use hosttask_crds::task::{Mode, NodeFailure};
use serde::Serialize;

/// The outcome of a simulation. Its JSON form is stable: fields are added, never renamed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `namespace/name`.
    pub task: String,
    /// The task's mode.
    pub mode: Mode,
    /// How many virtual nodes there are.
    pub fleet_nodes: usize,
    /// How many of them the task selects.
    pub nodes: usize,
    /// The seed.
    pub seed: u64,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
    /// The rollouts, in order.
    pub rollouts: Vec<Rollout>,
}

/// One rollout.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// `first` or `update`.
    pub name: &'static str,
    /// The revision that was rolled out.
    pub revision: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The reason of the condition Ready at the end.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// After how many seconds nothing moved any more.
    pub seconds: i64,
    /// After how many seconds the task was Ready; none where it did not become so.
    pub ready_after_seconds: Option<i64>,
    /// How many nodes were started: pods replaced, or Jobs created.
    pub started: usize,
    /// The highest number of nodes that were disturbed at the same time; none for the first rollout of a Daemon task, before
    /// which no node serves.
    pub most_disturbed: Option<usize>,
    /// How often the operator looked.
    pub passes: u64,
    /// Nodes at the end.
    pub counts: Counts,
    /// The waves, in order.
    pub waves: Vec<WaveReport>,
    /// The newest failures, at most 10.
    pub failures: Vec<NodeFailure>,
    /// What was decided and what happened, in order.
    pub timeline: Vec<Entry>,
    /// How many nodes were in which state, whenever that changed.
    #[serde(skip)]
    pub samples: Vec<Sample>,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// The task is Ready.
    Complete,
    /// The operator brought the stable revision back.
    RolledBack,
    /// It stopped, and goes on only when somebody changes something.
    Stopped,
    /// It waits for somebody.
    Waiting,
    /// The time to simulate was over.
    TimeUp,
}

/// Nodes by state, as the status counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Nodes the task should run on.
    pub desired: i32,
    /// Nodes at the update revision.
    pub updated: i32,
    /// Healthy nodes.
    pub healthy: i32,
    /// Nodes on which the update revision failed.
    pub failed: i32,
    /// Nodes that do not answer.
    pub unreachable: i32,
    /// Nodes that wait.
    pub pending: i32,
}

/// One wave of a rollout. Times are seconds since the rollout began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaveReport {
    /// Its name.
    pub name: String,
    /// How many nodes are in it.
    pub nodes: usize,
    /// How many of them may be disturbed at once. A rollback may disturb a quarter of the wave, where that is more.
    pub budget: usize,
    /// How many were, at most.
    pub most_disturbed: usize,
    /// How many starts there were.
    pub started: usize,
    /// When it began.
    pub began: Option<i64>,
    /// When the next one might begin.
    pub ended: Option<i64>,
}

/// One line of the timeline. Times are seconds since the rollout began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When.
    pub at: i64,
    /// Until when, for starts one after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// The reason of the Event, or `Starts`.
    pub reason: String,
    /// The text; for `Starts` the wave.
    pub text: String,
    /// Whether the Event is a warning.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
    /// How many nodes were started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<usize>,
}

/// How many nodes were in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Seconds since the rollout began.
    pub at: i64,
    /// Nodes that serve at what was there before (RunOnce: that wait).
    pub stable: usize,
    /// Nodes that serve at the update (RunOnce: whose program ended well).
    pub updated: usize,
    /// Nodes on their way.
    pub moving: usize,
    /// Nodes on which the update failed.
    pub failed: usize,
    /// Nodes that do not answer.
    pub unreachable: usize,
}

impl Sample {
    /// Whether it says the same of another moment.
    pub(super) fn same(&self, other: &Self) -> bool {
        Self { at: 0, ..*self } == Self { at: 0, ..*other }
    }

    /// The counts in the order in which they are stacked: what is well below, what is not above.
    pub fn stack(&self) -> [usize; 5] {
        [
            self.updated,
            self.stable,
            self.moving,
            self.failed,
            self.unreachable,
        ]
    }
}
