//! Ledgers: valid and void entries, results that wait to be written, writes that wait to be seen.

use hosttask_crds::node::LedgerState;

use super::*;

fn entry(uid: &str, revision: &str, attempts: i32) -> LedgerEntry {
    LedgerEntry {
        task: "ops/agent".to_owned(),
        task_uid: uid.to_owned(),
        revision: revision.to_owned(),
        state: LedgerState::Succeeded,
        attempts,
        exit_code: Some(0),
        reason: None,
        message: None,
        start_time: None,
        completion_time: None,
        next_retry_time: None,
        boot_id: None,
        earlier_attempts: None,
        scheduled_time: None,
        survives_reimage: None,
    }
}

fn ledger(version: u64, machine: &str, entries: &[LedgerEntry]) -> Value {
    json!({
        "metadata": {"name": "win-1", "uid": "ledger-uid", "resourceVersion": version.to_string(),
            "ownerReferences": [{"kind": "Node", "name": "win-1", "uid": "node-win-1"}]},
        "spec": {},
        "status": {"nodeUid": "node-win-1", "systemUuid": machine, "tasks": entries}
    })
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.see(Kind::Node, &node("win-1", "True", at(0)), 0);
    bench
}

#[test]
fn an_entry_counts_for_its_task_on_its_machine_only() {
    let bench = bench();
    let mine = entry(UID, "agent-abc", 1);
    let keys = bench.see(
        Kind::Ledger,
        &ledger(5, "machine-win-1", std::slice::from_ref(&mine)),
        1,
    );
    assert_eq!(keys, [task_key(), Key::Node("win-1".to_owned())]);
    assert_eq!(bench.observed(1).ledger.get("win-1"), Some(&mine));
    bench.see(
        Kind::Ledger,
        &ledger(6, "machine-win-1", &[entry("another task", "agent-abc", 1)]),
        2,
    );
    assert_eq!(bench.observed(2).ledger.len(), 0);
    bench.see(Kind::Ledger, &ledger(7, "another machine", &[mine]), 3);
    assert_eq!(bench.observed(3).ledger.len(), 0);
}

#[test]
fn a_node_that_left_the_fleet_is_told_with_its_entry_while_a_job_of_the_task_is_on_it() {
    let bench = bench();
    let mine = entry(UID, "agent-abc", 1);
    bench.see(
        Kind::Ledger,
        &ledger(5, "machine-win-1", std::slice::from_ref(&mine)),
        1,
    );
    let mut desired = desired();
    desired.generation = 2;
    let elsewhere = json!({"nodeSelector": {"matchLabels": {"pool": "b"}}});
    desired.placement = placement::compile(Some(&serde_json::from_value(elsewhere).unwrap()));
    let seen = || bench.index.observed(&desired, at(2));
    assert_eq!((seen().nodes.len(), seen().left.len()), (0, 0));
    let job = json!({"metadata": {
        "name": "agent-job", "namespace": "ops", "uid": "job-uid", "resourceVersion": "9",
        "labels": {"hosttask.dev/task-uid": UID},
        "annotations": {"hosttask.dev/node": "win-1"}
    }});
    bench.see(Kind::Job, &job, 1);
    assert_eq!((seen().nodes.len(), seen().left.len()), (0, 1));
    assert_eq!(seen().ledger.get("win-1"), Some(&mine));
}

#[test]
fn a_reimaged_node_voids_its_entries() {
    let bench = bench();
    bench.see(
        Kind::Ledger,
        &ledger(5, "machine-win-1", &[entry(UID, "agent-abc", 1)]),
        1,
    );
    bench.index.record("win-1", entry(UID, "agent-new", 1));
    let mut fresh = node("win-1", "True", at(0));
    fresh["status"]["nodeInfo"]["systemUUID"] = json!("fresh");
    assert_eq!(
        bench.see(Kind::Node, &fresh, 2),
        [task_key(), Key::Node("win-1".to_owned())]
    );
    assert_eq!(bench.observed(2).ledger.len(), 0);
    assert_eq!(bench.index.node_observed("win-1").pending, []);
}

#[test]
fn a_result_counts_at_once_and_waits_until_the_ledger_shows_it() {
    let bench = bench();
    let (old, new) = (entry(UID, "agent-abc", 1), entry(UID, "agent-new", 1));
    bench.see(
        Kind::Ledger,
        &ledger(5, "machine-win-1", std::slice::from_ref(&old)),
        1,
    );
    bench.index.record("win-1", new.clone());
    assert_eq!(bench.observed(1).ledger.get("win-1"), Some(&new));
    let pending = bench.index.node_observed("win-1").pending;
    assert_eq!(pending, std::slice::from_ref(&new));
    bench.see(Kind::Ledger, &ledger(6, "machine-win-1", &[old]), 2);
    assert_eq!(
        bench.index.counts().pending_entries,
        1,
        "somebody else's write shows nothing"
    );
    bench.see(
        Kind::Ledger,
        &ledger(7, "machine-win-1", std::slice::from_ref(&new)),
        3,
    );
    assert_eq!(bench.index.counts().pending_entries, 0);
    assert_eq!(bench.observed(3).ledger.get("win-1"), Some(&new));
}

#[test]
fn a_void_ledger_with_the_same_attempt_does_not_swallow_a_result() {
    let bench = bench();
    bench.see(
        Kind::Ledger,
        &ledger(5, "old machine", &[entry(UID, "agent-abc", 1)]),
        0,
    );
    bench.index.record("win-1", entry(UID, "agent-abc", 1));
    bench.see(
        Kind::Ledger,
        &ledger(6, "old machine", &[entry(UID, "agent-abc", 1)]),
        1,
    );
    assert_eq!(bench.index.node_observed("win-1").pending.len(), 1);
}

#[test]
fn a_ledger_write_is_what_the_next_decision_starts_from() {
    let bench = bench();
    bench.see(Kind::Ledger, &ledger(5, "machine-win-1", &[]), 0);
    let mut view = bench.index.node_observed("win-1").ledger.unwrap();
    view.resource_version = "8".to_owned();
    bench.index.wrote_ledger("win-1", view.clone());
    assert_eq!(
        bench.index.node_observed("win-1").ledger,
        Some(view.clone())
    );
    bench.see(Kind::Ledger, &ledger(6, "machine-win-1", &[]), 1);
    assert_eq!(
        bench
            .index
            .node_observed("win-1")
            .ledger
            .unwrap()
            .resource_version,
        "8",
        "the watch is behind"
    );
    bench.see(Kind::Ledger, &ledger(9, "machine-win-1", &[]), 2);
    assert_eq!(
        bench
            .index
            .node_observed("win-1")
            .ledger
            .unwrap()
            .resource_version,
        "9"
    );
    bench.index.wrote_ledger("win-1", view);
    assert_eq!(
        bench
            .index
            .node_observed("win-1")
            .ledger
            .unwrap()
            .resource_version,
        "9",
        "seen before the response"
    );
}

#[test]
fn a_ledger_that_was_created_and_deleted_again_is_not_expected_for_ever() {
    let bench = bench();
    bench.index.wrote_ledger(
        "win-1",
        LedgerView {
            resource_version: "8".to_owned(),
            ..LedgerView::default()
        },
    );
    bench.list(Kind::Ledger, &[], 1);
    assert_eq!(bench.index.node_observed("win-1").ledger, None);
}

#[test]
fn a_deleted_task_or_node_leaves_no_pending_results() {
    let bench = bench();
    bench.index.record("win-1", entry(UID, "agent-abc", 1));
    bench.see(
        Kind::Ledger,
        &ledger(5, "machine-win-1", &[entry(UID, "agent-old", 1)]),
        0,
    );
    let keys = bench.lose(Kind::Task, &task(UID, 1, &json!({})), 1);
    assert_eq!(keys, [task_key(), Key::Node("win-1".to_owned())]);
    assert_eq!(bench.index.counts().pending_entries, 0);
    assert!(bench.index.node_observed("win-1").live_tasks.is_empty());
    bench.index.record("win-1", entry(UID, "agent-abc", 1));
    bench.lose(Kind::Node, &node("win-1", "True", at(0)), 2);
    bench.index.record("win-1", entry(UID, "agent-abc", 1));
    assert_eq!(bench.index.counts().pending_entries, 0);
    assert_eq!(bench.index.node_observed("win-1").node, None);
}

#[test]
fn a_process_of_one_namespace_takes_the_tasks_of_others_for_alive() {
    let index = Index::new(Some("ops".to_owned()));
    let mut other = entry("uid-elsewhere", "x", 1);
    other.task = "elsewhere/agent".to_owned();
    let object = ledger(5, "m", &[other, entry("uid-deleted", "x", 1)]);
    index.apply(
        Change::Seen(decode(Kind::Ledger, &object), Source::Watch),
        at(0),
    );
    let live = index.node_observed("win-1").live_tasks;
    assert_eq!(live.into_iter().collect::<Vec<_>>(), ["uid-elsewhere"]);
}
