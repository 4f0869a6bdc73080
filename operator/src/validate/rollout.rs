//! `spec.rollout`: how fast, in which order, and what stops it.

use std::collections::BTreeSet;
use std::time::Duration;

use hosttask_crds::task::{FailureAction, Mode, Rollout};

use super::amount::amount;
use super::found::{Found, rules};
use super::limits::{DAY, WEEK, number, seconds};
use super::{name, wave, window};
use crate::desired::{Amount, FailurePolicy, TopologyOrder, Wave, Window};

rules! {
    MAX_UNAVAILABLE: ApiServer, "spec.rollout.{maxUnavailable,waves[*].maxUnavailable}",
        "must be a number of nodes from 1, or a percentage from 1% to 100%; to start no node use rollout.paused";
    DEADLINE_ORDER: Hosttask, "spec.rollout.progressDeadlineSeconds",
        "must be more than rollout.minReadySeconds, or the rollout counts as stuck before a pod can be ready; raise it";
    ORDER_KEY: ApiServer, "spec.rollout.order[*].topologyKey",
        "is no label key; give the node label that tells the groups apart, such as topology.kubernetes.io/zone";
    ORDER_TWICE: ApiServer, "spec.rollout.order[*].topologyKey", "is listed twice; remove one";
    MAX_FAILED: ApiServer, "spec.rollout.failurePolicy.maxFailedNodes",
        "must be a number of nodes from 1, or a percentage from 1% to 100%; to do nothing about failures use action: Continue";
    ROLLBACK_MODE: Hosttask, "spec.rollout.failurePolicy.action",
        "can be Rollback only with mode Daemon: what a program did in a finished run cannot be taken back; use Pause";
    MAX_UNREACHABLE: ApiServer, "spec.rollout.unreachableNodes.maxUnreachable",
        "must be a number of nodes from 0, or a percentage from 0% to 100%";
}

/// `spec.rollout` with defaults.
pub(super) struct Pace {
    pub(super) paused: bool,
    pub(super) max_unavailable: Amount,
    pub(super) min_ready: Duration,
    pub(super) progress_deadline: Duration,
    pub(super) revision_history_limit: usize,
    pub(super) partition: Option<Amount>,
    pub(super) order: Vec<TopologyOrder>,
    pub(super) waves: Vec<Wave>,
    pub(super) approved_wave: Option<String>,
    pub(super) failure_policy: Option<FailurePolicy>,
    pub(super) unreachable_after: Duration,
    pub(super) max_unreachable: Option<Amount>,
    pub(super) windows: Vec<Window>,
}

/// Judges `spec.rollout`; the mode is none where it cannot be read.
pub(super) fn rollout(rollout: &Rollout, mode: Option<Mode>, found: &mut Found) -> Pace {
    let (min_ready, progress_deadline) = readiness(rollout, found);
    let history = number(
        rollout.revision_history_limit.unwrap_or(10),
        0..=100,
        "spec.rollout.revisionHistoryLimit",
        found,
    );
    let max_unavailable = amount(
        rollout.max_unavailable.as_ref(),
        1,
        &MAX_UNAVAILABLE,
        "spec.rollout.maxUnavailable",
        found,
    );
    let unreachable = rollout.unreachable_nodes.clone().unwrap_or_default();
    Pace {
        paused: rollout.paused.unwrap_or(false),
        max_unavailable: max_unavailable.unwrap_or(Amount::Count(1)),
        min_ready,
        progress_deadline,
        revision_history_limit: usize::try_from(history).unwrap_or_default(),
        partition: wave::partition(rollout, mode, found),
        order: order(rollout, found),
        waves: wave::waves(rollout, mode, found),
        approved_wave: wave::approved_wave(rollout, found),
        failure_policy: failure_policy(rollout, mode, found),
        unreachable_after: seconds(
            unreachable.after_seconds,
            60,
            0..=DAY,
            "spec.rollout.unreachableNodes.afterSeconds",
            found,
        ),
        max_unreachable: amount(
            unreachable.max_unreachable.as_ref(),
            0,
            &MAX_UNREACHABLE,
            "spec.rollout.unreachableNodes.maxUnreachable",
            found,
        ),
        windows: window::windows(&rollout.maintenance_windows, found),
    }
}

/// `minReadySeconds` and `progressDeadlineSeconds`.
fn readiness(rollout: &Rollout, found: &mut Found) -> (Duration, Duration) {
    let min_ready = seconds(
        rollout.min_ready_seconds,
        10,
        0..=DAY,
        "spec.rollout.minReadySeconds",
        found,
    );
    let field = "spec.rollout.progressDeadlineSeconds";
    let deadline = seconds(
        rollout.progress_deadline_seconds,
        1800,
        1..=WEEK,
        field,
        found,
    );
    if deadline <= min_ready {
        found.report(&DEADLINE_ORDER, field.to_owned(), Some(&deadline.as_secs()));
    }
    (min_ready, deadline)
}

fn order(rollout: &Rollout, found: &mut Found) -> Vec<TopologyOrder> {
    let mut keys = BTreeSet::new();
    for (index, it) in rollout.order.iter().enumerate() {
        let field = format!("spec.rollout.order[{index}].topologyKey");
        if !name::is_qualified(&it.topology_key) {
            found.report(&ORDER_KEY, field, Some(&it.topology_key));
        } else if !keys.insert(&it.topology_key) {
            found.report(&ORDER_TWICE, field, Some(&it.topology_key));
        }
    }
    let all = rollout.order.iter().map(|it| TopologyOrder {
        key: it.topology_key.clone(),
        sequential: it.sequential.unwrap_or(false),
    });
    all.collect()
}

fn failure_policy(
    rollout: &Rollout,
    mode: Option<Mode>,
    found: &mut Found,
) -> Option<FailurePolicy> {
    let policy = rollout.failure_policy.as_ref()?;
    let action = policy.action.unwrap_or_default();
    if action == FailureAction::Rollback && mode.is_some_and(|it| it != Mode::Daemon) {
        let field = "spec.rollout.failurePolicy.action".to_owned();
        found.report(&ROLLBACK_MODE, field, Some(&"Rollback"));
    }
    let max_failed = amount(
        policy.max_failed_nodes.as_ref(),
        1,
        &MAX_FAILED,
        "spec.rollout.failurePolicy.maxFailedNodes",
        found,
    );
    Some(FailurePolicy {
        max_failed: max_failed.unwrap_or(Amount::Count(1)),
        action,
    })
}
