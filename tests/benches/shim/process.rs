//! What the processes of a shim take, as Linux tells, and what is left of them.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fmt, fs, io, thread};

use hosttask_tests::containerd::{Containerd, Pid, strays};

/// What a shim takes, with the helpers it starts beside itself; its containers are not part of it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cost {
    processes: u64,
    /// KiB, where memory shared with others counts in part.
    proportional: u64,
    /// KiB.
    resident: u64,
    threads: u64,
    /// How many descriptors are open.
    pub(crate) descriptors: u64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |kib: u64| format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024);
        let (proportional, resident) = (mb(self.proportional), mb(self.resident));
        let (processes, threads) = (self.processes, self.threads);
        write!(
            f,
            "{processes:>9}  {proportional:>6}  {resident:>7}  {threads:>8}"
        )
    }
}

/// Adds up the processes that run a program for the bench of a folder.
pub(crate) fn programs_of(folder: &Path, program: &Path) -> io::Result<Cost> {
    let mut all = Cost::default();
    for pid in running(folder, program) {
        let one = cost(pid)?;
        all.processes += 1;
        all.proportional += one.proportional;
        all.resident += one.resident;
        all.threads += one.threads;
        all.descriptors += one.descriptors;
    }
    Ok(all)
}

/// The processes that run a program, but not those that `start` and `delete` are about to end.
fn running(folder: &Path, program: &Path) -> Vec<Pid> {
    let program = fs::canonicalize(program).unwrap_or_default();
    let found = strays(folder).into_iter().map(|it| it.pid);
    found
        .filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|it| it == program))
        .collect()
}

fn cost(pid: Pid) -> io::Result<Cost> {
    let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    Ok(Cost {
        processes: 1,
        proportional: number(&memory, "Pss:"),
        resident: number(&memory, "Rss:"),
        threads: number(&status, "Threads:"),
        descriptors: u64::try_from(descriptors).unwrap_or(u64::MAX),
    })
}

/// The number after a title at the start of a line.
fn number(text: &str, title: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(title));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// What is left of a shim's containers, once nothing ends any more: its processes, folders, sockets and records.
pub(crate) fn left(containerd: &Containerd, shim: &Path) -> io::Result<String> {
    let deadline = Instant::now() + Duration::from_mins(1);
    let tasks = containerd.bundle("bench", "x");
    let tasks = tasks.parent().unwrap_or(&tasks).to_owned();
    loop {
        let shims = running(containerd.folder(), shim).len();
        let bundles = files(&tasks)?;
        let sockets = files(&containerd.sockets())?;
        let records = files(&containerd.records())?;
        if shims + bundles + sockets + records == 0 || Instant::now() > deadline {
            return Ok(format!(
                "{shims} shims, {bundles} files of bundles, {sockets} sockets, {records} files of records"
            ));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// How many files there are below a folder.
fn files(folder: &Path) -> io::Result<usize> {
    if !folder.is_dir() {
        return Ok(0);
    }
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // A folder may go while it is looked at.
        count += if path.is_dir() {
            files(&path).unwrap_or(1)
        } else {
            1
        };
    }
    Ok(count)
}
