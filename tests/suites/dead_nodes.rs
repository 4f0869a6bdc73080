//! Dead nodes in a large fleet: the others are updated all the same; the times of both are printed.
#![expect(clippy::unwrap_used, reason = "a failed step fails the scenario")]

use std::time::Duration;

use hosttask_tests::bed::{
    BedOptions, OperatorOptions, Plot, Scene, TestBed, daemon, fleet, image, plot, scenario, with,
};
use hosttask_tests::cluster::ClusterOptions;
use hosttask_tests::fleet::FleetOptions;
use serde_json::json;
use tokio::time::Instant;

/// How long the fleet may take for one step on a slow machine.
const LONG: Duration = Duration::from_mins(4);

const PLOTS: &[Plot] = &[
    plot("three-of-164", 0, 0, 164),
    plot("one-of-250", 0, 0, 86),
];

async fn bed() -> TestBed {
    TestBed::start(BedOptions {
        fleet: FleetOptions {
            // Quick enough for the grace below, slow enough for one machine.
            lease_interval: Some(Duration::from_secs(6)),
            ..fleet(PLOTS)
        },
        cluster: ClusterOptions {
            node_monitor_grace: Duration::from_secs(20),
            ..ClusterOptions::default()
        },
        operators: vec![OperatorOptions::default().and(&["--qps=200", "--burst=400"])],
    })
    .await
    .unwrap()
}

/// Updates the task and returns how long it took until every node but the dead ones was updated and well.
async fn update(scene: &Scene, task: &str, version: &str, dead: i32, nodes: i32) -> f64 {
    let begin = Instant::now();
    let revision = scene.update(task, &image(version)).await.unwrap();
    let done = scene
        .tasks
        .wait(task, &format!("{version} to be everywhere"), LONG, |s| {
            s.stable_revision.as_ref() == Some(&revision)
        })
        .await
        .unwrap();
    assert_eq!(
        (
            done.updated_nodes,
            done.unreachable_nodes,
            done.failed_nodes
        ),
        (Some(nodes - dead), Some(dead), Some(0))
    );
    begin.elapsed().as_secs_f64()
}

/// kubernetes/kubernetes#63465: the pod of one dead node of 250 is stuck terminating and the whole update waits for it.
/// kubernetes/kubernetes#73011 (and test-infra#31706): 3 of 164 nodes are `Unknown`, eat `maxUnavailable: 1`, and nothing moves.
#[test]
fn k8s_63465_and_73011_one_dead_of_250_and_three_dead_of_164_change_nothing_for_the_others() {
    scenario(async {
        let bed: &'static TestBed = Box::leak(Box::new(bed().await));
        let small = Scene::open(bed, PLOTS, "three-of-164").await.unwrap();
        let wide = |name: &str| {
            with(
                daemon(name, "app:v1"),
                &json!({ "spec": { "rollout": {
                    "maxUnavailable": 41, "unreachableNodes": { "afterSeconds": 1 },
                }}}),
            )
        };
        // One task on all 250 nodes, one on 164 of them; never both at work.
        small.tasks.apply(&wide("all")).await.unwrap();
        let stable = |name: &'static str, nodes: i32| {
            let tasks = small.tasks.clone();
            async move {
                tasks
                    .wait(name, "the first rollout", LONG, |s| {
                        s.updated_nodes == Some(nodes) && s.stable_revision == s.update_revision
                    })
                    .await
                    .unwrap();
            }
        };
        stable("all", 250).await;
        small.apply(wide("some")).await.unwrap();
        stable("some", 164).await;

        let all = update(&small, "all", "app:v2", 0, 250).await;
        let some = update(&small, "some", "app:v2", 0, 164).await;

        let nodes = small.nodes();
        for node in &nodes[..3] {
            bed.fleet.kill_node(node).await.unwrap();
        }
        for node in &nodes[..3] {
            bed.wait_node(node, "Unknown", LONG).await.unwrap();
        }
        let dead = |name: &'static str, count: i32| {
            let tasks = small.tasks.clone();
            async move {
                tasks
                    .wait(name, "the dead nodes to be counted", LONG, |s| {
                        s.unreachable_nodes == Some(count)
                    })
                    .await
                    .unwrap();
            }
        };
        dead("some", 3).await;
        let some_with_dead = update(&small, "some", "app:v3", 3, 164).await;
        for node in &nodes[1..3] {
            bed.fleet.revive_node(node).await.unwrap();
        }
        dead("all", 1).await;
        let all_with_dead = update(&small, "all", "app:v3", 1, 250).await;
        eprintln!(
            "164 nodes: {some:.1} s, with 3 dead {some_with_dead:.1} s; 250 nodes: {all:.1} s, with 1 dead {all_with_dead:.1} s"
        );
        // The strict form of #73011: with one place only, three dead nodes do not take it.
        for node in &nodes[1..3] {
            bed.fleet.kill_node(node).await.unwrap();
        }
        dead("some", 3).await;
        let one = json!({ "spec": { "rollout": { "maxUnavailable": 1 } } });
        small
            .update("some", &with(image("app:v4"), &one))
            .await
            .unwrap();
        small
            .tasks
            .wait("some", "five nodes to be done one by one", LONG, |s| {
                s.updated_nodes >= Some(5) && s.unreachable_nodes == Some(3)
            })
            .await
            .unwrap();
    });
}
