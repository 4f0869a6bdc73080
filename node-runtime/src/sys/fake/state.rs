//! What the fake host knows: one state behind one lock, with one condition that is told of every change.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::faults::Faults;
use super::process::{FakeProcess, Reaction};
use super::wire::Served;
use crate::limits::Limits;
use crate::sys::{Means, Notice, ProcessId};

/// A program.
pub(super) type Program = Arc<dyn Fn(&FakeProcess) -> u32 + Send + Sync>;

/// How many notices that may be lost are kept for a reader.
const KEPT_NOTICES: usize = 1024;

/// The state and its condition.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Told of every change.
    pub(super) changed: Condvar,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// The state. A test that panicked while it held the lock is no reason for another panic.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` finds something; none after `timeout`, and never where that is none.
    pub(super) fn wait<T>(
        &self,
        timeout: Option<Duration>,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&mut state) {
                return Some(found);
            }
            let left = deadline.map(|it| it.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return None;
            }
            let left = left.unwrap_or(Duration::from_hours(1));
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends a process as it wishes itself: one that is suspended does so when it is resumed. No code is wished by one that was ended.
    pub(super) fn end_itself(&self, id: ProcessId, code: Option<u32>) {
        let _ = self.wait(None, |state| {
            let runs = state.runs(id);
            if runs && state.is_suspended(id.pid) {
                return None;
            }
            if let Some(code) = code.filter(|_| runs) {
                state.end(id.pid, code);
            }
            Some(())
        });
        self.changed.notify_all();
    }
}

/// All there is on the host.
pub(super) struct State {
    pub(super) now: Timestamp,
    pub(super) boots: u32,
    next: u32,
    pub(super) jobs: BTreeMap<u32, JobState>,
    pub(super) processes: BTreeMap<u32, ProcessState>,
    pub(super) programs: BTreeMap<String, Program>,
    pub(super) faults: Faults,
    pub(super) served: BTreeMap<String, Served>,
    /// How many references there are to the temporary account of each owner.
    pub(super) accounts: BTreeMap<String, u32>,
    pub(super) attached: BTreeMap<PathBuf, (Means, PathBuf)>,
    pub(super) protected: Vec<PathBuf>,
    pub(super) shared: Vec<(PathBuf, bool)>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            now: Timestamp::UNIX_EPOCH + Duration::from_hours(500_000),
            boots: 1,
            next: 0,
            jobs: BTreeMap::new(),
            processes: BTreeMap::new(),
            programs: BTreeMap::new(),
            faults: Faults::default(),
            served: BTreeMap::new(),
            accounts: BTreeMap::new(),
            attached: BTreeMap::new(),
            protected: Vec::new(),
            shared: Vec::new(),
        }
    }
}

/// A job.
#[derive(Debug, Default)]
pub(super) struct JobState {
    pub(super) name: String,
    pub(super) outer: Option<u32>,
    pub(super) handles: u32,
    pub(super) limits: Limits,
    pub(super) is_suspended: bool,
    pub(super) total: u32,
    pub(super) user_nanoseconds: u64,
    pub(super) peak_bytes: u64,
    pub(super) notices: VecDeque<Notice>,
    /// What only those in it see, by where it appears, and whether it is read-only.
    pub(super) bound: BTreeMap<PathBuf, (PathBuf, bool)>,
}

/// A process, also one that ended as long as its number was not given to another.
#[derive(Debug)]
pub(super) struct ProcessState {
    pub(super) id: ProcessId,
    pub(super) parent: u32,
    pub(super) name: String,
    pub(super) job: Option<u32>,
    pub(super) created: Timestamp,
    pub(super) is_suspended: bool,
    pub(super) exit: Option<u32>,
    pub(super) reaction: Reaction,
    pub(super) is_interrupted: bool,
    pub(super) user_nanoseconds: u64,
    pub(super) commit_bytes: u64,
    /// How many handles there are: they keep its number.
    pub(super) handles: u32,
    /// Its ends of the streams: closed when it ends, whatever its thread does.
    pub(super) streams: [Option<Arc<File>>; 3],
}

impl State {
    /// A number that nothing has, a multiple of 4 as on Windows.
    pub(super) fn next_number(&mut self) -> u32 {
        self.next += 1;
        self.next * 4
    }

    /// The processes that run.
    pub(super) fn running(&self) -> Vec<u32> {
        let processes = self.processes.iter();
        let running = processes.filter(|(_, process)| process.exit.is_none());
        running.map(|(pid, _)| *pid).collect()
    }

    /// Whether a process of this identity runs.
    pub(super) fn runs(&self, id: ProcessId) -> bool {
        self.process(id).is_some_and(|it| it.exit.is_none())
    }

    /// The process of an identity.
    pub(super) fn process(&self, id: ProcessId) -> Option<&ProcessState> {
        self.processes.get(&id.pid).filter(|it| it.id == id)
    }

    /// A job and all that it is in, innermost first.
    pub(super) fn chain(&self, job: Option<u32>) -> Vec<u32> {
        let outer = |job: &u32| self.jobs.get(job).and_then(|it| it.outer);
        std::iter::successors(job, outer).collect()
    }

    /// The processes that run in a job or in a job in it.
    pub(super) fn members(&self, job: u32) -> Vec<u32> {
        let is_member = |pid: &u32| {
            let process = self.processes.get(pid);
            process.is_some_and(|it| self.chain(it.job).contains(&job))
        };
        self.running().into_iter().filter(is_member).collect()
    }

    /// Whether it is stopped, by itself or with a job.
    pub(super) fn is_suspended(&self, pid: u32) -> bool {
        self.processes.get(&pid).is_some_and(|process| {
            let mut chain = self.chain(process.job).into_iter();
            process.is_suspended
                || chain.any(|job| self.jobs.get(&job).is_some_and(|it| it.is_suspended))
        })
    }

    /// What the processes of a job have committed.
    pub(super) fn commit(&self, job: u32) -> u64 {
        let members = self.members(job);
        let members = members.iter().filter_map(|pid| self.processes.get(pid));
        members.map(|process| process.commit_bytes).sum()
    }

    /// Tells a job and those it is in.
    pub(super) fn tell(&mut self, job: Option<u32>, notice: Notice) {
        for job in self.chain(job) {
            if let Some(job) = self.jobs.get_mut(&job) {
                job.notices.push_back(notice);
                if job.notices.len() > KEPT_NOTICES {
                    let lost = job.notices.iter().position(|it| !is_limit(it));
                    let _ = lost.and_then(|index| job.notices.remove(index));
                }
            }
        }
    }

    /// Ends a process. Whoever calls it tells the condition.
    pub(super) fn end(&mut self, pid: u32, code: u32) {
        let Some(process) = self.processes.get_mut(&pid) else {
            return;
        };
        if process.exit.is_some() {
            return;
        }
        process.exit = Some(code);
        process.streams = [None, None, None];
        process.commit_bytes = 0;
        let (job, spent) = (process.job, process.user_nanoseconds);
        // Exit codes of exceptions begin with the two bits of an error.
        let abnormal = code >> 30 == 3;
        self.tell(job, Notice::Ended { pid, abnormal });
        for job in self.chain(job) {
            let is_empty = self.members(job).is_empty();
            if let Some(job) = self.jobs.get_mut(&job) {
                job.user_nanoseconds += spent;
                if is_empty {
                    job.notices.push_back(Notice::Empty);
                }
            }
        }
    }

    /// Gives the number of an ended process to another.
    pub(super) fn reuse(&mut self, pid: u32) -> io::Result<()> {
        let started = u64::from(self.next_number());
        let now = self.now;
        let process = self.processes.get_mut(&pid);
        let process = process.ok_or(io::ErrorKind::NotFound)?;
        if process.exit.is_none() || process.handles > 0 {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        process.id.started = started;
        process.exit = None;
        process.job = None;
        "another".clone_into(&mut process.name);
        process.created = now;
        Ok(())
    }
}

/// Whether it is a notice that is never lost.
fn is_limit(notice: &Notice) -> bool {
    matches!(notice, Notice::MemoryLimit { .. } | Notice::ProcessLimit)
}
