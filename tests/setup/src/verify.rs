//! `cargo verify`: runs every part, one line each, and counts.

use std::collections::VecDeque;
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use crate::cargo;
use crate::count::Count;
use crate::part::{Load, NotSetUp, Part, Session};
use crate::parts;

const HELP: &str = "\
Runs everything CI runs: installs what is missing, then one summary line per part. Parts that compute run
beside parts that wait, at a lower priority; at the end two of them run side by side.

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
                let part = part.ok_or_else(|| format!("there is no part {name}; see --list"))?;
                // Two of one name would run beside each other, with one log.
                if chosen.iter().all(|it: &&Part| it.name != part.name) {
                    chosen.push(part);
                }
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
    let screen = Screen::new();
    let rest = Rest::new(chosen, Load::Computes);
    let computing = || {
        give_way();
        run_row(|| rest.next(), &logs, &screen)
    };
    let waiting = || {
        let own = Rest::new(chosen, Load::Waits);
        let mut count = run_row(|| own.next(), &logs, &screen);
        // Nobody's deadlines are here any more, but those of the other row are.
        give_way();
        // From the end: the other row is at its beginning, and builds what the next ones need.
        count.add(run_row(|| rest.last(), &logs, &screen));
        count
    };
    let rows = thread::scope(|scope| {
        let rows = [scope.spawn(computing), scope.spawn(waiting)];
        rows.map(ScopedJoinHandle::join)
    });
    let mut total = Count::default();
    for row in rows {
        match row {
            Ok(count) => total.add(count),
            // Its message is on the terminal already.
            Err(_panic) => {
                total.failed += 1;
                total.failed_tests.push("verify itself".to_owned());
            }
        }
    }
    screen.draw(&format!("{}\n", summary(&total)), &[]);
    if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The parts of a load that no row has taken yet.
struct Rest<'a>(Mutex<VecDeque<&'a Part>>);

impl<'a> Rest<'a> {
    fn new(chosen: &[&'a Part], load: Load) -> Self {
        let parts = chosen.iter().filter(|part| part.load == load);
        Self(Mutex::new(parts.copied().collect()))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<&'a Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<&'a Part> {
        self.lock().pop_front()
    }

    fn last(&self) -> Option<&'a Part> {
        self.lock().pop_back()
    }
}

/// Runs parts one after the other.
fn run_row<'a>(next: impl Fn() -> Option<&'a Part>, logs: &Path, screen: &Screen) -> Count {
    let mut total = Count::default();
    while let Some(part) = next() {
        let mut count = run_one(part, logs, screen);
        count.failed_tests = failed_tests(part.name, &count);
        for why in &mut count.skipped {
            *why = format!("{}: {why}", part.name);
        }
        count.named.clear();
        total.add(count);
    }
    total
}

/// Lowers the priority of this thread and of what it starts: the programs that others wait for come first.
fn give_way() {
    // Linux has a priority for each thread, and `renice` takes the number of one.
    let own = fs::read_link("/proc/thread-self");
    if let Some(id) = own.ok().as_deref().and_then(Path::file_name) {
        let mut renice = Command::new("renice");
        renice.args(["-n", "10", "-p"]).arg(id);
        renice.stdout(Stdio::null()).stderr(Stdio::null());
        // Without it all of them are slower, and nothing else.
        let _ = renice.status();
    }
}

/// What is printed while parts run side by side.
struct Screen {
    on_terminal: bool,
    /// The parts that run; on a terminal the last line names them.
    running: Mutex<Vec<&'static str>>,
}

impl Screen {
    fn new() -> Self {
        Self {
            on_terminal: std::io::stdout().is_terminal(),
            running: Mutex::default(),
        }
    }

    fn begin(&self, name: &'static str) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.push(name);
        self.draw("", &running);
    }

    fn end(&self, name: &str, lines: &str) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|other| *other != name);
        self.draw(lines, &running);
    }

    fn draw(&self, lines: &str, running: &[&str]) {
        let text = if !self.on_terminal {
            lines.to_owned()
        } else if running.is_empty() {
            format!("\r\u{1b}[K{lines}")
        } else {
            format!("\r\u{1b}[K{lines}{} …", running.join(", "))
        };
        // A terminal that is gone is no reason to stop verifying.
        let mut stdout = std::io::stdout();
        let _ = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
    }
}

fn run_one(part: &Part, logs: &Path, screen: &Screen) -> Count {
    screen.begin(part.name);
    let begin = Instant::now();
    let log = logs.join(format!("{}.log", part.name));
    let (count, details) = match Session::open(log) {
        Ok(mut session) => {
            let outcome = (part.run)(&mut session);
            if outcome.is_err() {
                session.count.failed += 1;
            }
            let details = details(&session, outcome.err());
            (session.count, details)
        }
        Err(error) => {
            let count = Count {
                failed: 1,
                ..Count::default()
            };
            (count, format!("  its log cannot be created: {error}\n"))
        }
    };
    let mark = if count.failed == 0 { "ok" } else { "FAILED" };
    let line = format!(
        "{:<16} {mark:<6} {:>7.1} s  {}\n{details}",
        part.name,
        begin.elapsed().as_secs_f64(),
        numbers(&count)
    );
    screen.end(part.name, &line);
    count
}

/// What stands below the line of a part that failed.
fn details(session: &Session, not_set_up: Option<NotSetUp>) -> String {
    let mut text = String::new();
    if let Some(NotSetUp(help)) = not_set_up {
        text = format!("  not set up; this would help: {help}\n");
    }
    for line in session.failures.iter().flat_map(|it| it.lines()) {
        text = format!("{text}  | {line}\n");
    }
    if session.count.failed > 0 {
        text = format!("{text}  whole log: {}\n", session.path.display());
    }
    text
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

/// What failed in a part: its tests, or the part itself where what failed was no test.
fn failed_tests(part: &str, count: &Count) -> Vec<String> {
    let named = count.failed_tests.iter();
    let mut lines: Vec<String> = named.map(|test| format!("{part}: {test}")).collect();
    if count.failed > lines.len() as u64 {
        lines.push(part.to_owned());
    }
    lines
}

/// The reasons of what was skipped, each once, what failed, and the last line of the command.
fn summary(total: &Count) -> String {
    let mut reasons: Vec<String> = total
        .skipped
        .iter()
        .map(|reason| format!("skipped: {reason}\n"))
        .collect();
    reasons.sort();
    reasons.dedup();
    let failures = total.failed_tests.iter();
    let failures: Vec<String> = failures.map(|test| format!("failed: {test}\n")).collect();
    let mut text = format!(
        "{}{}{} passed, {} failed",
        reasons.concat(),
        failures.concat(),
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

    #[test]
    fn two_rows_take_the_parts_that_compute_from_both_ends_and_each_once() {
        let chosen: Vec<&Part> = parts::ALL.iter().collect();
        let rest = Rest::new(&chosen, Load::Computes);
        let ends = [rest.next(), rest.last()].map(|part| part.unwrap().name);
        assert_eq!(ends, ["format", "windows-tests"]);
        let mut names: Vec<_> = std::iter::from_fn(|| rest.next().or_else(|| rest.last()))
            .map(|part| part.name)
            .chain(ends)
            .collect();
        let all = chosen.iter().filter(|part| part.load == Load::Computes);
        let mut all: Vec<_> = all.map(|part| part.name).collect();
        names.sort_unstable();
        all.sort_unstable();
        assert_eq!(names, all);
    }

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

    #[test]
    fn what_failed_is_named_once_more_at_the_end() {
        let mut total = Count::default();
        assert!(failed_tests("unit", &total).is_empty());
        total.failed = 1;
        assert_eq!(failed_tests("deny", &total), ["deny"]);
        total.failed = 2;
        total.failed_tests = vec!["a::b".to_owned()];
        total.failed_tests = failed_tests("unit", &total);
        assert_eq!(
            summary(&total),
            "failed: unit: a::b\nfailed: unit\n0 passed, 2 failed"
        );
    }
}
