//! The writing half of a pass, against a stand-in for the API server that refuses what the test says.
//!
//! Longer than 400 lines: every case needs the same played API server.

use super::*;
use crate::index::tests::{UID, at, decode, key, node, pod, task, uid_of};
use crate::index::{Change, Expectation, Kind, Scope, Source, TaskSnapshot};
use crate::plan::{Action, Note, Plan};
use hosttask_crds::Reason;
use hosttask_crds::label::{MACHINE, NODE};
use hosttask_crds::node::LedgerState;
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
    bench_with(failures, Value::Null)
}

/// The same, with this answer to a read.
fn bench_with(failures: &[(&'static str, u16)], shown: Value) -> Bench {
    let log: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let (seen, failures) = (Arc::clone(&log), failures.to_vec());
    let server = tower::service_fn(move |request: Request<Body>| {
        let (seen, failures, shown) = (Arc::clone(&seen), failures.clone(), shown.clone());
        async move {
            let query = request.uri().query().unwrap_or_default();
            let dry = if query.contains("dryRun") {
                " (dry run)"
            } else {
                ""
            };
            let line = format!("{} {}{dry}", request.method(), request.uri().path());
            let body = request.into_body().collect_bytes().await?;
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            seen.lock().unwrap().push((line.clone(), body.clone()));
            let all = format!("{line} {body}");
            let failed = failures.iter().find(|(text, _)| all.contains(text));
            let echo = if line.starts_with("GET") { shown } else { body };
            let (code, answer) = failed.map_or((200, echo), |(_, code)| {
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
async fn what_ended_is_recorded_while_the_task_is_invalid_by_the_codes_it_was_made_with() {
    let revision = json!({
        "metadata": {
            "name": "agent-1", "namespace": "ops", "uid": "r-1", "resourceVersion": "3",
            "labels": { "hosttask.dev/task-uid": UID },
            "ownerReferences": [{ "kind": "WindowsHostTask", "name": "agent", "uid": UID, "controller": true }],
        },
        "revision": 1,
        "data": { "mode": "RunOnce", "exitCodes": { "success": [0, 42] } },
    });
    let job = json!({
        "metadata": {
            "name": "agent-job", "namespace": "ops", "uid": "job-uid", "resourceVersion": "9",
            "creationTimestamp": at(0).to_string(),
            "labels": { "hosttask.dev/task-uid": UID, "hosttask.dev/revision": "agent-1", "hosttask.dev/attempt": "1" },
            "annotations": { NODE: "win-1", MACHINE: "node-win-1/machine-win-1" },
        },
        "status": { "conditions": [{
            "type": "Failed", "status": "True", "reason": "PodFailurePolicy", "lastTransitionTime": at(9).to_string(),
            "message": "Container main for pod ops/agent-x failed with exit code 42 matching FailJob rule at index 0",
        }] },
    });
    let bench = bench_with(&[], revision.clone());
    let index = &bench.reconciler.index;
    let mut invalid = task(UID, 2, &json!({ "mode": "RunOnce" }));
    invalid["status"] = json!({ "updateRevision": "agent-1" });
    for (kind, object) in [
        (Kind::Task, invalid),
        (Kind::Node, node("win-1", "True", at(0))),
        (Kind::Revision, revision),
        (Kind::Job, job),
    ] {
        index.apply(Change::Seen(decode(kind, &object), Source::Watch), at(0));
    }
    for _ in 0..3 {
        let _ = bench.reconciler.task(&key("agent")).await;
    }
    let pending = index.node_observed("win-1").pending;
    let recorded: Vec<_> = pending.iter().map(|it| (it.state, it.exit_code)).collect();
    assert_eq!(recorded, [(LedgerState::Succeeded, Some(42))]);
    let read = "/apis/apps/v1/namespaces/ops/controllerrevisions/agent-1";
    assert_eq!(bench.sent(read).len(), 1, "only while it is not recorded");
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

const OTHER: &str = "44444444-4444-4444-8444-444444444444";

/// A valid task of mode `RunOnce` that may run everywhere at once.
fn installer(name: &str, uid: &str) -> Value {
    let container = json!({ "name": "main", "image": "setup:v1", "command": ["setup.exe"] });
    let spec = json!({
        "mode": "RunOnce",
        "runAs": { "account": "System" },
        "placement": { "tolerate": "All" },
        "rollout": { "maxUnavailable": "100%" },
        "template": { "spec": { "containers": [container] } },
    });
    let mut installer = task(uid, 1, &spec);
    installer["metadata"]["name"] = json!(name);
    installer["status"] = json!({});
    installer
}

/// Two installers, and nodes for them.
fn two_installers(nodes: &[&str], cap: u32) -> Bench {
    let mut bench = bench(&[]);
    let index = Arc::clone(&bench.reconciler.index);
    let see = |kind, object: &Value| {
        index.apply(Change::Seen(decode(kind, object), Source::Watch), at(0));
    };
    for (name, uid) in [("first", UID), ("second", OTHER)] {
        see(Kind::Task, &installer(name, uid));
    }
    for name in nodes {
        see(Kind::Node, &node(name, "True", at(0)));
    }
    bench.reconciler = bench.reconciler.with_max_disrupted_nodes(cap);
    bench
}

impl Bench {
    /// Passes over a task, until it would start everything it may. The stand-in stores no status.
    async fn settle(&self, name: &str) {
        for _ in 0..4 {
            let _ = self.reconciler.task(&key(name)).await;
        }
    }

    /// The nodes of the Jobs that were created for a task.
    fn jobs_of(&self, name: &str) -> Vec<String> {
        let log = self.log.lock().unwrap();
        let created = log.iter().filter(|(line, body)| {
            line.ends_with("/jobs")
                && body["metadata"]["ownerReferences"][0]["name"] == name
                && body["metadata"]["annotations"][NODE].is_string()
        });
        let nodes: BTreeSet<String> = created
            .filter_map(|(_, body)| body["metadata"]["annotations"][NODE].as_str())
            .map(str::to_owned)
            .collect();
        nodes.into_iter().collect()
    }

    /// The Job of a task on a node ended.
    fn end_jobs(&self, name: &str) {
        let bodies: Vec<Value> = {
            let log = self.log.lock().unwrap();
            let jobs = log.iter().filter(|(line, body)| {
                line.ends_with("/jobs") && body["metadata"]["ownerReferences"][0]["name"] == name
            });
            jobs.map(|(_, body)| body.clone()).collect()
        };
        for mut job in bodies {
            job["metadata"]["uid"] = json!(uid_of(job["metadata"]["name"].as_str().unwrap()));
            job["metadata"]["resourceVersion"] = json!("9");
            job["status"] = json!({ "conditions": [{ "type": "Complete", "status": "True" }] });
            let seen = Change::Seen(decode(Kind::Job, &job), Source::Watch);
            self.reconciler.index.apply(seen, at(1));
        }
    }
}

#[tokio::test]
async fn a_task_leaves_a_node_to_another_that_works_there_and_is_told_when_it_is_free() {
    let bench = two_installers(&["win-1"], 0);
    bench.settle("first").await;
    assert_eq!(bench.jobs_of("first"), ["win-1"]);
    bench.settle("second").await;
    assert_eq!(bench.jobs_of("second"), Vec::<String>::new());
    let waits = bench.sent("/tasks/second/status").pop();
    let depth = bench.reconciler.queue.gauge().depth;
    bench.end_jobs("first");
    bench.settle("first").await;
    let queue = bench.reconciler.queue.gauge().depth;
    assert!(queue > depth, "the second one is queued: {waits:?}");
    bench.settle("second").await;
    assert_eq!(bench.jobs_of("second"), ["win-1"]);
}

#[tokio::test]
async fn all_tasks_together_work_on_no_more_nodes_than_the_operator_was_told() {
    let bench = two_installers(&["win-1", "win-2", "win-3"], 2);
    bench.settle("first").await;
    assert_eq!(bench.jobs_of("first").len(), 2);
    bench.settle("second").await;
    assert_eq!(bench.jobs_of("second").len(), 0, "two are all");
    bench.end_jobs("first");
    bench.settle("second").await;
    assert_eq!(
        bench.jobs_of("second").len(),
        1,
        "one is kept for the first, which has waited longer"
    );
    let uncapped = two_installers(&["win-1", "win-2", "win-3"], 0);
    uncapped.settle("first").await;
    assert_eq!(uncapped.jobs_of("first").len(), 3);
}

#[tokio::test]
async fn a_daemon_set_of_somebody_else_that_came_after_the_name_was_found_free_is_not_taken_over() {
    // Nothing is written while it is paused; else every pass tries, and reads before it does.
    for (paused, expected) in [(true, 1), (false, 4)] {
        let sets = "/apis/apps/v1/namespaces/ops/daemonsets";
        let bench = bench(&[
            ("GET /apis/apps/v1/namespaces/ops/daemonsets", 404),
            (sets, 500),
        ]);
        let index = &bench.reconciler.index;
        let mut daemon = installer("agent", UID);
        daemon["spec"]["mode"] = json!("Daemon");
        daemon["spec"]["rollout"] = json!({ "paused": paused });
        let node = node("win-1", "True", at(0));
        for (kind, object) in [(Kind::Task, daemon), (Kind::Node, node)] {
            index.apply(Change::Seen(decode(kind, &object), Source::Watch), at(0));
        }
        bench.settle("agent").await;
        let log = bench.log.lock().unwrap();
        let path = format!("GET {sets}/agent");
        let reads = log.iter().filter(|(line, _)| *line == path).count();
        assert_eq!(reads, expected, "paused: {paused}");
    }
}

#[tokio::test]
async fn a_pod_of_a_deleted_task_that_nothing_controls_is_deleted_and_one_of_a_living_task_is_not()
{
    for (living, deleted) in [(false, 1), (true, 0)] {
        let tasks = if living {
            json!([{ "metadata": { "uid": UID } }])
        } else {
            json!([])
        };
        let bench = bench_with(&[], json!({ "metadata": {}, "items": tasks }));
        let index = &bench.reconciler.index;
        let mut orphan = pod("agent-1", 7);
        orphan["metadata"]["labels"]["hosttask.dev/wave"] = json!("default");
        orphan["metadata"]["ownerReferences"] = json!([]);
        for kind in Kind::ALL {
            index.apply(Change::Listing(Scope::Kind(kind)), at(0));
            if kind == Kind::Pod {
                index.apply(Change::Seen(decode(kind, &orphan), Source::List), at(0));
            }
            index.apply(Change::Listed(Scope::Kind(kind)), at(0));
        }
        bench.reconciler.strays().await.unwrap();
        let sent = bench.sent("/pods/agent-1");
        assert_eq!(sent.len(), deleted, "living: {living}");
        for body in sent {
            assert_eq!(body["preconditions"]["uid"], uid_of("agent-1"));
        }
    }
}
