//! The operator and the API server fail in the middle of the work: convergence afterwards, the budget held throughout.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the scenario"
)]

use std::sync::PoisonError;
use std::time::Duration;

use hosttask_tests::bed::{
    BedOptions, History, OperatorOptions, TestBed, daemon, image, run_once, scenario, shared, with,
};
use hosttask_tests::cluster::{AuditEvent, Signal};
use hosttask_tests::fleet::FleetOptions;
use hosttask_tests::poll;
use serde_json::json;
use tokio::sync::{Mutex, OnceCell};

/// How long a step of a scenario may take on a slow machine.
const SOON: Duration = Duration::from_mins(2);
/// How many nodes the fleet has.
const NODES: usize = 6;

/// Leases that change hands quickly, so that the scenarios do.
fn replica() -> OperatorOptions {
    let args = [
        "--lease-duration=4s",
        "--renew-deadline=3s",
        "--retry-period=1s",
    ];
    OperatorOptions {
        args: args.map(str::to_owned).to_vec(),
    }
}

async fn bed() -> &'static TestBed {
    static BED: OnceCell<TestBed> = OnceCell::const_new();
    shared(&BED, || {
        let fleet = FleetOptions {
            nodes: NODES,
            ..FleetOptions::default()
        };
        BedOptions {
            fleet,
            operators: vec![replica(), replica()],
            ..BedOptions::default()
        }
    })
    .await
}

/// The scenarios kill what they share: one at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The operator's writes since the start, without leases and events.
fn writes(bed: &TestBed) -> Vec<AuditEvent> {
    let is_write = |event: &AuditEvent| {
        event.user.ends_with(":hosttask-operator")
            && matches!(
                event.verb.as_str(),
                "create" | "update" | "patch" | "delete"
            )
            && !matches!(event.resource.as_str(), "leases" | "events")
    };
    bed.cluster
        .audit()
        .unwrap()
        .into_iter()
        .filter(is_write)
        .collect()
}

/// The index of the replica that leads.
async fn leader(bed: &TestBed) -> usize {
    poll::until("a leader", SOON, || async {
        let ports: Vec<_> = {
            let operators = bed.operators.lock().unwrap_or_else(PoisonError::into_inner);
            operators
                .iter()
                .map(|operator| (operator.is_running(), operator.endpoint()))
                .collect()
        };
        for (index, (running, endpoint)) in ports.into_iter().enumerate() {
            if running && endpoint.leads().await {
                return Ok(index);
            }
        }
        Err("no replica says that it leads".to_owned())
    })
    .await
    .unwrap()
}

fn signal(bed: &TestBed, index: usize, signal: Signal) {
    bed.operators.lock().unwrap_or_else(PoisonError::into_inner)[index]
        .process
        .signal(signal)
        .unwrap();
}

#[test]
fn when_the_leader_is_killed_the_standby_takes_over_and_the_budget_holds() {
    scenario(async {
        let _alone = ALONE.lock().await;
        let bed = bed().await;
        let tasks = bed.namespace("failover").await.unwrap();
        tasks.apply(&daemon("agent", "app:v1")).await.unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        let history = History::start(bed.client(), "failover", "agent", NODES);
        tasks.change("agent", &image("app:v2")).await.unwrap();
        tasks
            .wait("agent", "the rollout to be under way", SOON, |s| {
                s.updated_nodes >= Some(2)
            })
            .await
            .unwrap();
        let first = leader(bed).await;
        let before = writes(bed).len();
        signal(bed, first, Signal::KILL);
        let killed = std::time::Instant::now();
        poll::until("the first write of the standby", SOON, || async {
            if writes(bed).len() > before {
                Ok(())
            } else {
                Err("none".to_owned())
            }
        })
        .await
        .unwrap();
        let took = killed.elapsed();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        assert!(
            history.samples().was_complete,
            "the witness saw the whole fleet"
        );
        assert!(
            history.samples().most_unavailable <= 1,
            "{:?}",
            history.samples()
        );
        assert_eq!(history.samples().most_live_pods_on_a_node, 1);
        assert_eq!(
            history.samples().pods_seen,
            2 * NODES,
            "no pod was replaced twice"
        );
        assert_ne!(leader(bed).await, first);
        eprintln!(
            "failover: {:.1} s from SIGKILL to the standby's first write, with a lease of 4 s",
            took.as_secs_f64()
        );
        bed.add_operator(replica()).await.unwrap();
    });
}

#[test]
fn a_leader_that_was_frozen_past_its_lease_ends_without_another_write() {
    scenario(async {
        let _alone = ALONE.lock().await;
        let bed = bed().await;
        let tasks = bed.namespace("frozen").await.unwrap();
        let old = leader(bed).await;
        signal(bed, old, Signal::STOP);
        poll::until("the other replica to lead", SOON, || async {
            let now = leader_other_than(bed, old).await;
            now.map(|_| ()).ok_or_else(|| "not yet".to_owned())
        })
        .await
        .unwrap();
        tasks.apply(&run_once("install", "setup:v1")).await.unwrap();
        tasks
            .wait("install", "the new leader to work", SOON, |s| {
                s.healthy_nodes >= Some(1)
            })
            .await
            .unwrap();
        signal(bed, old, Signal::CONT);
        poll::until("the old leader to end", SOON, || async {
            let operators = bed.operators.lock().unwrap_or_else(PoisonError::into_inner);
            if operators[old].is_running() {
                Err("it still runs".to_owned())
            } else {
                Ok(())
            }
        })
        .await
        .unwrap();
        tasks
            .wait_ready("install", "True", "AllNodesSucceeded", SOON)
            .await
            .unwrap();
        assert_eq!(
            tasks.jobs("install").await.unwrap().len(),
            NODES,
            "no node ran it twice"
        );
        bed.add_operator(replica()).await.unwrap();
    });
}

/// The replica that leads, asked of all but one (a stopped process does not answer).
async fn leader_other_than(bed: &TestBed, skipped: usize) -> Option<usize> {
    let endpoints: Vec<_> = {
        let operators = bed.operators.lock().unwrap_or_else(PoisonError::into_inner);
        operators
            .iter()
            .map(|operator| (operator.is_running(), operator.endpoint()))
            .collect()
    };
    for (index, (running, endpoint)) in endpoints.into_iter().enumerate() {
        if index != skipped && running && endpoint.leads().await {
            return Some(index);
        }
    }
    None
}

/// Kills the leader after its k-th write, for every k of a rollout and of a run-once task.
#[test]
fn an_operator_killed_after_any_write_leaves_nothing_half_done() {
    scenario(async {
        let _alone = ALONE.lock().await;
        let bed = bed().await;
        let tasks = bed.namespace("killed").await.unwrap();
        let wide = json!({ "spec": { "rollout": { "maxUnavailable": 2 } } });
        tasks
            .apply(&with(daemon("agent", "app:v0"), &wide))
            .await
            .unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        let history = History::start(bed.client(), "killed", "agent", NODES);
        for k in 1..=6 {
            let first = leader(bed).await;
            let before = writes(bed).len();
            tasks
                .change("agent", &image(&format!("app:v{k}")))
                .await
                .unwrap();
            tasks
                .apply(&run_once(&format!("install-{k}"), "setup:v1"))
                .await
                .unwrap();
            poll::until("the k-th write", SOON, || async {
                let done = writes(bed).len() - before;
                if done >= k {
                    Ok(())
                } else {
                    Err(format!("{done} of {k}"))
                }
            })
            .await
            .unwrap();
            signal(bed, first, Signal::KILL);
            bed.add_operator(replica()).await.unwrap();
            tasks
                .wait_ready("agent", "True", "RolloutComplete", SOON)
                .await
                .unwrap();
            tasks
                .wait_ready(&format!("install-{k}"), "True", "AllNodesSucceeded", SOON)
                .await
                .unwrap();
            let jobs = tasks.jobs(&format!("install-{k}")).await.unwrap();
            assert_eq!(
                jobs.len(),
                NODES,
                "killed after write {k}: every node ran it exactly once"
            );
        }
        let seen = history.samples();
        assert!(seen.was_complete, "the witness saw the whole fleet");
        assert!(seen.most_unavailable <= 2, "{seen:?}");
        assert_eq!(seen.most_live_pods_on_a_node, 1);
    });
}

#[test]
fn an_api_server_that_restarts_delays_a_rollout_and_breaks_nothing() {
    scenario(async {
        let _alone = ALONE.lock().await;
        let bed = bed().await;
        let tasks = bed.namespace("restart").await.unwrap();
        tasks.apply(&daemon("agent", "app:v1")).await.unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        tasks.change("agent", &image("app:v2")).await.unwrap();
        tasks
            .wait("agent", "the rollout to be under way", SOON, |s| {
                s.updated_nodes >= Some(1)
            })
            .await
            .unwrap();
        bed.cluster.stop_api_server().await.unwrap();
        bed.cluster.start_api_server().await.unwrap();
        // The replicas may have lost their lease meanwhile and ended, as they should; a Deployment starts them again.
        bed.add_operator(replica()).await.unwrap();
        let status = tasks
            .wait_ready("agent", "True", "RolloutComplete", 2 * SOON)
            .await
            .unwrap();
        assert_eq!(status.updated_nodes, i32::try_from(NODES).ok());
        let pods = tasks.pods("agent").await.unwrap();
        assert_eq!(pods.len(), NODES);
        bed.add_operator(replica()).await.unwrap();
    });
}
