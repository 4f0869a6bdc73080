//! What stays behind: memory for each container and each exec, handles.

use std::time::Duration;

use hosttask_node_runtime::sys;

use crate::figures::slope;
use crate::host::Bench;

/// How many containers run at once.
const CONTAINERS: u32 = 50;

/// How many execs, unless the variable `EXECS` says otherwise.
const EXECS: u32 = 100_000;

/// How many points the slope is taken from.
const POINTS: u32 = 50;

/// What this process has in memory, in bytes.
///
/// On Wine, too: its programs are processes of Linux.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// What the first container takes, and each more.
pub(crate) fn memory(bench: &Bench) {
    let Some(before) = resident() else {
        println!("\nmemory: not measured, this system has no /proc");
        return;
    };
    let run = |index: u32| {
        let container = bench.create(&format!("memory-{index}"), &["hang"]);
        container.start().unwrap();
        container
    };
    let mut running = vec![run(0)];
    let first = resident().unwrap();
    running.extend((1..CONTAINERS).map(run));
    let all = resident().unwrap();
    for container in &running {
        Bench::end(container);
    }
    println!("\nresident memory of this process, which holds the containers");
    println!("nothing yet          {:>10.0} KB", before / 1024.0);
    println!(
        "first container      {:>10.0} KB more",
        (first - before) / 1024.0
    );
    println!(
        "each of {} more      {:>10.1} KB",
        CONTAINERS - 1,
        (all - first) / 1024.0 / f64::from(CONTAINERS - 1)
    );
}

/// Execs without end: some succeed, some fail, some cannot be started, some are killed because they take too long.
pub(crate) fn soak(bench: &Bench) {
    let count = std::env::var("EXECS")
        .ok()
        .and_then(|it| it.parse().ok())
        .unwrap_or(EXECS);
    let container = bench.create("soak", &["hang"]);
    container.start().unwrap();
    let patience = Duration::from_millis(20);
    let mut points = Vec::new();
    let (mut good, mut bad, mut killed) = (0_u32, 0_u32, 0_u32);
    let mut handles = 0;
    for turn in 0..count {
        // The first tenth fills caches and pools.
        if turn == count / 10 {
            handles = sys::live_handles();
        }
        if turn >= count / 10 && turn % (count / POINTS).max(1) == 0 {
            points.extend(resident().map(|bytes| (f64::from(turn), bytes)));
        }
        let steps: &[&str] = match turn % 20 {
            0 => &["hang"],
            1..=4 => &["exit", "3"],
            _ => &["exit", "0"],
        };
        let wait = if turn % 20 == 0 {
            patience
        } else {
            Duration::from_mins(1)
        };
        match bench.exec_for(&container, &format!("s{turn}"), steps, wait) {
            Some(0) => good += 1,
            Some(_) => bad += 1,
            None => killed += 1,
        }
    }
    let more = sys::live_handles() - handles;
    Bench::end(&container);
    println!("\n{count} execs in one container: {good} succeeded, {bad} failed, {killed} killed");
    println!(
        "resident memory grew {:.1} bytes for each exec",
        slope(&points)
    );
    println!("open handles: {more:+} between the first tenth and the end");
}
