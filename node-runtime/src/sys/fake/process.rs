//! A process of the fake host: a thread that runs a program.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::faults::Operation;
use super::start::spawn;
use super::state::{ProcessState, Shared, State};
use crate::sys::{Console, Launch, Notice, Process, ProcessId, Streams};

/// How a program that was not ready for it ends when it is asked to: as Windows reports Ctrl+C.
pub(super) const INTERRUPTED: u32 = 0xC000_013A;

/// What a process does when it is asked to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reaction {
    /// It ends with 0xC000013A.
    #[default]
    End,
    /// Nothing.
    Ignore,
    /// It ends with this code after this time.
    Exit(u32, Duration),
    /// Its program is told by [`FakeProcess::wait_interrupt`].
    Tell,
    /// It cannot be asked: it has no console.
    Deaf,
}

/// What a program of the fake knows and can do.
#[derive(Debug)]
pub struct FakeProcess {
    pub(super) shared: Arc<Shared>,
    pub(super) id: ProcessId,
    pub(super) launch: Launch,
}

impl FakeProcess {
    /// Which process it is.
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// How it was started.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Reads from its first stream; 0 where it has none, or at its end.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let stream = self.gate(|it| it.streams.first().cloned().flatten())?;
        let count = stream.map_or(Ok(0), |file| (&*file).read(buffer))?;
        self.gate(|_| count)
    }

    /// Writes to its second stream (1) or its third one (2). Lost where it has none.
    pub fn write(&self, stream: usize, bytes: &[u8]) -> io::Result<()> {
        let file = self.gate(|it| it.streams.get(stream).cloned().flatten())?;
        file.map_or(Ok(()), |file| (&*file).write_all(bytes))
    }

    /// Sleeps, in real time. An error where the process ended meanwhile.
    pub fn sleep(&self, time: Duration) -> io::Result<()> {
        let is_over = |state: &mut State| (!state.runs(self.id)).then_some(());
        let _ = self.shared.wait(Some(time), is_over);
        self.gate(|_| ())
    }

    /// Decides what it does when it is asked to end.
    pub fn react(&self, reaction: Reaction) -> io::Result<()> {
        let mut state = self.shared.lock();
        let process = state.processes.get_mut(&self.id.pid);
        let process = process.filter(|it| it.id == self.id && it.exit.is_none());
        process.ok_or_else(ended)?.reaction = reaction;
        Ok(())
    }

    /// Waits until it is asked to end, for a process that reacts by [`Reaction::Tell`]. False after `timeout`.
    pub fn wait_interrupt(&self, timeout: Duration) -> io::Result<bool> {
        let found = self.shared.wait(Some(timeout), |state| {
            let process = state.process(self.id);
            match process.filter(|it| it.exit.is_none()) {
                None => Some(Err(ended())),
                Some(process) => process.is_interrupted.then_some(Ok(true)),
            }
        });
        found.unwrap_or(Ok(false))
    }

    /// Starts a program in the same job, without streams.
    pub fn start(&self, program: &str, arguments: &[String]) -> io::Result<ProcessId> {
        let job = self.gate(|process| process.job)?;
        let mut launch = self.launch.clone();
        program.clone_into(&mut launch.program);
        launch.suspended = false;
        launch.arguments = [program.to_owned()]
            .into_iter()
            .chain(arguments.iter().cloned())
            .collect();
        let streams = self.gate(|process| process.streams.clone())?;
        let copy = |stream: Option<&Option<Arc<File>>>| {
            let file = stream.and_then(Option::as_ref);
            file.map(|file| file.try_clone()).transpose()
        };
        let streams = Streams {
            stdin: copy(streams.first())?,
            stdout: copy(streams.get(1))?,
            stderr: copy(streams.get(2))?,
        };
        spawn(&self.shared, &launch, streams, job, self.id.pid)
    }

    /// Waits for a process.
    pub fn wait(&self, id: ProcessId) -> io::Result<u32> {
        let found = self.shared.wait(None, |state| {
            if !state.runs(self.id) {
                return Some(Err(ended()));
            }
            let process = state.process(id).ok_or_else(ended);
            process.map(|it| it.exit).transpose()
        });
        found.unwrap_or_else(|| Err(ended()))
    }

    /// Uses the processor, on paper.
    pub fn burn(&self, time: Duration) -> io::Result<()> {
        let spent = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.change(|process| process.user_nanoseconds += spent)
    }

    /// Commits memory, on paper. `OutOfMemory`, and a notice, where a limit forbids it.
    pub fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.gate(|_| ())?;
        let mut state = self.shared.lock();
        let process = state.process(self.id).ok_or_else(ended)?;
        let (job, own) = (process.job, process.commit_bytes.saturating_add(bytes));
        for job in state.chain(job) {
            let used = state.commit(job).saturating_add(bytes);
            let limits = state.jobs.get(&job).map(|job| job.limits.clone());
            let limits = limits.unwrap_or_default();
            let by_process = limits.process_memory_bytes.is_some_and(|most| own > most);
            if by_process || limits.job_memory_bytes.is_some_and(|most| used > most) {
                let pid = Some(self.id.pid);
                state.tell(Some(job), Notice::MemoryLimit { pid });
                self.shared.changed.notify_all();
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            if let Some(job) = state.jobs.get_mut(&job) {
                job.peak_bytes = job.peak_bytes.max(used);
            }
        }
        if let Some(process) = state.processes.get_mut(&self.id.pid) {
            process.commit_bytes = own;
        }
        Ok(())
    }

    /// Changes its state.
    fn change(&self, change: impl FnOnce(&mut ProcessState)) -> io::Result<()> {
        self.gate(|_| ())?;
        let mut state = self.shared.lock();
        state
            .processes
            .get_mut(&self.id.pid)
            .map(change)
            .ok_or_else(ended)
    }

    /// Waits while it is suspended; an error once it ended.
    pub(super) fn gate<T>(&self, mut read: impl FnMut(&ProcessState) -> T) -> io::Result<T> {
        let found = self.shared.wait(None, |state| {
            match state.process(self.id).filter(|it| it.exit.is_none()) {
                None => Some(Err(ended())),
                Some(_) if state.is_suspended(self.id.pid) => None,
                Some(process) => Some(Ok(read(process))),
            }
        });
        found.unwrap_or_else(|| Err(ended()))
    }
}

/// What a thread is told whose process ended.
fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the process has ended")
}

/// Asks a process to end. Returns whether it could be asked. A suspended one gets to know it when it is resumed.
pub(super) fn interrupt(shared: &Arc<Shared>, state: &mut State, pid: u32) -> bool {
    let is_suspended = state.is_suspended(pid);
    let Some(process) = state.processes.get_mut(&pid) else {
        return false;
    };
    process.is_interrupted = true;
    let (id, reaction) = (process.id, process.reaction);
    if is_suspended {
        return reaction != Reaction::Deaf;
    }
    match reaction {
        Reaction::End => state.end(pid, INTERRUPTED),
        Reaction::Exit(code, linger) if linger.is_zero() => state.end(pid, code),
        Reaction::Exit(code, linger) => {
            let shared = Arc::clone(shared);
            thread::spawn(move || {
                let is_over = |state: &mut State| (!state.runs(id)).then_some(());
                if shared.wait(Some(linger), is_over).is_none() {
                    shared.end_itself(id, Some(code));
                }
            });
        }
        Reaction::Ignore | Reaction::Tell => {}
        Reaction::Deaf => return false,
    }
    true
}

/// Tells those that were suspended when they were asked to end.
pub(super) fn tell_resumed(shared: &Arc<Shared>, state: &mut State, pids: &[u32]) {
    for pid in pids {
        let process = state.processes.get(pid);
        if process.is_some_and(|it| it.is_interrupted) && !state.is_suspended(*pid) {
            interrupt(shared, state, *pid);
        }
    }
}

/// A handle of a process.
#[derive(Debug)]
pub(super) struct FakeHandle {
    shared: Arc<Shared>,
    id: ProcessId,
}

impl FakeHandle {
    /// A handle of a process that exists.
    pub(super) fn new(shared: &Arc<Shared>, id: ProcessId) -> Self {
        if let Some(process) = shared.lock().processes.get_mut(&id.pid) {
            process.handles += 1;
        }
        Self {
            shared: Arc::clone(shared),
            id,
        }
    }
}

impl Drop for FakeHandle {
    fn drop(&mut self) {
        if let Some(process) = self.shared.lock().processes.get_mut(&self.id.pid) {
            process.handles = process.handles.saturating_sub(1);
        }
    }
}

impl Process for FakeHandle {
    fn id(&self) -> ProcessId {
        self.id
    }

    fn resume(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.faults.check(Operation::ResumeProcess)?;
        if let Some(process) = state.processes.get_mut(&self.id.pid) {
            process.is_suspended = false;
        }
        tell_resumed(&self.shared, &mut state, &[self.id.pid]);
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    fn wait(&self, timeout: Duration) -> io::Result<Option<u32>> {
        self.shared.lock().faults.check(Operation::Wait)?;
        let look = |state: &mut State| state.process(self.id).and_then(|it| it.exit);
        Ok(self.shared.wait(Some(timeout), look))
    }

    fn terminate(&self, exit_code: u32) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.faults.check(Operation::Terminate)?;
        state.end(self.id.pid, exit_code);
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    fn interrupt(&self) -> io::Result<bool> {
        let mut state = self.shared.lock();
        state.faults.check(Operation::Interrupt)?;
        let could = state.runs(self.id) && interrupt(&self.shared, &mut state, self.id.pid);
        drop(state);
        self.shared.changed.notify_all();
        Ok(could)
    }

    fn resize(&self, _console: Console) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
