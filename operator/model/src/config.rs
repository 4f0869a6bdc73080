//! What is explored: a task, a fleet, and what may befall them.

use std::time::Duration;

use hosttask_crds::task::{Approval, FailureAction, Mode};
use hosttask_operator::desired::{
    Amount, Content, Desired, FailurePolicy, Operator, Requirement, TaskKey, Wave, Window,
};
use hosttask_operator::validate::{InputsView, TaskInput, validate};
use hosttask_operator::{placement, revision};
use serde_json::json;

use crate::state::Spec;

/// How long a tick is, in seconds.
pub(crate) const TICK: i64 = 60;
/// The names of the waves, by number.
pub(crate) const WAVES: [&str; 2] = ["canary", "default"];
/// The label that waves select by, and its values by number.
const POOL: &str = "pool";
const POOLS: [&str; 2] = ["one", "two"];

/// What a content does on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// Ready at once; as a Job it succeeds.
    Good,
    /// Crashes at once; as a Job it fails.
    Crashes,
    /// Never becomes ready; as a Job it succeeds.
    Hangs,
    /// Crashes on the second pool only.
    CrashesOnTwo,
}

/// Something the user changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Another content, by its number.
    Content(u8),
    /// Another division of the fleet, by its number.
    Layout(u8),
    /// `rollout.paused`.
    Pause(bool),
    /// The next wave is approved.
    Approve,
    /// What failed is to be tried again.
    Retry,
    /// The maintenance window closes, or opens again.
    CloseWindow(bool),
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operator dies after some of the writes of a pass.
    Crash,
    /// A write happens and its answer is lost.
    Lost,
    /// A request is carried out twice.
    Twice,
    /// The operator stalls between planning and writing.
    Stall,
    /// Another process takes over while the leader stalls.
    TakeOver,
    /// What the operator sees of nodes is old.
    LagFacts,
    /// What it sees of pods is old.
    LagPods,
    /// What it sees of Jobs is old.
    LagJobs,
    /// What it sees of DaemonSets is old.
    LagSet,
    /// A node stops answering; it may come back.
    Die,
    /// Another machine takes the node's name.
    Reimage,
    /// A pod that serves stops being ready.
    Flake,
    /// A user deletes a pod.
    UserDelete,
    /// A node moves to the other pool.
    Relabel,
    /// Somebody puts an object of their own under the name of one of ours.
    Usurp,
}

/// One world to explore.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name in the tables.
    pub name: &'static str,
    /// The mode of the task.
    pub mode: Mode,
    /// The pool of each node.
    pub pools: &'static [u8],
    /// For each division of the fleet whether it has the wave `canary`, and which pool that is.
    pub layouts: &'static [Option<u8>],
    /// What each content does; the first is rolled out at the beginning.
    pub contents: &'static [Quality],
    /// `rollout.maxUnavailable`, in nodes.
    pub max_unavailable: i32,
    /// What a failed rollout leads to.
    pub policy: Option<FailureAction>,
    /// In ticks: how long `canary` soaks.
    pub soak: u8,
    /// Whether the second wave waits for an approval.
    pub manual: bool,
    /// `rollout.minReadySeconds`, in ticks.
    pub min_ready: u8,
    /// What may go wrong.
    pub faults: &'static [Fault],
    /// How much of it at most, in one history.
    pub fault_budget: u8,
    /// What the user may change.
    pub edits: &'static [Edit],
    /// How often at most, in one history.
    pub edit_budget: u8,
}

impl Quality {
    /// Whether it crashes on a node of `pool`.
    pub(crate) fn crashes(self, pool: u8) -> bool {
        self == Self::Crashes || (self == Self::CrashesOnTwo && pool == 1)
    }
}

impl Config {
    /// Three nodes of one wave at `contents[0]`, and nothing that goes wrong.
    pub const fn daemon(name: &'static str) -> Self {
        Self {
            name,
            mode: Mode::Daemon,
            pools: &[0, 0],
            layouts: &[None],
            contents: &[Quality::Good, Quality::Good],
            max_unavailable: 1,
            policy: None,
            soak: 0,
            manual: false,
            min_ready: 0,
            faults: &[],
            fault_budget: 0,
            edits: &[Edit::Content(1)],
            edit_budget: 1,
        }
    }

    /// The same as Jobs.
    pub const fn run_once(name: &'static str) -> Self {
        Self {
            mode: Mode::RunOnce,
            ..Self::daemon(name)
        }
    }

    pub(crate) fn start() -> Spec {
        Spec {
            content: 0,
            layout: 0,
            paused: false,
            approved: false,
            window_closed: false,
            retry: 0,
        }
    }

    /// The task with this spec, by way of the shipped validation.
    pub(crate) fn desired(&self, spec: Spec) -> Desired {
        let key = TaskKey {
            namespace: "ns".into(),
            name: "agent".into(),
        };
        let raw = json!({
            "mode": self.mode,
            "runAs": { "account": "System" },
            "template": { "spec": { "containers": [
                { "name": "main", "image": format!("agent:{}", spec.content) }
            ] } },
            "rollout": {
                "paused": spec.paused,
                "maxUnavailable": self.max_unavailable,
                "minReadySeconds": i64::from(self.min_ready) * TICK,
                "progressDeadlineSeconds": 4 * TICK,
            },
            "health": { "startGraceSeconds": 2 * TICK },
        });
        let input = TaskInput {
            key: &key,
            uid: "task-uid",
            generation: 1,
            spec: &raw,
        };
        let mut desired = validate(&input, &InputsView::default()).expect("a valid task");
        desired.job.retry_limit = 1;
        desired.job.retry_initial = Duration::from_mins(1);
        desired.job.retry_max = Duration::from_mins(1);
        desired.waves = self.waves(spec.layout);
        desired.failure_policy = self.policy.map(|action| FailurePolicy {
            max_failed: Amount::Count(1),
            action,
        });
        desired.approved_wave = spec
            .approved
            .then(|| format!("{}/{}", self.revision(spec.content), WAVES[0]));
        desired.windows = spec.window_closed.then(closed).into_iter().collect();
        desired
    }

    pub(crate) fn waves(&self, layout: u8) -> Vec<Wave> {
        let canary = self.layouts[usize::from(layout)].map(|pool| Wave {
            name: WAVES[0].into(),
            requirements: vec![Requirement {
                key: POOL.into(),
                operator: Operator::In,
                values: vec![POOLS[usize::from(pool)].into()],
            }],
            soak: Duration::from_secs(60 * u64::from(self.soak)),
            approval: if self.manual {
                Approval::Manual
            } else {
                Approval::Auto
            },
            ..Wave::rest()
        });
        canary.into_iter().chain([Wave::rest()]).collect()
    }

    /// The number of the wave that a node of `pool` is in.
    pub(crate) fn wave(&self, layout: u8, pool: u8) -> u8 {
        u8::from(self.layouts[usize::from(layout)] != Some(pool))
    }

    /// The position of that wave, as the shipped code finds it.
    pub(crate) fn position(&self, layout: u8, pool: u8) -> usize {
        let labels = [(POOL.to_owned(), POOLS[usize::from(pool)].to_owned())].into();
        placement::wave_of(&self.waves(layout), &labels)
    }

    pub(crate) fn content(&self, content: u8) -> Content {
        let spec = Spec {
            content,
            ..Self::start()
        };
        self.desired(spec).content
    }

    pub(crate) fn revision(&self, content: u8) -> String {
        revision::name("agent", &self.content(content).raw, 0)
    }
}

/// A window that is closed at the model's time: it opens in the first minute of a leap day.
fn closed() -> Window {
    Window {
        schedule: "0 0 29 2 *".into(),
        duration: Duration::from_mins(1),
        time_zone: "Etc/UTC".into(),
    }
}
