//! Probes: passing, failing, late.

use serde_json::{Value, json};

use super::super::case::{
    Case, and, check, container, ended, file, hangs, never_asked, ready, running, waits, waits_for,
    with,
};

pub(super) fn all() -> Vec<Case> {
    vec![
        readiness_of_two(),
        readiness_late(),
        readiness_lost(),
        startup_late(),
        killed(
            "liveness-fails",
            "livenessProbe",
            &json!({ "liveness": "fail" }),
        ),
        killed(
            "startup-fails",
            "startupProbe",
            &json!({ "startup": "fail" }),
        ),
        killed_for_good(),
    ]
}

fn with_probe(name: &str, probe: &str, steps: &[&str]) -> Value {
    with(waits(name), &json!({ probe: check(steps) }))
}

fn does(probes: &Value) -> Value {
    and(
        hangs(),
        &json!({ "probes": probes, "stop": { "afterSeconds": 0.2 } }),
    )
}

fn readiness_of_two() -> Case {
    let spec = json!({ "containers": [
        with_probe("bad", "readinessProbe", &["exit", "1"]),
        with_probe("good", "readinessProbe", &["exit", "0"]),
    ]});
    Case::new(
        "readiness-of-two",
        spec,
        container("good", |it| it["ready"] == true),
    )
    .does("bad", does(&json!({ "readiness": "fail" })))
}

fn readiness_late() -> Case {
    let name = "readiness-late";
    let spec =
        json!({ "containers": [with_probe("main", "readinessProbe", &["show", &file(name)])] });
    Case::new(name, spec, ready)
        .does("main", does(&json!({ "readiness": "fail" })))
        .opens(running, &[("main", does(&json!({})))])
}

fn readiness_lost() -> Case {
    let name = "readiness-lost";
    let spec =
        json!({ "containers": [with_probe("main", "readinessProbe", &["show", &file(name)])] });
    Case::new(name, spec, |status| running(status) && !ready(status))
        .does("main", does(&json!({})))
        .closes(
            ready,
            &[(
                "main",
                does(&json!({ "readiness": { "failAfterSeconds": 0 } })),
            )],
        )
}

fn startup_late() -> Case {
    let name = "startup-late";
    let probe = with(
        check(&["show", &file(name)]),
        &json!({ "failureThreshold": 1000 }),
    );
    let spec = json!({ "containers": [with(waits("main"), &json!({ "startupProbe": probe }))] });
    Case::new(name, spec, ready)
        .does(
            "main",
            does(&json!({ "startup": { "passAfterSeconds": 100_000 } })),
        )
        .opens(running, &[("main", does(&json!({})))])
}

/// A program that a failing check ends and that is started again, until its first pause.
fn killed(name: &'static str, probe: &str, outcome: &Value) -> Case {
    let program = with(
        with_probe("main", probe, &["exit", "1"]),
        &json!({ "readinessProbe": never_asked() }),
    );
    let spec = json!({ "restartPolicy": "Always", "containers": [program] });
    Case::new(name, spec, waits_for("main", "CrashLoopBackOff", 1)).does("main", does(outcome))
}

fn killed_for_good() -> Case {
    let program = with(
        with_probe("main", "livenessProbe", &["exit", "1"]),
        &json!({ "readinessProbe": never_asked() }),
    );
    Case::new(
        "liveness-fails-never",
        json!({ "containers": [program] }),
        ended,
    )
    .does("main", does(&json!({ "liveness": "fail" })))
}
