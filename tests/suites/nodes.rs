//! Nodes that are dead, die, break, lie about the time, come and go: what a rollout makes of each.
//!
//! Longer than 400 lines: every scenario shares one test bed, whose start takes longer than most of them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "a failed step fails the scenario, and a scenario is told in one piece"
)]

use std::time::Duration;

use hosttask_crds::task::Waiting;
use hosttask_tests::bed::{
    BedError, BedOptions, Did, OperatorOptions, Plot, Scene, TestBed, condition, daemon, fleet,
    image, plot, ready_since, run_once, scenario, shared, with,
};
use hosttask_tests::cluster::ClusterOptions;
use hosttask_tests::fleet::{FleetOptions, Glob, Script};
use hosttask_tests::poll;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// How long a step of a scenario may take on a slow machine.
const SOON: Duration = Duration::from_mins(2);

const PLOTS: &[Plot] = &[
    plot("dead-or-broken", 0, 0, 5),
    plot("conditions", 0, 0, 4),
    plot("too-many", 0, 0, 5),
    plot("clocks", 0, 0, 6),
    plot("churn", 0, 0, 3),
    plot("nobody", 0, 0, 2),
    plot("sample", 0, 0, 2),
];

const SCRIPT: &str = r#"
rules:
- { image: "*:slow", behaviour: { startSeconds: 2 } }
- { image: "*:never-ready", behaviour: { neverReady: true } }
"#;

async fn bed() -> &'static TestBed {
    static BED: OnceCell<TestBed> = OnceCell::const_new();
    shared(&BED, || {
        let wrong = PLOTS.iter().find(|plot| plot.name == "clocks").unwrap();
        let nodes = wrong.nodes(PLOTS);
        let clock = |index: usize, seconds: i64| {
            let node = Glob::new(nodes[index].as_str());
            (node, SignedDuration::from_secs(seconds))
        };
        BedOptions {
            fleet: FleetOptions {
                script: Script::parse(SCRIPT).unwrap(),
                clocks: vec![clock(0, 90), clock(1, 90), clock(2, -90), clock(3, -90)],
                lease_interval: Some(Duration::from_secs(2)),
                ..fleet(PLOTS)
            },
            cluster: ClusterOptions {
                node_monitor_grace: Duration::from_secs(10),
                ..ClusterOptions::default()
            },
            operators: vec![OperatorOptions::default()],
        }
    })
    .await
}

async fn scene(name: &str) -> Scene {
    Scene::open(bed().await, PLOTS, name).await.unwrap()
}

/// A task that is judged quickly, holds a node for dead after a second, and pauses at the first failure.
fn judged(image: &str, rollout: &Value) -> Value {
    let spec = json!({ "spec": {
        "rollout": { "unreachableNodes": { "afterSeconds": 1 }, "failurePolicy": { "action": "Pause" } },
        "health": { "startGraceSeconds": 4 },
    }});
    with(
        with(daemon("agent", image), &spec),
        &json!({ "spec": { "rollout": rollout } }),
    )
}

/// kubernetes/kubernetes#117204: dead nodes block a rollout. The change that skips them was refused (PR#117658), because a node
/// that the rollout itself killed would be skipped as well. Here the two are told apart.
#[test]
fn k8s_117204_a_node_that_was_dead_before_is_skipped_and_one_that_we_broke_stops_the_rollout() {
    scenario(async {
        let scene = scene("dead-or-broken").await;
        scene.runs(judged("app:v1", &json!({}))).await.unwrap();
        let nodes = scene.nodes();
        let dead = nodes[0].clone();
        scene.bed.fleet.kill_node(&dead).await.unwrap();
        scene.bed.wait_node(&dead, "Unknown", SOON).await.unwrap();
        scene
            .tasks
            .wait("agent", "the dead node to be counted", SOON, |s| {
                s.unreachable_nodes == Some(1)
            })
            .await
            .unwrap();
        let before = scene.journal.pods("agent")[&dead].clone();
        let second = scene.update("agent", &image("app:v2")).await.unwrap();
        let done = scene.complete("agent").await.unwrap();
        assert_eq!(
            (
                done.updated_nodes,
                done.unreachable_nodes,
                done.failed_nodes
            ),
            (Some(4), Some(1), Some(0))
        );
        assert_eq!(
            scene.journal.pods("agent")[&dead],
            before,
            "it was left alone"
        );
        scene.bed.fleet.revive_node(&dead).await.unwrap();
        scene
            .all_at("agent", std::slice::from_ref(&dead), &second)
            .await
            .unwrap();
        scene
            .tasks
            .wait("agent", "the node to be done on its return", SOON, |s| {
                s.updated_nodes == Some(5) && s.unreachable_nodes == Some(0)
            })
            .await
            .unwrap();

        // Now a node dies right after its pod was replaced.
        let mark = scene.journal.mark();
        let third = scene.update("agent", &image("app:slow")).await.unwrap();
        let killed = poll::until("the first node to be in work", SOON, || async {
            let moments = scene.journal.moments();
            let stops = moments[mark..]
                .iter()
                .filter(|moment| moment.did == Did::BeginToStop);
            stops
                .map(|moment| moment.node.clone())
                .next()
                .ok_or_else(|| "none".to_owned())
        })
        .await
        .unwrap();
        scene.bed.fleet.kill_node(&killed).await.unwrap();
        let held = scene
            .ready("agent", "False", "FailureThresholdExceeded")
            .await
            .unwrap();
        assert_eq!(held.failed_revision, Some(third));
        assert_eq!(held.failures[0].node, killed);
        assert!(condition(&held, "Ready").unwrap().message.contains(&killed));
        assert_eq!(
            scene.verdict("agent", mark).stopped.len(),
            1,
            "no further node was started"
        );
        scene.bed.fleet.revive_node(&killed).await.unwrap();
    });
}

#[test]
fn a_node_that_loses_a_required_condition_after_its_update_is_a_failure_of_that_revision() {
    scenario(async {
        let scene = scene("conditions").await;
        let nodes = scene.nodes();
        for node in &nodes {
            scene
                .bed
                .node_reports(node, "FilterDriver", "True")
                .await
                .unwrap();
        }
        let required = json!({ "spec": { "health": { "nodeConditions": [
            { "type": "FilterDriver", "status": "True" },
        ]}}});
        scene
            .runs(with(
                judged("app:v1", &json!({ "minReadySeconds": 3 })),
                &required,
            ))
            .await
            .unwrap();
        let mark = scene.journal.mark();
        let second = scene.update("agent", &image("app:v2")).await.unwrap();
        let node = poll::until("the first node to be ready again", SOON, || async {
            let ready = scene.journal.first("agent", &second, Did::BecomeReady);
            ready.into_keys().next().ok_or_else(|| "none".to_owned())
        })
        .await
        .unwrap();
        // The pod is well; what it did to the node is not.
        scene
            .bed
            .node_reports(&node, "FilterDriver", "False")
            .await
            .unwrap();
        let held = scene
            .ready("agent", "False", "FailureThresholdExceeded")
            .await
            .unwrap();
        let failure = &held.failures[0];
        assert_eq!(
            (&failure.node, failure.reason.as_str()),
            (&node, "NodeRegressed")
        );
        assert_eq!(failure.revision, second);
        assert!(
            failure.message.as_deref().unwrap().contains("FilterDriver"),
            "{failure:?}"
        );
        let told = scene.told("agent", "NodeRegressed").await.unwrap();
        assert_eq!(told.node.as_ref(), Some(&node));
        let stopped = scene.verdict("agent", mark).stopped.len();
        assert!(
            stopped <= 2,
            "at most one more node had been started: {stopped}"
        );

        // A node that lacks the condition before it is started is treated as unreachable, not as broken.
        for name in &nodes {
            scene
                .bed
                .node_reports(name, "FilterDriver", "True")
                .await
                .unwrap();
        }
        let away = nodes.iter().find(|name| **name != node).unwrap();
        scene
            .bed
            .node_reports(away, "FilterDriver", "Unknown")
            .await
            .unwrap();
        scene
            .tasks
            .wait("agent", "the node without it to be left out", SOON, |s| {
                s.unreachable_nodes == Some(1)
            })
            .await
            .unwrap();
        scene.update("agent", &image("app:v3")).await.unwrap();
        let left_out = (Some(3), Some(1));
        let done = scene.complete("agent").await.unwrap();
        assert_eq!((done.updated_nodes, done.unreachable_nodes), left_out);

        // The passes that follow the end do not start it either.
        let pod = scene.journal.pods("agent")[away].clone();
        scene
            .change(
                "agent",
                &json!({ "spec": { "rollout": { "maxUnavailable": 2 } } }),
            )
            .await
            .unwrap();
        let done = scene.complete("agent").await.unwrap();
        assert_eq!((done.updated_nodes, done.unreachable_nodes), left_out);
        assert_eq!(scene.journal.pods("agent")[away], pod);

        // It is once it has the condition.
        scene
            .bed
            .node_reports(away, "FilterDriver", "True")
            .await
            .unwrap();
        let done = scene
            .tasks
            .wait("agent", "the node that was left out", SOON, |s| {
                (s.updated_nodes, s.healthy_nodes) == (Some(4), Some(4))
            })
            .await
            .unwrap();
        assert_eq!(done.unreachable_nodes, Some(0));
    });
}

#[test]
fn a_sick_cluster_gets_no_rollout_until_it_is_well() {
    scenario(async {
        let scene = scene("too-many").await;
        let limited = json!({ "unreachableNodes": { "maxUnreachable": "20%" } });
        scene.runs(judged("app:v1", &limited)).await.unwrap();
        let nodes = scene.nodes();
        let report = async |node: &str, ready: &str| {
            scene.bed.node_reports(node, "Ready", ready).await.unwrap();
        };
        for node in &nodes[..2] {
            report(node, "False").await;
        }
        scene
            .tasks
            .wait("agent", "two nodes to be unreachable", SOON, |s| {
                s.unreachable_nodes == Some(2)
            })
            .await
            .unwrap();
        let mark = scene.journal.mark();
        scene.update("agent", &image("app:v2")).await.unwrap();
        let waits = scene
            .ready("agent", "False", "TooManyUnreachable")
            .await
            .unwrap();
        assert!(condition(&waits, "Reconciling").is_some());
        assert_eq!(waits.wave.unwrap().waiting, Some(Waiting::Unreachable));
        scene.quiet(Duration::from_secs(3)).await.unwrap();
        assert!(scene.verdict("agent", mark).stopped.is_empty());
        report(&nodes[0], "True").await;
        let done = scene.complete("agent").await.unwrap();
        assert_eq!(
            (done.updated_nodes, done.unreachable_nodes),
            (Some(4), Some(1))
        );
        report(&nodes[1], "True").await;
        scene
            .tasks
            .wait("agent", "the last node", SOON, |s| {
                s.updated_nodes == Some(5)
            })
            .await
            .unwrap();
    });
}

/// kubernetes/kubernetes#77203: the controller compared the node's clock with its own; where they differed, `minReadySeconds` was
/// never over and the update stood still for ever.
#[test]
fn k8s_77203_clocks_that_are_wrong_by_90_seconds_neither_stop_nor_hurry_a_rollout() {
    scenario(async {
        let scene = scene("clocks").await;
        let soak = SignedDuration::from_secs(3);
        let rollout = json!({ "maxUnavailable": 1, "minReadySeconds": 3 });
        let grace = json!({ "spec": { "health": { "startGraceSeconds": 20 } } });
        scene
            .runs(with(judged("app:v1", &rollout), &grace))
            .await
            .unwrap();
        let mark = scene.journal.mark();
        let begin = Instant::now();
        scene.update("agent", &image("app:slow")).await.unwrap();
        let done = scene.complete("agent").await.unwrap();
        let took = begin.elapsed();
        assert_eq!((done.failed_nodes, done.failed_revision), (Some(0), None));
        // Six nodes of about six seconds each. One wrong clock alone would cost a minute and a half.
        assert!(took < Duration::from_secs(85), "it took {took:?}");
        assert_eq!(scene.verdict("agent", mark).disturbed("default"), 1);
        // What the pods say is indeed of another time. Put right, it says that each node was given its time: whole seconds, all of one
        // clock.
        let mut lives = Vec::new();
        for pod in scene.tasks.pods("agent").await.unwrap() {
            let ready = ready_since(&pod).unwrap();
            let node = pod.spec.unwrap().node_name.unwrap();
            let shown = pod.status.unwrap().start_time.unwrap().0;
            let made = pod.metadata.creation_timestamp.unwrap().0;
            let ahead = shown.duration_since(made).as_secs();
            let wrong = match scene.nodes().iter().position(|name| *name == node).unwrap() {
                0 | 1 => 90,
                2 | 3 => -90,
                _ => 0,
            };
            assert!((ahead - wrong).abs() < 30, "{node} is {ahead} s ahead");
            lives.push((made, ready - SignedDuration::from_secs(wrong)));
        }
        lives.sort();
        assert_eq!(lives.len(), 6);
        for pair in lives.windows(2) {
            let (ready, next) = (pair[0].1, pair[1].0);
            assert!(
                next >= ready + soak,
                "ready at {ready}, the next node followed at {next}"
            );
        }
        // Jobs on such nodes as well.
        let wide = json!({ "spec": { "rollout": { "maxUnavailable": "100%" },
            "job": { "activeDeadlineSeconds": 30 } } });
        scene
            .apply(with(run_once("install", "setup:v1"), &wide))
            .await
            .unwrap();
        scene
            .ready("install", "True", "AllNodesSucceeded")
            .await
            .unwrap();
    });
}

/// argoproj/argo-rollouts#2068: a finished rollout became "progressing" again whenever a node came or went.
#[test]
fn argo_rollouts_2068_a_finished_rollout_stays_finished_whatever_nodes_do() {
    scenario(async {
        let scene = scene("churn").await;
        let done = scene
            .runs(judged("app:v1", &json!({ "maxUnavailable": "100%" })))
            .await
            .unwrap();
        let since = condition(&done, "Ready")
            .unwrap()
            .last_transition_time
            .clone();
        let begin = scene.statuses.of("agent").len();
        let nodes = scene.nodes();
        let fleet = &scene.bed.fleet;

        let joined = fleet.add_nodes(1).await.unwrap();
        scene
            .bed
            .label_node(&joined[0], &scene.plot.label())
            .await
            .unwrap();
        let count = |what: &'static str, desired: i32, unreachable: i32, healthy: i32| {
            let tasks = scene.tasks.clone();
            async move {
                tasks
                    .wait("agent", what, SOON, move |s| {
                        (s.desired_nodes, s.unreachable_nodes, s.healthy_nodes)
                            == (Some(desired), Some(unreachable), Some(healthy))
                    })
                    .await
                    .unwrap()
            }
        };
        count("the node that joined", 4, 0, 4).await;
        fleet
            .reboot_node(&nodes[0], Duration::from_secs(1))
            .await
            .unwrap();
        fleet.kill_node(&nodes[1]).await.unwrap();
        count("the dead node", 4, 1, 3).await;
        fleet.revive_node(&nodes[1]).await.unwrap();
        count("its return", 4, 0, 4).await;
        fleet
            .reimage_node(&nodes[2], Duration::ZERO, true)
            .await
            .unwrap();
        scene
            .bed
            .label_node(&nodes[2], &scene.plot.label())
            .await
            .unwrap();
        fleet.remove_node(&joined[0]).await.unwrap();
        let last = count("the node that left", 3, 0, 3).await;

        let ready = condition(&last, "Ready").unwrap();
        assert_eq!(
            (ready.status.as_str(), &ready.last_transition_time),
            ("True", &since)
        );
        for said in &scene.statuses.of("agent")[begin..] {
            assert_eq!(said.ready(), Some(("True", "RolloutComplete")), "{said:?}");
            assert!(condition(&said.status, "Reconciling").is_none());
        }
        assert_eq!(scene.kstatus("agent").await.unwrap(), "Current");
    });
}

/// kubernetes/kubernetes#113844: a DaemonSet whose controller had not counted yet said "0 of 0 nodes", and tools took that for
/// success.
#[test]
fn k8s_113844_no_nodes_counted_yet_is_not_success() {
    scenario(async {
        let scene = scene("nobody").await;
        // From its creation to the end the task never says that it is well before both nodes are.
        scene.runs(judged("app:v1", &json!({}))).await.unwrap();
        for said in scene.statuses.of("agent") {
            let well = said.ready().is_some_and(|(status, _)| status == "True");
            let all = said.status.healthy_nodes == scene.count();
            assert!(!well || all, "{said:?}");
        }
        // All nodes dead is not "no nodes": nothing was updated, so nothing is complete.
        let nodes = scene.nodes();
        for node in &nodes {
            scene
                .bed
                .node_reports(node, "Ready", "False")
                .await
                .unwrap();
        }
        scene
            .tasks
            .wait("agent", "both nodes to be unreachable", SOON, |s| {
                s.unreachable_nodes == Some(2)
            })
            .await
            .unwrap();
        let begin = scene.statuses.of("agent").len();
        let second = scene.update("agent", &image("app:v2")).await.unwrap();
        poll::throughout("it is not complete", Duration::from_secs(4), || async {
            let status = scene
                .status("agent")
                .await
                .map_err(|error| error.to_string())?;
            let ready = condition(&status, "Ready").map(|ready| ready.status.clone());
            match (
                ready.as_deref(),
                status.stable_revision != status.update_revision,
            ) {
                (Some("False"), true) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .unwrap();
        for node in &nodes {
            scene.bed.node_reports(node, "Ready", "True").await.unwrap();
        }
        let done = scene.complete("agent").await.unwrap();
        assert_eq!(
            (done.stable_revision, done.updated_nodes),
            (Some(second), scene.count())
        );
        for said in &scene.statuses.of("agent")[begin..] {
            let well = said.ready().is_some_and(|(status, _)| status == "True");
            let of_now = said.status.observed_generation == Some(said.generation);
            assert!(
                !(well && of_now) || said.status.updated_nodes == Some(2),
                "{said:?}"
            );
        }
        // A placement that no node meets says so, and is well only after that was looked at.
        let nowhere = with(
            daemon("nowhere", "app:v1"),
            &json!({ "spec": { "placement": { "nodeSelector": { "matchLabels": { "gpu": "none" } } } } }),
        );
        scene.apply(nowhere).await.unwrap();
        let said = scene
            .ready("nowhere", "True", "NoMatchingNodes")
            .await
            .unwrap();
        assert_eq!(said.desired_nodes, Some(0));
    });
}

/// openkruise/kruise#2512: `burstReplicas: -5` ended the manager, and with it every tenant's rollouts.
#[test]
fn kruise_2512_numbers_below_zero_are_refused_and_the_operator_goes_on() {
    scenario(async {
        let scene = scene("sample").await;
        let fields = [
            json!({ "rollout": { "maxUnavailable": -5 } }),
            json!({ "rollout": { "maxUnavailable": "-5%" } }),
            json!({ "rollout": { "minReadySeconds": -5 } }),
            json!({ "rollout": { "progressDeadlineSeconds": -5 } }),
            json!({ "rollout": { "revisionHistoryLimit": -5 } }),
            json!({ "rollout": { "partition": -5 } }),
            json!({ "rollout": { "waves": [{ "name": "a", "nodeSelector": { "matchLabels": { "a": "b" } }, "soakSeconds": -5 }] } }),
            json!({ "rollout": { "waves": [{ "name": "a", "nodeSelector": { "matchLabels": { "a": "b" } }, "maxUnavailable": -5 }] } }),
            json!({ "rollout": { "failurePolicy": { "maxFailedNodes": -5 } } }),
            json!({ "rollout": { "unreachableNodes": { "afterSeconds": -5 } } }),
            json!({ "rollout": { "unreachableNodes": { "maxUnreachable": -5 } } }),
            json!({ "rollout": { "maintenanceWindows": [{ "schedule": "0 0 * * *", "durationSeconds": -5 }] } }),
            json!({ "health": { "minHealthy": -5 } }),
            json!({ "health": { "maxRestarts": -5 } }),
            json!({ "health": { "restartWindowSeconds": -5 } }),
            json!({ "health": { "startGraceSeconds": -5 } }),
        ];
        for field in fields {
            let task = with(daemon("agent", "app:v1"), &json!({ "spec": field }));
            let refused = scene.apply(task).await;
            let invalid = matches!(&refused, Err(BedError::Request { source: kube::Error::Api(status), .. }) if status.code == 422);
            assert!(invalid, "{field}: {refused:?}");
        }
        // The largest numbers that are accepted do no harm either.
        let huge = json!({ "maxUnavailable": 100_000, "revisionHistoryLimit": 100,
            "unreachableNodes": { "afterSeconds": 86_400, "maxUnreachable": 100_000 } });
        scene.runs(judged("app:v1", &huge)).await.unwrap();
        assert!(scene.bed.operators.lock().unwrap()[0].is_running());
    });
}
