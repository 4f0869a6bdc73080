//! What may be edited in mid-rollout without a pod being restarted: waves, placement, order, budgets; and what moves a node.
//!
//! Pods are told apart by their UIDs as the API server shows them.
//!
//! Longer than 400 lines: every scenario shares one test bed, whose start takes longer than most of them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the scenario"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use hosttask_crds::label;
use hosttask_crds::task::Waiting;
use hosttask_tests::bed::{
    BedOptions, Did, OperatorOptions, Plot, RING, Scene, TestBed, condition, daemon, fleet, image,
    plot, scenario, shared, wave, with,
};
use hosttask_tests::fleet::{FleetOptions, Script};
use hosttask_tests::poll;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// How long a step of a scenario may take on a slow machine.
const SOON: Duration = Duration::from_mins(2);

const PLOTS: &[Plot] = &[
    plot("wave-edit", 2, 2, 3),
    plot("no-waves", 1, 1, 2),
    plot("placement", 1, 0, 5),
    plot("relabel", 2, 0, 3),
    plot("rolling-edit", 2, 0, 6),
    plot("suspended-edit", 1, 0, 2),
];

const SCRIPT: &str = r#"
rules:
- { image: "*:slow", behaviour: { startSeconds: 2 } }
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

fn waves(waves: &Value) -> Value {
    json!({ "spec": { "rollout": { "maxUnavailable": "100%", "waves": waves } } })
}

/// The waves that the task's DaemonSets are for now, sorted.
async fn sets(scene: &Scene) -> Vec<String> {
    let all = Api::<DaemonSet>::namespaced(scene.bed.client(), &scene.tasks.namespace)
        .list(&ListParams::default())
        .await
        .unwrap();
    let mut waves: Vec<String> = all
        .items
        .into_iter()
        .filter(|set| set.metadata.deletion_timestamp.is_none())
        .map(|set| set.metadata.labels.unwrap_or_default()[label::WAVE].clone())
        .collect();
    waves.sort();
    waves
}

/// Waits until the DaemonSets are those of these waves, and every pod is owned and carries the wave of its node.
async fn handed_over(scene: &Scene, wanted: &[(&str, &[String])]) {
    let mut names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    poll::until("the pods to be handed over", SOON, || async {
        let sets = sets(scene).await;
        if sets != names {
            return Err(format!("DaemonSets {sets:?}"));
        }
        let pods = scene
            .tasks
            .pods("agent")
            .await
            .map_err(|error| error.to_string())?;
        for pod in pods {
            let node = pod.spec.and_then(|spec| spec.node_name).unwrap_or_default();
            let of = pod.metadata.labels.unwrap_or_default()[label::WAVE].clone();
            let expected = wanted.iter().find(|(_, nodes)| nodes.contains(&node));
            let owned = pod
                .metadata
                .owner_references
                .is_some_and(|all| !all.is_empty());
            if !owned || expected.is_some_and(|(name, _)| *name != of) {
                return Err(format!("{node}: wave {of}, owned {owned}"));
            }
        }
        Ok(())
    })
    .await
    .unwrap();
}

#[test]
fn waves_that_are_added_and_recut_in_mid_rollout_restart_no_pod() {
    scenario(async {
        let scene = scene("wave-edit").await;
        let (canary, pilot, rest) = (
            scene.nodes_in("canary"),
            scene.nodes_in("pilot"),
            scene.nodes_in("default"),
        );
        let first = json!([wave("canary", &json!({}))]);
        scene
            .runs(with(daemon("agent", "app:v1"), &waves(&first)))
            .await
            .unwrap();
        let held = json!([wave("canary", &json!({ "approval": "Manual" }))]);
        let second = scene
            .update("agent", &with(image("app:v2"), &waves(&held)))
            .await
            .unwrap();
        scene
            .ready("agent", "Unknown", "AwaitingApproval")
            .await
            .unwrap();
        let before = scene.journal.pods("agent");
        let mark = scene.journal.mark();

        // Another cut: the pilots get a wave of their own.
        let recut = json!([
            wave("canary", &json!({ "approval": "Manual" })),
            wave("pilot", &json!({ "approval": "Manual" })),
        ]);
        scene.change("agent", &waves(&recut)).await.unwrap();
        handed_over(
            &scene,
            &[("canary", &canary), ("pilot", &pilot), ("default", &rest)],
        )
        .await;
        let waits = scene
            .tasks
            .wait("agent", "the canary to wait again", SOON, |s| {
                s.wave
                    .as_ref()
                    .is_some_and(|wave| wave.waiting == Some(Waiting::Approval) && wave.total == 3)
            })
            .await
            .unwrap();
        assert_eq!(waits.wave.unwrap().name, "canary");
        assert_eq!(scene.journal.pods("agent"), before);
        let verdict = scene.verdict_as_one("agent", mark);
        assert_eq!(
            (verdict.made.len(), verdict.stopped.len()),
            (0, 0),
            "{verdict:?}"
        );
        assert_eq!(
            scene
                .statuses
                .of("agent")
                .last()
                .unwrap()
                .status
                .update_revision
                .as_ref(),
            Some(&second)
        );

        let approved = json!({ "hosttask.dev/approved-wave": format!("{second}/default") });
        scene.annotate("agent", &approved).await.unwrap();
        scene.complete("agent").await.unwrap();
        let verdict = scene.verdict_as_one("agent", mark);
        let others: BTreeSet<_> = pilot
            .iter()
            .chain(&rest)
            .map(|node| before[node].clone())
            .collect();
        assert_eq!(
            verdict.stopped, others,
            "each node that was not updated yet, once"
        );
        assert_eq!(verdict.most_on_a_node, 1);
    });
}

#[test]
fn a_finished_task_gets_and_loses_waves_without_a_restart_and_stays_ready() {
    scenario(async {
        let scene = scene("no-waves").await;
        let all = scene.nodes();
        scene.runs(daemon("agent", "app:v1")).await.unwrap();
        let before = scene.journal.pods("agent");
        let mark = scene.journal.mark();
        let told = scene.statuses.of("agent").len();
        let two = json!([wave("canary", &json!({})), wave("pilot", &json!({}))]);
        scene.change("agent", &waves(&two)).await.unwrap();
        let rings = ["canary", "pilot", "default"].map(|ring| (ring, scene.nodes_in(ring)));
        let wanted: Vec<(&str, &[String])> = rings
            .iter()
            .map(|(ring, nodes)| (*ring, nodes.as_slice()))
            .collect();
        handed_over(&scene, &wanted).await;
        let none = json!({ "spec": { "rollout": { "waves": null } } });
        scene.change("agent", &none).await.unwrap();
        handed_over(&scene, &[("default", &all)]).await;
        scene.complete("agent").await.unwrap();
        assert_eq!(scene.journal.pods("agent"), before);
        let verdict = scene.verdict_as_one("agent", mark);
        assert_eq!(
            (verdict.made.len(), verdict.stopped.len()),
            (0, 0),
            "{verdict:?}"
        );
        let statuses = scene.statuses.of("agent");
        let flips: Vec<_> = statuses[told..]
            .iter()
            .filter_map(|said| said.ready())
            .filter(|ready| ready.0 != "True")
            .collect();
        assert!(
            flips.is_empty(),
            "a finished rollout stays finished: {flips:?}"
        );
    });
}

#[test]
fn placement_order_and_budget_can_be_edited_in_mid_rollout_without_restarts() {
    scenario(async {
        let scene = scene("placement").await;
        let canary = json!([wave("canary", &json!({}))]);
        scene
            .runs(with(daemon("agent", "app:v1"), &waves(&canary)))
            .await
            .unwrap();
        let held = json!([wave("canary", &json!({ "approval": "Manual" }))]);
        scene
            .update("agent", &with(image("app:v2"), &waves(&held)))
            .await
            .unwrap();
        scene
            .ready("agent", "Unknown", "AwaitingApproval")
            .await
            .unwrap();
        let before = scene.journal.pods("agent");
        let mark = scene.journal.mark();

        // One node is taken out of the placement; the others stay selected, by other words.
        let out = scene.nodes()[5].clone();
        scene
            .bed
            .label_node(&out, &json!({ "excluded": "yes" }))
            .await
            .unwrap();
        let narrower = json!({ "spec": {
            "placement": { "nodeSelector": { "matchExpressions": [{ "key": "excluded", "operator": "DoesNotExist" }] } },
            "rollout": { "maxUnavailable": 2, "order": [{ "topologyKey": "topology.kubernetes.io/zone" }] },
            "health": { "minHealthy": "90%" },
        }});
        scene.change("agent", &narrower).await.unwrap();
        scene
            .tasks
            .wait("agent", "five nodes to be desired", SOON, |s| {
                s.desired_nodes == Some(5)
            })
            .await
            .unwrap();
        poll::until("the pod of the excluded node to be gone", SOON, || async {
            if scene.journal.pods("agent").contains_key(&out) {
                Err("still there")
            } else {
                Ok(())
            }
            .map_err(str::to_owned)
        })
        .await
        .unwrap();
        let verdict = scene.verdict_as_one("agent", mark);
        assert_eq!(
            verdict.stopped,
            BTreeSet::from([before[&out].clone()]),
            "that one pod only"
        );
        assert!(verdict.made.is_empty());

        // And back.
        let wider =
            json!({ "spec": { "placement": { "nodeSelector": { "matchExpressions": null } } } });
        scene.change("agent", &wider).await.unwrap();
        poll::until("the node to have a pod again", SOON, || async {
            if scene.journal.pods("agent").contains_key(&out) {
                Ok(())
            } else {
                Err("none")
            }
            .map_err(str::to_owned)
        })
        .await
        .unwrap();
        let verdict = scene.verdict_as_one("agent", mark);
        assert_eq!(
            (verdict.stopped.len(), verdict.made.len()),
            (1, 1),
            "{verdict:?}"
        );
        let stable = scene.status("agent").await.unwrap().stable_revision;
        assert_eq!(
            scene.journal.revisions("agent").get(&out),
            stable.as_ref(),
            "it came back in a later wave: with the stable revision"
        );
    });
}

/// openkruise/kruise#1871: a node that loses the label of the canary keeps the canary's revision for ever.
#[test]
fn kruise_1871_a_node_that_leaves_the_canary_gets_the_stable_revision_back() {
    scenario(async {
        let scene = scene("relabel").await;
        let canary = json!([wave("canary", &json!({}))]);
        let done = scene
            .runs(with(daemon("agent", "app:v1"), &waves(&canary)))
            .await
            .unwrap();
        let stable = done.stable_revision.unwrap();
        let held = json!([wave("canary", &json!({ "approval": "Manual" }))]);
        let second = scene
            .update("agent", &with(image("app:v2"), &waves(&held)))
            .await
            .unwrap();
        scene
            .ready("agent", "Unknown", "AwaitingApproval")
            .await
            .unwrap();
        let before = scene.journal.pods("agent");
        let mark = scene.journal.mark();
        let [leaves, stays] = scene.nodes_in("canary").try_into().unwrap();
        let joins = scene.nodes_in("default")[0].clone();

        scene
            .bed
            .label_node(&leaves, &json!({ RING: null }))
            .await
            .unwrap();
        scene
            .all_at("agent", std::slice::from_ref(&leaves), &stable)
            .await
            .unwrap();
        scene
            .bed
            .label_node(&joins, &json!({ RING: "canary" }))
            .await
            .unwrap();
        scene
            .all_at("agent", std::slice::from_ref(&joins), &second)
            .await
            .unwrap();
        let moved = BTreeSet::from([before[&leaves].clone(), before[&joins].clone()]);
        let now: BTreeSet<_> = scene.journal.pods("agent").into_values().collect();
        let gone: BTreeSet<_> = before.values().filter(|pod| !now.contains(*pod)).collect();
        assert_eq!(
            gone,
            moved.iter().collect(),
            "the two relabelled nodes and no other"
        );
        // A watch that breaks and begins again may see of a pod only that it is gone.
        let stopped = scene.verdict_as_one("agent", mark).stopped;
        assert!(stopped.is_subset(&moved), "{stopped:?}");
        assert_eq!(scene.journal.pods("agent")[&stays], before[&stays]);

        let approved = json!({ "hosttask.dev/approved-wave": format!("{second}/canary") });
        scene
            .ready("agent", "Unknown", "AwaitingApproval")
            .await
            .unwrap();
        scene.annotate("agent", &approved).await.unwrap();
        let done = scene.complete("agent").await.unwrap();
        assert_eq!(done.updated_nodes, scene.count());
    });
}

/// The edit comes while pods are being replaced, not while everything stands still.
#[test]
fn waves_edited_while_pods_are_being_replaced_keep_the_budget_and_restart_nothing_twice() {
    scenario(async {
        let scene = scene("rolling-edit").await;
        let two = json!({ "spec": { "rollout": { "maxUnavailable": 2 } } });
        scene
            .runs(with(daemon("agent", "app:v1"), &two))
            .await
            .unwrap();
        let mark = scene.journal.mark();
        let second = scene.update("agent", &image("app:slow")).await.unwrap();
        poll::until("the first node to be ready", SOON, || async {
            let ready = scene.journal.first("agent", &second, Did::BecomeReady);
            if ready.is_empty() {
                Err("none".to_owned())
            } else {
                Ok(())
            }
        })
        .await
        .unwrap();
        let cut = json!({ "spec": { "rollout": { "waves": [
            wave("canary", &json!({ "maxUnavailable": 1 })),
        ]}}});
        scene.change("agent", &cut).await.unwrap();
        scene.complete("agent").await.unwrap();
        handed_over(
            &scene,
            &[
                ("canary", &scene.nodes_in("canary")),
                ("default", &scene.nodes_in("default")),
            ],
        )
        .await;
        let verdict = scene.verdict_as_one("agent", mark);
        assert_eq!(
            verdict.stopped.len(),
            8,
            "each pod of the first revision once"
        );
        assert_eq!(
            scene.journal.moments()[mark..]
                .iter()
                .filter(|moment| moment.did == Did::BeginToStop && moment.revision == second)
                .count(),
            0,
            "no pod of the new revision was touched"
        );
        assert_eq!(verdict.most_on_a_node, 1, "{verdict:?}");
        assert!(verdict.in_work("default") <= 3, "2 and 1: {verdict:?}");
    });
}

#[test]
fn waves_edited_while_suspended_restart_nothing_and_are_there_after_it() {
    scenario(async {
        let scene = scene("suspended-edit").await;
        scene.runs(daemon("agent", "app:v1")).await.unwrap();
        let before = scene.journal.pods("agent");
        let mark = scene.journal.mark();
        let suspended = json!({ "spec": { "suspend": true } });
        scene.change("agent", &suspended).await.unwrap();
        scene.ready("agent", "Unknown", "Suspended").await.unwrap();
        let canary = json!([wave("canary", &json!({}))]);
        let changed = scene.change("agent", &waves(&canary)).await.unwrap();
        let seen = scene.ready("agent", "Unknown", "Suspended").await.unwrap();
        assert_eq!(seen.observed_generation, changed.metadata.generation);
        let resumed = json!({ "spec": { "suspend": false } });
        scene.change("agent", &resumed).await.unwrap();
        handed_over(
            &scene,
            &[
                ("canary", &scene.nodes_in("canary")),
                ("default", &scene.nodes_in("default")),
            ],
        )
        .await;
        let done = scene.complete("agent").await.unwrap();
        assert!(condition(&done, "Stalled").is_none());
        assert_eq!(scene.journal.pods("agent"), before);
        assert!(scene.verdict_as_one("agent", mark).stopped.is_empty());
    });
}
