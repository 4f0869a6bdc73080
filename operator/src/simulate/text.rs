//! A report for people.

use std::fmt::Write as _;

use serde_json::Value;

use super::report::{Entry, Outcome, Report, Rollout};
use super::words::spoken;

/// How many lines of a timeline are printed; `-o json` has all.
const LINES: usize = 60;
/// The longest value that a problem repeats, in characters.
const SHOWN: usize = 64;

/// The report as text.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let of = if report.fleet_nodes == report.nodes {
        String::new()
    } else {
        format!(" (of {} in the fleet)", report.fleet_nodes)
    };
    line(
        &mut out,
        format_args!(
            "{} ({:?}) on {} virtual Windows nodes{of}, seed {}",
            report.task, report.mode, report.nodes, report.seed
        ),
    );
    if report.nodes == 0 {
        line(
            &mut out,
            format_args!(
                "No node of the fleet matches the placement: label nodes with --label or in the fleet file."
            ),
        );
    }
    line(
        &mut out,
        format_args!("Taken for granted: {}.", report.assumptions.join("; ")),
    );
    for rollout in &report.rollouts {
        line(&mut out, format_args!(""));
        one(&mut out, rollout);
    }
    out
}

fn line(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing into memory cannot fail.
    let _ = out.write_fmt(what);
    out.push('\n');
}

fn one(out: &mut String, rollout: &Rollout) {
    let title = if rollout.name == "first" {
        "First rollout"
    } else {
        "Update"
    };
    let time = spoken(rollout.ready_after_seconds.unwrap_or(rollout.seconds));
    line(
        out,
        format_args!(
            "{title}, revision {}: {} after {time} ({})",
            rollout.revision,
            outcome(rollout.outcome),
            rollout.reason
        ),
    );
    line(out, format_args!("  {}", rollout.message));
    waves(out, rollout);
    if rollout.outcome == Outcome::RolledBack {
        line(
            out,
            format_args!(
                "  a rollback may disturb a quarter of each wave, where that is more than its budget"
            ),
        );
    }
    if let Some(most) = rollout.most_disturbed {
        line(
            out,
            format_args!("  highest number of disturbed nodes: {most}"),
        );
    }
    let counts = &rollout.counts;
    line(
        out,
        format_args!(
            "  at the end: {} nodes, {} updated, {} healthy, {} failed, {} unreachable, {} pending",
            counts.desired,
            counts.updated,
            counts.healthy,
            counts.failed,
            counts.unreachable,
            counts.pending
        ),
    );
    for failure in &rollout.failures {
        let code = failure
            .exit_code
            .map_or_else(String::new, |code| format!(", exit code {code}"));
        line(
            out,
            format_args!("  failed: {} ({}{code})", failure.node, failure.reason),
        );
    }
    for entry in rollout.timeline.iter().take(LINES) {
        line(
            out,
            format_args!("  {:>12}  {}", spoken(entry.at), told(entry)),
        );
    }
    if rollout.timeline.len() > LINES {
        let more = rollout.timeline.len() - LINES;
        line(out, format_args!("  … {more} more lines with -o json"));
    }
}

/// One line per wave.
fn waves(out: &mut String, rollout: &Rollout) {
    let mut rows = vec![
        [
            "WAVE",
            "NODES",
            "BUDGET",
            "MOST DISTURBED",
            "STARTED",
            "BEGAN",
            "TOOK",
        ]
        .map(str::to_owned),
    ];
    for wave in &rollout.waves {
        let most = rollout
            .most_disturbed
            .map(|_| wave.most_disturbed.to_string());
        let took = wave
            .began
            .zip(wave.ended)
            .map(|(began, ended)| spoken(ended - began));
        rows.push([
            wave.name.clone(),
            wave.nodes.to_string(),
            wave.budget.to_string(),
            most.unwrap_or_else(|| "-".to_owned()),
            wave.started.to_string(),
            wave.began.map_or_else(|| "never".to_owned(), spoken),
            took.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    for row in aligned(&rows) {
        line(out, format_args!("  {row}"));
    }
}

/// The rows with their columns one below the other.
fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let line = |row: &[String; N]| {
        let cells = row.iter().enumerate();
        let padded = cells.map(|(column, cell)| {
            let width = width(column);
            format!("{cell:<width$}")
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn told(entry: &Entry) -> String {
    match (entry.nodes, entry.until) {
        (Some(nodes), None) => format!("{}: {nodes} of {}", entry.reason, entry.text),
        (Some(nodes), Some(until)) => {
            format!(
                "{}: {nodes} of {}, until {}",
                entry.reason,
                entry.text,
                spoken(until)
            )
        }
        (None, _) => format!("{}: {}", entry.reason, entry.text),
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Complete => "complete",
        Outcome::RolledBack => "rolled back",
        Outcome::Stopped => "stopped",
        Outcome::Waiting => "waits for somebody",
        Outcome::TimeUp => "not over",
    }
}

/// A value on one short line.
pub(super) fn shown(value: &Value) -> String {
    crate::plan::tally::cut(&value.to_string(), SHOWN)
}
