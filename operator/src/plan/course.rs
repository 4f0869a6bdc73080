//! `course`: how far a rollout is, whether its wave is passed, and whether it goes forward, stands, or goes back.
//!
//! Pure, and the same for both modes: it knows waves and what was counted in them, nothing of DaemonSets or Jobs. A pass
//! asks in this order: [`Standing::of`] before it counts, [`direction`] and [`chart`] after.

use hosttask_crds::task::{FailureAction, Mode, WaveStatus};
use jiff::Timestamp;

use super::rehome::{Rehome, rehome};
use super::tally::later;
use super::{approval, budget};
use crate::desired::{Amount, Desired};
use crate::observed::Observed;
use crate::{revision, status};

/// What one pass counted in one wave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WaveTally {
    /// The nodes that percentages are of: all but the unreachable ones and those a cordon keeps out.
    pub(super) base: i32,
    /// Nodes of `base` that are well at the update revision.
    pub(super) good: i32,
    /// Nodes of `base` that are pending or in progress, without those that `held` counts.
    pub(super) open: i32,
    /// Nodes that `rollout.partition` holds back.
    pub(super) held: i32,
    /// Nodes that were started and are not well.
    pub(super) in_flight: i32,
    /// Nodes that are in flight or not well for any other reason.
    pub(super) disturbed: i32,
    /// Whether what starts on a node of the wave from now on is the update revision.
    pub(super) settled: bool,
}

/// What the status and the annotations say before a node is counted.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each read on its own"
)]
pub(super) struct Standing<'a> {
    /// The update revision.
    pub(super) update: &'a str,
    /// Whether it was rolled out completely before.
    pub(super) finished: bool,
    /// Whether it is the stable revision: the rollout goes back to it, as the spec asks for.
    returns: bool,
    /// Whether its rollout begins with this pass, for the first time or again.
    pub(super) afresh: bool,
    /// Whether this pass answers the annotation `hosttask.dev/retry`: its value is to be stored.
    pub(super) answers: bool,
    /// Whether it does so for a revision that failed: what failed before is tried again.
    pub(super) retries: bool,
    /// Whether the revision failed before: `status.failedRevision`.
    failed: bool,
    /// Whether it missed the progress deadline just now.
    pub(super) missed: bool,
}

impl<'a> Standing<'a> {
    /// Reads status and annotations. A task that may start nothing now answers no retry: it would be forgotten.
    pub(super) fn of(desired: &Desired, observed: &Observed, update: &'a str) -> Self {
        let status = &observed.status;
        let finished = status::is_finished(status, update);
        let asked = &observed.requests.retry;
        let answers = asked.is_some()
            && *asked != status.last_handled_retry
            && !desired.paused
            && super::blocked(desired, observed).is_none()
            && (desired.mode != Mode::Daemon || rehome(desired, observed) == Rehome::Settled);
        let failed = status.failed_revision.as_deref() == Some(update);
        let retries = answers && failed && !finished;
        Self {
            update,
            finished,
            returns: status.stable_revision.as_deref() == Some(update),
            afresh: retries || status.update_revision.as_deref() != Some(update),
            answers,
            retries,
            failed: failed && !retries,
            missed: false,
        }
    }

    /// The same, once the rollout turned out to have missed its progress deadline.
    pub(super) fn late(self) -> Self {
        Self {
            failed: true,
            missed: true,
            ..self
        }
    }

    /// Whether the status before speaks of the same rollout.
    pub(super) fn goes_on(&self) -> bool {
        !self.afresh
    }

    /// The same, once the rollout turned out to be complete.
    pub(super) fn completed(self) -> Self {
        Self {
            finished: true,
            ..self
        }
    }

    /// The status of the wave that goes on; none where the rollout begins.
    fn wave<'b>(&self, observed: &'b Observed) -> Option<&'b WaveStatus> {
        observed.status.wave.as_ref().filter(|_| !self.afresh)
    }
}

/// Where a rollout goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Direction {
    /// To the update revision.
    #[default]
    Forward,
    /// Nowhere: it failed, and nothing is started until the content or the retry annotation changes.
    Standing,
    /// Back to the stable revision.
    Back,
}

/// Whether the update revision counts as failed, and where the rollout goes. `failed` nodes of `base` that can be reached
/// failed; `returns` says whether there is a stable revision to go back to.
pub(super) fn direction(
    desired: &Desired,
    standing: &Standing<'_>,
    failed: i32,
    base: i32,
    returns: bool,
) -> (bool, Direction) {
    if standing.finished {
        return (standing.failed, Direction::Forward);
    }
    if standing.returns {
        // What is known to work is not given up.
        return (false, Direction::Forward);
    }
    let policy = desired.failure_policy;
    let trips = policy
        .filter(|policy| policy.action != FailureAction::Continue)
        .is_some_and(|policy| failed >= threshold(policy.max_failed, base));
    let direction = match policy.map(|policy| policy.action) {
        _ if !standing.failed && !trips => Direction::Forward,
        Some(FailureAction::Rollback) if returns => Direction::Back,
        // Whatever the policy is now: what failed once is only tried again when somebody asks for it.
        _ => Direction::Standing,
    };
    (standing.failed || trips, direction)
}

/// How many failed nodes are too many: a percentage is rounded up, at least 1.
pub(super) fn threshold(max_failed: Amount, base: i32) -> i32 {
    budget::needed(max_failed, base).max(1)
}

/// Why a wave that is well is not passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// It has to stay well until then.
    Soak(Timestamp),
    /// Somebody has to approve it.
    Approval,
}

/// A wave that this pass leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All of it is well, and it soaked.
    Completed(usize),
    /// It has no node that can be reached.
    Skipped(usize),
}

/// How far a rollout is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Course {
    /// The wave that is rolled out: nodes of it and of the waves before it may be started.
    pub(super) position: usize,
    /// The waves this pass left behind, in order.
    pub(super) steps: Vec<Step>,
    /// Until when the wave has to stay well, from the moment it is.
    pub(super) soak_end: Option<Timestamp>,
    /// What keeps a wave that is well from being passed.
    pub(super) gate: Option<Gate>,
    /// Whether nothing is left to start or to wait for: in all waves at the last one, else in those up to the position, of
    /// which the last has too few nodes that are well.
    pub(super) over: bool,
    /// Whether the rollout is over and enough nodes are well.
    pub(super) well: bool,
    /// How many nodes of the wave at the position are well and have to be, where the rollout is over before the last one.
    pub(super) short: Option<(i32, i32)>,
}

/// Finds the position, and the waves that are passed. `waves` has what was counted, in the order of `desired.waves`;
/// `advances`: whether the next wave may be begun at all.
///
/// The first wave that is not passed is the position. A wave is passed when none of its reachable nodes is pending or in
/// progress, enough of them are well (of a count: as many as it has), it stayed so for its soak time, and it is approved
/// where that is asked for. One without reachable nodes is passed over, unless no wave has any.
pub(super) fn chart(
    desired: &Desired,
    observed: &Observed,
    standing: &Standing<'_>,
    waves: &[WaveTally],
    advances: bool,
    now: Timestamp,
) -> Course {
    let last = waves.len().saturating_sub(1);
    let reachable: i32 = waves.iter().map(|wave| wave.base).sum();
    let mut course = Course {
        position: position(desired, observed, standing, waves),
        ..Course::default()
    };
    let mut soaking = standing
        .wave(observed)
        .filter(|wave| is_at(desired, course.position, &wave.name))
        .and_then(|wave| wave.soak_end_time.as_ref())
        .map(|time| time.0);
    while let Some(wave) = waves
        .get(course.position)
        .filter(|_| course.position < last && !standing.finished)
    {
        if wave.base == 0 {
            let nobody_answers = reachable == 0 && !observed.nodes.is_empty();
            if nobody_answers || !advances {
                break;
            }
            course.steps.push(Step::Skipped(course.position));
        } else {
            if !is_well(desired, wave) {
                break;
            }
            let end = soak_end(desired, course.position, soaking, now);
            course.soak_end = end;
            course.gate = match end {
                Some(end) if end > now => Some(Gate::Soak(end)),
                _ if !approval::is_given(desired, observed, standing.update, course.position) => {
                    Some(Gate::Approval)
                }
                _ => None,
            };
            if course.gate.is_some() || !advances {
                break;
            }
            course.steps.push(Step::Completed(course.position));
        }
        course.soak_end = None;
        soaking = None;
        course.position += 1;
    }
    judge(desired, waves, &mut course);
    course
}

/// Sets `over` and `well`.
fn judge(desired: &Desired, waves: &[WaveTally], course: &mut Course) {
    let at_last = course.position + 1 >= waves.len();
    let mut begun = waves.iter().take(course.position.saturating_add(1));
    let rests = begun.all(|wave| wave.open == 0 && wave.settled);
    let here = waves.get(course.position);
    if !at_last {
        let short = here.filter(|wave| rests && wave.base > 0 && !is_well(desired, wave));
        course.short = short.map(|wave| (wave.good, needed(desired, wave)));
        course.over = course.short.is_some();
        return;
    }
    let sum = |of: fn(&WaveTally) -> i32| waves.iter().map(of).sum::<i32>();
    let base = sum(|wave| wave.base) - sum(|wave| wave.held);
    course.over = rests;
    course.well = rests && sum(|wave| wave.good) >= budget::needed(desired.min_healthy, base);
}

/// The wave a rollout is at before this pass.
fn position(
    desired: &Desired,
    observed: &Observed,
    standing: &Standing<'_>,
    waves: &[WaveTally],
) -> usize {
    let last = waves.len().saturating_sub(1);
    if standing.finished || observed.status.stable_revision.as_deref() == Some(standing.update) {
        // What is known to work needs no waves.
        return last;
    }
    let Some(wave) = standing.wave(observed) else {
        return 0;
    };
    let named = desired.waves.iter().position(|it| it.name == wave.name);
    let open = waves.iter().position(|wave| wave.open > 0);
    let position = match (named, open) {
        // Of waves that were put before the one that is rolled out, the first with something to do is next: two waves at
        // work at once would be two budgets, and one without its soak and approval.
        (Some(named), Some(open)) if is_edited(desired, wave) => named.min(open),
        (Some(named), _) => named,
        // The wave was edited away: the one before the first with something to do, so that no edit skips a soak or an
        // approval.
        (None, Some(open)) => open.saturating_sub(1),
        (None, None) => last,
    };
    position.min(last)
}

/// Whether the waves were edited since the status was written.
fn is_edited(desired: &Desired, wave: &WaveStatus) -> bool {
    wave.layout != revision::wave_layout(&desired.waves)
}

fn is_at(desired: &Desired, position: usize, name: &str) -> bool {
    desired
        .waves
        .get(position)
        .is_some_and(|wave| wave.name == name)
}

/// Whether all that can be done in a wave is done, and enough of it is well.
fn is_well(desired: &Desired, wave: &WaveTally) -> bool {
    wave.settled && wave.open == 0 && wave.good >= needed(desired, wave)
}

/// How many nodes of a wave have to be well: of a count, no more than it has.
fn needed(desired: &Desired, wave: &WaveTally) -> i32 {
    budget::needed(desired.min_healthy, wave.base).min(wave.base)
}

/// When the soak time of a wave that is well ends; none where it has none. A soak time that was cut short since holds.
fn soak_end(
    desired: &Desired,
    position: usize,
    running: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    let soak = desired.waves.get(position)?.soak;
    // The API keeps whole seconds.
    let latest = later(now, soak);
    let latest = Timestamp::from_second(latest.as_second()).unwrap_or(latest);
    match running {
        Some(end) => Some(end.min(latest)),
        None => (!soak.is_zero()).then_some(latest),
    }
}

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;
