//! The writing half of a pass, against a stand-in for the API server that refuses what the test says.

use super::*;
use crate::index::tests::{UID, at, decode, key, pod, task, uid_of};
use crate::index::{Change, Expectation, Kind, Source, TaskSnapshot};
use crate::plan::{Action, Note, Plan};
use hosttask_crds::Reason;
use hosttask_crds::label::MACHINE;
use hosttask_crds::task::WindowsHostTaskStatus;
use http::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

struct Bench {
    reconciler: Reconciler,
    log: Arc<Mutex<Vec<(String, Value)>>>,
}

/// A server that echoes what is created, and answers with a failure where the path and body contain a text.
fn bench(failures: &[(&'static str, u16)]) -> Bench {
    let log: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let (seen, failures) = (Arc::clone(&log), failures.to_vec());
    let server = tower::service_fn(move |request: Request<Body>| {
        let (seen, failures) = (Arc::clone(&seen), failures.clone());
        async move {
            let line = format!("{} {}", request.method(), request.uri().path());
            let body = request.into_body().collect_bytes().await?;
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            seen.lock().unwrap().push((line.clone(), body.clone()));
            let all = format!("{line} {body}");
            let failed = failures.iter().find(|(text, _)| all.contains(text));
            let (code, answer) = failed.map_or((200, body), |(_, code)| {
                let failure =
                    json!({ "kind": "Status", "status": "Failure", "code": code, "message": "no" });
                (*code, failure)
            });
            let mut response = Response::new(Body::from(serde_json::to_vec(&answer).unwrap()));
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            Ok::<_, kube::Error>(response)
        }
    });
    let client = Client::new(server, "default");
    let metrics = Arc::new(Metrics::new("api".into()));
    let queue = Arc::new(SharedQueue::new(Arc::clone(&metrics) as Arc<_>));
    let events = Events::new(client.clone(), "me", Timestamp::now);
    let index = Arc::new(Index::new(None));
    Bench {
        reconciler: Reconciler::new(client, index, queue, events, metrics, Timestamp::now),
        log,
    }
}

impl Bench {
    /// Carries out these actions, and reports. Returns the status that was to be reported.
    async fn pass(&self, actions: Vec<Action>) -> (WindowsHostTaskStatus, Done) {
        let key = TaskKey {
            namespace: "ops".into(),
            name: "agent".into(),
        };
        let task = TaskSnapshot {
            uid: "task-1".into(),
            generation: 1,
            spec: Arc::default(),
            status: WindowsHostTaskStatus::default(),
            created: Timestamp::UNIX_EPOCH,
            deleting: false,
            resource_version: "1".into(),
        };
        let plan = Plan {
            actions,
            status: WindowsHostTaskStatus {
                observed_generation: Some(1),
                ..WindowsHostTaskStatus::default()
            },
            requeue: None,
        };
        let mut pass = TaskPass {
            reconciler: &self.reconciler,
            key: &key,
            task: &task,
            stored: WindowsHostTaskStatus::default(),
            version: "1".into(),
            now: Timestamp::UNIX_EPOCH,
            done: Done::default(),
            told: BTreeSet::new(),
        };
        let (status, _) = pass.apply(&plan).await;
        let _ = pass.report(&status, &plan).await;
        (status, pass.done)
    }

    /// The bodies that were sent to a path that ends like this.
    fn sent(&self, path: &str) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        let to = log.iter().filter(|(line, _)| line.ends_with(path));
        to.map(|(_, body)| body.clone()).collect()
    }

    fn told(&self, reason: Reason) -> usize {
        let events = self.sent("/events");
        let told = events
            .iter()
            .filter(|event| event["reason"] == reason.as_str());
        told.count()
    }
}

fn create(node: &str) -> Action {
    let job = json!({
        "metadata": {
            "name": format!("job-{node}"), "namespace": "ops", "annotations": { MACHINE: node },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "T", "name": "agent", "uid": "task-1", "controller": true }],
        },
    });
    Action::CreateJob(Box::new(serde_json::from_value(job).unwrap()))
}

fn record(node: &str) -> [Action; 2] {
    let entry = json!({ "task": "ops/agent", "taskUid": "task-1", "revision": "r", "state": "Failed", "attempts": 1 });
    let failed = Note {
        warning: true,
        reason: Reason::NodeFailed,
        note: format!("failed on {node}"),
        node: Some(node.into()),
    };
    let entry = Box::new(serde_json::from_value(entry).unwrap());
    let node = node.to_owned();
    [
        Action::RecordResult { node, entry },
        Action::Publish(failed),
    ]
}

#[tokio::test]
async fn a_result_is_told_once_whatever_fails_after_it() {
    for failures in [
        &[][..],
        &[("job-b", 403)],
        &[("job-b", 500)],
        &[("PATCH", 500)],
    ] {
        let bench = bench(failures);
        let [result, failed] = record("a");
        bench.pass(vec![result, create("b"), failed]).await;
        assert_eq!(bench.told(Reason::NodeFailed), 1, "{failures:?}");
    }
}

#[tokio::test]
async fn an_overdue_write_of_an_invalid_task_is_settled_too() {
    let bench = bench(&[("/pods/agent-1", 404)]);
    let index = &bench.reconciler.index;
    for (kind, object) in [
        (Kind::Task, task(UID, 1, &json!({ "mode": "Never" }))),
        (Kind::Pod, pod("agent-1", 7)),
    ] {
        index.apply(Change::Seen(decode(kind, &object), Source::Watch), at(0));
    }
    let deleted = Expectation::PodDeleted {
        name: "agent-1".into(),
        uid: uid_of("agent-1"),
    };
    index.expect(&key("agent"), UID, deleted, Timestamp::UNIX_EPOCH);
    let _ = bench.reconciler.task(&key("agent")).await;
    assert_eq!(index.counts().expectations, 0);
}

#[tokio::test]
async fn a_job_that_is_refused_holds_up_no_other_node_and_waits_by_itself() {
    let bench = bench(&[("job-b", 403)]);
    let plan = || vec![create("a"), create("b"), create("c")];
    let (status, done) = bench.pass(plan()).await;
    let stalled = status.conditions.iter().find(|c| c.type_ == "Stalled");
    assert!(stalled.is_some_and(|c| c.message.contains("job-b")));
    assert!(done.refused && done.again.is_some());
    assert_eq!(done.writes, ["CreateJob", "CreateJob"]);
    assert_eq!(bench.sent("/jobs").len(), 3);
    let (again, _) = bench.pass(plan()).await;
    assert_eq!(bench.sent("/jobs").len(), 5, "b is not tried so soon");
    assert_eq!(again.conditions, status.conditions);
}

#[tokio::test]
async fn where_every_node_is_refused_a_pass_gives_up_early() {
    let bench = bench(&[("/jobs", 403)]);
    let nodes: Vec<String> = (0..50).map(|number| format!("n{number}")).collect();
    let plan = nodes.iter().map(|node| create(node)).collect();
    bench.pass(plan).await;
    assert!(bench.sent("/jobs").len() < 10);
}
