//! Mode Daemon: keep the templates of the DaemonSets current, one per wave, and replace their pods node by node within the
//! budgets; or bring the stable revision back.

mod start;
mod survey;
mod template;

use std::collections::BTreeMap;

use hosttask_crds::Reason;
use hosttask_crds::task::Waiting;
use jiff::Timestamp;

use super::course::{Course, Direction, Standing, chart, direction};
use super::gate::Gates;
use super::order;
use super::phase::Outcome;
use super::rehome::{Rehome, rehome};
use super::revisions::Revisions;
use super::turn::{Left, Turn};
use super::{Action, Decision};
use crate::desired::Desired;
use crate::observed::{Observed, PodView};
use crate::status::Phase;
use survey::{Area, Found, Survey};
use template::{Aim, of_wave, templates};

/// What one pass does for a Daemon task.
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
        stable: stable(observed, standing.update),
        now,
    };
    // What failed before is brought back before anything is counted for the update revision.
    let (_, known) = direction(desired, &standing, 0, 1, pass.stable.is_some());
    pass.decide(known)
}

/// The revision to go back to, where there is one and its content is known.
fn stable<'a>(observed: &'a Observed, update: &str) -> Option<&'a str> {
    let stable = observed.status.stable_revision.as_deref()?;
    (stable != update && observed.stable_content.is_some()).then_some(stable)
}

/// One pass.
#[derive(Clone, Copy)]
struct Pass<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    revisions: &'a Revisions,
    standing: Standing<'a>,
    stable: Option<&'a str>,
    now: Timestamp,
}

impl<'a> Pass<'a> {
    fn decide(self, known: Direction) -> Decision {
        let Pass {
            desired,
            observed,
            standing,
            now,
            ..
        } = self;
        let found = self.survey(known);
        let tally = &found.tally;
        let can_return = self.stable.is_some();
        let (failed, seen) = direction(desired, &standing, tally.failed, tally.base, can_return);
        if seen == Direction::Back && known != Direction::Back {
            // It failed just now: count anew, for the way back.
            return self.decide(seen);
        }
        // On the way back the failed nodes become fewer: it goes on all the same.
        let is_back = known == Direction::Back;
        let direction = if is_back { known } else { seen };
        let gates = Gates::of(desired, observed, tally, now);
        let home = rehome(desired, observed);
        let advances = direction == Direction::Forward
            && !desired.paused
            && !desired.suspend
            && !gates.silent
            && gates.cycle.is_none()
            && home == Rehome::Settled;
        let waves: Vec<_> = found.waves.iter().map(|area| area.tally).collect();
        let course = chart(desired, observed, &standing, &waves, advances, now);
        let way = Way {
            direction,
            failed: failed || is_back,
            gates,
            course,
        };
        match home {
            Rehome::Settled => self.act(&way, found),
            Rehome::Working { actions, waits_for } => self.wait(&way, found, actions, waits_for),
        }
    }

    /// Counts all nodes.
    fn survey(self, direction: Direction) -> Found<'a> {
        let Pass {
            desired,
            observed,
            standing,
            ..
        } = self;
        let target = match (direction, self.stable) {
            (Direction::Back, Some(stable)) => stable,
            _ => standing.update,
        };
        let areas = (0..desired.waves.len()).map(|wave| {
            let set = of_wave(desired, observed, wave);
            let at_target = set.is_some_and(|set| set.revision == target && !set.deleting);
            let mut area = Area {
                at_target,
                has_set: set.is_some(),
                ..Area::default()
            };
            // While the controller has not seen the new template, it would start the old one again on a node we free.
            area.tally.settled = at_target && set.is_some_and(|set| set.settled);
            area
        });
        let mut survey = Survey {
            desired,
            observed,
            update: standing.update,
            target,
            finished: standing.finished,
            retries: standing.retries,
            missed: standing.missed,
            now: self.now,
            found: Found {
                waves: areas.collect(),
                ..Found::default()
            },
        };
        let pods = serving(&observed.pods);
        for node in &observed.nodes {
            survey.node(node, pods.get(node.name.as_str()).copied());
        }
        let mut found = survey.found;
        found.tally.finished = standing.finished;
        if direction != Direction::Back {
            self.hold_back(&mut found);
        }
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
                &mut area.bad,
                &mut area.healthy,
            );
        }
    }

    /// Pods are handed over to other DaemonSets: nothing else is written meanwhile.
    fn wait(
        self,
        way: &Way<'a>,
        found: Found<'a>,
        actions: Vec<Action>,
        waits_for: String,
    ) -> Decision {
        let phase = match self.outcome(way, &found, &Left::default(), false).phase() {
            phase if self.standing.finished || phase == Phase::Paused => phase,
            _ => Phase::HandingOver(waits_for),
        };
        decision(way, found, actions, phase, None)
    }

    /// Writes templates, and starts nodes.
    fn act(self, way: &Way<'a>, mut found: Found<'a>) -> Decision {
        let Pass {
            desired,
            observed,
            standing,
            ..
        } = self;
        if way.direction == Direction::Back && !self.is_remembered() {
            return self.remember(way, found);
        }
        let (mut actions, written) = templates(desired, observed, self.revisions, self.aim(way));
        let rests = actions.is_empty();
        for (area, written) in found.waves.iter_mut().zip(written) {
            area.tally.settled &= !written && rests;
        }
        let is_back = way.direction == Direction::Back;
        let mut turn = Turn::new(desired, &way.gates, standing.update, !is_back);
        let begun = way.course.position.saturating_add(1).min(found.waves.len());
        if !desired.paused {
            let (waves, _) = found.waves.split_at_mut(begun);
            turn.left.shut = !way.gates.is_open() && waves.iter().any(|area| !area.at_target);
            actions.extend(match way.direction {
                Direction::Forward => start::forward(&mut turn, desired, waves),
                Direction::Back => start::retreat(&mut turn, desired, &mut found.waves),
                Direction::Standing => Vec::new(),
            });
        }
        let left = turn.left;
        if let Some(opens) = way.gates.opens.filter(|_| left.shut) {
            // A finished task does not report that it waits.
            found.tally.wake.at(opens);
        }
        let (later, again): (Vec<_>, Vec<_>) = std::mem::take(&mut found.again)
            .into_iter()
            .partition(|(node, _)| way.gates.is_busy(&node.name));
        found.again = later;
        actions.extend(again.into_iter().map(start::delete));
        actions.extend(start::ungate(observed, &way.gates));
        let outcome = self.outcome(way, &found, &left, rests);
        let phase = outcome.phase();
        if matches!(phase, Phase::Complete(_)) && !standing.finished {
            // What completes the rollout also ends its claim on nodes that left during it.
            let pass = Pass {
                standing: standing.completed(),
                ..self
            };
            let mut decision = pass.decide(Direction::Forward);
            decision.course.steps.clone_from(&way.course.steps);
            return decision;
        }
        let waiting = left.waiting(outcome.idle);
        decision(way, found, actions, phase, waiting)
    }

    /// Whether the stored status says already that the update revision failed.
    fn is_remembered(self) -> bool {
        let status = &self.observed.status;
        status.failed_revision.as_deref() == Some(self.standing.update)
    }

    /// The status first: once failed pods are replaced, nothing but it says that the revision failed, and an operator that
    /// dies in between would try it again.
    fn remember(self, way: &Way<'a>, mut found: Found<'a>) -> Decision {
        found.tally.wake.at(self.now);
        let phase = self.outcome(way, &found, &Left::default(), false).phase();
        decision(way, found, Vec::new(), phase, None)
    }

    fn aim(self, way: &Way<'_>) -> Aim {
        let stable = self.observed.status.stable_revision.as_deref();
        let position = way.course.position;
        // Of a suspended task only DaemonSets are made that a re-homing took from its pods.
        let holds = self.desired.paused || self.desired.suspend;
        match way.direction {
            _ if holds && stable != Some(self.standing.update) => Aim::Hold,
            Direction::Back => Aim::Back,
            // Nodes that join must not get what failed.
            Direction::Standing if self.stable.is_some() => Aim::Hold,
            Direction::Standing => Aim::Update {
                position,
                open: false,
            },
            Direction::Forward => Aim::Update {
                position,
                open: way.gates.is_open() || self.standing.finished,
            },
        }
    }

    fn outcome<'b>(
        self,
        way: &'b Way<'a>,
        found: &'b Found<'a>,
        left: &'b Left<'a>,
        rests: bool,
    ) -> Outcome<'b>
    where
        'a: 'b,
    {
        let back = |area: &Area<'_>| area.tally.settled && area.tally.open == 0;
        Outcome {
            desired: self.desired,
            observed: self.observed,
            standing: self.standing,
            tally: &found.tally,
            course: &way.course,
            direction: way.direction,
            gates: &way.gates,
            left,
            rests,
            is_back: found.waves.iter().all(back),
            held: found.waves.iter().map(|area| area.tally.held).sum(),
            gated: found.gated,
            idle: found.tally.in_progress == found.gated_nodes,
            complete: Reason::RolloutComplete,
        }
    }
}

fn decision(
    way: &Way<'_>,
    found: Found<'_>,
    actions: Vec<Action>,
    phase: Phase,
    waiting: Option<Waiting>,
) -> Decision {
    Decision {
        actions,
        retry_open: !found.again.is_empty(),
        tally: found.tally,
        phase,
        waiting,
        opens: way.gates.opens,
        failed: way.failed,
        course: way.course.clone(),
        notes: Vec::new(),
    }
}

/// What was decided before anything is written.
struct Way<'a> {
    direction: Direction,
    /// Whether the update revision counts as failed.
    failed: bool,
    gates: Gates<'a>,
    course: Course,
}

/// The pod that stands for each node: one that runs before one that goes, the newest of several.
fn serving(pods: &[PodView]) -> BTreeMap<&str, &PodView> {
    let rank = |pod: &PodView| (!pod.deleting && !pod.finished, pod.created);
    let mut serving: BTreeMap<&str, &PodView> = BTreeMap::new();
    for pod in pods {
        let known = serving.entry(&pod.node).or_insert(pod);
        if (rank(pod), &pod.name) > (rank(known), &known.name) {
            *known = pod;
        }
    }
    serving
}
