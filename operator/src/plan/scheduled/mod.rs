//! Mode Scheduled: a Job per node and time of the schedule, within the budget; the ledger of the node keeps its last run.
//!
//! Ready says how the last runs ended, and stays what it is while the next ones are under way.

mod calendar;
mod survey;

use hosttask_crds::Reason;
use jiff::Timestamp;

use super::course::{Course, Direction, Standing};
use super::gate::Gates;
use super::phase::Outcome;
use super::revisions::Revisions;
use super::run_once::{create, write};
use super::tally::blame;
use super::turn::{Candidates, Left, Turn};
use super::{Decision, budget};
use crate::desired::Desired;
use crate::observed::Observed;
use crate::status::Phase;
use calendar::Calendar;
use survey::{Found, Survey};

/// What one pass does for a Scheduled task.
pub(super) fn decide(
    desired: &Desired,
    observed: &Observed,
    revisions: &Revisions,
    standing: Standing<'_>,
    now: Timestamp,
) -> Decision {
    // A schedule is never rolled out: its failures count at any time.
    let mut standing = standing;
    standing.finished = false;
    let calendar = Calendar::of(desired, observed, now);
    let survey = Survey {
        desired,
        observed,
        standing,
        calendar: calendar.as_ref(),
        now,
        found: Found::default(),
    };
    let mut found = survey.walk();
    found.tally.finished = true;
    if let Some(calendar) = &calendar {
        calendar.tell(&mut found.tally);
    }
    let gates = Gates::of(desired, observed, &found.tally, now);
    let mut actions = std::mem::take(&mut found.actions);
    let mut left = Left::default();
    if !desired.paused {
        actions.extend(write(desired, observed, revisions, gates.is_open()));
        actions.append(&mut found.stuck);
        if gates.is_open() {
            actions.append(&mut found.replaced);
        }
        let mut turn = Turn::new(desired, &gates, standing.update, true);
        let create = |start| create(desired, standing.update, start);
        let mut follow = std::mem::take(&mut found.follow);
        follow.retain(|(node, _)| !gates.is_busy(&node.name));
        actions.extend(follow.into_iter().map(create));
        let max = budget::allowed(desired.max_unavailable, found.tally.base);
        for nodes in [&mut found.again, &mut found.fresh] {
            let candidates = Candidates {
                bad: Vec::new(),
                healthy: std::mem::take(nodes),
                group: found.group,
            };
            let starts = turn.choose(&found.wave, max, candidates);
            found.wave.disturbed += i32::try_from(starts.len()).unwrap_or(i32::MAX);
            actions.extend(starts.into_iter().map(create));
        }
        left = turn.left;
    }
    if let Some(opens) = gates.opens.filter(|_| left.shut) {
        found.tally.wake.at(opens);
    }
    let outcome = Outcome {
        desired,
        observed,
        standing,
        tally: &found.tally,
        course: &Course::default(),
        // There is no failure policy: the next time is another try.
        direction: Direction::Forward,
        gates: &gates,
        left: &left,
        rests: !revisions.is_new(),
        is_back: false,
        held: 0,
        gated: None,
        idle: found.wave.in_flight == 0,
        complete: Reason::Scheduled,
    };
    let stands = desired.paused || gates.cycle.is_some();
    let phase = if stands {
        outcome.phase()
    } else {
        last_runs(desired, &found)
    };
    let waiting = left.waiting(outcome.idle);
    Decision {
        actions,
        phase,
        waiting,
        opens: gates.opens,
        failed: false,
        retry_open: false,
        course: Course::default(),
        notes: found.notes,
        tally: found.tally,
    }
}

/// How the last runs ended, on the nodes that had one.
fn last_runs(desired: &Desired, found: &Found<'_>) -> Phase {
    let Found { tally, ran, .. } = found;
    if tally.desired == 0 {
        return Phase::Complete(Reason::NoMatchingNodes);
    }
    let needed = budget::needed(desired.min_healthy, *ran).min(*ran);
    let others = tally.non_compliant.unwrap_or(0);
    if tally.good + others >= needed {
        return Phase::Complete(if others > 0 {
            Reason::NonCompliant
        } else {
            Reason::Scheduled
        });
    }
    let failed = usize::try_from(tally.failed).unwrap_or(0);
    let nodes = blame(&tally.failures(), &[], failed).map(|nodes| format!(": {nodes}"));
    Phase::Stalled {
        reason: Reason::Degraded,
        message: format!(
            "the last run succeeded on {} of {ran} nodes, {needed} needed{}",
            tally.good,
            nodes.unwrap_or_default()
        ),
    }
}
