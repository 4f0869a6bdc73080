//! `cargo demo`: builds the control plane, the operator and the demo, and becomes the demo.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use hosttask_setup::control_plane;

use crate::cargo;

/// Runs the demo with `arguments`; returns only when it could not be started.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let only_help = arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h");
    if !only_help && let Err(error) = control_plane::programs(&mut |line| eprintln!("{line}")) {
        crate::complain(&error);
        return ExitCode::from(error.exit_code());
    }
    if let Err(error) = cargo::claim_target_dir() {
        crate::complain(&error);
        return ExitCode::FAILURE;
    }
    if !only_help {
        eprintln!("building the operator and the bench: a few minutes the first time");
    }
    let built = cargo::cargo()
        .args(["build", "--locked", "--bins"])
        .args(only_help.then_some("--quiet"))
        .args([
            "--package",
            "hosttask-operator",
            "--package",
            "hosttask-tests",
        ])
        .status();
    match built {
        Ok(status) if status.success() => {}
        Ok(_) => return ExitCode::FAILURE,
        Err(error) => {
            crate::complain(&error);
            return ExitCode::FAILURE;
        }
    }
    let demo = cargo::target_dir().join("debug").join("demo");
    // Becoming the demo hands it the terminal, Ctrl-C and the exit code.
    let error = Command::new(&demo).args(arguments).exec();
    eprintln!("error: failed to start {}: {error}", demo.display());
    ExitCode::FAILURE
}
