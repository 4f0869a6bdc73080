//! The kernel's job, and how many launchers are in it beside the container's own processes.

use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windows_sys::Win32::System::JobObjects::{
    JOB_OBJECT_LIMIT_ACTIVE_PROCESS, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
};

use super::handle::Handle;
use super::{job_info, limits};
use crate::limits::Limits;
use crate::sys::Features;

/// A job of the kernel.
#[derive(Debug)]
pub(super) struct Held {
    handle: Handle,
    /// Whoever changes a limit holds this.
    state: Mutex<State>,
}

/// What is to be known when a limit is changed.
#[derive(Debug, Default)]
struct State {
    /// How many launchers may be in it.
    launchers: u32,
    /// Whether its processes may be bound to groups of processors.
    has_groups: bool,
}

impl Held {
    pub(super) fn new(handle: Handle) -> Self {
        Self {
            handle,
            state: Mutex::default(),
        }
    }

    /// Sets its limits. The launchers that are in it now do not count.
    pub(super) fn set_limits(&self, limits: &Limits, features: &Features) -> io::Result<()> {
        let mut state = self.lock();
        let had_groups = state.has_groups;
        // Also where it fails half-way: they are lifted the next time.
        state.has_groups |= limits::needs_groups(&limits.affinity);
        let limits = beside(limits, state.launchers);
        limits::set(&self.handle, &limits, features, had_groups)?;
        state.has_groups = limits::needs_groups(&limits.affinity);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how many processes may run in it, where that has a limit.
    fn change_limit(&self, change: fn(u32) -> u32) -> io::Result<()> {
        let mut info: JOBOBJECT_EXTENDED_LIMIT_INFORMATION = job_info::query(&self.handle)?;
        if !changed(&mut info, change) {
            return Ok(());
        }
        job_info::set(&self.handle, &info)
    }
}

impl Deref for Held {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

/// The limits with room for so many launchers.
fn beside(limits: &Limits, launchers: u32) -> Limits {
    let count = limits.active_processes;
    Limits {
        active_processes: count.map(|count| count.saturating_add(launchers)),
        ..limits.clone()
    }
}

/// Changes the number of processes that may run; false where there is no such limit.
fn changed(info: &mut JOBOBJECT_EXTENDED_LIMIT_INFORMATION, change: fn(u32) -> u32) -> bool {
    let basic = &mut info.BasicLimitInformation;
    let is_limited = basic.LimitFlags & JOB_OBJECT_LIMIT_ACTIVE_PROCESS != 0;
    if is_limited {
        basic.ActiveProcessLimit = change(basic.ActiveProcessLimit);
    }
    is_limited
}

/// Room for one launcher in a job and in those around it, as long as this exists: else a job that may have one process could
/// have none. A process of the container may take that room for the moment, and our own program is refused then.
#[derive(Debug)]
pub(super) struct Room(Vec<Arc<Held>>);

impl Room {
    /// Makes it.
    pub(super) fn make(jobs: impl Iterator<Item = Arc<Held>>) -> io::Result<Self> {
        let mut room = Self(Vec::new());
        for job in jobs {
            {
                let mut state = job.lock();
                job.change_limit(|count| count.saturating_add(1))?;
                state.launchers += 1;
            }
            room.0.push(job);
        }
        Ok(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for job in &self.0 {
            let mut state = job.lock();
            state.launchers -= 1;
            // It fails only where the job is gone.
            drop(job.change_limit(|count| count.saturating_sub(1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_have_room_beside_a_limit_that_is_set_meanwhile() {
        let limits = Limits {
            active_processes: Some(1),
            priority: Some(crate::limits::Priority::Idle),
            ..Limits::default()
        };
        let set = beside(&limits, 2);
        assert_eq!(
            (set.active_processes, set.priority),
            (Some(3), limits.priority)
        );
        assert_eq!(beside(&Limits::default(), 2), Limits::default());
    }

    #[test]
    fn only_a_limit_that_is_there_is_changed() {
        let mut info: JOBOBJECT_EXTENDED_LIMIT_INFORMATION = job_info::zeroed();
        assert!(!changed(&mut info, |count| count + 1));
        assert_eq!(info.BasicLimitInformation.ActiveProcessLimit, 0);
        info.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_ACTIVE_PROCESS | 0x2000;
        info.BasicLimitInformation.ActiveProcessLimit = 1;
        assert!(changed(&mut info, |count| count + 1));
        assert_eq!(info.BasicLimitInformation.ActiveProcessLimit, 2);
    }

    #[test]
    fn room_is_given_back() {
        let name = format!("hosttask-room-{}", std::process::id());
        let job = Arc::new(Held::new(crate::sys::windows::job::create(&name).unwrap()));
        let one = Room::make([Arc::clone(&job)].into_iter()).unwrap();
        let two = Room::make([Arc::clone(&job)].into_iter()).unwrap();
        assert_eq!(job.lock().launchers, 2);
        drop((one, two));
        assert_eq!(job.lock().launchers, 0);
    }
}
