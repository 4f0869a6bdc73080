//! The parts of `cargo verify`, the quick ones first. Those that compute run beside those that wait.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hosttask_setup::{GO_COMPILE, containerd, control_plane, vet};

use crate::cargo::{self, cargo};
use crate::lanes;
use crate::part::{Load, NotSetUp, Part, Session};
use crate::runtime;
use crate::tools::{self, WINDOWS};

/// Every part, in the order they run.
pub(crate) static ALL: [Part; 17] = [
    Part {
        name: "format",
        about: "rustfmt and gofmt would change nothing",
        load: Load::Computes,
        run: format,
    },
    Part {
        name: "lint-linux",
        about: "clippy has no finding, all packages and targets; the operator builds by itself",
        load: Load::Computes,
        run: lint_linux,
    },
    Part {
        name: "lint-windows",
        about: "clippy has no finding for x86_64-pc-windows-gnu; the node runtime builds by itself",
        load: Load::Computes,
        run: lint_windows,
    },
    Part {
        name: "deny",
        about: "licences, sources and bans of the dependency tree",
        load: Load::Computes,
        run: deny,
    },
    Part {
        name: "unit",
        about: "tests of crds, operator, setup and the bench that need no cluster; generated files are current",
        load: Load::Computes,
        run: unit,
    },
    Part {
        name: "model",
        about: "every reachable state of the operator's decisions in small fleets; seeded mistakes are caught",
        load: Load::Computes,
        run: model,
    },
    Part {
        name: "contract",
        about: "the suite that every backend of the node runtime passes: in memory, Linux, Windows (run by Wine)",
        load: Load::Computes,
        run: runtime::contract,
    },
    Part {
        name: "node-runtime",
        about: "all other tests of the node runtime, on Linux",
        load: Load::Computes,
        run: runtime::node_runtime,
    },
    Part {
        name: "fuzz",
        about: "the properties of the node runtime's fuzz targets, a minute of seeded inputs; the seed is in the log",
        load: Load::Computes,
        run: runtime::fuzz,
    },
    Part {
        name: "miri",
        about: "the pure parts of the node runtime under Miri, where a nightly toolchain has it",
        load: Load::Computes,
        run: runtime::miri,
    },
    Part {
        name: "windows-tests",
        about: "tests of the Windows packages, run by Wine",
        load: Load::Computes,
        run: runtime::windows_tests,
    },
    Part {
        name: "kustomize",
        about: "every kustomization under config/ builds",
        load: Load::Waits,
        run: kustomize,
    },
    Part {
        name: "go-vet",
        about: "go vet has no finding in the programs of the bench",
        load: Load::Waits,
        run: go_vet,
    },
    Part {
        name: "containerd",
        about: "our shim under the real containerd and its client, on Linux",
        load: Load::Waits,
        run: lanes::containerd,
    },
    Part {
        name: "windows-node",
        about: "kubelet and containerd for Windows start our shim under Wine, joined to a real control plane",
        load: Load::Waits,
        run: lanes::windows_node,
    },
    Part {
        name: "mission",
        about: "tasks of every kind, from kubectl apply to job objects on a real Windows node beside eleven simulated ones",
        load: Load::Waits,
        run: lanes::mission,
    },
    Part {
        name: "control-plane",
        about: "the suites on a real control plane with a simulated Windows fleet",
        load: Load::Waits,
        run: suites,
    },
];

fn format(part: &mut Session) -> Result<(), NotSetUp> {
    tools::component(part, "fmt", "rustfmt")?;
    // The colours are for the log: it is a file, but rustfmt looks at the terminal.
    part.check(cargo().args(["fmt", "--all", "--check", "--", "--color=never"]));
    part.check_silent(gofmt()?.arg("-l").arg(cargo::root().join("tests")));
    Ok(())
}

fn lint_linux(part: &mut Session) -> Result<(), NotSetUp> {
    tools::component(part, "clippy", "clippy")?;
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    part.check(cargo().args(arguments));
    // As it is shipped: everywhere else other packages are chosen with it, whose features it must not need.
    let alone = ["check", "--locked", "--package", "hosttask-operator"];
    part.check(cargo().args(alone));
    Ok(())
}

fn lint_windows(part: &mut Session) -> Result<(), NotSetUp> {
    tools::component(part, "clippy", "clippy")?;
    tools::windows_compiler(part)?;
    let mut command = cargo();
    command.args(["clippy", "--target", WINDOWS, "--all-targets", "--locked"]);
    command.args(cargo::choose(&cargo::FOR_WINDOWS));
    part.check(command.args(["--", "-D", "warnings"]));
    // As it is shipped, as for the operator.
    let mut alone = cargo();
    alone.args(["check", "--target", WINDOWS, "--locked"]);
    part.check(alone.args(["--package", cargo::RUNTIME]));
    Ok(())
}

fn deny(part: &mut Session) -> Result<(), NotSetUp> {
    let program = tools::cargo_deny(part)?;
    for what in ["bans", "sources", "licenses"] {
        let mut command = Command::new(&program);
        part.check(
            command
                .current_dir(cargo::root())
                .args(["--locked", "check", what]),
        );
    }
    Ok(())
}

fn go_vet(part: &mut Session) -> Result<(), NotSetUp> {
    let modules = [
        (vet::sources(), ["-tags=", "."]),
        (control_plane::sources(), ["-tags=", "."]),
        (control_plane::sources(), ["-tags=kstatusonly", "."]),
        (containerd::sources(), ["-tags=", "./..."]),
    ];
    for (folder, arguments) in modules {
        let mut command = vet(part, &folder, &arguments)?;
        part.check(&mut command);
    }
    // What stands before the tool must not keep it from everything.
    let mut command = vet(part, &vet::sources(), &["./testdata/wrong"])?;
    let (is_good, output) = part.run(&mut command);
    let is_found = !is_good && output.contains("wrong.go:");
    part.judge(is_found, &command, &output);
    Ok(())
}

fn vet(part: &mut Session, folder: &Path, arguments: &[&str]) -> Result<Command, NotSetUp> {
    let command = vet::command(folder, GO_COMPILE, arguments, &[], &mut |line| {
        part.tell(line);
    });
    command.map_err(|error| NotSetUp(error.to_string()))
}

#[expect(clippy::unnecessary_wraps, reason = "every part has the same shape")]
fn unit(part: &mut Session) -> Result<(), NotSetUp> {
    let tests = cargo::tests_of(&["crds", "operator"], &[]);
    part.test(around_a_cluster().args(tests).args(SHOW));
    Ok(())
}

/// Optimized, since it takes millions of decisions. All of it computes, so it runs while the other row waits for a Windows node.
#[expect(clippy::unnecessary_wraps, reason = "every part has the same shape")]
fn model(part: &mut Session) -> Result<(), NotSetUp> {
    let optimized = [
        "--config",
        "profile.dev.package.hosttask-operator.opt-level=2",
    ];
    let tests = cargo::test_programs("operator/model");
    let mut model = around_a_cluster();
    model.args(cargo::choose(&[cargo::MODEL])).args(optimized);
    part.test(model.args(tests).args(SHOW));
    Ok(())
}

fn kustomize(part: &mut Session) -> Result<(), NotSetUp> {
    let kubectl = control_plane(part)?.kubectl;
    let mut folders = Vec::new();
    find_kustomizations(&cargo::root().join("config"), &mut folders);
    folders.sort();
    if folders.is_empty() {
        return Err(NotSetUp("a clone with its config folder".to_owned()));
    }
    for folder in folders {
        let mut command = Command::new(&kubectl);
        // Recipes name what the user puts beside them; nothing may come from the network.
        part.check(command.arg("kustomize").arg(folder));
    }
    Ok(())
}

fn suites(part: &mut Session) -> Result<(), NotSetUp> {
    control_plane(part)?;
    // The suites start the operator and the supervisor as programs.
    if lanes::build(part, &cargo::AROUND_A_CLUSTER) {
        lanes::all_others(part)?;
    }
    Ok(())
}

/// `not run: …` is seen only if the output of tests that pass is shown.
pub(crate) const SHOW: [&str; 2] = ["--", "--show-output"];

/// `cargo test` for packages around a cluster.
pub(crate) fn around_a_cluster() -> Command {
    let mut command = test();
    command.args(cargo::choose(&cargo::AROUND_A_CLUSTER));
    command
}

pub(crate) fn test() -> Command {
    let mut command = cargo();
    command.args(["test", "--locked", "--no-fail-fast"]);
    command
}

/// The formatter of Go, which lies beside Go itself.
fn gofmt() -> Result<Command, NotSetUp> {
    let usual = PathBuf::from("/usr/local/go/bin/gofmt");
    let program = control_plane::in_path("gofmt").or_else(|| usual.is_file().then_some(usual));
    let missing = || NotSetUp("Go 1.26 or newer from https://go.dev/dl/".to_owned());
    program.map(Command::new).ok_or_else(missing)
}

fn control_plane(part: &mut Session) -> Result<control_plane::Programs, NotSetUp> {
    control_plane::programs(&mut |line| part.tell(line))
        .map_err(|error| NotSetUp(error.to_string()))
}

fn find_kustomizations(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.join("kustomization.yaml").is_file() {
        found.push(folder.to_owned());
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for inner in entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
    {
        find_kustomizations(&inner, found);
    }
}
