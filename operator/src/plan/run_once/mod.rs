//! Mode RunOnce: a Job per node, revision and attempt, wave by wave within the budgets; results go into the ledger of the
//! node.

mod survey;

use hosttask_crds::Reason;
use jiff::Timestamp;

use super::course::{Course, Direction, Standing, chart, direction};
use super::gate::Gates;
use super::phase::Outcome;
use super::revisions::Revisions;
use super::turn::{Candidates, Left, Turn};
use super::{Action, Decision, budget, order};
use crate::build;
use crate::desired::Desired;
use crate::observed::{NodeView, Observed};
use crate::revision::Run;
use crate::status::Phase;
use survey::{Area, Found, Survey};

/// What one pass does for a RunOnce task.
pub(super) fn decide(
    desired: &Desired,
    observed: &Observed,
    revisions: &Revisions,
    standing: Standing<'_>,
    now: Timestamp,
) -> Decision {
    let pass = Pass {
        desired,
        observed,
        revisions,
        standing,
        now,
    };
    pass.decide()
}

/// One pass.
#[derive(Clone, Copy)]
struct Pass<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    revisions: &'a Revisions,
    standing: Standing<'a>,
    now: Timestamp,
}

impl<'a> Pass<'a> {
    fn decide(self) -> Decision {
        let Pass {
            desired,
            observed,
            standing,
            now,
            ..
        } = self;
        let mut found = self.survey();
        let tally = &found.tally;
        // There is no way back from a program that ran.
        let (failed, direction) = direction(desired, &standing, tally.failed, tally.base, false);
        let mut gates = Gates::of(desired, observed, tally, now);
        // What is finished gives a node that joins the program at once.
        gates.closed &= !standing.finished;
        let goes_on = direction == Direction::Forward && !desired.paused;
        let advances = goes_on && !gates.silent && gates.cycle.is_none() && !self.is_dry();
        let waves: Vec<_> = found.waves.iter().map(|area| area.tally).collect();
        let mut course = chart(desired, observed, &standing, &waves, advances, now);
        if self.is_dry() {
            self.survey_all(&found, &mut course);
        }
        let mut actions = std::mem::take(&mut found.actions);
        let mut left = Left::default();
        if goes_on {
            let mut turn = Turn::new(desired, &gates, standing.update, true);
            turn.left.shut = self.revisions.is_new() && !gates.is_open();
            actions.extend(write(desired, observed, self.revisions, gates.is_open()));
            // After the check: a Job that waits for its image may still get it, what the API server refuses never runs.
            actions.append(&mut found.stuck);
            actions.extend(self.start(&mut turn, &course, &mut found.waves));
            left = turn.left;
        }
        let outcome = self.outcome(&found, &course, direction, &gates, &left);
        let phase = self.dry_phase(outcome.phase(), &found);
        if matches!(phase, Phase::Complete(_)) && !standing.finished {
            // What completes the rollout also ends its claim on nodes that broke or left during it.
            let pass = Pass {
                standing: standing.completed(),
                ..self
            };
            let mut decision = pass.decide();
            decision.course.steps.clone_from(&course.steps);
            return decision;
        }
        let waiting = left.waiting(outcome.idle);
        let opens = gates.opens.filter(|_| gates.closed);
        Decision {
            actions,
            tally: found.tally,
            phase,
            waiting,
            opens,
            failed,
            retry_open: false,
            course,
            notes: found.notes,
        }
    }

    /// Counts all nodes.
    fn survey(self) -> Found<'a> {
        let area = |_| {
            let mut area = Area::default();
            area.tally.settled = !self.revisions.is_new();
            area
        };
        let mut found = Found {
            waves: self.desired.waves.iter().map(area).collect(),
            ..Found::default()
        };
        if self.desired.job.check.is_some() {
            found.tally.compliant = Some(0);
            found.tally.non_compliant = Some(0);
        }
        let survey = Survey {
            desired: self.desired,
            observed: self.observed,
            standing: self.standing,
            now: self.now,
            found,
        };
        let mut found = survey.walk();
        found.tally.finished = self.standing.finished;
        self.hold_back(&mut found);
        found
    }

    /// Takes the nodes that `partition` holds back from the candidates.
    fn hold_back(self, found: &mut Found<'a>) {
        let Some(partition) = self.desired.partition.filter(|_| !self.standing.finished) else {
            return;
        };
        for area in &mut found.waves {
            order::hold_back(
                partition,
                self.standing.update,
                &mut area.tally,
                &mut area.again,
                &mut area.fresh,
            );
        }
    }

    /// Whether nodes are only checked. Waves are for programs: all nodes are checked, and the rollout stays where it is.
    fn is_dry(self) -> bool {
        self.desired.job.check.is_some() && self.desired.job.check_only
    }

    /// The end of a rollout that only checks: it does not depend on the wave.
    fn survey_all(self, found: &Found<'_>, course: &mut Course) {
        let needed = budget::needed(self.desired.min_healthy, found.tally.base);
        let rests = |area: &Area<'_>| area.tally.open == 0 && area.tally.settled;
        course.over = found.waves.iter().all(rests);
        course.well = course.over && found.tally.good >= needed;
        course.gate = None;
        course.soak_end = None;
    }

    /// A rollout that only checks is never complete while there is something to do: the program is yet to go through the
    /// waves.
    fn dry_phase(self, phase: Phase, found: &Found<'_>) -> Phase {
        let tally = &found.tally;
        let others = tally.non_compliant.unwrap_or(0);
        let checked = match phase {
            Phase::Complete(_) => true,
            Phase::Degraded => {
                tally.good + others >= budget::needed(self.desired.min_healthy, tally.base)
            }
            Phase::Suspended
            | Phase::Paused
            | Phase::Stalled { .. }
            | Phase::Rolling
            | Phase::Held { .. }
            | Phase::HandingOver(_)
            | Phase::PartitionReached { .. }
            | Phase::Checked
            | Phase::RollingBack
            | Phase::RolledBack
            | Phase::Failed { .. } => false,
        };
        if !self.is_dry() || self.standing.finished || others == 0 || !checked {
            return phase;
        }
        Phase::Checked
    }

    /// Starts nodes of the waves up to the position: first the programs that checks call for, then retries, then new nodes.
    fn start(
        self,
        turn: &mut Turn<'_, 'a>,
        course: &Course,
        areas: &mut [Area<'a>],
    ) -> Vec<Action> {
        let begun = if self.is_dry() {
            areas.len()
        } else {
            course.position.saturating_add(1)
        };
        let create = |start| create(self.desired, self.standing.update, start);
        let mut actions = Vec::new();
        for (wave, area) in areas.iter_mut().enumerate().take(begun) {
            let max = budget::of_wave(self.desired, wave, area.tally.base);
            let mut follow = std::mem::take(&mut area.follow);
            follow.retain(|(node, _)| !turn.is_busy(node));
            turn.left.started += follow.len();
            actions.extend(follow.into_iter().map(create));
            let mut tally = area.tally;
            for nodes in [&mut area.again, &mut area.fresh] {
                let candidates = Candidates {
                    bad: Vec::new(),
                    healthy: std::mem::take(nodes),
                    group: area.group,
                };
                let starts = turn.choose(&tally, max, candidates);
                tally.disturbed += i32::try_from(starts.len()).unwrap_or(i32::MAX);
                actions.extend(starts.into_iter().map(create));
            }
        }
        actions
    }

    fn outcome<'b>(
        self,
        found: &'b Found<'a>,
        course: &'b Course,
        direction: Direction,
        gates: &'b Gates<'b>,
        left: &'b Left<'b>,
    ) -> Outcome<'b>
    where
        'a: 'b,
    {
        let tally = &found.tally;
        Outcome {
            desired: self.desired,
            observed: self.observed,
            standing: self.standing,
            tally,
            course,
            direction,
            gates,
            left,
            rests: !self.revisions.is_new(),
            is_back: false,
            held: found.waves.iter().map(|area| area.tally.held).sum(),
            gated: None,
            idle: found.waves.iter().all(|area| area.tally.in_flight == 0),
            complete: match (tally.failed, tally.non_compliant.unwrap_or(0)) {
                (_, 1..) => Reason::NonCompliant,
                (0, _) => Reason::AllNodesSucceeded,
                _ => Reason::EnoughNodesSucceeded,
            },
        }
    }
}

/// The writes that make the update revision the newest.
pub(super) fn write(
    desired: &Desired,
    observed: &Observed,
    revisions: &Revisions,
    is_open: bool,
) -> Vec<Action> {
    if revisions.is_new() && !is_open {
        // What was never checked is kept only once it is.
        return Vec::new();
    }
    let mut actions = Vec::new();
    if revisions.is_new() {
        let somewhere = NodeView {
            name: "windows-node".to_owned(),
            ..NodeView::default()
        };
        let node = observed.nodes.first().unwrap_or(&somewhere);
        let job = build::job(desired, &revisions.update, node, 1);
        actions.push(Action::CheckJob(Box::new(job)));
    }
    actions.extend(revisions.write.clone());
    actions
}

/// Starts a run on a node.
pub(super) fn create(desired: &Desired, revision: &str, (node, run): (&NodeView, Run)) -> Action {
    Action::CreateJob(Box::new(build::job(desired, revision, node, run)))
}
