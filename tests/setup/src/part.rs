//! One part of `cargo verify`: its steps, its log and what it counts.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};

use crate::count::Count;

/// How much of the output of a failed command is printed.
const TAIL: usize = 40;

/// A part of the verification.
pub(crate) struct Part {
    /// The name for `--only` and the summary.
    pub(crate) name: &'static str,
    /// What it proves, for `--list`.
    pub(crate) about: &'static str,
    /// Which parts it runs beside.
    pub(crate) load: Load,
    /// Runs it.
    pub(crate) run: fn(&mut Session) -> Result<(), NotSetUp>,
}

/// What a part does most of its time. Parts of one load run one after the other, beside those of the other. Once no part is left
/// that waits, two that compute run side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// It compiles and computes.
    Computes,
    /// It waits for the programs of a bench.
    Waits,
}

/// Why a part could not run at all, with the command that would help.
#[derive(Debug)]
pub(crate) struct NotSetUp(pub(crate) String);

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

    /// Counts a command that is one check.
    pub(crate) fn judge(&mut self, is_good: bool, command: &Command, output: &str) {
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
        if !is_good {
            // A program that died told of none of its tests, and one that did not compile has none.
            found.failed = (found.failed + Count::died(&output)).max(1);
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
        let named = self.count.failed_tests.len();
        self.test(command);
        for test in self.count.failed_tests.iter_mut().skip(named) {
            *test = format!("{test} ({name})");
        }
        let passed = self.count.passed.saturating_sub(before);
        self.count.named.push((name.to_owned(), passed));
    }

    /// Runs test programs, so many at a time, each with a log of its own beside this one.
    pub(crate) fn test_side_by_side(&mut self, programs: Vec<(String, Command)>, at_a_time: usize) {
        let rest = Mutex::new(programs.into_iter());
        let next = || rest.lock().unwrap_or_else(PoisonError::into_inner).next();
        let path = self.path.clone();
        let sessions = thread::scope(|scope| {
            let worker = || {
                let mut done = Vec::new();
                while let Some((name, mut command)) = next() {
                    let log = path.with_extension(format!("{name}.log"));
                    done.push(Self::open(log).map(|mut own| {
                        own.test(&mut command);
                        own
                    }));
                }
                done
            };
            let workers: Vec<_> = (0..at_a_time).map(|_| scope.spawn(worker)).collect();
            let ended = workers.into_iter().map(ScopedJoinHandle::join);
            ended.collect::<Vec<_>>()
        });
        for done in sessions {
            match done {
                Ok(done) => done.into_iter().for_each(|own| self.take(own)),
                Err(_panic) => self.count.failed += 1,
            }
        }
    }

    /// Adds what a session of this part found.
    fn take(&mut self, own: std::io::Result<Self>) {
        match own {
            Ok(own) => {
                self.say(&format!("{}: {:?}", own.path.display(), own.count));
                for failure in own.failures {
                    let log = own.path.display();
                    self.failures.push(format!("{failure}\nwhole log: {log}"));
                }
                self.count.add(own.count);
            }
            Err(error) => {
                self.failures
                    .push(format!("a log cannot be created: {error}"));
                self.count.failed += 1;
            }
        }
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

    /// Writes a line to the log and shows it: minutes without a word look like a hang.
    pub(crate) fn tell(&mut self, line: &str) {
        self.say(line);
        // In the place of the line that names the parts that run, which is drawn again with the next change.
        let clear = if std::io::stderr().is_terminal() {
            "\r\u{1b}[K"
        } else {
            ""
        };
        eprintln!("{clear}  {line}");
    }

    /// Writes a line to the log.
    pub(crate) fn say(&mut self, line: &str) {
        // A log that cannot be written fails the commands that write to it as well.
        let _ = writeln!(self.log, "{line}");
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
        part.test_named(
            "Windows",
            &mut shell(
                "echo 'running 1 test'; echo 'test a ... FAILED'; \
                 echo 'test result: FAILED. 0 passed; 1 failed; 0 ignored'; echo 'running 2 tests'; exit 101",
            ),
        );
        assert_eq!((part.count.passed, part.count.failed), (5, 4));
        assert_eq!(part.count.failed_tests, ["a (Windows)"]);
        part.check_silent(&mut shell("echo main.go"));
        part.check_silent(&mut shell("true"));
        part.check(&mut Command::new("/no/such/program"));
        assert_eq!((part.count.passed, part.count.failed), (6, 6));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn programs_that_run_side_by_side_are_all_counted_and_a_failure_names_its_log() {
        let folder = std::env::temp_dir().join(format!("hosttask-side-{}", std::process::id()));
        let program = |name: &str, script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            (name.to_owned(), command)
        };
        let mut part = session(&folder);
        // Neither ends before the other has begun.
        let meet = |own: &str, other: &str| {
            format!(
                "touch {0}/{own}; for i in $(seq 6000); do [ -e {0}/{other} ] && break; sleep 0.01; done; \
                 [ -e {0}/{other} ] && echo 'test result: ok. 5 passed; 0 failed; 0 ignored'",
                folder.display()
            )
        };
        let all = vec![
            program("one", &meet("a", "b")),
            program("two", &meet("b", "a")),
            program("three", "exit 101"),
        ];
        part.test_side_by_side(all, 2);
        assert_eq!((part.count.passed, part.count.failed), (10, 1));
        let [failure] = part.failures.as_slice() else {
            panic!("{:?}", part.failures)
        };
        assert!(failure.contains("part.three.log"), "{failure}");
        assert!(folder.join("part.one.log").is_file());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
