//! What happened in a job and was not read yet.
//!
//! Windows starts a host for each console, in the job of the program that uses it. It is no program of the container, so nobody
//! is told of it. Wine knows which program a process runs only some time after its birth: so a process that was just born is
//! held by a handle until somebody asks, or until it ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use windows_sys::Win32::System::Threading::{
    PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE,
};

use super::deadline::Deadline;
use super::handle::Handle;
use super::process::{open, times, wait};
use super::process_list::{BIRTH, is_console_host, is_past};
use crate::sys::Notice;

/// How long the reader of notices waits until it is known what a process is that was just born. One that is taken for a program
/// is told of: rather wait for a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many notices wait for a slow reader.
const MOST: usize = 1024;

/// The notices of one job.
#[derive(Debug, Default)]
pub(super) struct Notices {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Notice>,
    /// Processes of which is not known yet whether they are hosts of consoles.
    unknown: BTreeMap<u32, Arc<Handle>>,
    /// Processes that we started: they are none.
    programs: BTreeSet<u32>,
    /// Hosts and launchers whose end was not told yet, and when each was started, where that is known. By number and start, not by
    /// a handle: one whose end is never told would keep it open.
    hosts: BTreeMap<u32, Option<u64>>,
    /// Hosts and launchers that were seen to have ended, whose end was not told yet. The system does not tell every end.
    ended: BTreeSet<u32>,
    /// How many hosts there were.
    hosts_ever: u32,
    /// Launchers of which the system has not told yet that they were started.
    launchers: BTreeSet<u32>,
    /// How many launches are under way: the number of a launcher is not known yet.
    launches: u32,
    /// Whether a launcher was started since the job was empty.
    had_launcher: bool,
    /// How many others were.
    others: u64,
}

impl Notices {
    /// Adds one. Where too many wait, the oldest goes that nobody will miss.
    pub(super) fn push(&self, notice: Notice) {
        let mut state = self.lock();
        match notice {
            Notice::Started { pid } if state.launchers.remove(&pid) => return,
            Notice::Started { pid } => state.start(pid),
            Notice::Ended { pid, .. } => {
                state.settle(pid);
                state.programs.remove(&pid);
                let was_host = state.hosts.remove(&pid).is_some();
                if state.ended.remove(&pid) || was_host {
                    return;
                }
            }
            // Not every end is reported; with this one all are over.
            Notice::Empty => {
                let unknown: Vec<u32> = state.unknown.keys().copied().collect();
                for pid in unknown {
                    state.settle(pid);
                }
                state.hosts.clear();
                state.ended.clear();
                state.programs.clear();
                let (had_launcher, others) = (
                    mem::take(&mut state.had_launcher),
                    mem::take(&mut state.others),
                );
                // The program could not be started for which a launcher was here.
                if had_launcher && others == 0 {
                    return;
                }
            }
            Notice::MemoryLimit { .. } | Notice::ProcessLimit => {}
        }
        if state.waiting.len() >= MOST {
            make_room(&mut state.waiting);
        }
        state.waiting.push_back(notice);
        self.arrived.notify_all();
    }

    /// The oldest; none when nothing comes for `timeout`. Lets go of processes that have ended.
    pub(super) fn next(&self, timeout: Duration) -> Option<Notice> {
        let deadline = Deadline::after(timeout);
        let mut state = self.lock();
        state.let_go();
        loop {
            while let Some(notice) = state.pop() {
                let Notice::Started { pid } = notice else {
                    return Some(notice);
                };
                let Some(process) = state.unknown.get(&pid).cloned() else {
                    return Some(notice);
                };
                // To find out may take a moment, in which others may arrive.
                drop(state);
                let is_host = is_console_host(&process, PATIENCE);
                state = self.lock();
                if state.is_told(pid, &process, is_host) {
                    return Some(notice);
                }
            }
            if deadline.is_over() {
                return None;
            }
            let patience = deadline.left(Duration::from_mins(1));
            let woken = self.arrived.wait_timeout(state, patience);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until one arrives, and at most `timeout`; takes none.
    pub(super) fn wait_for_any(&self, timeout: Duration) {
        drop(self.arrived.wait_timeout(self.lock(), timeout));
    }

    /// That we started this process ourselves. One that has ended is not noted: its end may have been told before, and its
    /// number may be given to a host.
    pub(super) fn is_program(&self, pid: u32, process: &Handle) {
        let mut state = self.lock();
        state.unknown.remove(&pid);
        state.hosts.remove(&pid);
        state.ended.remove(&pid);
        if !has_ended(process) {
            state.programs.insert(pid);
        }
    }

    /// That a launcher is about to be started. As long as this is held, nobody is told of a process that may be it.
    pub(super) fn launch(&self) -> Launch<'_> {
        self.lock().launches += 1;
        Launch(self)
    }

    /// That this process is a launcher of ours. It is no program of the container, and nobody is told of it.
    pub(super) fn is_launcher(&self, pid: u32, process: &Handle) {
        let mut state = self.lock();
        state.note_host(pid, Some(process));
        state.had_launcher = true;
        let started = Notice::Started { pid };
        let told = state.waiting.iter().rposition(|notice| *notice == started);
        let Some(told) = told else {
            state.launchers.insert(pid);
            return;
        };
        state.waiting.remove(told);
        state.unknown.remove(&pid);
        state.others = state.others.saturating_sub(1);
    }

    /// Whether a process that runs is the host of a console.
    pub(super) fn is_host(&self, pid: u32, process: &Handle) -> bool {
        let state = self.lock();
        let is_program = state.programs.contains(&pid);
        let noted = state.hosts.get(&pid).copied().flatten();
        drop(state);
        // The number of one whose end was not told may be another's now.
        let is_noted = noted.is_some() && started(process) == noted;
        is_noted || !is_program && is_console_host(process, BIRTH)
    }

    /// How many hosts there were that are known to be some and do not run any more.
    pub(super) fn hosts_ended(&self) -> u32 {
        let mut state = self.lock();
        state.let_go();
        state.note_ended_hosts();
        let running = u32::try_from(state.hosts.len()).unwrap_or(u32::MAX);
        state.hosts_ever.saturating_sub(running)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A launch that is under way.
#[derive(Debug)]
pub(super) struct Launch<'a>(&'a Notices);

impl Drop for Launch<'_> {
    fn drop(&mut self) {
        self.0.lock().launches -= 1;
        self.0.arrived.notify_all();
    }
}

impl State {
    /// The oldest notice; none while it may be of a launcher.
    fn pop(&mut self) -> Option<Notice> {
        if let Notice::Started { pid } = self.waiting.front()?
            && self.launches > 0
            && !self.programs.contains(pid)
        {
            return None;
        }
        self.waiting.pop_front()
    }

    /// Notes that a process was born.
    fn start(&mut self, pid: u32) {
        self.others += 1;
        // The number of one whose end was not told was given again.
        self.hosts.remove(&pid);
        self.ended.remove(&pid);
        if !self.programs.contains(&pid) {
            self.watch(pid);
        }
    }

    /// Holds a process that was just born. One that is gone already is taken for a program.
    fn watch(&mut self, pid: u32) {
        if let Some(process) = hold(pid) {
            self.unknown.insert(pid, process);
        }
    }

    /// Finds out what a process is that has ended: nothing has to be waited for then.
    fn settle(&mut self, pid: u32) {
        let process = self.unknown.remove(&pid);
        if let Some(process) = process.filter(|it| is_console_host(it, Duration::ZERO)) {
            self.note_host(pid, Some(&process));
            let started = Notice::Started { pid };
            self.waiting.retain(|notice| *notice != started);
        }
    }

    /// Holds no process any more that has ended. Its end is told a moment later, or never.
    fn let_go(&mut self) {
        let ended = self.unknown.iter().filter(|(_, it)| has_ended(it));
        let ended: Vec<u32> = ended.map(|(pid, _)| *pid).collect();
        for pid in ended {
            self.settle(pid);
        }
    }

    /// Notes which hosts have ended whose end was not told.
    fn note_ended_hosts(&mut self) {
        let Self { hosts, ended, .. } = self;
        hosts.retain(|pid, noted| {
            let is_over = match find(*pid) {
                Ok(None) => true,
                Ok(Some(found)) => {
                    has_ended(&found) || noted.is_some() && started(&found) != *noted
                }
                // Nothing can be said of it.
                Err(_) => false,
            };
            if is_over {
                ended.insert(*pid);
            }
            !is_over
        });
    }

    /// Notes what a process is that was asked about, and says whether its start is to be told. What it is may be known
    /// meanwhile: its end was told, or it is a program that we started.
    fn is_told(&mut self, pid: u32, process: &Arc<Handle>, is_host: bool) -> bool {
        let known = self.unknown.get(&pid);
        if !known.is_some_and(|known| Arc::ptr_eq(known, process)) {
            return !is_host || self.programs.contains(&pid);
        }
        self.unknown.remove(&pid);
        if is_host {
            self.note_host(pid, Some(process));
        }
        !is_host
    }

    fn note_host(&mut self, pid: u32, process: Option<&Handle>) {
        self.hosts.insert(pid, process.and_then(started));
        self.hosts_ever += 1;
    }
}

/// A handle of a process that was just born; none where it is gone already.
fn hold(pid: u32) -> Option<Arc<Handle>> {
    find(pid).ok().flatten().map(Arc::new)
}

fn find(pid: u32) -> io::Result<Option<Handle>> {
    open(pid, PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE)
}

/// When a process was started. Wine says that a moment after it says which program it is, and until then whatever was in the memory:
/// what is in the future is none.
fn started(process: &Handle) -> Option<u64> {
    let created = times(process).ok()?.created;
    is_past(created, Timestamp::now()).then_some(created)
}

fn has_ended(process: &Handle) -> bool {
    matches!(wait(process, Duration::ZERO), Ok(Some(_)))
}

/// Removes the oldest that is no limit; where all are limits, the oldest whose kind comes again.
fn make_room(waiting: &mut VecDeque<Notice>) {
    let ordinary = waiting.iter().position(|notice| !is_limit(*notice));
    let oldest = ordinary.or_else(|| {
        let kinds: Vec<_> = waiting.iter().map(mem::discriminant).collect();
        let mut later = kinds.iter().enumerate();
        later.position(|(at, kind)| kinds.iter().skip(at + 1).any(|it| it == kind))
    });
    if let Some(oldest) = oldest {
        waiting.remove(oldest);
    }
}

/// Whether a reader must never lose it.
fn is_limit(notice: Notice) -> bool {
    match notice {
        Notice::MemoryLimit { .. } | Notice::ProcessLimit => true,
        Notice::Started { .. } | Notice::Ended { .. } | Notice::Empty => false,
    }
}

#[cfg(test)]
mod tests;
