//! The sentences of a status: how far, what it waits for, and which node is to blame.

use hosttask_crds::Reason;
use hosttask_crds::task::{Mode, NodeFailure};

use super::{Facts, Phase};
use crate::plan::tally::{blame, cut, write_to};
use crate::validate::Problem;

/// The longest summary of what is wrong with a spec, in characters.
const SUMMARY: usize = 512;

/// How far a task is, and which nodes it waits for or failed on. `failures` are those of the new status.
pub(super) fn counts(facts: &Facts<'_>, failures: &[NodeFailure]) -> String {
    let tally = facts.tally;
    let only_checks = facts.desired.job.check.is_some() && facts.desired.job.check_only;
    let (verb, good) = match facts.desired.mode {
        Mode::Daemon => ("updated", "healthy"),
        Mode::RunOnce | Mode::Scheduled if only_checks => ("checked", "compliant"),
        Mode::RunOnce | Mode::Scheduled => ("finished", "succeeded"),
    };
    let mut text = wave(facts);
    write_to(
        &mut text,
        format_args!(
            "{}/{} nodes {verb}, {} {good}",
            tally.updated, tally.desired, tally.healthy
        ),
    );
    for (count, what) in [
        (tally.non_compliant.unwrap_or(0), "not compliant"),
        (tally.failed, "failed"),
        (tally.unreachable, "unreachable"),
        (tally.cordoned, "cordoned"),
    ] {
        if count > 0 {
            write_to(&mut text, format_args!(", {count} {what}"));
        }
    }
    let failed = blame(failures, &[], failures.len());
    let (failed, waited) = match facts.phase {
        Phase::Complete(_) | Phase::Checked | Phase::PartitionReached { .. } => (None, None),
        Phase::Failed { .. } | Phase::RolledBack => (failed, None),
        Phase::RollingBack => (failed, tally.under_way()),
        Phase::Degraded => {
            if let Some(nodes) = tally.waited() {
                write_to(&mut text, format_args!(": {nodes}"));
            }
            (None, None)
        }
        Phase::Suspended
        | Phase::Paused
        | Phase::Stalled { .. }
        | Phase::Rolling
        | Phase::HandingOver(_)
        | Phase::Held { .. } => (None, tally.waited()),
    };
    if let Some(nodes) = failed {
        write_to(&mut text, format_args!("; failed on {nodes}"));
    }
    if let Some(nodes) = waited {
        write_to(&mut text, format_args!("; waiting for {nodes}"));
    }
    text
}

/// Which wave it is, where there are several and one is under way.
fn wave(facts: &Facts<'_>) -> String {
    let waves = &facts.desired.waves;
    let over = facts.tally.finished || matches!(facts.phase, Phase::Complete(_));
    match waves.get(facts.position) {
        Some(wave) if waves.len() > 1 && !over => format!(
            "wave {} ({} of {}): ",
            wave.name,
            facts.position + 1,
            waves.len()
        ),
        _ => String::new(),
    }
}

/// Every problem with its field, value and fix.
pub(super) fn problems(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(problem).collect();
    texts.join("; ")
}

/// The first problem of the weightiest kind, and how many there are.
pub(super) fn summary(problems: &[Problem], reason: Reason) -> String {
    let first = problems.iter().find(|problem| problem.reason == reason);
    let text = cut(&first.map(problem).unwrap_or_default(), SUMMARY);
    match problems.len() {
        0 | 1 => text,
        count => {
            format!("{count} problems (all of them in the condition Validated), first: {text}")
        }
    }
}

fn problem(problem: &Problem) -> String {
    match &problem.value {
        Some(value) => format!("{}: {value:?}: {}", problem.field, problem.message),
        None => format!("{}: {}", problem.field, problem.message),
    }
}
