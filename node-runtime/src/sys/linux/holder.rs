//! The holder of a job: a process of its own, below which every process of the job stays for good, because it is their
//! subreaper. It ends them all when nobody holds the job any more, also when those that held it were killed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, set_child_subreaper,
    wait, waitid,
};

use super::members::State;
use super::message::{self, Request, Start, ask, receive, send};
use super::procfs::{self, HOLDER, Stat};
use crate::sys::{Notice, ProcessId};

/// How a process waits to be resumed before its first instruction.
const WAIT: &str = "hosttask-wait";
/// This program.
const SELF: &str = "/proc/self/exe";
/// How often is looked for what nobody tells us.
const LOOK: Duration = Duration::from_millis(20);

/// A job.
#[derive(Default)]
struct Holder {
    state: Mutex<State>,
    changed: Condvar,
}

/// Does the duty of a holder, or of a process that waits, if the arguments ask for it. Returns the exit code.
pub(super) fn main(arguments: &[String]) -> Option<i32> {
    match arguments {
        [duty, name] if duty == HOLDER => Some(hold(name).map_or_else(|_| 1, |()| 0)),
        [duty, program, name, rest @ ..] if duty == WAIT => {
            let _ = kill_process(getpid(), Signal::STOP);
            let _ = Command::new(program).arg0(name).args(rest).exec();
            Some(127)
        }
        _ => None,
    }
}

/// Starts a holder, whose first handle is the other end of `handle`.
pub(super) fn start(
    program: impl AsRef<OsStr>,
    job: &str,
    handle: impl Into<Stdio>,
) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.arg0(HOLDER).args([HOLDER, job]).process_group(0);
    command
        .stdin(handle)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.current_dir("/").spawn()
}

/// Holds a job until nobody does.
fn hold(name: &str) -> io::Result<()> {
    set_child_subreaper(Some(getpid()))?;
    let first = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let listener = UnixListener::bind_addr(&message::address(name)?);
    let error = listener.as_ref().err();
    let error = error
        .and_then(io::Error::raw_os_error)
        .map(io::Error::from_raw_os_error);
    send(&first, error.map_or(Ok(()), Err))?;
    let listener = listener?;
    let holder = Arc::new(Holder::default());
    holder.lock().handles = 1;
    let job = Arc::clone(&holder);
    thread::spawn(move || job.keep(&first));
    let job = Arc::clone(&holder);
    thread::spawn(move || job.reap());
    let job = Arc::clone(&holder);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let job = Arc::clone(&job);
            // A client that is gone needs no answer.
            thread::spawn(move || job.serve(&connection));
        }
    });
    holder.until(Duration::MAX, |state| {
        state.is_closed = state.handles == 0;
        state.is_closed.then_some(())
    });
    holder.end(None, true);
    holder.until(Duration::from_secs(1), |state| {
        (state.watchers == 0).then_some(())
    });
    Ok(())
}

impl Holder {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` finds something. It looks after each news, and now and then: nobody tells us of a process whose
    /// parent is not this one.
    fn until<T>(&self, timeout: Duration, look: impl Fn(&mut State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&mut state) {
                return Some(found);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return None;
            }
            let waited = self.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A handle, until it is closed: both ways, for a request ends by closing one.
    fn keep(&self, handle: &UnixStream) {
        let mut ends = [PollFd::new(handle, PollFlags::empty())];
        let _ = retry_on_intr(|| poll(&mut ends, None));
        self.lock().handles -= 1;
        self.changed.notify_all();
    }

    /// Notices what ends below it.
    fn reap(&self) {
        loop {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            if waitid(WaitId::All, options).is_err() {
                // There is no child.
                self.until(LOOK, |_| None::<()>);
                continue;
            }
            // Only now it is taken: a program that is just failing to start is none of ours.
            let mut state = self.lock();
            while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
                let pid = pid.as_raw_pid().cast_unsigned();
                let by_signal = status.terminating_signal();
                let code = status
                    .exit_status()
                    .or_else(|| by_signal.map(|signal| 128 + signal));
                let code = code.unwrap_or_default().cast_unsigned();
                let code = state.codes.remove(&pid).unwrap_or(code);
                state.waiting.remove(&pid);
                state.nested.remove(&pid);
                if let Some(exit) = state.started.get_mut(&pid) {
                    *exit = Some(code);
                    let abnormal = by_signal.is_some();
                    state.tell(Notice::Ended { pid, abnormal });
                    if state.members().is_empty() {
                        state.tell(Notice::Empty);
                    }
                }
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Answers a request.
    fn serve(&self, connection: &UnixStream) -> io::Result<()> {
        let peer = rustix::net::sockopt::socket_peercred(connection)?;
        if peer.uid != rustix::process::geteuid() {
            return Ok(());
        }
        let (request, files) = receive(connection)?;
        match request {
            Request::Hold => {
                let mut state = self.lock();
                if state.is_closed {
                    return Ok(());
                }
                state.handles += 1;
                drop(state);
                send(connection, Ok(()))?;
                self.keep(connection);
                Ok(())
            }
            Request::Nest(name) => {
                let handle = files.into_iter().next().ok_or(Errno::INVAL)?;
                send(connection, self.nest(name, handle))
            }
            Request::Spawn(start) => self.watch(connection, self.spawn(&start, files)),
            Request::Terminate(Some(id), code) => send(connection, self.end_one(id, code)),
            Request::Terminate(None, code) => {
                let nested: Vec<String> = self.lock().nested.values().cloned().collect();
                for job in nested {
                    // One that is gone has nothing to end.
                    let _ = ask::<()>(&job, &Request::Terminate(None, code), &[]);
                }
                self.end(Some(code), false);
                send(connection, Ok(()))
            }
            Request::Interrupt => send(connection, Ok(self.lock().interrupt())),
            Request::Suspend => {
                self.suspend();
                send(connection, Ok(()))
            }
            Request::Resume(id) => {
                self.lock().resume(id);
                send(connection, Ok(()))
            }
            Request::Usage => send(connection, Ok(self.lock().usage())),
            Request::Processes => {
                let members = self.lock().members();
                let mut list: Vec<_> = members.iter().map(Stat::info).collect();
                list.sort_by_key(|process| process.pid);
                send(connection, Ok(list))
            }
            Request::WaitEmpty(timeout) => {
                let look = |state: &mut State| state.members().is_empty().then_some(());
                send(connection, Ok(self.until(timeout, look).is_some()))
            }
            Request::Notice(timeout) => {
                let notice = self.until(timeout, |state| state.notices.pop_front());
                send(connection, Ok(notice))
            }
        }
    }

    /// Starts the holder of a job in this one.
    fn nest(&self, name: String, handle: File) -> io::Result<()> {
        // Its end is noticed only once it is known.
        let mut state = self.lock();
        let holder = start(SELF, &name, handle)?;
        state.nested.insert(holder.id(), name);
        Ok(())
    }

    /// Starts a program.
    fn spawn(&self, start: &Start, files: Vec<File>) -> io::Result<ProcessId> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Errno::NOENT.into());
        }
        let waits = start.suspended || state.is_suspended;
        let mut command = Command::new(if waits { SELF } else { &start.program });
        let (name, rest) = start.arguments.split_first().ok_or(Errno::INVAL)?;
        if waits {
            can_run(&start.program)?;
            command.args([WAIT, &start.program, name]);
        } else {
            command.arg0(name);
        }
        command
            .args(rest)
            .process_group(0)
            .current_dir(&start.directory);
        command.env_clear().envs(start.environment.iter().cloned());
        let mut files = files.into_iter();
        let mut streams = start.streams.map(|has| has.then(|| files.next()).flatten());
        let mut stream = |index: usize| {
            let file = streams.get_mut(index).and_then(Option::take);
            file.map_or_else(Stdio::null, Stdio::from)
        };
        command.stdin(stream(0)).stdout(stream(1)).stderr(stream(2));
        let pid = command.spawn()?.id();
        if waits {
            let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(number.ok_or(Errno::INVAL)?), options)?;
        }
        if start.suspended {
            state.waiting.insert(pid);
        }
        let id = Stat::read(pid).ok_or(Errno::SRCH)?.id;
        state.census.add(id);
        // The number may have been one of a descendant that its own parent has seen ending.
        state.codes.remove(&pid);
        state.started.insert(pid, None);
        state.watchers += 1;
        state.tell(Notice::Started { pid });
        Ok(id)
    }

    /// Says which process was started, and later how it ended.
    fn watch(&self, mut connection: &UnixStream, spawned: io::Result<ProcessId>) -> io::Result<()> {
        let pid = spawned.as_ref().ok().map(|id| id.pid);
        let sent = send(connection, spawned);
        let Some(pid) = pid else { return sent };
        let look = |state: &mut State| state.started.get(&pid).copied().flatten();
        let code = self.until(Duration::MAX, look).unwrap_or_default();
        let sent = connection.write_all(&code.to_ne_bytes());
        let mut state = self.lock();
        state.started.remove(&pid);
        state.watchers -= 1;
        drop(state);
        self.changed.notify_all();
        sent
    }

    /// Ends every process in it, and at the end also the holders of jobs in it.
    fn end(&self, code: Option<u32>, with_holders: bool) {
        self.until(Duration::MAX, |state| {
            let members = state.members();
            let all = procfs::descendants(std::process::id());
            let rest = if with_holders { all } else { members.clone() };
            for process in &rest {
                code.map(|code| state.codes.insert(process.id.pid, code));
                let _ = process.signal(Signal::KILL);
            }
            rest.is_empty().then_some(())
        });
    }

    /// Ends one process.
    fn end_one(&self, id: ProcessId, code: u32) -> io::Result<()> {
        let mut state = self.lock();
        if let Some(process) = state.members().iter().find(|it| it.id == id) {
            state.codes.insert(id.pid, code);
            process.signal(Signal::KILL)?;
        }
        Ok(())
    }

    /// Stops every process in it, also those that were started meanwhile.
    fn suspend(&self) {
        let mut state = self.lock();
        state.is_suspended = true;
        let mut stopped = BTreeSet::new();
        loop {
            let mut members = state.members();
            members.retain(|process| stopped.insert(process.id));
            if members.is_empty() {
                return;
            }
            for process in members {
                let _ = process.signal(Signal::STOP);
            }
        }
    }
}

/// Whether a file can be run, as far as one can tell without running it.
fn can_run(program: &str) -> io::Result<()> {
    if std::fs::metadata(program)?.is_dir() {
        return Err(Errno::ACCESS.into());
    }
    Ok(rustix::fs::access(program, rustix::fs::Access::EXEC_OK)?)
}
