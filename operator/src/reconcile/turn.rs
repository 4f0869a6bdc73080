//! The turn of a task: what other tasks leave to it, and what it claims while its pass is under way.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};

use hosttask_crds::label::NODE;
use jiff::Timestamp;
use tokio::time::Instant;

use super::Reconciler;
use crate::arbiter::{ASKS_AGAIN, Arbiter};
use crate::desired::{Desired, TaskKey};
use crate::index::Key;
use crate::observed::Observed;
use crate::plan::{self, Action, Plan};

/// The time of one pass over a task. However the pass ends, its claims end with it, and who waits for a node learns of it.
pub(super) struct Turn<'a> {
    reconciler: &'a Reconciler,
    key: &'a TaskKey,
}

impl Turn<'_> {
    /// The task wants nothing: it is gone, going or invalid.
    pub(super) fn is_not_needed(&self) {
        self.reconciler.arbiter().forget(self.key);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let r = self.reconciler;
        let woken = {
            let mut arbiter = r.arbiter();
            // What the pass wrote is in the index as an expectation.
            arbiter.see(r.index.in_flight((r.clock)()));
            arbiter.release(self.key);
            arbiter.wake()
        };
        for key in woken {
            r.queue.add(Key::Task(key));
        }
    }
}

impl Reconciler {
    pub(super) fn turn<'a>(&'a self, key: &'a TaskKey) -> Turn<'a> {
        Turn {
            reconciler: self,
            key,
        }
    }

    fn arbiter(&self) -> MutexGuard<'_, Arbiter> {
        self.arbiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left of a plan when other tasks are heard, and a claim on the nodes that it starts.
    ///
    /// `plan` was made as if there were no others. Where it starts nothing that others work on, and no more nodes than may be
    /// started, it stands. Between hearing the others and the claim nobody else decides.
    pub(super) fn arbitrate(
        &self,
        desired: &Desired,
        observed: &mut Observed,
        mut plan: Plan,
        now: Timestamp,
    ) -> Plan {
        let mut arbiter = self.arbiter();
        arbiter.see(self.index.in_flight(now));
        let mut starts = started_nodes(&plan);
        let time = Instant::now().into_std();
        let busy = arbiter.busy(&desired.key, time);
        let held: BTreeSet<String> = starts
            .iter()
            .filter(|node| busy.contains_key(*node))
            .cloned()
            .collect();
        if !held.is_empty() {
            observed.grants.busy = busy;
            plan = plan::plan(desired, observed, now);
            starts = started_nodes(&plan);
        }
        let slots = arbiter.ask(&desired.key, starts.len(), held, time);
        if let Some(slots) = slots.filter(|slots| *slots < starts.len()) {
            observed.grants.slots = Some(i32::try_from(slots).unwrap_or(i32::MAX));
            plan = plan::plan(desired, observed, now);
            starts = started_nodes(&plan);
        }
        arbiter.claim(&desired.key, starts);
        if arbiter.is_waiting(&desired.key) {
            plan.requeue = Some(
                plan.requeue
                    .map_or(ASKS_AGAIN, |sooner| sooner.min(ASKS_AGAIN)),
            );
        }
        plan
    }
}

/// The nodes on which a plan starts or replaces something.
fn started_nodes(plan: &Plan) -> BTreeSet<String> {
    let nodes = plan.actions.iter().filter_map(|action| match action {
        Action::DeletePod { node, .. } => Some(node),
        Action::CreateJob(job) => job.metadata.annotations.as_ref()?.get(NODE),
        Action::CheckDaemonSet(_)
        | Action::CheckJob(_)
        | Action::CreateRevision(_)
        | Action::RenumberRevision { .. }
        | Action::DeleteRevision { .. }
        | Action::ApplyDaemonSet(_)
        | Action::OrphanDaemonSet { .. }
        | Action::MovePod { .. }
        | Action::UngatePod { .. }
        | Action::DeleteJob { .. }
        | Action::RecordResult { .. }
        | Action::Publish(_) => None,
    });
    nodes.cloned().collect()
}
