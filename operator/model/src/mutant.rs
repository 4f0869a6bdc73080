//! Seeded mistakes: they distort what the shipped plan reads or writes, or the operator's edges. None is in shipped code.

use std::time::Duration;

use hosttask_crds::task::{Approval, FailureAction};
use hosttask_operator::desired::{Amount, Desired};
use hosttask_operator::observed::{Observed, PodView};
use hosttask_operator::plan::{Action, Plan};
use hosttask_operator::revision;
use jiff::Timestamp;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Any number of nodes may be disturbed.
    BudgetOff,
    /// A healthy pod goes before one that is bad already.
    BadFirstOff,
    /// What was started and does not serve yet counts as served.
    InFlightNotCounted,
    /// Every node counts as reachable.
    UnreachableStarted,
    /// All waves go at once.
    WaveOrderOff,
    /// No wave soaks.
    SoakOff,
    /// No wave waits for an approval.
    ApprovalOff,
    /// There are no windows.
    WindowIgnored,
    /// `rollout.paused` is not read.
    PauseIgnored,
    /// `status.failedRevision` is not read.
    LatchForgotten,
    /// A failed content is left where it is.
    RollbackMissing,
    /// The oldest wave goes back first.
    RollbackReversed,
    /// A node that we broke counts as well.
    RegressedIgnored,
    /// Pods get the labels of their new waves while the DaemonSets of the old ones live.
    MovedWithoutOrphaning,
    /// The DaemonSets get the affinities of the new waves before their pods are handed over.
    AffinityFirst,
    /// What a node's ledger says is not read.
    LedgerForgotten,
    /// Decisions are made on what the watches show, without own writes.
    NaiveCache,
    /// A new process begins with an old list.
    StaleRestart,
    /// A former leader may still write.
    NoFence,
    /// Objects are deleted by name alone.
    NoPrecondition,
    /// The names of Jobs are made up by the API server.
    GeneratedNames,
}

impl Mutant {
    /// Distorts what the plan reads.
    pub(crate) fn before(self, desired: &mut Desired, observed: &mut Observed) {
        match self {
            Self::BudgetOff => desired.max_unavailable = Amount::Count(100),
            Self::InFlightNotCounted => observed.pods.iter_mut().for_each(serve),
            Self::UnreachableStarted => {
                observed.nodes.iter_mut().for_each(|node| node.ready = true);
            }
            Self::WaveOrderOff => {
                if let Some(wave) = &mut observed.status.wave {
                    wave.index = wave.total - 1;
                    wave.name = "default".into();
                }
            }
            Self::SoakOff => {
                let waves = desired.waves.iter_mut();
                waves.for_each(|wave| wave.soak = Duration::ZERO);
            }
            Self::ApprovalOff => {
                let waves = desired.waves.iter_mut();
                waves.for_each(|wave| wave.approval = Approval::Auto);
            }
            Self::WindowIgnored => desired.windows.clear(),
            Self::PauseIgnored => desired.paused = false,
            Self::LatchForgotten => observed.status.failed_revision = None,
            Self::RollbackMissing => {
                if let Some(policy) = &mut desired.failure_policy {
                    policy.action = FailureAction::Pause;
                }
            }
            Self::RegressedIgnored => {
                observed.nodes.iter_mut().for_each(|node| node.ready = true);
                observed.pods.iter_mut().for_each(serve);
            }
            Self::AffinityFirst => {
                let layout = revision::layout(&desired.waves);
                let sets = observed.daemon_sets.iter_mut();
                sets.for_each(|set| set.layout.clone_from(&layout));
            }
            Self::LedgerForgotten => observed.ledger.clear(),
            _ => {}
        }
    }

    /// Distorts what it plans. `desired` and `observed` are the true ones.
    pub(crate) fn after(self, desired: &Desired, observed: &Observed, plan: &mut Plan) {
        match self {
            Self::BadFirstOff => {
                let update = plan.status.update_revision.clone();
                let well = observed.pods.iter().find(|pod| {
                    !pod.deleting
                        && pod.ready_since.is_some()
                        && Some(&pod.revision) != update.as_ref()
                });
                redirect(plan, well);
            }
            Self::RollbackReversed if back(plan) => {
                let update = plan.status.update_revision.clone();
                let first = observed.pods.iter().find(|pod| {
                    !pod.deleting
                        && pod.wave == desired.waves[0].name
                        && Some(&pod.revision) == update.as_ref()
                });
                redirect(plan, first);
            }
            Self::MovedWithoutOrphaning => {
                let orphans = |action: &Action| matches!(action, Action::OrphanDaemonSet { .. });
                if plan.actions.iter().any(orphans) {
                    plan.actions = moves(desired, observed);
                }
            }
            _ => {}
        }
    }
}

/// Shows a pod as one that serves.
fn serve(pod: &mut PodView) {
    if pod.ready_since.is_none() || pod.deleting {
        pod.deleting = false;
        pod.ready_since = Some(Timestamp::UNIX_EPOCH);
    }
}

/// Whether a plan goes back to the stable revision.
fn back(plan: &Plan) -> bool {
    plan.status.failed_revision == plan.status.update_revision
}

/// Lets a plan delete another pod.
fn redirect(plan: &mut Plan, pod: Option<&PodView>) {
    let Some(pod) = pod else { return };
    for action in &mut plan.actions {
        if let Action::DeletePod {
            name, uid, node, ..
        } = action
        {
            name.clone_from(&pod.name);
            uid.clone_from(&pod.uid);
            node.clone_from(&pod.node);
        }
    }
}

fn moves(desired: &Desired, observed: &Observed) -> Vec<Action> {
    let moved = observed.pods.iter().filter_map(|pod| {
        let node = observed.nodes.iter().find(|node| node.name == pod.node)?;
        let wave = desired.waves[node.wave].name.clone();
        (wave != pod.wave).then(|| Action::MovePod {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            node: pod.node.clone(),
            wave,
        })
    });
    moved.collect()
}
