//! Every rule, broken once; and what holds for all tasks.

mod laws;
mod manifests;
mod page;
mod table;

use super::*;

/// A valid task of mode Daemon with something of everything; each test changes what it is about.
pub(crate) fn daemon() -> Value {
    json!({
        "mode": "Daemon",
        "runAs": {"account": "System"},
        "placement": {
            "nodeSelector": {
                "matchLabels": {"pool": "a"},
                "matchExpressions": [{"key": "gpu", "operator": "NotIn", "values": ["old"]}],
            },
            "windowsBuilds": ["10.0.20348"],
            "tolerations": [{"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}],
        },
        "template": {
            "metadata": {"labels": {"app": "agent"}, "annotations": {"example.com/Note": "free text, any"}},
            "spec": {
                "serviceAccountName": "agent",
                "initContainers": [{"name": "install", "image": "example.com/install:1"}],
                "containers": [{
                    "name": "agent",
                    "image": "example.com/agent:1",
                    "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                    "ports": [{"name": "http", "containerPort": 9182}],
                    "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "0.5", "memory": "200Mi"}},
                    "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}},
                    "volumeMounts": [{"name": "config", "mountPath": "/etc/agent", "readOnly": true}],
                }],
                "volumes": [{"name": "config", "configMap": {"name": "agent"}}],
            },
        },
        "inputs": {"configMaps": [{"name": "agent"}], "secrets": [{"name": "token"}]},
        "rollout": {"maxUnavailable": "10%", "minReadySeconds": 30},
        "health": {"minHealthy": "95%"},
    })
}

/// The same with waves and everything that steers a rollout.
pub(crate) fn steered() -> Value {
    let mut spec = daemon();
    set(
        &mut spec,
        "/rollout",
        json!({
            "maxUnavailable": "10%",
            "minReadySeconds": 30,
            "waves": [
                {
                    "name": "canary",
                    "nodeSelector": {"matchLabels": {"ring": "0"}},
                    "maxUnavailable": "100%",
                    "soakSeconds": 600,
                    "approval": "Manual",
                },
                {
                    "name": "early",
                    "nodeSelector": {"matchExpressions": [{"key": "ring", "operator": "In", "values": ["1"]}]},
                },
            ],
            "order": [{"topologyKey": "topology.kubernetes.io/zone", "sequential": true}],
            "approvedWave": "agent-mzxw6ytboi/canary",
            "failurePolicy": {"maxFailedNodes": 2, "action": "Rollback"},
            "unreachableNodes": {"afterSeconds": 120, "maxUnreachable": "20%"},
            "maintenanceWindows": [
                {"schedule": "0 2 * * 7", "durationSeconds": 7200, "timeZone": "Europe/Berlin"},
            ],
        }),
    );
    set(
        &mut spec,
        "/health/nodeConditions",
        json!([{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]),
    );
    set(&mut spec, "/dependsOn", json!([{"name": "network"}]));
    spec
}

/// The same as a task of mode RunOnce.
pub(crate) fn run_once() -> Value {
    let mut spec = daemon();
    set(&mut spec, "/mode", json!("RunOnce"));
    set(
        &mut spec,
        "/job",
        json!({"exitCodes": {"success": [0, 7], "rebootRequired": [3010]}}),
    );
    spec
}

/// The same as a task of mode Scheduled.
pub(crate) fn scheduled() -> Value {
    let mut spec = run_once();
    set(&mut spec, "/mode", json!("Scheduled"));
    set(
        &mut spec,
        "/schedule",
        json!({
            "cron": "0 3 * * *",
            "timeZone": "Europe/Berlin",
            "startingDeadlineSeconds": 3600,
            "concurrencyPolicy": "Replace",
            "jitterSeconds": 600,
        }),
    );
    spec
}

/// Inputs as `daemon` names them.
pub(crate) fn inputs() -> InputsView {
    InputsView {
        config_maps: BTreeMap::from([("agent".into(), InputState::Present("m1".into()))]),
        secrets: BTreeMap::from([("token".into(), InputState::Present("s1".into()))]),
    }
}

/// Sets the value at a JSON pointer; objects on the way are made where they are missing.
pub(crate) fn set(document: &mut Value, pointer: &str, value: Value) {
    let mut at = document;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/");
        at = if let Value::Array(items) = at {
            let index: usize = part.parse().unwrap();
            if index == items.len() {
                items.push(Value::Null);
            }
            &mut items[index]
        } else {
            if !at.is_object() {
                *at = json!({});
            }
            at.as_object_mut()
                .unwrap()
                .entry(part)
                .or_insert(Value::Null)
        };
    }
    *at = value;
}

/// Validates a spec under a fixed name.
pub(crate) fn check(spec: &Value, inputs: &InputsView) -> Result<Desired, Vec<Problem>> {
    let key = TaskKey {
        namespace: "monitoring".into(),
        name: "agent".into(),
    };
    validate(
        &TaskInput {
            key: &key,
            uid: "6f1c",
            generation: 3,
            spec,
        },
        inputs,
    )
}
