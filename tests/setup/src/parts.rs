//! The parts of `cargo verify`, the quick ones first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hosttask_setup::{containerd, control_plane};

use crate::cargo::{self, cargo};
use crate::lanes;
use crate::part::{NotSetUp, Part, Session};
use crate::tools::{self, WINDOWS};
use crate::wine::Wine;

/// The packages that are built for Windows too.
const WINDOWS_PACKAGES: [&str; 4] = [
    "--package",
    "hosttask-crds",
    "--package",
    "hosttask-node-runtime",
];

/// Every part, in the order they run.
pub(crate) static ALL: [Part; 16] = [
    Part {
        name: "format",
        about: "rustfmt and gofmt would change nothing",
        run: format,
    },
    Part {
        name: "lint-linux",
        about: "clippy has no finding, all packages and targets",
        run: lint_linux,
    },
    Part {
        name: "lint-windows",
        about: "clippy has no finding for x86_64-pc-windows-gnu",
        run: lint_windows,
    },
    Part {
        name: "deny",
        about: "licences, sources and bans of the dependency tree",
        run: deny,
    },
    Part {
        name: "go-vet",
        about: "go vet has no finding in the programs of the bench",
        run: go_vet,
    },
    Part {
        name: "unit",
        about: "tests of crds, operator and setup; generated files are current",
        run: unit,
    },
    Part {
        name: "contract",
        about: "the suite that every backend of the node runtime passes: in memory, Linux, Windows (run by Wine)",
        run: contract,
    },
    Part {
        name: "node-runtime",
        about: "all other tests of the node runtime, on Linux",
        run: node_runtime,
    },
    Part {
        name: "fuzz",
        about: "the properties of the node runtime's fuzz targets, a minute of seeded inputs; the seed is in the log",
        run: fuzz,
    },
    Part {
        name: "miri",
        about: "the pure parts of the node runtime under Miri, where a nightly toolchain has it",
        run: miri,
    },
    Part {
        name: "model",
        about: "every reachable state of the operator's decisions in small fleets; seeded mistakes are caught",
        run: model,
    },
    Part {
        name: "windows-tests",
        about: "tests of the Windows packages, run by Wine",
        run: windows_tests,
    },
    Part {
        name: "kustomize",
        about: "every kustomization under config/ builds",
        run: kustomize,
    },
    Part {
        name: "containerd",
        about: "our shim under the real containerd and its client, on Linux",
        run: lanes::containerd,
    },
    Part {
        name: "windows-node",
        about: "kubelet and containerd for Windows start our shim under Wine, joined to a real control plane",
        run: lanes::windows_node,
    },
    Part {
        name: "control-plane",
        about: "the suites on a real control plane with a simulated Windows fleet",
        run: suites,
    },
];

fn format(part: &mut Session) -> Result<(), NotSetUp> {
    tools::component(part, "fmt", "rustfmt")?;
    // The colours are for the log: it is a file, but rustfmt looks at the terminal.
    part.check(cargo().args(["fmt", "--all", "--check", "--", "--color=never"]));
    part.check_silent(go("gofmt")?.arg("-l").arg(cargo::root().join("tests")));
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
    Ok(())
}

fn lint_windows(part: &mut Session) -> Result<(), NotSetUp> {
    tools::component(part, "clippy", "clippy")?;
    tools::windows_compiler(part)?;
    let mut command = cargo();
    command.args(["clippy", "--target", WINDOWS, "--all-targets", "--locked"]);
    part.check(
        command
            .args(WINDOWS_PACKAGES)
            .args(["--", "-D", "warnings"]),
    );
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
    for tags in ["-tags=", "-tags=kstatusonly"] {
        // The flags of the build, so that what it compiled is used again.
        part.check(
            go("go")?
                .args(["vet", "-trimpath", tags, "."])
                .env("CGO_ENABLED", "0"),
        );
    }
    part.check(
        go("go")?
            .args(["vet", "-trimpath", "./..."])
            .current_dir(containerd::sources())
            .env("CGO_ENABLED", "0"),
    );
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "every part has the same shape")]
fn unit(part: &mut Session) -> Result<(), NotSetUp> {
    let packages = ["hosttask-crds", "hosttask-operator", "hosttask-setup"];
    part.test(
        test()
            .args(packages.iter().flat_map(|name| ["--package", name]))
            .args(SHOW),
    );
    Ok(())
}

/// With a profile of its own: it takes millions of decisions.
#[expect(clippy::unnecessary_wraps, reason = "every part has the same shape")]
fn model(part: &mut Session) -> Result<(), NotSetUp> {
    let arguments = [
        "--profile",
        "model",
        "--package",
        "hosttask-operator",
        "--test",
        "model",
        "--test",
        "mutants",
    ];
    part.test(test().args(arguments).args(SHOW));
    Ok(())
}

fn windows_tests(part: &mut Session) -> Result<(), NotSetUp> {
    let wine = wine(part)?;
    let mut crds = on_windows(&wine);
    crds.args(["--package", "hosttask-crds", "--lib", "--tests"]);
    part.test(crds.args(SHOW));
    let mut runtime = on_windows(&wine);
    part.skip(
        "the calls of a shim, tests/shim (some of them crash the server of Wine 8 now and then; run them by hand)"
            .to_owned(),
    );
    // A write to a pipe that nobody reads does not always time out there, and the test waits for ever.
    let stalls = "native::whoever_stalls_in_a_frame_or_takes_no_answer_is_hung_up_on";
    part.skip(format!("{stalls} (Wine does not always cut a write short)"));
    part.test(
        runtime
            .args(runtime_except(&[CONTRACT, "shim"]))
            .args(SHOW)
            .args(["--skip", stalls]),
    );
    wine.stop(part);
    Ok(())
}

/// The same tests on every backend, each counted on its own.
fn contract(part: &mut Session) -> Result<(), NotSetUp> {
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
fn node_runtime(part: &mut Session) -> Result<(), NotSetUp> {
    part.test(test().args(runtime_except(&[CONTRACT])).args(SHOW));
    Ok(())
}

/// Of the time, each target has the same share, one after the other.
#[expect(clippy::unnecessary_wraps, reason = "every part has the same shape")]
fn fuzz(part: &mut Session) -> Result<(), NotSetUp> {
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
fn miri(part: &mut Session) -> Result<(), NotSetUp> {
    let with = |arguments: &[&str]| {
        // Another toolchain than the one this was started with.
        let mut command = Command::new("rustup");
        command
            .args(["run", "nightly", "cargo", "miri"])
            .args(arguments);
        command.current_dir(cargo::root());
        command.env("CARGO_TARGET_DIR", cargo::target_dir().join("miri"));
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
    let others = lanes::all_others()?;
    // The suites start the operator and the supervisor as programs.
    let mut build = cargo();
    build.args(["build", "--locked", "--bins"]);
    build.args([
        "--package",
        "hosttask-operator",
        "--package",
        "hosttask-tests",
    ]);
    if part.check(&mut build) {
        part.test(test().args(others).args(SHOW));
    }
    Ok(())
}

/// `not run: …` is seen only if the output of tests that pass is shown.
pub(crate) const SHOW: [&str; 2] = ["--", "--show-output"];

pub(crate) fn test() -> Command {
    let mut command = cargo();
    command.args(["test", "--locked", "--no-fail-fast"]);
    command
}

/// A program of Go, in the folder of the control-plane sources unless another is chosen.
fn go(name: &str) -> Result<Command, NotSetUp> {
    let usual = Path::new("/usr/local/go/bin").join(name);
    let program = control_plane::in_path(name)
        .or_else(|| usual.is_file().then_some(usual))
        .ok_or_else(|| NotSetUp("Go 1.26 or newer from https://go.dev/dl/".to_owned()))?;
    let mut command = Command::new(program);
    command
        .current_dir(control_plane::sources())
        .env("GOWORK", "off");
    Ok(command)
}

fn control_plane(part: &mut Session) -> Result<control_plane::Programs, NotSetUp> {
    control_plane::programs(&mut |line| {
        part.say(line);
        // Seven minutes without a word look like a hang.
        eprintln!("  {line}");
    })
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
