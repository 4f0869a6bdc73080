//! How a shim is started and found.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use containerd_shim_protos::types::introspection::RuntimeInfo;
use hosttask_node_runtime::ttrpc::{Call, Code, Service, Status, serve};
use protobuf::Message as _;
use serde_json::Value;

use crate::bench::{Bench, SHIM, names, refused, run, until};

#[test]
fn a_shim_answers_once_its_start_is_done_and_leaves_nothing_when_it_is_told_to_leave() {
    let bench = Bench::new("life");
    let address = bench.started("web");
    assert!(bench.answers(&address, "web"));
    let bundle = bench.bundle("web");
    assert_eq!(fs::read_to_string(bundle.join("address")).unwrap(), address);
    let process = bench.process("web");
    bench.shut_down(&address, "web");
    bench.wait(process);
    assert!(!bench.answers(&address, "web"));
    assert_eq!(names(&bundle), ["config.json"]);
    if !bench.is_windows() {
        assert_eq!(names(&bench.path("s")), Vec::<String>::new());
    }
}

#[test]
fn the_bundle_can_be_moved_while_the_shim_runs() {
    let bench = Bench::new("busy");
    let address = bench.started("web");
    fs::rename(bench.bundle("web"), bench.path("bundles").join(".web")).unwrap();
    assert!(bench.answers(&address, "web"));
    bench.shut_down(&address, "web");
}

#[test]
fn starts_of_one_name_find_one_shim_in_a_row_and_at_once() {
    let bench = Bench::new("twice");
    bench.bundle("web");
    let answers: Vec<String> = thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| bench.started("web")))
            .collect();
        starts.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let first = answers.first().unwrap();
    assert!(answers.iter().all(|it| it == first), "{answers:?}");
    let process = bench.process("web");
    assert_eq!(&bench.started("web"), first);
    assert_eq!(bench.process("web"), process);
    bench.shut_down(first, "web");
    bench.wait(process);
    assert!(!bench.answers(first, "web"));
}

#[test]
fn two_containers_have_two_shims() {
    let bench = Bench::new("two");
    let (web, db) = (bench.started("web"), bench.started("db"));
    assert_ne!(web, db);
    bench.shut_down(&web, "web");
    bench.wait(bench.process("web"));
    assert!(bench.answers(&db, "db"));
    bench.shut_down(&db, "db");
}

#[test]
fn an_older_containerd_is_answered_in_its_own_words() {
    let bench = Bench::new("older");
    for (newest, expected) in [
        (None, "A"),
        (
            Some("2"),
            r#"{"address":"A","protocol":"ttrpc","version":2}"#,
        ),
    ] {
        let mut command = bench.command("web", "start");
        if let Some(newest) = newest {
            command.env("MAX_SHIM_VERSION", newest);
        }
        let output = run(command, b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
        let address = fs::read_to_string(bench.bundle("web").join("address")).unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            answer
                .replace(&address.replace('\\', r"\\"), "A")
                .replace(&address, "A"),
            expected
        );
        assert!(bench.answers(&address, "web"));
        let process = bench.process("web");
        bench.shut_down(&address, "web");
        bench.wait(process);
    }
}

#[test]
fn a_container_of_a_pod_gets_the_shim_of_its_sandbox_and_none_of_its_own() {
    let bench = Bench::new("pod");
    let config = r#"{"annotations":{
        "io.kubernetes.cri.container-type":"container",
        "io.kubernetes.cri.sandbox-id":"pod"}}"#;
    fs::write(bench.bundle("web").join("config.json"), config).unwrap();
    let alone = refused(&bench.start("web"), 1);
    assert!(
        alone.contains("the shim of the pod pod does not answer"),
        "{alone}"
    );
    let pod = bench.started("pod");
    assert_eq!(bench.started("web"), pod);
    assert_eq!(names(&bench.bundle("web")), ["address", "config.json"]);
    bench.shut_down(&pod, "pod");
}

#[test]
fn a_shim_that_cannot_begin_makes_its_start_fail_with_the_reason() {
    let bench = Bench::new("reason");
    fs::remove_dir(bench.path("records")).unwrap();
    fs::write(bench.path("records"), "no folder").unwrap();
    let said = refused(&bench.start("web"), 1);
    assert!(
        said.contains("the shim failed to start") && said.contains("records"),
        "{said}"
    );
    assert_eq!(names(&bench.bundle("web")), ["config.json"]);
    // Nothing of it is left, so that the next one can begin.
    fs::remove_file(bench.path("records")).unwrap();
    let address = bench.started("web");
    bench.shut_down(&address, "web");
}

#[test]
fn an_address_that_somebody_else_serves_is_not_given_to_containerd() {
    let bench = Bench::new("squat");
    let address = bench.started("web");
    let process = bench.process("web");
    bench.shut_down(&address, "web");
    bench.wait(process);
    // It takes clients and never answers.
    let mut squatter = bench.host.listen(&address).unwrap();
    let said = thread::scope(|scope| {
        let start = scope.spawn(|| refused(&bench.start("web"), 1));
        let mut clients = Vec::new();
        while !start.is_finished() {
            clients.extend(squatter.accept(Duration::from_millis(50)).unwrap());
        }
        start.join().unwrap()
    });
    assert!(said.contains("does not answer at"), "{said}");
    assert_eq!(names(&bench.bundle("web")), ["config.json"]);
}

/// A shim that is about to leave: it says so to whoever finds it.
#[derive(Default)]
struct Leaving {
    asked: AtomicUsize,
    has_left: AtomicBool,
}

impl Service for Leaving {
    fn call(&self, _call: &Call<'_>) -> Result<Vec<u8>, Status> {
        self.asked.fetch_add(1, Ordering::AcqRel);
        Err(Status::new(Code::Unavailable, "about to leave"))
    }
}

#[test]
fn a_start_waits_for_a_shim_of_its_name_that_is_about_to_leave_and_starts_another() {
    let bench = Bench::new("leaving");
    let address = bench.started("web");
    let first = bench.process("web");
    bench.shut_down(&address, "web");
    bench.wait(first);
    let leaving = Arc::new(Leaving::default());
    let listener = bench.host.listen(&address).unwrap();
    let second = thread::scope(|scope| {
        let service = Arc::clone(&leaving);
        let serving = scope.spawn(|| {
            let service: Arc<dyn Service> = service;
            serve(listener, service, &|| {
                leaving.has_left.load(Ordering::Acquire)
            })
        });
        let starting = scope.spawn(|| bench.started("web"));
        until("the leaving one is asked again", || {
            leaving.asked.load(Ordering::Acquire) > 1
        });
        assert!(!starting.is_finished());
        leaving.has_left.store(true, Ordering::Release);
        serving.join().unwrap().unwrap();
        starting.join().unwrap()
    });
    assert_eq!(second, address);
    assert!(bench.answers(&address, "web"));
    bench.shut_down(&address, "web");
    bench.wait(bench.process("web"));
}

#[test]
fn nobody_can_serve_the_pipe_of_a_shim_beside_it_or_reach_it_from_afar() {
    let bench = Bench::new("pipe");
    let address = bench.started("web");
    let second = bench.host.listen(&address).unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::AlreadyExists);
    if bench.is_windows() {
        // Where a machine reaches itself this way, it is another to the pipe.
        let afar = address.replacen(r"\\.\", r"\\localhost\", 1);
        assert!(bench.host.connect(&afar, Duration::from_secs(5)).is_err());
    }
    assert!(bench.answers(&address, "web"));
    bench.shut_down(&address, "web");
}

#[test]
fn a_start_that_cannot_write_where_its_shim_is_fails_and_ends_it() {
    let bench = Bench::new("full");
    let address = bench.started("web");
    let process = bench.process("web");
    bench.shut_down(&address, "web");
    bench.wait(process);
    fs::create_dir(bench.bundle("web").join("address")).unwrap();
    let said = refused(&bench.start("web"), 1);
    assert!(
        said.contains("failed to write") && said.contains("address"),
        "{said}"
    );
    until("the shim stays", || !bench.answers(&address, "web"));
    assert_eq!(names(&bench.bundle("web")), ["address", "config.json"]);
}

#[test]
fn a_wrong_command_line_is_refused_with_all_that_is_wrong() {
    let mut command = Command::new(SHIM);
    command.args(["-what", "-id", "../web", "begin"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = refused(&output, 2);
    for part in ["-what", "-namespace is missing", "../web", "begin"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn what_the_runtime_is_can_be_asked_without_a_container() {
    let ask = |flag: &str| {
        let mut command = Command::new(SHIM);
        command.arg(flag).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        output.stdout
    };
    let info = RuntimeInfo::parse_from_bytes(&ask("-info")).unwrap();
    assert_eq!(info.name, "io.containerd.hosttask.v1");
    let features: Value = serde_json::from_slice(&info.features.value).unwrap();
    assert!(features["hosttask"]["features"]["backend"].is_string());
    let version = String::from_utf8(ask("-v")).unwrap();
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    assert!(String::from_utf8(ask("--help")).unwrap().contains("start"));
}
