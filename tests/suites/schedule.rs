//! Jobs in waves and by the clock on the real control plane: concurrency, failures, checks, ticks, reboots.
//!
//! Longer than 400 lines: every scenario shares one test bed, whose start takes longer than most of them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the scenario"
)]

use std::time::Duration;

use hosttask_crds::node::LedgerState;
use hosttask_crds::task::Waiting;
use hosttask_tests::bed::{
    BedOptions, JobWitness, OperatorOptions, Plot, Scene, TestBed, condition, fleet, image, plot,
    run_once, scenario, shared, wave, with,
};
use hosttask_tests::fleet::{FleetOptions, Script};
use hosttask_tests::poll;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// How long a step of a scenario may take on a slow machine.
const SOON: Duration = Duration::from_mins(2);

const PLOTS: &[Plot] = &[
    plot("concurrency", 0, 0, 8),
    plot("stall", 0, 0, 4),
    plot("job-waves", 1, 0, 3),
    plot("job-pause", 0, 0, 4),
    plot("ticks", 0, 0, 2),
    plot("checks", 0, 0, 4),
    plot("reboots", 0, 0, 2),
    plot("one-at-a-time", 0, 0, 3),
];

const SCRIPT: &str = r#"
rules:
- { command: "check.exe*", image: "*:half", nodes: [COMPLIANT], behaviour: { exit: { code: 0 } } }
- { command: "check.exe*", image: "*:half", behaviour: { exit: { code: 2 } } }
- { image: "*:exit-1603", behaviour: { exit: { code: 1603, log: "fatal error during installation" } } }
- { image: "*:long", behaviour: { exit: { code: 0, afterSeconds: 3 } } }
"#;

async fn bed() -> &'static TestBed {
    static BED: OnceCell<TestBed> = OnceCell::const_new();
    shared(&BED, || {
        let checks = PLOTS.iter().find(|plot| plot.name == "checks").unwrap();
        let compliant = checks.nodes(PLOTS)[..1].join(", ");
        BedOptions {
            fleet: FleetOptions {
                script: Script::parse(&SCRIPT.replace("COMPLIANT", &compliant)).unwrap(),
                ..fleet(PLOTS)
            },
            operators: vec![OperatorOptions::default()],
            ..BedOptions::default()
        }
    })
    .await
}

async fn scene(name: &str) -> Scene {
    Scene::open(bed().await, PLOTS, name).await.unwrap()
}

fn once(image: &str, spec: &Value) -> Value {
    with(run_once("install", image), &json!({ "spec": spec }))
}

/// rancher/system-upgrade-controller#77: with a stale cache more nodes were upgraded at once than `concurrency` allowed, "30 %
/// of the time".
#[test]
fn suc_77_never_more_jobs_at_once_than_allowed() {
    scenario(async {
        let scene = scene("concurrency").await;
        let jobs = JobWitness::start(scene.bed.client(), "concurrency");
        let two = json!({ "rollout": { "maxUnavailable": 2 } });
        scene.apply(once("setup:v1", &two)).await.unwrap();
        scene
            .ready("install", "True", "AllNodesSucceeded")
            .await
            .unwrap();
        for version in ["setup:v2", "setup:v3"] {
            let revision = scene.update("install", &image(version)).await.unwrap();
            scene
                .tasks
                .wait("install", "the next revision to be done", SOON, |s| {
                    s.stable_revision.as_ref() == Some(&revision)
                })
                .await
                .unwrap();
        }
        let seen = jobs.samples();
        assert_eq!(seen.begun.len(), 24, "each node once for each revision");
        assert_eq!(
            seen.most_of_a_task["install"], 2,
            "never more, and both places are used"
        );
        assert!(
            seen.most_on_a_node.values().all(|most| *most == 1),
            "{seen:?}"
        );
    });
}

/// rancher/system-upgrade-controller PR#369: a failed Job keeps its place, is deleted by its TTL, and the plan stands still
/// until somebody edits it.
#[test]
fn suc_369_a_failed_job_does_not_stall_the_others() {
    scenario(async {
        let scene = scene("stall").await;
        let nodes = scene.nodes();
        let broken = Script::parse(SCRIPT).unwrap().rules[2].behaviour.clone();
        scene.behave(&nodes[..1], "setup:v1", broken).await.unwrap();
        // Its next attempt is an hour away, and one node may be in work at a time.
        let spec = json!({
            "rollout": { "maxUnavailable": 1 }, "health": { "minHealthy": "75%" },
            "job": { "retry": { "limit": 3, "initialSeconds": 3600, "maxSeconds": 3600 } },
        });
        scene.apply(once("setup:v1", &spec)).await.unwrap();
        let done = scene
            .tasks
            .wait("install", "the other nodes to be done", SOON, |s| {
                s.healthy_nodes == Some(3)
            })
            .await
            .unwrap();
        let failure = &done.failures[0];
        assert_eq!((&failure.node, failure.exit_code), (&nodes[0], Some(1603)));
        assert!(
            failure.next_retry_time.is_some(),
            "it is tried again by itself: {failure:?}"
        );
        let ledger = scene.tasks.ledger("install").await.unwrap();
        assert_eq!(ledger[&nodes[0]].state, LedgerState::Failed);
    });
}

#[test]
fn run_once_goes_wave_by_wave_and_a_failure_in_the_canary_keeps_it_there() {
    scenario(async {
        let scene = scene("job-waves").await;
        let jobs = JobWitness::start(scene.bed.client(), "job-waves");
        let spec = json!({
            "rollout": { "maxUnavailable": "100%", "failurePolicy": { "action": "Pause" },
                "waves": [wave("canary", &json!({ "soakSeconds": 2 }))] },
            "job": { "retry": { "limit": 0 } },
        });
        scene.apply(once("setup:v1", &spec)).await.unwrap();
        scene
            .ready("install", "True", "AllNodesSucceeded")
            .await
            .unwrap();
        let canary = scene.nodes_in("canary")[0].clone();
        let begun = jobs.samples().begun;
        assert_eq!((begun.len(), &begun[0].1), (4, &canary));
        let gap = begun[1].2.saturating_duration_since(begun[0].2);
        assert!(gap >= Duration::from_secs(2), "it ran and soaked: {gap:?}");

        scene
            .update("install", &image("setup:exit-1603"))
            .await
            .unwrap();
        let held = scene
            .ready("install", "False", "FailureThresholdExceeded")
            .await
            .unwrap();
        assert!(condition(&held, "Stalled").is_some());
        let message = &condition(&held, "Ready").unwrap().message;
        assert!(
            message.contains("1603") && message.contains(&canary),
            "{message}"
        );
        scene.quiet(Duration::from_secs(3)).await.unwrap();
        assert_eq!(jobs.samples().begun.len(), 5, "one node tried it");
        scene.update("install", &image("setup:v2")).await.unwrap();
        scene
            .ready("install", "True", "AllNodesSucceeded")
            .await
            .unwrap();
    });
}

#[test]
fn a_paused_run_starts_no_further_node() {
    scenario(async {
        let scene = scene("job-pause").await;
        let jobs = JobWitness::start(scene.bed.client(), "job-pause");
        scene.apply(once("setup:long", &json!({}))).await.unwrap();
        poll::until("the first Job", SOON, || async {
            let begun = jobs.samples().begun.len();
            if begun == 1 {
                Ok(())
            } else {
                Err(format!("{begun}"))
            }
        })
        .await
        .unwrap();
        let pause = |paused: bool| json!({ "spec": { "rollout": { "paused": paused } } });
        scene.change("install", &pause(true)).await.unwrap();
        let held = scene
            .tasks
            .wait("install", "the started node to finish", SOON, |s| {
                s.healthy_nodes == Some(1)
                    && condition(s, "Ready").is_some_and(|ready| ready.reason == "Paused")
            })
            .await
            .unwrap();
        assert_eq!(held.wave.unwrap().waiting, Some(Waiting::Paused));
        scene.quiet(Duration::from_secs(3)).await.unwrap();
        assert_eq!(jobs.samples().begun.len(), 1);
        let wide = json!({ "spec": { "rollout": { "paused": false, "maxUnavailable": "100%" } } });
        scene.change("install", &wide).await.unwrap();
        scene
            .ready("install", "True", "AllNodesSucceeded")
            .await
            .unwrap();
    });
}

/// Two tasks with a program each: on no node do both run at the same time.
#[test]
fn jobs_of_two_tasks_take_turns_on_a_node() {
    scenario(async {
        let scene = scene("one-at-a-time").await;
        let jobs = JobWitness::start(scene.bed.client(), "one-at-a-time");
        let wide = json!({ "spec": { "rollout": { "maxUnavailable": "100%" } } });
        for name in ["first", "second", "third"] {
            scene
                .apply(with(run_once(name, "setup:long"), &wide))
                .await
                .unwrap();
        }
        for name in ["first", "second", "third"] {
            scene
                .ready(name, "True", "AllNodesSucceeded")
                .await
                .unwrap();
        }
        let seen = jobs.samples();
        assert_eq!(seen.begun.len(), 9);
        assert!(
            seen.most_on_a_node.values().all(|most| *most == 1),
            "{:?}",
            seen.most_on_a_node
        );
    });
}

#[test]
fn a_scheduled_task_runs_once_on_every_node_at_each_tick_and_not_before() {
    scenario(async {
        let scene = scene("ticks").await;
        let jobs = JobWitness::start(scene.bed.client(), "ticks");
        let spec = json!({
            "mode": "Scheduled", "schedule": { "cron": "* * * * *" },
            "rollout": { "maxUnavailable": "100%" },
        });
        let begin = Timestamp::now();
        let tick = Timestamp::from_second((begin.as_second().div_euclid(60) + 1) * 60).unwrap();
        scene.apply(once("setup:v1", &spec)).await.unwrap();
        let waits = scene.ready("install", "True", "Scheduled").await.unwrap();
        if Timestamp::now() < tick {
            assert_eq!(
                waits.next_schedule_time.as_ref().map(|time| time.0),
                Some(tick)
            );
            assert!(
                jobs.samples().begun.is_empty(),
                "nothing runs before the first tick"
            );
        }
        let ran = scene
            .tasks
            .wait("install", "the first tick to be done", SOON, |s| {
                s.last_schedule_time
                    .as_ref()
                    .is_some_and(|time| time.0 >= tick)
                    && s.healthy_nodes == Some(2)
            })
            .await
            .unwrap();
        assert!(Timestamp::now() >= tick);
        assert!(condition(&ran, "Ready").is_some_and(|ready| ready.status == "True"));
        let passed: i64 = (Timestamp::now().as_second() - tick.as_second()) / 60 + 1;
        let made = jobs.samples().begun.len();
        assert!(
            (2..=2 * usize::try_from(passed).unwrap()).contains(&made),
            "{made} Jobs in {passed} ticks on 2 nodes"
        );
        let suspend = json!({ "spec": { "suspend": true } });
        scene.change("install", &suspend).await.unwrap();
        scene
            .ready("install", "Unknown", "Suspended")
            .await
            .unwrap();
    });
}

/// What DSC calls Test and Set, and Ansible `--check`.
#[test]
fn compliant_nodes_do_nothing_and_a_dry_run_counts_without_running() {
    scenario(async {
        let scene = scene("checks").await;
        let job = |only: bool| {
            json!({
                "rollout": { "maxUnavailable": "100%" },
                "job": { "check": { "command": ["check.exe", "--quiet"] }, "checkOnly": only },
            })
        };
        scene.apply(once("setup:half", &job(true))).await.unwrap();
        let counted = scene
            .ready("install", "True", "NonCompliant")
            .await
            .unwrap();
        assert_eq!(
            (counted.compliant_nodes, counted.non_compliant_nodes),
            (Some(1), Some(3))
        );
        let message = &condition(&counted, "Ready").unwrap().message;
        assert!(
            message.contains("4/4 nodes checked, 1 compliant, 3 not compliant"),
            "{message}"
        );
        assert_eq!(scene.kstatus("install").await.unwrap(), "Current");
        let so_far = scene.bed.fleet.stats();
        let starts = |node: &str| so_far.starts(node, "install");
        let nodes = scene.nodes();
        assert!(
            nodes.iter().all(|node| starts(node) == 1),
            "a check each, no program"
        );
        let ledger = scene.tasks.ledger("install").await.unwrap();
        assert_eq!(ledger[&nodes[0]].state, LedgerState::Succeeded);
        assert_eq!(ledger[&nodes[1]].state, LedgerState::NonCompliant);

        scene
            .change("install", &json!({ "spec": job(false) }))
            .await
            .unwrap();
        let done = scene
            .ready("install", "True", "AllNodesSucceeded")
            .await
            .unwrap();
        assert_eq!(done.healthy_nodes, Some(4));
        let ledger = scene.tasks.ledger("install").await.unwrap();
        assert_eq!(ledger[&nodes[0]].reason.as_deref(), Some("Compliant"));
        assert!(
            nodes[1..]
                .iter()
                .all(|node| ledger[node].state == LedgerState::Succeeded)
        );
        let in_the_end = scene.bed.fleet.stats();
        assert_eq!(
            in_the_end.starts(&nodes[0], "install"),
            1,
            "the compliant node ran its check only"
        );
        assert!(
            nodes[1..]
                .iter()
                .all(|node| in_the_end.starts(node, "install") >= 2)
        );
    });
}

#[test]
fn a_reboot_runs_again_what_asks_for_it_and_nothing_else_and_a_nonce_runs_everywhere() {
    scenario(async {
        let scene = scene("reboots").await;
        let wide = json!({ "spec": { "rollout": { "maxUnavailable": "100%" } } });
        let at_boot = json!({ "spec": { "job": { "rerunOn": ["SpecChange", "NodeReimage", "NodeReboot"] } } });
        scene
            .apply(with(with(run_once("at-boot", "setup:v1"), &wide), &at_boot))
            .await
            .unwrap();
        scene
            .apply(with(run_once("once", "setup:v1"), &wide))
            .await
            .unwrap();
        for name in ["at-boot", "once"] {
            scene
                .ready(name, "True", "AllNodesSucceeded")
                .await
                .unwrap();
        }
        let nodes = scene.nodes();
        scene
            .bed
            .fleet
            .reboot_node(&nodes[0], Duration::ZERO)
            .await
            .unwrap();
        poll::until("the rebooted node to run it again", SOON, || async {
            let jobs = scene
                .tasks
                .jobs("at-boot")
                .await
                .map_err(|error| error.to_string())?;
            if jobs.len() == 3 {
                Ok(())
            } else {
                Err(format!("{} Jobs", jobs.len()))
            }
        })
        .await
        .unwrap();
        scene
            .tasks
            .wait("at-boot", "to be done again", SOON, |s| {
                s.healthy_nodes == Some(2)
            })
            .await
            .unwrap();
        assert_eq!(scene.tasks.jobs("once").await.unwrap().len(), 2);

        let nonce = json!({ "spec": { "job": { "rerunNonce": "2026-11" } } });
        let again = scene.update("once", &nonce).await.unwrap();
        scene
            .tasks
            .wait("once", "the nonce to run it everywhere", SOON, |s| {
                s.stable_revision.as_ref() == Some(&again)
            })
            .await
            .unwrap();
        assert_eq!(scene.tasks.jobs("once").await.unwrap().len(), 4);
    });
}
