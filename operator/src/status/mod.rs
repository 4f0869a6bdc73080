//! The status of a task: counters, wave, failures and conditions out of what one pass counted. Pure.
//!
//! Longer than 400 lines: one status has one author.

mod condition;

use std::time::Duration;

use hosttask_crds::task::{Mode, Waiting, WaveStatus, WindowsHostTaskStatus};
use hosttask_crds::{ConditionType, Reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::desired::Amount;
use crate::plan::needed;
use crate::plan::tally::{Tally, cut, later, write_to};
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
    /// The update revision is everywhere, and enough nodes are healthy.
    Complete(Reason),
    /// The rollout is over, and too few nodes are healthy.
    Degraded,
}

/// What the status is made of.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) generation: i64,
    pub(crate) mode: Mode,
    pub(crate) deadline: Duration,
    pub(crate) min_healthy: Amount,
    pub(crate) previous: &'a WindowsHostTaskStatus,
    pub(crate) update: &'a str,
    pub(crate) collision: i32,
    pub(crate) tally: &'a Tally,
    pub(crate) phase: Phase,
    pub(crate) held_by_budget: bool,
    /// Whether this pass starts something: then it is not stuck, however long it rested.
    pub(crate) starts: bool,
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
    let fresh = previous.update_revision.as_deref() != Some(*update);
    let mut status = WindowsHostTaskStatus {
        observed_generation: Some(facts.generation),
        stable_revision: previous.stable_revision.clone(),
        update_revision: Some((*update).to_owned()),
        failed_revision: previous.failed_revision.clone().filter(|_| !fresh),
        collision_count: Some(facts.collision),
        desired_nodes: Some(tally.desired),
        updated_nodes: Some(tally.updated),
        healthy_nodes: Some(tally.healthy),
        in_progress_nodes: Some(tally.in_progress),
        failed_nodes: Some(tally.failed),
        unreachable_nodes: Some(tally.unreachable),
        pending_nodes: Some(tally.pending),
        last_progress_time: previous.last_progress_time.clone(),
        wave: wave(facts, fresh, now),
        last_handled_retry: previous.last_handled_retry.clone(),
        next_window_time: None,
        failures: tally.failures(),
        conditions: Vec::new(),
    };
    if fresh || has_progress(facts, &status) {
        status.last_progress_time = Some(Time(now));
    }
    let progress = status
        .last_progress_time
        .as_ref()
        .map_or(now, |time| time.0);
    let deadline = later(
        tally.not_before.map_or(progress, |time| time.max(progress)),
        facts.deadline,
    );
    let runs = facts.phase == Phase::Rolling && tally.base > 0;
    let exceeded = runs && !facts.starts && deadline <= facts.now;
    if exceeded {
        status.failed_revision = Some((*update).to_owned());
    }
    if matches!(facts.phase, Phase::Complete(_)) {
        status.stable_revision = Some((*update).to_owned());
        status.failed_revision = None;
    }
    status.conditions = conditions(facts, exceeded, now);
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
    let held = reason(facts.previous, ConditionType::Ready).is_some_and(|reason| {
        !matches!(
            reason,
            Reason::RollingOut
                | Reason::Degraded
                | Reason::ProgressDeadlineExceeded
                | Reason::RolloutComplete
                | Reason::AllNodesSucceeded
                | Reason::EnoughNodesSucceeded
                | Reason::NoMatchingNodes
        )
    });
    let resumed = facts.phase == Phase::Rolling && held;
    !facts.tally.finished && (resumed || counters(facts.previous) != counters(next))
}

fn wave(facts: &Facts<'_>, fresh: bool, now: Timestamp) -> Option<WaveStatus> {
    if facts.tally.finished || matches!(facts.phase, Phase::Complete(_)) {
        return None;
    }
    let begun = facts
        .previous
        .wave
        .as_ref()
        .filter(|_| !fresh)
        .and_then(|wave| wave.start_time.clone());
    let begins = (facts.phase == Phase::Rolling).then_some(Time(now));
    let waiting = match facts.phase {
        Phase::Paused | Phase::Suspended => Some(Waiting::Paused),
        Phase::Rolling => facts.held_by_budget.then_some(Waiting::Budget),
        Phase::Stalled { .. } | Phase::Complete(_) | Phase::Degraded => None,
    };
    Some(WaveStatus {
        name: "default".to_owned(),
        index: 0,
        total: 1,
        start_time: begun.or(begins),
        soak_end_time: None,
        waiting,
    })
}

fn conditions(facts: &Facts<'_>, exceeded: bool, now: Timestamp) -> Vec<Condition> {
    let counts = counts(facts);
    let mut set = Conditions::new(&facts.previous.conditions, facts.generation, now);
    match &facts.phase {
        Phase::Suspended => set.ready(
            "Unknown",
            Reason::Suspended,
            &format!("suspended; {counts}"),
        ),
        Phase::Paused => set.ready("Unknown", Reason::Paused, &format!("paused; {counts}")),
        Phase::Stalled { reason, message } => set.stalled(*reason, message),
        Phase::Rolling if exceeded => {
            let message = format!("no progress for {} s; {counts}", facts.deadline.as_secs());
            set.stalled(Reason::ProgressDeadlineExceeded, &message);
        }
        Phase::Rolling => set.rolling(Reason::RollingOut, &counts),
        Phase::Complete(Reason::NoMatchingNodes) => {
            set.ready(
                "True",
                Reason::NoMatchingNodes,
                "no Windows node matches the placement",
            );
        }
        Phase::Complete(reason) => set.ready("True", *reason, &counts),
        Phase::Degraded => {
            let needed = needed(facts.min_healthy, facts.tally.base);
            set.stalled(
                Reason::Degraded,
                &format!("healthy nodes needed: {needed}; {counts}"),
            );
        }
    }
    healthy(facts, &mut set);
    let refused = match &facts.phase {
        Phase::Stalled { reason, message } if is_invalid(*reason) => Some((*reason, message)),
        Phase::Stalled { .. }
        | Phase::Suspended
        | Phase::Paused
        | Phase::Rolling
        | Phase::Complete(_)
        | Phase::Degraded => None,
    };
    match refused {
        Some((reason, message)) => set.set(ConditionType::Validated, "False", reason, message),
        None => set.set(
            ConditionType::Validated,
            "True",
            Reason::Valid,
            "the spec and its children are accepted",
        ),
    }
    set.done()
}

fn healthy(facts: &Facts<'_>, set: &mut Conditions<'_>) {
    let tally = facts.tally;
    let of = tally.base + tally.cordoned;
    let needed = needed(facts.min_healthy, of);
    let (enough, text) = match facts.mode {
        Mode::Daemon => (
            tally.healthy >= needed,
            format!("{}/{of} reachable nodes healthy", tally.healthy),
        ),
        // A node that has not run the program yet is not ill.
        Mode::RunOnce => (
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

fn counts(facts: &Facts<'_>) -> String {
    let tally = facts.tally;
    let (verb, good) = match facts.mode {
        Mode::Daemon => ("updated", "healthy"),
        Mode::RunOnce => ("finished", "succeeded"),
    };
    let mut text = format!(
        "{}/{} nodes {verb}, {} {good}",
        tally.updated, tally.desired, tally.healthy
    );
    for (count, what) in [
        (tally.failed, "failed"),
        (tally.unreachable, "unreachable"),
        (tally.cordoned, "cordoned"),
    ] {
        if count > 0 {
            write_to(&mut text, format_args!(", {count} {what}"));
        }
    }
    match (&facts.phase, tally.waited()) {
        (Phase::Complete(_), _) | (_, None) => text,
        (Phase::Degraded, Some(nodes)) => format!("{text}: {nodes}"),
        (_, Some(nodes)) => format!("{text}; waiting for {nodes}"),
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
    let texts: Vec<String> = problems
        .iter()
        .map(|problem| match &problem.value {
            Some(value) => format!("{}: {value}: {}", problem.field, problem.message),
            None => format!("{}: {}", problem.field, problem.message),
        })
        .collect();
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
    reject(&mut status, reason, &cut(&texts.join("; "), MESSAGE), now);
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
    reject(&mut status, rejection.reason, &text, now);
    status
}

fn reject(status: &mut WindowsHostTaskStatus, reason: Reason, text: &str, now: Timestamp) {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let previous = std::mem::take(&mut status.conditions);
    let mut set = Conditions::new(&previous, status.observed_generation.unwrap_or(-1), now);
    set.stalled(reason, text);
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
