//! Lanes: suites that need more than the local control plane, and each a part of their own.

use std::fs;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use hosttask_setup::{containerd, control_plane, windows_node};

use crate::cargo::{self, cargo};
use crate::part::{NotSetUp, Session};
use crate::parts::around_a_cluster;
use crate::tools::{self, WINDOWS};

/// The suites that are parts of their own.
const LANES: [&str; 4] = ["containerd", "mission", "same_pods", "windows_node"];

/// Our shim under the real containerd, on Linux.
pub(crate) fn containerd(part: &mut Session) -> Result<(), NotSetUp> {
    containerd::programs(&mut |line| part.tell(line))
        .map_err(|error| NotSetUp(error.to_string()))?;
    // The suite starts these as programs.
    if build(part, &[cargo::RUNTIME]) && build(part, &cargo::AROUND_A_CLUSTER) {
        run(part, &[("containerd", &[])])?;
    }
    Ok(())
}

/// Our shim under kubelet and containerd for Windows, run by Wine.
pub(crate) fn windows_node(part: &mut Session) -> Result<(), NotSetUp> {
    build_windows_node(part)?;
    let missing = |error: hosttask_setup::SetupError| NotSetUp(error.to_string());
    // After the build, which compiled all that is read here.
    let vets = windows_node::vet(&mut |line| part.tell(line)).map_err(missing)?;
    for mut vet in vets {
        part.check(&mut vet);
    }
    if build_programs(part) {
        // The tests wait more than they work: all of them at once, but for those that want the node alone.
        let suites: [Suite<'_>; 2] = [("windows_node", &["--test-threads=9"]), ("same_pods", &[])];
        run(part, &suites)?;
    }
    Ok(())
}

/// Tasks of every kind, from `kubectl apply` to the job object on a real node and back.
pub(crate) fn mission(part: &mut Session) -> Result<(), NotSetUp> {
    build_windows_node(part)?;
    if build_programs(part) {
        run(part, &[("mission", &[])])?;
    }
    Ok(())
}

/// Makes sure of the control plane, of Wine, and of kubelet and containerd for Windows.
fn build_windows_node(part: &mut Session) -> Result<(), NotSetUp> {
    tools::windows_compiler(part)?;
    tools::wine(part)?;
    let mut report = |line: &str| part.tell(line);
    let missing = |error: hosttask_setup::SetupError| NotSetUp(error.to_string());
    control_plane::programs(&mut report).map_err(missing)?;
    windows_node::programs(&mut report).map_err(missing)?;
    Ok(())
}

/// Builds what runs on a Windows node, and what runs beside it. Returns whether all can be used.
fn build_programs(part: &mut Session) -> bool {
    let mut windows = cargo();
    windows.args(["build", "--locked", "--target", WINDOWS]);
    windows.args(cargo::choose(&cargo::FOR_WINDOWS));
    part.check(windows.args(cargo::WINDOWS_PROGRAMS)) && build(part, &cargo::AROUND_A_CLUSTER)
}

/// Builds the programs of packages, which is a check. Returns whether they can be used.
pub(crate) fn build(part: &mut Session, packages: &[&str]) -> bool {
    let mut build = cargo();
    build.args(["build", "--locked", "--bins"]);
    part.check(build.args(cargo::choose(packages)))
}

/// The name of a suite and the arguments of its program.
type Suite<'a> = (&'a str, &'a [&'a str]);

/// Runs suites, one after the other.
fn run(part: &mut Session, suites: &[Suite<'_>]) -> Result<(), NotSetUp> {
    let names: Vec<String> = suites.iter().map(|suite| suite.0.to_owned()).collect();
    let programs = programs(part, &names)?.unwrap_or_default();
    for ((_, mut program), (_, arguments)) in programs.into_iter().zip(suites) {
        part.test(program.args(*arguments));
    }
    Ok(())
}

/// All test programs of the bench that are no lanes. They wait more than they work: several at a time.
pub(crate) fn all_others(part: &mut Session) -> Result<(), NotSetUp> {
    if let Some(programs) = programs(part, &others()?)? {
        let cores = thread::available_parallelism().map_or(2, NonZero::get);
        // No more than there are cores: parts that compute run beside them.
        part.test_side_by_side(programs, cores.max(2));
    }
    Ok(())
}

/// Builds the test programs of suites, which is a check, and returns how each is started; none where they cannot be built. They are
/// started without Cargo, which would wait for what the other row builds meanwhile.
fn programs(
    part: &mut Session,
    suites: &[String],
) -> Result<Option<Vec<(String, Command)>>, NotSetUp> {
    let mut build = around_a_cluster();
    // The names of the programs are read from what Cargo says.
    build.env("CARGO_TERM_COLOR", "never");
    build.arg("--no-run");
    build.args(suites.iter().flat_map(|name| ["--test", name]));
    let (is_good, output) = part.run(&mut build);
    part.judge(is_good, &build, &output);
    if !is_good {
        return Ok(None);
    }
    let start = |name: &String| {
        let path = executable(&output, name)
            .ok_or_else(|| NotSetUp(format!("a Cargo that names the program of {name}")))?;
        let mut command = Command::new(path);
        let folder = cargo::root().join("tests");
        command.current_dir(folder).arg("--show-output");
        Ok((name.clone(), command))
    };
    suites.iter().map(start).collect::<Result<_, _>>().map(Some)
}

/// Of the suites that take longer than a minute and a half, the longest first: one that starts last is waited for alone.
const LONG: [&str; 6] = [
    "run_once",
    "outage",
    "kills",
    "crash",
    "trouble",
    "dead_nodes",
];

/// The suites that are no parts of their own, in the order they are started.
fn others() -> Result<Vec<String>, NotSetUp> {
    let path = cargo::root().join("tests").join("Cargo.toml");
    let manifest = fs::read_to_string(path);
    let manifest = manifest.map_err(|error| NotSetUp(format!("tests/Cargo.toml: {error}")))?;
    let mut all = suites(&manifest);
    all.retain(|name| !LANES.contains(&name.as_str()));
    all.sort_by_key(|name| {
        let place = LONG.iter().position(|long| long == name);
        (place.unwrap_or(LONG.len()), name.clone())
    });
    Ok(all)
}

/// The program of a test, from what `cargo test --no-run` printed: `Executable suites/NAME.rs (PATH)`.
fn executable(output: &str, name: &str) -> Option<PathBuf> {
    // Another package may have a test of that name, in a folder of its own.
    let wanted = format!("suites/{name}.rs");
    output.lines().find_map(|line| {
        let named = line.trim().strip_prefix("Executable ")?;
        let (source, path) = named.split_once(" (")?;
        (source == wanted).then(|| path.strip_suffix(')').map(PathBuf::from))?
    })
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
        let others = others().unwrap();
        let has = |name: &str| others.iter().any(|it| it == name);
        assert!(has("daemon") && has("kills"));
        assert!(LANES.iter().all(|lane| !has(lane)));
        assert!(!has("validated"), "it is a module of others");
        let manifest = fs::read_to_string(cargo::root().join("tests/Cargo.toml")).unwrap();
        let all = suites(&manifest);
        assert_eq!(all.len(), manifest.matches("[[test]]").count());
        assert!(LANES.iter().all(|lane| all.iter().any(|it| it == lane)));
        assert_eq!(others.len(), all.len() - LANES.len());
        assert_eq!(others[..LONG.len()], LONG, "one of the long ones is gone");
    }

    #[test]
    fn programs_are_found_by_the_names_of_their_suites() {
        let output = "\
   Compiling hosttask-tests v0.1.0
  Executable unittests src/lib.rs (/cache/debug/deps/hosttask_tests-1)
  Executable suites/once.rs (/cache/debug/deps/once-1)
  Executable suites/run_once.rs (/cache (1)/debug/deps/run_once-1)
";
        let found = |name| executable(output, name);
        assert_eq!(
            found("run_once"),
            Some("/cache (1)/debug/deps/run_once-1".into())
        );
        assert_eq!(found("once"), Some("/cache/debug/deps/once-1".into()));
        assert_eq!(found("crash"), None);
    }
}
