//! The status of a task: counters, wave, failures and conditions out of what one pass counted. Pure.
//!
//! Longer than 400 lines: one status has one author.

mod condition;
mod message;

use hosttask_crds::label::DEFAULT_WAVE;
use hosttask_crds::task::{Mode, NodeFailure, Waiting, WaveStatus, WindowsHostTaskStatus};
use hosttask_crds::{ConditionType, Reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::desired::Desired;
use crate::plan::needed;
use crate::plan::tally::{FAILURES, Tally, cut, later};
use crate::revision;
use crate::validate::Problem;
use condition::{Conditions, find};
pub(crate) use condition::{message, reason};

/// The longest message of a condition, in characters; the API server accepts 32768 bytes.
const MESSAGE: usize = 8000;

/// A child that the API server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The reason to report it under: `ChildRejected`, `InvalidSpec`, `NameConflict`, `PodSecurityDenied` or
    /// `PodsNotCreated`; or `ProgressingWithRetry` where the refusal will pass.
    pub reason: Reason,
    /// What the API server said, and how to mend it.
    pub message: String,
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// `suspend` is set.
    Suspended,
    /// `rollout.paused` holds an unfinished rollout.
    Paused,
    /// Nothing goes on until somebody changes something.
    Stalled { reason: Reason, message: String },
    /// Nodes are on their way.
    Rolling,
    /// Pods are handed over to the DaemonSets of other waves; it waits for this.
    HandingOver(String),
    /// Nothing is started for now, and it goes on by itself or once somebody approves.
    Held {
        reason: Reason,
        waiting: Waiting,
        message: String,
    },
    /// The update revision failed, and nothing is started until somebody changes something.
    Failed { reason: Reason, message: String },
    /// The update revision failed, and the stable one is being brought back.
    RollingBack,
    /// The update revision failed, and the stable one is back.
    RolledBack,
    /// All nodes but so many that `rollout.partition` holds back are at the update revision.
    PartitionReached { held: i32 },
    /// All nodes were only checked, and some are not compliant: the program is yet to go through the waves.
    Checked,
    /// The update revision is everywhere, and enough nodes are healthy.
    Complete(Reason),
    /// The rollout is over, and too few nodes are healthy.
    Degraded,
}

/// What the status is made of.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each read on its own"
)]
pub(crate) struct Facts<'a> {
    pub(crate) desired: &'a Desired,
    pub(crate) previous: &'a WindowsHostTaskStatus,
    pub(crate) update: &'a str,
    pub(crate) collision: i32,
    pub(crate) tally: &'a Tally,
    pub(crate) phase: Phase,
    /// What a rollout that goes on waits for.
    pub(crate) waiting: Option<Waiting>,
    /// The wave that is rolled out.
    pub(crate) position: usize,
    /// Until when that wave has to stay well.
    pub(crate) soak_end: Option<Timestamp>,
    /// Whether the rollout begins with this pass, for the first time or again.
    pub(crate) afresh: bool,
    /// Whether the update revision counts as failed.
    pub(crate) failed: bool,
    /// The value of the retry annotation that this pass answers.
    pub(crate) answered: Option<&'a str>,
    /// When the next maintenance window opens.
    pub(crate) opens: Option<Timestamp>,
    /// Whether this pass starts something: then it is not stuck, however long it rested.
    pub(crate) starts: bool,
    /// Whether this pass writes a DaemonSet.
    pub(crate) applies: bool,
    /// How many nodes of the wave are well and have to be, where they are too few.
    pub(crate) short: Option<(i32, i32)>,
    pub(crate) now: Timestamp,
}

/// Whether `update` was completely rolled out before. The wave is part of the answer: while a task goes back to its stable
/// revision, both revisions are the same long before the nodes are.
pub(crate) fn is_finished(status: &WindowsHostTaskStatus, update: &str) -> bool {
    let is = |revision: &Option<String>| revision.as_deref() == Some(update);
    is(&status.update_revision) && is(&status.stable_revision) && status.wave.is_none()
}

/// A child was refused in the last pass and the same write is tried again: until it succeeds, the task stays refused.
/// Without this the status would change to and fro with every try.
pub(crate) fn still_rejected(
    previous: &WindowsHostTaskStatus,
    generation: i64,
    update: &str,
    writes: bool,
) -> Option<Phase> {
    let same = previous.observed_generation == Some(generation)
        && previous.update_revision.as_deref() == Some(update);
    let reason = reason(previous, ConditionType::Stalled).filter(|reason| {
        matches!(
            reason,
            Reason::ChildRejected | Reason::InvalidSpec | Reason::NameConflict
        )
    });
    let message = message(previous, ConditionType::Stalled).to_owned();
    reason
        .filter(|_| same && writes)
        .map(|reason| Phase::Stalled { reason, message })
}

/// The status, and the moment its progress deadline ends, while one runs.
pub(crate) fn report(facts: &Facts<'_>) -> (WindowsHostTaskStatus, Option<Timestamp>) {
    let Facts {
        previous,
        tally,
        update,
        ..
    } = facts;
    // The API keeps whole seconds: what is written must equal what is read back.
    let now = Timestamp::from_second(facts.now.as_second()).unwrap_or(facts.now);
    let mut status = WindowsHostTaskStatus {
        observed_generation: Some(facts.desired.generation),
        stable_revision: previous.stable_revision.clone(),
        update_revision: Some((*update).to_owned()),
        failed_revision: facts.failed.then(|| (*update).to_owned()),
        collision_count: Some(facts.collision),
        desired_nodes: Some(tally.desired),
        updated_nodes: Some(tally.updated),
        healthy_nodes: Some(tally.healthy),
        in_progress_nodes: Some(tally.in_progress),
        failed_nodes: Some(tally.failed),
        unreachable_nodes: Some(tally.unreachable),
        pending_nodes: Some(tally.pending),
        compliant_nodes: tally.compliant,
        non_compliant_nodes: tally.non_compliant,
        last_schedule_time: tally.last_tick.map(Time),
        next_schedule_time: tally.next_tick.map(Time),
        last_progress_time: previous.last_progress_time.clone(),
        wave: wave(facts, now),
        last_handled_retry: facts
            .answered
            .map(str::to_owned)
            .or_else(|| previous.last_handled_retry.clone()),
        next_window_time: next_window(facts),
        failures: failures(facts),
        conditions: Vec::new(),
    };
    if facts.afresh || has_progress(facts, &status) {
        status.last_progress_time = Some(Time(now));
    }
    let progress = status
        .last_progress_time
        .as_ref()
        .map_or(now, |time| time.0);
    let deadline = later(
        tally.not_before.map_or(progress, |time| time.max(progress)),
        facts.desired.progress_deadline,
    );
    let runs = is_moving(&facts.phase) && !rests(facts.waiting) && tally.base > 0;
    let exceeded = runs && !facts.starts && deadline <= facts.now;
    if exceeded && crate::plan::acts(facts.desired, previous, update) {
        status.failed_revision = Some((*update).to_owned());
    }
    if matches!(facts.phase, Phase::Complete(_)) {
        status.stable_revision = Some((*update).to_owned());
        status.failed_revision = None;
    }
    status.conditions = conditions(facts, &status.failures, exceeded, now);
    (status, (runs && deadline > facts.now).then_some(deadline))
}

/// Whether a node changed its state in this rollout, or work begins again.
fn has_progress(facts: &Facts<'_>, next: &WindowsHostTaskStatus) -> bool {
    let counters = |status: &WindowsHostTaskStatus| {
        (
            status.updated_nodes,
            status.healthy_nodes,
            status.failed_nodes,
            status.in_progress_nodes,
        )
    };
    let was = reason(facts.previous, ConditionType::Ready);
    let stood = was.is_some_and(|reason| {
        !matches!(
            reason,
            Reason::RollingOut
                | Reason::RollingBack
                | Reason::Degraded
                | Reason::ProgressDeadlineExceeded
                | Reason::RolloutComplete
                | Reason::AllNodesSucceeded
                | Reason::EnoughNodesSucceeded
                | Reason::NoMatchingNodes
        )
    });
    let waited = facts.previous.wave.as_ref();
    let stood = stood || rests(waited.and_then(|wave| wave.waiting));
    let resumed = is_moving(&facts.phase) && !rests(facts.waiting) && stood;
    !facts.tally.finished
        && (resumed || facts.applies || counters(facts.previous) != counters(next))
}

/// Whether the progress deadline counts in this phase.
fn is_moving(phase: &Phase) -> bool {
    matches!(phase, Phase::Rolling | Phase::RollingBack)
}

/// Whether the progress deadline stands still while a rollout waits for this: it is no fault of the nodes.
fn rests(waiting: Option<Waiting>) -> bool {
    waiting.is_some_and(|waiting| waiting != Waiting::Budget)
}

/// The newest failures. Those that made the update revision fail stay, whatever became of their pods since.
fn failures(facts: &Facts<'_>) -> Vec<NodeFailure> {
    let mut failures = facts.tally.failures();
    if facts.failed && !facts.afresh {
        let known: Vec<_> = failures
            .iter()
            .filter(|it| it.revision == facts.update)
            .map(|it| it.node.clone())
            .collect();
        let blamed = facts.previous.failures.iter();
        let kept = blamed.filter(|it| it.revision == facts.update && !known.contains(&it.node));
        failures.extend(kept.cloned());
        // The blame before anything that the stable revision fails at.
        failures.sort_by_key(|it| it.revision != facts.update);
        failures.truncate(FAILURES);
    }
    failures
}

fn next_window(facts: &Facts<'_>) -> Option<Time> {
    let waits = matches!(
        facts.phase,
        Phase::Held {
            waiting: Waiting::Window,
            ..
        }
    );
    facts.opens.filter(|_| waits).map(Time)
}

fn wave(facts: &Facts<'_>, now: Timestamp) -> Option<WaveStatus> {
    // What is complete, but blocked, is not known to be complete before the block is gone.
    let over = facts.tally.finished && facts.previous.wave.is_none();
    if over || matches!(facts.phase, Phase::Complete(_)) {
        return None;
    }
    let waves = &facts.desired.waves;
    let name = waves
        .get(facts.position)
        .map_or(DEFAULT_WAVE, |wave| wave.name.as_str());
    let begun = facts
        .previous
        .wave
        .as_ref()
        .filter(|wave| !facts.afresh && wave.name == name)
        .and_then(|wave| wave.start_time.clone());
    let begins = matches!(facts.phase, Phase::Rolling).then_some(Time(now));
    let waiting = match &facts.phase {
        Phase::Paused | Phase::Suspended => Some(Waiting::Paused),
        Phase::Held { waiting, .. } => Some(*waiting),
        Phase::Rolling | Phase::RollingBack => facts.waiting,
        Phase::HandingOver(_)
        | Phase::Failed { .. }
        | Phase::RolledBack
        | Phase::PartitionReached { .. }
        | Phase::Checked
        | Phase::Stalled { .. }
        | Phase::Complete(_)
        | Phase::Degraded => None,
    };
    Some(WaveStatus {
        name: name.to_owned(),
        index: i32::try_from(facts.position).unwrap_or(i32::MAX),
        total: i32::try_from(waves.len()).unwrap_or(i32::MAX),
        layout: revision::wave_layout(waves),
        start_time: begun.or(begins),
        soak_end_time: facts.soak_end.map(Time),
        waiting,
    })
}

fn conditions(
    facts: &Facts<'_>,
    failures: &[NodeFailure],
    exceeded: bool,
    now: Timestamp,
) -> Vec<Condition> {
    let counts = message::counts(facts, failures);
    let mut set = Conditions::new(&facts.previous.conditions, facts.desired.generation, now);
    summary(facts, &counts, exceeded, &mut set);
    healthy(facts, &mut set);
    match &facts.phase {
        Phase::Stalled { reason, message } if is_invalid(*reason) => {
            set.set(ConditionType::Validated, "False", *reason, message);
        }
        Phase::Stalled { .. }
        | Phase::Suspended
        | Phase::Paused
        | Phase::Rolling
        | Phase::HandingOver(_)
        | Phase::Held { .. }
        | Phase::Failed { .. }
        | Phase::RollingBack
        | Phase::RolledBack
        | Phase::PartitionReached { .. }
        | Phase::Checked
        | Phase::Complete(_)
        | Phase::Degraded => set.set(
            ConditionType::Validated,
            "True",
            Reason::Valid,
            "the spec and its children are accepted",
        ),
    }
    set.done()
}

/// Ready, and Reconciling or Stalled with it.
fn summary(facts: &Facts<'_>, counts: &str, exceeded: bool, set: &mut Conditions<'_>) {
    match &facts.phase {
        Phase::Suspended => set.ready(
            "Unknown",
            Reason::Suspended,
            &format!("suspended; {counts}"),
        ),
        Phase::Paused => set.ready("Unknown", Reason::Paused, &format!("paused; {counts}")),
        Phase::Stalled { reason, message } => set.stalled(*reason, message),
        Phase::Rolling | Phase::RollingBack if exceeded => {
            let message = format!(
                "no progress for {} s; {counts}",
                facts.desired.progress_deadline.as_secs()
            );
            set.stalled(Reason::ProgressDeadlineExceeded, &message);
        }
        Phase::Rolling => set.rolling(Reason::RollingOut, counts),
        Phase::HandingOver(what) => set.rolling(
            Reason::RollingOut,
            &format!(
                "pods are given to other waves without a restart, waiting for {what}; {counts}"
            ),
        ),
        Phase::Held {
            reason: reason @ Reason::AwaitingApproval,
            message,
            ..
        } => set.ready("Unknown", *reason, &format!("{message}; {counts}")),
        Phase::Held {
            reason, message, ..
        } => set.rolling(*reason, &format!("{message}; {counts}")),
        Phase::Failed { reason, message } => {
            set.stalled(*reason, &format!("{message}; {counts}"));
        }
        Phase::RollingBack => set.rolling(
            Reason::RollingBack,
            &format!("the stable revision is brought back; {counts}"),
        ),
        Phase::RolledBack => set.stalled(
            Reason::RolledBack,
            &format!("the stable revision is back; {counts}"),
        ),
        Phase::PartitionReached { held: 0 } => set.ready(
            "True",
            Reason::PartitionReached,
            &format!("{counts}; rollout.partition holds back the nodes that are missing"),
        ),
        Phase::PartitionReached { held } => set.ready(
            "True",
            Reason::PartitionReached,
            &format!("{counts}; {held} held back by rollout.partition"),
        ),
        Phase::Complete(Reason::NoMatchingNodes) => {
            set.ready(
                "True",
                Reason::NoMatchingNodes,
                "no Windows node matches the placement",
            );
        }
        Phase::Checked | Phase::Complete(Reason::NonCompliant) => {
            // The dry run did what it was to do: to look.
            set.ready(
                "True",
                Reason::NonCompliant,
                &format!("{counts}{}", hint(facts)),
            );
        }
        Phase::Complete(reason) => set.ready("True", *reason, counts),
        Phase::Degraded => {
            set.stalled(Reason::Degraded, &format!("{}; {counts}", needs(facts)));
        }
    }
}

/// How the program comes to the nodes that a dry run found.
fn hint(facts: &Facts<'_>) -> &'static str {
    if facts.desired.job.check_only {
        "; set job.checkOnly to false to run the program on those that are not compliant"
    } else {
        ""
    }
}

/// How many healthy nodes are missing to the end of a rollout, or of its wave.
fn needs(facts: &Facts<'_>) -> String {
    match facts.short {
        Some((good, needed)) => {
            format!("healthy nodes of the wave needed: {needed}, there are {good}")
        }
        None => format!(
            "healthy nodes needed: {}",
            needed(facts.desired.min_healthy, facts.tally.base)
        ),
    }
}

fn healthy(facts: &Facts<'_>, set: &mut Conditions<'_>) {
    let tally = facts.tally;
    let of = tally.base + tally.cordoned;
    let needed = needed(facts.desired.min_healthy, of);
    let (enough, text) = match facts.desired.mode {
        Mode::Daemon => (
            tally.healthy >= needed,
            format!("{}/{of} reachable nodes healthy", tally.healthy),
        ),
        // A node that has not run the program yet is not ill.
        Mode::RunOnce | Mode::Scheduled => (
            of - tally.failed >= needed,
            format!("{}/{of} reachable nodes failed", tally.failed),
        ),
    };
    if enough || of == 0 {
        set.set(ConditionType::Healthy, "True", Reason::NodesHealthy, &text);
    } else {
        set.set(
            ConditionType::Healthy,
            "False",
            Reason::NodesUnhealthy,
            &format!("{text}, {needed} needed"),
        );
    }
}

/// Whether a reason says that what was asked for is not acceptable, rather than that it does not go on.
fn is_invalid(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::InvalidSpec
            | Reason::ChildRejected
            | Reason::InputMissing
            | Reason::SecretAccessDenied
    )
}

/// The status of an invalid task: counters and revisions of the last good children stay, the conditions name every problem.
pub(crate) fn invalid(
    generation: i64,
    previous: &WindowsHostTaskStatus,
    problems: &[Problem],
    now: Timestamp,
) -> WindowsHostTaskStatus {
    let mut status = previous.clone();
    let weight = |problem: &&Problem| {
        (
            problem.reason != Reason::InvalidSpec,
            problem.reason != Reason::SecretAccessDenied,
        )
    };
    let reason = problems
        .iter()
        .min_by_key(weight)
        .map_or(Reason::InvalidSpec, |problem| problem.reason);
    status.observed_generation = Some(generation);
    for counter in [
        &mut status.collision_count,
        &mut status.desired_nodes,
        &mut status.updated_nodes,
        &mut status.healthy_nodes,
        &mut status.in_progress_nodes,
        &mut status.failed_nodes,
        &mut status.unreachable_nodes,
        &mut status.pending_nodes,
    ] {
        counter.get_or_insert(0);
    }
    let text = message::problems(problems);
    let summary = message::summary(problems, reason);
    reject(
        &mut status,
        reason,
        (&cut(&summary, MESSAGE), &cut(&text, MESSAGE)),
        now,
    );
    status
}

/// The status of a task one of whose children the API server refused. `status` is what the plan wanted to report, and
/// `stored` what is reported now: what was planned did not happen, so it is no progress, and the same refusal says nothing new.
pub fn rejected(
    mut status: WindowsHostTaskStatus,
    stored: &WindowsHostTaskStatus,
    rejection: &Rejection,
    now: Timestamp,
) -> WindowsHostTaskStatus {
    status
        .last_progress_time
        .clone_from(&stored.last_progress_time);
    if status.last_handled_retry != stored.last_handled_retry {
        // What failed could not be tried again: the next pass has to know that it is asked to.
        status
            .last_handled_retry
            .clone_from(&stored.last_handled_retry);
        status.failed_revision.clone_from(&stored.failed_revision);
    }
    let text = cut(&rejection.message, MESSAGE);
    if rejection.reason == Reason::ProgressingWithRetry {
        let previous = status.conditions.clone();
        // A finished rollout stays finished: the write is tried again, and nobody needs to wait for it.
        if find(&previous, ConditionType::Ready).is_some_and(|ready| ready.status == "False") {
            let mut set = Conditions::new(&previous, status.observed_generation.unwrap_or(-1), now);
            set.rolling(Reason::ProgressingWithRetry, &text);
            set.keep(ConditionType::Healthy);
            set.keep(ConditionType::Validated);
            status.conditions = set.done();
        }
        return status;
    }
    reject(&mut status, rejection.reason, (&text, &text), now);
    status
}

/// `texts`: the summary for Ready and Stalled, and all there is to say.
fn reject(status: &mut WindowsHostTaskStatus, reason: Reason, texts: (&str, &str), now: Timestamp) {
    let (summary, text) = texts;
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let previous = std::mem::take(&mut status.conditions);
    let mut set = Conditions::new(&previous, status.observed_generation.unwrap_or(-1), now);
    set.stalled(reason, summary);
    set.keep(ConditionType::Healthy);
    if is_invalid(reason) {
        set.set(ConditionType::Validated, "False", reason, text);
    } else {
        set.keep(ConditionType::Validated);
    }
    status.conditions = set.done();
}

#[cfg(test)]
mod tests;
