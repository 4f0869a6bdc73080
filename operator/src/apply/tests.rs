//! Writes against a stand-in for the API server that answers as the test says.
//!
//! Longer than 400 lines: every write against the same played API server.

use super::*;
use crate::client::{Limits, polite};
use crate::index::tests::{at, decode, pod, uid_of};
use crate::index::{Change, Kind, Scope, Source};
use crate::leader::fence::Fence;
use crate::metrics::Metrics;
use hosttask_crds::label::MACHINE;
use http::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::Value;
use std::sync::{Arc, Mutex};

type Answer = (u16, Value);

/// A server that answers each request by the first rule whose beginning it has, and writes all requests down.
struct Bench {
    client: Client,
    index: Arc<Index>,
    queue: SharedQueue<Key>,
    events: Events,
    key: TaskKey,
    log: Arc<Mutex<Vec<(String, Value)>>>,
    fence: Arc<Fence>,
}

fn bench(rules: &[(&'static str, Answer)]) -> Bench {
    bench_where(rules, |_| {})
}

/// The same, where something happens between the arrival of a request and its answer.
fn bench_where(
    rules: &[(&'static str, Answer)],
    meanwhile: impl Fn(&Index) + Clone + Send + 'static,
) -> Bench {
    let index = Arc::new(Index::new(None));
    let log: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let rules = rules.to_vec();
    let server = {
        let (log, index) = (Arc::clone(&log), Arc::clone(&index));
        tower::service_fn(move |request: Request<Body>| {
            let (log, rules) = (Arc::clone(&log), rules.clone());
            meanwhile(&index);
            async move {
                let line = format!("{} {}", request.method(), request.uri());
                let body = request.into_body().collect_bytes().await?;
                log.lock().unwrap().push((
                    line.clone(),
                    serde_json::from_slice(&body).unwrap_or_default(),
                ));
                let rule = rules.iter().find(|(begin, _)| line.starts_with(begin));
                let (code, answer) = rule.map_or((599, Value::Null), |(_, answer)| answer.clone());
                if code == 0 {
                    return Err(kube::Error::Service("connection reset".into()));
                }
                let mut response = Response::new(Body::from(serde_json::to_vec(&answer).unwrap()));
                *response.status_mut() = StatusCode::from_u16(code).unwrap();
                Ok(response)
            }
        })
    };
    let (metrics, fence) = (
        Arc::new(Metrics::new("api".into())),
        Arc::new(Fence::open()),
    );
    let limits = Limits {
        per_second: 0.0,
        burst: 1,
    };
    let inner = Client::new(server, "default");
    let client = polite(
        inner,
        "default".into(),
        limits,
        Arc::clone(&fence),
        Arc::clone(&metrics) as Arc<_>,
    );
    Bench {
        events: Events::new(client.clone(), "me", Timestamp::now),
        client,
        index,
        queue: SharedQueue::new(metrics),
        key: TaskKey {
            namespace: "a".into(),
            name: "t".into(),
        },
        log,
        fence,
    }
}

impl Bench {
    async fn apply(&self, action: Action) -> Result<(), Error> {
        let (client, index, queue, events, key) = (
            &self.client,
            &self.index,
            &self.queue,
            &self.events,
            &self.key,
        );
        Applier {
            client,
            index,
            queue,
            events,
            key,
            uid: "task-1",
            clock: Timestamp::now,
        }
        .apply(&action)
        .await
    }

    fn lines(&self) -> Vec<String> {
        self.log
            .lock()
            .unwrap()
            .iter()
            .map(|(line, _)| line.clone())
            .collect()
    }
}

fn job(task_uid: &str, machine: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": "j", "namespace": "a", "uid": "job-1", "annotations": { MACHINE: machine, "hosttask.dev/node": "win-1" },
            "ownerReferences": [{ "apiVersion": "hosttask.dev/v1alpha1", "kind": "WindowsHostTask", "name": "t", "uid": task_uid, "controller": true }],
        },
    })
}

fn create_job() -> Action {
    let mut wanted: Job = serde_json::from_value(job("task-1", "node-1")).unwrap();
    wanted.metadata.uid = None;
    Action::CreateJob(Box::new(wanted))
}

fn failure(code: u16, reason: &str) -> Answer {
    (
        code,
        json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "no" }),
    )
}

const POST_JOB: &str = "POST /apis/batch/v1/namespaces/a/jobs?";
const GET_JOB: &str = "GET /apis/batch/v1/namespaces/a/jobs/j";

#[tokio::test]
async fn a_job_that_exists_already_is_success_where_it_is_ours_and_a_conflict_where_it_is_not() {
    let taken = failure(409, "AlreadyExists");
    let ours = bench(&[
        (POST_JOB, taken.clone()),
        (GET_JOB, (200, job("task-1", "node-1"))),
    ]);
    ours.apply(create_job())
        .await
        .expect("the answer to an earlier try was lost");
    assert_eq!(ours.index.counts().expectations, 1);
    for foreign in [job("task-2", "node-1"), job("task-1", "node-2")] {
        let bench = bench(&[(POST_JOB, taken.clone()), (GET_JOB, (200, foreign))]);
        let error = bench.apply(create_job()).await.unwrap_err();
        assert_eq!(error.cause(), Cause::NameConflict);
        assert_eq!(error.rejection().unwrap().reason, Reason::NameConflict);
        assert_eq!(
            bench.index.counts().expectations,
            0,
            "nothing of ours is on its way"
        );
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_stays_expected_and_one_that_was_refused_does_not() {
    for (answer, expected) in [
        ((0, Value::Null), 1),
        (failure(500, ""), 1),
        (failure(403, "Forbidden"), 0),
    ] {
        let code = answer.0;
        let bench = bench(&[(POST_JOB, answer)]);
        assert!(bench.apply(create_job()).await.is_err());
        assert_eq!(bench.index.counts().expectations, expected, "after {code}");
        assert_eq!(bench.lines().len(), 1, "a create is never repeated");
    }
}

#[tokio::test]
async fn a_pod_is_deleted_only_as_it_was_seen_and_a_newer_one_means_to_decide_again() {
    let delete = || Action::DeletePod {
        name: "p".into(),
        uid: "pod-1".into(),
        resource_version: "7".into(),
        node: "n".into(),
    };
    let path = "DELETE /api/v1/namespaces/a/pods/p";
    let bench_ok = bench(&[(path, (200, json!({ "metadata": { "name": "p" } })))]);
    bench_ok.apply(delete()).await.expect("deleted");
    let body = bench_ok.log.lock().unwrap()[0].1.clone();
    assert_eq!(
        body["preconditions"],
        json!({ "uid": "pod-1", "resourceVersion": "7" })
    );
    for stale in [failure(404, "NotFound"), failure(409, "Conflict")] {
        let bench = bench(&[(path, stale)]);
        let error = bench.apply(delete()).await.unwrap_err();
        assert_eq!(error.cause(), Cause::Stale);
        assert!(error.rejection().is_none());
        assert_eq!(bench.index.counts().expectations, 0);
    }
}

#[tokio::test]
async fn a_list_that_was_taken_before_a_deletion_and_ends_after_it_does_not_bring_the_pod_back() {
    let path = "DELETE /api/v1/namespaces/a/pods/p";
    for answer in [(200, json!({})), failure(500, ""), (0, Value::Null)] {
        let see = |index: &Index| {
            let pod = decode(Kind::Pod, &pod("p", 7));
            index.apply(Change::Seen(pod, Source::List), at(0));
        };
        let bench = bench_where(&[(path, answer)], move |index| {
            let pods = Scope::Kind(Kind::Pod);
            index.apply(Change::Listing(pods.clone()), at(0));
            see(index);
            index.apply(Change::Listed(pods), at(0));
        });
        see(&bench.index);
        let delete = Action::DeletePod {
            name: "p".into(),
            uid: uid_of("p"),
            resource_version: "7".into(),
            node: "n".into(),
        };
        let result = bench.apply(delete).await;
        assert_eq!(bench.index.counts().expectations, 1, "{result:?}");
    }
}

#[tokio::test]
async fn a_job_is_deleted_only_as_itself_with_its_pod_and_counts_as_going_at_once() {
    let delete = || Action::DeleteJob {
        name: "j".into(),
        uid: "job-1".into(),
        node: "n".into(),
    };
    let path = "DELETE /apis/batch/v1/namespaces/a/jobs/j";
    let bench_ok = bench(&[(path, (200, json!({ "metadata": { "name": "j" } })))]);
    bench_ok.apply(delete()).await.expect("deleted");
    let body = bench_ok.log.lock().unwrap()[0].1.clone();
    assert_eq!(body["preconditions"], json!({ "uid": "job-1" }));
    assert_eq!(body["propagationPolicy"], "Background");
    for stale in [failure(404, "NotFound"), failure(409, "Conflict")] {
        let bench = bench(&[(path, stale)]);
        let error = bench.apply(delete()).await.unwrap_err();
        assert_eq!(error.cause(), Cause::Stale);
        assert_eq!(bench.index.counts().expectations, 0);
    }
}

/// The writes of handing pods over, each with its request.
fn hand_over() -> [(Action, &'static str); 3] {
    let (name, uid, node) = ("p".to_owned(), "uid-1".to_owned(), "n".to_owned());
    let pod = "PATCH /api/v1/namespaces/a/pods/p";
    let orphan = Action::OrphanDaemonSet {
        name: name.clone(),
        uid: uid.clone(),
    };
    let moved = Action::MovePod {
        name: name.clone(),
        uid: uid.clone(),
        node: node.clone(),
        wave: "canary".to_owned(),
    };
    let ungated = Action::UngatePod { name, uid, node };
    [
        (orphan, "DELETE /apis/apps/v1/namespaces/a/daemonsets/p"),
        (moved, pod),
        (ungated, pod),
    ]
}

#[tokio::test]
async fn a_daemon_set_goes_without_its_pods_and_a_pod_is_changed_only_as_itself() {
    let bodies = [
        json!({ "apiVersion": "meta.k8s.io/v1", "kind": "DeleteOptions", "propagationPolicy": "Orphan", "preconditions": { "uid": "uid-1" } }),
        json!({ "metadata": { "uid": "uid-1", "labels": { "hosttask.dev/wave": "canary" } } }),
        json!({
            "metadata": { "uid": "uid-1" },
            "spec": { "schedulingGates": [{ "$patch": "delete", "name": "hosttask.dev/dependencies" }] },
        }),
    ];
    for ((action, path), expected) in hand_over().into_iter().zip(bodies) {
        let bench = bench(&[(path, (200, json!({ "metadata": { "name": "p" } })))]);
        bench.apply(action).await.expect("written");
        let mut body = bench.log.lock().unwrap()[0].1.clone();
        for field in ["apiVersion", "kind"] {
            if body.get(field).is_none() && expected.get(field).is_some() {
                body[field] = expected[field].clone();
            }
        }
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn a_pod_or_daemon_set_that_is_another_one_by_now_means_to_decide_again() {
    let causes =
        json!([{ "reason": "FieldValueInvalid", "message": "immutable", "field": "metadata.uid" }]);
    // What an API server answers to a patch with the UID of another pod.
    let another = (
        422,
        json!({ "kind": "Status", "status": "Failure", "code": 422, "reason": "Invalid", "message": "no", "details": { "causes": causes } }),
    );
    for (action, path) in hand_over() {
        for stale in [failure(409, "Conflict"), another.clone()] {
            let bench = known(&[(path, stale)]);
            let error = bench.apply(action.clone()).await.unwrap_err();
            assert_eq!(error.cause(), Cause::Stale);
            assert!(error.rejection().is_none());
            assert_eq!(bench.index.counts().expectations, 0);
        }
    }
}

#[tokio::test]
async fn a_daemon_set_that_is_gone_already_is_what_was_wanted_and_a_pod_that_is_gone_is_not() {
    for (action, path) in hand_over() {
        let bench = known(&[(path, failure(404, "NotFound"))]);
        let is_orphaned = matches!(action, Action::OrphanDaemonSet { .. });
        let result = bench.apply(action).await;
        if is_orphaned {
            result.expect("gone");
        } else {
            assert_eq!(result.unwrap_err().cause(), Cause::Stale);
        }
    }
}

#[tokio::test]
async fn a_hand_over_whose_answer_is_lost_counts_and_one_that_was_refused_does_not() {
    for (action, path) in hand_over() {
        for (answer, expected) in [
            ((0, Value::Null), 1),
            (failure(500, ""), 1),
            (failure(403, "Forbidden"), 0),
        ] {
            let code = answer.0;
            let bench = known(&[(path, answer)]);
            assert!(bench.apply(action.clone()).await.is_err());
            assert_eq!(bench.index.counts().expectations, expected, "after {code}");
        }
    }
}

/// A server, and an index that knows the DaemonSet and the pod `p`.
fn known(rules: &[(&'static str, Answer)]) -> Bench {
    let bench = bench(rules);
    let set = json!({ "metadata": { "name": "p", "namespace": "a", "uid": "uid-1", "resourceVersion": "1" } });
    let mut known = pod("p", 7);
    known["metadata"]["uid"] = json!("uid-1");
    known["spec"]["schedulingGates"] = json!([{ "name": "hosttask.dev/dependencies" }]);
    for (kind, object) in [(Kind::DaemonSet, set), (Kind::Pod, known)] {
        let seen = Change::Seen(decode(kind, &object), Source::Watch);
        bench.index.apply(seen, at(0));
    }
    bench
}

#[tokio::test]
async fn a_daemon_set_is_applied_by_force_under_our_name_and_only_checked_in_a_dry_run() {
    let set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": { "name": "t", "namespace": "a", "uid": "set-1", "generation": 3 },
        "spec": { "selector": {}, "template": {} },
    });
    let path = "PATCH /apis/apps/v1/namespaces/a/daemonsets/t";
    let bench = bench(&[(path, (200, set.clone()))]);
    let wanted: Box<DaemonSet> = Box::new(serde_json::from_value(set).unwrap());
    bench
        .apply(Action::CheckDaemonSet(wanted.clone()))
        .await
        .expect("accepted");
    assert_eq!(
        bench.index.counts().expectations,
        0,
        "a dry run changes nothing"
    );
    bench
        .apply(Action::ApplyDaemonSet(wanted))
        .await
        .expect("applied");
    assert_eq!(bench.index.counts().expectations, 1);
    let lines = bench.lines();
    assert!(
        lines[0].contains("dryRun=All") && !lines[1].contains("dryRun"),
        "{lines:?}"
    );
    assert!(lines.iter().all(|line| line.contains("force=true")
        && line.contains(&format!("fieldManager={FIELD_MANAGER}"))));
    let kind = bench.log.lock().unwrap()[1].1["kind"].clone();
    assert_eq!(kind, "DaemonSet", "the API server needs it in an apply");
}

#[tokio::test]
async fn nothing_is_written_once_the_leadership_is_lost() {
    let bench = bench(&[(POST_JOB, (201, job("task-1", "node-1")))]);
    bench.fence.close();
    let error = bench.apply(create_job()).await.unwrap_err();
    assert_eq!(error.cause(), Cause::Fenced);
    assert!(bench.lines().is_empty());
    assert_eq!(bench.index.counts().expectations, 0);
}

#[tokio::test]
async fn a_result_is_kept_and_the_ledger_of_its_node_is_looked_at() {
    let bench = bench(&[]);
    let entry = json!({ "task": "a/t", "taskUid": "task-1", "revision": "r", "state": "Succeeded", "attempts": 1 });
    let entry = Box::new(serde_json::from_value(entry).unwrap());
    bench
        .apply(Action::RecordResult {
            node: "win-1".into(),
            entry,
        })
        .await
        .expect("recorded");
    assert_eq!(bench.queue.gauge().depth, 1);
    assert!(
        bench.lines().is_empty(),
        "the ledger is written in a pass of its own"
    );
}
