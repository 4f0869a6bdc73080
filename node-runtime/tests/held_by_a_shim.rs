//! What `hosttask-node` shows of a container that a shim holds, and what it leaves to containerd.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics"
)]

#[path = "container/bench.rs"]
#[expect(dead_code, reason = "this test needs only a part of the bench")]
mod bench;
#[path = "scene/mod.rs"]
mod scene;

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use bench::Bench;
use serde_json::Value;

/// Longer than anything takes, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs `hosttask-node` on the records of the bench. This process is the shim: it holds containers without an address.
fn ask(bench: &Bench, command: &str) -> Output {
    let id = bench.id("web").to_string();
    let mut program = Command::new(env!("CARGO_BIN_EXE_hosttask-node"));
    program.arg("--root").arg(bench.path("state"));
    program.args(["--output", "json", command, &id]);
    program.output().unwrap()
}

fn answer(bench: &Bench, command: &str) -> Value {
    let output = ask(bench, command);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn its_job_is_looked_at_by_everybody_and_the_rest_is_left_to_containerd() {
    let bench = Bench::native();
    let container = bench.create("web", "tree 2 hang");
    container.start().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let count = |listed: &Value| listed.as_array().map_or(0, Vec::len);
    let mut listed = answer(&bench, "ps");
    while count(&listed) < 3 {
        assert!(Instant::now() < deadline, "{listed}");
        listed = answer(&bench, "ps");
    }
    let used = answer(&bench, "stats");
    assert!(
        used.pointer("/usage/activeProcesses").unwrap().as_u64() >= Some(3),
        "{used}"
    );
    for command in ["kill", "pause", "stop"] {
        let refused = ask(&bench, command);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(125), "{command}: {said}");
        assert!(said.contains("containerd holds"), "{command}: {said}");
    }
    assert!(
        count(&answer(&bench, "ps")) >= 3,
        "looking and being refused end nothing"
    );
}
