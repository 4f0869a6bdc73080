//! The parts of `cargo verify` that test the node runtime: on every backend, under Wine, with any bytes, and under Miri.

use std::fs;
use std::process::Command;

use crate::cargo;
use crate::part::{NotSetUp, Session};
use crate::parts::{SHOW, test};
use crate::tools::{self, WINDOWS};
use crate::wine::Wine;

pub(crate) fn windows_tests(part: &mut Session) -> Result<(), NotSetUp> {
    let wine = wine(part)?;
    let mut crds = on_windows(&wine);
    crds.args(["--package", "hosttask-crds", "--lib", "--tests"]);
    part.test(crds.args(SHOW));
    let mut runtime = on_windows(&wine);
    part.test(runtime.args(runtime_except(&[CONTRACT])).args(SHOW));
    wine.stop(part);
    Ok(())
}

/// The same tests on every backend, each counted on its own.
pub(crate) fn contract(part: &mut Session) -> Result<(), NotSetUp> {
    let suite = ["--package", RUNTIME, "--test", "contract", "--"];
    let only = |backend: &'static str| [backend, "--show-output"];
    part.test_named("in memory", test().args(suite).args(only("fake::")));
    part.test_named("Linux", test().args(suite).args(only("native::")));
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
    part.test(test().args(runtime_except(&[CONTRACT])).args(SHOW));
    Ok(())
}

/// Of the time, each target has the same share, one after the other.
#[expect(clippy::unnecessary_wraps, reason = "every part has the same shape")]
pub(crate) fn fuzz(part: &mut Session) -> Result<(), NotSetUp> {
    let mut tests = test();
    tests
        .args(["--package", RUNTIME, "--test", "fuzz"])
        .args(SHOW);
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
        command.env("CARGO_TARGET_DIR", cargo::target_dir().join("miri"));
        cargo::forget_run(&mut command);
        command
    };
    if !part.run(&mut with(&["--version"])).0 {
        part.skip(
            "Miri needs: rustup toolchain install nightly --component miri,rust-src".to_owned(),
        );
        return Ok(());
    }
    let mut tests = with(&[
        "test",
        "--locked",
        "--package",
        RUNTIME,
        "--lib",
        "--",
        "--show-output",
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

/// The package of the node runtime.
const RUNTIME: &str = "hosttask-node-runtime";

/// The test program that is a part of its own.
const CONTRACT: &str = "contract";

/// What `cargo test` is told for the node runtime, but for some of its test programs.
fn runtime_except(left_out: &[&str]) -> Vec<String> {
    let folder = cargo::root().join("node-runtime").join("tests");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let programs = entries.map(|entry| entry.path()).filter(|path| {
        path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").is_file()
    });
    let names = programs.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    cargo::tests_of(RUNTIME, names.collect(), left_out)
}

/// A Wine that is ready for the tests of Windows programs.
fn wine(part: &mut Session) -> Result<Wine, NotSetUp> {
    tools::windows_compiler(part)?;
    let program = tools::wine(part)?;
    Wine::start(part, program)
}

/// `cargo test` for Windows, run by Wine.
fn on_windows(wine: &Wine) -> Command {
    let mut command = test();
    command.args(["--target", WINDOWS]);
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", &wine.runner);
    command
}
