//! In which order containers start and stop: init containers, sidecars, hooks.

use hosttask_tests::windows_node::WindowsNode;
use serde_json::json;

use super::super::case::{
    Case, Wanted, container, ended, exits, file, hangs, never_asked, probe, ready, waits,
    waits_for, with,
};

pub(super) fn all() -> Vec<Case> {
    vec![
        in_order(),
        fails("init-fails-never", "Never"),
        init_again(),
        init_recovers(),
        sidecar(),
        sidecar_again(),
        post_start("post-start-fails", "Never", Box::new(ended)),
        post_start(
            "post-start-fails-always",
            "Always",
            Box::new(waits_for("main", "CrashLoopBackOff", 1)),
        ),
    ]
}

fn in_order() -> Case {
    let name = "init-in-order";
    let spec = json!({
        "initContainers": [probe("first", &["exit", "0"]), probe("second", &["exit", "0"])],
        "containers": [probe("main", &["await", &file(name), "exit", "0"])],
    });
    Case::new(name, spec, ended)
        .does("first", exits(0))
        .does("second", exits(0))
        .opens(ready, &[("main", exits(0))])
}

fn fails(name: &'static str, policy: &str) -> Case {
    let spec = json!({
        "restartPolicy": policy,
        "initContainers": [probe("first", &["exit", "9"]), probe("second", &["exit", "0"])],
        "containers": [waits("main")],
    });
    Case::new(name, spec, ended).does("first", exits(9))
}

fn init_again() -> Case {
    let spec = json!({
        "restartPolicy": "OnFailure",
        "initContainers": [probe("first", &["exit", "9"])],
        "containers": [waits("main")],
    });
    Case::new(
        "init-fails-on-failure",
        spec,
        waits_for("first", "CrashLoopBackOff", 1),
    )
    .does("first", exits(9))
}

fn init_recovers() -> Case {
    let name = "init-recovers";
    let spec = json!({
        "restartPolicy": "Always",
        "initContainers": [probe("first", &["show", &file(name)])],
        "containers": [waits("main")],
    });
    Case::new(name, spec, ready).does("first", exits(70)).opens(
        waits_for("first", "CrashLoopBackOff", 1),
        &[("first", exits(0))],
    )
}

fn sidecar() -> Case {
    let name = "sidecar";
    // It takes its time, so that both kubelets report the pod while only the sidecar runs.
    let side = probe("side", &["linger", "4000", "on-interrupt", "0", "hang"]);
    let side = with(side, &json!({ "restartPolicy": "Always" }));
    let spec = json!({
        "initContainers": [side],
        "containers": [probe("main", &["await", &file(name), "exit", "0"])],
    });
    Case::new(name, spec, ended)
        .does(
            "side",
            with(hangs(), &json!({ "stop": { "afterSeconds": 4 } })),
        )
        .opens(ready, &[("main", exits(0))])
}

fn sidecar_again() -> Case {
    let side = with(
        probe("side", &["exit", "2"]),
        &json!({ "restartPolicy": "Always", "readinessProbe": never_asked() }),
    );
    let spec = json!({
        "restartPolicy": "Always",
        "initContainers": [side],
        "containers": [waits("main")],
    });
    let until = |status: &serde_json::Value| {
        waits_for("side", "CrashLoopBackOff", 1)(status)
            && container("main", |it| it["ready"] == true)(status)
    };
    Case::new("sidecar-fails", spec, until).does("side", exits(2))
}

/// A program whose hook fails. Whether it is started again, and not how it ends, is for the policy to say.
fn post_start(name: &'static str, policy: &str, until: Wanted) -> Case {
    let hook = json!({ "exec": { "command": [WindowsNode::PROBE, "exit", "1"] } });
    let program = with(
        waits("main"),
        &json!({ "lifecycle": { "postStart": hook }, "readinessProbe": never_asked() }),
    );
    let spec = json!({ "restartPolicy": policy, "containers": [program] });
    Case::new(name, spec, until).does(
        "main",
        with(
            hangs(),
            &json!({ "postStart": "fail", "stop": { "afterSeconds": 0.2 } }),
        ),
    )
}
