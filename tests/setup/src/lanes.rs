//! Lanes: suites that need more than the local control plane, and each a part of their own.

use std::fs;

use hosttask_setup::containerd;

use crate::cargo::{self, cargo};
use crate::part::{NotSetUp, Session};
use crate::parts::{SHOW, test};

/// The suites that are parts of their own.
const LANES: [&str; 1] = ["containerd"];

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
