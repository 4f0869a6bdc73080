//! What a rollout in waves needs to know: waves, topology, conditions, requests, and pods that are handed over.

use super::*;
use crate::desired::{NodeCondition, Operator, Requirement, TopologyOrder, Wave};
use crate::observed::{ConditionView, DaemonSetState, PodView, Requests};
use hosttask_crds::task::ConditionStatus;

fn expect(bench: &Bench, expectation: Expectation) -> Ticket {
    bench.index.expect(&key("agent"), UID, expectation, at(0))
}

fn open(bench: &Bench) -> usize {
    bench.index.counts().expectations
}

fn wave_pod(version: u64, wave: &str) -> Value {
    let mut pod = pod("agent-1", version);
    pod["metadata"]["labels"]["hosttask.dev/wave"] = json!(wave);
    pod
}

fn orphan(version: u64, wave: &str) -> Value {
    let mut pod = wave_pod(version, wave);
    pod["metadata"]["ownerReferences"] = json!([]);
    pod
}

/// Two waves: the nodes of pool `a`, and the rest. Ordered by zone, with a condition.
fn rollout() -> Desired {
    Desired {
        waves: vec![
            Wave {
                name: "canary".to_owned(),
                requirements: vec![Requirement {
                    key: "pool".to_owned(),
                    operator: Operator::In,
                    values: vec!["a".to_owned()],
                }],
                ..Wave::rest()
            },
            Wave::rest(),
        ],
        order: vec![TopologyOrder {
            key: "zone".to_owned(),
            sequential: false,
        }],
        node_conditions: vec![NodeCondition {
            kind: "NetworkUnavailable".to_owned(),
            status: ConditionStatus::False,
        }],
        ..desired()
    }
}

fn node_in(pool: &str, zone: Option<&str>) -> Value {
    let mut node = node("win-1", "True", at(0));
    node["metadata"]["labels"]["pool"] = json!(pool);
    if let Some(zone) = zone {
        node["metadata"]["labels"]["zone"] = json!(zone);
    }
    node
}

#[test]
fn a_node_is_in_the_wave_and_zone_that_its_labels_say_now() {
    let bench = Bench::new();
    for (second, pool, zone, wave) in [(0, "a", None, 0), (1, "b", Some("1"), 1), (2, "a", None, 0)]
    {
        bench.see(Kind::Node, &node_in(pool, zone), second);
        // Twice: what was found is kept.
        for _ in 0..2 {
            let node = bench.index.observed(&rollout(), at(second)).nodes.remove(0);
            assert_eq!(node.wave, wave);
            assert_eq!(node.topology, [zone.map(str::to_owned)]);
        }
    }
    // A pass that began before the task changed decides on its own waves.
    let old = Desired {
        generation: 0,
        ..rollout()
    };
    assert_eq!(bench.index.observed(&old, at(3)).nodes[0].wave, 0);
}

#[test]
fn the_waves_of_another_generation_are_found_anew() {
    let bench = Bench::new();
    bench.see(Kind::Node, &node_in("a", None), 0);
    assert_eq!(bench.index.observed(&rollout(), at(0)).nodes[0].wave, 0);
    bench.see(Kind::Task, &task(UID, 2, &json!({})), 1);
    let mut other = Desired {
        generation: 2,
        ..rollout()
    };
    other.waves[0].requirements[0].values = vec!["b".to_owned()];
    assert_eq!(bench.index.observed(&other, at(1)).nodes[0].wave, 1);
}

fn with_condition(status: &str, changed: Timestamp) -> Value {
    let mut node = node_in("a", None);
    let condition = json!({ "type": "NetworkUnavailable", "status": status, "lastTransitionTime": changed.to_string() });
    node["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .push(condition);
    node
}

#[test]
fn a_condition_counts_from_our_clock_and_wakes_only_the_tasks_that_name_it() {
    let bench = Bench::new();
    let spec =
        json!({"health": {"nodeConditions": [{"type": "NetworkUnavailable", "status": "False"}]}});
    let mut picky = task("44444444-4444-4444-8444-444444444444", 1, &spec);
    picky["metadata"]["name"] = json!("picky");
    bench.see(Kind::Task, &picky, 0);
    bench.list(Kind::Node, &[with_condition("False", at(500))], 0);
    let view = |second| {
        let mut node = bench.index.observed(&rollout(), at(second)).nodes.remove(0);
        node.conditions.remove(0)
    };
    let expected = |status: &str, changed| ConditionView {
        kind: "NetworkUnavailable".to_owned(),
        status: status.to_owned(),
        changed: Some(changed),
    };
    assert_eq!(view(0), expected("False", at(0)), "never in the future");
    let keys = bench.see(Kind::Node, &with_condition("True", at(-70)), 30);
    assert_eq!(keys, [Key::Task(key("picky"))]);
    assert_eq!(view(30), expected("True", at(30)));
    assert_eq!(
        bench.see(Kind::Node, &with_condition("True", at(-70)), 60),
        []
    );
    assert_eq!(view(60), expected("True", at(30)));
    let keys = bench.see(Kind::Node, &node_in("a", None), 90);
    assert_eq!(keys, [Key::Task(key("picky"))]);
    let seen = bench.index.observed(&rollout(), at(90));
    assert_eq!(seen.nodes[0].conditions, [], "the node has none");
}

#[test]
fn a_request_by_annotation_wakes_the_task_although_its_spec_is_the_same() {
    let bench = Bench::new();
    let mut asked = task(UID, 1, &json!({"mode": "Daemon"}));
    asked["metadata"]["resourceVersion"] = json!("2");
    asked["metadata"]["annotations"] = json!({
        "hosttask.dev/retry": "x".repeat(300), "hosttask.dev/approved-wave": "agent-abc/canary",
    });
    assert_eq!(bench.observed(0).requests, Requests::default());
    assert_eq!(bench.see(Kind::Task, &asked, 1), [task_key()]);
    let expected = Requests {
        // As much as the status can repeat.
        retry: Some("x".repeat(253)),
        approved_wave: Some("agent-abc/canary".to_owned()),
    };
    assert_eq!(bench.observed(1).requests, expected);
}

#[test]
fn a_pod_that_its_daemon_set_left_stays_known_until_another_takes_it_over() {
    let bench = Bench::new();
    bench.see(Kind::Pod, &wave_pod(10, "default"), 0);
    let view = bench.pod(0);
    assert_eq!(
        (view.wave.as_str(), view.orphan, view.gated),
        ("default", false, false)
    );
    assert_eq!(
        bench.see(Kind::Pod, &orphan(11, "default"), 1),
        [task_key()]
    );
    assert!(bench.pod(1).orphan);
    assert_eq!(bench.see(Kind::Pod, &orphan(12, "canary"), 2), [task_key()]);
    assert_eq!(bench.pod(2).wave, "canary");
    assert_eq!(
        bench.see(Kind::Pod, &wave_pod(13, "canary"), 3),
        [task_key()]
    );
    assert!(!bench.pod(3).orphan);
}

#[test]
fn only_our_own_gate_holds_a_pod_back() {
    let bench = Bench::new();
    for (version, gates, gated) in [
        (10, json!([{"name": "other"}]), false),
        (
            11,
            json!([{"name": "other"}, {"name": "hosttask.dev/dependencies"}]),
            true,
        ),
        (12, json!(null), false),
    ] {
        let mut pod = wave_pod(version, "default");
        pod["spec"]["schedulingGates"] = gates;
        bench.see(Kind::Pod, &pod, 0);
        assert_eq!(bench.pod(0).gated, gated, "{version}");
    }
}

/// What was written to a pod, whether it reads so, an object that proves nothing, and one that shows it.
type PodWrite = (Expectation, fn(&PodView) -> bool, Value, Value);

fn pod_writes() -> [PodWrite; 2] {
    let (name, uid) = ("agent-1".to_owned(), uid_of("agent-1"));
    let mut gated = wave_pod(11, "default");
    gated["spec"]["schedulingGates"] = json!([{"name": "hosttask.dev/dependencies"}]);
    let moved = Expectation::PodMoved {
        name: name.clone(),
        uid: uid.clone(),
        wave: "canary".to_owned(),
    };
    let ungated = Expectation::PodUngated { name, uid };
    [
        (
            moved,
            |pod| pod.wave == "canary",
            orphan(11, "default"),
            orphan(12, "canary"),
        ),
        (ungated, |pod| !pod.gated, gated, wave_pod(12, "default")),
    ]
}

#[test]
fn what_we_wrote_to_a_pod_reads_so_at_once_and_until_the_watch_shows_it() {
    for (write, holds, before, after) in pod_writes() {
        let bench = Bench::new();
        bench.see(Kind::Pod, &before, 0);
        assert!(!holds(&bench.pod(0)));
        expect(&bench, write.clone());
        assert!(holds(&bench.pod(0)));
        bench.see(Kind::Pod, &before, 1);
        assert_eq!((holds(&bench.pod(1)), open(&bench)), (true, 1));
        bench.see(Kind::Pod, &after, 2);
        assert_eq!((holds(&bench.pod(2)), open(&bench)), (true, 0));
        // The watch was quicker than the answer.
        expect(&bench, write.clone());
        assert_eq!(open(&bench), 0);
        // The pod went before the watch showed the write.
        bench.lose(Kind::Pod, &after, 3);
        bench.see(Kind::Pod, &before, 4);
        expect(&bench, write);
        bench.lose(Kind::Pod, &before, 5);
        assert_eq!(open(&bench), 0);
    }
}

#[test]
fn a_write_to_a_pod_that_did_not_happen_is_settled_by_a_live_read() {
    for (write, holds, before, _) in pod_writes() {
        let bench = Bench::new();
        bench.see(Kind::Pod, &before, 0);
        expect(&bench, write);
        let overdue = bench.index.overdue(&key("agent"), at(30)).remove(0);
        let found = Settled::Found(decode(Kind::Pod, &before));
        bench.index.settle(&overdue, found, at(30));
        assert_eq!((holds(&bench.pod(30)), open(&bench)), (false, 0));
    }
}

#[test]
fn a_pod_can_be_moved_ungated_and_deleted_at_once() {
    let bench = Bench::new();
    let [(moved, _, before, _), (ungated, _, mut gated, _)] = pod_writes();
    gated["metadata"]["ownerReferences"] = before["metadata"]["ownerReferences"].clone();
    bench.see(Kind::Pod, &gated, 0);
    expect(&bench, moved);
    expect(&bench, ungated);
    let uid = uid_of("agent-1");
    let name = "agent-1".to_owned();
    expect(&bench, Expectation::PodDeleted { name, uid });
    let pod = bench.pod(0);
    assert_eq!(
        (pod.wave.as_str(), pod.gated, pod.deleting),
        ("canary", false, true)
    );
    gated["metadata"]["resourceVersion"] = json!("12");
    gated["metadata"]["deletionTimestamp"] = json!(at(1).to_string());
    bench.see(Kind::Pod, &gated, 1);
    assert_eq!(open(&bench), 0, "what is going is not waited for");
}

fn set(version: u64, deleting: bool) -> Value {
    let mut set = json!({
        "metadata": {
            "name": "agent", "namespace": "ops", "uid": SET_UID, "generation": 1, "resourceVersion": version.to_string(),
            "labels": {"hosttask.dev/task-uid": UID, "hosttask.dev/wave": "default"},
            "annotations": {"hosttask.dev/layout": "one"},
            "ownerReferences": [{"kind": "WindowsHostTask", "name": "agent", "uid": UID, "controller": true}]
        },
        "status": {"observedGeneration": 1}
    });
    if deleting {
        set["metadata"]["deletionTimestamp"] = json!(at(1).to_string());
    }
    set
}

#[test]
fn a_daemon_set_that_we_deleted_is_going_at_once_and_until_it_is_gone() {
    let write = || Expectation::DaemonSetOrphaned {
        name: "agent".to_owned(),
        uid: SET_UID.to_owned(),
    };
    let going = |bench: &Bench| -> Vec<bool> {
        let sets = bench.observed(0).daemon_sets;
        sets.iter()
            .map(|set: &DaemonSetState| set.deleting)
            .collect()
    };
    let bench = Bench::new();
    bench.see(Kind::DaemonSet, &set(10, false), 0);
    expect(&bench, write());
    assert_eq!(going(&bench), [true]);
    bench.see(Kind::DaemonSet, &set(11, false), 1);
    assert_eq!((going(&bench), open(&bench)), (vec![true], 1));
    bench.see(Kind::DaemonSet, &set(12, true), 2);
    assert_eq!((going(&bench), open(&bench)), (vec![true], 0));
    bench.lose(Kind::DaemonSet, &set(13, true), 3);
    assert_eq!(going(&bench), Vec::<bool>::new());
    expect(&bench, write());
    assert_eq!(open(&bench), 0, "the watch was quicker than the answer");
    // It did not happen.
    bench.see(Kind::DaemonSet, &set(20, false), 4);
    expect(&bench, write());
    let overdue = bench.index.overdue(&key("agent"), at(30)).remove(0);
    let found = Settled::Found(decode(Kind::DaemonSet, &set(20, false)));
    bench.index.settle(&overdue, found, at(30));
    assert_eq!(going(&bench), [false]);
}

#[test]
fn a_pod_that_nothing_controls_is_looked_at_when_its_task_is_gone_and_not_before_all_tasks_are_known()
 {
    let spec = json!({"mode": "Daemon"});
    let bench = Bench::new();
    bench.see(Kind::Pod, &wave_pod(10, "default"), 0);
    assert_eq!(
        bench.see(Kind::Pod, &orphan(11, "default"), 1),
        [task_key()],
        "its task looks after it"
    );
    let keys = bench.lose(Kind::Task, &task(UID, 1, &spec), 2);
    assert!(keys.contains(&Key::Strays), "{keys:?}");
    assert_eq!(
        bench.index.orphans_without_task(),
        [],
        "not every list was read"
    );
    for kind in Kind::ALL {
        if kind != Kind::Pod {
            bench.list(kind, &[], 3);
        }
    }
    let keys = bench.list(Kind::Pod, &[orphan(12, "default")], 3);
    assert_eq!(keys, []);
    let found = bench.index.orphans_without_task();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].name.as_str(), found[0].task_uid.as_str()),
        ("agent-1", UID)
    );
    // The DaemonSet let it go after the task was gone.
    bench.see(Kind::Pod, &wave_pod(13, "default"), 4);
    assert_eq!(bench.index.orphans_without_task(), []);
    assert_eq!(
        bench.see(Kind::Pod, &orphan(14, "default"), 5),
        [Key::Strays]
    );
    let mut going = orphan(15, "default");
    going["metadata"]["deletionTimestamp"] = json!(at(6).to_string());
    bench.see(Kind::Pod, &going, 6);
    assert_eq!(bench.index.orphans_without_task(), []);
}
