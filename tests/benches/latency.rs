//! From the write of a task to the first write of its children, beside the DaemonSet controller's from DaemonSet to pod.
//!
//! Both are taken from the API server's audit log of the same run, on a fleet of 1,000 nodes, alternating.
//! `cargo bench -p hosttask-tests --bench latency -- [--nodes 1000] [--changes 200]`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use hosttask_tests::bed::{BedOptions, OperatorOptions, Tasks, TestBed, daemon, image, with};
use hosttask_tests::cluster::{AuditEvent, AuditReader};
use hosttask_tests::fleet::FleetOptions;
use hosttask_tests::poll;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(10);
const OPERATOR: &str = "system:serviceaccount:hosttask-system:hosttask-operator";
const DAEMON_SET_CONTROLLER: &str = "system:serviceaccount:kube-system:daemon-set-controller";

/// What is measured.
#[derive(Debug, Parser)]
struct Options {
    /// How many nodes.
    #[arg(long, default_value_t = 1000)]
    nodes: usize,
    /// How many changes of each kind.
    #[arg(long, default_value_t = 200)]
    changes: usize,
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

/// A plain HostProcess DaemonSet as people write it by hand, on one node.
fn plain(version: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "plain" },
        "spec": {
            "selector": { "matchLabels": { "app": "plain" } },
            "template": {
                "metadata": { "labels": { "app": "plain" } },
                "spec": {
                    "nodeSelector": { "kubernetes.io/os": "windows" }, "hostNetwork": true, "os": { "name": "windows" },
                    "tolerations": [{ "operator": "Exists" }],
                    "securityContext": { "windowsOptions": { "hostProcess": true, "runAsUserName": "NT AUTHORITY\\SYSTEM" } },
                    "containers": [{ "name": "main", "image": format!("app:v{version}") }],
                },
            },
        },
    })
}

/// Waits for the first matching request in the log after `since`.
async fn first(
    reader: &mut AuditReader,
    what: &str,
    is_it: impl Fn(&AuditEvent) -> bool,
) -> Result<Timestamp, Box<dyn Error>> {
    let reader = std::sync::Mutex::new(reader);
    let found = poll::until(what, Duration::from_mins(1), || async {
        let events = reader
            .lock()
            .map_err(|error| error.to_string())?
            .read()
            .map_err(|error| error.to_string())?;
        events
            .iter()
            .filter(|e| is_it(e))
            .map(|e| e.time)
            .min()
            .ok_or_else(|| format!("{} other requests", events.len()))
    })
    .await?;
    Ok(found)
}

fn millis(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1000.0
}

fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(index).copied().unwrap_or(f64::NAN)
}

async fn ours(
    tasks: &Tasks,
    reader: &mut AuditReader,
    version: usize,
) -> Result<f64, Box<dyn Error>> {
    tasks
        .wait_ready("agent", "True", "RolloutComplete", LIMIT)
        .await?;
    reader.skip_to_end()?;
    let sent = Timestamp::now();
    tasks
        .change("agent", &image(&format!("app:v{version}")))
        .await?;
    let child = first(reader, "the operator's first write", |e| {
        e.user == OPERATOR
            && e.time >= sent
            && e.is_write()
            && matches!(e.resource.as_str(), "daemonsets" | "controllerrevisions")
    })
    .await?;
    Ok(millis(sent, child))
}

async fn theirs(
    api: &Api<DaemonSet>,
    reader: &mut AuditReader,
    version: usize,
) -> Result<f64, Box<dyn Error>> {
    poll::until("the plain DaemonSet to be up to date", LIMIT, || async {
        let found = api.get("plain").await.map_err(|error| error.to_string())?;
        let status = found.status.unwrap_or_default();
        let done = status.observed_generation == found.metadata.generation
            && status.updated_number_scheduled == Some(status.desired_number_scheduled)
            && status.number_available == Some(status.desired_number_scheduled);
        if done {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await?;
    reader.skip_to_end()?;
    let sent = Timestamp::now();
    api.patch(
        "plain",
        &PatchParams::default(),
        &Patch::Merge(plain(version)),
    )
    .await?;
    let child = first(reader, "the DaemonSet controller's first pod write", |e| {
        e.user == DAEMON_SET_CONTROLLER && e.time >= sent && e.is_write() && e.resource == "pods"
    })
    .await?;
    Ok(millis(sent, child))
}

async fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    let fleet = FleetOptions {
        nodes: options.nodes,
        ..FleetOptions::default()
    };
    let bed = TestBed::start(BedOptions {
        fleet,
        operators: vec![OperatorOptions::default()],
        ..BedOptions::default()
    })
    .await?;
    let tasks = bed.namespace("latency").await?;
    // Both run on one node of the fleet: the change is quick to complete, the fleet is there to be looked through.
    let node = bed.fleet.nodes().first().cloned().ok_or("no nodes")?;
    let here = json!({ "matchLabels": { "kubernetes.io/hostname": node } });
    tasks
        .apply(&with(
            daemon("agent", "app:v0"),
            &json!({ "spec": { "placement": { "nodeSelector": here } } }),
        ))
        .await?;
    let api = Api::<DaemonSet>::namespaced(bed.client(), "latency");
    let mut first_plain = plain(0);
    if let Some(selector) = first_plain.pointer_mut("/spec/template/spec/nodeSelector") {
        *selector = json!({ "kubernetes.io/hostname": node });
    }
    api.create(
        &PostParams::default(),
        &serde_json::from_value(first_plain)?,
    )
    .await?;
    let mut reader = bed.cluster.audit_reader();
    let (mut mine, mut plain) = (Vec::new(), Vec::new());
    for version in 1..=options.changes {
        mine.push(ours(&tasks, &mut reader, version).await?);
        plain.push(theirs(&api, &mut reader, version).await?);
    }
    let (p50, p99) = (percentile(&mut mine, 50), percentile(&mut mine, 99));
    let (q50, q99) = (percentile(&mut plain, 50), percentile(&mut plain, 99));
    println!(
        "{} changes on a fleet of {} nodes, milliseconds",
        options.changes, options.nodes
    );
    println!("operator, task write to first child write:           p50 {p50:.1}  p99 {p99:.1}");
    println!(
        "DaemonSet controller, DaemonSet write to first pod write: p50 {q50:.1}  p99 {q99:.1}"
    );
    println!("ratio: p50 {:.2}, p99 {:.2}", p50 / q50, p99 / q99);
    println!(
        "gate p99 <= 250 ms: {}",
        if p99 <= 250.0 { "met" } else { "MISSED" }
    );
    Ok(())
}
