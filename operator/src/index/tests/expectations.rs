//! Expectations: own writes count at once, and end when the watch shows them.

use super::*;
use crate::observed::{DaemonSetState, JobView, RevisionView};

fn expect(bench: &Bench, expectation: Expectation, second: i64) -> Ticket {
    bench
        .index
        .expect(&key("agent"), UID, expectation, at(second))
}

fn open(bench: &Bench) -> usize {
    bench.index.counts().expectations
}

fn deleted() -> Expectation {
    Expectation::PodDeleted {
        name: "agent-1".to_owned(),
        uid: uid_of("agent-1"),
    }
}

fn job_view() -> JobView {
    JobView {
        name: "agent-job".to_owned(),
        uid: "job-uid".to_owned(),
        node: "win-1".to_owned(),
        machine: "node-win-1".to_owned(),
        revision: "agent-abc".to_owned(),
        attempt: 1,
        created: at(0),
        ..JobView::default()
    }
}

fn job(conditions: &Value) -> Value {
    json!({
        "metadata": {
            "name": "agent-job", "namespace": "ops", "uid": "job-uid", "resourceVersion": "9",
            "creationTimestamp": at(0).to_string(),
            "labels": {"hosttask.dev/task-uid": UID, "hosttask.dev/revision": "agent-abc", "hosttask.dev/attempt": "1"},
            "annotations": {"hosttask.dev/node": "win-1", "hosttask.dev/machine": "node-win-1", "other": "dropped"}
        },
        "status": {"active": 1, "conditions": conditions}
    })
}

fn set(generation: i64, observed: i64, applied: &str) -> Value {
    json!({
        "metadata": {
            "name": "agent", "namespace": "ops", "uid": SET_UID, "generation": generation,
            "resourceVersion": (100 + generation).to_string(),
            "labels": {"hosttask.dev/task-uid": UID},
            "annotations": {"hosttask.dev/applied": applied},
            "ownerReferences": [{"kind": "WindowsHostTask", "name": "agent", "uid": UID, "controller": true}]
        },
        "spec": {"template": {"metadata": {"labels": {"hosttask.dev/revision": format!("agent-{applied}")}}}},
        "status": {"observedGeneration": observed, "numberReady": 5}
    })
}

fn applied(generation: i64, applied: &str) -> Expectation {
    let state = DaemonSetState {
        name: "agent".to_owned(),
        uid: SET_UID.to_owned(),
        applied: applied.to_owned(),
        revision: format!("agent-{applied}"),
        settled: true,
        deleting: false,
        wave: String::new(),
        layout: String::new(),
    };
    Expectation::DaemonSetApplied { state, generation }
}

fn ours(bench: &Bench) -> DaemonSetState {
    let Some(state) = bench.observed(0).daemon_sets.pop() else {
        panic!("not ours")
    };
    state
}

#[test]
fn a_pod_we_deleted_is_deleting_at_once_and_until_the_watch_says_so() {
    let bench = Bench::new();
    bench.see(Kind::Pod, &pod("agent-1", 10), 0);
    expect(&bench, deleted(), 1);
    assert!(bench.pod(1).deleting);
    bench.see(Kind::Pod, &with_ready(pod("agent-1", 11), "True", at(2)), 2);
    assert!(
        bench.pod(2).deleting,
        "another change of the pod proves nothing"
    );
    let mut deleting = pod("agent-1", 12);
    deleting["metadata"]["deletionTimestamp"] = json!(at(3).to_string());
    bench.see(Kind::Pod, &deleting, 3);
    assert_eq!((bench.pod(3).deleting, open(&bench)), (true, 0));
}

#[test]
fn a_deletion_that_the_watch_showed_before_the_response_is_not_kept() {
    let bench = Bench::new();
    bench.see(Kind::Pod, &pod("agent-1", 10), 0);
    bench.lose(Kind::Pod, &pod("agent-1", 11), 1);
    expect(&bench, deleted(), 1);
    assert_eq!(open(&bench), 0);
}

#[test]
fn a_job_we_created_is_there_at_once_without_a_uid() {
    let bench = Bench::new();
    expect(&bench, Expectation::JobCreated(Box::new(job_view())), 0);
    let jobs = bench.observed(0).jobs;
    assert_eq!(
        jobs,
        [JobView {
            uid: String::new(),
            ..job_view()
        }]
    );
    assert_eq!(bench.see(Kind::Job, &job(&json!([])), 1), [task_key()]);
    assert_eq!(bench.observed(1).jobs, [job_view()]);
    assert_eq!(open(&bench), 0);
}

#[test]
fn a_job_we_deleted_is_going_until_the_watch_shows_it_gone() {
    let gone = || Expectation::JobDeleted {
        name: "agent-job".to_owned(),
        uid: "job-uid".to_owned(),
    };
    let bench = Bench::new();
    bench.see(Kind::Job, &job(&json!([])), 0);
    expect(&bench, gone(), 0);
    bench.see(Kind::Job, &job(&json!([])), 1);
    assert!(bench.observed(1).jobs[0].deleting, "still to be seen");
    bench.lose(Kind::Job, &job(&json!([])), 2);
    assert_eq!((bench.observed(2).jobs.len(), open(&bench)), (0, 0));
    // The watch was quicker than the response.
    expect(&bench, gone(), 3);
    assert_eq!(open(&bench), 0);
}

#[test]
fn a_creation_and_deletion_that_only_shows_as_a_deletion_ends_the_expectation() {
    let bench = Bench::new();
    expect(&bench, Expectation::JobCreated(Box::new(job_view())), 0);
    bench.lose(Kind::Job, &job(&json!([])), 1);
    assert_eq!((bench.observed(1).jobs.len(), open(&bench)), (0, 0));
}

#[test]
fn a_creation_and_deletion_that_no_watch_shows_is_settled_by_a_live_read_and_not_before() {
    let bench = Bench::new();
    expect(&bench, Expectation::JobCreated(Box::new(job_view())), 0);
    assert_eq!(bench.index.overdue(&key("agent"), at(29)), []);
    assert_eq!(bench.index.due(at(29)), []);
    let overdue = bench.index.overdue(&key("agent"), at(30));
    assert_eq!(
        (overdue.len(), overdue[0].kind, overdue[0].name.as_str()),
        (1, Kind::Job, "agent-job")
    );
    assert_eq!(bench.index.due(at(30)), [task_key()]);
    assert_eq!(
        bench.observed(1000).jobs.len(),
        1,
        "time alone ends nothing"
    );
    bench.index.settle(&overdue[0], Settled::Absent, at(31));
    assert_eq!((bench.observed(31).jobs.len(), open(&bench)), (0, 0));
}

#[test]
fn a_live_read_that_finds_the_pod_undeleted_makes_it_count_again() {
    let bench = Bench::new();
    bench.see(Kind::Pod, &pod("agent-1", 10), 0);
    expect(&bench, deleted(), 0);
    let overdue = bench.index.overdue(&key("agent"), at(30)).remove(0);
    bench.index.settle(
        &overdue,
        Settled::Found(decode(Kind::Pod, &pod("agent-1", 10))),
        at(30),
    );
    assert!(!bench.pod(30).deleting);
}

#[test]
fn a_live_read_that_finds_another_pod_of_the_name_proves_the_deletion() {
    let bench = Bench::new();
    bench.see(Kind::Pod, &pod("agent-1", 10), 0);
    expect(&bench, deleted(), 0);
    let overdue = bench.index.overdue(&key("agent"), at(30)).remove(0);
    let mut other = pod("agent-1", 50);
    other["metadata"]["uid"] = json!(uid_of("other"));
    bench
        .index
        .settle(&overdue, Settled::Found(decode(Kind::Pod, &other)), at(30));
    assert_eq!(bench.observed(30).pods, []);
}

#[test]
fn only_a_list_that_began_after_the_write_ends_an_expectation() {
    let bench = Bench::new();
    bench
        .index
        .apply(Change::Listing(Scope::Kind(Kind::Job)), at(0));
    expect(&bench, Expectation::JobCreated(Box::new(job_view())), 0);
    bench
        .index
        .apply(Change::Listed(Scope::Kind(Kind::Job)), at(1));
    assert_eq!(
        bench.observed(1).jobs.len(),
        1,
        "this list may be older than the write"
    );
    bench.list(Kind::Pod, &[], 2);
    assert_eq!(open(&bench), 1, "a list of another kind says nothing");
    bench.list(Kind::Job, &[], 3);
    assert_eq!((bench.observed(3).jobs.len(), open(&bench)), (0, 0));
}

#[test]
fn an_applied_daemon_set_is_not_settled_until_its_controller_saw_the_generation() {
    let bench = Bench::new();
    assert_eq!(bench.observed(0).daemon_sets, Vec::new());
    expect(&bench, applied(1, "one"), 0);
    assert!(!ours(&bench).settled);
    assert_eq!(ours(&bench).applied, "one");
    bench.see(Kind::DaemonSet, &set(1, 1, "one"), 1);
    assert!(ours(&bench).settled);
    expect(&bench, applied(2, "two"), 2);
    bench.see(Kind::DaemonSet, &set(1, 1, "one"), 3);
    let state = ours(&bench);
    assert_eq!(
        (state.applied.as_str(), state.settled),
        ("two", false),
        "the watch is behind"
    );
    bench.see(Kind::DaemonSet, &set(2, 1, "two"), 4);
    assert_eq!((ours(&bench).settled, open(&bench)), (false, 0));
    bench.see(Kind::DaemonSet, &set(2, 2, "two"), 5);
    assert!(ours(&bench).settled);
}

#[test]
fn pods_becoming_ready_in_a_daemon_set_status_wake_nobody() {
    let bench = Bench::new();
    bench.see(Kind::DaemonSet, &set(1, 1, "one"), 0);
    let mut counted = set(1, 1, "one");
    counted["metadata"]["resourceVersion"] = json!("500");
    counted["status"]["numberReady"] = json!(6);
    assert_eq!(bench.see(Kind::DaemonSet, &counted, 1), []);
    assert_eq!(
        bench.see(Kind::DaemonSet, &set(500, 1, "one"), 2),
        [task_key()]
    );
}

#[test]
fn a_daemon_set_of_our_name_that_the_task_does_not_control_is_foreign() {
    let bench = Bench::new();
    let mut foreign = set(1, 1, "one");
    foreign["metadata"]["ownerReferences"] =
        json!([{"kind": "HelmRelease", "name": "cni", "uid": "x", "controller": true}]);
    bench.see(Kind::DaemonSet, &foreign, 0);
    assert_eq!(bench.observed(0).foreign[0].owner, "HelmRelease cni");
    foreign["metadata"]["ownerReferences"] = json!(null);
    bench.see(Kind::DaemonSet, &foreign, 1);
    assert_eq!(bench.observed(0).foreign[0].owner, "nobody");
}

#[test]
fn a_revision_we_wrote_renumbered_or_deleted_reads_so_at_once() {
    let bench = Bench::new();
    let object = |number: i64| {
        json!({
            "metadata": {"name": "agent-abc", "namespace": "ops", "uid": "rev-uid", "resourceVersion": number.to_string(),
                "labels": {"hosttask.dev/task-uid": UID},
                "ownerReferences": [{"kind": "WindowsHostTask", "name": "agent", "uid": UID, "controller": true}]},
            "revision": number,
            "data": {"template": {"b": 1, "a": 2}}
        })
    };
    let digest = crate::revision::digest(&json!({"template": {"a": 2, "b": 1}}));
    let view = |number| RevisionView {
        name: "agent-abc".to_owned(),
        uid: "rev-uid".to_owned(),
        number,
        digest: digest.clone(),
        ours: true,
    };
    expect(&bench, Expectation::RevisionWritten(view(1)), 0);
    assert_eq!(bench.observed(0).revisions, [view(1)]);
    bench.see(Kind::Revision, &object(1), 1);
    assert_eq!(
        (bench.observed(1).revisions, open(&bench)),
        (vec![view(1)], 0)
    );
    expect(&bench, Expectation::RevisionWritten(view(3)), 2);
    bench.see(Kind::Revision, &object(1), 2);
    assert_eq!(bench.observed(2).revisions, [view(3)]);
    bench.see(Kind::Revision, &object(3), 3);
    let gone = Expectation::RevisionDeleted {
        name: "agent-abc".to_owned(),
        uid: "rev-uid".to_owned(),
    };
    expect(&bench, gone, 4);
    assert_eq!((bench.observed(4).revisions, open(&bench)), (vec![], 1));
    bench.lose(Kind::Revision, &object(3), 5);
    assert_eq!(open(&bench), 0);
}

#[test]
fn a_refused_write_is_taken_back_but_not_the_newer_one_of_the_same_object() {
    let bench = Bench::new();
    let first = expect(&bench, applied(1, "one"), 0);
    let second = expect(&bench, applied(2, "two"), 1);
    bench.index.withdraw(&first);
    assert_eq!(ours(&bench).applied, "two");
    bench.index.withdraw(&second);
    assert_eq!(bench.observed(1).daemon_sets, Vec::new());
}

#[test]
fn a_job_keeps_the_exit_of_its_pod_though_the_pod_goes_first() {
    let bench = Bench::new();
    bench.see(Kind::Job, &job(&json!([])), 0);
    let mut pod = pod("agent-job-x", 10);
    pod["metadata"]["ownerReferences"] =
        json!([{"kind": "Job", "name": "agent-job", "uid": "job-uid", "controller": true}]);
    pod["status"] = json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3010, "reason": "Error"}}}]});
    bench.see(Kind::Pod, &pod, 1);
    bench.lose(Kind::Pod, &pod, 2);
    let failed = json!([
        {"type": "FailureTarget", "status": "True", "reason": "early"},
        {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "lastTransitionTime": at(3).to_string()}
    ]);
    bench.see(Kind::Job, &job(&failed), 3);
    let end = bench.observed(3).jobs.remove(0).end.unwrap();
    assert_eq!(
        (end.complete, end.reason.as_str(), end.time),
        (false, "PodFailurePolicy", at(3))
    );
    assert_eq!(end.exit.map(|exit| exit.code), Some(3010));
}

#[test]
fn a_job_that_shows_up_after_its_pod_ended_still_has_the_exit() {
    let bench = Bench::new();
    let mut pod = pod("agent-job-x", 10);
    pod["metadata"]["ownerReferences"] =
        json!([{"kind": "Job", "name": "agent-job", "uid": "job-uid", "controller": true}]);
    pod["status"] = json!({"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"exitCode": 0}}}]});
    bench.see(Kind::Pod, &pod, 1);
    bench.see(
        Kind::Job,
        &job(&json!([{"type": "Complete", "status": "True"}])),
        2,
    );
    let end = bench.observed(3).jobs.remove(0).end.unwrap();
    assert_eq!(
        (end.complete, end.exit.map(|exit| exit.code)),
        (true, Some(0))
    );
}

#[test]
fn nobody_waits_for_the_writes_of_a_task_that_is_gone_or_going() {
    let expect = |bench: &Bench| {
        let deleted = Expectation::PodDeleted {
            name: "agent-1".to_owned(),
            uid: uid_of("agent-1"),
        };
        bench.see(Kind::Pod, &pod("agent-1", 10), 0);
        bench.index.expect(&key("agent"), UID, deleted, at(0));
        assert_eq!(bench.index.counts().expectations, 1);
    };
    let spec = json!({"mode": "Daemon"});
    let bench = Bench::new();
    expect(&bench);
    assert_eq!(bench.index.due(at(30)), [task_key()]);
    let mut going = task(UID, 2, &spec);
    going["metadata"]["deletionTimestamp"] = json!(at(1).to_string());
    bench.see(Kind::Task, &going, 1);
    assert_eq!(bench.index.due(at(30)), []);
    bench.lose(Kind::Task, &going, 2);
    assert_eq!(bench.index.counts().expectations, 0);
    // A pass that was under way when the task went.
    expect(&bench);
    assert_eq!(bench.index.due(at(30)), []);
    let bench = Bench::new();
    expect(&bench);
    let again = task("44444444-4444-4444-8444-444444444444", 1, &spec);
    bench.see(Kind::Task, &again, 1);
    assert_eq!(bench.index.counts().expectations, 0, "made anew");
}
