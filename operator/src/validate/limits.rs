//! `spec.rollout`, `spec.health` and `spec.job`: numbers, percentages and exit codes, with their defaults.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use hosttask_crds::task::{ExitCodes, Health, Job, Rollout};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::found::{Found, rules};
use crate::desired::{Amount, JobPolicy};

rules! {
    RANGE: ApiServer, "every number of spec.rollout, spec.health and spec.job", "is out of range; the bounds are";
    MAX_UNAVAILABLE: ApiServer, "spec.rollout.maxUnavailable",
        "must be a number of nodes from 1, or a percentage from 1% to 100%; to start no node use rollout.paused";
    MIN_HEALTHY: ApiServer, "spec.health.minHealthy",
        "must be a number of nodes from 0, or a percentage from 0% to 100%";
    DEADLINE_ORDER: Hosttask, "spec.rollout.progressDeadlineSeconds",
        "must be more than rollout.minReadySeconds, or the rollout counts as stuck before a pod can be ready; raise it";
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

const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;
/// How many exit codes Kubernetes takes in one rule of a pod failure policy.
const MOST_CODES: usize = 255;

/// `spec.rollout` with defaults.
pub(super) struct Pace {
    pub(super) paused: bool,
    pub(super) max_unavailable: Amount,
    pub(super) min_ready: Duration,
    pub(super) progress_deadline: Duration,
    pub(super) revision_history_limit: usize,
}

/// `spec.health` with defaults.
pub(super) struct Verdict {
    pub(super) min_healthy: Amount,
    pub(super) max_restarts: i32,
    pub(super) restart_window: Duration,
    pub(super) start_grace: Duration,
}

/// Judges `spec.rollout`.
pub(super) fn rollout(rollout: &Rollout, found: &mut Found) -> Pace {
    let min_ready = seconds(
        rollout.min_ready_seconds,
        10,
        0..=DAY,
        "spec.rollout.minReadySeconds",
        found,
    );
    let deadline_field = "spec.rollout.progressDeadlineSeconds";
    let progress_deadline = seconds(
        rollout.progress_deadline_seconds,
        1800,
        1..=WEEK,
        deadline_field,
        found,
    );
    if progress_deadline <= min_ready {
        found.report(
            &DEADLINE_ORDER,
            deadline_field.to_owned(),
            Some(&progress_deadline.as_secs()),
        );
    }
    let history = number(
        rollout.revision_history_limit.unwrap_or(10),
        0..=100,
        "spec.rollout.revisionHistoryLimit",
        found,
    );
    let max_unavailable = rollout
        .max_unavailable
        .as_ref()
        .map_or(Some(Amount::Count(1)), |it| amount(it, 1));
    if max_unavailable.is_none() {
        let value = rollout.max_unavailable.as_ref().map(shown);
        let value = value.as_ref().map(|it| it as &dyn Display);
        found.report(
            &MAX_UNAVAILABLE,
            "spec.rollout.maxUnavailable".to_owned(),
            value,
        );
    }
    Pace {
        paused: rollout.paused.unwrap_or(false),
        max_unavailable: max_unavailable.unwrap_or(Amount::Count(1)),
        min_ready,
        progress_deadline,
        revision_history_limit: usize::try_from(history).unwrap_or_default(),
    }
}

/// Judges `spec.health`.
pub(super) fn health(health: &Health, found: &mut Found) -> Verdict {
    let min_healthy = health
        .min_healthy
        .as_ref()
        .map_or(Some(Amount::Percent(100)), |it| amount(it, 0));
    if min_healthy.is_none() {
        let value = health.min_healthy.as_ref().map(shown);
        let value = value.as_ref().map(|it| it as &dyn Display);
        found.report(&MIN_HEALTHY, "spec.health.minHealthy".to_owned(), value);
    }
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
    }
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

/// A number of nodes from `least`, or a percentage from `least` to 100.
fn amount(value: &IntOrString, least: i32) -> Option<Amount> {
    match value {
        IntOrString::Int(count) => (*count >= least).then_some(Amount::Count(*count)),
        IntOrString::String(text) => {
            let digits = text.strip_suffix('%')?;
            let is_plain =
                (1..=3).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
            let percent: i32 = is_plain.then(|| digits.parse().ok())??;
            (least..=100)
                .contains(&percent)
                .then_some(Amount::Percent(percent))
        }
    }
}

fn shown(value: &IntOrString) -> String {
    match value {
        IntOrString::Int(count) => count.to_string(),
        IntOrString::String(text) => text.clone(),
    }
}

fn seconds<T: Into<i64>>(
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
fn number<T>(value: T, bounds: RangeInclusive<T>, field: &str, found: &mut Found) -> T
where
    T: Ord + Display + Copy,
{
    if !bounds.contains(&value) {
        let detail = format!("{} to {}", bounds.start(), bounds.end());
        found.report_with(&RANGE, field.to_owned(), Some(&value), &detail);
    }
    value.clamp(*bounds.start(), *bounds.end())
}
