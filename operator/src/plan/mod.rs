//! `plan`: what one pass over a task will do, in order, and what it will report. Pure and infallible.

mod action;
mod approval;
mod budget;
mod course;
mod daemon;
mod event;
mod failure;
mod gate;
pub mod node;
mod order;
mod outcome;
mod phase;
mod reach;
mod rehome;
mod results;
mod revisions;
mod run_once;
mod scheduled;
mod site;
pub(crate) mod tally;
mod turn;
mod window;

use hosttask_crds::Reason;
use hosttask_crds::task::{FailureAction, Mode, Waiting, WindowsHostTaskStatus};
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;

use crate::desired::Desired;
use crate::observed::Observed;
use crate::status::{self, Facts, Phase};
use crate::validate::Problem;
pub use action::{Action, Note};
pub(crate) use budget::needed;
use course::{Course, Standing};
pub use results::{has_ended, results};
use revisions::Revisions;
use tally::Tally;

/// How often a name that somebody else holds is looked at again.
const CONFLICT: Duration = Duration::from_secs(30);

/// Everything one pass will do, in order, and what it will report. Plain data: no client, no clock, no randomness.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The writes, in order. The first one that fails ends the pass.
    pub actions: Vec<Action>,
    /// The status to report. Written only when it differs from the one stored.
    pub status: WindowsHostTaskStatus,
    /// After which time to look again even if nothing changes; none: only when something changes.
    pub requeue: Option<Duration>,
}

/// What one mode decides: its writes, what it counted, and where the task stands.
struct Decision {
    actions: Vec<Action>,
    tally: Tally,
    phase: Phase,
    /// What a rollout that goes on waits for.
    waiting: Option<Waiting>,
    /// When the next maintenance window opens; none while one is open.
    opens: Option<Timestamp>,
    /// Whether the update revision counts as failed.
    failed: bool,
    /// Whether something that failed could not be tried again in this pass.
    retry_open: bool,
    /// How far the rollout is.
    course: Course,
    /// Events that belong to the writes.
    notes: Vec<Note>,
}

/// What one pass over a valid task does and reports.
///
/// Guarantees: the same facts give the same plan; without a change in the cluster, the plan of a later moment has the same
/// status unless a deadline passed; at most `maxUnavailable` nodes are disturbed at once; nothing of others is touched.
pub fn plan(desired: &Desired, observed: &Observed, now: Timestamp) -> Plan {
    let revisions = Revisions::choose(desired, observed);
    let standing = Standing::of(desired, observed, &revisions.update);
    let pass = Pass {
        desired,
        observed,
        revisions: &revisions,
        now,
    };
    match pass.plan(standing) {
        Ok(plan) => plan,
        // Nothing would bring the pass that acts on it.
        Err(Late) => pass.plan(standing.late()).unwrap_or_else(|Late| Plan {
            actions: Vec::new(),
            status: observed.status.clone(),
            requeue: Some(Duration::ZERO),
        }),
    }
}

/// The rollout missed its progress deadline, and the failure policy asks for more than to report it.
struct Late;

/// One pass over a valid task.
struct Pass<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    revisions: &'a Revisions,
    now: Timestamp,
}

impl Pass<'_> {
    fn plan(&self, standing: Standing<'_>) -> Result<Plan, Late> {
        let Pass {
            desired,
            observed,
            revisions,
            now,
        } = *self;
        let decision = match desired.mode {
            Mode::Daemon => daemon::decide(desired, observed, revisions, standing, now),
            Mode::RunOnce => run_once::decide(desired, observed, revisions, standing, now),
            Mode::Scheduled => scheduled::decide(desired, observed, revisions, standing, now),
        };
        let Decision {
            mut actions,
            tally,
            phase,
            waiting,
            opens,
            failed,
            retry_open,
            course,
            notes,
        } = decision;
        // Until all of it could be tried again, the next pass has to know that it is asked to.
        let failed = failed || (standing.retries && retry_open);
        let (phase, blocked) = self.allow(&mut actions, &tally, phase);
        let writes = actions.iter().any(Action::is_child_write);
        let phase = status::still_rejected(
            &observed.status,
            desired.generation,
            &revisions.update,
            writes,
        )
        .unwrap_or(phase);
        let answered = observed
            .requests
            .retry
            .as_deref()
            .filter(|_| standing.answers && !blocked && !retry_open);
        let facts = Facts {
            desired,
            previous: &observed.status,
            update: &revisions.update,
            collision: revisions.collision,
            tally: &tally,
            starts: actions.iter().any(Action::is_start),
            applies: actions
                .iter()
                .any(|action| matches!(action, Action::ApplyDaemonSet(_))),
            short: course.short,
            phase,
            waiting,
            position: course.position,
            soak_end: course.soak_end,
            afresh: standing.afresh,
            failed,
            answered,
            opens,
            now,
        };
        let (status, deadline) = status::report(&facts);
        let missed = status.failed_revision.is_some() && !failed;
        if missed && !standing.missed && acts(desired, &observed.status, &revisions.update) {
            return Err(Late);
        }
        let wake = self.wake(&tally, &actions, deadline, &course, &status);
        actions.extend(notes.into_iter().map(Action::Publish));
        actions.extend(event::steps(desired, &course.steps));
        let turn = event::Turn {
            afresh: standing.afresh,
            failed_by: if standing.missed {
                Reason::ProgressDeadlineExceeded
            } else {
                Reason::FailureThresholdExceeded
            },
        };
        actions.extend(event::transitions(&observed.status, &status, &tally, turn));
        Ok(Plan {
            actions,
            status,
            requeue: wake.after(now),
        })
    }

    /// Takes out what may not be done now. Returns where the task stands, and whether it is blocked.
    fn allow(&self, actions: &mut Vec<Action>, tally: &Tally, phase: Phase) -> (Phase, bool) {
        let (desired, observed) = (self.desired, self.observed);
        let (phase, blocked) = block(desired, observed, tally, &phase).unwrap_or((phase, false));
        if blocked {
            // A result that is not recorded before its Job's TTL ends would make the program run a second time, and pods
            // that are being handed over would stay without a DaemonSet.
            actions.retain(|action| {
                matches!(action, Action::RecordResult { .. })
                    || (desired.mode == Mode::Daemon && rehome::goes_on(desired, observed, action))
            });
        } else {
            actions.extend(self.revisions.prune(desired, observed));
        }
        (phase, blocked)
    }

    /// When to look again though nothing changes.
    fn wake(
        &self,
        tally: &Tally,
        actions: &[Action],
        deadline: Option<Timestamp>,
        course: &Course,
        status: &WindowsHostTaskStatus,
    ) -> tally::Wake {
        let mut wake = tally.wake;
        if !self.observed.foreign.is_empty() {
            // What is somebody else's carries no label of ours: no watch shows that it went.
            wake.at(tally::later(self.now, CONFLICT));
        }
        let creates_revision = self.desired.mode != Mode::Daemon
            && actions
                .iter()
                .any(|action| matches!(action, Action::CreateRevision(_)));
        if creates_revision {
            // The watches need not show it: a task without nodes has nothing else that would bring the next pass.
            wake.at(tally::later(self.now, Duration::from_secs(1)));
        }
        let soak = course.soak_end.filter(|end| *end > self.now);
        let window = status.next_window_time.as_ref().map(|time| time.0);
        for time in [deadline, soak, window].into_iter().flatten() {
            wake.at(time);
        }
        wake
    }
}

/// Whether the failure policy does more than to report.
///
/// What is known to work is not given up, whatever the policy.
pub(crate) fn acts(desired: &Desired, status: &WindowsHostTaskStatus, update: &str) -> bool {
    let policy = desired.failure_policy;
    status.stable_revision.as_deref() != Some(update)
        && policy.is_some_and(|policy| policy.action != FailureAction::Continue)
}

/// What keeps the operator from working on the task at all.
fn blocked(desired: &Desired, observed: &Observed) -> Option<Phase> {
    if desired.suspend {
        return Some(Phase::Suspended);
    }
    if let Some(level @ ("baseline" | "restricted")) = observed.pod_security.as_deref() {
        let namespace = &desired.key.namespace;
        let message = format!(
            "namespace {namespace} enforces the Pod Security level {level}, which forbids HostProcess pods; allow them with: \
             kubectl label namespace {namespace} pod-security.kubernetes.io/enforce=privileged --overwrite"
        );
        return Some(Phase::Stalled {
            reason: Reason::PodSecurityDenied,
            message,
        });
    }
    let foreign = observed.foreign.first();
    let foreign = foreign.filter(|_| desired.mode == Mode::Daemon)?;
    let (name, owner) = (&foreign.name, &foreign.owner);
    let message = format!(
        "DaemonSet {name} exists and is not controlled by this task ({owner}); delete it or give the task another name"
    );
    Some(Phase::Stalled {
        reason: Reason::NameConflict,
        message,
    })
}

/// What keeps the operator from working on the task at all (true), or Kubernetes from starting its pods (false).
fn block(
    desired: &Desired,
    observed: &Observed,
    tally: &Tally,
    phase: &Phase,
) -> Option<(Phase, bool)> {
    if let Some(blocked) = blocked(desired, observed) {
        return Some((blocked, true));
    }
    let message = observed
        .failed_create
        .clone()
        .filter(|_| *phase != Phase::Paused)?;
    let enough =
        needed(desired.min_healthy, tally.base) <= tally.base - tally.lost - tally.without_pod;
    let finished = tally.finished && enough;
    (tally.without_pod > 0 && !finished).then_some((
        Phase::Stalled {
            reason: Reason::PodsNotCreated,
            message,
        },
        false,
    ))
}

/// What one pass over an invalid task reports. Of `results` it keeps the record; it writes nothing else: the last good children
/// stay as they are.
pub fn invalid(
    generation: i64,
    previous: &WindowsHostTaskStatus,
    problems: &[Problem],
    results: Vec<Action>,
    now: Timestamp,
) -> Plan {
    let status = status::invalid(generation, previous, problems, now);
    let turn = event::Turn {
        afresh: false,
        failed_by: Reason::FailureThresholdExceeded,
    };
    let mut actions = results;
    actions.extend(event::transitions(
        previous,
        &status,
        &Tally::default(),
        turn,
    ));
    Plan {
        actions,
        status,
        requeue: None,
    }
}
