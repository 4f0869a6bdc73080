//! What the processes of a shim take, as Linux tells, and what is left of them.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fmt, fs, io, thread};

use hosttask_tests::containerd::{Containerd, Pid, Stray, strays};

/// What processes take together.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cost {
    /// How many they are.
    pub(crate) processes: u64,
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

/// What the shims of a bench take, and their helpers: on Linux one for each job, which Windows has in its kernel.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Costs {
    /// The shims themselves.
    pub(crate) shims: Cost,
    /// What they start beside themselves from their own program; containers are not part of it.
    pub(crate) helpers: Cost,
}

/// Adds up the processes that run a program for the bench of a folder.
pub(crate) fn programs_of(folder: &Path, program: &Path) -> io::Result<Costs> {
    let mut all = Costs::default();
    for stray in running(folder, program) {
        // Only the shim itself is told for which containerd it is.
        let is_shim = stray.command.contains(" -namespace ");
        let sum = if is_shim {
            &mut all.shims
        } else {
            &mut all.helpers
        };
        let one = cost(stray.pid)?;
        sum.processes += 1;
        sum.proportional += one.proportional;
        sum.resident += one.resident;
        sum.threads += one.threads;
        sum.descriptors += one.descriptors;
    }
    Ok(all)
}

/// The processes that run a program.
fn running(folder: &Path, program: &Path) -> Vec<Stray> {
    let program = fs::canonicalize(program).unwrap_or_default();
    let runs = |it: &Stray| fs::read_link(format!("/proc/{}/exe", it.pid));
    let mut found = strays(folder);
    found.retain(|it| runs(it).is_ok_and(|file| file == program));
    found
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

/// How many files there are below a folder; the mark of a namespace stays there and is none.
fn files(folder: &Path) -> io::Result<usize> {
    if !folder.is_dir() {
        return Ok(0);
    }
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name == "namespace") {
            continue;
        }
        // A folder may go while it is looked at.
        count += if path.is_dir() {
            files(&path).unwrap_or(1)
        } else {
            1
        };
    }
    Ok(count)
}
