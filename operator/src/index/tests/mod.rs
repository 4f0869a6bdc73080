//! The rules of the index, and what its tests share: objects as the API server writes them.

mod expectations;
mod inputs;
mod ledgers;
mod nodes;
mod pods;
mod rollouts;
mod sweeps;
mod together;
mod wires;

use std::time::Duration;

use hosttask_crds::task::Mode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::desired::{Amount, Content, Identity, JobPolicy, Wave};
use crate::placement;

pub(crate) const UID: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const SET_UID: &str = "22222222-2222-4222-8222-222222222222";

pub(crate) fn key(name: &str) -> TaskKey {
    TaskKey {
        namespace: "ops".to_owned(),
        name: name.to_owned(),
    }
}

pub(crate) fn task_key() -> Key {
    Key::Task(key("agent"))
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-05-01T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub(crate) fn decode(kind: Kind, value: &Value) -> Object {
    Object::decode(&Scope::Kind(kind), &value.to_string()).unwrap()
}

pub(crate) fn task(uid: &str, generation: i64, spec: &Value) -> Value {
    json!({
        "apiVersion": "hosttask.dev/v1alpha1",
        "kind": "WindowsHostTask",
        "metadata": {
            "name": "agent", "namespace": "ops", "uid": uid, "generation": generation,
            "resourceVersion": generation.to_string(), "creationTimestamp": "2026-05-01T11:00:00Z",
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]
        },
        "spec": spec,
        "status": {"observedGeneration": -1}
    })
}

pub(crate) fn node(name: &str, ready: &str, changed: Timestamp) -> Value {
    json!({
        "metadata": {
            "name": name, "uid": format!("node-{name}"), "resourceVersion": "5",
            "labels": {"kubernetes.io/os": "windows", "node.kubernetes.io/windows-build": "10.0.20348", "pool": "a"}
        },
        "spec": {"taints": [{"key": "os", "value": "windows", "effect": "NoSchedule"}]},
        "status": {
            "conditions": [
                {"type": "MemoryPressure", "status": "False", "lastHeartbeatTime": "2026-05-01T12:00:00Z"},
                {"type": "Ready", "status": ready, "lastTransitionTime": changed.to_string()}
            ],
            "nodeInfo": {"systemUUID": format!("machine-{name}"), "bootID": "boot-1", "osImage": "Windows Server 2022"},
            "images": [{"names": ["a"], "sizeBytes": 5_000_000_000_i64}]
        }
    })
}

/// A pod of the task `agent`, as the DaemonSet controller makes it.
pub(crate) fn pod(name: &str, version: u64) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "ops", "uid": uid_of(name), "resourceVersion": version.to_string(),
            "creationTimestamp": at(0).to_string(),
            "labels": {
                "app.kubernetes.io/managed-by": "hosttask", "hosttask.dev/task-uid": UID,
                "hosttask.dev/revision": "agent-abc"
            },
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": SET_UID, "controller": true}]
        },
        "spec": {"nodeName": "win-1", "containers": [{"name": "main", "image": "x"}]},
        "status": {"phase": "Running", "conditions": [], "containerStatuses": []}
    })
}

pub(crate) fn uid_of(name: &str) -> String {
    let hash = name.bytes().fold(7_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    format!("33333333-3333-4333-8333-{:012x}", hash & 0xffff_ffff_ffff)
}

pub(crate) fn with_ready(mut pod: Value, status: &str, changed: Timestamp) -> Value {
    pod["status"]["conditions"] =
        json!([{"type": "Ready", "status": status, "lastTransitionTime": changed.to_string()}]);
    pod
}

pub(crate) fn desired() -> Desired {
    Desired {
        key: key("agent"),
        uid: UID.to_owned(),
        generation: 1,
        mode: Mode::Daemon,
        suspend: false,
        paused: false,
        placement: placement::compile(None),
        content: Content {
            raw: json!({}),
            template: k8s_openapi::api::core::v1::PodTemplateSpec::default(),
            run_as: Identity::LocalGroup("ops".to_owned()),
        },
        max_unavailable: Amount::Count(1),
        min_ready: Duration::ZERO,
        progress_deadline: Duration::from_mins(30),
        revision_history_limit: 10,
        min_healthy: Amount::Percent(100),
        max_restarts: 2,
        restart_window: Duration::from_mins(10),
        start_grace: Duration::from_mins(20),
        node_conditions: Vec::new(),
        job: JobPolicy::default(),
        schedule: None,
        waves: vec![Wave::rest()],
        partition: None,
        order: Vec::new(),
        approved_wave: None,
        failure_policy: None,
        unreachable_after: Duration::from_mins(1),
        max_unreachable: None,
        windows: Vec::new(),
        depends_on: Vec::new(),
    }
}

/// An index that knows the task `agent`.
pub(crate) struct Bench {
    pub(crate) index: Index,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let bench = Self {
            index: Index::new(None),
        };
        bench.see(Kind::Task, &task(UID, 1, &json!({"mode": "Daemon"})), 0);
        bench
    }

    pub(crate) fn see(&self, kind: Kind, value: &Value, second: i64) -> Vec<Key> {
        self.index
            .apply(Change::Seen(decode(kind, value), Source::Watch), at(second))
    }

    pub(crate) fn lose(&self, kind: Kind, value: &Value, second: i64) -> Vec<Key> {
        self.index
            .apply(Change::Gone(decode(kind, value)), at(second))
    }

    pub(crate) fn list(&self, kind: Kind, values: &[Value], second: i64) -> Vec<Key> {
        let mut keys = self
            .index
            .apply(Change::Listing(Scope::Kind(kind)), at(second));
        for value in values {
            keys.extend(
                self.index
                    .apply(Change::Seen(decode(kind, value), Source::List), at(second)),
            );
        }
        keys.extend(
            self.index
                .apply(Change::Listed(Scope::Kind(kind)), at(second)),
        );
        keys
    }

    pub(crate) fn observed(&self, second: i64) -> Observed {
        self.index.observed(&desired(), at(second))
    }

    pub(crate) fn pod(&self, second: i64) -> crate::observed::PodView {
        self.observed(second).pods.first().cloned().unwrap()
    }
}
