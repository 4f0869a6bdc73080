//! `spec.health` and `spec.job`: numbers, conditions and exit codes, with their defaults; and the bounds of all numbers.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use hosttask_crds::task::{ConditionStatus, ExitCodes, Health, Job, NodeConditionRequirement};

use super::amount::amount;
use super::found::{Found, rules};
use super::name;
use crate::desired::{Amount, JobPolicy, NodeCondition};

rules! {
    RANGE: ApiServer, "every number of spec.rollout, spec.health, spec.job and spec.schedule", "is out of range; the bounds are";
    MIN_HEALTHY: ApiServer, "spec.health.minHealthy",
        "must be a number of nodes from 0, or a percentage from 0% to 100%";
    CONDITION_TYPE: ApiServer, "spec.health.nodeConditions[*].type",
        "is no condition type; give one as in the status of the node, such as DiskPressure";
    CONDITION_TWICE: ApiServer, "spec.health.nodeConditions[*].type", "is listed twice; remove one";
    CONDITION_READY: Hosttask, "spec.health.nodeConditions[*].status",
        "must be True for the condition Ready, as no pod starts on a node that is not ready; remove it, Ready is always looked at";
    CODE_NONE: ApiServer, "spec.job.exitCodes.success",
        "must list a code, or no run could ever succeed; remove it for the default, 0";
    CODE_TWICE: ApiServer, "spec.job.exitCodes.{success,rebootRequired}[*]", "is listed twice; remove one";
    CODE_IN_BOTH: ApiServer, "spec.job.exitCodes.rebootRequired[*]",
        "is also a success code; an exit code can have one meaning";
    CODE_ZERO: Hosttask, "spec.job.exitCodes.rebootRequired[*]",
        "ends a Job as complete in Kubernetes and cannot ask for a reboot; let the program exit with 3010";
    CODE_COUNT: ApiServer, "spec.job.exitCodes",
        "lists more codes than a pod failure policy can hold; list at most 255";
    RETRY_ORDER: Hosttask, "spec.job.retry.maxSeconds", "must not be less than initialSeconds; raise it";
}

pub(super) const DAY: i64 = 86_400;
pub(super) const WEEK: i64 = 7 * DAY;
/// 30 days.
pub(super) const MONTH: i64 = 30 * DAY;
/// How many exit codes Kubernetes takes in one rule of a pod failure policy.
const MOST_CODES: usize = 255;

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

/// Judges `spec.job`.
pub(super) fn job(job: &Job, found: &mut Found) -> JobPolicy {
    let year = 365 * DAY;
    let active_deadline = job.active_deadline_seconds.map(|it| {
        seconds(
            Some(it),
            0,
            1..=WEEK,
            "spec.job.activeDeadlineSeconds",
            found,
        )
    });
    let ttl_after_finished = seconds(
        job.ttl_seconds_after_finished,
        3600,
        // A Job that goes before its result is recorded would be run again.
        60..=year,
        "spec.job.ttlSecondsAfterFinished",
        found,
    );
    let (success, reboot_required) = exit_codes(&job.exit_codes.clone().unwrap_or_default(), found);
    let retry = job.retry.clone().unwrap_or_default();
    let retry_initial = seconds(
        retry.initial_seconds,
        300,
        1..=WEEK,
        "spec.job.retry.initialSeconds",
        found,
    );
    let retry_max = seconds(
        retry.max_seconds,
        DAY,
        1..=WEEK,
        "spec.job.retry.maxSeconds",
        found,
    );
    if retry_max < retry_initial {
        let field = if retry.max_seconds.is_some() {
            "maxSeconds"
        } else {
            "initialSeconds"
        };
        let value = if retry.max_seconds.is_some() {
            retry_max
        } else {
            retry_initial
        };
        found.report(
            &RETRY_ORDER,
            format!("spec.job.retry.{field}"),
            Some(&value.as_secs()),
        );
    }
    JobPolicy {
        active_deadline,
        ttl_after_finished,
        success,
        reboot_required,
        retry_limit: number(
            retry.limit.unwrap_or(3),
            0..=100,
            "spec.job.retry.limit",
            found,
        ),
        retry_initial,
        retry_max,
    }
}

fn exit_codes(codes: &ExitCodes, found: &mut Found) -> (Vec<i32>, Vec<i32>) {
    const AT: &str = "spec.job.exitCodes";
    if codes.success.as_ref().is_some_and(Vec::is_empty) {
        found.report(&CODE_NONE, format!("{AT}.success"), None);
    }
    let success = distinct(codes.success.as_deref().unwrap_or(&[0]), "success", found);
    // A code that the user calls a success is no longer a reboot by default.
    let defaults: Vec<i32> = [1641, 3010]
        .into_iter()
        .filter(|code| !success.contains(code))
        .collect();
    let written = codes.reboot_required.as_deref();
    let reboot = distinct(written.unwrap_or(&defaults), "rebootRequired", found);
    for (index, code) in written.unwrap_or_default().iter().enumerate() {
        let field = format!("{AT}.rebootRequired[{index}]");
        if *code == 0 {
            found.report(&CODE_ZERO, field, Some(code));
        } else if success.contains(code) {
            found.report(&CODE_IN_BOTH, field, Some(code));
        }
    }
    let count = success.len() + reboot.len();
    if count > MOST_CODES {
        found.report(&CODE_COUNT, AT.to_owned(), Some(&count));
    }
    (success.into_iter().collect(), reboot.into_iter().collect())
}

fn distinct(codes: &[i32], list: &str, found: &mut Found) -> BTreeSet<i32> {
    let mut seen = BTreeSet::new();
    for (index, code) in codes.iter().enumerate() {
        if !seen.insert(*code) {
            found.report(
                &CODE_TWICE,
                format!("spec.job.exitCodes.{list}[{index}]"),
                Some(code),
            );
        }
    }
    seen
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
