//! `spec.health` with its defaults, and the bounds of all numbers.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use hosttask_crds::task::{ConditionStatus, Health, NodeConditionRequirement};

use super::amount::amount;
use super::found::{Found, rules};
use super::name;
use crate::desired::{Amount, NodeCondition};

rules! {
    RANGE: ApiServer, "every number of spec.rollout, spec.health, spec.job and spec.schedule", "is out of range; the bounds are";
    MIN_HEALTHY: ApiServer, "spec.health.minHealthy",
        "must be a number of nodes from 0, or a percentage from 0% to 100%";
    CONDITION_TYPE: ApiServer, "spec.health.nodeConditions[*].type",
        "is no condition type; give one as in the status of the node, such as DiskPressure";
    CONDITION_TWICE: ApiServer, "spec.health.nodeConditions[*].type", "is listed twice; remove one";
    CONDITION_READY: Hosttask, "spec.health.nodeConditions[*].status",
        "must be True for the condition Ready, as no pod starts on a node that is not ready; remove it, Ready is always looked at";
}

pub(super) const DAY: i64 = 86_400;
pub(super) const WEEK: i64 = 7 * DAY;
/// 30 days.
pub(super) const MONTH: i64 = 30 * DAY;
/// `spec.health` with defaults.
pub(super) struct Verdict {
    pub(super) min_healthy: Amount,
    pub(super) max_restarts: i32,
    pub(super) restart_window: Duration,
    pub(super) start_grace: Duration,
    pub(super) node_conditions: Vec<NodeCondition>,
}

/// Judges `spec.health`.
pub(super) fn health(health: &Health, found: &mut Found) -> Verdict {
    let min_healthy = amount(
        health.min_healthy.as_ref(),
        0,
        &MIN_HEALTHY,
        "spec.health.minHealthy",
        found,
    );
    Verdict {
        min_healthy: min_healthy.unwrap_or(Amount::Percent(100)),
        max_restarts: number(
            health.max_restarts.unwrap_or(2),
            0..=1000,
            "spec.health.maxRestarts",
            found,
        ),
        restart_window: seconds(
            health.restart_window_seconds,
            600,
            1..=DAY,
            "spec.health.restartWindowSeconds",
            found,
        ),
        start_grace: seconds(
            health.start_grace_seconds,
            1200,
            1..=DAY,
            "spec.health.startGraceSeconds",
            found,
        ),
        node_conditions: node_conditions(&health.node_conditions, found),
    }
}

/// Without Ready, which is looked at in any case, and with more patience.
fn node_conditions(
    conditions: &[NodeConditionRequirement],
    found: &mut Found,
) -> Vec<NodeCondition> {
    let mut kinds = BTreeSet::new();
    for (index, it) in conditions.iter().enumerate() {
        let at = format!("spec.health.nodeConditions[{index}]");
        if !name::is_qualified(&it.r#type) {
            found.report(&CONDITION_TYPE, format!("{at}.type"), Some(&it.r#type));
        } else if !kinds.insert(&it.r#type) {
            found.report(&CONDITION_TWICE, format!("{at}.type"), Some(&it.r#type));
        } else if it.r#type == "Ready" && it.status != ConditionStatus::True {
            let status = format!("{:?}", it.status);
            found.report(&CONDITION_READY, format!("{at}.status"), Some(&status));
        }
    }
    let others = conditions.iter().filter(|it| it.r#type != "Ready");
    others
        .map(|it| NodeCondition {
            kind: it.r#type.clone(),
            status: it.status,
        })
        .collect()
}

/// A number of seconds within its bounds.
pub(super) fn seconds<T: Into<i64>>(
    value: Option<T>,
    default: i64,
    bounds: RangeInclusive<i64>,
    field: &str,
    found: &mut Found,
) -> Duration {
    let value = number(value.map_or(default, Into::into), bounds, field, found);
    Duration::from_secs(value.unsigned_abs())
}

/// The value, or where it is out of range the bound it crossed, so that the other rules have something to go on.
pub(super) fn number<T>(value: T, bounds: RangeInclusive<T>, field: &str, found: &mut Found) -> T
where
    T: Ord + Display + Copy,
{
    if !bounds.contains(&value) {
        let detail = format!("{} to {}", bounds.start(), bounds.end());
        found.report_with(&RANGE, field.to_owned(), Some(&value), &detail);
    }
    value.clamp(*bounds.start(), *bounds.end())
}
