//! containerd's own command line client, as a person uses it.

use std::fs::{self, File};

use hosttask_tests::containerd::{Ask, Part, Spec};
use serde_json::json;

use super::bench::{Bench, PATIENCE, eventually, program};

/// The program for tests, as an argument.
fn probe() -> String {
    program("probe").into_os_string().into_string().unwrap()
}

#[test]
fn run_shows_both_streams_ends_with_the_exit_code_and_leaves_nothing() {
    let bench = Bench::new();
    let fifos = bench.file("fifos");
    for code in [0, 7, 255] {
        let number = code.to_string();
        let steps = ["print", "hello", "complain", "oh", "exit", &number];
        let ended = bench.run("web", &["--rm", "--fifo-dir", &fifos], &steps);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(
            (ended.printed.as_str(), ended.complained.as_str()),
            ("hello\n", "oh\n")
        );
        assert_eq!(bench.done(&["containers", "ls", "-q"]), "");
    }
    bench.is_empty();
}

#[test]
fn exec_has_streams_and_a_code_of_its_own() {
    let bench = Bench::new();
    let fifos = bench.file("fifos");
    let ended = bench.run("web", &["--detach", "--null-io"], &["hang"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let probe = probe();
    let options = ["task", "exec", "--fifo-dir", &fifos, "--exec-id", "one"];
    let words = [probe.as_str(), "print", "hi", "complain", "no", "exit", "9"];
    let exec: Vec<&str> = options.into_iter().chain(["web"]).chain(words).collect();
    let ended = bench.ctr(&exec);
    assert_eq!(ended.code, Some(9), "{ended:?}");
    assert_eq!(
        (ended.printed.as_str(), ended.complained.as_str()),
        ("hi\n", "no\n")
    );
    bench.remove("web");
    bench.is_empty();
}

#[test]
fn ps_metrics_pause_resume_kill_and_delete_do_what_they_say() {
    let bench = Bench::new();
    let ended = bench.run("web", &["--detach", "--null-io"], &["tree", "3", "hang"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    eventually("ps shows the tree", PATIENCE, || {
        let printed = bench.done(&["task", "ps", "web"]);
        // A line of titles, the program, its three descendants.
        (printed.lines().count() == 5).then_some(()).ok_or(printed)
    });
    let metrics = bench.done(&["task", "metrics", "--format", "json", "web"]);
    let metrics: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    assert_eq!(metrics["pids"]["current"], 4, "{metrics}");
    bench.done(&["task", "pause", "web"]);
    assert!(bench.done(&["task", "ls"]).contains("PAUSED"));
    bench.done(&["task", "resume", "web"]);
    assert!(bench.done(&["task", "ls"]).contains("RUNNING"));
    let refused = bench.ctr(&["task", "delete", "web"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    bench.done(&["task", "kill", "--signal", "SIGKILL", "web"]);
    eventually("it has ended", PATIENCE, || {
        let printed = bench.done(&["task", "ls"]);
        printed.contains("STOPPED").then_some(()).ok_or(printed)
    });
    assert_eq!(bench.processes("web"), []);
    let deleted = bench.ctr(&["task", "delete", "web"]);
    assert!(deleted.complained.contains("exit code 137"), "{deleted:?}");
    bench.done(&["containers", "delete", "web"]);
    bench.is_empty();
}

#[test]
fn a_limit_can_be_changed_while_it_runs_and_a_wrong_one_is_refused() {
    let bench = Bench::new();
    bench.started("web", &["hang"]);
    let update = |value| {
        bench.client.ask(&Ask {
            call: "update",
            id: "web".to_owned(),
            value,
            ..Ask::default()
        })
    };
    let refused = update(json!({ "memory": { "limit": "much" } })).unwrap_err();
    assert_eq!(refused.code, "InvalidArgument", "{refused}");
    assert!(refused.message.contains("memory.limit"), "{refused}");
    let changed = update(json!({ "memory": { "limit": 256 << 20 } }));
    if changed
        .as_ref()
        .is_err_and(|it| it.code == "Unimplemented" || it.message.contains("cannot"))
    {
        println!("not run: changing a limit (this host has no limits: {changed:?})");
    } else {
        changed.unwrap();
    }
    bench.remove("web");
}

#[test]
fn what_a_person_gets_wrong_is_said_with_the_field() {
    let bench = Bench::new();
    let mut spec = bench.spec("web", &["hang"]);
    spec = spec.with(Part::Process, "env", json!(["NO_VALUE_SEPARATOR"]));
    spec = spec.with(
        Part::Top,
        "hooks",
        json!({ "prestart": [{ "path": "/x" }] }),
    );
    let refused = bench.create_with("web", &spec).unwrap_err();
    assert_eq!(refused.code, "InvalidArgument", "{refused}");
    for field in ["process.env[0]:", "hooks:"] {
        let count = refused.message.matches(field).count();
        assert_eq!(count, 1, "{field}: {refused}");
    }
    bench.client.call("remove", "web", "").unwrap();
    let ended = bench.run("web", &["--rm", "--null-io"], &["unknown-step"]);
    assert_eq!(ended.code, Some(64), "{ended:?}");
    let spec = Spec::new("no-such-program".as_ref(), &[]);
    let arguments = bench.ctr_run("gone", &spec, &["--rm", "--null-io"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = bench.ctr(&arguments);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.complained.contains("no-such-program"), "{ended:?}");
    bench.is_empty();
}

#[test]
fn events_come_in_the_order_of_a_life() {
    let bench = Bench::new();
    let topics = bench.file("topics");
    let mut events = bench.containerd.ctr(&bench.namespace, &["events"]);
    events.stdout(File::create(&topics).unwrap());
    let mut events = events.spawn().unwrap();
    // Only what happens once it has subscribed is told: containers are made until one is.
    let seen = || fs::read_to_string(&topics).unwrap();
    eventually("the events are told", PATIENCE, || {
        bench.done(&["containers", "create", "--config", &empty(&bench), "try"]);
        bench.done(&["containers", "delete", "try"]);
        (!seen().is_empty()).then_some(()).ok_or("none")
    });
    bench.started("web", &["hang"]);
    bench
        .client
        .ask(&exec(&bench, "web", "one", &["exit", "3"]))
        .unwrap();
    bench.client.call("start", "web", "one").unwrap();
    assert_eq!(bench.code("web", "one"), 3);
    bench.client.call("delete", "web", "one").unwrap();
    bench.client.call("pause", "web", "").unwrap();
    bench.client.call("resume", "web", "").unwrap();
    bench.remove("web");
    let wanted = [
        "/tasks/create",
        "/tasks/start",
        "/tasks/exec-added",
        "/tasks/exec-started",
        "/tasks/exit",
        "/tasks/paused",
        "/tasks/resumed",
        "/tasks/exit",
        "/tasks/delete",
    ];
    eventually("every event of the life", PATIENCE, || {
        let seen = seen();
        let words = seen.lines().flat_map(|line| line.split(' '));
        let found: Vec<&str> = words.filter(|word| word.starts_with("/tasks/")).collect();
        if found == wanted { Ok(()) } else { Err(seen) }
    });
    events.kill().unwrap();
    events.wait().unwrap();
}

/// A config that nothing is started from.
fn empty(bench: &Bench) -> String {
    let file = bench.file("empty.json");
    fs::write(&file, "{}").unwrap();
    file
}

/// An exec of the program for tests, without streams.
pub(crate) fn exec(bench: &Bench, id: &str, exec: &str, steps: &[&str]) -> Ask {
    Ask {
        call: "exec",
        id: id.to_owned(),
        exec: exec.to_owned(),
        value: bench.spec(id, &[]).process(steps),
        ..Ask::default()
    }
}
