//! `spec.job` and `spec.schedule`: what a run is, how it is judged, and when it comes again.

use std::collections::BTreeSet;

use hosttask_crds::task::{self, ExitCodes, Job, Mode};

use super::found::{Found, rules};
use super::limits::{DAY, WEEK, number, seconds};
use super::window::{self, UTC};
use crate::desired::{JobPolicy, RerunOn, Schedule};

rules! {
    MODE: Hosttask, "spec.job", "is only for mode RunOnce and Scheduled; remove it, or make a new task with one of these modes";
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
    CHECK_COMMAND: ApiServer, "spec.job.check.command", "must name a program; remove check where there is nothing to look at first";
    CHECK_ONLY: Hosttask, "spec.job.checkOnly", "needs job.check, which says what to look at; add it, or remove checkOnly";
    RERUN_TWICE: ApiServer, "spec.job.rerunOn[*]", "is listed twice; remove one";
    RERUN_MODE: Hosttask, "spec.job.{rerunOn,rerunNonce}",
        "is only for mode RunOnce: with mode Scheduled the schedule says when; remove it";
    NONCE: Hosttask, "spec.job.rerunNonce", "has no effect without SpecChange in rerunOn; add that, or remove rerunNonce";
    SCHEDULE: Hosttask, "spec.schedule", "is required with mode Scheduled; add it, such as {cron: 0 3 * * *}";
    SCHEDULE_MODE: Hosttask, "spec.schedule",
        "is only for mode Scheduled; remove it, or make a new task with mode Scheduled";
}

/// How many exit codes Kubernetes takes in one rule of a pod failure policy.
const MOST_CODES: usize = 255;

/// Judges `spec.job`; the mode is none where it cannot be read.
pub(super) fn job(job: Option<&Job>, mode: Option<Mode>, found: &mut Found) -> JobPolicy {
    let empty = Job::default();
    if job.is_some() && mode == Some(Mode::Daemon) {
        found.report(&MODE, "spec.job".to_owned(), None);
    }
    let job = job.unwrap_or(&empty);
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
        check: check(job, found),
        check_only: job.check_only.unwrap_or(false),
        rerun_on: rerun_on(job, mode, found),
    }
}

fn check(job: &Job, found: &mut Found) -> Option<Vec<String>> {
    let Some(check) = &job.check else {
        if job.check_only == Some(true) {
            found.report(&CHECK_ONLY, "spec.job.checkOnly".to_owned(), Some(&true));
        }
        return None;
    };
    if check.command.first().is_none_or(String::is_empty) {
        found.report(&CHECK_COMMAND, "spec.job.check.command".to_owned(), None);
    }
    Some(check.command.clone())
}

fn rerun_on(job: &Job, mode: Option<Mode>, found: &mut Found) -> RerunOn {
    let nonce = job.rerun_nonce.as_deref();
    if mode == Some(Mode::Scheduled) {
        if job.rerun_on.is_some() {
            found.report(&RERUN_MODE, "spec.job.rerunOn".to_owned(), None);
        }
        if let Some(nonce) = &nonce {
            found.report(&RERUN_MODE, "spec.job.rerunNonce".to_owned(), Some(nonce));
        }
    }
    let Some(causes) = &job.rerun_on else {
        return RerunOn::default();
    };
    let mut seen = BTreeSet::new();
    for (index, cause) in causes.iter().enumerate() {
        if !seen.insert(*cause) {
            let field = format!("spec.job.rerunOn[{index}]");
            found.report(&RERUN_TWICE, field, Some(&format!("{cause:?}")));
        }
    }
    let on = RerunOn {
        spec_change: seen.contains(&task::RerunOn::SpecChange),
        node_reimage: seen.contains(&task::RerunOn::NodeReimage),
        node_reboot: seen.contains(&task::RerunOn::NodeReboot),
    };
    if let Some(nonce) = nonce.filter(|it| !it.is_empty() && !on.spec_change) {
        found.report(&NONCE, "spec.job.rerunNonce".to_owned(), Some(&nonce));
    }
    on
}

/// Judges `spec.schedule`, which goes with mode Scheduled.
pub(super) fn schedule(
    schedule: Option<&task::Schedule>,
    mode: Option<Mode>,
    found: &mut Found,
) -> Option<Schedule> {
    let Some(schedule) = schedule else {
        if mode == Some(Mode::Scheduled) {
            found.report(&SCHEDULE, "spec.schedule".to_owned(), None);
        }
        return None;
    };
    if mode.is_some_and(|it| it != Mode::Scheduled) {
        found.report(&SCHEDULE_MODE, "spec.schedule".to_owned(), None);
    }
    let time_zone = schedule.time_zone.as_deref().unwrap_or(UTC);
    window::cron(
        &schedule.cron,
        time_zone,
        ("spec.schedule.cron", "spec.schedule.timeZone"),
        found,
    );
    let field = "spec.schedule.startingDeadlineSeconds";
    let starting_deadline = schedule
        .starting_deadline_seconds
        .map(|it| seconds(Some(it), 0, 1..=WEEK, field, found));
    let field = "spec.schedule.jitterSeconds";
    Some(Schedule {
        cron: schedule.cron.clone(),
        time_zone: time_zone.to_owned(),
        starting_deadline,
        concurrency: schedule.concurrency_policy.unwrap_or_default(),
        jitter: seconds(schedule.jitter_seconds, 0, 0..=DAY, field, found),
    })
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
