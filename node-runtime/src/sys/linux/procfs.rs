//! What `/proc` says of processes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::sys::{ProcessId, ProcessInfo};

/// The first argument of a holder, which is no member of any job.
pub(super) const HOLDER: &str = "hosttask-holder";
/// How often the threads of a process are listed at most: one that starts and ends them without a pause must not hold us up.
const LOOKS: usize = 100;

/// A process at one moment.
#[derive(Debug, Clone)]
pub(super) struct Stat {
    pub(super) id: ProcessId,
    pub(super) parent: u32,
    pub(super) name: String,
    /// Whether it ended, and waits for its parent to notice.
    pub(super) has_ended: bool,
    /// How many threads it has.
    threads: usize,
    /// Its time in user mode and in the kernel, in ticks.
    pub(super) own: [u64; 2],
    /// The same of its children that ended.
    pub(super) children: [u64; 2],
}

impl Stat {
    /// Reads it; none where the process is gone.
    pub(super) fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may contain anything, also brackets and spaces.
        let (head, tail) = text.rsplit_once(") ")?;
        let (_, name) = head.split_once('(')?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            id: ProcessId {
                pid,
                started: number(19)?,
            },
            parent: u32::try_from(number(1)?).ok()?,
            name: name.to_owned(),
            has_ended: matches!(fields.first(), Some(&("Z" | "X"))),
            threads: usize::try_from(number(17)?).ok()?,
            own: [number(11)?, number(12)?],
            children: [number(13)?, number(14)?],
        })
    }

    /// Whether it is the holder of a job.
    pub(super) fn is_holder(&self) -> bool {
        let line = fs::read(format!("/proc/{}/cmdline", self.id.pid)).unwrap_or_default();
        line.split(|byte| *byte == 0).next() == Some(HOLDER.as_bytes())
    }

    /// All that is known of it.
    pub(super) fn info(&self) -> ProcessInfo {
        let [user, kernel] = self.own.map(nanoseconds);
        let [_, resident, shared, _, _, data, _] = self.pages();
        ProcessInfo {
            pid: self.id.pid,
            parent: self.parent,
            name: self.name.clone(),
            created: boot_time() + Duration::from_nanos(nanoseconds(self.id.started)),
            user_nanoseconds: user,
            kernel_nanoseconds: kernel,
            commit_bytes: data,
            private_working_set_bytes: resident.saturating_sub(shared),
            shared_working_set_bytes: shared,
        }
    }

    /// The numbers of `statm`, in bytes.
    fn pages(&self) -> [u64; 7] {
        let text = fs::read_to_string(format!("/proc/{}/statm", self.id.pid));
        let text = text.unwrap_or_default();
        let mut numbers = text
            .split_whitespace()
            .map(|it| it.parse().unwrap_or_default());
        [(); 7].map(|()| numbers.next().unwrap_or(0_u64) * page_size() as u64)
    }

    /// Sends it a signal; not to another that was given its number meanwhile.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match open(self.id)? {
            Some(process) => Ok(pidfd_send_signal(process, signal)?),
            None => Ok(()),
        }
    }
}

/// A descriptor of a process of this identity; none where it is gone.
pub(super) fn open(id: ProcessId) -> io::Result<Option<rustix::fd::OwnedFd>> {
    let number = i32::try_from(id.pid).ok().and_then(Pid::from_raw);
    let number = number.ok_or(io::ErrorKind::InvalidInput)?;
    match pidfd_open(number, PidfdFlags::empty()) {
        // Only now its number cannot be given to another unnoticed.
        Ok(process) => Ok(Stat::read(id.pid).filter(|it| it.id == id).map(|_| process)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// All below a process, those that ended and were not noticed left out.
pub(super) fn descendants(pid: u32) -> Vec<Stat> {
    let mut found = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        let children = children(parent).into_iter().filter_map(Stat::read);
        for child in children.filter(|it| !it.has_ended) {
            parents.push(child.id.pid);
            found.push(child);
        }
    }
    found
}

/// The children that the threads of a process have started.
///
/// Twice the kernel leaves out some of them. Its list of threads begins with the oldest and breaks off where one ends meanwhile,
/// so those that follow are missing, with their children. And the children of a thread that ends move to another one, which may
/// have been read already. So all that was ever seen is kept, until a look saw as many threads as there were before it, and
/// nothing new.
fn children(pid: u32) -> BTreeSet<u32> {
    let mut seen = BTreeSet::new();
    for look in 0..LOOKS {
        let before = Stat::read(pid).map_or(0, |process| process.threads);
        let threads = fs::read_dir(format!("/proc/{pid}/task"));
        let threads = threads.into_iter().flatten().filter_map(Result::ok);
        let read = threads.filter_map(|it| fs::read_to_string(it.path().join("children")).ok());
        let lists: Vec<String> = read.collect();
        let numbers = lists.iter().flat_map(|list| list.split_whitespace());
        let known = seen.len();
        seen.extend(numbers.filter_map(|it| it.parse::<u32>().ok()));
        if look > 0 && lists.len() >= before && seen.len() == known {
            break;
        }
    }
    seen
}

/// Ticks in nanoseconds.
pub(super) fn nanoseconds(ticks: u64) -> u64 {
    ticks * (1_000_000_000 / clock_ticks_per_second().max(1))
}

/// When the system was started.
fn boot_time() -> Timestamp {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let seconds = text
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.parse().ok());
    seconds
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::sync::{Barrier, mpsc};
    use std::thread;

    use super::*;

    /// A process that runs until it is killed.
    fn sleeper() -> Child {
        let mut command = Command::new("sleep");
        command.arg("600").stdin(Stdio::null()).spawn().unwrap()
    }

    /// Lists what is below this process so many times. Returns how often a child was not among it.
    fn missed(child: &Child, looks: usize) -> usize {
        let is_missing = |_: &usize| {
            let all = descendants(std::process::id());
            all.iter().all(|it| it.id.pid != child.id())
        };
        (0..looks).filter(is_missing).count()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// So many threads end that are listed before the one that has the child.
    fn missed_while_threads_end(ending: usize) -> usize {
        let gate = Barrier::new(ending + 1);
        thread::scope(|scope| {
            for _ in 0..ending {
                scope.spawn(|| gate.wait());
            }
            let parent = || {
                let child = sleeper();
                gate.wait();
                let missed = missed(&child, 20);
                end(child);
                missed
            };
            scope.spawn(parent).join().unwrap()
        })
    }

    #[test]
    fn no_child_is_overlooked_while_threads_of_its_parent_end() {
        let missed: usize = (0..200).map(|_| missed_while_threads_end(16)).sum();
        assert_eq!(missed, 0);
    }

    #[test]
    fn no_child_is_overlooked_while_the_thread_ends_that_has_started_it() {
        let round = || {
            let gate = Barrier::new(2);
            let (sender, receiver) = mpsc::channel();
            thread::scope(|scope| {
                scope.spawn(|| {
                    sender.send(sleeper()).unwrap();
                    gate.wait();
                });
                let child = receiver.recv().unwrap();
                gate.wait();
                let missed = missed(&child, 20);
                end(child);
                missed
            })
        };
        let missed: usize = (0..200).map(|_| round()).sum();
        assert_eq!(missed, 0);
    }
}
