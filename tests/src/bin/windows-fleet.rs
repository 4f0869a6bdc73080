//! Plays the kubelets of Windows nodes on a cluster until it is told to stop.
#![expect(
    clippy::print_stdout,
    reason = "one line says that the nodes are there"
)]

use std::path::PathBuf;

use clap::Parser;
use hosttask_tests::fleet::{Fleet, FleetOptions, Script, Taints};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Plays the kubelets of simulated Windows nodes. Stops on Ctrl-C and SIGTERM; the Node objects stay.
#[derive(Debug, Parser)]
struct Arguments {
    /// How to reach the cluster. Default: KUBECONFIG or ~/.kube/config.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// How many nodes.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=5000))]
    nodes: u32,
    /// Decides everything that varies.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A behaviour script; its format is in tests/docs/fleet.md.
    #[arg(long)]
    script: Option<PathBuf>,
    /// How many zones the nodes are spread over.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    zones: u32,
    /// What node names begin with.
    #[arg(long, default_value = "win")]
    prefix: String,
    /// The taints of the node pools.
    #[arg(long, value_enum, default_value_t = Taints::Mixed)]
    taints: Taints,
    /// How much faster than real the kubelet's own delays go (back-off, probes).
    #[arg(long, default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// How many requests about pods are under way at the same time at most.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    writers: u32,
    /// Seconds between two renewals of a node's lease. Default: 10, more for large fleets.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86400))]
    lease_seconds: Option<u64>,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.01..=10_000.0).contains(&speed) {
        Ok(speed)
    } else {
        Err("give a number between 0.01 and 10000".to_owned())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let script = match &arguments.script {
        Some(path) => Script::parse(&std::fs::read_to_string(path)?)?,
        None => Script::default(),
    };
    let config = match &arguments.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        None => Config::infer().await?,
    };
    let options = FleetOptions {
        nodes: usize::try_from(arguments.nodes)?,
        prefix: arguments.prefix,
        seed: arguments.seed,
        zones: usize::try_from(arguments.zones)?,
        taints: arguments.taints,
        speed: arguments.speed,
        script,
        writers: usize::try_from(arguments.writers)?,
        lease_interval: arguments.lease_seconds.map(std::time::Duration::from_secs),
        ..FleetOptions::default()
    };
    let mut terminated = signal(SignalKind::terminate())?;
    let fleet = Fleet::start(Client::try_from(config)?, options).await?;
    println!("{} Windows nodes are registered", fleet.nodes().len());
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    drop(fleet);
    Ok(())
}
