//! One part of `cargo verify`: its steps, its log and what it counts.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// How much of the output of a failed command is printed.
const TAIL: usize = 40;

/// A part of the verification.
pub(crate) struct Part {
    /// The name for `--only` and the summary.
    pub(crate) name: &'static str,
    /// What it proves, for `--list`.
    pub(crate) about: &'static str,
    /// Runs it.
    pub(crate) run: fn(&mut Session) -> Result<(), NotSetUp>,
}

/// Why a part could not run at all, with the command that would help.
#[derive(Debug)]
pub(crate) struct NotSetUp(pub(crate) String);

/// What a part has found so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// One reason for each test that did not run.
    pub(crate) skipped: Vec<String>,
    /// How many passed in each run of the same tests that has a name, and how many inputs of a kind a test had.
    pub(crate) named: Vec<(String, u64)>,
}

/// A part while it runs.
pub(crate) struct Session {
    log: File,
    /// Where the log is.
    pub(crate) path: PathBuf,
    pub(crate) count: Count,
    /// What the failed commands were and the part of their output that tells why.
    pub(crate) failures: Vec<String>,
}

impl Session {
    /// Opens the log of the part.
    pub(crate) fn open(path: PathBuf) -> std::io::Result<Self> {
        Ok(Self {
            log: File::create(&path)?,
            path,
            count: Count::default(),
            failures: Vec::new(),
        })
    }

    /// Runs a command that is one check.
    pub(crate) fn check(&mut self, command: &mut Command) -> bool {
        let (is_good, output) = self.run(command);
        self.judge(is_good, command, &output);
        is_good
    }

    /// Runs a command that is one check and prints nothing when all is well.
    pub(crate) fn check_silent(&mut self, command: &mut Command) {
        let (is_good, output) = self.run(command);
        self.judge(is_good && output.trim().is_empty(), command, &output);
    }

    fn judge(&mut self, is_good: bool, command: &Command, output: &str) {
        if !is_good {
            self.failures
                .push(format!("$ {}\n{}", describe(command), tail(output)));
        }
        self.record(is_good);
    }

    /// Runs `cargo test` or a like command and counts its tests.
    pub(crate) fn test(&mut self, command: &mut Command) {
        let (is_good, output) = self.run(command);
        let mut found = Count::from_tests(&output);
        if !is_good && found.failed == 0 {
            // It did not compile, or a test program died without a word.
            found.failed = 1;
        }
        if is_good && found.passed == 0 {
            self.failures
                .push("no test ran: a part without tests proves nothing".to_owned());
            found.failed += 1;
        }
        if !is_good {
            self.failures.push(format!(
                "$ {}\n{}",
                describe(command),
                why_tests_failed(&output)
            ));
        }
        self.count.add(found);
    }

    /// Runs tests that run more than once, each time under another name.
    pub(crate) fn test_named(&mut self, name: &'static str, command: &mut Command) {
        let before = self.count.passed;
        self.test(command);
        let passed = self.count.passed.saturating_sub(before);
        self.count.named.push((name.to_owned(), passed));
    }

    /// Says what could not be run, and what would help.
    pub(crate) fn skip(&mut self, reason: String) {
        self.count.skipped.push(reason);
    }

    /// Counts one check.
    pub(crate) fn record(&mut self, is_good: bool) {
        if is_good {
            self.count.passed += 1;
        } else {
            self.count.failed += 1;
        }
    }

    /// Runs a command, appends its output to the log and returns both the outcome and the output.
    pub(crate) fn run(&mut self, command: &mut Command) -> (bool, String) {
        self.say(&format!("$ {}", describe(command)));
        let from = self.log.metadata().map_or(0, |log| log.len());
        let status = self.log.try_clone().and_then(|output| {
            let errors = output.try_clone()?;
            command
                .stdin(Stdio::null())
                .stdout(output)
                .stderr(errors)
                .status()
        });
        let is_good = match status {
            Ok(status) => {
                if !status.success() {
                    self.say(&format!("({status})"));
                }
                status.success()
            }
            Err(error) => {
                self.say(&format!("failed to run it: {error}"));
                false
            }
        };
        let whole = std::fs::read(&self.path).unwrap_or_default();
        let from = usize::try_from(from).unwrap_or(0);
        (
            is_good,
            String::from_utf8_lossy(whole.get(from..).unwrap_or_default()).into_owned(),
        )
    }

    /// Writes a line to the log.
    pub(crate) fn say(&mut self, line: &str) {
        // A log that cannot be written fails the commands that write to it as well.
        let _ = writeln!(self.log, "{line}");
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
        self.named.extend(other.named);
    }

    /// Reads what test programs print. A test that prints `not run: REASON` ends well but has proved
    /// nothing, so it counts as skipped.
    fn from_tests(output: &str) -> Self {
        let mut count = Self::default();
        for line in output.lines().map(str::trim) {
            if let Some(reason) = line.strip_prefix("not run: ") {
                count.skipped.push(reason.to_owned());
            }
            if let Some((kind, inputs)) = line
                .strip_prefix("inputs of ")
                .and_then(|it| it.split_once(": "))
                && let Ok(inputs) = inputs.parse()
            {
                count.named.push((format!("inputs of {kind}"), inputs));
            }
            let Some(result) = line.strip_prefix("test result: ") else {
                continue;
            };
            let number = |what: &str| {
                result
                    .split([';', '.'])
                    .find_map(|field| field.trim().strip_suffix(what)?.trim().parse::<u64>().ok())
                    .unwrap_or(0)
            };
            count.passed += number("passed");
            count.failed += number("failed");
            for _ in 0..number("ignored") {
                count.skipped.push("marked #[ignore]".to_owned());
            }
        }
        let silent = count
            .skipped
            .iter()
            .filter(|reason| *reason != "marked #[ignore]")
            .count();
        count.passed = count.passed.saturating_sub(silent as u64);
        count
    }
}

/// The last lines of an output.
fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(TAIL))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

/// The reports of the failed tests, which may stand far from the end; else the last lines.
fn why_tests_failed(output: &str) -> String {
    let mut reports = String::new();
    let mut is_inside = false;
    for line in output.lines() {
        // Test programs print `failures:` twice: the reports, then the names.
        is_inside = (is_inside || line == "failures:") && !line.starts_with("test result:");
        if is_inside {
            reports.push_str(line);
            reports.push('\n');
        }
    }
    if reports.is_empty() {
        tail(output)
    } else {
        reports
    }
}

/// The command as one would type it.
fn describe(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_over_all_programs_and_silent_ones_are_skipped() {
        let output = "\
running 3 tests
test a ... ok
---- a stdout ----
not run: ../shared/manifests is not here
inputs of path: 1234
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s
";
        let count = Count::from_tests(output);
        assert_eq!((count.passed, count.failed), (11, 2));
        assert_eq!(count.named, [("inputs of path".to_owned(), 1234)]);
        assert_eq!(
            count.skipped,
            ["../shared/manifests is not here", "marked #[ignore]"]
        );
    }

    #[test]
    fn the_report_of_a_failed_test_is_found_before_the_output_of_others() {
        let output = "\
test a ... FAILED

failures:

---- a stdout ----
left 1, right 2

failures:
    a

test result: FAILED. 0 passed; 1 failed; 0 ignored
     Running another
test b ... ok
test result: ok. 1 passed; 0 failed; 0 ignored
";
        let report = why_tests_failed(output);
        assert!(
            report.contains("left 1, right 2") && !report.contains("test b"),
            "{report}"
        );
        assert_eq!(
            why_tests_failed("error: no such package\n"),
            "error: no such package"
        );
    }

    fn session(folder: &std::path::Path) -> Session {
        std::fs::create_dir_all(folder).unwrap();
        Session::open(folder.join("part.log")).unwrap()
    }

    #[test]
    fn a_test_command_that_fails_or_runs_nothing_never_counts_as_passed() {
        let folder = std::env::temp_dir().join(format!("hosttask-part-{}", std::process::id()));
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let mut part = session(&folder);
        part.test(&mut shell("exit 101"));
        assert_eq!((part.count.passed, part.count.failed), (0, 1));
        part.test(&mut shell("true"));
        assert_eq!((part.count.passed, part.count.failed), (0, 2));
        part.test(&mut shell(
            "echo 'test result: ok. 5 passed; 0 failed; 0 ignored'",
        ));
        assert_eq!((part.count.passed, part.count.failed), (5, 2));
        part.check_silent(&mut shell("echo main.go"));
        part.check_silent(&mut shell("true"));
        part.check(&mut Command::new("/no/such/program"));
        assert_eq!((part.count.passed, part.count.failed), (6, 4));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
