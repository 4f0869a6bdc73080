//! Lanes: suites that need more than the local control plane, and each a part of their own.

use std::fs;

use hosttask_setup::{containerd, control_plane, windows_node};

use crate::cargo::{self, cargo};
use crate::part::{NotSetUp, Session};
use crate::parts::{SHOW, test};
use crate::tools::{self, WINDOWS};

/// The suites that are parts of their own.
const LANES: [&str; 2] = ["containerd", "windows_node"];

/// Our shim under the real containerd, on Linux.
pub(crate) fn containerd(part: &mut Session) -> Result<(), NotSetUp> {
    containerd::programs(&mut |line| {
        part.say(line);
        eprintln!("  {line}");
    })
    .map_err(|error| NotSetUp(error.to_string()))?;
    // The suite starts these as programs.
    let mut build = cargo();
    build.args(["build", "--locked", "--bins"]);
    build.args(["--package", "hosttask-node-runtime"]);
    build.args(["--package", "hosttask-tests"]);
    if part.check(&mut build) {
        let suite = ["--package", "hosttask-tests", "--test", "containerd"];
        part.test(test().args(suite).args(SHOW));
    }
    Ok(())
}

/// Our shim under kubelet and containerd for Windows, run by Wine.
pub(crate) fn windows_node(part: &mut Session) -> Result<(), NotSetUp> {
    tools::windows_compiler(part)?;
    tools::wine(part)?;
    let mut report = |line: &str| {
        part.say(line);
        eprintln!("  {line}");
    };
    let missing = |error: hosttask_setup::SetupError| NotSetUp(error.to_string());
    control_plane::programs(&mut report).map_err(missing)?;
    windows_node::programs(&mut report).map_err(missing)?;
    // After the build, which compiled all that is read here.
    for mut vet in windows_node::vet().map_err(missing)? {
        part.check(&mut vet);
    }
    let mut shim = cargo();
    shim.args(["build", "--locked", "--bins", "--target", WINDOWS]);
    shim.args(["--package", "hosttask-node-runtime"]);
    if part.check(&mut shim) {
        let suite = ["--package", "hosttask-tests", "--test", "windows_node"];
        // The tests wait more than they work: all of them at once, but for those that want the node alone.
        part.test(test().args(suite).args(SHOW).arg("--test-threads=9"));
    }
    Ok(())
}

/// What `cargo test` is told for all test programs of the bench that are no lanes.
pub(crate) fn all_others() -> Vec<String> {
    let folder = cargo::root().join("tests").join("suites");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let names = files.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<String> = names
        .filter(|name| !LANES.contains(&name.as_str()))
        .collect();
    names.sort();
    let tests = names
        .into_iter()
        .flat_map(|name| ["--test".to_owned(), name]);
    let always = ["--package", "hosttask-tests", "--lib", "--bins"].map(ToOwned::to_owned);
    always.into_iter().chain(tests).collect()
}
