//! The writing half of a pass over a task: apply, then report.

use std::collections::BTreeSet;
use std::time::Duration;

use hosttask_crds::Reason;
use hosttask_crds::task::WindowsHostTaskStatus;
use jiff::Timestamp;
use tokio::time::Instant;

use super::memory::Memory;
use super::{Done, Reconciler};
use crate::apply::Applier;
use crate::desired::TaskKey;
use crate::error::{Cause, Error, chain};
use crate::index::TaskSnapshot;
use crate::plan::{Action, Note, Plan};
use crate::report::{self, Verdict};
use crate::status::{self, Rejection};

/// How many refusals one pass goes on after: where more nodes are refused than this, it is hardly the nodes' fault.
const MOST_REFUSED: usize = 8;

/// What was refused in a pass.
#[derive(Default)]
struct Refusal {
    /// The first in the order of the plan: the one that the status names.
    first: Option<Rejection>,
    /// The shortest time after which one of them may be tried again.
    wait: Option<Duration>,
}

impl Refusal {
    fn add(&mut self, rejection: Rejection, wait: Duration) {
        self.first.get_or_insert(rejection);
        self.wait = Some(self.wait.map_or(wait, |before| before.min(wait)));
    }
}

/// Whether the nodes behind it do not depend on it: each starts on its own, and the budget counts it whether it starts or not.
fn is_of_one_node(action: &Action) -> bool {
    matches!(action, Action::CreateJob(_) | Action::RecordResult { .. })
}

/// The writing half of a pass over a task.
pub(super) struct TaskPass<'a> {
    pub(super) reconciler: &'a Reconciler,
    pub(super) key: &'a TaskKey,
    pub(super) task: &'a TaskSnapshot,
    /// The status as it is stored, and the resource version it is stored at.
    pub(super) stored: WindowsHostTaskStatus,
    pub(super) version: String,
    pub(super) now: Timestamp,
    pub(super) done: Done,
    /// The nodes whose results were recorded and told.
    pub(super) told: BTreeSet<String>,
}

impl TaskPass<'_> {
    /// Carries out the writes of a plan up to the first that fails; a Job that is refused holds up no other node's. Returns the status to report, and the failure where it
    /// is not the task's.
    pub(super) async fn apply(&mut self, plan: &Plan) -> (WindowsHostTaskStatus, Option<Error>) {
        let r = self.reconciler;
        let applier = Applier {
            client: &r.client,
            index: &r.index,
            queue: &r.queue,
            events: &r.events,
            key: self.key,
            uid: &self.task.uid,
            clock: r.clock,
        };
        let reject = |rejection: &Rejection| {
            status::rejected(plan.status.clone(), &self.stored, rejection, self.now)
        };
        let (mut refusal, mut refused) = (Refusal::default(), 0);
        for action in plan
            .actions
            .iter()
            .filter(|action| !matches!(action, Action::Publish(_)))
        {
            if refusal.first.is_some() && !is_of_one_node(action) {
                continue;
            }
            let known = r.remember(self.key, |memory| {
                memory.refused(action, Instant::now().into_std())
            });
            if let Some((rejection, wait)) = known {
                refusal.add(rejection, wait);
                if is_of_one_node(action) {
                    continue;
                }
                break;
            }
            let Err(error) = applier.apply(action).await else {
                self.done.writes.push(word(action));
                if let Action::RecordResult { node, .. } = action {
                    // Now: no later pass plans it again, so what fails after it must not take it along.
                    for note in notes(plan).filter(|note| note.node.as_ref() == Some(node)) {
                        r.events.publish(self.key, &self.task.uid, note).await;
                    }
                    self.told.insert(node.clone());
                }
                continue;
            };
            if let Some(rejection) = error.rejection() {
                tracing::warn!(error = %chain(&error), "Had a child refused");
                let wait = r.remember(self.key, |memory| {
                    memory.refuse(action, rejection.clone(), Instant::now().into_std())
                });
                refusal.add(rejection, wait);
                self.done.refused = true;
                refused += 1;
                if is_of_one_node(action) && refused < MOST_REFUSED {
                    continue;
                }
                break;
            }
            let error = Error::Apply(Box::new(error));
            let lasting = matches!(
                error.cause(),
                Cause::Throttled | Cause::Unavailable | Cause::TimedOut
            ) && r
                .remember(self.key, |memory| memory.failed(Instant::now().into_std()));
            let status = if lasting {
                reject(&Rejection {
                    reason: Reason::ProgressingWithRetry,
                    message: chain(&error),
                })
            } else {
                // What was planned did not happen: say nothing new.
                self.stored.clone()
            };
            return (status, Some(error));
        }
        if let Some((rejection, wait)) = refusal.first.zip(refusal.wait) {
            self.done.again = Some(wait);
            return (reject(&rejection), None);
        }
        r.remember(self.key, Memory::succeeded);
        (plan.status.clone(), None)
    }

    /// Writes the status where it says something new, and then tells the events that belong to it.
    pub(super) async fn report(
        &mut self,
        status: &WindowsHostTaskStatus,
        plan: &Plan,
    ) -> Result<(), Error> {
        let r = self.reconciler;
        let since = r.remember(self.key, |memory| {
            memory.since_written(Instant::now().into_std())
        });
        r.metrics.set_task(self.key, status);
        match report::decide(&self.stored, status, since) {
            Verdict::Keep => {}
            Verdict::Later(wait) => {
                self.done.again = Some(self.done.again.map_or(wait, |again| again.min(wait)));
            }
            Verdict::Write => {
                let written =
                    report::write(&r.client, self.key, &self.version, &self.stored, status).await;
                let written = written.map_err(|e| Error::Report(Box::new(e)))?;
                let version = std::mem::take(&mut self.version);
                r.remember(self.key, |memory| {
                    memory.wrote(version, written, Instant::now().into_std());
                });
                self.done.writes.push("WriteStatus");
            }
        }
        if *status == plan.status {
            let told = |note: &&Note| {
                let node = note.node.as_ref();
                node.is_some_and(|node| self.told.contains(node))
            };
            for note in notes(plan).filter(|note| !told(note)) {
                r.events.publish(self.key, &self.task.uid, note).await;
            }
        } else if let Some(note) = stall(&self.stored, status) {
            r.events.publish(self.key, &self.task.uid, &note).await;
        }
        Ok(())
    }
}

/// The events of a plan.
fn notes(plan: &Plan) -> impl Iterator<Item = &Note> {
    plan.actions.iter().filter_map(|action| {
        if let Action::Publish(note) = action {
            Some(note)
        } else {
            None
        }
    })
}

/// The event of a task that stalls where it did not, or for another reason than before.
fn stall(before: &WindowsHostTaskStatus, after: &WindowsHostTaskStatus) -> Option<Note> {
    fn stalled(status: &WindowsHostTaskStatus) -> Option<(&str, &str)> {
        let stalled = status
            .conditions
            .iter()
            .find(|c| c.type_ == "Stalled" && c.status == "True")?;
        Some((stalled.reason.as_str(), stalled.message.as_str()))
    }
    let (reason, message) = stalled(after)?;
    if stalled(before).is_some_and(|(before, _)| before == reason) {
        return None;
    }
    let reason = *Reason::ALL.iter().find(|known| known.as_str() == reason)?;
    Some(Note {
        warning: true,
        reason,
        note: message.to_owned(),
        node: None,
    })
}

/// A write as the log names it.
fn word(action: &Action) -> &'static str {
    match action {
        Action::CheckDaemonSet(_) => "CheckDaemonSet",
        Action::CheckJob(_) => "CheckJob",
        Action::CreateRevision(_) => "CreateRevision",
        Action::RenumberRevision { .. } => "RenumberRevision",
        Action::DeleteRevision { .. } => "DeleteRevision",
        Action::ApplyDaemonSet(_) => "ApplyDaemonSet",
        Action::OrphanDaemonSet { .. } => "OrphanDaemonSet",
        Action::MovePod { .. } => "MovePod",
        Action::UngatePod { .. } => "UngatePod",
        Action::DeletePod { .. } => "DeletePod",
        Action::CreateJob(_) => "CreateJob",
        Action::DeleteJob { .. } => "DeleteJob",
        Action::RecordResult { .. } => "RecordResult",
        Action::Publish(_) => "Publish",
    }
}
