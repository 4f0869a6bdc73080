//! The faults that tests inject: the n-th call of an operation fails.

use std::collections::BTreeMap;
use std::io;

/// An operation of the host that can be made to fail, and is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// [`crate::sys::Host::create_job`] and [`crate::sys::Job::nest`].
    CreateJob,
    /// [`crate::sys::Host::open_job`].
    OpenJob,
    /// [`crate::sys::Host::log_on`].
    LogOn,
    /// [`crate::sys::Host::sweep_identities`].
    Sweep,
    /// [`crate::sys::Host::open_process`].
    OpenProcess,
    /// [`crate::sys::Host::listen`].
    Listen,
    /// [`crate::sys::Host::connect`].
    Connect,
    /// [`crate::sys::Host::spawn_detached`].
    SpawnDetached,
    /// [`crate::sys::Job::spawn`].
    Spawn,
    /// [`crate::sys::Job::set_limits`].
    SetLimits,
    /// [`crate::sys::Job::usage`].
    Usage,
    /// [`crate::sys::Job::processes`].
    Processes,
    /// [`crate::sys::Job::interrupt`].
    Interrupt,
    /// [`crate::sys::Job::terminate`].
    Terminate,
    /// [`crate::sys::Job::suspend`].
    Suspend,
    /// [`crate::sys::Job::resume`].
    Resume,
    /// [`crate::sys::Job::wait_empty`]. Where `TimedOut` is planned, it waits in vain: something in it cannot be ended.
    WaitEmpty,
    /// [`crate::sys::Process::resume`].
    ResumeProcess,
    /// [`crate::sys::Process::wait`].
    Wait,
    /// [`crate::sys::Storage::attach`].
    Attach,
    /// [`crate::sys::Storage::detach`].
    Detach,
    /// [`crate::sys::Storage::protect`].
    Protect,
    /// [`crate::sys::Storage::share`].
    Share,
}

/// The faults to come, and the calls so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: BTreeMap<(Operation, u32), io::ErrorKind>,
    calls: BTreeMap<Operation, u32>,
}

impl Faults {
    /// Plans a fault of the n-th call from now on.
    pub(super) fn add(&mut self, operation: Operation, nth: u32, kind: io::ErrorKind) {
        let call = self.calls(operation).saturating_add(nth);
        self.planned.insert((operation, call), kind);
    }

    /// How often it was called.
    pub(super) fn calls(&self, operation: Operation) -> u32 {
        self.calls.get(&operation).copied().unwrap_or_default()
    }

    /// Counts a call, and fails it if that is planned.
    pub(super) fn check(&mut self, operation: Operation) -> io::Result<()> {
        let call = self.calls.entry(operation).or_default();
        *call = call.saturating_add(1);
        match self.planned.remove(&(operation, *call)) {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }
}
