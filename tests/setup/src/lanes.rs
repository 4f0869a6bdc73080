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
///
/// # Errors
/// The clone has no manifest that names them.
pub(crate) fn all_others() -> Result<Vec<String>, NotSetUp> {
    let path = cargo::root().join("tests").join("Cargo.toml");
    let manifest = fs::read_to_string(path);
    let manifest = manifest.map_err(|error| NotSetUp(format!("tests/Cargo.toml: {error}")))?;
    Ok(cargo::tests_of("hosttask-tests", suites(&manifest), &LANES))
}

/// The test programs that a manifest names. Files beside them may be parts of several.
fn suites(manifest: &str) -> Vec<String> {
    let tables = manifest.split("[[test]]").skip(1);
    let names = tables.filter_map(|table| {
        let mut lines = table.lines();
        lines.find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
    });
    names.map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_of_the_manifest_runs_in_a_lane_or_with_the_others_and_no_module_is_taken_for_one()
     {
        let others = all_others().unwrap();
        let has = |name: &str| others.iter().any(|it| it == name);
        assert!(has("daemon") && has("kills"));
        assert!(LANES.iter().all(|lane| !has(lane)));
        assert!(!has("validated"), "it is a module of others");
        let manifest = fs::read_to_string(cargo::root().join("tests/Cargo.toml")).unwrap();
        let all = suites(&manifest);
        assert_eq!(all.len(), manifest.matches("[[test]]").count());
        assert!(LANES.iter().all(|lane| all.iter().any(|it| it == lane)));
        assert_eq!(
            others.iter().filter(|it| *it == "--test").count(),
            all.len() - LANES.len()
        );
    }
}
