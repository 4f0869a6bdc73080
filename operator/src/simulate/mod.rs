//! A rollout without a cluster: the shipped plan over virtual nodes and a virtual clock.
//!
//! ```text
//!   task.yaml ──▶ validate ──▶ ┌───────────────────────────────────────────────┐
//!   fleet, faults, seed ─────▶ │ events by time ──▶ virtual cluster ──▶ plan   │ ──▶ report, picture
//!                              │       ▲                   ▲             │     │
//!                              │       └── pods, Jobs, … ──┴── actions ◀─┘     │
//!                              └───────────────────────────────────────────────┘
//! ```
//!
//! The clock jumps from event to event, and to the moments at which the plan wants to look again. Pure: the same setting gives
//! the same report. What is played is simpler than the truth: the operator sees everything at once, controllers need a second.

mod act;
mod census;
mod chance;
pub mod command;
mod fault;
mod fleet;
mod journal;
mod report;
mod svg;
mod task_file;
mod text;
mod words;
mod world;

use std::time::Duration;

use hosttask_crds::task::{Approval, Mode, Waiting, WindowsHostTaskStatus};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::desired::{Amount, Desired};
use crate::plan::tally::later;
use crate::plan::{Action, plan};
use census::Census;
pub use chance::Span;
pub use fault::{Fault, How, Pick, Which};
pub use fleet::{FleetError, Share, VirtualNode, invent, read as read_fleet};
use journal::Journal;
pub use report::{Counts, Entry, Outcome, Report, Rollout, Sample, WaveReport};
pub use svg::picture;
pub use task_file::{TaskFile, TaskFileError};
pub use text::text;
pub use world::Pace;
use world::{Event, World};

/// How many looks in a row that change nothing mean that nothing ever will.
const IDLE: u32 = 3;
/// How long the fleet rests before an update.
const DAY: Duration = Duration::from_hours(24);

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The task.
    pub desired: Desired,
    /// What ran before. None: the same task, rolled out first.
    pub from: Option<Desired>,
    /// Whether there is no update, only the first rollout of the task.
    pub first_only: bool,
    /// The nodes.
    pub fleet: Vec<VirtualNode>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// How quick the nodes are.
    pub pace: Pace,
    /// Makes another run of the same setting.
    pub seed: u64,
    /// When the first rollout begins.
    pub begin: Timestamp,
    /// After which time a rollout is given up.
    pub limit: Duration,
    /// How long somebody takes to approve a wave; none: nobody does.
    pub approve_after: Option<Duration>,
}

/// Simulates what the setting says.
pub fn simulate(setting: &Setting) -> Report {
    let mut rollouts = Vec::new();
    let mut first = setting
        .from
        .clone()
        .unwrap_or_else(|| setting.desired.clone());
    let is_update = !setting.first_only;
    if is_update && setting.from.is_none() {
        mark_as_old(&mut first.content.raw);
    }
    first.generation = 1;
    let mut run = Run {
        setting,
        world: World::new(&setting.fleet, first.clone(), setting.seed, setting.begin),
    };
    let mut goes_on = true;
    if is_update && setting.from.is_some() {
        goes_on = run.settle(first);
    } else {
        run.begin(!is_update);
        let rollout = run.roll("first");
        goes_on &= rollout.outcome == Outcome::Complete;
        rollouts.push(rollout);
        run.world.now = later(run.world.now, DAY);
    }
    if is_update && goes_on {
        run.world.want(Desired {
            generation: 2,
            ..setting.desired.clone()
        });
        run.world.old = run.world.observed.status.stable_revision.clone();
        run.begin(true);
        rollouts.push(run.roll("update"));
    }
    Report {
        task: setting.desired.key.to_string(),
        mode: setting.desired.mode,
        fleet_nodes: setting.fleet.len(),
        nodes: run.world.observed.nodes.len(),
        seed: setting.seed,
        assumptions: assumptions(setting),
        rollouts,
    }
}

/// Another content that does the same: its revision has another name.
fn mark_as_old(raw: &mut Value) {
    if let Value::Object(map) = raw {
        map.insert("simulated".to_owned(), json!("before the update"));
    }
}

fn assumptions(setting: &Setting) -> Vec<String> {
    let pace = setting.pace;
    let mut all = vec![match setting.desired.mode {
        Mode::Daemon => format!(
            "a pod is ready {} after its creation and gone {} after its deletion",
            pace.start, pace.stop
        ),
        Mode::RunOnce | Mode::Scheduled => format!(
            "a program ends with 0, {} after its Job was created",
            pace.run
        ),
    }];
    all.push("ConfigMaps and Secrets exist".to_owned());
    if !setting.desired.depends_on.is_empty() {
        all.push(format!(
            "{} is well on every node",
            setting.desired.depends_on.join(", ")
        ));
    }
    if setting
        .desired
        .waves
        .iter()
        .any(|wave| wave.approval == Approval::Manual)
    {
        all.push(match setting.approve_after {
            Some(after) => format!(
                "somebody approves each wave {} s after it asks",
                after.as_secs()
            ),
            None => "nobody approves".to_owned(),
        });
    }
    if setting.from.is_none() && !setting.first_only {
        all.push("the update is another content of the same task".to_owned());
    }
    all
}

/// A simulation under way.
struct Run<'a> {
    setting: &'a Setting,
    world: World,
}

impl Run<'_> {
    /// Brings the old task to every node at once, as it would be after a long time. Returns whether it is there.
    fn settle(&mut self, old: Desired) -> bool {
        let begin = self.world.now;
        let mut quick = old;
        quick.suspend = false;
        quick.paused = false;
        quick.max_unavailable = Amount::Percent(100);
        quick.min_ready = Duration::ZERO;
        quick.failure_policy = None;
        quick.partition = None;
        quick.windows.clear();
        quick.order.clear();
        for wave in &mut quick.waves {
            wave.max_unavailable = None;
            wave.soak = Duration::ZERO;
            wave.approval = Approval::Auto;
        }
        let two_days = Duration::from_hours(48);
        self.world.now = Timestamp::from_second(
            begin
                .as_second()
                .saturating_sub(i64::try_from(two_days.as_secs()).unwrap_or(0)),
        )
        .unwrap_or(begin);
        self.world.want(quick);
        self.world.journal = Journal::start(self.world.now, census::waves(&self.world));
        let rollout = self.roll("settle");
        self.world.now = begin;
        rollout.outcome == Outcome::Complete
    }

    /// A rollout begins now.
    fn begin(&mut self, is_last: bool) {
        let world = &mut self.world;
        world.pace = self.setting.pace;
        world.is_last = is_last;
        world.touched.clear();
        if is_last {
            world.strike(&self.setting.faults);
        } else {
            let old: Vec<Fault> = self
                .setting
                .faults
                .iter()
                .filter(|it| it.revision != Which::New && it.how != How::Dead)
                .cloned()
                .collect();
            world.strike(&old);
        }
        world.journal = Journal::start(world.now, census::waves(world));
    }

    /// Lets a rollout go until nothing moves any more.
    fn roll(&mut self, name: &'static str) -> Rollout {
        let begin = self.world.now;
        let limit = later(begin, self.setting.limit);
        let mut wake: Option<Timestamp> = None;
        let (mut idle, mut ready_after, mut is_late) = (0, None, false);
        let mut last = begin;
        while let Some(time) = self.world.next().into_iter().chain(wake).min() {
            if time > limit {
                is_late = true;
                break;
            }
            self.world.now = time.max(self.world.now);
            let is_due = wake.is_some_and(|wake| wake <= self.world.now);
            let by_itself = self.world.next().is_some_and(|next| next <= self.world.now);
            let looks = self.world.happen() || is_due;
            if looks {
                let (changed, requeue) = self.pass();
                wake = requeue;
                idle = if changed || by_itself { 0 } else { idle + 1 };
                if changed {
                    last = self.world.now;
                }
            }
            let status = &self.world.observed.status;
            let failed = usize::try_from(status.failed_nodes.unwrap_or(0)).unwrap_or(0);
            let is_ready = ready(status).is_some_and(|(status, _, _)| status == "True");
            if is_ready && ready_after.is_none() && status.wave.is_none() {
                ready_after = Some(self.world.journal.at(self.world.now));
            }
            let census = Census::take(&self.world);
            self.world.journal.count(self.world.now, &census, failed);
            if idle >= IDLE && self.world.next().is_none() {
                break;
            }
        }
        let end = if is_late { limit } else { last };
        self.report(name, end, ready_after, is_late)
    }

    /// One look of the operator. Returns whether anything changed, and when it wants to look again.
    fn pass(&mut self) -> (bool, Option<Timestamp>) {
        let world = &mut self.world;
        let stable = world.observed.status.stable_revision.as_ref();
        world.observed.stable_content = stable.and_then(|it| world.contents.get(it)).cloned();
        let plan = plan(&world.desired, &world.observed, world.now);
        world.journal.passes += 1;
        let mut changed = !plan.actions.is_empty();
        let mut looks = false;
        // What is told is told of the writes that follow.
        let (notes, writes): (Vec<_>, Vec<_>) = plan
            .actions
            .into_iter()
            .partition(|action| matches!(action, Action::Publish(_)));
        for action in notes.into_iter().chain(writes) {
            looks |= world.act(action);
        }
        let before = std::mem::replace(&mut world.observed.status, plan.status);
        let status = &world.observed.status;
        changed |= before != *status;
        // A status that says something else is written, and the operator sees that.
        looks |= ready(&before).map(|it| it.1) != ready(status).map(|it| it.1)
            || before.wave.as_ref().map(|it| it.index) != status.wave.as_ref().map(|it| it.index)
            || before.failed_revision != status.failed_revision;
        let position = status
            .wave
            .as_ref()
            .map(|wave| usize::try_from(wave.index).unwrap_or(0));
        let asks = status
            .wave
            .as_ref()
            .is_some_and(|it| it.waiting == Some(Waiting::Approval))
            && before.wave.as_ref().map(|it| it.waiting)
                != status.wave.as_ref().map(|it| it.waiting);
        let approval = status
            .update_revision
            .as_ref()
            .zip(status.wave.as_ref())
            .filter(|_| asks)
            .map(|(revision, wave)| format!("{revision}/{}", wave.name));
        world.journal.stands(world.now, position);
        if let (Some(approval), Some(after)) = (approval, self.setting.approve_after) {
            world.push(after.as_secs().max(1), Event::Approve(approval));
        }
        if looks {
            world.look_soon();
        }
        // Whole seconds, and never the same moment again.
        let wake = plan.requeue.map(|wait| {
            let wait = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            later(world.now, Duration::from_secs(wait.max(1)))
        });
        (changed, wake)
    }

    fn report(
        &mut self,
        name: &'static str,
        end: Timestamp,
        ready_after: Option<i64>,
        is_late: bool,
    ) -> Rollout {
        let world = &mut self.world;
        let journal = std::mem::take(&mut world.journal);
        let status = &world.observed.status;
        let (is_true, reason, message) = ready(status).unwrap_or(("Unknown", "Pending", ""));
        let stalled = status
            .conditions
            .iter()
            .any(|it| it.type_ == "Stalled" && it.status == "True");
        let outcome = match (is_true, reason) {
            ("True", _) => Outcome::Complete,
            (_, "RolledBack") => Outcome::RolledBack,
            _ if stalled => Outcome::Stopped,
            _ if is_late => Outcome::TimeUp,
            _ => Outcome::Waiting,
        };
        let count = |value: Option<i32>| value.unwrap_or(0);
        let serves_before = name == "update" || !world.is_daemon();
        Rollout {
            name,
            revision: status.update_revision.clone().unwrap_or_default(),
            outcome,
            reason: reason.to_owned(),
            message: message.to_owned(),
            seconds: journal.at(end),
            ready_after_seconds: ready_after,
            started: journal.started,
            most_disturbed: serves_before.then_some(journal.most_disturbed),
            passes: journal.passes,
            counts: Counts {
                desired: count(status.desired_nodes),
                updated: count(status.updated_nodes),
                healthy: count(status.healthy_nodes),
                failed: count(status.failed_nodes),
                unreachable: count(status.unreachable_nodes),
                pending: count(status.pending_nodes),
            },
            waves: journal.waves,
            failures: status.failures.clone(),
            timeline: journal.timeline,
            samples: journal.samples,
        }
    }
}

/// Status, reason and message of the condition Ready.
fn ready(status: &WindowsHostTaskStatus) -> Option<(&str, &str, &str)> {
    let ready = status.conditions.iter().find(|it| it.type_ == "Ready")?;
    Some((&ready.status, &ready.reason, &ready.message))
}
