//! Finds a Go that is new enough and builds the programs of the bench with it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::SetupError;
use crate::version::Version;

/// What the `go` lines of the modules in `tests` ask for.
const NEEDED: Version = Version::new(1, 26);

/// How often a build that runs for minutes says that it still runs.
const REPORT_EVERY: Duration = Duration::from_secs(15);

/// The compiler's flags of every build: debug information is a tenth of its time, and the linker leaves it out in the end.
pub const COMPILE: &str = "-gcflags=all=-dwarf=false";

/// Those of programs that wait more than they compute: nothing is inlined, which is a third of the time again.
pub(crate) const COMPILE_QUICKLY: &str = "-gcflags=all=-dwarf=false -l";

/// Makes a program in Go collect its garbage less often, unless the user said how often: a sixth of the time of the compiler, and of the
/// servers of a control plane, goes into it. More than this gains nothing.
pub fn collect_less(command: &mut Command) {
    if std::env::var_os("GOGC").is_none() {
        command.env("GOGC", "400");
    }
}

/// A Go command that builds the program.
pub(crate) struct Go {
    program: PathBuf,
    /// As `go env GOVERSION` prints it, such as `go1.26.8`.
    pub(crate) version: String,
}

impl Go {
    /// Finds Go in `PATH` or where its installer puts it.
    ///
    /// The version is asked inside `sources`: since Go 1.21 an older `go` fetches the toolchain that
    /// `go.mod` names, so what counts is the version it would build with there.
    pub(crate) fn find(sources: &Path) -> Result<Self, SetupError> {
        let program = crate::control_plane::in_path("go")
            .or_else(|| {
                let usual = PathBuf::from("/usr/local/go/bin/go");
                usual.is_file().then_some(usual)
            })
            .ok_or(SetupError::GoMissing { needed: NEEDED })?;
        let output = Command::new(&program)
            .args(["env", "GOVERSION"])
            .env("GOWORK", "off")
            .current_dir(sources)
            .output()
            .map_err(SetupError::io(format!("run {}", program.display())))?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() && Version::find(&version).is_some_and(|found| found >= NEEDED) {
            return Ok(Self { program, version });
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let said = if stderr.is_empty() { version } else { stderr };
        Err(SetupError::GoTooOld {
            program,
            said,
            needed: NEEDED,
        })
    }

    /// A command that runs `go` without cgo and without a workspace, as every build here.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("CGO_ENABLED", "0").env("GOWORK", "off");
        collect_less(&mut command);
        command
    }

    /// Where a tool of its own is, such as `vet`.
    pub(crate) fn tool(&self, name: &str, sources: &Path) -> Result<PathBuf, SetupError> {
        let mut command = self.command();
        command.args(["tool", "-n", name]).current_dir(sources);
        let doing = format!("run {} tool -n {name}", self.program.display());
        let output = command.output().map_err(SetupError::io(doing.clone()))?;
        if output.status.success() {
            let path = String::from_utf8_lossy(&output.stdout);
            return Ok(PathBuf::from(path.trim()));
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(SetupError::io(doing)(std::io::Error::other(said)))
    }

    /// Runs `go` with `arguments` and `environment` in `sources`, its output in `log`, and says how long it takes every 15 s.
    pub(crate) fn run(
        &self,
        sources: &Path,
        arguments: &[OsString],
        environment: &[(&str, &str)],
        log: &Path,
        report: &mut dyn FnMut(&str),
    ) -> Result<(), SetupError> {
        let output =
            File::create(log).map_err(SetupError::io(format!("create {}", log.display())))?;
        let errors = output
            .try_clone()
            .map_err(SetupError::io(format!("open {}", log.display())))?;
        let mut child = self
            .command()
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(sources)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(SetupError::io(format!("start {}", self.program.display())))?;
        let begin = Instant::now();
        let mut reported = begin;
        let status = loop {
            if let Some(status) = child
                .try_wait()
                .map_err(SetupError::io("wait for go build"))?
            {
                break status;
            }
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                report(&format!("  still building, {}", minutes(begin.elapsed())));
            }
            thread::sleep(Duration::from_millis(100));
        };
        if status.success() {
            report(&format!("  built in {}", minutes(begin.elapsed())));
            return Ok(());
        }
        let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Err(SetupError::Build {
            log: log.to_owned(),
            tail: tail(&text.unwrap_or_default(), 20),
        })
    }
}

/// `75 s` as `1 min 15 s`.
fn minutes(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// The last `count` lines of `text`.
pub(crate) fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(count))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        assert_eq!(minutes(Duration::from_secs(9)), "9 s");
        assert_eq!(minutes(Duration::from_secs(402)), "6 min 42 s");
    }

    #[test]
    fn the_tail_is_the_last_lines_in_order() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 5), "a");
    }
}
