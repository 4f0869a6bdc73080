//! The same bad updates, and the same dead nodes, under a plain DaemonSet with `RollingUpdate` and under Hosttask: same fleet,
//! same `maxUnavailable`, same run.
//!
//! `cargo bench -p hosttask-tests --bench rollout -- [--nodes 200] [--only-dead-nodes]`
#![expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use hosttask_crds::label;
use hosttask_tests::bed::{
    BedOptions, History, OperatorOptions, RING, Tasks, TestBed, daemon, image, wave, with,
};
use hosttask_tests::cluster::ClusterOptions;
use hosttask_tests::fleet::{Behaviour, FleetOptions, Glob, Rule};
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// The longest that a single wait may take.
const LIMIT: Duration = Duration::from_mins(5);
/// How long nothing may happen until a rollout counts as stopped.
const REST: Duration = Duration::from_secs(20);
/// After how long without a further node a good update counts as stuck.
const STUCK: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(200);
const NAMESPACE: &str = "rollout";

/// What is measured.
#[derive(Debug, Parser)]
struct Options {
    /// How many nodes.
    #[arg(long, default_value_t = 200)]
    nodes: usize,
    /// Leave the bad updates out and measure only with dead nodes.
    #[arg(long)]
    only_dead_nodes: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(measure(&options))
}

/// What a bad update came to.
#[derive(Debug)]
struct Stop {
    /// Nodes without a ready pod once nothing happens any more.
    broken: usize,
    /// From the change to the last pod that was made.
    seconds: f64,
}

/// One of the two, on all nodes of the fleet.
struct Side<'a> {
    name: &'static str,
    nodes: usize,
    tasks: &'a Tasks,
    sets: Api<DaemonSet>,
    history: History,
}

impl Side<'_> {
    fn ready(&self) -> usize {
        self.history.samples().ready_nodes.len()
    }

    /// Gives it another image, and other fields of its rollout where those are given.
    async fn change(&self, tag: &str, patch: &Value) -> Result<(), Box<dyn Error>> {
        if self.name == "plain" {
            let change = with(plain(tag), patch);
            let params = PatchParams::default();
            self.sets
                .patch("plain", &params, &Patch::Merge(change))
                .await?;
        } else {
            self.tasks
                .change(self.name, &with(image(tag), patch))
                .await?;
        }
        Ok(())
    }

    /// Changes it and waits until no pod comes or goes any more.
    async fn bad(&self, tag: &str) -> Result<Stop, Box<dyn Error>> {
        let begin = Instant::now();
        self.change(tag, &json!({})).await?;
        let picture = || {
            let samples = self.history.samples();
            (samples.pods_seen, samples.ready_nodes)
        };
        let (mut last, mut since) = (picture(), begin);
        while since.elapsed() < REST && begin.elapsed() < LIMIT {
            sleep(POLL).await;
            let now = picture();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(Stop {
            broken: self.nodes - self.ready(),
            seconds: (since - begin).as_secs_f64(),
        })
    }

    /// How many nodes have the newest content, and a ready pod of it.
    async fn done(&self) -> Result<i32, Box<dyn Error>> {
        let (updated, well, is_of_now) = if self.name == "plain" {
            let set = self.sets.get("plain").await?;
            let status = set.status.unwrap_or_default();
            let is_of_now = status.observed_generation == set.metadata.generation;
            (
                status.updated_number_scheduled,
                status.number_available,
                is_of_now,
            )
        } else {
            let task = self.tasks.api().get(self.name).await?;
            let status = task.status.unwrap_or_default();
            let is_of_now = status.observed_generation == task.metadata.generation;
            (status.updated_nodes, status.healthy_nodes, is_of_now)
        };
        let done = updated.unwrap_or(0).min(well.unwrap_or(0));
        Ok(if is_of_now { done } else { 0 })
    }

    /// Gives it good content and waits until `nodes` nodes have it, or no further node gets it any more.
    async fn good(&self, tag: &str, patch: &Value, nodes: usize) -> Result<End, Box<dyn Error>> {
        let begin = Instant::now();
        self.change(tag, patch).await?;
        let nodes = i32::try_from(nodes)?;
        let (mut most, mut since) = (0, begin);
        while since.elapsed() < STUCK {
            let done = self.done().await?;
            if done >= nodes {
                return Ok(End::After(begin.elapsed().as_secs_f64()));
            }
            if done > most {
                (most, since) = (done, Instant::now());
            }
            sleep(POLL).await;
        }
        Ok(End::Stuck(most))
    }
}

/// How a good update ended.
#[derive(Clone, Copy, Debug)]
enum End {
    /// After so many seconds every node that can be reached had it.
    After(f64),
    /// It got no further than so many nodes.
    Stuck(i32),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::After(seconds) => write!(f, "{seconds:.1} s"),
            Self::Stuck(nodes) => write!(f, "never: it stays at {nodes} nodes"),
        }
    }
}

/// A HostProcess DaemonSet as people write it by hand. The label lets the bench watch its pods as it watches a task's.
fn plain(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "plain" },
        "spec": {
            "selector": { "matchLabels": { "app": "plain" } },
            "minReadySeconds": 1,
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "10%" } },
            "template": {
                "metadata": { "labels": { "app": "plain", label::TASK: "plain" } },
                "spec": {
                    "nodeSelector": { "kubernetes.io/os": "windows" }, "hostNetwork": true, "os": { "name": "windows" },
                    "tolerations": [{ "operator": "Exists" }],
                    "securityContext": { "windowsOptions": { "hostProcess": true, "runAsUserName": "NT AUTHORITY\\SYSTEM" } },
                    "containers": [{ "name": "main", "image": image }],
                },
            },
        },
    })
}

/// A task with the same budget. `grace`: after how many seconds a pod that is not ready has failed.
fn task(name: &str, rollout: &Value) -> Value {
    let base = json!({ "spec": {
        "rollout": { "maxUnavailable": "10%", "unreachableNodes": { "afterSeconds": 5 } },
        "health": { "startGraceSeconds": 20 },
    } });
    with(
        with(daemon(name, "app:v1"), &base),
        &json!({ "spec": { "rollout": rollout } }),
    )
}

async fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    let canaries = (options.nodes / 20).max(1);
    let fleet = FleetOptions {
        nodes: options.nodes,
        labels: (1..=canaries)
            .map(|n| {
                (
                    Glob::new(format!("win-{n:04}")),
                    RING.to_owned(),
                    "canary".to_owned(),
                )
            })
            .collect(),
        ..FleetOptions::default()
    };
    let operators = vec![OperatorOptions::default()];
    let bed = TestBed::start(BedOptions {
        // Three renewals of the fleet's leases; the default is meant for suites in which no node dies.
        cluster: ClusterOptions {
            node_monitor_grace: Duration::from_secs(40),
            ..ClusterOptions::default()
        },
        fleet,
        operators,
    })
    .await?;
    let never_ready = Rule {
        image: Some(Glob::new("app:bad*")),
        behaviour: Behaviour {
            never_ready: true,
            ..Behaviour::default()
        },
        ..Rule::default()
    };
    bed.fleet.set_behaviour(never_ready).await?;
    let tasks = bed.namespace(NAMESPACE).await?;
    let side = |name| Side {
        name,
        nodes: options.nodes,
        tasks: &tasks,
        sets: Api::namespaced(bed.client(), NAMESPACE),
        history: History::start(bed.client(), NAMESPACE, name, options.nodes),
    };
    let (plain_side, ours, careful) = (side("plain"), side("ours"), side("careful"));
    plain_side
        .sets
        .create(
            &PostParams::default(),
            &serde_json::from_value(plain("app:v1"))?,
        )
        .await?;
    tasks.apply(&task("ours", &json!({}))).await?;
    let careful_task = json!({
        "waves": [wave("canary", &json!({ "soakSeconds": 1 }))],
        "failurePolicy": { "maxFailedNodes": 1, "action": "Rollback" },
    });
    tasks.apply(&task("careful", &careful_task)).await?;
    for side in [&plain_side, &ours, &careful] {
        while side.done().await? < i32::try_from(options.nodes)? {
            sleep(POLL).await;
        }
    }
    let sides = [&plain_side, &ours, &careful];
    println!(
        "{} nodes, maxUnavailable 10%; careful: a canary wave of {canaries} nodes and a failure policy of Rollback",
        options.nodes
    );
    if !options.only_dead_nodes {
        bad_updates(&sides).await?;
    }
    dead_nodes(&bed, &sides).await
}

/// Three updates in a row that are never ready, each once the one before has stopped.
async fn bad_updates(sides: &[&Side<'_>]) -> Result<(), Box<dyn Error>> {
    println!(
        "bad updates (never ready)      broken after each   serving at the end   seconds until it stopped"
    );
    let mut broken = Vec::new();
    for side in sides {
        let mut stops = Vec::new();
        for number in 1..=3 {
            stops.push(side.bad(&format!("app:bad{number}")).await?);
        }
        let after: Vec<String> = stops.iter().map(|stop| stop.broken.to_string()).collect();
        let seconds: Vec<String> = stops
            .iter()
            .map(|stop| format!("{:.1}", stop.seconds))
            .collect();
        println!(
            "  {:<28} {:<19} {:<20} {}",
            side.name,
            after.join(", "),
            side.ready(),
            seconds.join(", ")
        );
        broken.push(stops.last().map_or(0, |stop| stop.broken));
    }
    if let [plain, ours, careful] = broken.as_slice() {
        let ratio = |of: usize| of as f64 / (*plain).max(1) as f64;
        println!(
            "  broken at the end, against plain: ours {:.2}, careful {:.2}",
            ratio(*ours),
            ratio(*careful)
        );
    }
    for side in sides {
        let healed = side.good("app:v2", &json!({}), side.nodes).await?;
        println!("  {:<28} whole again: {}", side.name, healed);
    }
    Ok(())
}

/// 3 % of the nodes die; then a good update, with a budget above and one below the number of dead nodes.
async fn dead_nodes(bed: &TestBed, sides: &[&Side<'_>]) -> Result<(), Box<dyn Error>> {
    let all = bed.fleet.nodes();
    let dead = (all.len() * 3).div_ceil(100);
    let victims: Vec<String> = all.iter().rev().take(dead).cloned().collect();
    for node in &victims {
        bed.fleet.kill_node(node).await?;
    }
    for node in &victims {
        bed.wait_node(node, "Unknown", LIMIT).await?;
    }
    // Longer than unreachableNodes.afterSeconds.
    sleep(Duration::from_secs(10)).await;
    println!("{dead} nodes dead, good update: until all others have it");
    for (tag, budget) in [("app:v3", "10%"), ("app:v4", "2%")] {
        let mut times = Vec::new();
        for side in sides.iter().filter(|side| side.name != "careful") {
            let patch = if side.name == "plain" {
                json!({ "spec": { "updateStrategy": { "rollingUpdate": { "maxUnavailable": budget } } } })
            } else {
                json!({ "spec": { "rollout": { "maxUnavailable": budget } } })
            };
            let time = side.good(tag, &patch, side.nodes - dead).await?;
            println!("  {:<12} maxUnavailable {budget:<4} {}", side.name, time);
            times.push(time);
        }
        if let [End::After(plain), End::After(ours)] = times.as_slice() {
            println!("  ratio: {:.2}", ours / plain);
        }
    }
    Ok(())
}
