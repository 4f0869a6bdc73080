//! Lists: what they do not show is gone, and nothing stays behind.

use super::*;

#[test]
fn what_a_list_does_not_show_is_gone_and_wakes_its_task() {
    let bench = Bench::new();
    bench.list(Kind::Pod, &[pod("agent-1", 1), pod("agent-2", 2)], 0);
    assert_eq!(bench.observed(0).pods.len(), 2);
    assert_eq!(bench.list(Kind::Pod, &[pod("agent-2", 2)], 1), [task_key()]);
    assert_eq!(bench.pod(1).name, "agent-2");
    assert_eq!(
        bench.list(Kind::Pod, &[pod("agent-2", 2)], 2),
        [],
        "an equal list changes nothing"
    );
}

#[test]
fn a_list_that_breaks_off_removes_nothing() {
    let bench = Bench::new();
    bench.list(Kind::Pod, &[pod("agent-1", 1), pod("agent-2", 2)], 0);
    bench
        .index
        .apply(Change::Listing(Scope::Kind(Kind::Pod)), at(1));
    bench.index.apply(
        Change::Seen(decode(Kind::Pod, &pod("agent-1", 1)), Source::List),
        at(1),
    );
    assert_eq!(bench.observed(1).pods.len(), 2);
}

#[test]
fn nothing_is_synced_before_every_kind_was_listed() {
    let index = Index::new(None);
    for kind in Kind::ALL {
        assert!(!index.synced());
        index.apply(Change::Listing(Scope::Kind(kind)), at(0));
        assert!(!index.synced());
        index.apply(Change::Listed(Scope::Kind(kind)), at(0));
    }
    assert!(index.synced());
}

#[test]
fn a_task_of_the_same_name_with_another_uid_is_another_task() {
    let bench = Bench::new();
    bench.see(Kind::Pod, &pod("agent-1", 1), 0);
    let new = "99999999-9999-4999-8999-999999999999";
    assert_eq!(
        bench.list(Kind::Task, &[task(new, 1, &json!({}))], 1),
        [task_key()]
    );
    let desired = Desired {
        uid: new.to_owned(),
        ..desired()
    };
    assert_eq!(bench.index.observed(&desired, at(1)).pods, []);
    assert_eq!(
        bench.see(Kind::Pod, &with_ready(pod("agent-1", 2), "True", at(2)), 2),
        [],
        "its task is gone"
    );
}

#[test]
fn the_level_of_a_namespace_wakes_its_tasks_and_its_other_labels_do_not() {
    let bench = Bench::new();
    let namespace = |labels: Value| json!({"metadata": {"name": "ops", "labels": labels}});
    bench.see(Kind::Namespace, &namespace(json!({"team": "a"})), 0);
    assert_eq!(
        bench.see(Kind::Namespace, &namespace(json!({"team": "b"})), 1),
        []
    );
    let level = json!({"pod-security.kubernetes.io/enforce": "baseline"});
    assert_eq!(
        bench.see(Kind::Namespace, &namespace(level.clone()), 2),
        [task_key()]
    );
    assert_eq!(bench.observed(2).pod_security.as_deref(), Some("baseline"));
    assert_eq!(
        bench.see(
            Kind::Namespace,
            &json!({"metadata": {"name": "other", "labels": level}}),
            3
        ),
        []
    );
}

#[test]
fn when_everything_is_gone_no_string_stays_interned() {
    let bench = Bench::new();
    let job = json!({"metadata": {"name": "j", "namespace": "ops", "uid": "j", "labels": {"hosttask.dev/task-uid": UID}}});
    let set = json!({"metadata": {"name": "agent", "namespace": "ops", "uid": "s", "labels": {"hosttask.dev/task-uid": UID}}});
    for round in 0..3 {
        bench.see(
            Kind::Task,
            &task(UID, round, &json!({"mode": "Daemon"})),
            round,
        );
        bench.list(
            Kind::Node,
            &[
                node("win-1", "True", at(round)),
                node("win-2", "True", at(0)),
            ],
            round,
        );
        bench.list(
            Kind::Pod,
            &[
                pod("agent-1", 1),
                with_ready(pod("agent-2", 2), "True", at(round)),
            ],
            round,
        );
        bench.list(Kind::Job, std::slice::from_ref(&job), round);
        bench.list(Kind::DaemonSet, std::slice::from_ref(&set), round);
        bench.list(Kind::Revision, std::slice::from_ref(&job), round);
    }
    assert!(bench.index.lock().symbols.len() > 5);
    for kind in Kind::ALL {
        bench.list(kind, &[], 9);
    }
    assert_eq!(bench.index.lock().symbols.len(), 0);
    assert_eq!(bench.index.counts(), Counts::default());
    assert_eq!(bench.observed(9).daemon_sets, Vec::new());
}

#[test]
fn missing_pods_are_asked_about_after_ten_seconds_and_then_less_and_less_often() {
    let bench = Bench::new();
    let mut missing = MissingPods::new(at(0));
    let mut reads = Vec::new();
    for second in 0..3600 {
        if missing.is_due(at(second)) {
            reads.push(second);
            missing.read = Some(at(second));
        }
    }
    assert_eq!(reads.first(), Some(&10));
    assert!(
        reads.windows(2).all(|pair| pair[1] - pair[0] >= 30),
        "{reads:?}"
    );
    assert!(
        reads.windows(2).all(|pair| pair[1] - pair[0] <= 600),
        "{reads:?}"
    );
    assert!(reads.len() < 14, "{reads:?}");
    bench
        .index
        .note_missing_pods(&key("agent"), Some(MissingPods::new(at(0))));
    assert_eq!(
        (bench.index.due(at(9)), bench.index.due(at(10))),
        (vec![], vec![task_key()])
    );
}
