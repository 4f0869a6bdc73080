//! What of `hosttask-node` only Linux lets a test see: signals to an attached command, and the command line of a keeper. The
//! whole file is for Linux; under Wine no program without a console can be sent Ctrl+C.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

#[path = "command/bench.rs"]
#[expect(dead_code, reason = "these tests need less of it")]
mod bench;

use std::process::Child;
use std::time::{Duration, Instant};

use bench::{Bench, PATIENCE, PROBE, config, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// Runs the probe attached, with these steps after it said that it is ready.
fn attached(bench: &Bench, steps: &[&str]) -> Child {
    let ready = bench.file("ready");
    let (before, after) = steps.split_at(steps.len() - 1);
    let file = ["ready", ready.to_str().unwrap()];
    let head = ["run", "--rm", "--grace", "50s", &bench.web, "--", &PROBE];
    let run = bench.start(&[&head, before, &file, after].concat());
    eventually("it is ready", PATIENCE, || ready.exists());
    run
}

fn interrupt(run: &Child) {
    let pid = Pid::from_raw(run.id().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
}

#[test]
fn an_interrupted_command_asks_its_container_to_end_and_ends_with_its_code() {
    let bench = Bench::new();
    let mut run = attached(&bench, &["on-interrupt", "5", "hang"]);
    interrupt(&run);
    assert_eq!(run.wait().unwrap().code(), Some(5));
    assert_eq!(bench.done(&["list", "-o", "json"]).trim(), "[]");
}

#[test]
fn a_second_interrupt_ends_what_does_not_listen() {
    let bench = Bench::new();
    let mut run = attached(&bench, &["ignore", "hang"]);
    let began = Instant::now();
    interrupt(&run);
    eventually("it is asked", PATIENCE, || {
        bench.state(&bench.web)["status"] == "stopping"
    });
    interrupt(&run);
    assert_eq!(run.wait().unwrap().code(), Some(137));
    assert!(
        began.elapsed() < Duration::from_secs(40),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn an_interrupted_exec_ends_its_program_and_leaves_the_container() {
    let bench = Bench::new();
    bench.detached(&bench.web, &["hang"]);
    let ready = bench.file("ready");
    let file = ready.to_str().unwrap();
    let line = [
        "exec",
        &bench.web,
        "--",
        &PROBE,
        "on-interrupt",
        "6",
        "ready",
        file,
        "hang",
    ];
    let mut exec = bench.start(&line);
    eventually("it is ready", PATIENCE, || ready.exists());
    interrupt(&exec);
    assert_eq!(exec.wait().unwrap().code(), Some(6));
    assert_eq!(bench.state(&bench.web)["status"], "running");
}

#[test]
fn nothing_secret_is_on_the_command_line_of_a_keeper() {
    let bench = Bench::new();
    let mut config = config(&[&PROBE, "print", "argument-hunter2", "hang"]);
    config["process"]["env"] = json!(["PASSWORD=variable-hunter2"]);
    let bundle = bench.bundle_of("bundle", &config);
    bench.done(&["run", "-d", "--bundle", &bundle, &bench.web]);
    let keeper = bench.record(&bench.web).keeper.unwrap();
    let read = |name: &str| std::fs::read(format!("/proc/{}/{name}", keeper.pid)).unwrap();
    let line = String::from_utf8(read("cmdline")).unwrap();
    assert!(
        line.contains("keeper") && !line.contains("hunter2"),
        "{line}"
    );
    let environment = String::from_utf8_lossy(&read("environ")).into_owned();
    assert!(!environment.contains("hunter2"));
}
