//! Failure policies on the real control plane: pause, rollback, continue; what comes back, in which order, and that it stays.
//!
//! Every claim is checked against the pods as the API server shows them; the operator is asked only for what it says.
//! Longer than 400 lines: every scenario shares one test bed, whose start takes longer than most of them.
#![expect(clippy::unwrap_used, reason = "a failed step fails the scenario")]

use std::time::Duration;

use hosttask_crds::task::WindowsHostTaskStatus;
use hosttask_tests::bed::{
    BedOptions, Did, OperatorOptions, Plot, Reapplier, Scene, TestBed, condition, daemon, fleet,
    image, plot, scenario, shared, wave, with,
};
use hosttask_tests::fleet::{Behaviour, FleetOptions, Script};
use hosttask_tests::poll;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// How long a step of a scenario may take on a slow machine.
const SOON: Duration = Duration::from_mins(2);

const PLOTS: &[Plot] = &[
    plot("walk-back", 2, 0, 3),
    plot("gitops", 1, 0, 3),
    plot("retry", 0, 0, 3),
    plot("first-ever", 0, 0, 3),
    plot("pause", 0, 0, 4),
    plot("threshold", 0, 0, 6),
    plot("deadline", 0, 0, 3),
    plot("closed-window", 0, 0, 3),
    plot("deletion", 0, 0, 4),
    plot("reads", 0, 0, 2),
];

const SCRIPT: &str = r#"
rules:
- { image: "*:never-ready", behaviour: { neverReady: true } }
- { image: "*:crash", behaviour: { crashLoop: { code: 1067, log: "the service ended unexpectedly" } } }
- { image: "*:missing", behaviour: { image: Missing } }
- { image: "*:slow-to-stop", behaviour: { stop: { afterSeconds: 4 } } }
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

/// A task that is judged quickly and does `action` at `failed` failed nodes.
fn judged(image: &str, action: &str, failed: &Value, rollout: &Value) -> Value {
    let policy = json!({ "failurePolicy": { "action": action, "maxFailedNodes": failed } });
    let spec = json!({ "spec": { "rollout": policy, "health": { "startGraceSeconds": 3 } } });
    with(
        with(daemon("agent", image), &spec),
        &json!({ "spec": { "rollout": rollout } }),
    )
}

fn is(status: &WindowsHostTaskStatus, kind: &str, value: &str, reason: &str) -> bool {
    condition(status, kind).is_some_and(|found| found.status == value && found.reason == reason)
}

/// A revision that is bad in the second wave only comes off the whole fleet, newest wave first, and nothing else happens
/// until somebody changes something.
#[test]
fn a_rollback_goes_newest_wave_first_names_the_node_and_is_silent_afterwards() {
    scenario(async {
        let scene = scene("walk-back").await;
        let waves = json!({ "maxUnavailable": 1, "waves": [
            wave("canary", &json!({ "maxUnavailable": "100%" })),
        ]});
        let one = json!(1);
        let done = scene
            .runs(judged("app:v1", "Rollback", &one, &waves))
            .await
            .unwrap();
        let stable = done.stable_revision.clone().unwrap();
        let bad = Behaviour {
            never_ready: true,
            ..Behaviour::default()
        };
        scene
            .behave(&scene.nodes_in("default"), "app:v2", bad)
            .await
            .unwrap();
        let mark = scene.journal.mark();
        let second = scene.update("agent", &image("app:v2")).await.unwrap();
        let asked = scene.tasks.api().get("agent").await.unwrap();
        let back = scene.ready("agent", "False", "RolledBack").await.unwrap();
        assert!(is(&back, "Stalled", "True", "RolledBack"), "{back:?}");
        assert!(condition(&back, "Reconciling").is_none());
        assert_eq!(scene.kstatus("agent").await.unwrap(), "Failed");
        assert_eq!(back.failed_revision.as_ref(), Some(&second));
        assert_eq!(back.stable_revision.as_ref(), Some(&stable));
        assert_eq!(
            (back.updated_nodes, back.healthy_nodes),
            (Some(0), scene.count())
        );

        let blamed = &back.failures[0];
        assert_eq!(scene.ring(&blamed.node).as_deref(), Some("default"));
        assert_eq!(
            (blamed.revision.as_str(), blamed.reason.as_str()),
            (second.as_str(), "NotReady")
        );
        let message = &condition(&back, "Ready").unwrap().message;
        assert!(message.contains(&blamed.node), "{message}");
        for reason in [
            "NodeFailed",
            "FailureThresholdExceeded",
            "RollingBack",
            "RolledBack",
        ] {
            scene.told("agent", reason).await.unwrap();
        }

        // The truth, from the pods: all at stable, the wave that failed went back first, the budgets held.
        scene
            .all_at("agent", &scene.nodes(), &stable)
            .await
            .unwrap();
        let moments = scene.journal.moments();
        let left: Vec<String> = moments
            .iter()
            .filter(|moment| moment.did == Did::BeginToStop && moment.revision == second)
            .filter_map(|moment| scene.ring(&moment.node))
            .collect();
        assert_eq!(left, ["default", "canary", "canary"]);
        let verdict = scene.verdict("agent", mark);
        assert_eq!(verdict.disturbed("default"), 1, "{verdict:?}");
        assert!(verdict.disturbed("canary") <= 2);
        // Neither spec nor annotations were written by anybody but the user.
        let now = scene.tasks.api().get("agent").await.unwrap();
        assert_eq!(now.metadata.generation, asked.metadata.generation);
        assert_eq!(now.spec, asked.spec);
        scene.quiet(Duration::from_secs(8)).await.unwrap();
    });
}

/// `DataDog`'s `ExtendedDaemonSet` rolls back by rewriting `spec.template`. A `GitOps` engine that applies Git again and again and
/// such a controller undo each other for ever.
#[test]
fn eds_a_rollback_stays_while_git_applies_the_bad_spec_every_two_seconds() {
    scenario(async {
        let scene = scene("gitops").await;
        let waves = json!({ "maxUnavailable": "100%", "waves": [wave("canary", &json!({}))] });
        let one = json!(1);
        let good = scene
            .runs(judged("app:v1", "Rollback", &one, &waves))
            .await
            .unwrap();
        let stable = good.stable_revision.unwrap();
        let git = scene
            .plot
            .task(judged("app:crash", "Rollback", &one, &waves));
        let mark = scene.journal.mark();
        let engine = Reapplier::start(scene.tasks.clone(), git, Duration::from_secs(2));
        let back = scene.ready("agent", "False", "RolledBack").await.unwrap();
        assert_eq!(back.failures[0].exit_code, Some(1067));
        scene
            .all_at("agent", &scene.nodes(), &stable)
            .await
            .unwrap();
        let back = scene
            .tasks
            .wait("agent", "every node to be well again", SOON, |s| {
                s.healthy_nodes == scene.count() && s.updated_nodes == Some(0)
            })
            .await
            .unwrap();
        let rounds = engine.rounds();
        let stopped = scene.verdict("agent", mark).stopped.len();
        poll::until("five more rounds of the engine", SOON, || async {
            let now = engine.rounds();
            if now >= rounds + 5 {
                Ok(())
            } else {
                Err(format!("{now} after {rounds}"))
            }
        })
        .await
        .unwrap();
        let after = scene.status("agent").await.unwrap();
        assert_eq!(after, back, "the status says the same as before");
        assert_eq!(
            scene.verdict("agent", mark).stopped.len(),
            stopped,
            "no pod was touched again"
        );
        assert_eq!(stopped, 2, "on the canary: the pod before and the bad one");
        let bad = back.update_revision.unwrap();
        assert_eq!(scene.journal.first("agent", &bad, Did::Appear).len(), 1);
        // Git is mended: the next content is tried without anybody asking for it.
        drop(engine);
        let mended = scene.plot.task(judged("app:v3", "Rollback", &one, &waves));
        let _engine = Reapplier::start(scene.tasks.clone(), mended, Duration::from_secs(2));
        let done = scene
            .tasks
            .wait("agent", "the mended content to be everywhere", SOON, |s| {
                s.update_revision.as_ref() != Some(&bad)
                    && s.stable_revision == s.update_revision
                    && is(s, "Ready", "True", "RolloutComplete")
            })
            .await
            .unwrap();
        assert_eq!(done.failed_revision, None);
    });
}

/// fluxcd/flagger#1152: after a failed canary only another template is ever tried again, though the fault lay elsewhere.
#[test]
fn a_failed_revision_is_tried_again_on_request_only() {
    scenario(async {
        let scene = scene("retry").await;
        let one = json!(1);
        let rollout = json!({});
        scene
            .runs(judged("app:v1", "Rollback", &one, &rollout))
            .await
            .unwrap();
        let second = scene
            .update("agent", &image("app:never-ready"))
            .await
            .unwrap();
        scene.ready("agent", "False", "RolledBack").await.unwrap();
        // A change that is not of the content is no reason to try again.
        let budget = json!({ "spec": { "rollout": { "maxUnavailable": 2 } } });
        scene.change("agent", &budget).await.unwrap();
        scene.ready("agent", "False", "RolledBack").await.unwrap();
        let tries = || {
            let moments = scene.journal.moments();
            let tries = moments
                .iter()
                .filter(|moment| moment.did == Did::Appear && moment.revision == second);
            tries.count()
        };
        assert_eq!(tries(), 1);

        // What was wrong is mended on the nodes, and somebody asks for another try.
        scene
            .behave(&scene.nodes(), "app:never-ready", Behaviour::default())
            .await
            .unwrap();
        let retry = json!({ "hosttask.dev/retry": "the licence server is back" });
        scene.annotate("agent", &retry).await.unwrap();
        let done = scene.complete("agent").await.unwrap();
        assert_eq!(done.stable_revision, Some(second.clone()));
        assert_eq!(done.failed_revision, None);
        assert_eq!(
            done.last_handled_retry.as_deref(),
            Some("the licence server is back")
        );
        assert_eq!(tries(), 1 + 3);
        assert!(done.failures.is_empty(), "{done:?}");
    });
}

#[test]
fn the_first_revision_ever_has_nothing_to_go_back_to_and_pauses() {
    scenario(async {
        let scene = scene("first-ever").await;
        // The first revision reaches every node at once: DaemonSets make missing pods without asking.
        let one = json!(1);
        let bad = judged("app:crash", "Rollback", &one, &json!({}));
        scene.apply(bad).await.unwrap();
        let held = scene
            .ready("agent", "False", "FailureThresholdExceeded")
            .await
            .unwrap();
        assert!(condition(&held, "Stalled").is_some());
        let message = &condition(&held, "Ready").unwrap().message;
        assert!(
            message.contains("stable"),
            "it says why nothing is rolled back: {message}"
        );
        scene.change("agent", &image("app:v1")).await.unwrap();
        scene.complete("agent").await.unwrap();
    });
}

/// The same failure under each action, one after the other: `Pause` starts nothing, `Continue` goes on, `Rollback` goes back.
#[test]
fn a_paused_failure_starts_nothing_until_a_retry_and_a_rollback_takes_effect_at_once() {
    scenario(async {
        let scene = scene("pause").await;
        let one = json!(1);
        let done = scene
            .runs(judged(
                "app:v1",
                "Pause",
                &one,
                &json!({ "maxUnavailable": 2 }),
            ))
            .await
            .unwrap();
        let stable = done.stable_revision.unwrap();
        let bad = Behaviour {
            never_ready: true,
            ..Behaviour::default()
        };
        // The nodes are taken in an order that we do not know: bad everywhere, mended below.
        scene.behave(&scene.nodes(), "app:v2", bad).await.unwrap();
        let mark = scene.journal.mark();
        let second = scene.update("agent", &image("app:v2")).await.unwrap();
        let held = scene
            .ready("agent", "False", "FailureThresholdExceeded")
            .await
            .unwrap();
        assert!(is(&held, "Stalled", "True", "FailureThresholdExceeded"));
        assert_eq!(scene.kstatus("agent").await.unwrap(), "Failed");
        assert_eq!(held.failed_revision.as_ref(), Some(&second));
        let settled = scene
            .tasks
            .wait("agent", "both started nodes to be judged", SOON, |s| {
                s.failed_nodes == Some(2) && s.in_progress_nodes == Some(0)
            })
            .await
            .unwrap();
        assert_eq!(settled.pending_nodes, Some(2));
        let stopped = scene.verdict("agent", mark).stopped.len();
        assert_eq!(stopped, 2);
        scene.quiet(Duration::from_secs(5)).await.unwrap();
        assert_eq!(scene.verdict("agent", mark).stopped.len(), stopped);

        // Continue: nothing follows for that alone, though the failed nodes are well by now; on request the others do.
        scene
            .behave(&scene.nodes(), "app:v2", Behaviour::default())
            .await
            .unwrap();
        let go_on = json!({ "spec": { "rollout": { "failurePolicy": { "action": "Continue" } } } });
        scene.change("agent", &go_on).await.unwrap();
        scene
            .tasks
            .wait("agent", "the edit to be seen", SOON, |s| {
                s.observed_generation == Some(3)
            })
            .await
            .unwrap();
        assert_eq!(scene.verdict("agent", mark).stopped.len(), stopped);
        let retry = json!({ "metadata": { "annotations": { "hosttask.dev/retry": "once more" } } });
        scene.change("agent", &retry).await.unwrap();
        let done = scene.complete("agent").await.unwrap();
        assert_eq!(done.stable_revision, Some(second));
        assert_ne!(done.stable_revision, Some(stable));

        // Pause first, then Rollback: the revision that is held goes back.
        let pause = json!({ "spec": { "rollout": { "failurePolicy": { "action": "Pause" } } } });
        let third = scene
            .update("agent", &with(image("app:never-ready"), &pause))
            .await
            .unwrap();
        scene
            .ready("agent", "False", "FailureThresholdExceeded")
            .await
            .unwrap();
        let back = json!({ "spec": { "rollout": { "failurePolicy": { "action": "Rollback" } } } });
        scene.change("agent", &back).await.unwrap();
        let back = scene.ready("agent", "False", "RolledBack").await.unwrap();
        assert_eq!(back.failed_revision, Some(third));
        assert_eq!(back.stable_revision, done.stable_revision);
    });
}

/// fluxcd/flux2#1254: an object whose Ready is False and that says nothing else counts as "in progress", so that a failed release
/// is waited for until the time is up, and for ever where there is none.
#[test]
fn flux2_1254_a_failed_rollout_reads_as_failed_and_not_as_in_progress() {
    scenario(async {
        let scene = scene("reads").await;
        let one = json!(1);
        scene
            .runs(judged("app:v1", "Pause", &one, &json!({})))
            .await
            .unwrap();
        assert_eq!(scene.kstatus("agent").await.unwrap(), "Current");
        scene.update("agent", &image("app:crash")).await.unwrap();
        // From the change on: in progress, then failed, and nothing else.
        let mut seen = Vec::new();
        let answers = std::sync::Mutex::new(&mut seen);
        poll::until("kstatus to say that it failed", SOON, || async {
            let now = scene
                .kstatus("agent")
                .await
                .map_err(|error| error.to_string())?;
            let mut seen = answers.lock().unwrap();
            if seen.last() != Some(&now) {
                seen.push(now.clone());
            }
            if now == "Failed" {
                Ok(())
            } else {
                Err(format!("{seen:?}"))
            }
        })
        .await
        .unwrap();
        assert!(
            seen.iter()
                .all(|status| status == "InProgress" || status == "Failed"),
            "{seen:?}"
        );
        scene
            .ready("agent", "False", "FailureThresholdExceeded")
            .await
            .unwrap();
        let back = json!({ "spec": { "rollout": { "failurePolicy": { "action": "Rollback" } } } });
        scene.change("agent", &back).await.unwrap();
        scene.ready("agent", "False", "RolledBack").await.unwrap();
        assert_eq!(scene.kstatus("agent").await.unwrap(), "Failed");
        scene.update("agent", &image("app:v2")).await.unwrap();
        scene.complete("agent").await.unwrap();
        assert_eq!(scene.kstatus("agent").await.unwrap(), "Current");
    });
}

#[test]
fn fewer_failures_than_the_threshold_stop_nothing() {
    scenario(async {
        let scene = scene("threshold").await;
        // A third of 6 nodes, rounded up: two failures act, one does not.
        let third = json!("33%");
        let rollout = json!({ "maxUnavailable": 2 });
        let healthy = json!({ "spec": { "health": { "minHealthy": "80%" } } });
        scene
            .runs(with(
                judged("app:v1", "Rollback", &third, &rollout),
                &healthy,
            ))
            .await
            .unwrap();
        let nodes = scene.nodes();
        let bad = Behaviour {
            never_ready: true,
            ..Behaviour::default()
        };
        scene
            .behave(&nodes[2..3], "app:bad-*", bad.clone())
            .await
            .unwrap();
        let second = scene.update("agent", &image("app:bad-2")).await.unwrap();
        let done = scene.complete("agent").await.unwrap();
        assert_eq!(done.stable_revision.as_ref(), Some(&second));
        assert_eq!(
            (done.failed_nodes, done.updated_nodes),
            (Some(1), scene.count())
        );
        assert_eq!(done.failures[0].node, nodes[2]);

        scene.behave(&nodes[3..4], "app:bad-3", bad).await.unwrap();
        let third = scene.update("agent", &image("app:bad-3")).await.unwrap();
        let back = scene.ready("agent", "False", "RolledBack").await.unwrap();
        assert_eq!(back.failed_revision.as_ref(), Some(&third));
        // The first of them is bad at the stable revision too, and may stand there a second time for that.
        let mut blamed: Vec<_> = back
            .failures
            .iter()
            .filter(|failure| failure.revision == third)
            .map(|failure| failure.node.clone())
            .collect();
        blamed.sort();
        assert_eq!(blamed, nodes[2..4]);
        scene.all_at("agent", &nodes, &second).await.unwrap();
    });
}

#[test]
fn a_missed_progress_deadline_takes_the_action_too() {
    scenario(async {
        let scene = scene("deadline").await;
        let one = json!(1);
        let slow = json!({ "spec": { "health": { "startGraceSeconds": 1200 } } });
        let rollout = json!({ "progressDeadlineSeconds": 4 });
        let task = with(judged("app:v1", "Rollback", &one, &rollout), &slow);
        let stable = scene.runs(task).await.unwrap().stable_revision.unwrap();
        scene.update("agent", &image("app:missing")).await.unwrap();
        let back = scene.ready("agent", "False", "RolledBack").await.unwrap();
        assert_eq!(back.failed_revision, back.update_revision);
        scene
            .told("agent", "ProgressDeadlineExceeded")
            .await
            .unwrap();
        scene
            .all_at("agent", &scene.nodes(), &stable)
            .await
            .unwrap();
    });
}

#[test]
fn a_rollback_does_not_wait_for_a_window_and_waits_while_paused() {
    scenario(async {
        let scene = scene("closed-window").await;
        let one = json!(1);
        let rollout = json!({ "maxUnavailable": 1 });
        let stable = scene
            .runs(judged("app:v1", "Rollback", &one, &rollout))
            .await
            .unwrap()
            .stable_revision
            .unwrap();
        let second = scene
            .update("agent", &image("app:never-ready"))
            .await
            .unwrap();
        poll::until("the bad revision to be on a node", SOON, || async {
            let there = scene.journal.first("agent", &second, Did::Appear);
            if there.is_empty() {
                Err("not yet".to_owned())
            } else {
                Ok(())
            }
        })
        .await
        .unwrap();
        // The next window is a leap day away, and nobody may start anything meanwhile; then the node fails.
        let closed = json!({ "spec": { "rollout": { "paused": true, "maintenanceWindows": [
            { "schedule": "0 0 29 2 *", "durationSeconds": 60 },
        ]}}});
        scene.change("agent", &closed).await.unwrap();
        scene
            .tasks
            .wait("agent", "the failure to be remembered", SOON, |s| {
                s.failed_revision.as_ref() == Some(&second)
            })
            .await
            .unwrap();
        scene.ready("agent", "Unknown", "Paused").await.unwrap();
        poll::throughout(
            "the bad pod stays while paused",
            Duration::from_secs(3),
            || async {
                let at = scene.journal.revisions("agent").into_values();
                let bad = at.filter(|revision| *revision == second).count();
                if bad == 1 {
                    Ok(())
                } else {
                    Err(format!("{bad} pods"))
                }
            },
        )
        .await
        .unwrap();
        let resumed = json!({ "spec": { "rollout": { "paused": false } } });
        scene.change("agent", &resumed).await.unwrap();
        scene.ready("agent", "False", "RolledBack").await.unwrap();
        scene
            .all_at("agent", &scene.nodes(), &stable)
            .await
            .unwrap();
    });
}

#[test]
fn a_task_that_is_deleted_in_mid_rollback_leaves_nothing_behind() {
    scenario(async {
        let scene = scene("deletion").await;
        let one = json!(1);
        let rollout = json!({ "maxUnavailable": "50%" });
        scene
            .runs(judged("app:v1", "Rollback", &one, &rollout))
            .await
            .unwrap();
        // Never ready, and it takes its time to stop: the rollback is sure to be under way for a while.
        let bad = Behaviour {
            never_ready: true,
            ..Script::parse(SCRIPT).unwrap().rules[3].behaviour.clone()
        };
        scene.behave(&scene.nodes(), "app:v2", bad).await.unwrap();
        scene.update("agent", &image("app:v2")).await.unwrap();
        scene.ready("agent", "False", "RollingBack").await.unwrap();
        scene.tasks.delete("agent").await.unwrap();
        let client = scene.bed.client();
        let sets = Api::<DaemonSet>::namespaced(client.clone(), "deletion");
        let revisions = Api::<ControllerRevision>::namespaced(client, "deletion");
        poll::until("everything of the task to be gone", SOON, || async {
            let pods = scene.journal.pods("agent").len();
            let all = ListParams::default();
            let sets = sets.list(&all).await.map_err(|error| error.to_string())?;
            let revisions = revisions
                .list(&all)
                .await
                .map_err(|error| error.to_string())?;
            match (pods, sets.items.len(), revisions.items.len()) {
                (0, 0, 0) => Ok(()),
                left => Err(format!("pods, DaemonSets, revisions: {left:?}")),
            }
        })
        .await
        .unwrap();
    });
}
