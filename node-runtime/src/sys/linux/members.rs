//! What the holder of a job knows of it, and does with all of its processes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rustix::process::Signal;

use super::procfs::{self, Stat, nanoseconds};
use crate::sys::{Notice, ProcessId, Usage};

/// How many notices are kept.
const KEPT_NOTICES: usize = 1024;

/// What is known of a job.
#[derive(Default)]
pub(super) struct State {
    pub(super) handles: usize,
    pub(super) is_closed: bool,
    pub(super) watchers: usize,
    /// The processes that it started, until their exit codes were taken.
    pub(super) started: BTreeMap<u32, Option<u32>>,
    /// The exit codes of those that were terminated: a signal cannot carry one.
    pub(super) codes: BTreeMap<u32, u32>,
    pub(super) census: Census,
    /// Those that wait for their own resuming.
    pub(super) waiting: BTreeSet<u32>,
    pub(super) is_suspended: bool,
    /// The jobs in it, by the numbers of their holders.
    pub(super) nested: BTreeMap<u32, String>,
    pub(super) notices: VecDeque<Notice>,
}

impl State {
    /// The processes in it.
    pub(super) fn members(&mut self) -> Vec<Stat> {
        let mut all = procfs::descendants(std::process::id());
        all.retain(|process| !process.is_holder());
        let now = all.iter().map(|process| process.id).collect();
        self.census.look(now, |id| {
            Stat::read(id.pid).is_some_and(|process| process.id == id)
        });
        all
    }

    /// Keeps a notice for whoever reads it; the oldest are lost.
    pub(super) fn tell(&mut self, notice: Notice) {
        self.notices.push_back(notice);
        if self.notices.len() > KEPT_NOTICES {
            self.notices.pop_front();
        }
    }

    /// Asks all to end. Returns the numbers of those that could not be asked.
    pub(super) fn interrupt(&mut self) -> Vec<u32> {
        let members = self.members();
        let failed = members.iter().filter(|it| it.signal(Signal::TERM).is_err());
        failed.map(|it| it.id.pid).collect()
    }

    /// Lets one go on that waits for that, or all that do not.
    pub(super) fn resume(&mut self, only: Option<ProcessId>) {
        match only {
            Some(id) => drop(self.waiting.remove(&id.pid)),
            None => self.is_suspended = false,
        }
        if self.is_suspended {
            return;
        }
        for process in self.members() {
            if !self.waiting.contains(&process.id.pid) {
                let _ = process.signal(Signal::CONT);
            }
        }
    }

    /// What it used: what its processes use, and what those used that ended.
    pub(super) fn usage(&mut self) -> Usage {
        let members = self.members();
        let holders = procfs::descendants(std::process::id());
        let own = members.iter().map(|it| it.own);
        let ended = holders.iter().map(|it| it.children);
        let this = Stat::read(std::process::id()).map(|it| it.children);
        let sum = own.chain(ended).chain(this);
        let [user, kernel] = sum.fold([0, 0], |[a, b], [c, d]| [a + c, b + d]);
        let private = members.iter().map(|it| it.info().private_working_set_bytes);
        Usage {
            user_nanoseconds: nanoseconds(user),
            kernel_nanoseconds: nanoseconds(kernel),
            active_processes: u32::try_from(members.len()).unwrap_or(u32::MAX),
            total_processes: self.census.total(),
            private_working_set_bytes: Some(private.sum()),
            ..Usage::default()
        }
    }
}

/// Counts processes, and remembers only those that may be seen again.
#[derive(Debug, Default)]
pub(super) struct Census {
    here: BTreeSet<ProcessId>,
    gone: u32,
}

impl Census {
    /// Counts one that was just started.
    pub(super) fn add(&mut self, id: ProcessId) {
        self.here.insert(id);
    }

    /// Counts those that are seen `now`, each once. One that is not seen may still be there: a list of processes misses one
    /// whose parent ends meanwhile. Only those that `is_there` knows nothing of are forgotten, as they cannot come again.
    fn look(&mut self, now: BTreeSet<ProcessId>, is_there: impl Fn(ProcessId) -> bool) {
        let before = self.here.len();
        self.here.retain(|id| now.contains(id) || is_there(*id));
        let forgotten = u32::try_from(before - self.here.len()).unwrap_or(u32::MAX);
        self.gone = self.gone.saturating_add(forgotten);
        self.here.extend(now);
    }

    /// How many there ever were.
    fn total(&self) -> u32 {
        let here = u32::try_from(self.here.len()).unwrap_or(u32::MAX);
        self.gone.saturating_add(here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(pid: u32, started: u64) -> ProcessId {
        ProcessId { pid, started }
    }

    #[test]
    fn who_is_gone_is_counted_and_not_remembered() {
        let mut census = Census::default();
        for started in 0..10_000 {
            census.add(id(7, started));
            census.look(BTreeSet::new(), |_| false);
        }
        assert_eq!(census.total(), 10_000);
        assert_eq!(census.here.len(), 0);
    }

    #[test]
    fn who_is_missed_by_one_look_is_not_counted_again_by_the_next() {
        let mut census = Census::default();
        let both = BTreeSet::from([id(7, 1), id(8, 1)]);
        census.look(both.clone(), |_| false);
        census.look(BTreeSet::from([id(7, 1)]), |missed| missed == id(8, 1));
        census.look(both, |_| false);
        assert_eq!(census.total(), 2);
        census.look(BTreeSet::from([id(8, 2)]), |_| false);
        assert_eq!((census.total(), census.here.len()), (3, 1));
    }
}
