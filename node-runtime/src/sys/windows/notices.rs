//! What happened in a job and was not read yet.
//!
//! Windows starts a host for each console, in the job of the program that uses it. It is no program of the container, so nobody
//! is told of it. Wine knows which program a process runs only some time after its birth: so a process that was just born is
//! held by a handle until somebody asks, or until it ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use windows_sys::Win32::System::Threading::{
    PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE,
};

use super::deadline::Deadline;
use super::handle::Handle;
use super::process::{open, wait};
use super::process_list::is_console_host;
use crate::sys::Notice;

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
    unknown: BTreeMap<u32, Handle>,
    /// Processes that we started: they are none.
    programs: BTreeSet<u32>,
    /// Hosts and launchers whose end was not told yet.
    hosts: BTreeMap<u32, Option<Handle>>,
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
                if state.hosts.remove(&pid).is_some() {
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

    /// The oldest; none when nothing comes for `timeout`.
    pub(super) fn next(&self, timeout: Duration) -> Option<Notice> {
        let deadline = Deadline::after(timeout);
        let mut state = self.lock();
        loop {
            while let Some(notice) = state.pop() {
                let Notice::Started { pid } = notice else {
                    return Some(notice);
                };
                let Some(process) = state.unknown.remove(&pid) else {
                    return Some(notice);
                };
                // To find out may take a moment, in which others may arrive.
                drop(state);
                let is_host = is_console_host(&process);
                state = self.lock();
                if !is_host {
                    return Some(notice);
                }
                state.note_host(pid, Some(process));
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
    pub(super) fn is_launcher(&self, pid: u32) {
        let mut state = self.lock();
        state.note_host(pid, hold(pid));
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
        let (is_program, is_host) = (
            state.programs.contains(&pid),
            state.hosts.contains_key(&pid),
        );
        drop(state);
        is_host || !is_program && is_console_host(process)
    }

    /// How many hosts there were that are known to be some and do not run any more.
    pub(super) fn hosts_ended(&self) -> u32 {
        let mut state = self.lock();
        // The system may tell of an end a moment later.
        let ended: Vec<u32> = state
            .unknown
            .iter()
            .filter(|(_, process)| has_ended(process))
            .map(|(pid, _)| *pid)
            .collect();
        for pid in ended {
            state.settle(pid);
        }
        let running = state
            .hosts
            .values()
            .filter(|process| !process.as_ref().is_some_and(has_ended));
        let running = u32::try_from(running.count()).unwrap_or(u32::MAX);
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
        if process.as_ref().is_some_and(is_console_host) {
            self.note_host(pid, process);
            let started = Notice::Started { pid };
            self.waiting.retain(|notice| *notice != started);
        }
    }

    fn note_host(&mut self, pid: u32, process: Option<Handle>) {
        self.hosts.insert(pid, process);
        self.hosts_ever += 1;
    }
}

/// A handle of a process that was just born; none where it is gone already.
fn hold(pid: u32) -> Option<Handle> {
    let rights = PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE;
    open(pid, rights).ok().flatten()
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
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_loses_the_oldest_but_no_kind_of_limit() {
        let notices = Notices::default();
        notices.push(Notice::ProcessLimit);
        let ended = |pid| Notice::Ended {
            pid,
            abnormal: false,
        };
        for pid in 0..3000 {
            notices.push(ended(pid));
        }
        assert_eq!(notices.lock().waiting.len(), MOST);
        assert_eq!(notices.next(Duration::ZERO), Some(Notice::ProcessLimit));
        let oldest = 3000 - u32::try_from(MOST).unwrap() + 1;
        assert_eq!(notices.next(Duration::ZERO), Some(ended(oldest)));
    }

    #[test]
    fn a_flood_of_limits_does_not_drown_the_other_limit() {
        let notices = Notices::default();
        notices.push(Notice::ProcessLimit);
        for pid in 0..3000 {
            notices.push(Notice::MemoryLimit { pid: Some(pid) });
        }
        assert_eq!(notices.lock().waiting.len(), MOST);
        assert_eq!(notices.next(Duration::ZERO), Some(Notice::ProcessLimit));
    }

    #[test]
    fn nothing_is_said_of_a_host_until_its_number_is_given_again() {
        let notices = Notices::default();
        let ended = Notice::Ended {
            pid: 4,
            abnormal: false,
        };
        notices.lock().note_host(4, None);
        assert_eq!(notices.hosts_ended(), 0);
        notices.push(ended);
        assert_eq!(notices.hosts_ended(), 1);
        notices.push(ended);
        assert_eq!(notices.next(Duration::ZERO), Some(ended));
        assert_eq!(notices.next(Duration::ZERO), None);
    }

    #[test]
    fn nobody_hears_of_a_launcher_whether_its_start_is_told_before_or_after_we_know_it() {
        let (launcher, program) = (u32::MAX - 3, u32::MAX - 7);
        let ended = |pid| Notice::Ended {
            pid,
            abnormal: false,
        };
        for told_first in [false, true] {
            let notices = Notices::default();
            let started = Notice::Started { pid: program };
            let launch = notices.launch();
            if told_first {
                notices.push(Notice::Started { pid: launcher });
            }
            assert_eq!(notices.next(Duration::ZERO), None);
            notices.is_launcher(launcher);
            if !told_first {
                notices.push(Notice::Started { pid: launcher });
            }
            notices.push(started);
            drop(launch);
            notices.push(ended(launcher));
            assert_eq!(notices.hosts_ended(), 1);
            let heard = || notices.next(Duration::ZERO);
            assert_eq!(heard(), Some(started), "{told_first}");
            assert_eq!(heard(), None);
            notices.push(ended(program));
            notices.push(Notice::Empty);
            assert_eq!(
                (heard(), heard()),
                (Some(ended(program)), Some(Notice::Empty))
            );
        }
    }

    #[test]
    fn a_job_that_had_a_launcher_alone_was_never_anything_but_empty() {
        let notices = Notices::default();
        let launch = notices.launch();
        notices.is_launcher(4);
        notices.push(Notice::Started { pid: 4 });
        drop(launch);
        notices.push(Notice::Empty);
        assert_eq!(notices.next(Duration::ZERO), None);
        notices.push(Notice::Empty);
        assert_eq!(notices.next(Duration::ZERO), Some(Notice::Empty));
    }

    #[test]
    fn a_reader_waits_no_longer_than_it_was_told() {
        assert_eq!(Notices::default().next(Duration::from_millis(1)), None);
    }
}
