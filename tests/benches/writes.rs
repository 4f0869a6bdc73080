//! Writes per node from the API server's audit log: a Daemon rollout, a run-once task, and the steady state.
//!
//! `cargo bench -p hosttask-tests --bench writes -- [--nodes 200] [--steady-seconds 600]`
#![expect(
    clippy::cast_precision_loss,
    reason = "counts and sizes here are far below 2^52"
)]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use clap::Parser;
use hosttask_tests::bed::{
    BedOptions, OperatorOptions, Tasks, TestBed, daemon, image, run_once, with,
};
use hosttask_tests::cluster::{AuditEvent, AuditReader};
use hosttask_tests::fleet::FleetOptions;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(10);
const OPERATOR: &str = "system:serviceaccount:hosttask-system:hosttask-operator";
const DAEMON_SET_CONTROLLER: &str = "system:serviceaccount:kube-system:daemon-set-controller";

/// What is measured.
#[derive(Debug, Parser)]
struct Options {
    /// How many nodes.
    #[arg(long, default_value_t = 200)]
    nodes: u16,
    /// How long the steady state is watched.
    #[arg(long, default_value_t = 600)]
    steady_seconds: u64,
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

/// Writes of one user by verb and resource, without events and leases.
fn writes(events: &[AuditEvent], user: &str) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for event in events
        .iter()
        .filter(|e| e.user == user && e.is_write() && !e.is_event_or_lease())
    {
        let part = if event.subresource.is_empty() {
            String::new()
        } else {
            format!("/{}", event.subresource)
        };
        *all.entry(format!("{} {}{part}", event.verb, event.resource))
            .or_default() += 1;
    }
    all
}

fn show(what: &str, writes: &BTreeMap<String, usize>, nodes: u16) -> f64 {
    let total: usize = writes.values().sum();
    let each: Vec<String> = writes
        .iter()
        .map(|(what, count)| format!("{what} {count}"))
        .collect();
    let per_node = total as f64 / f64::from(nodes);
    println!(
        "  {what}: {total} writes = {per_node:.3} per node ({})",
        each.join(", ")
    );
    per_node
}

fn gate(what: &str, value: f64, limit: f64) {
    println!(
        "gate {what}: {value:.3} <= {limit}: {}",
        if value <= limit { "met" } else { "MISSED" }
    );
}

async fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    let fleet = FleetOptions {
        nodes: options.nodes.into(),
        ..FleetOptions::default()
    };
    let bed = TestBed::start(BedOptions {
        fleet,
        operators: vec![OperatorOptions::default()],
        ..BedOptions::default()
    })
    .await?;
    let tasks = bed.namespace("writes").await?;
    let mut reader = bed.cluster.audit_reader();
    rollout(options, &tasks, &mut reader).await?;
    run_once_task(options, &tasks, &mut reader).await?;
    steady(options, &mut reader).await
}

/// At most a tenth of the nodes at once.
fn narrow(task: Value) -> Value {
    with(
        task,
        &json!({ "spec": { "rollout": { "maxUnavailable": "10%" } } }),
    )
}

async fn rollout(
    options: &Options,
    tasks: &Tasks,
    reader: &mut AuditReader,
) -> Result<(), Box<dyn Error>> {
    tasks.apply(&narrow(daemon("agent", "app:v1"))).await?;
    tasks
        .wait_ready("agent", "True", "RolloutComplete", LIMIT)
        .await?;
    settle(reader).await?;
    let first = tasks.status("agent").await?.stable_revision;
    tasks.change("agent", &image("app:v2")).await?;
    tasks
        .wait("agent", "the rollout", LIMIT, |s| {
            s.stable_revision != first && s.stable_revision == s.update_revision
        })
        .await?;
    let events = settle(reader).await?;
    println!(
        "Daemon rollout, {} nodes, maxUnavailable 10%",
        options.nodes
    );
    let ours = show("operator", &writes(&events, OPERATOR), options.nodes);
    let all = writes(&events, DAEMON_SET_CONTROLLER);
    let theirs = show("DaemonSet controller", &all, options.nodes);
    let status: usize = all
        .iter()
        .filter(|(what, _)| what.contains("/status"))
        .map(|(_, n)| n)
        .sum();
    let status = status as f64 / f64::from(options.nodes);
    gate("operator + DaemonSet controller", ours + theirs, 2.05);
    println!(
        "     without the DaemonSet controller's own status updates: {:.3}",
        ours + theirs - status
    );
    Ok(())
}

async fn run_once_task(
    options: &Options,
    tasks: &Tasks,
    reader: &mut AuditReader,
) -> Result<(), Box<dyn Error>> {
    tasks
        .apply(&narrow(run_once("install", "setup:v1")))
        .await?;
    tasks
        .wait_ready("install", "True", "AllNodesSucceeded", LIMIT)
        .await?;
    let events = settle(reader).await?;
    println!(
        "Run-once task, {} nodes, the first on these nodes",
        options.nodes
    );
    let all = writes(&events, OPERATOR);
    let ledger: usize = all
        .iter()
        .filter(|(what, _)| what.contains("windowshostnodes"))
        .map(|(_, n)| n)
        .sum();
    let total = show("operator", &all, options.nodes);
    let ledger = ledger as f64 / f64::from(options.nodes);
    gate("operator without the ledger", total - ledger, 1.05);
    println!(
        "     ledger writes per node: {ledger:.3} (the first result on a node also creates its ledger object)"
    );
    Ok(())
}

async fn steady(options: &Options, reader: &mut AuditReader) -> Result<(), Box<dyn Error>> {
    println!("Steady state, {} s", options.steady_seconds);
    tokio::time::sleep(Duration::from_secs(options.steady_seconds)).await;
    let events = settle(reader).await?;
    let mine = |verb: &str| {
        events
            .iter()
            .filter(|e| e.user == OPERATOR && !e.is_event_or_lease() && e.verb == verb)
            .count()
    };
    gate(
        "writes",
        show("operator", &writes(&events, OPERATOR), 1),
        0.0,
    );
    gate("lists", mine("list") as f64, 0.0);
    println!(
        "     gets {}, watches opened {}",
        mine("get"),
        mine("watch")
    );
    Ok(())
}

/// Waits until nothing is written any more and takes what happened since the last call.
async fn settle(reader: &mut AuditReader) -> Result<Vec<AuditEvent>, Box<dyn Error>> {
    let mut all = Vec::new();
    let mut quiet = 0;
    while quiet < 5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let new = reader.read()?;
        let busy = new.iter().any(|e| {
            (e.user == OPERATOR || e.user == DAEMON_SET_CONTROLLER)
                && e.is_write()
                && !e.is_event_or_lease()
        });
        quiet = if busy { 0 } else { quiet + 1 };
        all.extend(new);
    }
    Ok(all)
}
