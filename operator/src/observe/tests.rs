//! When a live read is made, what it changes, and that none is made in steady state.

use std::sync::Arc;

use hosttask_crds::task::Mode;
use serde_json::{Value, json};

use super::*;
use crate::desired::{Operator, Requirement, Wave};
use crate::index::tests::{Bench, SET_UID, UID, at, desired, key, node, pod, uid_of};
use crate::index::{Expectation, Key};
use crate::observed::JobView;
use crate::watch::tests::{Reply, Server, Then};

fn set(owner: &str) -> Value {
    json!({
        "metadata": {
            "name": "agent", "namespace": "ops", "uid": SET_UID, "generation": 1, "resourceVersion": "9",
            "labels": {"hosttask.dev/task-uid": UID}, "annotations": {"hosttask.dev/applied": "one"},
            "ownerReferences": [{"kind": "WindowsHostTask", "name": "agent", "uid": owner, "controller": true}]
        },
        "status": {"observedGeneration": 1}
    })
}

fn revision(name: &str, data: &Value) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "ops", "uid": name, "resourceVersion": "3",
            "labels": {"hosttask.dev/task-uid": UID},
            "ownerReferences": [{"kind": "WindowsHostTask", "name": "agent", "uid": UID, "controller": true}]
        },
        "revision": 1,
        "data": data
    })
}

/// A server that has one answer for everything.
fn server(answer: impl Fn() -> Reply + Send + Sync + 'static) -> Arc<Server> {
    Server::new(move |_, _| answer())
}

/// One node, its pod, and the DaemonSet.
fn settled() -> Bench {
    let bench = Bench::new();
    bench.see(Kind::Node, &node("win-1", "True", at(0)), 0);
    bench.see(Kind::DaemonSet, &set(UID), 0);
    bench.see(Kind::Pod, &pod("agent-1", 10), 0);
    bench
}

async fn look(
    bench: &Bench,
    server: &Arc<Server>,
    desired: &Desired,
    second: i64,
) -> Result<Observed, Error> {
    let (client, now) = (server.client(), at(second));
    settle(&client, &bench.index, &desired.key, now).await?;
    observe(&client, &bench.index, desired, now).await
}

#[tokio::test(start_paused = true)]
async fn a_settled_task_costs_no_request() {
    let (bench, server) = (settled(), server(|| Reply::Unreachable));
    for second in [0, 60, 3600] {
        look(&bench, &server, &desired(), second).await.unwrap();
    }
    assert!(server.requests().is_empty(), "{:?}", server.requests());
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_that_the_watch_does_not_select_is_found_before_the_first_write() {
    let bench = Bench::new();
    for (reply, expected) in [
        (
            Reply::Page as fn(Value) -> Reply,
            Some("WindowsHostTask agent"),
        ),
        (|_| Reply::Refuse(404, "not found"), None),
    ] {
        let server = server(move || reply(set("somebody else")));
        let observed = look(&bench, &server, &desired(), 0).await.unwrap();
        let foreign = observed.foreign.first().map(|set| set.owner.as_str());
        assert_eq!((foreign, observed.daemon_sets), (expected, Vec::new()));
        assert_eq!(
            server.requests(),
            ["/apis/apps/v1/namespaces/ops/daemonsets/agent"]
        );
    }
    bench.index.doubt_absent_sets(&key("agent"));
    let server = server(|| Reply::Page(set(UID)));
    let observed = look(&bench, &server, &desired(), 0).await.unwrap();
    assert!(matches!(&*observed.daemon_sets, [state] if state.applied == "one"));
    let run_once = Desired {
        mode: Mode::RunOnce,
        ..desired()
    };
    let observed = look(&bench, &server, &run_once, 0).await.unwrap();
    assert_eq!(
        (observed.daemon_sets, server.requests().len()),
        (Vec::new(), 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_read_that_fails_ends_the_pass_instead_of_reading_as_absent() {
    let bench = Bench::new();
    for reply in [
        || Reply::Refuse(500, "no"),
        || Reply::Refuse(403, "no"),
        || Reply::Unreachable,
        || Reply::Text("{\"metadata\":".to_owned(), Then::Close),
    ] {
        assert!(look(&bench, &server(reply), &desired(), 0).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn an_overdue_write_is_settled_by_one_read_and_by_none_before() {
    let bench = settled();
    let deleted = Expectation::PodDeleted {
        name: "agent-1".to_owned(),
        uid: uid_of("agent-1"),
    };
    bench.index.expect(&key("agent"), UID, deleted, at(0));
    let server = server(|| Reply::Refuse(404, "not found"));
    let observed = look(&bench, &server, &desired(), 29).await.unwrap();
    assert!(observed.pods[0].deleting && server.requests().is_empty());
    let observed = look(&bench, &server, &desired(), 30).await.unwrap();
    assert_eq!(observed.pods, []);
    assert_eq!(server.requests(), ["/api/v1/namespaces/ops/pods/agent-1"]);
    look(&bench, &server, &desired(), 31).await.unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_overdue_write_stays_expected_while_the_read_fails() {
    let bench = settled();
    let job = JobView {
        name: "j".to_owned(),
        uid: "u".to_owned(),
        ..JobView::default()
    };
    bench.index.expect(
        &key("agent"),
        UID,
        Expectation::JobCreated(Box::new(job)),
        at(0),
    );
    assert!(
        look(&bench, &server(|| Reply::Unreachable), &desired(), 40)
            .await
            .is_err()
    );
    assert_eq!(bench.index.observed(&desired(), at(40)).jobs.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_stable_content_is_read_once_and_only_while_it_is_not_what_is_asked_for() {
    let data = json!({"template": {"spec": {"containers": [{"name": "main", "image": "old"}]}}, "runAs": {"account": "LocalService"}});
    let bench = settled();
    bench.see(Kind::Revision, &revision("agent-old", &data), 0);
    let mut task = crate::index::tests::task(UID, 2, &json!({"mode": "Daemon"}));
    task["status"] = json!({"stableRevision": "agent-old"});
    bench.see(Kind::Task, &task, 0);
    let answer = revision("agent-old", &data);
    let server = server(move || Reply::Page(answer.clone()));
    let other = Desired {
        generation: 2,
        ..desired()
    };
    let mut same = other.clone();
    same.content.raw = data.clone();
    let path = "/apis/apps/v1/namespaces/ops/controllerrevisions/agent-old";
    for (desired, generation, requests) in [
        (&same, 2, 0),
        (&other, 2, 1),
        (&other, 2, 1),
        // Another spec, the same stable revision.
        (&other, 3, 1),
        // It is not needed any more, and given back.
        (&same, 3, 1),
        (&other, 3, 2),
    ] {
        task["metadata"]["generation"] = json!(generation);
        bench.see(Kind::Task, &task, 0);
        let found = look(&bench, &server, desired, 0).await.unwrap();
        let raw = found.stable_content.map(|content| content.raw);
        assert_eq!(raw, (*desired == other).then(|| data.clone()));
        assert_eq!(server.requests(), vec![path; requests]);
    }
    // Another revision of the same name.
    let mut anew = revision("agent-old", &data);
    anew["metadata"]["uid"] = json!("another");
    bench.see(Kind::Revision, &anew, 1);
    let found = look(&bench, &server, &other, 1).await.unwrap();
    assert_eq!((found.stable_content, server.requests().len()), (None, 3));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_not_found_is_not_looked_for_again_in_the_same_generation() {
    let bench = Bench::new();
    let server = server(|| Reply::Refuse(404, "not found"));
    let waves = Desired {
        waves: vec![wave("canary"), Wave::rest()],
        ..desired()
    };
    for (doubted, requests) in [(false, 2), (false, 2), (true, 4)] {
        if doubted {
            bench.index.doubt_absent_sets(&waves.key);
        }
        look(&bench, &server, &waves, 0).await.unwrap();
        assert_eq!(server.requests().len(), requests);
    }
    bench.see(
        Kind::Task,
        &crate::index::tests::task(UID, 2, &json!({})),
        0,
    );
    let next = Desired {
        generation: 2,
        ..waves
    };
    look(&bench, &server, &next, 0).await.unwrap();
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn the_events_that_are_read_are_those_of_the_wave_whose_node_has_no_pod() {
    let bench = settled();
    let mut canary = set(UID);
    canary["metadata"]["name"] = json!("agent-canary");
    canary["metadata"]["uid"] = json!("canary-set");
    bench.see(Kind::DaemonSet, &canary, 0);
    let mut other = node("win-2", "True", at(0));
    other["metadata"]["labels"]["pool"] = json!("canary");
    bench.see(Kind::Node, &other, 0);
    let server = server(|| Reply::Page(json!({"items": []})));
    let waves = Desired {
        waves: vec![wave("canary"), Wave::rest()],
        ..desired()
    };
    for second in [0, 20] {
        look(&bench, &server, &waves, second).await.unwrap();
    }
    assert!(server.requests()[0].contains("uid%3Dcanary-set"));
    assert_eq!(server.requests().len(), 1);
}

/// A wave of the nodes whose pool has its name.
fn wave(name: &str) -> Wave {
    Wave {
        name: name.to_owned(),
        requirements: vec![Requirement {
            key: "pool".to_owned(),
            operator: Operator::In,
            values: vec![name.to_owned()],
        }],
        ..Wave::rest()
    }
}

#[tokio::test(start_paused = true)]
async fn pods_that_stay_away_are_explained_by_the_newest_event_read_now_and_then() {
    let bench = settled();
    bench.see(Kind::Node, &node("win-2", "True", at(0)), 0);
    let server = server(|| {
        Reply::Page(json!({"items": [
            {"message": "exceeded quota", "lastTimestamp": "2026-05-01T12:00:09Z"},
            {"message": "older", "eventTime": "2026-05-01T12:00:01.000001Z", "lastTimestamp": null},
            {"message": null}
        ]}))
    });
    for (second, told, requests) in [
        (0, None, 0),
        (9, None, 0),
        (10, Some("exceeded quota"), 1),
        (39, Some("exceeded quota"), 1),
        (40, Some("exceeded quota"), 2),
    ] {
        let observed = look(&bench, &server, &desired(), second).await.unwrap();
        assert_eq!(
            (observed.failed_create.as_deref(), server.requests().len()),
            (told, requests),
            "{second}"
        );
    }
    assert!(
        server.requests()[0].contains("involvedObject.uid%3D"),
        "{:?}",
        server.requests()
    );
    assert_eq!(bench.index.due(at(79)), []);
    assert_eq!(bench.index.due(at(80)), [Key::Task(key("agent"))]);
    let mut second = pod("agent-2", 11);
    second["spec"]["nodeName"] = json!("win-2");
    bench.see(Kind::Pod, &second, 80);
    assert_eq!(
        look(&bench, &server, &desired(), 80)
            .await
            .unwrap()
            .failed_create,
        None
    );
    assert_eq!(
        (server.requests().len(), bench.index.due(at(9999))),
        (2, vec![])
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_not_missing_its_pod() {
    let bench = settled();
    bench.see(Kind::Node, &node("win-2", "Unknown", at(0)), 0);
    let server = server(|| Reply::Unreachable);
    look(&bench, &server, &desired(), 0).await.unwrap();
    look(&bench, &server, &desired(), 100).await.unwrap();
    assert!(server.requests().is_empty());
}
