//! The parts of `cargo verify` that test the node runtime: on every backend, under Wine, with any bytes, and under Miri.

use std::process::Command;

use crate::cargo;
use crate::part::{NotSetUp, Session};
use crate::parts::{SHOW, test};
use crate::tools::{self, WINDOWS};
use crate::wine::Wine;

pub(crate) fn windows_tests(part: &mut Session) -> Result<(), NotSetUp> {
    let wine = wine(part)?;
    let tests = cargo::tests_of(&["crds", "node-runtime"], &[CONTRACT]);
    part.test(on_windows(&wine).args(tests).args(SHOW));
    wine.stop(part);
    Ok(())
}

/// The same tests on every backend, each counted on its own.
pub(crate) fn contract(part: &mut Session) -> Result<(), NotSetUp> {
    let suite = ["--test", "contract", "--"];
    let only = |backend: &'static str| [backend, "--show-output"];
    part.test_named("in memory", on_linux().args(suite).args(only("fake::")));
    part.test_named("Linux", on_linux().args(suite).args(only("native::")));
    let wine = wine(part)?;
    part.test_named(
        "Windows",
        on_windows(&wine).args(suite).args(only("native::")),
    );
    wine.stop(part);
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "every part has the same shape")]
pub(crate) fn node_runtime(part: &mut Session) -> Result<(), NotSetUp> {
    let tests = cargo::tests_of(&["node-runtime"], &[CONTRACT]);
    part.test(on_linux().args(tests).args(SHOW));
    Ok(())
}

/// Of the time, each target has the same share, one after the other.
#[expect(clippy::unnecessary_wraps, reason = "every part has the same shape")]
pub(crate) fn fuzz(part: &mut Session) -> Result<(), NotSetUp> {
    let mut tests = on_linux();
    tests.args(["--test", "fuzz"]).args(SHOW);
    tests
        .arg("--test-threads=1")
        .env("HOSTTASK_FUZZ_SECONDS", "60");
    part.test(&mut tests);
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "every part has the same shape")]
pub(crate) fn miri(part: &mut Session) -> Result<(), NotSetUp> {
    let with = |arguments: &[&str]| {
        // Another toolchain than the one this was started with.
        let mut command = Command::new("rustup");
        command
            .args(["run", "nightly", "cargo", "miri"])
            .args(arguments);
        command.current_dir(cargo::root());
        command.env("CARGO_TARGET_DIR", cargo::target_dir().join(cargo::MIRI));
        command.env("CARGO_INCREMENTAL", "0");
        cargo::forget_run(&mut command);
        command
    };
    if !part.run(&mut with(&["--version"])).0 && !tools::miri(part) {
        part.skip(
            "Miri needs: rustup toolchain install nightly --component miri,rust-src".to_owned(),
        );
        return Ok(());
    }
    let mut tests = with(&[
        "test",
        "--locked",
        "--package",
        cargo::RUNTIME,
        "--lib",
        "--",
        "--show-output",
        // A string of the longest kind that Windows takes is a minute of Miri's time.
        "--skip",
        "as_many_characters_as_windows_takes",
    ]);
    part.test(tests.args(PURE));
    Ok(())
}

/// The modules of the node runtime without any effect.
///
/// Not all of them: Miri is a hundred times slower, and tables of paths take it minutes.
const PURE: [&str; 5] = [
    "state::",
    "id::tests",
    "launch::command_line::",
    "launch::environment::",
    "launch::limits::",
];

/// The test program that is a part of its own.
const CONTRACT: &str = "contract";

/// A Wine that is ready for the tests of Windows programs.
fn wine(part: &mut Session) -> Result<Wine, NotSetUp> {
    tools::windows_compiler(part)?;
    let program = tools::wine(part)?;
    Wine::start(part, program)
}

/// `cargo test` for the node runtime on Linux.
fn on_linux() -> Command {
    let mut command = test();
    command.args(["--package", cargo::RUNTIME]);
    command
}

/// `cargo test` for Windows, run by Wine.
fn on_windows(wine: &Wine) -> Command {
    let mut command = test();
    command.args(["--target", WINDOWS]);
    command.args(cargo::choose(&cargo::FOR_WINDOWS));
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", &wine.runner);
    command
}
