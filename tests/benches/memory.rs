//! Resident memory of the operator with 10,000 and 50,000 tracked pods, beside a plain typed reflector of the same pods.
//!
//! Both read the same HTTP server, which replays LIST and WATCH of a large fleet. The operator is the shipped binary,
//! as a standby replica: its watches are complete and it plans nothing.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts and sizes here are far below 2^52"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints its figures"
)]

mod replay;

use std::error::Error;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::StreamExt as _;
use hosttask_tests::bed::{OperatorOptions, OperatorProcess};
use hosttask_tests::poll;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client};

/// The two fleets that are compared.
const SMALL: usize = 10_000;
const LARGE: usize = 50_000;
/// How long a process may take to read the large fleet on a slow machine.
const LIMIT: Duration = Duration::from_mins(5);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    if let (Some("--reflector"), Some(server), Some(expected)) =
        (args.next().as_deref(), args.next(), args.next())
    {
        return runtime.block_on(reflect(&server, expected.parse()?));
    }
    runtime.block_on(compare())
}

async fn compare() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    println!("pods      operator RSS (peak)      typed reflector RSS (peak)");
    let mut rows = Vec::new();
    for pods in [SMALL, LARGE] {
        let server = replay::serve(pods).await?;
        let ours = operator(&server, folder.path(), pods).await?;
        let theirs = reflector_process(&server, pods)?;
        println!(
            "{pods:>6}    {:>7.1} MB ({:.1})       {:>7.1} MB ({:.1})",
            mb(ours.0),
            mb(ours.1),
            mb(theirs.0),
            mb(theirs.1)
        );
        rows.push((ours, theirs));
    }
    let [small, large] = rows.as_slice() else {
        return Err("two fleets were measured".into());
    };
    let slope =
        |low: u64, high: u64| high.saturating_sub(low) as f64 * 1024.0 / (LARGE - SMALL) as f64;
    let (ours, theirs) = (slope(small.0.0, large.0.0), slope(small.1.0, large.1.0));
    println!(
        "per tracked pod: operator {ours:.0} B, typed reflector {theirs:.0} B, ratio 1:{:.0}",
        theirs / ours.max(1.0)
    );
    let gates = [
        ("bytes per pod <= 500", ours <= 500.0),
        ("10,000 pods <= 40 MB", mb(small.0.0) <= 40.0),
        ("50,000 pods <= 60 MB", mb(large.0.0) <= 60.0),
    ];
    for (name, holds) in gates {
        println!("gate {name}: {}", if holds { "met" } else { "MISSED" });
    }
    Ok(())
}

fn mb(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

/// The resident memory of the operator and its peak, once it tracks every pod.
async fn operator(
    server: &replay::Server,
    folder: &Path,
    pods: usize,
) -> Result<(u64, u64), Box<dyn Error>> {
    let kubeconfig = server.kubeconfig(folder)?;
    let operator = OperatorProcess::start_with(&kubeconfig, folder, OperatorOptions::default())?;
    operator.ready().await?;
    poll::until("every pod to be tracked", LIMIT, || async {
        let metrics = operator
            .endpoint()
            .metrics()
            .await
            .map_err(|error| error.to_string())?;
        let tracked: f64 = metrics
            .iter()
            .filter(|(name, _)| {
                name.starts_with("hosttask_tracked_objects") && name.contains("Pod")
            })
            .map(|(_, value)| value)
            .sum();
        if tracked >= pods as f64 {
            Ok(())
        } else {
            Err(format!("{tracked} pods"))
        }
    })
    .await?;
    settle().await;
    Ok(operator.memory()?)
}

/// Lets a process give back what it used for the list.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

/// Runs this program again as a plain reflector and reads its memory.
fn reflector_process(server: &replay::Server, pods: usize) -> Result<(u64, u64), Box<dyn Error>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--reflector", &server.url, &pods.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut text = String::new();
    child
        .stdout
        .take()
        .ok_or("no output")?
        .read_to_string(&mut text)?;
    if !child.wait()?.success() {
        return Err("the reflector failed".into());
    }
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(now)), Some(Ok(peak))) => Ok((now, peak)),
        _ => Err(format!("the reflector printed {text:?}").into()),
    }
}

/// What a controller gets from the library without further thought: a store of typed pods.
async fn reflect(server: &str, expected: usize) -> Result<(), Box<dyn Error>> {
    let client = Client::try_from(kube::Config::new(server.parse()?))?;
    let (store, writer) = reflector::store();
    let config = watcher::Config::default().labels("app.kubernetes.io/managed-by=hosttask");
    let stream = reflector(writer, watcher(Api::<Pod>::all(client), config)).applied_objects();
    let watch = tokio::spawn(stream.for_each(|_| std::future::ready(())));
    poll::until("every pod to be in the store", LIMIT, || async {
        let found = store.state().len();
        if found >= expected {
            Ok(())
        } else {
            Err(format!("{found} pods"))
        }
    })
    .await?;
    settle().await;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    println!(
        "{} {}",
        field("VmRSS:").unwrap_or(0),
        field("VmHWM:").unwrap_or(0)
    );
    watch.abort();
    if watch.await.is_err_and(|error| error.is_panic()) {
        eprintln!("the reflector's watch panicked");
    }
    Ok(())
}
