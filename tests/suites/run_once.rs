//! Run-once tasks on the real control plane: exit codes, retries, the ledger, nodes that join, leave or are re-imaged.
//!
//! Longer than 400 lines: every scenario of the mode shares one test bed, whose start takes longer than most of them.
#![expect(clippy::unwrap_used, reason = "a failed step fails the scenario")]

use std::time::Duration;

use hosttask_crds::node::LedgerState;
use hosttask_tests::bed::{
    BedOptions, OperatorOptions, Tasks, TestBed, condition, image, run_once, scenario, shared, with,
};
use hosttask_tests::cluster::ClusterOptions;
use hosttask_tests::fleet::{FleetOptions, Script};
use hosttask_tests::poll;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::json;
use tokio::sync::{Mutex, OnceCell};

/// How long a step of a scenario may take on a slow machine.
const SOON: Duration = Duration::from_mins(2);

const SCRIPT: &str = r#"
rules:
- { image: "*:exit-3010", behaviour: { exit: { code: 3010, log: "restart the computer to finish" } } }
- { image: "*:exit-1603", behaviour: { exit: { code: 1603, log: "fatal error during installation" } } }
- { image: "*:exit-1603-first", attempt: "1", behaviour: { exit: { code: 1603, log: "another installation is running" } } }
- { image: "*:ntstatus", behaviour: { exit: { code: -1073741510, log: "" } } }
- { image: "*:brief", behaviour: { exit: { code: 0, afterSeconds: 15 } } }
- { image: "*:slow", behaviour: { exit: { code: 0, afterSeconds: 600 } } }
"#;

async fn bed() -> &'static TestBed {
    static BED: OnceCell<TestBed> = OnceCell::const_new();
    shared(&BED, || {
        let lease_interval = Some(Duration::from_secs(2));
        let fleet = FleetOptions {
            nodes: 6,
            script: Script::parse(SCRIPT).unwrap(),
            lease_interval,
            ..FleetOptions::default()
        };
        let cluster = ClusterOptions {
            node_monitor_grace: Duration::from_secs(12),
            ..ClusterOptions::default()
        };
        let operators = vec![OperatorOptions::default()];
        BedOptions {
            cluster,
            fleet,
            operators,
        }
    })
    .await
}

/// Scenarios count nodes, and some change them: one at a time.
static FLEET: Mutex<()> = Mutex::const_new(());

/// Everything at once, so that the scenarios about results are quick.
fn wide(name: &str, tag: &str) -> serde_json::Value {
    with(
        run_once(name, tag),
        &json!({ "spec": { "rollout": { "maxUnavailable": "100%" } } }),
    )
}

async fn nodes(bed: &TestBed) -> Vec<String> {
    let list = Api::<k8s_openapi::api::core::v1::Node>::all(bed.client())
        .list(&ListParams::default())
        .await
        .unwrap();
    list.items
        .into_iter()
        .filter_map(|node| node.metadata.name)
        .collect()
}

async fn complete(tasks: &Tasks, name: &str) -> hosttask_crds::WindowsHostTaskStatus {
    tasks
        .wait_ready(name, "True", "AllNodesSucceeded", SOON)
        .await
        .unwrap()
}

#[test]
fn every_node_runs_the_task_once_and_the_ledger_outlives_the_jobs() {
    scenario(async {
        let _alone = FLEET.lock().await;
        let bed = bed().await;
        let tasks = bed.namespace("once").await.unwrap();
        tasks.apply(&wide("install", "setup:v1")).await.unwrap();
        let status = complete(&tasks, "install").await;
        assert_eq!(
            (
                status.desired_nodes,
                status.healthy_nodes,
                status.failed_nodes
            ),
            (Some(6), Some(6), Some(0))
        );
        let ledger = tasks.ledger("install").await.unwrap();
        assert_eq!(ledger.len(), 6);
        assert!(
            ledger
                .values()
                .all(|entry| entry.state == LedgerState::Succeeded
                    && entry.attempts == 1
                    && entry.exit_code == Some(0)),
            "{ledger:?}"
        );
        // What the TTL controller does later: the Jobs go, the record stays, nothing runs again.
        let jobs = Api::<k8s_openapi::api::batch::v1::Job>::namespaced(bed.client(), "once");
        jobs.delete_collection(&DeleteParams::background(), &ListParams::default())
            .await
            .unwrap();
        poll::until("the Jobs to be gone", SOON, || async {
            let left = tasks
                .jobs("install")
                .await
                .map_err(|error| error.to_string())?
                .len();
            if left == 0 {
                Ok(())
            } else {
                Err(format!("{left} left"))
            }
        })
        .await
        .unwrap();
        // A second task that completes afterwards shows that the operator has had its chance to run the first one again.
        tasks.apply(&wide("witness", "setup:v1")).await.unwrap();
        complete(&tasks, "witness").await;
        assert!(tasks.jobs("install").await.unwrap().is_empty());
        assert_eq!(
            tasks.status("install").await.unwrap().healthy_nodes,
            Some(6)
        );
    });
}

#[test]
fn what_ends_while_the_task_is_invalid_is_recorded_and_not_run_again() {
    scenario(async {
        let _alone = FLEET.lock().await;
        let bed = bed().await;
        let tasks = bed.namespace("invalid-meanwhile").await.unwrap();
        let inputs = Api::<ConfigMap>::namespaced(bed.client(), "invalid-meanwhile");
        let settings: ConfigMap = serde_json::from_value(json!({
            "metadata": { "name": "settings" }, "data": { "level": "3" },
        }))
        .unwrap();
        inputs
            .create(&PostParams::default(), &settings)
            .await
            .unwrap();
        let needs = json!({ "spec": { "inputs": { "configMaps": [{ "name": "settings" }] } } });
        let task = with(wide("install", "setup:brief"), &needs);
        tasks.apply(&task).await.unwrap();
        poll::until("every node to have its Job", SOON, || async {
            match tasks
                .jobs("install")
                .await
                .map_err(|e| e.to_string())?
                .len()
            {
                6 => Ok(()),
                count => Err(format!("{count} of 6")),
            }
        })
        .await
        .unwrap();
        inputs
            .delete("settings", &DeleteParams::default())
            .await
            .unwrap();
        tasks
            .wait_ready("install", "False", "InputMissing", SOON)
            .await
            .unwrap();
        poll::until("every result to be recorded", SOON, || async {
            let ledger = tasks.ledger("install").await.map_err(|e| e.to_string())?;
            let well = ledger
                .values()
                .filter(|entry| entry.state == LedgerState::Succeeded);
            match well.count() {
                6 => Ok(()),
                count => Err(format!("{count} of 6")),
            }
        })
        .await
        .unwrap();
        let status = tasks.status("install").await.unwrap();
        assert_eq!(condition(&status, "Ready").unwrap().reason, "InputMissing");

        // What the TTL controller does, before the input is back.
        let jobs =
            Api::<k8s_openapi::api::batch::v1::Job>::namespaced(bed.client(), "invalid-meanwhile");
        jobs.delete_collection(&DeleteParams::background(), &ListParams::default())
            .await
            .unwrap();
        poll::until("the Jobs to be gone", SOON, || async {
            match tasks
                .jobs("install")
                .await
                .map_err(|e| e.to_string())?
                .len()
            {
                0 => Ok(()),
                left => Err(format!("{left} left")),
            }
        })
        .await
        .unwrap();
        inputs
            .create(&PostParams::default(), &settings)
            .await
            .unwrap();
        complete(&tasks, "install").await;
        assert!(tasks.jobs("install").await.unwrap().is_empty());
    });
}

#[test]
fn windows_exit_codes_are_understood() {
    scenario(async {
        let _alone = FLEET.lock().await;
        let bed = bed().await;
        let tasks = bed.namespace("exit-codes").await.unwrap();
        tasks
            .apply(&wide("reboot", "setup:exit-3010"))
            .await
            .unwrap();
        complete(&tasks, "reboot").await;
        let ledger = tasks.ledger("reboot").await.unwrap();
        assert!(
            ledger
                .values()
                .all(|entry| entry.state == LedgerState::RebootPending
                    && entry.exit_code == Some(3010)),
            "{ledger:?}"
        );

        tasks
            .apply(&wide("fails", "setup:exit-1603"))
            .await
            .unwrap();
        let failed = tasks
            .wait_ready("fails", "False", "Degraded", SOON)
            .await
            .unwrap();
        assert!(condition(&failed, "Stalled").is_some());
        assert_eq!(
            (failed.failed_nodes, failed.healthy_nodes),
            (Some(6), Some(0))
        );
        let failure = &failed.failures[0];
        assert_eq!(
            (failure.reason.as_str(), failure.exit_code, failure.attempts),
            ("ExitCode", Some(1603), Some(2))
        );
        assert!(
            failure
                .message
                .as_deref()
                .unwrap()
                .contains("fatal error during installation"),
            "{failure:?}"
        );

        tasks
            .apply(&wide("ntstatus", "setup:ntstatus"))
            .await
            .unwrap();
        let failed = tasks
            .wait_ready("ntstatus", "False", "Degraded", SOON)
            .await
            .unwrap();
        assert_eq!(failed.failures[0].exit_code, Some(-1_073_741_510));

        let accepted = with(
            wide("accepted", "setup:exit-1603"),
            &json!({ "spec": { "job": { "exitCodes": { "success": [0, 1603] } } } }),
        );
        tasks.apply(&accepted).await.unwrap();
        complete(&tasks, "accepted").await;
    });
}

#[test]
fn a_failed_node_is_tried_again_and_the_others_do_not_wait() {
    scenario(async {
        let _alone = FLEET.lock().await;
        let bed = bed().await;
        let tasks = bed.namespace("retries").await.unwrap();
        tasks
            .apply(&run_once("install", "setup:exit-1603-first"))
            .await
            .unwrap();
        let status = complete(&tasks, "install").await;
        assert!(
            status.failures.is_empty(),
            "a node that succeeded is no failure any more: {status:?}"
        );
        let ledger = tasks.ledger("install").await.unwrap();
        assert!(
            ledger
                .values()
                .all(|entry| entry.attempts == 2 && entry.state == LedgerState::Succeeded),
            "{ledger:?}"
        );
        assert_eq!(tasks.jobs("install").await.unwrap().len(), 12);
    });
}

#[test]
fn a_changed_spec_runs_again_everywhere() {
    scenario(async {
        let _alone = FLEET.lock().await;
        let bed = bed().await;
        let tasks = bed.namespace("changed").await.unwrap();
        tasks.apply(&wide("install", "setup:v1")).await.unwrap();
        let first = complete(&tasks, "install").await.update_revision;
        tasks.change("install", &image("setup:v2")).await.unwrap();
        tasks
            .wait("install", "the second revision to complete", SOON, |s| {
                s.update_revision != first && s.stable_revision == s.update_revision
            })
            .await
            .unwrap();
        let ledger = tasks.ledger("install").await.unwrap();
        assert!(
            ledger
                .values()
                .all(|entry| Some(&entry.revision) != first.as_ref()),
            "{ledger:?}"
        );
        assert_eq!(tasks.jobs("install").await.unwrap().len(), 12);
    });
}

#[test]
fn nodes_that_join_or_are_reimaged_get_the_task_and_ready_stays_true() {
    scenario(async {
        let _alone = FLEET.lock().await;
        let bed = bed().await;
        let tasks = bed.namespace("churn").await.unwrap();
        tasks.apply(&wide("install", "setup:v1")).await.unwrap();
        let before = complete(&tasks, "install").await;
        let since = condition(&before, "Ready")
            .unwrap()
            .last_transition_time
            .clone();

        let joined = bed.fleet.add_nodes(1).await.unwrap();
        tasks
            .wait("install", "the new node to finish", SOON, |s| {
                s.healthy_nodes == Some(7)
            })
            .await
            .unwrap();
        assert!(
            tasks
                .ledger("install")
                .await
                .unwrap()
                .contains_key(&joined[0])
        );

        let old = nodes(bed).await[0].clone();
        bed.fleet
            .reimage_node(&old, Duration::ZERO, false)
            .await
            .unwrap();
        poll::until("the re-imaged node to run the task again", SOON, || async {
            let jobs = tasks
                .jobs("install")
                .await
                .map_err(|error| error.to_string())?
                .len();
            let entry = tasks
                .ledger("install")
                .await
                .map_err(|error| error.to_string())?
                .remove(&old);
            if jobs == 8
                && entry
                    .as_ref()
                    .is_some_and(|e| e.state == LedgerState::Succeeded)
            {
                Ok(())
            } else {
                Err(format!("{jobs} Jobs, {entry:?}"))
            }
        })
        .await
        .unwrap();

        bed.fleet.remove_node(&joined[0]).await.unwrap();
        let after = tasks
            .wait("install", "the node to be forgotten", SOON, |s| {
                s.desired_nodes == Some(6)
            })
            .await
            .unwrap();
        let ready = condition(&after, "Ready").unwrap();
        assert_eq!(
            (ready.status.as_str(), &ready.last_transition_time),
            ("True", &since),
            "Ready never flipped"
        );
    });
}

#[test]
fn a_dead_node_does_not_block_and_is_served_when_it_is_back() {
    scenario(async {
        let _alone = FLEET.lock().await;
        let bed = bed().await;
        let tasks = bed.namespace("dead-node").await.unwrap();
        let dead = nodes(bed).await[2].clone();
        bed.fleet.kill_node(&dead).await.unwrap();
        poll::until("the node to be seen as not ready", SOON, || async {
            let node = Api::<k8s_openapi::api::core::v1::Node>::all(bed.client())
                .get(&dead)
                .await
                .map_err(|error| error.to_string())?;
            let conditions = node
                .status
                .and_then(|status| status.conditions)
                .unwrap_or_default();
            let ready = conditions
                .iter()
                .find(|c| c.type_ == "Ready")
                .map(|c| c.status.clone());
            if ready.as_deref() == Some("True") {
                Err(format!("{ready:?}"))
            } else {
                Ok(())
            }
        })
        .await
        .unwrap();
        tasks.apply(&run_once("install", "setup:v1")).await.unwrap();
        let status = complete(&tasks, "install").await;
        assert_eq!(
            (
                status.unreachable_nodes,
                status.healthy_nodes,
                status.desired_nodes
            ),
            (Some(1), Some(5), Some(6))
        );
        assert!(!tasks.ledger("install").await.unwrap().contains_key(&dead));
        bed.fleet.revive_node(&dead).await.unwrap();
        tasks
            .wait("install", "the node to be served", SOON, |s| {
                s.healthy_nodes == Some(6) && s.unreachable_nodes == Some(0)
            })
            .await
            .unwrap();
    });
}

#[test]
fn a_reboot_settles_what_asked_for_it() {
    scenario(async {
        let _alone = FLEET.lock().await;
        let bed = bed().await;
        let tasks = bed.namespace("reboot").await.unwrap();
        tasks
            .apply(&wide("patch", "setup:exit-3010"))
            .await
            .unwrap();
        complete(&tasks, "patch").await;
        let node = nodes(bed).await[1].clone();
        let flag = |expected: bool| {
            let node = node.clone();
            async move {
                let ledger = Api::<hosttask_crds::WindowsHostNode>::all(bed.client())
                    .get(&node)
                    .await
                    .map_err(|error| error.to_string())?;
                let found = ledger.status.unwrap_or_default().reboot_required;
                if found == Some(expected) {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                }
            }
        };
        poll::until("the node to ask for a reboot", SOON, || flag(true))
            .await
            .unwrap();
        bed.fleet.reboot_node(&node, Duration::ZERO).await.unwrap();
        poll::until("the reboot to be seen", SOON, || flag(false))
            .await
            .unwrap();
        assert_eq!(
            tasks.ledger("patch").await.unwrap()[&node].state,
            LedgerState::Succeeded
        );
        assert_eq!(
            tasks.jobs("patch").await.unwrap().len(),
            6,
            "the reboot runs nothing again"
        );
    });
}

#[test]
fn a_job_over_its_deadline_fails_with_that_reason() {
    scenario(async {
        let _alone = FLEET.lock().await;
        let bed = bed().await;
        let tasks = bed.namespace("job-deadline").await.unwrap();
        let task = with(
            wide("slow", "setup:slow"),
            &json!({ "spec": { "job": { "activeDeadlineSeconds": 2, "retry": { "limit": 0 } } } }),
        );
        tasks.apply(&task).await.unwrap();
        let failed = tasks
            .wait_ready("slow", "False", "Degraded", SOON)
            .await
            .unwrap();
        assert_eq!(failed.failures[0].reason, "DeadlineExceeded");
    });
}
