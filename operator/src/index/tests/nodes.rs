//! Node rows: heartbeats, clocks and the fleets of tasks.

use super::*;

#[test]
fn a_heartbeat_of_a_node_wakes_nobody() {
    let bench = Bench::new();
    let first = bench.see(Kind::Node, &node("win-1", "True", at(-100)), 0);
    assert_eq!(first, [task_key(), Key::Node("win-1".to_owned())]);
    let mut beat = node("win-1", "True", at(-100));
    beat["metadata"]["resourceVersion"] = json!("6");
    beat["status"]["conditions"][0]["lastHeartbeatTime"] = json!("2026-05-01T12:05:00Z");
    beat["status"]["images"] = json!([]);
    assert_eq!(bench.see(Kind::Node, &beat, 5), []);
}

#[test]
fn a_lost_node_wakes_its_tasks_and_counts_from_our_clock() {
    let bench = Bench::new();
    bench.list(Kind::Node, &[node("win-1", "True", at(500))], 0);
    assert_eq!(
        bench.observed(0).nodes[0].ready_changed,
        Some(at(0)),
        "never in the future"
    );
    let keys = bench.see(Kind::Node, &node("win-1", "Unknown", at(-50)), 30);
    assert_eq!(keys, [task_key()]);
    let view = &bench.observed(30).nodes[0];
    assert_eq!((view.ready, view.ready_changed), (false, Some(at(30))));
}

#[test]
fn a_node_wakes_the_tasks_that_selected_it_before_or_select_it_now() {
    let bench = Bench::new();
    let spec = json!({"placement": {"nodeSelector": {"matchLabels": {"pool": "b"}}}});
    let mut picky = task("44444444-4444-4444-8444-444444444444", 1, &spec);
    picky["metadata"]["name"] = json!("picky");
    bench.see(Kind::Task, &picky, 0);
    assert!(
        !bench
            .see(Kind::Node, &node("win-1", "True", at(0)), 0)
            .contains(&Key::Task(key("picky")))
    );
    let mut moved = node("win-1", "True", at(0));
    moved["metadata"]["labels"]["pool"] = json!("b");
    assert!(
        bench
            .see(Kind::Node, &moved, 1)
            .contains(&Key::Task(key("picky"))),
        "it joins"
    );
    assert!(
        bench
            .see(Kind::Node, &node("win-1", "True", at(0)), 2)
            .contains(&Key::Task(key("picky"))),
        "it leaves"
    );
    assert!(
        !bench
            .lose(Kind::Node, &node("win-1", "True", at(0)), 3)
            .contains(&Key::Task(key("picky")))
    );
}

#[test]
fn a_taint_that_is_not_tolerated_takes_the_node_out_and_a_new_placement_brings_it_back() {
    let bench = Bench::new();
    let mut tainted = node("win-1", "True", at(0));
    tainted["spec"]["taints"] =
        json!([{"key": "dedicated", "value": "sql", "effect": "NoSchedule"}]);
    bench.see(Kind::Node, &node("win-1", "True", at(0)), 0);
    assert_eq!(bench.observed(0).nodes.len(), 1);
    assert!(bench.see(Kind::Node, &tainted, 1).contains(&task_key()));
    assert_eq!(bench.observed(1).nodes, []);
    bench.see(
        Kind::Task,
        &task(UID, 2, &json!({"placement": {"tolerate": "All"}})),
        2,
    );
    let desired = Desired {
        generation: 2,
        ..desired()
    };
    assert_eq!(bench.index.observed(&desired, at(2)).nodes.len(), 1);
}

#[test]
fn a_pass_on_an_older_generation_uses_its_own_placement() {
    let bench = Bench::new();
    bench.see(Kind::Node, &node("win-1", "True", at(0)), 0);
    let nothing = json!({"placement": {"nodeSelector": {"matchLabels": {"pool": "none"}}}});
    bench.see(Kind::Task, &task(UID, 2, &nothing), 1);
    assert_eq!(
        bench.observed(1).nodes.len(),
        1,
        "generation 1 selects every node"
    );
}

#[test]
fn a_placement_that_does_not_fit_the_type_selects_nothing() {
    let bench = Bench::new();
    bench.see(Kind::Node, &node("win-1", "True", at(0)), 0);
    bench.see(
        Kind::Task,
        &task(UID, 1, &json!({"placement": {"windowsBuilds": 5}})),
        1,
    );
    let index = Index::new(None);
    let change = |kind, value: &Value| Change::Seen(decode(kind, value), Source::Watch);
    index.apply(
        change(
            Kind::Task,
            &task(UID, 1, &json!({"placement": {"windowsBuilds": 5}})),
        ),
        at(0),
    );
    let keys = index.apply(change(Kind::Node, &node("win-1", "True", at(0))), at(0));
    assert_eq!(keys, [Key::Node("win-1".to_owned())]);
}

#[test]
fn nodes_are_in_name_order() {
    let bench = Bench::new();
    for name in ["win-3", "win-1", "win-2"] {
        bench.see(Kind::Node, &node(name, "True", at(0)), 0);
    }
    let names: Vec<String> = bench
        .observed(0)
        .nodes
        .into_iter()
        .map(|node| node.name)
        .collect();
    assert_eq!(names, ["win-1", "win-2", "win-3"]);
}
