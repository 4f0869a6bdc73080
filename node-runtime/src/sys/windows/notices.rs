//! What happened in a job and was not read yet.

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::deadline::Deadline;
use super::process_list::is_console_host;
use crate::sys::Notice;

/// How many notices wait for a slow reader.
const MOST: usize = 1024;

/// The notices of one job.
#[derive(Debug, Default)]
pub(super) struct Notices {
    waiting: Mutex<VecDeque<Notice>>,
    arrived: Condvar,
    hidden: Mutex<Hidden>,
}

/// Processes that nobody is told of.
#[derive(Debug, Default)]
struct Hidden {
    running: BTreeSet<u32>,
    total: u32,
}

impl Notices {
    /// How many processes there were, of those read about, that nothing was said of.
    pub(super) fn hidden(&self) -> u32 {
        self.lock_hidden().total
    }

    /// Whether nothing is said of this: it is about the host of a console.
    fn hides(&self, notice: Notice) -> bool {
        match notice {
            Notice::Started { pid } if is_console_host(pid) => {
                let mut hidden = self.lock_hidden();
                hidden.running.insert(pid);
                hidden.total += 1;
                true
            }
            Notice::Ended { pid, .. } => self.lock_hidden().running.remove(&pid),
            // Not every end is reported; with this one all are over.
            Notice::Empty => {
                self.lock_hidden().running.clear();
                false
            }
            Notice::Started { .. } | Notice::MemoryLimit { .. } | Notice::ProcessLimit => false,
        }
    }

    /// Adds one. Where too many wait, the oldest goes that nobody will miss.
    pub(super) fn push(&self, notice: Notice) {
        let mut waiting = self.lock();
        if waiting.len() >= MOST {
            make_room(&mut waiting);
        }
        waiting.push_back(notice);
        self.arrived.notify_all();
    }

    /// The oldest; none when nothing comes for `timeout`.
    pub(super) fn next(&self, timeout: Duration) -> Option<Notice> {
        let deadline = Deadline::after(timeout);
        let mut waiting = self.lock();
        loop {
            while let Some(notice) = waiting.pop_front() {
                // To find out may take a moment, in which others may arrive.
                drop(waiting);
                if !self.hides(notice) {
                    return Some(notice);
                }
                waiting = self.lock();
            }
            if deadline.is_over() {
                return None;
            }
            waiting = self.wait(waiting, deadline.left(Duration::from_mins(1)));
        }
    }

    /// Waits until one arrives, and at most `timeout`; takes none.
    pub(super) fn wait_for_any(&self, timeout: Duration) {
        drop(self.wait(self.lock(), timeout));
    }

    fn wait<'a>(
        &'a self,
        waiting: MutexGuard<'a, VecDeque<Notice>>,
        timeout: Duration,
    ) -> MutexGuard<'a, VecDeque<Notice>> {
        let woken = self.arrived.wait_timeout(waiting, timeout);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock_hidden(&self) -> MutexGuard<'_, Hidden> {
        self.hidden.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Notice>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        for pid in 0..3000 {
            notices.push(Notice::Started { pid });
        }
        assert_eq!(notices.lock().len(), MOST);
        assert_eq!(notices.next(Duration::ZERO), Some(Notice::ProcessLimit));
        let oldest = 3000 - u32::try_from(MOST).unwrap() + 1;
        assert_eq!(
            notices.next(Duration::ZERO),
            Some(Notice::Started { pid: oldest })
        );
    }

    #[test]
    fn a_flood_of_limits_does_not_drown_the_other_limit() {
        let notices = Notices::default();
        notices.push(Notice::ProcessLimit);
        for pid in 0..3000 {
            notices.push(Notice::MemoryLimit { pid: Some(pid) });
        }
        assert_eq!(notices.lock().len(), MOST);
        assert_eq!(notices.next(Duration::ZERO), Some(Notice::ProcessLimit));
    }

    #[test]
    fn nothing_is_said_of_a_hidden_process_until_its_number_is_given_again() {
        let notices = Notices::default();
        let ended = Notice::Ended {
            pid: 4,
            abnormal: false,
        };
        notices.lock_hidden().running.insert(4);
        notices.push(ended);
        notices.push(ended);
        assert_eq!(notices.next(Duration::ZERO), Some(ended));
        assert_eq!(notices.next(Duration::ZERO), None);
    }

    #[test]
    fn a_reader_waits_no_longer_than_it_was_told() {
        assert_eq!(Notices::default().next(Duration::from_millis(1)), None);
    }
}
