//! The operator is replaced, blinded or stopped in the middle of a rollout: what it does next, checked by the pods.
//!
//! Kills after every write of a rollout and of a rollback are in the suite `kills`.
//!
//! Longer than 400 lines: every scenario shares one test bed, whose start takes longer than most of them.
#![expect(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a failed step fails the scenario, and a scenario is told in one piece"
)]

use std::sync::PoisonError;
use std::time::Duration;

use hosttask_tests::bed::{
    BedOptions, Did, OperatorOptions, OperatorProcess, Plot, Scene, TestBed, condition, daemon,
    fleet, image, operator_binary, plot, run_once, scenario, shared, wave, with,
};
use hosttask_tests::cluster::Signal;
use hosttask_tests::fleet::{FleetOptions, Script};
use hosttask_tests::poll;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;
use tokio::sync::{Mutex, OnceCell};

/// How long a step of a scenario may take on a slow machine.
const SOON: Duration = Duration::from_mins(2);

const PLOTS: &[Plot] = &[
    plot("upgrade", 1, 0, 5),
    plot("node-list", 0, 0, 3),
    plot("swallowed", 0, 0, 3),
    plot("handover-kills", 1, 1, 1),
];

const SCRIPT: &str = r#"
rules:
- { image: "*:slow", behaviour: { startSeconds: 2 } }
"#;

/// A lease that changes hands quickly.
fn quick_lease() -> OperatorOptions {
    replica(&[
        "--lease-duration=4s",
        "--renew-deadline=3s",
        "--retry-period=1s",
    ])
}

fn replica(args: &[&str]) -> OperatorOptions {
    OperatorOptions {
        args: args.iter().map(ToString::to_string).collect(),
    }
}

async fn bed() -> &'static TestBed {
    static BED: OnceCell<TestBed> = OnceCell::const_new();
    shared(&BED, || BedOptions {
        fleet: FleetOptions {
            script: Script::parse(SCRIPT).unwrap(),
            ..fleet(PLOTS)
        },
        ..BedOptions::default()
    })
    .await
}

/// The scenarios kill what they share: one at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn scene(name: &str) -> Scene {
    Scene::open(bed().await, PLOTS, name).await.unwrap()
}

/// Ends every operator that runs, and the lease that it held: how long a standby waits for it is not what these scenarios are
/// about.
async fn kill_all(bed: &TestBed) {
    {
        let mut operators = bed.operators.lock().unwrap_or_else(PoisonError::into_inner);
        for operator in operators.drain(..) {
            // One that has ended already is as good.
            let _ = operator.process.signal(Signal::KILL);
        }
    }
    // There is none before the first operator.
    let _ = Api::<Lease>::namespaced(bed.client(), "hosttask-system")
        .delete("hosttask-operator", &DeleteParams::default())
        .await;
}

fn signal_last(bed: &TestBed, signal: Signal) {
    let operators = bed.operators.lock().unwrap_or_else(PoisonError::into_inner);
    operators.last().unwrap().process.signal(signal).unwrap();
}

fn last_runs(bed: &TestBed) -> bool {
    let operators = bed.operators.lock().unwrap_or_else(PoisonError::into_inner);
    operators.last().unwrap().is_running()
}

/// As a Deployment does it: the next version is ready as standby, then the one before gets SIGTERM.
#[test]
fn an_operator_that_is_upgraded_in_mid_rollout_replaces_no_pod_twice() {
    scenario(async {
        let _alone = ALONE.lock().await;
        let bed = bed().await;
        kill_all(bed).await;
        bed.add_operator(quick_lease()).await.unwrap();
        let scene = scene("upgrade").await;
        let waves = json!({ "spec": { "rollout": { "waves": [wave("canary", &json!({ "soakSeconds": 2 }))] } } });
        scene
            .runs(with(daemon("agent", "app:v1"), &waves))
            .await
            .unwrap();
        let mark = scene.journal.mark();
        let second = scene.update("agent", &image("app:slow")).await.unwrap();

        let next = bed.cluster.dir().join("hosttask-operator-next");
        std::fs::copy(operator_binary().unwrap(), &next).unwrap();
        bed.add_operator_binary(&next, quick_lease()).await.unwrap();
        poll::until("a node of the second wave to be done", SOON, || async {
            let ready = scene
                .journal
                .first("agent", &second, Did::BecomeReady)
                .len();
            if ready >= 2 {
                Ok(())
            } else {
                Err(format!("{ready}"))
            }
        })
        .await
        .unwrap();
        {
            let operators = bed.operators.lock().unwrap_or_else(PoisonError::into_inner);
            operators[0].process.signal(Signal::TERM).unwrap();
        }
        let done = scene.complete("agent").await.unwrap();
        assert_eq!(done.stable_revision, Some(second));
        let verdict = scene.verdict("agent", mark);
        assert_eq!(verdict.made.len(), 6, "no pod was replaced twice");
        assert_eq!(
            (verdict.disturbed("canary"), verdict.disturbed("default")),
            (1, 1)
        );
        assert_eq!(verdict.most_on_a_node, 1);
        // The next version finds nothing to do: it has no defaults of its own to roll out.
        scene.quiet(Duration::from_secs(3)).await.unwrap();
    });
}

/// kubernetes/kubernetes#14528: the list of nodes failed, was taken for an empty one, and the controller went on from there:
/// 6,596 pods were waiting for nodes in the end.
#[test]
fn k8s_14528_a_node_list_that_fails_is_not_a_cluster_without_nodes() {
    scenario(async {
        let _alone = ALONE.lock().await;
        let bed = bed().await;
        kill_all(bed).await;
        bed.add_operator(quick_lease()).await.unwrap();
        let scene = scene("node-list").await;
        scene.runs(daemon("agent", "app:v1")).await.unwrap();
        scene.apply(run_once("install", "setup:v1")).await.unwrap();
        scene
            .ready("install", "True", "AllNodesSucceeded")
            .await
            .unwrap();
        let before = (
            scene.status("agent").await.unwrap(),
            scene.status("install").await.unwrap(),
            scene.journal.pods("agent"),
        );

        kill_all(bed).await;
        let roles = Api::<ClusterRole>::all(bed.client());
        let role = roles.get("hosttask-operator").await.unwrap();
        let mut blind = role.clone();
        for rule in blind.rules.iter_mut().flatten() {
            if rule
                .resources
                .iter()
                .flatten()
                .any(|resource| resource == "nodes")
            {
                rule.verbs = vec!["get".to_owned()];
            }
        }
        assert_ne!(blind.rules, role.rules, "the role lists nodes");
        roles
            .replace("hosttask-operator", &PostParams::default(), &blind)
            .await
            .unwrap();
        let operator = OperatorProcess::start(&bed.cluster, quick_lease())
            .await
            .unwrap();
        let writes = bed.operator_writes().unwrap().len();
        scene.change("agent", &image("app:v2")).await.unwrap();
        poll::throughout(
            "nothing is decided without the nodes",
            Duration::from_secs(9),
            || async {
                let now = bed
                    .operator_writes()
                    .map_err(|error| error.to_string())?
                    .len();
                if now == writes {
                    Ok(())
                } else {
                    Err(format!("{} writes", now - writes))
                }
            },
        )
        .await
        .unwrap();
        let refused = bed.cluster.audit().unwrap().into_iter().filter(|event| {
            event.user.ends_with(":hosttask-operator")
                && event.resource == "nodes"
                && event.code == 403
        });
        assert!(
            refused.count() > 0,
            "the operator asked for the nodes and was refused"
        );
        let now = (
            scene.status("agent").await.unwrap(),
            scene.status("install").await.unwrap(),
            scene.journal.pods("agent"),
        );
        assert_eq!(now, before);

        let mut seeing = roles.get("hosttask-operator").await.unwrap();
        seeing.rules = role.rules;
        roles
            .replace("hosttask-operator", &PostParams::default(), &seeing)
            .await
            .unwrap();
        operator.ready().await.unwrap();
        bed.operators
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(operator);
        let done = scene.complete("agent").await.unwrap();
        assert_eq!(
            (done.desired_nodes, done.updated_nodes),
            (scene.count(), scene.count())
        );
        assert_eq!(
            scene.tasks.jobs("install").await.unwrap().len(),
            3,
            "nothing ran twice"
        );
    });
}

/// openkruise/kruise#1785 (open): the controller waits for the event of a pod that was created and deleted again before its
/// watch showed either, and stands still until it is restarted.
#[test]
fn kruise_1785_a_pod_that_came_and_went_unseen_is_not_waited_for() {
    scenario(async {
        let _alone = ALONE.lock().await;
        let bed = bed().await;
        kill_all(bed).await;
        let patient = [
            "--lease-duration=120s",
            "--renew-deadline=110s",
            "--retry-period=2s",
        ];
        bed.add_operator(replica(&patient)).await.unwrap();
        let scene = scene("swallowed").await;
        scene.runs(daemon("agent", "app:v1")).await.unwrap();
        let mark = scene.journal.mark();
        let second = scene.update("agent", &image("app:slow")).await.unwrap();
        let node = poll::until("the operator to replace a pod", SOON, || async {
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
        signal_last(bed, Signal::STOP);
        // While it is frozen its replacement comes, goes, and is replaced itself.
        let pods = Api::<Pod>::namespaced(bed.client(), "swallowed");
        for _ in 0..2 {
            let uid = poll::until("a pod of the second revision", SOON, || async {
                let at = scene.journal.revisions("agent");
                let uid = scene.journal.pods("agent").get(&node).cloned();
                uid.filter(|_| at.get(&node) == Some(&second))
                    .ok_or_else(|| format!("{at:?}"))
            })
            .await
            .unwrap();
            let found = scene.tasks.pods("agent").await.unwrap();
            let name = found
                .iter()
                .find(|pod| pod.metadata.uid.as_ref() == Some(&uid))
                .and_then(|pod| pod.metadata.name.clone())
                .unwrap();
            pods.delete(&name, &DeleteParams::default().grace_period(0))
                .await
                .unwrap();
            poll::until("it to be gone", SOON, || async {
                if scene.journal.pods("agent").get(&node) == Some(&uid) {
                    Err("still there")
                } else {
                    Ok(())
                }
                .map_err(str::to_owned)
            })
            .await
            .unwrap();
        }
        // A new API server has no events of before: every watch begins with a list of what is there now.
        bed.cluster.stop_api_server().await.unwrap();
        bed.cluster.start_api_server().await.unwrap();
        signal_last(bed, Signal::CONT);
        let done = scene.complete("agent").await.unwrap();
        assert_eq!(done.stable_revision, Some(second));
        assert!(last_runs(bed), "the same process went on");
        kill_all(bed).await;
    });
}

/// Every step of handing pods from DaemonSets to DaemonSets, with the operator killed after it.
#[test]
fn an_operator_killed_after_any_write_of_a_handover_restarts_no_pod() {
    scenario(async {
        let _alone = ALONE.lock().await;
        let bed = bed().await;
        kill_all(bed).await;
        let scene = scene("handover-kills").await;
        // One write in a third of a second: slow enough to be killed between two of them.
        let slow = [
            "--qps=3",
            "--burst=1",
            "--lease-duration=4s",
            "--renew-deadline=3s",
            "--retry-period=1s",
        ];
        bed.add_operator(quick_lease()).await.unwrap();
        scene.runs(daemon("agent", "app:v1")).await.unwrap();
        let before = scene.journal.pods("agent");
        let mark = scene.journal.mark();
        let cuts = [
            json!([wave("canary", &json!({}))]),
            json!([wave("canary", &json!({})), wave("pilot", &json!({}))]),
        ];
        let mut kills = 0;
        for (round, cut) in cuts.iter().cycle().take(7).enumerate() {
            kill_all(bed).await;
            bed.add_operator(replica(&slow)).await.unwrap();
            let writes = bed.operator_writes().unwrap().len();
            let edit = json!({ "spec": { "rollout": { "waves": cut } } });
            let changed = scene.change("agent", &edit).await.unwrap();
            let target = round + 1;
            poll::until("the write to be killed after", SOON, || async {
                let done = bed
                    .operator_writes()
                    .map_err(|error| error.to_string())?
                    .len()
                    - writes;
                if done >= target {
                    Ok(())
                } else {
                    Err(format!("{done} of {target}"))
                }
            })
            .await
            .unwrap();
            kill_all(bed).await;
            kills += 1;
            bed.add_operator(quick_lease()).await.unwrap();
            scene
                .tasks
                .wait("agent", "the handover to be over", SOON, |s| {
                    s.observed_generation == changed.metadata.generation
                        && s.healthy_nodes == Some(3)
                        && condition(s, "Ready")
                            .is_some_and(|ready| ready.reason == "RolloutComplete")
                })
                .await
                .unwrap();
            poll::until("every pod to have an owner", SOON, || async {
                let pods = scene
                    .tasks
                    .pods("agent")
                    .await
                    .map_err(|error| error.to_string())?;
                let orphans = pods
                    .iter()
                    .filter(|pod| pod.metadata.owner_references.is_none());
                match orphans.count() {
                    0 => Ok(()),
                    left => Err(format!("{left} orphans")),
                }
            })
            .await
            .unwrap();
            let verdict = scene.verdict_as_one("agent", mark);
            assert_eq!(
                scene.journal.pods("agent"),
                before,
                "killed after write {target}"
            );
            assert_eq!(
                (verdict.made.len(), verdict.stopped.len()),
                (0, 0),
                "{verdict:?}"
            );
        }
        assert_eq!(kills, 7);
    });
}
