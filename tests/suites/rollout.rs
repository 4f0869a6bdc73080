//! Rollouts in waves on the real control plane: order, budgets, soak, approval, windows, partition, zones, other tasks.
//!
//! Every claim is checked against the pods as the API server shows them; the operator is asked only for what it says.
//! Longer than 400 lines: every scenario shares one test bed, whose start takes longer than most of them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the scenario"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use hosttask_crds::task::Waiting;
use hosttask_tests::bed::{
    BedOptions, Did, OperatorOptions, Plot, Scene, TestBed, condition, daemon, fleet, image, plot,
    ready_since, run_once, scenario, shared, wave, with,
};
use hosttask_tests::fleet::{Behaviour, FleetOptions, Script};
use hosttask_tests::poll;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// How long a step of a scenario may take on a slow machine.
const SOON: Duration = Duration::from_mins(2);

const PLOTS: &[Plot] = &[
    plot("waves", 2, 3, 4),
    plot("approval", 1, 1, 2),
    plot("window", 0, 0, 6),
    plot("zones", 0, 0, 6),
    plot("partition", 0, 0, 5),
    plot("empty-wave", 0, 1, 1),
    plot("depends", 0, 0, 3),
    plot("pre-pull", 0, 0, 3),
    plot("arbiter", 0, 0, 4),
    plot("outage", 0, 0, 6),
    plot("two-updates", 0, 0, 6),
];

const SCRIPT: &str = r#"
rules:
- { image: "*:never-ready", behaviour: { neverReady: true } }
- { image: "*:slow", behaviour: { startSeconds: 3 } }
- { image: "*:large", task: pull, behaviour: { pullSeconds: 3 } }
"#;

async fn bed() -> &'static TestBed {
    static BED: OnceCell<TestBed> = OnceCell::const_new();
    shared(&BED, || BedOptions {
        fleet: FleetOptions {
            script: Script::parse(SCRIPT).unwrap(),
            ..fleet(PLOTS)
        },
        operators: vec![OperatorOptions::default()],
        ..BedOptions::default()
    })
    .await
}

async fn scene(name: &str) -> Scene {
    Scene::open(bed().await, PLOTS, name).await.unwrap()
}

/// A task whose rollout has these fields.
fn rolled(image: &str, rollout: &Value) -> Value {
    with(
        daemon("agent", image),
        &json!({ "spec": { "rollout": rollout } }),
    )
}

#[test]
fn each_wave_waits_for_the_soak_of_the_one_before_and_has_its_own_budget() {
    scenario(async {
        let scene = scene("waves").await;
        let waves = json!({ "maxUnavailable": 3, "waves": [
            wave("canary", &json!({ "maxUnavailable": "100%", "soakSeconds": 4 })),
            wave("pilot", &json!({ "maxUnavailable": 1 })),
        ]});
        scene.runs(rolled("app:v1", &waves)).await.unwrap();
        let sets = Api::<DaemonSet>::namespaced(bed().await.client(), "waves")
            .list(&ListParams::default())
            .await
            .unwrap();
        assert_eq!(sets.items.len(), 3, "one DaemonSet for each wave");
        for set in sets.items {
            let strategy = set.spec.update_strategy.unwrap().type_;
            assert_eq!(strategy.as_deref(), Some("OnDelete"));
        }

        let mark = scene.journal.mark();
        let second = scene.update("agent", &image("app:v2")).await.unwrap();
        let soaking = scene.ready("agent", "False", "Soaking").await.unwrap();
        let position = soaking.wave.unwrap();
        assert_eq!((position.name.as_str(), position.total), ("canary", 3));
        assert_eq!(position.waiting, Some(Waiting::Soak));
        assert!(position.soak_end_time.is_some());
        scene.complete("agent").await.unwrap();

        let appeared = scene.journal.first("agent", &second, Did::Appear);
        let ready = scene.journal.first("agent", &second, Did::BecomeReady);
        let last = |ring: &str| scene.nodes_in(ring).iter().map(|node| ready[node]).max();
        let first = |ring: &str| scene.nodes_in(ring).iter().map(|node| appeared[node]).min();
        // How long it was, the pods know: a witness may see on a busy machine late what ended, and early what began. They are at
        // their nodes since, and their times are whole seconds, all of one clock.
        let pods = scene.tasks.pods("agent").await.unwrap();
        let of = |ring: &str| {
            let nodes = scene.nodes_in(ring);
            pods.iter().filter(move |pod| {
                let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
                nodes.contains(&node.unwrap())
            })
        };
        let served = of("canary").map(ready_since).max().flatten().unwrap();
        let made = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().unwrap().0;
        let begun = of("pilot").map(made).min().unwrap();
        let soaked = SignedDuration::from_secs(5); // the soak, after minReadySeconds
        assert!(
            begun >= served + soaked,
            "the canary was ready at {served}, the pilot began at {begun}"
        );
        assert!(first("default").unwrap() >= last("pilot").unwrap());
        let verdict = scene.verdict("agent", mark);
        assert_eq!(verdict.disturbed("canary"), 2, "the whole canary at once");
        assert_eq!(verdict.disturbed("pilot"), 1);
        assert!(verdict.disturbed("default") <= 3, "{verdict:?}");
        assert_eq!((verdict.made.len(), verdict.most_on_a_node), (9, 1));
        for reason in [
            "RolloutStarted",
            "WaveStarted",
            "WaveCompleted",
            "RolloutComplete",
        ] {
            scene.told("agent", reason).await.unwrap();
        }
    });
}

/// DaemonSets and Kruise give a node that joins the newest template, tried or not; that is how kruise#1871 began.
#[test]
fn an_approval_waits_without_a_deadline_and_new_nodes_get_the_stable_revision_meanwhile() {
    scenario(async {
        let scene = scene("approval").await;
        let rollout = |approval: &str| {
            json!({ "maxUnavailable": "100%", "progressDeadlineSeconds": 3, "waves": [
                wave("canary", &json!({ "approval": approval })),
                wave("pilot", &json!({ "approval": approval })),
            ]})
        };
        let done = scene
            .runs(rolled("app:v1", &rollout("Auto")))
            .await
            .unwrap();
        let stable = done.stable_revision.unwrap();
        let patch = json!({ "spec": { "rollout": rollout("Manual") } });
        let second = scene
            .update("agent", &with(image("app:v2"), &patch))
            .await
            .unwrap();
        let waits = scene
            .ready("agent", "Unknown", "AwaitingApproval")
            .await
            .unwrap();
        let ready = condition(&waits, "Ready").unwrap();
        assert!(
            ready.message.contains(&format!("{second}/canary")),
            "{}",
            ready.message
        );
        assert_eq!(waits.wave.unwrap().waiting, Some(Waiting::Approval));
        assert_eq!(scene.kstatus("agent").await.unwrap(), "InProgress");

        let joined = scene.bed.fleet.add_nodes(1).await.unwrap();
        scene
            .bed
            .label_node(&joined[0], &scene.plot.label())
            .await
            .unwrap();
        scene.all_at("agent", &joined, &stable).await.unwrap();
        // Somebody approves another revision: that is not this one.
        let other = json!({ "hosttask.dev/approved-wave": format!("{stable}/default") });
        scene.annotate("agent", &other).await.unwrap();
        // Longer than the progress deadline, which must stand still: nobody may start anything.
        poll::throughout(
            "the approval is waited for",
            Duration::from_secs(5),
            || async {
                let status = scene
                    .status("agent")
                    .await
                    .map_err(|error| error.to_string())?;
                let reason = condition(&status, "Ready").map_or("", |ready| &ready.reason);
                match (reason, status.updated_nodes) {
                    ("AwaitingApproval", Some(1)) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            },
        )
        .await
        .unwrap();

        let approval = json!({ "hosttask.dev/approved-wave": format!("{second}/canary") });
        scene.annotate("agent", &approval).await.unwrap();
        scene
            .tasks
            .wait(
                "agent",
                "the second wave to wait for its approval",
                SOON,
                |s| {
                    s.wave.as_ref().is_some_and(|wave| {
                        wave.name == "pilot" && wave.waiting == Some(Waiting::Approval)
                    })
                },
            )
            .await
            .unwrap();
        let approval =
            json!({ "spec": { "rollout": { "approvedWave": format!("{second}/pilot") } } });
        scene.change("agent", &approval).await.unwrap();
        let done = scene.complete("agent").await.unwrap();
        assert_eq!(done.updated_nodes, scene.count().map(|count| count + 1));
        scene.bed.fleet.remove_node(&joined[0]).await.unwrap();
    });
}

/// A window as a user writes it, that opened a minute or two ago and closes in about `left`.
fn closing(left: Duration) -> (Value, Timestamp) {
    let now = Timestamp::now();
    let minute = now.as_second().div_euclid(60) * 60 - 60;
    let opened = Timestamp::from_second(minute)
        .unwrap()
        .to_zoned(TimeZone::UTC);
    let age = now.as_second() - minute;
    let duration = age + i64::try_from(left.as_secs()).unwrap();
    let window = json!({
        "schedule": format!("{} {} * * *", opened.minute(), opened.hour()),
        "durationSeconds": duration,
    });
    let closes = Timestamp::from_second(minute + duration).unwrap();
    (window, closes)
}

#[test]
fn a_window_that_closes_mid_wave_lets_the_started_node_finish_and_starts_no_other() {
    scenario(async {
        let scene = scene("window").await;
        scene.runs(daemon("agent", "app:v1")).await.unwrap();
        let mark = scene.journal.mark();
        let (window, closes) = closing(Duration::from_secs(9));
        let rollout = json!({ "spec": { "rollout": {
            "progressDeadlineSeconds": 7, "maintenanceWindows": [window],
        }}});
        let second = scene
            .update("agent", &with(image("app:slow"), &rollout))
            .await
            .unwrap();
        let waits = scene
            .ready("agent", "False", "WaitingForWindow")
            .await
            .unwrap();
        assert!(Timestamp::now() >= closes);
        assert!(condition(&waits, "Reconciling").is_some());
        assert_eq!(waits.wave.as_ref().unwrap().waiting, Some(Waiting::Window));
        let next = waits.next_window_time.as_ref().unwrap().0;
        let day = SignedDuration::from_hours(24);
        assert!(next > closes && next.duration_since(closes) < day, "{next}");
        let done = scene
            .tasks
            .wait("agent", "the started node to finish", SOON, |s| {
                s.in_progress_nodes == Some(0)
            })
            .await
            .unwrap();
        let updated = done.updated_nodes.unwrap();
        assert!(
            (1..6).contains(&updated),
            "the window closed in the middle: {updated} of 6 updated"
        );
        // Longer than what is left of the progress deadline: its clock stands still while the window is closed.
        let stopped = scene.verdict("agent", mark).stopped.len();
        poll::throughout("nothing is started", Duration::from_secs(8), || async {
            let status = scene
                .status("agent")
                .await
                .map_err(|error| error.to_string())?;
            let now = scene.verdict("agent", mark).stopped.len();
            let reason = condition(&status, "Ready").map_or("", |ready| &ready.reason);
            if now == stopped && reason == "WaitingForWindow" {
                Ok(())
            } else {
                Err(format!("{now} pods stopped, {reason}"))
            }
        })
        .await
        .unwrap();
        scene.told("agent", "WaitingForWindow").await.unwrap();

        let always = json!({ "spec": { "rollout": { "maxUnavailable": "100%", "maintenanceWindows": [
            { "schedule": "0 0 * * *", "durationSeconds": 86_400, "timeZone": "America/New_York" },
        ]}}});
        scene.change("agent", &always).await.unwrap();
        let done = scene.complete("agent").await.unwrap();
        assert_eq!(done.update_revision, Some(second));
        assert_eq!(done.next_window_time, None);
        assert_eq!(
            scene.verdict("agent", mark).made.len(),
            6,
            "nothing was done twice"
        );
    });
}

/// MCO goes zone by zone (machine-config-operator PR#3009); DaemonSets and Kruise take nodes by name.
#[test]
fn zones_are_finished_one_after_the_other_in_alphabetical_order() {
    scenario(async {
        let scene = scene("zones").await;
        let order = json!({ "maxUnavailable": 6, "order": [
            { "topologyKey": "topology.kubernetes.io/zone", "sequential": true },
        ]});
        scene.runs(rolled("app:v1", &order)).await.unwrap();
        let mark = scene.journal.mark();
        let second = scene.update("agent", &image("app:v2")).await.unwrap();
        scene.complete("agent").await.unwrap();
        let appeared = scene.journal.first("agent", &second, Did::Appear);
        let ready = scene.journal.first("agent", &second, Did::BecomeReady);
        let mut zones = BTreeMap::<String, Vec<String>>::new();
        for node in scene.nodes() {
            zones.entry(zone(&node).await).or_default().push(node);
        }
        let zones: Vec<Vec<String>> = zones.into_values().collect();
        assert_eq!(zones.len(), 3);
        for pair in zones.windows(2) {
            let finished = pair[0].iter().map(|node| ready[node]).max();
            let begun = pair[1].iter().map(|node| appeared[node]).min();
            assert!(begun > finished, "{pair:?}");
        }
        let verdict = scene.verdict("agent", mark);
        assert_eq!(
            verdict.disturbed("default"),
            2,
            "a zone at a time: {verdict:?}"
        );
    });
}

async fn zone(node: &str) -> String {
    let node = Api::<k8s_openapi::api::core::v1::Node>::all(bed().await.client())
        .get(node)
        .await
        .unwrap();
    node.metadata.labels.unwrap()["topology.kubernetes.io/zone"].clone()
}

#[test]
fn a_partition_holds_nodes_back_and_finishes_when_it_is_lowered() {
    scenario(async {
        let scene = scene("partition").await;
        scene
            .runs(rolled("app:v1", &json!({ "maxUnavailable": "100%" })))
            .await
            .unwrap();
        let stable = scene.status("agent").await.unwrap().stable_revision;
        let mark = scene.journal.mark();
        let patch = json!({ "spec": { "rollout": { "partition": "40%" } } });
        let second = scene
            .update("agent", &with(image("app:v2"), &patch))
            .await
            .unwrap();
        let held = scene
            .ready("agent", "True", "PartitionReached")
            .await
            .unwrap();
        assert_eq!(held.updated_nodes, Some(3));
        assert_eq!(held.stable_revision, stable);
        let at: Vec<_> = scene
            .journal
            .revisions("agent")
            .into_values()
            .filter(|revision| *revision == second)
            .collect();
        assert_eq!(at.len(), 3, "the witness agrees");
        scene.quiet(Duration::from_secs(2)).await.unwrap();
        let all = json!({ "spec": { "rollout": { "partition": 0 } } });
        scene.change("agent", &all).await.unwrap();
        let done = scene.complete("agent").await.unwrap();
        assert_eq!(done.updated_nodes, scene.count());
        assert_eq!(scene.verdict("agent", mark).made.len(), 5, "each node once");
    });
}

#[test]
fn a_wave_without_nodes_is_passed_over_with_an_event() {
    scenario(async {
        let scene = scene("empty-wave").await;
        let waves = json!({ "waves": [
            wave("nobody", &json!({ "soakSeconds": 3600, "approval": "Manual" })),
            wave("pilot", &json!({})),
        ]});
        let done = scene.runs(rolled("app:v1", &waves)).await.unwrap();
        assert_eq!(done.updated_nodes, Some(2));
        let told = scene.told("agent", "WaveSkipped").await.unwrap();
        assert!(told.note.contains("nobody"), "{told:?}");
    });
}

#[test]
fn a_task_starts_on_a_node_only_once_what_it_depends_on_is_well_there() {
    scenario(async {
        let scene = scene("depends").await;
        let after = |name: &str, dependency: &str| {
            let depends = json!({ "spec": { "dependsOn": [{ "name": dependency }],
                "rollout": { "maxUnavailable": "100%" } } });
            with(daemon(name, "app:v1"), &depends)
        };
        scene.apply(after("agent", "driver")).await.unwrap();
        let waits = scene
            .ready("agent", "False", "WaitingForDependency")
            .await
            .unwrap();
        let message = &condition(&waits, "Ready").unwrap().message;
        assert!(message.contains("driver"), "{message}");
        assert_eq!(waits.wave.unwrap().waiting, Some(Waiting::Dependency));

        // On the first node the driver is never ready.
        let nodes = scene.nodes();
        let stuck = Behaviour {
            never_ready: true,
            ..Behaviour::default()
        };
        scene.behave(&nodes[..1], "driver:*", stuck).await.unwrap();
        let driver = with(
            daemon("driver", "driver:v1"),
            &json!({ "spec": { "rollout": { "maxUnavailable": "100%" } } }),
        );
        scene.apply(driver).await.unwrap();
        let two = scene
            .tasks
            .wait("agent", "two nodes to run it", SOON, |s| {
                s.healthy_nodes == Some(2)
            })
            .await
            .unwrap();
        assert!(condition(&two, "Ready").is_some_and(|ready| ready.status == "False"));
        let driver_ready = first_of(&scene, "driver", Did::BecomeReady).await;
        let agent_ready = first_of(&scene, "agent", Did::BecomeReady).await;
        assert_eq!(agent_ready.len(), 2);
        for (node, ready) in &agent_ready {
            assert!(ready > &driver_ready[node], "{node}");
        }
        scene
            .behave(&nodes[..1], "driver:*", Behaviour::default())
            .await
            .unwrap();
        scene.complete("agent").await.unwrap();

        // A circle is named and nothing is done.
        scene.apply(after("egg", "hen")).await.unwrap();
        scene.apply(after("hen", "egg")).await.unwrap();
        let stalled = scene
            .ready("egg", "False", "DependencyCycle")
            .await
            .unwrap();
        assert!(condition(&stalled, "Stalled").is_some());
        assert!(
            condition(&stalled, "Ready")
                .unwrap()
                .message
                .contains("hen")
        );
        let free = json!({ "spec": { "dependsOn": null } });
        scene.change("hen", &free).await.unwrap();
        scene.complete("hen").await.unwrap();
        scene.complete("egg").await.unwrap();
    });
}

async fn first_of(scene: &Scene, task: &str, did: Did) -> BTreeMap<String, tokio::time::Instant> {
    let revision = scene.status(task).await.unwrap().update_revision.unwrap();
    scene.journal.first(task, &revision, did)
}

/// Kruise has `ImagePullJob` for this. Here a run-once task pulls the image, and the daemon depends on it.
#[test]
fn an_image_is_pulled_on_a_node_before_the_old_pod_is_stopped_there() {
    scenario(async {
        let scene = scene("pre-pull").await;
        let wide = json!({ "spec": { "rollout": { "maxUnavailable": "100%" } } });
        let depends = json!({ "spec": { "dependsOn": [{ "name": "pull" }] } });
        let pull = |image: &str| with(run_once("pull", image), &wide);
        let agent = |image: &str| with(with(daemon("agent", image), &wide), &depends);
        scene.apply(pull("app:v1")).await.unwrap();
        scene.runs(agent("app:v1")).await.unwrap();
        let mark = scene.journal.mark();
        // Both change in one breath, as one commit of Git does: what was pulled before does not count any more.
        scene.apply(pull("app:large")).await.unwrap();
        scene.apply(agent("app:large")).await.unwrap();
        let pulled = scene
            .ready("pull", "True", "AllNodesSucceeded")
            .await
            .unwrap();
        let done = scene
            .tasks
            .wait("agent", "the large image to run everywhere", SOON, |s| {
                s.updated_nodes == scene.count() && s.stable_revision == s.update_revision
            })
            .await
            .unwrap();
        let revision = pulled.update_revision.unwrap();
        let ended = scene.journal.first("pull", &revision, Did::End);
        let moments = scene.journal.moments();
        let mut stopped = 0;
        for moment in moments[mark..]
            .iter()
            .filter(|moment| moment.task == "agent" && moment.did == Did::BeginToStop)
        {
            assert!(
                moment.at >= ended[&moment.node],
                "{} was not pulled yet",
                moment.node
            );
            stopped += 1;
        }
        assert_eq!((stopped, done.healthy_nodes), (3, scene.count()));
    });
}

/// Two tools that each keep their own budget take a node down twice as often as either says.
#[test]
fn two_tasks_never_work_on_a_node_at_the_same_time() {
    scenario(async {
        let scene = scene("arbiter").await;
        let wide = json!({ "spec": { "rollout": { "maxUnavailable": "100%" } } });
        for name in ["agent", "driver"] {
            scene
                .apply(with(daemon(name, "app:v1"), &wide))
                .await
                .unwrap();
        }
        scene.complete("agent").await.unwrap();
        scene.complete("driver").await.unwrap();
        let mark = scene.journal.mark();
        let second = image("app:v2");
        let changes = ["agent", "driver"].map(|name| scene.change(name, &second));
        futures::future::try_join_all(changes).await.unwrap();
        for name in ["agent", "driver"] {
            scene
                .tasks
                .wait(name, "the update to complete", SOON, |s| {
                    s.stable_revision == s.update_revision
                        && s.updated_nodes == Some(4)
                        && condition(s, "Ready").is_some_and(|ready| ready.status == "True")
                })
                .await
                .unwrap();
        }
        let mut busy = BTreeMap::<String, String>::new();
        let mut replaced = 0;
        for moment in &scene.journal.moments()[mark..] {
            match moment.did {
                Did::BeginToStop => {
                    replaced += 1;
                    let other = busy.insert(moment.node.clone(), moment.task.clone());
                    assert!(
                        other.is_none_or(|other| other == moment.task),
                        "both tasks worked on {}",
                        moment.node
                    );
                }
                Did::BecomeReady => drop(busy.remove(&moment.node)),
                Did::Appear | Did::LoseReady | Did::End | Did::Leave => {}
            }
        }
        assert_eq!(replaced, 8);
    });
}

/// kubernetes/kubernetes#111073: in the middle of an update the old pods lost their readiness, and the controller, which
/// held that unready old pods cost nothing, replaced all of them at once.
#[test]
fn k8s_111073_a_readiness_outage_in_mid_rollout_does_not_widen_the_budget() {
    scenario(async {
        let scene = scene("outage").await;
        scene.runs(daemon("agent", "app:v1")).await.unwrap();
        let mark = scene.journal.mark();
        let second = scene.update("agent", &image("app:slow")).await.unwrap();
        poll::until("the first node to be in work", SOON, || async {
            let stopped = scene.verdict("agent", mark).stopped;
            if stopped.is_empty() {
                Err(format!("{stopped:?}"))
            } else {
                Ok(())
            }
        })
        .await
        .unwrap();
        let unready = Behaviour {
            never_ready: true,
            ..Behaviour::default()
        };
        scene
            .behave(&scene.nodes(), "app:v1", unready)
            .await
            .unwrap();
        let done = scene.complete("agent").await.unwrap();
        assert_eq!(done.update_revision, Some(second));
        let verdict = scene.verdict("agent", mark);
        assert_eq!(verdict.in_work("default"), 1, "one at a time: {verdict:?}");
        assert!(
            verdict.at_a_stop("default") <= 1,
            "no well pod was added to the outage"
        );
        assert_eq!(verdict.made.len(), 6);
    });
}

/// openkruise/kruise#1323: a second update within `minReadySeconds` of the first one let the controller delete every pod at
/// once, since none of them was available.
#[test]
fn kruise_1323_a_second_update_within_min_ready_seconds_keeps_the_budget() {
    scenario(async {
        let scene = scene("two-updates").await;
        let two = json!({ "maxUnavailable": 2, "minReadySeconds": 3 });
        scene.runs(rolled("app:v1", &two)).await.unwrap();
        let mark = scene.journal.mark();
        let second = scene.update("agent", &image("app:v2")).await.unwrap();
        poll::until("a node to be at the second revision", SOON, || async {
            let ready = scene.journal.first("agent", &second, Did::BecomeReady);
            if ready.is_empty() {
                Err("none".to_owned())
            } else {
                Ok(())
            }
        })
        .await
        .unwrap();
        scene.update("agent", &image("app:v3")).await.unwrap();
        scene.complete("agent").await.unwrap();
        let verdict = scene.verdict("agent", mark);
        assert!(verdict.disturbed("default") <= 2, "{verdict:?}");
        assert!(verdict.in_work("default") <= 2, "{verdict:?}");
        assert_eq!(verdict.most_on_a_node, 1);
    });
}
