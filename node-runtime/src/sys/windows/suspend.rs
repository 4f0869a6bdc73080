//! Pausing a job: the system's own way where it has one, else process by process.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::park_timeout;
use std::time::Duration;

use windows_sys::Win32::Foundation::ERROR_ACCESS_DENIED;
use windows_sys::Win32::System::Threading::{PROCESS_SUSPEND_RESUME, PROCESS_SYNCHRONIZE};

use super::abi::JobFreeze;
use super::deadline::Deadline;
use super::handle::Handle;
use super::job_info;
use super::native::{resume_process, suspend_process};
use super::process::is;
use super::process_list::{numbers, open_in};

/// To suspend a process, and to see that it ended.
const RIGHTS: u32 = PROCESS_SUSPEND_RESUME | PROCESS_SYNCHRONIZE;

/// How long a process may deny us everything: one that is being torn down does so, until it is not in its job any more.
const TEARING_DOWN: Duration = Duration::from_secs(1);

/// How long to wait before such a process is asked again.
const PAUSE: Duration = Duration::from_millis(1);

/// What [`suspend`] did and [`resume`] undoes.
#[derive(Debug, Default)]
pub(super) enum Suspended {
    /// Nothing.
    #[default]
    Not,
    /// The whole job was frozen.
    Frozen,
    /// Each of these was suspended once.
    Each(BTreeMap<u32, Handle>),
}

/// Stops every process in a job, also those that are started meanwhile. A second time changes nothing.
///
/// In a job that may not be frozen each is suspended on its own: what has to be started from inside could not be, else.
pub(super) fn suspend(job: &Handle, state: &Mutex<Suspended>, may_freeze: bool) -> io::Result<()> {
    let mut state = lock(state);
    match &mut *state {
        Suspended::Frozen => Ok(()),
        Suspended::Each(held) => suspend_each(job, held),
        Suspended::Not if may_freeze && freeze(job, true).is_ok() => {
            *state = Suspended::Frozen;
            Ok(())
        }
        Suspended::Not => {
            let mut held = BTreeMap::new();
            let result = suspend_each(job, &mut held);
            if result.is_ok() || resume_each(&held).is_err() {
                *state = Suspended::Each(held);
            }
            result
        }
    }
}

/// Lets them go on.
pub(super) fn resume(job: &Handle, state: &Mutex<Suspended>) -> io::Result<()> {
    let mut state = lock(state);
    match &*state {
        Suspended::Not => {}
        Suspended::Frozen => freeze(job, false)?,
        Suspended::Each(held) => resume_each(held)?,
    }
    *state = Suspended::Not;
    Ok(())
}

impl Suspended {
    /// Whether a process that is born now has to be suspended by us: a frozen job does it by itself.
    pub(super) fn stands_still(&self) -> bool {
        matches!(self, Self::Each(_))
    }
}

/// Suspends a process that was just born in a job that stands still.
pub(super) fn suspend_born(job: &Handle, pid: u32, state: &mut Suspended) -> io::Result<()> {
    if let (Suspended::Each(held), Some(process)) = (state, open_in(job, pid, RIGHTS)?) {
        suspend_process(&process)?;
        held.insert(pid, process);
    }
    Ok(())
}

/// Suspends until no process is left that was not: one that ran a moment ago may have started another.
fn suspend_each(job: &Handle, held: &mut BTreeMap<u32, Handle>) -> io::Result<()> {
    let deadline = Deadline::after(TEARING_DOWN);
    loop {
        let (mut found, mut denied) = (false, None);
        for pid in numbers(job)? {
            if held.contains_key(&pid) {
                continue;
            }
            match suspend_one(job, pid) {
                Ok(Some((process, was_there))) => {
                    found |= was_there;
                    held.insert(pid, process);
                }
                Ok(None) => {}
                Err(error) if is(&error, ERROR_ACCESS_DENIED) => denied = Some(error),
                Err(error) => return Err(error),
            }
        }
        match denied {
            Some(error) if deadline.is_over() => return Err(error),
            Some(_) => park_timeout(PAUSE),
            None if found => {}
            None => return Ok(()),
        }
    }
}

/// Suspends a process, and says whether it was still there; none where the number is not in the job any more.
fn suspend_one(job: &Handle, pid: u32) -> io::Result<Option<(Handle, bool)>> {
    let Some(process) = open_in(job, pid, RIGHTS)? else {
        return Ok(None);
    };
    let was_there = suspend_process(&process)?;
    Ok(Some((process, was_there)))
}

/// Resumes each, also when one fails; the first failure is reported.
fn resume_each(held: &BTreeMap<u32, Handle>) -> io::Result<()> {
    let results = held.values().map(resume_process);
    results.fold(Ok(()), io::Result::and)
}

/// Freezes or thaws the whole job at once.
fn freeze(job: &Handle, freeze: bool) -> io::Result<()> {
    const FREEZE: u32 = 1;
    let mut info: JobFreeze = job_info::zeroed();
    info.operations = FREEZE;
    info.freeze = freeze.into();
    job_info::set(job, &info)
}

/// The state, for as long as nothing may change it.
pub(super) fn lock(state: &Mutex<Suspended>) -> MutexGuard<'_, Suspended> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
