//! Pausing a job: the system's own way where it has one, else process by process.
use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use windows_sys::Win32::System::Threading::{PROCESS_SUSPEND_RESUME, PROCESS_SYNCHRONIZE};

use super::abi::JobFreeze;
use super::handle::Handle;
use super::job_info;
use super::native::{resume_process, suspend_process};
use super::process_list::{numbers, open_in};

/// To suspend a process, and to see that it ended.
const RIGHTS: u32 = PROCESS_SUSPEND_RESUME | PROCESS_SYNCHRONIZE;

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
pub(super) fn suspend(job: &Handle, state: &Mutex<Suspended>) -> io::Result<()> {
    let mut state = lock(state);
    match &mut *state {
        Suspended::Frozen => Ok(()),
        Suspended::Each(held) => suspend_each(job, held),
        Suspended::Not if freeze(job, true).is_ok() => {
            *state = Suspended::Frozen;
            Ok(())
        }
        Suspended::Not => {
            let mut held = BTreeMap::new();
            let result = suspend_each(job, &mut held);
            *state = Suspended::Each(held);
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
    loop {
        let mut found = false;
        for pid in numbers(job)? {
            if held.contains_key(&pid) {
                continue;
            }
            if let Some(process) = open_in(job, pid, RIGHTS)? {
                found |= suspend_process(&process)?;
                held.insert(pid, process);
            }
        }
        if !found {
            return Ok(());
        }
    }
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
