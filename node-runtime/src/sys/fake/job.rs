//! A job of the fake host.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::faults::Operation;
use super::process::{self, FakeHandle};
use super::start;
use super::state::{JobState, Shared, State};
use crate::limits::Limits;
use crate::sys::{
    Attachment, Features, Identity, Job, Launch, Notice, Process, ProcessInfo, Streams, Usage,
};

/// The exit code of processes whose job was closed: what Windows gives them.
const CLOSED: u32 = 0;

/// A handle of a job.
#[derive(Debug)]
pub(super) struct FakeJob {
    shared: Arc<Shared>,
    features: Features,
    number: u32,
    name: String,
}

impl FakeJob {
    /// Makes a job.
    pub(super) fn create(
        shared: &Arc<Shared>,
        features: &Features,
        name: &str,
        outer: Option<u32>,
    ) -> io::Result<Arc<dyn Job>> {
        let mut state = shared.lock();
        state.faults.check(Operation::CreateJob)?;
        if state.jobs.values().any(|job| job.name == name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let number = state.next_number();
        let job = JobState {
            name: name.to_owned(),
            outer,
            handles: 1,
            ..JobState::default()
        };
        state.jobs.insert(number, job);
        Ok(Self::handle(shared, features, number, name))
    }

    /// Opens a job.
    pub(super) fn open(
        shared: &Arc<Shared>,
        features: &Features,
        name: &str,
    ) -> io::Result<Arc<dyn Job>> {
        let mut state = shared.lock();
        state.faults.check(Operation::OpenJob)?;
        let mut jobs = state.jobs.iter_mut();
        let (number, job) = jobs
            .find(|(_, job)| job.name == name)
            .ok_or(io::ErrorKind::NotFound)?;
        job.handles += 1;
        Ok(Self::handle(shared, features, *number, name))
    }

    /// Lets something appear to those in it alone. `InvalidInput` while one is in it: a silo is made of an empty job.
    pub(super) fn bind(&self, attachment: &Attachment<'_>) -> io::Result<()> {
        let mut state = self.shared.lock();
        if !state.members(self.number).is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let job = state.jobs.get_mut(&self.number);
        let job = job.ok_or(io::ErrorKind::NotFound)?;
        let appears = (attachment.source.to_owned(), attachment.read_only);
        match job.bound.insert(attachment.target.to_owned(), appears) {
            None => Ok(()),
            Some(before) => {
                job.bound.insert(attachment.target.to_owned(), before);
                Err(io::ErrorKind::AlreadyExists.into())
            }
        }
    }

    /// A handle that is counted already.
    fn handle(shared: &Arc<Shared>, features: &Features, number: u32, name: &str) -> Arc<dyn Job> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            features: features.clone(),
            number,
            name: name.to_owned(),
        })
    }

    /// Does something with it, and tells everybody.
    fn change<T>(
        &self,
        operation: Operation,
        change: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.shared.lock();
        state.faults.check(operation)?;
        if !state.jobs.contains_key(&self.number) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let result = change(&mut state);
        drop(state);
        self.shared.changed.notify_all();
        result
    }

    /// Stops it or lets it go on.
    fn set_suspended(&self, state: &mut State, is_suspended: bool) {
        if let Some(job) = state.jobs.get_mut(&self.number) {
            job.is_suspended = is_suspended;
        }
    }
}

impl Drop for FakeJob {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let Some(job) = state.jobs.get_mut(&self.number) else {
            return;
        };
        job.handles -= 1;
        if job.handles == 0 {
            for pid in state.members(self.number) {
                state.end(pid, CLOSED);
            }
            state.jobs.remove(&self.number);
            drop(state);
            self.shared.changed.notify_all();
        }
    }
}

impl Job for FakeJob {
    fn name(&self) -> &str {
        &self.name
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn nest(&self, name: &str) -> io::Result<Arc<dyn Job>> {
        Self::create(&self.shared, &self.features, name, Some(self.number))
    }

    fn spawn(
        &self,
        launch: &Launch,
        streams: Streams,
        _identity: &dyn Identity,
    ) -> io::Result<Arc<dyn Process>> {
        self.change(Operation::Spawn, |_| Ok(()))?;
        if launch.console.is_some() && !self.features.pseudo_console {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let id = start::spawn(&self.shared, launch, streams, Some(self.number), 0)?;
        Ok(Arc::new(FakeHandle::new(&self.shared, id)))
    }

    fn set_limits(&self, limits: &Limits) -> io::Result<()> {
        self.change(Operation::SetLimits, |state| {
            let kinds = limits.kinds();
            if let Some(kind) = kinds.difference(&self.features.limits).next() {
                let text = format!("this host cannot limit {kind:?}");
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
            if let Some(job) = state.jobs.get_mut(&self.number) {
                job.limits = limits.clone();
            }
            Ok(())
        })
    }

    fn usage(&self) -> io::Result<Usage> {
        self.change(Operation::Usage, |state| {
            let members = state.members(self.number);
            let running = members.iter().filter_map(|pid| state.processes.get(pid));
            let running: u64 = running.map(|it| it.user_nanoseconds).sum();
            let commit = state.commit(self.number);
            let job = state.jobs.get(&self.number);
            let job = job.ok_or(io::ErrorKind::NotFound)?;
            Ok(Usage {
                user_nanoseconds: job.user_nanoseconds + running,
                active_processes: u32::try_from(members.len()).unwrap_or(u32::MAX),
                total_processes: job.total,
                commit_bytes: Some(commit),
                commit_peak_bytes: Some(job.peak_bytes),
                private_working_set_bytes: Some(commit),
                ..Usage::default()
            })
        })
    }

    fn processes(&self) -> io::Result<Vec<ProcessInfo>> {
        self.change(Operation::Processes, |state| {
            let members = state.members(self.number);
            let members = members.iter().filter_map(|pid| state.processes.get(pid));
            let info = members.map(|process| ProcessInfo {
                pid: process.id.pid,
                parent: process.parent,
                name: process.name.clone(),
                created: process.created,
                user_nanoseconds: process.user_nanoseconds,
                kernel_nanoseconds: 0,
                commit_bytes: process.commit_bytes,
                private_working_set_bytes: process.commit_bytes,
                shared_working_set_bytes: 0,
            });
            Ok(info.collect())
        })
    }

    fn interrupt(&self) -> io::Result<Vec<u32>> {
        self.change(Operation::Interrupt, |state| {
            let mut deaf = state.members(self.number);
            deaf.retain(|pid| !process::interrupt(&self.shared, state, *pid));
            Ok(deaf)
        })
    }

    fn terminate(&self, exit_code: u32) -> io::Result<()> {
        self.change(Operation::Terminate, |state| {
            for pid in state.members(self.number) {
                state.end(pid, exit_code);
            }
            Ok(())
        })
    }

    fn suspend(&self) -> io::Result<()> {
        self.change(Operation::Suspend, |state| {
            self.set_suspended(state, true);
            Ok(())
        })
    }

    fn resume(&self) -> io::Result<()> {
        self.change(Operation::Resume, |state| {
            self.set_suspended(state, false);
            let members = state.members(self.number);
            process::tell_resumed(&self.shared, state, &members);
            Ok(())
        })
    }

    fn wait_empty(&self, timeout: Duration) -> io::Result<bool> {
        let mut is_stuck = false;
        match self.shared.lock().faults.check(Operation::WaitEmpty) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => is_stuck = true,
            checked => checked?,
        }
        let look = |state: &mut State| {
            let is_empty = !is_stuck && state.members(self.number).is_empty();
            is_empty.then_some(())
        };
        Ok(self.shared.wait(Some(timeout), look).is_some())
    }

    fn next_notice(&self, timeout: Duration) -> io::Result<Option<Notice>> {
        let look = |state: &mut State| match state.jobs.get_mut(&self.number) {
            Some(job) => job.notices.pop_front().map(Some),
            None => Some(None),
        };
        Ok(self.shared.wait(Some(timeout), look).flatten())
    }
}
