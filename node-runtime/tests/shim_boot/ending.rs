//! What a shim says while it runs, how it leaves, and what is left of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use containerd_shim_protos::api::{DeleteResponse, ShutdownRequest};
use hosttask_node_runtime::ttrpc::Error;
use protobuf::Message as _;
use serde_json::{Value, json};

use crate::bench::{Bench, LONG, SHIM, names, run, spawn, until};

#[test]
fn what_is_left_of_a_container_without_a_shim_is_removed_without_a_word() {
    let bench = Bench::new("gone");
    let address = bench.started("web");
    let process = bench.process("web");
    let shim = bench.host.open_process(process).unwrap().unwrap();
    shim.terminate(1).unwrap();
    bench.wait(process);
    let deleted = bench.delete("web");
    assert_eq!((deleted.pid, deleted.exit_status), (0, 255));
    assert!(deleted.exited_at.seconds > 0);
    if !bench.is_windows() {
        assert_eq!(names(&bench.path("s")), Vec::<String>::new());
    }
    // A second time, and for one that never was.
    assert_eq!(bench.delete("web").exit_status, 255);
    assert_eq!(bench.delete("never").exit_status, 255);
    // The name can be used again.
    assert_eq!(bench.started("web"), address);
    bench.shut_down(&address, "web");
}

#[test]
fn a_shim_that_containerd_lost_is_told_to_leave() {
    let bench = Bench::new("lost");
    let address = bench.started("web");
    let process = bench.process("web");
    assert_eq!(bench.delete("web").exit_status, 255);
    bench.wait(process);
    assert!(!bench.answers(&address, "web"));
}

#[test]
fn a_shim_that_does_not_answer_is_ended() {
    let bench = Bench::new("mute");
    let output = fs::File::create(bench.path("output")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_probe"));
    let steps = ["hang".to_owned()];
    let process = bench.host.spawn_detached(program, &steps, output).unwrap();
    let known = json!({
        "process": process,
        "address": bench.path("nowhere"),
        "stateRoot": bench.path("records"),
    });
    let bundle = bench.bundle("web");
    fs::write(bundle.join("hosttask-shim.json"), known.to_string()).unwrap();
    assert!(bench.runs(process));
    assert_eq!(bench.delete("web").exit_status, 255);
    bench.wait(process);
}

#[test]
fn what_panics_of_a_shim_said_is_told_when_it_is_deleted() {
    let bench = Bench::new("panic");
    fs::write(
        bench.bundle("web").join("panic.log"),
        "panicked at x.rs:1:\nno\n",
    )
    .unwrap();
    let output = run(bench.command("web", "delete"), b"");
    assert!(output.status.success());
    assert!(DeleteResponse::parse_from_bytes(&output.stdout).is_ok());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 2);
    assert!(said.contains("panicked at x.rs:1:"), "{said}");
}

#[test]
fn the_deletion_of_a_container_leaves_the_shim_of_its_pod_alone() {
    let bench = Bench::new("others");
    let pod = bench.started("pod");
    let process = bench.process("pod");
    let web = bench.bundle("web");
    fs::write(web.join("sandbox"), "pod").unwrap();
    let written = format!(
        r#"{{"version":3,"address":{},"protocol":"ttrpc"}}"#,
        Value::from(pod.clone())
    );
    fs::write(web.join("bootstrap.json"), written).unwrap();
    assert_eq!(bench.delete("web").exit_status, 255);
    assert!(bench.runs(process) && bench.answers(&pod, "pod"));
    bench.shut_down(&pod, "pod");
}

#[test]
fn a_shim_that_nobody_uses_leaves_by_itself_whether_its_start_was_ended_or_not() {
    let bench = Bench::new("orphan");
    let unused = bench.started("unused");
    // One that somebody is connected to stays, although it has no task either.
    let used = bench.started("used");
    let client = bench.client(&used);
    // Served first, so that its address and what else it is given are known.
    let address = bench.started("web");
    let process = bench.process("web");
    bench.shut_down(&address, "web");
    bench.wait(process);
    let mut serve = Command::new(SHIM);
    serve
        .args([
            "-namespace",
            &bench.namespace,
            "-id",
            "web",
            "-socket",
            &address,
        ])
        .arg("-state-root")
        .arg(bench.path("records"))
        .arg("-bundle")
        .arg(bench.bundle("web"))
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut shim = spawn(serve, b"");
    let mut ready = String::new();
    let mut output = BufReader::new(shim.stdout.take().unwrap());
    output.read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    drop(output);
    assert!(bench.answers(&address, "web"));
    until("the shim stays", || shim.try_wait().unwrap().is_some());
    assert_eq!(shim.wait().unwrap().code(), Some(0));
    assert!(!bench.answers(&address, "web"));
    until("the other one stays", || {
        names(&bench.bundle("unused")) == ["config.json"]
    });
    assert!(!bench.answers(&unused, "unused"));
    let request = ShutdownRequest {
        id: "used".to_owned(),
        ..ShutdownRequest::default()
    };
    let request = request.write_to_bytes().unwrap();
    let answer = client.call("containerd.task.v3.Task", "Shutdown", &request, LONG);
    answer.unwrap();
}

#[test]
fn a_shim_that_leaves_late_leaves_the_files_of_the_one_that_was_started_after_it() {
    let bench = Bench::new("late");
    let address = bench.started("web");
    let process = bench.process("web");
    let file = bench.bundle("web").join("hosttask-shim.json");
    let mut known: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    known["process"]["started"] = json!(1);
    fs::write(&file, known.to_string()).unwrap();
    bench.shut_down(&address, "web");
    bench.wait(process);
    let left = ["address", "config.json", "hosttask-shim.json", "shim.pid"];
    assert_eq!(names(&bench.bundle("web")), left);
}

/// Has the shim log a line.
fn say(bench: &Bench, address: &str) {
    let answer = bench
        .client(address)
        .call("no.such.Service", "Nonsense", b"", LONG);
    assert!(matches!(answer, Err(Error::Status(_))), "{answer:?}");
}

/// The first line that says this.
fn line_of(reader: &mut impl BufRead, part: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the log ended");
        if line.contains(part) {
            return line;
        }
    }
}

#[test]
fn lines_of_the_log_are_read_by_one_containerd_after_another() {
    let bench = Bench::new("log");
    let fifo = bench.bundle("web").join("log");
    if !bench.is_windows() {
        let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
    }
    let address = bench.started("web");
    if bench.is_windows() {
        // One that came and left while nothing was said.
        let pipe = format!(r"\\.\pipe\containerd-shim-{}-web-log", bench.namespace);
        drop(bench.host.connect(&pipe, LONG).unwrap());
    }
    for _ in 0..2 {
        say(&bench, &address);
        let line = if bench.is_windows() {
            let pipe = format!(r"\\.\pipe\containerd-shim-{}-web-log", bench.namespace);
            let mut reader = bench.host.connect(&pipe, LONG).unwrap();
            reader.set_timeout(Some(LONG)).unwrap();
            line_of(&mut BufReader::new(reader), "Nonsense")
        } else {
            let mut options = fs::OpenOptions::new();
            let reader = options.read(true).write(true).open(&fifo).unwrap();
            line_of(&mut BufReader::new(reader), "Nonsense")
        };
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["level"], "error");
        assert!(line["time"].is_string());
    }
    bench.shut_down(&address, "web");
}
