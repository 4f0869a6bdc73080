//! `cargo verify`: runs every part, one line each, and counts.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::cargo;
use crate::part::{Count, NotSetUp, Part, Session};
use crate::parts;

const HELP: &str = "\
Runs everything CI runs: installs what is missing, then one summary line per part.

usage: cargo verify [--only PART]... [--list] [--keep-going]

  --only PART    run this part; may be repeated
  --list         name the parts and what they prove
  --keep-going   run all parts even when one fails (always the case)

Exit code 0 only if nothing failed. Whole logs: the folder `verify` in the cache
(HOSTTASK_CACHE, else XDG_CACHE_HOME/hosttask, else ~/.cache/hosttask).";

enum Order {
    Help,
    List,
    Run(Vec<&'static Part>),
}

/// Runs the command.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    match read(arguments) {
        Ok(Order::Help) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Order::List) => {
            for part in &parts::ALL {
                println!("{:<16} {}", part.name, part.about);
            }
            ExitCode::SUCCESS
        }
        Ok(Order::Run(chosen)) => run_all(&chosen),
        Err(problem) => {
            eprintln!("error: {problem}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<Order, String> {
    let mut chosen = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(Order::Help),
            "--list" => return Ok(Order::List),
            "--keep-going" => {}
            "--only" => {
                let name = arguments.next().ok_or("--only needs the name of a part")?;
                let part = parts::ALL.iter().find(|part| part.name == name);
                chosen.push(part.ok_or_else(|| format!("there is no part {name}; see --list"))?);
            }
            other => return Err(format!("unknown argument {other}")),
        }
    }
    if chosen.is_empty() {
        chosen.extend(&parts::ALL);
    }
    Ok(Order::Run(chosen))
}

fn run_all(chosen: &[&Part]) -> ExitCode {
    let logs = hosttask_setup::cache_dir().join("verify");
    if let Err(error) = fs::create_dir_all(&logs) {
        eprintln!("error: failed to create {}: {error}", logs.display());
        return ExitCode::FAILURE;
    }
    if let Err(error) = cargo::claim_target_dir() {
        eprintln!(
            "error: failed to prepare {}: {error}",
            cargo::target_dir().display()
        );
        return ExitCode::FAILURE;
    }
    let mut total = Count::default();
    for part in chosen {
        let count = run_one(part, &logs);
        total.passed += count.passed;
        total.failed += count.failed;
        total.skipped.extend(
            count
                .skipped
                .iter()
                .map(|why| format!("{}: {why}", part.name)),
        );
    }
    println!("{}", summary(&total));
    if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run_one(part: &Part, logs: &Path) -> Count {
    let on_terminal = std::io::stdout().is_terminal();
    if on_terminal {
        print!("{:<16} …", part.name);
        // A terminal that is gone is no reason to stop verifying.
        let _ = std::io::stdout().flush();
    }
    let begin = Instant::now();
    let mut session = match Session::open(logs.join(format!("{}.log", part.name))) {
        Ok(session) => session,
        Err(error) => {
            println!(
                "{:<16} FAILED  its log cannot be created: {error}",
                part.name
            );
            return Count {
                failed: 1,
                ..Count::default()
            };
        }
    };
    let outcome = (part.run)(&mut session);
    if outcome.is_err() {
        session.count.failed += 1;
    }
    let mark = if session.count.failed == 0 {
        "ok"
    } else {
        "FAILED"
    };
    let start = if on_terminal { "\r\u{1b}[K" } else { "" };
    println!(
        "{start}{:<16} {mark:<6} {:>7.1} s  {}",
        part.name,
        begin.elapsed().as_secs_f64(),
        numbers(&session.count)
    );
    if let Err(NotSetUp(help)) = outcome {
        println!("  not set up; this would help: {help}");
    }
    for failure in &session.failures {
        for line in failure.lines() {
            println!("  | {line}");
        }
    }
    if session.count.failed > 0 {
        println!("  whole log: {}", session.path.display());
    }
    session.count
}

fn numbers(count: &Count) -> String {
    let mut text = format!("{} passed", count.passed);
    let named: Vec<String> = count
        .named
        .iter()
        .map(|(name, passed)| format!("{name} {passed}"))
        .collect();
    if !named.is_empty() {
        text = format!("{text} ({})", named.join(", "));
    }
    if count.failed > 0 {
        text = format!("{text}, {} failed", count.failed);
    }
    if !count.skipped.is_empty() {
        text = format!("{text}, {} skipped", count.skipped.len());
    }
    text
}

/// The reasons of what was skipped, each once, and the last line of the command.
fn summary(total: &Count) -> String {
    let mut reasons: Vec<String> = total
        .skipped
        .iter()
        .map(|reason| format!("skipped: {reason}\n"))
        .collect();
    reasons.sort();
    reasons.dedup();
    let mut text = format!(
        "{}{} passed, {} failed",
        reasons.concat(),
        total.passed,
        total.failed
    );
    if !total.skipped.is_empty() {
        text = format!("{text}, {} skipped", total.skipped.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> Result<Vec<&'static str>, String> {
        match read(arguments.iter().map(ToString::to_string))? {
            Order::Run(parts) => Ok(parts.iter().map(|part| part.name).collect()),
            Order::Help | Order::List => Ok(Vec::new()),
        }
    }

    #[test]
    fn without_a_choice_every_part_runs_once() {
        let mut all = names(&[]).unwrap();
        assert_eq!(all.len(), parts::ALL.len());
        all.sort_unstable();
        all.dedup();
        assert_eq!(
            all.len(),
            parts::ALL.len(),
            "two parts share a name and a log"
        );
    }

    #[test]
    fn a_misspelled_part_or_flag_is_refused_and_not_ignored() {
        assert_eq!(
            names(&["--only", "deny", "--only", "format"]).unwrap(),
            ["deny", "format"]
        );
        assert!(names(&["--only", "dney"]).unwrap_err().contains("dney"));
        assert!(names(&["--only"]).is_err());
        assert!(names(&["--quick"]).is_err());
    }

    #[test]
    fn runs_of_the_same_tests_are_counted_one_by_one() {
        let count = Count {
            passed: 7,
            named: vec![("fake".to_owned(), 4), ("windows".to_owned(), 3)],
            ..Count::default()
        };
        assert_eq!(numbers(&count), "7 passed (fake 4, windows 3)");
    }

    #[test]
    fn the_last_line_has_the_counts_and_the_reasons_stand_above_it() {
        let mut total = Count {
            passed: 7,
            ..Count::default()
        };
        assert_eq!(summary(&total), "7 passed, 0 failed");
        total.skipped = vec!["a: b".to_owned(), "a: b".to_owned()];
        assert_eq!(
            summary(&total),
            "skipped: a: b\n7 passed, 0 failed, 2 skipped"
        );
    }
}
