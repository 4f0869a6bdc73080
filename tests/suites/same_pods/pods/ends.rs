//! How programs end: exit codes and restart policies, termination messages, deletion, the deadline.

use hosttask_tests::windows_node::WindowsNode;
use serde_json::{Value, json};

use super::super::case::{
    Case, and, container, ended, exits, file, hangs, never_asked, probe, ready, running, waits,
    waits_for, with,
};

pub(super) fn all() -> Vec<Case> {
    vec![
        once("never-0", "Never", 0),
        once("never-1", "Never", 1),
        once("never-3010", "Never", 3010),
        once("on-failure-0", "OnFailure", 0),
        again("on-failure-3010", "OnFailure", 3010),
        again("always-0", "Always", 0),
        again("always-1", "Always", 1),
        recovers(),
        one_of_two(),
        message_of_file(),
        message_of_log(),
        deleted("deleted-polite", &waits("main"), &stops(0), 20),
        deleted("deleted-code-4", &ends_with_4(), &stops(4), 20),
        deleted("deleted-stubborn", &stubborn(), &never_stops(), 4),
        deleted("pre-stop", &with_pre_stop(), &stops(0), 20),
        deadline(),
    ]
}

/// A program that ends when its pod was seen ready, and is not started again.
fn once(name: &'static str, policy: &str, code: i32) -> Case {
    let program = ends_at_gate("main", name, code);
    Case::new(
        name,
        json!({ "restartPolicy": policy, "containers": [program] }),
        ended,
    )
    .opens(ready, &[("main", exits(code))])
}

/// A program that waits for its pod's file and then ends.
fn ends_at_gate(container: &str, pod: &str, code: i32) -> Value {
    probe(container, &["await", &file(pod), "exit", &code.to_string()])
}

/// A program that ends at once, each time. It is followed until its first pause.
fn again(name: &'static str, policy: &str, code: i32) -> Case {
    let program = with(
        probe("main", &["exit", &code.to_string()]),
        &json!({ "readinessProbe": never_asked() }),
    );
    let spec = json!({ "restartPolicy": policy, "containers": [program] });
    Case::new(name, spec, waits_for("main", "CrashLoopBackOff", 1)).does("main", exits(code))
}

/// A program that fails until its second start at least, and then succeeds.
fn recovers() -> Case {
    let name = "on-failure-recovers";
    let program = with(
        probe("main", &["show", &file(name)]),
        &json!({ "readinessProbe": never_asked() }),
    );
    let spec = json!({ "restartPolicy": "OnFailure", "containers": [program] });
    Case::new(name, spec, ended).does("main", exits(70)).opens(
        waits_for("main", "CrashLoopBackOff", 1),
        &[("main", exits(0))],
    )
}

/// One program fails while the other goes on, until the pod is deleted.
fn one_of_two() -> Case {
    let name = "one-of-two-fails";
    let containers = [ends_at_gate("bad", name, 1603), waits("good")];
    let has_failed = container("bad", |it| it["state"]["terminated"].is_object());
    Case::new(name, json!({ "containers": containers }), has_failed)
        .opens(ready, &[("bad", exits(1603))])
}

fn message_of_file() -> Case {
    let name = "message-of-file";
    let place = "%CONTAINER_SANDBOX_MOUNT_POINT%\\dev\\termination-log";
    let steps = [
        "await",
        &file(name),
        "write",
        place,
        "disk is full",
        "exit",
        "5",
    ];
    Case::new(
        name,
        json!({ "containers": [probe("main", &steps)] }),
        ended,
    )
    .opens(
        ready,
        &[(
            "main",
            json!({ "exit": { "code": 5, "afterSeconds": 0.3, "message": "disk is full" } }),
        )],
    )
}

fn message_of_log() -> Case {
    let name = "message-of-log";
    let steps = ["await", &file(name), "print", "no licence", "exit", "5"];
    let program = with(
        probe("main", &steps),
        &json!({ "terminationMessagePolicy": "FallbackToLogsOnError" }),
    );
    Case::new(name, json!({ "containers": [program] }), ended).opens(
        ready,
        &[(
            "main",
            json!({ "exit": { "code": 5, "afterSeconds": 0.3, "log": "no licence\n" } }),
        )],
    )
}

/// A pod that is deleted while its program runs.
fn deleted(name: &'static str, program: &Value, stop: &Value, grace: u32) -> Case {
    let spec = json!({ "containers": [program], "terminationGracePeriodSeconds": grace });
    Case::new(name, spec, |status| running(status) && ready(status))
        .does("main", and(hangs(), stop))
}

/// How a simulated program stops that is told to.
fn stops(code: i32) -> Value {
    json!({ "stop": { "afterSeconds": 0.2, "code": code } })
}

fn never_stops() -> Value {
    json!({ "stop": { "afterSeconds": 1000 } })
}

fn ends_with_4() -> Value {
    probe("main", &["on-interrupt", "4", "hang"])
}

fn stubborn() -> Value {
    probe("main", &["ignore", "hang"])
}

fn with_pre_stop() -> Value {
    let hook = json!({ "exec": { "command": [WindowsNode::PROBE, "exit", "0"] } });
    with(waits("main"), &json!({ "lifecycle": { "preStop": hook } }))
}

fn deadline() -> Case {
    let spec = json!({ "activeDeadlineSeconds": 60, "containers": [waits("main")] });
    Case::new("deadline", spec, |status| {
        ended(status) && container("main", |it| it["state"]["terminated"].is_object())(status)
    })
    .does("main", and(hangs(), &stops(0)))
}
