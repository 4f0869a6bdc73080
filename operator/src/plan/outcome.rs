//! What the end of a Job means: the entry of the ledger, the failure in the status, and the event.

use std::time::Duration;

use hosttask_crds::Reason;
use hosttask_crds::node::{LedgerEntry, LedgerState};
use hosttask_crds::task::NodeFailure;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Note;
use super::failure::MESSAGE;
use super::tally::{cut, later, tail, write_to};
use crate::desired::{Desired, JobPolicy};
use crate::observed::{Exit, JobEnd, JobView, NodeView};

/// The longest message of a ledger entry, in characters.
const LOG_TAIL: usize = 1024;
/// Why a Job failed that our failure policy ended.
const POD_FAILURE_POLICY: &str = "PodFailurePolicy";

/// What the check of a node found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// There is nothing to do.
    Compliant,
    /// There is something to do.
    NonCompliant,
    /// It did not get so far as to say.
    Unknown,
}

/// Reasons of the kubelet for a program that was never run, whatever exit code it shows.
const NEVER_RAN: [&str; 2] = ["StartError", "ContainerCannotRun"];
/// The reason of a success that took no run of the program.
pub(super) const COMPLIANT: &str = "Compliant";

/// What the end of a Job means, for the ledger. None: its check found something to do, so that the program is to follow.
///
/// `before` is the ledger's entry of the task; a run begins anew after a success.
pub(super) fn result(
    desired: &Desired,
    node: &NodeView,
    job: &JobView,
    end: &JobEnd,
    before: Option<&LedgerEntry>,
) -> Option<LedgerEntry> {
    let (state, reason) = if job.check {
        match finding(end) {
            Finding::Compliant => (LedgerState::Succeeded, COMPLIANT),
            Finding::NonCompliant if desired.job.check_only => {
                (LedgerState::NonCompliant, "NonCompliant")
            }
            Finding::NonCompliant => return None,
            Finding::Unknown => (LedgerState::Failed, reason_of(end, "CheckFailed")),
        }
    } else {
        judge(&desired.job, end)
    };
    let earlier_attempts = earlier(job, before);
    let tries = job.attempt.saturating_sub(earlier_attempts.unwrap_or(0));
    let again = state == LedgerState::Failed && tries <= desired.job.retry_limit;
    let retry = later(end.time, delay(&desired.job, tries));
    Some(LedgerEntry {
        task: desired.key.to_string(),
        task_uid: desired.uid.clone(),
        revision: job.revision.clone(),
        state,
        attempts: job.attempt,
        earlier_attempts,
        scheduled_time: job.tick.map(Time),
        exit_code: code(end),
        reason: Some(reason.to_owned()),
        message: message(end),
        start_time: Some(Time(job.created)),
        completion_time: Some(Time(end.time)),
        next_retry_time: again.then_some(Time(retry)),
        boot_id: Some(node.boot_id.clone()).filter(|it| !it.is_empty()),
        survives_reimage: (!desired.job.rerun_on.node_reimage).then_some(true),
    })
}

/// What the end of the program means.
fn judge<'a>(policy: &JobPolicy, end: &'a JobEnd) -> (LedgerState, &'a str) {
    // A Job is complete when its program left with 0, which need not be one of the codes that mean success.
    let judged = code(end).or_else(|| end.complete.then_some(0));
    let listed = |codes: &[i32]| judged.is_some_and(|code| codes.contains(&code));
    // Our policy fails a Job early for a known code only. Where nobody can tell which, it must not run again; a reboot too
    // many is better than one that is missing.
    let known = judged.is_none() && end.reason == POD_FAILURE_POLICY;
    if listed(&policy.reboot_required) || (known && !policy.reboot_required.is_empty()) {
        (LedgerState::RebootPending, "RebootRequired")
    } else if known || listed(&policy.success) {
        (LedgerState::Succeeded, "Succeeded")
    } else if judged.is_some() {
        (LedgerState::Failed, "ExitCode")
    } else {
        (LedgerState::Failed, reason_of(end, "JobFailed"))
    }
}

/// What the end of the check means. Our policy ends its Job for nothing but an exit code of its own.
fn finding(end: &JobEnd) -> Finding {
    let reason = end.exit.as_ref().map(|exit| exit.reason.as_str());
    if end.complete {
        Finding::Compliant
    } else if end.reason == POD_FAILURE_POLICY && !reason.is_some_and(|it| NEVER_RAN.contains(&it))
    {
        Finding::NonCompliant
    } else {
        Finding::Unknown
    }
}

/// Whether the end of a check calls for the program.
pub(super) fn calls_for_program(end: &JobEnd) -> bool {
    finding(end) == Finding::NonCompliant
}

/// How many attempts at the Job's revision and time of the schedule belong to earlier runs.
fn earlier(job: &JobView, before: Option<&LedgerEntry>) -> Option<i32> {
    let before = before.filter(|entry| {
        entry.revision == job.revision && entry.scheduled_time.as_ref().map(|it| it.0) == job.tick
    })?;
    match before.state {
        LedgerState::Failed => before.earlier_attempts,
        LedgerState::Succeeded | LedgerState::RebootPending | LedgerState::NonCompliant => {
            Some(before.attempts)
        }
    }
}

/// How many attempts an entry's run took.
pub(super) fn tries(entry: &LedgerEntry) -> i32 {
    entry
        .attempts
        .saturating_sub(entry.earlier_attempts.unwrap_or(0))
}

/// A program that Kubernetes stopped for its deadline did not end by itself, whatever code it left with.
fn exit(end: &JobEnd) -> Option<&Exit> {
    end.exit
        .as_ref()
        .filter(|_| end.complete || end.reason != "DeadlineExceeded")
}

fn code(end: &JobEnd) -> Option<i32> {
    exit(end).map(|exit| exit.code).or_else(|| policy_code(end))
}

fn message(end: &JobEnd) -> Option<String> {
    let said = exit(end).map(|exit| tail(&exit.message, LOG_TAIL));
    said.filter(|text| !text.is_empty())
        .or_else(|| Some(cut(&end.message, LOG_TAIL)))
        .filter(|text| !text.is_empty())
}

fn reason_of<'a>(end: &'a JobEnd, unknown: &'a str) -> &'a str {
    if end.reason.is_empty() {
        unknown
    } else {
        &end.reason
    }
}

/// The exit code in the condition of a Job that our failure policy ended: "Container main for pod ns/agent-x failed with exit
/// code 3010 matching `FailJob` rule at index 0". It stays when the pod is gone.
fn policy_code(end: &JobEnd) -> Option<i32> {
    let told = end
        .message
        .split_once("exit code ")
        .filter(|_| end.reason == POD_FAILURE_POLICY)?;
    told.1.split(' ').next()?.parse().ok()
}

/// How long after the failure of attempt `attempts` of a run the next one starts: doubled each time, up to the maximum.
fn delay(policy: &JobPolicy, attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1))
        .unwrap_or(0)
        .min(31);
    policy
        .retry_initial
        .saturating_mul(1 << doublings)
        .min(policy.retry_max)
}

/// When an entry's attempt ended.
pub(super) fn ended(entry: &LedgerEntry) -> Timestamp {
    entry
        .completion_time
        .as_ref()
        .map(|time| time.0)
        .unwrap_or_default()
}

/// The failure of an entry, for the status.
pub(super) fn failure(
    node: &NodeView,
    entry: &LedgerEntry,
    retry: Option<Timestamp>,
) -> NodeFailure {
    NodeFailure {
        node: node.name.clone(),
        revision: entry.revision.clone(),
        reason: entry
            .reason
            .clone()
            .unwrap_or_else(|| "JobFailed".to_owned()),
        exit_code: entry.exit_code,
        message: entry.message.as_ref().map(|message| tail(message, MESSAGE)),
        attempts: Some(entry.attempts),
        next_retry_time: retry.map(Time),
    }
}

/// The event of a new entry; a success is told by the counters.
pub(super) fn announce(node: &NodeView, entry: &LedgerEntry) -> Option<Note> {
    let (reason, text) = match entry.state {
        LedgerState::Succeeded | LedgerState::NonCompliant => return None,
        LedgerState::RebootPending => (Reason::RebootRequired, "asks for a reboot"),
        LedgerState::Failed => (Reason::NodeFailed, "failed"),
    };
    let mut words = format!(
        "{} on {}: attempt {} {text}",
        entry.revision, node.name, entry.attempts
    );
    if let Some(code) = entry.exit_code {
        write_to(&mut words, format_args!(" with exit code {code}"));
    } else if let Some(reason) = &entry.reason {
        write_to(&mut words, format_args!(" ({reason})"));
    }
    if let Some(message) = &entry.message {
        let left = super::event::NOTE.saturating_sub(words.chars().count() + 2);
        let message = tail(message, left);
        write_to(&mut words, format_args!(": {message}"));
    }
    let warning = entry.state == LedgerState::Failed;
    Some(Note {
        warning,
        reason,
        note: cut(&words, super::event::NOTE),
        node: Some(node.name.clone()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::event::NOTE;

    #[test]
    fn the_event_of_a_failure_ends_with_the_cause_however_long_the_log_is() {
        let mut entry = json!({
            "task": "ops/agent", "taskUid": "u", "revision": "agent-1", "state": "Failed", "attempts": 2,
            "bootId": "b", "systemUuid": "s", "finishedAt": "2026-05-01T12:00:00Z", "exitCode": 1603,
        });
        for length in [10, LOG_TAIL - 10, 4 * NOTE] {
            let log = format!("{}: disk full", "x".repeat(length));
            entry["message"] = json!(tail(&log, LOG_TAIL));
            let entry = serde_json::from_value(entry.clone()).unwrap();
            let note = announce(&NodeView::default(), &entry).unwrap().note;
            assert!(note.contains("attempt 2 failed with exit code 1603"));
            assert!(note.ends_with("disk full"), "{note}");
            assert!(note.chars().count() <= NOTE);
        }
    }
}
