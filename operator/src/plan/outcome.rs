//! What the end of a Job means: the entry of the ledger, the failure in the status, and the event.

use std::time::Duration;

use hosttask_crds::Reason;
use hosttask_crds::node::{LedgerEntry, LedgerState};
use hosttask_crds::task::NodeFailure;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Note;
use super::failure::MESSAGE;
use super::tally::{cut, later, write_to};
use crate::desired::{Desired, JobPolicy};
use crate::observed::{JobEnd, JobView, NodeView};

/// The longest message of a ledger entry, in characters.
const LOG_TAIL: usize = 1024;
/// Why a Job failed that our failure policy ended.
const POD_FAILURE_POLICY: &str = "PodFailurePolicy";

/// What the end of a Job means, for the ledger.
pub(super) fn result(
    desired: &Desired,
    node: &NodeView,
    job: &JobView,
    end: &JobEnd,
) -> LedgerEntry {
    let policy = &desired.job;
    // A program that Kubernetes stopped for its deadline did not end by itself, whatever code it left with.
    let exit = end
        .exit
        .as_ref()
        .filter(|_| end.complete || end.reason != "DeadlineExceeded");
    let code = exit.map(|exit| exit.code).or_else(|| policy_code(end));
    // A Job is complete when its program left with 0, which need not be one of the codes that mean success.
    let judged = code.or_else(|| end.complete.then_some(0));
    let listed = |codes: &[i32]| judged.is_some_and(|code| codes.contains(&code));
    // Our policy fails a Job early for a known code only. Where nobody can tell which, it must not run again; a reboot too
    // many is better than one that is missing.
    let known = judged.is_none() && end.reason == POD_FAILURE_POLICY;
    let (state, reason) =
        if listed(&policy.reboot_required) || (known && !policy.reboot_required.is_empty()) {
            (LedgerState::RebootPending, "RebootRequired")
        } else if known || listed(&policy.success) {
            (LedgerState::Succeeded, "Succeeded")
        } else if judged.is_some() {
            (LedgerState::Failed, "ExitCode")
        } else {
            (
                LedgerState::Failed,
                if end.reason.is_empty() {
                    "JobFailed"
                } else {
                    end.reason.as_str()
                },
            )
        };
    let message = exit
        .map(|exit| exit.message.as_str())
        .filter(|text| !text.is_empty());
    let message = message
        .or(Some(end.message.as_str()))
        .filter(|text| !text.is_empty());
    let again = state == LedgerState::Failed && job.attempt <= policy.retry_limit;
    LedgerEntry {
        task: desired.key.to_string(),
        task_uid: desired.uid.clone(),
        revision: job.revision.clone(),
        state,
        attempts: job.attempt,
        exit_code: code,
        reason: Some(reason.to_owned()),
        message: message.map(|text| cut(text, LOG_TAIL)),
        start_time: Some(Time(job.created)),
        completion_time: Some(Time(end.time)),
        next_retry_time: again.then(|| Time(later(end.time, delay(policy, job.attempt)))),
        boot_id: (state == LedgerState::RebootPending).then(|| node.boot_id.clone()),
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

/// How long after failed attempt `attempts` the next one starts: doubled each time, up to the maximum.
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
        message: entry.message.as_ref().map(|message| cut(message, MESSAGE)),
        attempts: Some(entry.attempts),
        next_retry_time: retry.map(Time),
    }
}

/// The event of a new entry; a success is told by the counters.
pub(super) fn announce(node: &NodeView, entry: &LedgerEntry) -> Option<Note> {
    let (reason, text) = match entry.state {
        LedgerState::Succeeded => return None,
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
