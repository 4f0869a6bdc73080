//! What a container costs on a real Windows node under Wine: from kubelet's `StartContainer` to the first line of its program,
//! beside a process that this program starts itself, and how many pods a minute go through kubelet.
//!
//! `cargo build --release --target x86_64-pc-windows-gnu -p hosttask-node-runtime --bins &&
//! cargo bench -p hosttask-tests --bench windows_node -- [--starts 100] [--pods 100] [--at-once 10]`
//!
//! All moments are of one clock, that of containerd: it writes them into its log when it is called, and before each line of a
//! container when it reads it. Under Wine this clock moves every 16 ms, so single figures are rough and means are not.
#![expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a figure of a step that failed is none"
)]

#[path = "../suites/windows_node/bench.rs"]
#[expect(dead_code, reason = "a bench needs only a part of the suite's means")]
mod bench;

use std::path::PathBuf;

use bench::{Bench, bench_of, codes, containers, probe, scenario};
use clap::Parser;
use futures::StreamExt as _;
use hosttask_tests::windows_node::WindowsNodeOptions;
use jiff::Timestamp;
use kube::api::LogParams;
use serde_json::json;
use tokio::time::Instant;

/// What is measured, and how often.
#[derive(Debug, Parser)]
struct Options {
    /// How many containers are started, one after the other.
    #[arg(long, default_value_t = 100)]
    starts: usize,
    /// How many pods live from their creation to their removal; none where it is 0.
    #[arg(long, default_value_t = 100)]
    pods: usize,
    /// How many of these pods are there at any time.
    #[arg(long, default_value_t = 10)]
    at_once: usize,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    scenario(async {
        let bench = bench_of(WindowsNodeOptions {
            programs: programs(),
            ..WindowsNodeOptions::default()
        })
        .await;
        starts(bench, options.starts).await;
        if options.pods > 0 {
            pods(bench, options.pods, options.at_once.max(1)).await;
        }
    });
}

/// Our programs for Windows that were built as this one was; none where there are no such.
fn programs() -> Option<PathBuf> {
    let own = std::env::current_exe().unwrap();
    let profile = own.ancestors().nth(2)?;
    let target = profile.parent()?.join("x86_64-pc-windows-gnu");
    let folder = target.join(profile.file_name()?);
    folder.is_dir().then_some(folder)
}

/// What one start took, in milliseconds.
struct Start {
    /// From the call to its answer.
    call: f64,
    /// From the call to the first line of the program.
    first_line: f64,
    /// From the line before a process starts another to the first line of that one.
    bare: f64,
}

async fn starts(bench: &Bench, count: usize) {
    let mut all = Vec::new();
    for number in 0..count {
        all.push(start(bench, &format!("start-{number}")).await);
    }
    println!("milliseconds, {count} starts              mean    p50    p90    max");
    let column = |what: fn(&Start) -> f64| all.iter().map(what).collect::<Vec<f64>>();
    row("StartContainer to its answer", column(|it| it.call));
    row(
        "StartContainer to the first line",
        column(|it| it.first_line),
    );
    row("CreateProcess to the first line", column(|it| it.bare));
    let sum = |what: fn(&Start) -> f64| all.iter().map(what).sum::<f64>();
    let ratio = sum(|it| it.first_line) / sum(|it| it.bare);
    println!("StartContainer is {ratio:.2} times the bare process, by the means");
}

fn row(name: &str, mut figures: Vec<f64>) {
    figures.sort_by(f64::total_cmp);
    let mean = figures.iter().sum::<f64>() / figures.len().max(1) as f64;
    let at = |percent: usize| {
        let rank = (figures.len() * percent).div_ceil(100).max(1);
        figures.get(rank - 1).copied().unwrap_or_default()
    };
    let (median, high, most) = (at(50), at(90), at(100));
    println!("{name:<36} {mean:>6.1} {median:>6.1} {high:>6.1} {most:>6.1}");
}

/// Starts one container and looks at what the node says of it.
async fn start(bench: &Bench, name: &str) -> Start {
    let main = probe("main", &["print", "first", "child", "print", "bare", ";"]);
    bench.create(name, &json!({ "containers": [main] })).await;
    let status = bench.ended(name).await;
    assert_eq!(codes(&status), [0], "{status}");
    let container = &containers(&status)[0];
    let id = container["containerID"].as_str().unwrap();
    let id = id.strip_prefix("containerd://").unwrap();
    let options = LogParams {
        timestamps: true,
        ..LogParams::default()
    };
    let lines = bench.pods().logs(name, &options).await.unwrap();
    let log = bench.node.log("containerd");
    bench.delete(name).await;
    let called = said(&log, &format!(r#"StartContainer for \"{id}\"""#));
    let answered = said(
        &log,
        &format!(r#"StartContainer for \"{id}\" returns successfully"#),
    );
    let [first, bare] = ["first", "bare"].map(|line| printed(&lines, line));
    Start {
        call: milliseconds(called, answered),
        first_line: milliseconds(called, first),
        bare: milliseconds(first, bare),
    }
}

fn milliseconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1000.0
}

/// When containerd said something, by its log.
fn said(log: &str, what: &str) -> Timestamp {
    let line = log.lines().find(|line| line.contains(what));
    let line = line.unwrap_or_else(|| panic!("{what} is not in the log of containerd"));
    let time = line.strip_prefix("time=\"").unwrap();
    time.split('"').next().unwrap().parse().unwrap()
}

/// When containerd read a line of a container.
fn printed(lines: &str, text: &str) -> Timestamp {
    let mut lines = lines.lines().filter_map(|line| line.split_once(' '));
    let line = lines.find(|(_, line)| line.trim_end() == text);
    let (time, _) = line.unwrap_or_else(|| panic!("{text} is not in the log of the container"));
    time.parse().unwrap()
}

/// Pods that are created, run a program to its end and are deleted, so many of them side by side.
async fn pods(bench: &Bench, count: usize, at_once: usize) {
    let begin = Instant::now();
    let lives = (0..count).map(|number| life(bench, format!("life-{number}")));
    let ends: Vec<f64> = futures::stream::iter(lives)
        .buffer_unordered(at_once)
        .collect()
        .await;
    let minutes = begin.elapsed().as_secs_f64() / 60.0;
    let rate = count as f64 / minutes;
    println!("{count} pods, {at_once} at once: {rate:.1} a minute, from creation to removal");
    println!("seconds                              mean    p50    p90    max");
    row("from creation to the end of a pod", ends);
}

/// A whole life; returns how many seconds passed until its end was in its status.
async fn life(bench: &Bench, name: String) -> f64 {
    let main = probe("main", &["exit", "0"]);
    let begin = Instant::now();
    bench.create(&name, &json!({ "containers": [main] })).await;
    let status = bench.ended(&name).await;
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(codes(&status), [0], "{status}");
    bench.delete(&name).await;
    seconds
}
