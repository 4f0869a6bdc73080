//! What tasks know of each other: dependencies, and nodes on which another task works.

use super::*;
use crate::observed::{DependencyView, JobView};
use std::collections::BTreeSet;

const OTHER: &str = "44444444-4444-4444-8444-444444444444";

/// The task `driver`, as the watch shows it.
fn driver(generation: i64, mode: &str, on: &[&str], status: &Value) -> Value {
    let on: Vec<Value> = on.iter().map(|name| json!({ "name": name })).collect();
    let spec = json!({"mode": mode, "dependsOn": on, "health": {"startGraceSeconds": 300}});
    let mut driver = task(OTHER, generation, &spec);
    driver["metadata"]["name"] = json!("driver");
    driver["status"] = status.clone();
    driver
}

fn at_revision(stable: &str, update: &str) -> Value {
    json!({ "observedGeneration": 1, "stableRevision": stable, "updateRevision": update })
}

/// The task `agent` depends on `driver`.
fn dependent() -> Bench {
    let bench = Bench::new();
    bench.see(Kind::Task, &depends_on_driver(2), 0);
    bench.see(Kind::Node, &node("win-1", "True", at(0)), 0);
    bench
}

fn depends_on_driver(generation: i64) -> Value {
    let spec = json!({"mode": "Daemon", "dependsOn": [{"name": "driver"}]});
    task(UID, generation, &spec)
}

fn dependency(bench: &Bench) -> DependencyView {
    let desired = Desired {
        generation: 2,
        depends_on: vec!["driver".to_owned()],
        ..desired()
    };
    bench.index.observed(&desired, at(0)).dependencies.remove(0)
}

fn driver_pod(version: u64, revision: &str, ready: &str) -> Value {
    let mut pod = with_ready(pod("driver-1", version), ready, at(0));
    pod["metadata"]["labels"]["hosttask.dev/task-uid"] = json!(OTHER);
    pod["metadata"]["labels"]["hosttask.dev/revision"] = json!(revision);
    pod
}

#[test]
fn a_daemon_is_done_where_a_pod_of_its_update_revision_is_ready_and_stays() {
    let bench = dependent();
    assert!(!dependency(&bench).exists);
    let keys = bench.see(
        Kind::Task,
        &driver(1, "Daemon", &[], &at_revision("old", "new")),
        0,
    );
    assert!(keys.contains(&task_key()), "it exists now: {keys:?}");
    let mut version = 10;
    for (revision, ready, done) in [
        ("old", "True", false),
        ("new", "False", false),
        ("new", "True", true),
    ] {
        version += 1;
        let keys = bench.see(Kind::Pod, &driver_pod(version, revision, ready), 0);
        assert_eq!(keys, [task_key(), Key::Task(key("driver"))]);
        let view = dependency(&bench);
        assert!(view.exists && !view.is_cycle);
        let expected = done.then(|| "win-1".to_owned());
        assert_eq!(view.done, expected.into_iter().collect::<BTreeSet<_>>());
    }
    let deleted = Expectation::PodDeleted {
        name: "driver-1".to_owned(),
        uid: uid_of("driver-1"),
    };
    bench.index.expect(&key("driver"), OTHER, deleted, at(0));
    assert!(dependency(&bench).done.is_empty(), "it was just deleted");
}

#[test]
fn a_job_task_is_done_where_the_ledger_says_so_for_its_update_revision() {
    let bench = dependent();
    bench.see(
        Kind::Task,
        &driver(1, "RunOnce", &[], &at_revision("old", "new")),
        0,
    );
    for (state, revision, done) in [
        ("Succeeded", "old", false),
        ("Failed", "new", false),
        ("Succeeded", "new", true),
    ] {
        let entry = json!({ "task": "ops/driver", "taskUid": OTHER, "revision": revision, "state": state, "attempts": 1 });
        bench
            .index
            .record("win-1", serde_json::from_value(entry).unwrap());
        assert_eq!(dependency(&bench).done.contains("win-1"), done, "{state}");
    }
}

#[test]
fn a_task_that_is_going_or_gone_is_missed_and_its_dependents_learn_of_it() {
    let bench = dependent();
    let mut going = driver(1, "Daemon", &[], &json!({}));
    bench.see(Kind::Task, &going, 0);
    assert!(dependency(&bench).exists);
    going["metadata"]["deletionTimestamp"] = json!(at(1).to_string());
    assert!(bench.see(Kind::Task, &going, 1).contains(&task_key()));
    assert!(!dependency(&bench).exists);
    assert!(bench.lose(Kind::Task, &going, 2).contains(&task_key()));
}

#[test]
fn a_cycle_that_another_task_closes_is_told_to_all_in_it() {
    let bench = dependent();
    let mut third = driver(1, "Daemon", &[], &json!({}));
    third["metadata"]["name"] = json!("third");
    third["metadata"]["uid"] = json!("55555555-5555-4555-8555-555555555555");
    bench.see(Kind::Task, &third, 0);
    bench.see(Kind::Task, &driver(1, "Daemon", &["third"], &json!({})), 0);
    assert!(!dependency(&bench).is_cycle);
    third["spec"]["dependsOn"] = json!([{ "name": "agent" }]);
    third["metadata"]["generation"] = json!(2);
    third["metadata"]["resourceVersion"] = json!("2");
    let keys = bench.see(Kind::Task, &third, 1);
    let all = ["agent", "driver", "third"].map(|name| Key::Task(key(name)));
    assert_eq!(keys, all);
    assert!(dependency(&bench).is_cycle);
    bench.see(Kind::Task, &driver(2, "Daemon", &[], &json!({})), 2);
    assert!(!dependency(&bench).is_cycle, "it was opened again");
}

/// The nodes on which `driver` is at work.
fn flying(bench: &Bench, second: i64) -> Vec<String> {
    let all = bench.index.in_flight(at(second));
    let nodes = all.get(&key("driver")).cloned().unwrap_or_default();
    nodes.into_iter().collect()
}

fn rolling(status: &Value) -> Bench {
    let bench = Bench::new();
    bench.see(Kind::Task, &driver(1, "Daemon", &[], status), 0);
    bench.see(Kind::Node, &node("win-1", "True", at(0)), 0);
    bench
}

#[test]
fn a_daemon_is_at_work_from_the_deletion_of_a_pod_until_its_successor_is_ready() {
    let bench = rolling(&at_revision("old", "new"));
    bench.see(Kind::Pod, &driver_pod(10, "old", "True"), 0);
    assert_eq!(flying(&bench, 0), Vec::<String>::new());
    let deleted = Expectation::PodDeleted {
        name: "driver-1".to_owned(),
        uid: uid_of("driver-1"),
    };
    bench.index.expect(&key("driver"), OTHER, deleted, at(1));
    assert_eq!(flying(&bench, 1), ["win-1"], "at once");
    bench.lose(Kind::Pod, &driver_pod(11, "old", "True"), 2);
    assert_eq!(flying(&bench, 2), ["win-1"], "no successor yet");
    let mut successor = driver_pod(12, "new", "False");
    successor["metadata"]["uid"] = json!(uid_of("driver-2"));
    bench.see(Kind::Pod, &successor, 3);
    assert_eq!(flying(&bench, 3), ["win-1"], "it starts");
    successor["status"]["conditions"][0]["status"] = json!("True");
    successor["metadata"]["resourceVersion"] = json!("13");
    bench.see(Kind::Pod, &successor, 4);
    assert_eq!(flying(&bench, 4), Vec::<String>::new());
}

#[test]
fn nobody_waits_for_a_pod_that_is_not_created_or_does_not_become_ready_for_long_or_cannot_start() {
    let bench = rolling(&at_revision("old", "new"));
    assert_eq!(flying(&bench, 0), ["win-1"]);
    assert_eq!(flying(&bench, 59), ["win-1"]);
    assert_eq!(flying(&bench, 60), Vec::<String>::new(), "not created");
    let starting = driver_pod(10, "new", "False");
    bench.see(Kind::Pod, &starting, 61);
    assert_eq!(flying(&bench, 299), ["win-1"]);
    assert_eq!(flying(&bench, 300), Vec::<String>::new(), "start grace");
    for (version, patch) in [
        (
            11,
            json!({"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}}),
        ),
        (
            12,
            json!({"spec": {"nodeName": "win-1", "schedulingGates": [{"name": "hosttask.dev/dependencies"}]}}),
        ),
    ] {
        let bench = rolling(&at_revision("old", "new"));
        let mut held = driver_pod(version, "new", "False");
        for (part, value) in patch.as_object().unwrap() {
            held[part] = value.clone();
        }
        bench.see(Kind::Pod, &held, 0);
        assert_eq!(flying(&bench, 0), Vec::<String>::new(), "{patch}");
    }
}

#[test]
fn a_daemon_that_replaces_nothing_and_a_node_that_is_not_ready_are_not_at_work() {
    for status in [at_revision("new", "new"), json!({"updateRevision": "new"})] {
        let bench = rolling(&status);
        bench.see(Kind::Pod, &driver_pod(10, "new", "False"), 0);
        assert_eq!(flying(&bench, 0), Vec::<String>::new(), "{status}");
    }
    let bench = rolling(&at_revision("old", "new"));
    bench.see(Kind::Pod, &driver_pod(10, "new", "False"), 0);
    assert_eq!(flying(&bench, 0), ["win-1"]);
    bench.see(Kind::Node, &node("win-1", "Unknown", at(1)), 1);
    assert_eq!(flying(&bench, 1), Vec::<String>::new());
    bench.see(Kind::Node, &node("win-1", "True", at(2)), 2);
    assert_eq!(flying(&bench, 2), ["win-1"]);
}

fn driver_job(version: u64, conditions: &Value) -> Value {
    json!({
        "metadata": {
            "name": "driver-job", "namespace": "ops", "uid": "job-uid", "resourceVersion": version.to_string(),
            "creationTimestamp": at(0).to_string(),
            "labels": {"hosttask.dev/task-uid": OTHER}, "annotations": {"hosttask.dev/node": "win-1"}
        },
        "status": {"conditions": conditions}
    })
}

#[test]
fn a_job_is_at_work_until_it_ended_except_where_its_pod_cannot_start() {
    let bench = Bench::new();
    bench.see(
        Kind::Task,
        &driver(1, "RunOnce", &[], &at_revision("old", "new")),
        0,
    );
    bench.see(Kind::Node, &node("win-1", "True", at(0)), 0);
    let job = JobView {
        name: "driver-job".to_owned(),
        node: "win-1".to_owned(),
        ..JobView::default()
    };
    let ticket = bench.index.expect(
        &key("driver"),
        OTHER,
        Expectation::JobCreated(Box::new(job)),
        at(0),
    );
    assert_eq!(flying(&bench, 0), ["win-1"], "created, not seen yet");
    bench.index.withdraw(&ticket);
    assert_eq!(flying(&bench, 0), Vec::<String>::new(), "refused");
    bench.see(Kind::Job, &driver_job(9, &json!([])), 0);
    assert_eq!(flying(&bench, 59), ["win-1"]);
    assert_eq!(flying(&bench, 60), Vec::<String>::new(), "no pod comes");
    let mut pod = driver_pod(10, "new", "False");
    pod["metadata"]["ownerReferences"] =
        json!([{"kind": "Job", "name": "driver-job", "uid": "job-uid", "controller": true}]);
    let waiting = |reason: &str| json!([{"state": {"waiting": {"reason": reason}}}]);
    for (version, containers, busy) in [
        (10, waiting("ContainerCreating"), true),
        (11, waiting("ErrImagePull"), false),
        (12, json!([{"state": {"running": {}}}]), true),
    ] {
        pod["metadata"]["resourceVersion"] = json!(version.to_string());
        pod["status"]["containerStatuses"] = containers;
        bench.see(Kind::Pod, &pod, 70);
        assert_eq!(!flying(&bench, 70).is_empty(), busy, "{version}");
    }
    let ended = json!([{"type": "Complete", "status": "True"}]);
    bench.see(Kind::Job, &driver_job(13, &ended), 80);
    assert_eq!(flying(&bench, 80), Vec::<String>::new());
}

#[test]
fn a_task_that_is_gone_is_at_work_nowhere() {
    let bench = rolling(&at_revision("old", "new"));
    bench.see(Kind::Pod, &driver_pod(10, "new", "False"), 0);
    assert_eq!(flying(&bench, 0), ["win-1"]);
    let gone = driver(1, "Daemon", &[], &json!({}));
    bench.lose(Kind::Task, &gone, 1);
    assert_eq!(bench.index.in_flight(at(1)).len(), 0);
}

#[test]
fn what_ran_once_for_all_is_done_at_any_revision() {
    for (on, done) in [(json!(["NodeReimage"]), 1), (json!(["SpecChange"]), 0)] {
        let bench = dependent();
        let mut driver = driver(1, "RunOnce", &[], &at_revision("new", "new"));
        driver["spec"]["job"] = json!({ "rerunOn": on });
        bench.see(Kind::Task, &driver, 0);
        let entry = json!({ "task": "ops/driver", "taskUid": OTHER, "revision": "old", "state": "Succeeded", "attempts": 1 });
        bench
            .index
            .record("win-1", serde_json::from_value(entry).unwrap());
        assert_eq!(dependency(&bench).done.len(), done, "{on}");
    }
}

#[test]
fn a_task_whose_present_spec_nobody_has_looked_at_is_done_nowhere() {
    let bench = dependent();
    bench.see(Kind::Pod, &driver_pod(10, "new", "True"), 0);
    let status = at_revision("new", "new");
    for (generation, done) in [(1, 1), (2, 0)] {
        let driver = driver(generation, "Daemon", &[], &status);
        bench.see(Kind::Task, &driver, 0);
        assert_eq!(dependency(&bench).done.len(), done, "{generation}");
    }
}
