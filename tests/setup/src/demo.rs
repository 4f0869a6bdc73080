//! `cargo demo`: builds the control plane, the operator, what a real Windows node needs and the demo, and becomes the demo.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use hosttask_setup::{SetupError, control_plane, demo_programs, windows_node};

use crate::cargo;
use crate::tools::WINDOWS;

/// The argument that leaves the real Windows node out.
const NO_WINDOWS: &str = "--no-windows";

/// Runs the demo with `arguments`; returns only when it could not be started.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let prepared = if has("--help") || has("-h") {
        claim()
            .and_then(|()| build(&cargo::AROUND_A_CLUSTER, &["--quiet", "--bins"]).map(|()| true))
    } else {
        prepare(!has(NO_WINDOWS))
    };
    let with_windows = match prepared {
        Ok(with_windows) => with_windows,
        Err(code) => return code,
    };
    let demo = cargo::target_dir().join("debug").join("demo");
    let mut command = Command::new(&demo);
    command.args(arguments);
    if !with_windows && !has(NO_WINDOWS) {
        command.arg(NO_WINDOWS);
    }
    // Becoming the demo hands it the terminal, Ctrl-C and the exit code.
    let error = command.exec();
    say(&format!(
        "error: failed to start {}: {error}",
        demo.display()
    ));
    ExitCode::FAILURE
}

/// Provides everything that the demo starts; the answer says whether a real Windows node can be among it.
fn prepare(is_windows_wanted: bool) -> Result<bool, ExitCode> {
    control_plane::programs(&mut say).map_err(|error| fail(&error))?;
    let with_windows = is_windows_wanted && provide_windows()?;
    claim()?;
    say("building the operator and the bench: a few minutes the first time");
    build(&cargo::AROUND_A_CLUSTER, &["--bins"])?;
    if with_windows {
        say("building the node runtime for Windows: a minute the first time");
        let programs = ["--target", WINDOWS].into_iter();
        let programs: Vec<_> = programs.chain(cargo::WINDOWS_PROGRAMS).collect();
        build(&cargo::FOR_WINDOWS, &programs)?;
    }
    Ok(with_windows)
}

/// Builds what runs on a real Windows node. Without the tools for that, it says so in one line, and the demo goes on without.
fn provide_windows() -> Result<bool, ExitCode> {
    if !has_rust_target() {
        let install = format!("rustup target add {WINDOWS}");
        leave_out(
            "Rust's library for Windows programs is not installed",
            &install,
        );
        return Ok(false);
    }
    let mut is_first = true;
    let mut report = |line: &str| {
        if is_first {
            say(&format!(
                "a real Windows node takes part; {NO_WINDOWS} leaves it out"
            ));
            is_first = false;
        }
        say(line);
    };
    let provided = windows_node::programs(&mut report)
        .and_then(|_| demo_programs::programs(&mut report).map(drop));
    match provided {
        Ok(()) => Ok(true),
        Err(SetupError::ToolMissing { program, package }) => {
            let install = format!("sudo apt-get install -y --no-install-recommends {package}");
            leave_out(&format!("{program} is not installed"), &install);
            Ok(false)
        }
        Err(error) => {
            let code = fail(&error);
            say(&format!("{NO_WINDOWS} leaves the real Windows node out"));
            Err(code)
        }
    }
}

fn leave_out(why: &str, install: &str) {
    say(&format!(
        "no real Windows node takes part: {why}; install it with: {install}"
    ));
}

/// Whether Rust can build programs for Windows: the compiler names the folder of their library, and it exists.
fn has_rust_target() -> bool {
    let mut compiler = Command::new("rustc");
    compiler
        .args(["--print", "target-libdir", "--target", WINDOWS])
        .current_dir(cargo::root());
    compiler.output().is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success() && Path::new(folder.trim()).is_dir()
    })
}

/// Makes sure that what is built here is of this checkout.
fn claim() -> Result<(), ExitCode> {
    cargo::claim_target_dir().map_err(|error| {
        crate::complain(&error);
        ExitCode::FAILURE
    })
}

/// Builds the programs of some packages.
fn build(packages: &[&str], arguments: &[&str]) -> Result<(), ExitCode> {
    let mut command = cargo::cargo();
    command
        .args(["build", "--locked"])
        .args(cargo::choose(packages))
        .args(arguments);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(ExitCode::FAILURE),
        Err(error) => {
            crate::complain(&error);
            Err(ExitCode::FAILURE)
        }
    }
}

fn fail(error: &SetupError) -> ExitCode {
    crate::complain(error);
    ExitCode::from(error.exit_code())
}

/// Says a line to whoever still reads: `cargo demo 2>&1 | head` goes away while things are built.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
