//! Where a task stands, from what was counted and decided: the same for both modes.

use hosttask_crds::task::{FailureAction, Waiting};
use hosttask_crds::{ConditionType, Reason};

use super::course::{Course, Direction, Gate, Standing};
use super::gate::Gates;
use super::tally::{Tally, write_to};
use super::turn::Left;
use super::{approval, budget, course, order};
use crate::desired::Desired;
use crate::observed::Observed;
use crate::status::{self, Phase};

/// What one pass found out and decided.
#[derive(Debug)]
pub(super) struct Outcome<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    pub(super) standing: Standing<'a>,
    pub(super) tally: &'a Tally,
    pub(super) course: &'a Course,
    pub(super) direction: Direction,
    pub(super) gates: &'a Gates<'a>,
    pub(super) left: &'a Left<'a>,
    /// Whether no template and no revision is written in this pass.
    pub(super) rests: bool,
    /// Whether every reachable node is back at the stable revision, or was tried; only read on the way back.
    pub(super) is_back: bool,
    /// How many nodes `partition` holds back.
    pub(super) held: i32,
    /// A node whose pod waits for a task of `dependsOn`.
    pub(super) gated: Option<&'a str>,
    /// Whether no node is under way but those that wait for such a task.
    pub(super) idle: bool,
    /// What a completed task of this mode reports.
    pub(super) complete: Reason,
}

impl Outcome<'_> {
    /// Where the task stands.
    pub(super) fn phase(&self) -> Phase {
        let desired = self.desired;
        if self.standing.finished {
            let needed = budget::needed(desired.min_healthy, self.tally.base);
            return if self.tally.base - self.tally.lost >= needed {
                self.done()
            } else {
                Phase::Degraded
            };
        }
        if desired.suspend {
            return Phase::Suspended;
        }
        if desired.paused {
            return Phase::Paused;
        }
        if let Some(circle) = self.gates.circle() {
            return circle;
        }
        match self.direction {
            Direction::Back => self.back(),
            Direction::Standing => self.failed(),
            Direction::Forward => self.forward(),
        }
    }

    fn done(&self) -> Phase {
        Phase::Complete(if self.tally.desired == 0 {
            Reason::NoMatchingNodes
        } else {
            self.complete
        })
    }

    fn forward(&self) -> Phase {
        // With every node away nothing was proved: that is no end.
        let proved = self.tally.base > 0 || self.tally.desired == 0;
        if self.gates.silent {
            return self.shut();
        }
        if self.course.over && self.rests && proved {
            return match self.held {
                _ if !self.course.well => Phase::Degraded,
                0 if !self.leaves_some() => self.done(),
                held => Phase::PartitionReached { held },
            };
        }
        if self.left.shut {
            return self.shut();
        }
        match self.course.gate {
            Some(Gate::Soak(end)) => Phase::Held {
                reason: Reason::Soaking,
                waiting: Waiting::Soak,
                message: format!("the wave is well and soaks until {end}"),
            },
            Some(Gate::Approval) => self.approval(),
            None => self.dependency().unwrap_or(Phase::Rolling),
        }
    }

    /// Whether nodes that were left out are to be held back by `partition` once they are back: a rollout that is complete
    /// would start them.
    fn leaves_some(&self) -> bool {
        let Tally {
            desired, updated, ..
        } = *self.tally;
        let partition = self.desired.partition;
        updated < desired && partition.is_some_and(|it| order::held(it, desired) > 0)
    }

    fn shut(&self) -> Phase {
        self.gates
            .shut(self.desired, self.tally)
            .unwrap_or(Phase::Rolling)
    }

    fn approval(&self) -> Phase {
        let position = self.course.position;
        let wave = self.desired.waves.get(position);
        let name = wave.map_or("", |wave| wave.name.as_str());
        let (revision, key) = (self.standing.update, &self.desired.key);
        let mut message = format!(
            "wave {name} is well; to go on, set rollout.approvedWave to {revision}/{name}, or run: \
             kubectl annotate windowshosttask {} --namespace {} --overwrite hosttask.dev/approved-wave={revision}/{name}",
            key.name, key.namespace
        );
        if let Some(mistake) = approval::mistake(self.desired, self.observed, revision, position) {
            write_to(&mut message, format_args!("; {mistake}"));
        }
        Phase::Held {
            reason: Reason::AwaitingApproval,
            waiting: Waiting::Approval,
            message,
        }
    }

    /// All that is left waits for tasks it depends on.
    fn dependency(&self) -> Option<Phase> {
        let waits = self.left.waiting(self.idle) == Some(Waiting::Dependency);
        let gated = self.gated.filter(|_| self.idle && self.left.started == 0);
        let node = self.left.dependency.filter(|_| waits).or(gated)?;
        self.gates.waits_for(node)?;
        Some(self.gates.dependency(node))
    }

    fn back(&self) -> Phase {
        let was = status::reason(&self.observed.status, ConditionType::Ready);
        // Nodes that come back later are brought back in silence.
        let silent = was == Some(Reason::RolledBack) && self.standing.goes_on();
        if silent || (self.is_back && self.rests && self.tally.base > 0) {
            Phase::RolledBack
        } else {
            Phase::RollingBack
        }
    }

    fn failed(&self) -> Phase {
        let policy = self.desired.failure_policy;
        let was = status::reason(&self.observed.status, ConditionType::Ready);
        let max = policy.map_or(1, |it| course::threshold(it.max_failed, self.tally.base));
        let blamed = !self.observed.status.failures.is_empty() || self.tally.failed >= max;
        let reason = match was.filter(|_| self.standing.goes_on()) {
            _ if self.standing.missed => Reason::ProgressDeadlineExceeded,
            Some(was @ (Reason::FailureThresholdExceeded | Reason::ProgressDeadlineExceeded)) => {
                was
            }
            _ if blamed => Reason::FailureThresholdExceeded,
            _ => Reason::ProgressDeadlineExceeded,
        };
        let mut message = if reason == Reason::FailureThresholdExceeded {
            format!("the update failed on too many nodes (failurePolicy.maxFailedNodes: {max})")
        } else {
            format!(
                "no progress for {} s",
                self.desired.progress_deadline.as_secs()
            )
        };
        if policy.is_none_or(|it| it.action == FailureAction::Continue) {
            "the update failed before, and is tried again once the content or the annotation hosttask.dev/retry changes"
                .clone_into(&mut message);
        }
        if policy.is_some_and(|it| it.action == FailureAction::Rollback) {
            message.push_str(", and there is no stable revision to go back to");
        }
        Phase::Failed { reason, message }
    }
}
