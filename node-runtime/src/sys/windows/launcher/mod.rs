//! Starting a program from inside its job.
//!
//! In a silo the paths of a container mean something to those in it alone: `CreateProcess` looks for the program with the eyes
//! of its caller, so from outside nothing is found. So a launcher is started in the job, which is this program again with a
//! hidden argument, at a path that everybody sees. It gets the order through a pipe and starts the program as it was told.
//!
//! ```text
//!   this program                          launcher (in the job)                program (in the job)
//!     │ birth in the job, whitelisted: two pipes, streams, token ─▶ │
//!     │ order ──────────────────────────────────────────────────▶ │ birth, suspended ──▶ │
//!     │ ◀── number, start, handles, or why not ─────────────────── │                      │
//!     │ takes over both handles, checks whose they are             │                      │
//!     │ ends the launcher ──────────────────────────────────────▶ ✕                      │
//!     │ lets it run ─────────────────────────────────────────────────────────────────────▶ │
//! ```
//!
//! The program is in the job from its first instruction, as children of the launcher are, and runs only when its handles are
//! here. Until then every end of the launcher ends the program too: the launcher sees to it where we die, and
//! [`end_children`] where the launcher dies. The launcher runs as we do, not as the program's user, who may not be allowed to
//! read its file; nobody of lesser rights can open it.
#![expect(
    unsafe_code,
    reason = "handles are taken over from another process by Win32 calls"
)]

use std::fs::File;
use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle};
use std::path::{Path, PathBuf};
use std::ptr;
use std::time::Duration;

use windows_sys::Win32::Foundation::{DUPLICATE_SAME_ACCESS, DuplicateHandle, ERROR_ACCESS_DENIED};
use windows_sys::Win32::System::Threading::{
    DETACHED_PROCESS, GetCurrentProcess, GetProcessId, GetProcessIdOfThread, PROCESS_SYNCHRONIZE,
    PROCESS_TERMINATE,
};

use super::deadline::Deadline;
use super::handle::{Handle, check, inheritable, own};
use super::inside::{ARGUMENT, number};
use super::interrupt::HELPERS;
use super::named_pipe::Direction;
use super::order::{Answer, Order, Told};
use super::overlapped::Channel;
use super::process::{is, terminate, times, wait};
use super::process_list::{is_in, numbers, open_in, parent};
use super::pseudo_console::PseudoConsole;
use super::spawn::{self, Birth, Born};
use super::{folder, pipe};
use crate::sys::{Launch, Streams, companion};

/// How long the launcher may take. It waits for nobody; a busy machine takes its time.
const PATIENCE: Duration = Duration::from_mins(1);

/// The most bytes of an answer.
const LARGEST: usize = 1 << 20;

/// What is to be started where.
#[derive(Debug)]
pub(super) struct Errand<'a> {
    /// The program.
    pub(super) launch: &'a Launch,
    /// Its streams, which are closed here in any case.
    pub(super) streams: Streams,
    /// Its jobs, the outer one first.
    pub(super) jobs: Vec<BorrowedHandle<'a>>,
    /// The innermost of them.
    pub(super) job: &'a Handle,
    /// Who it runs as; as we do where none.
    pub(super) token: Option<&'a Handle>,
    /// Its console, in place of the streams.
    pub(super) console: Option<&'a PseudoConsole>,
}

/// Starts a program from inside its job. It waits for its first instruction. `is_born` is told of the launcher.
///
/// # Errors
/// As of [`spawn::start`]. Nothing is left then, of the program or of the launcher.
pub(super) fn start(errand: Errand<'_>, is_born: &dyn Fn(&Born)) -> io::Result<Born> {
    let job = errand.job;
    let (launcher, order) = Launcher::start(&helper()?, errand)?;
    is_born(&launcher.born);
    let born = launcher
        .send(&order)
        .and_then(|()| launcher.answer())
        .and_then(|told| launcher.take(told, job));
    let ended = launcher.end();
    match (born, ended) {
        (Ok(born), Ok(())) => Ok(born),
        (Ok(born), Err(error)) => {
            terminate(&born.process, 1)?;
            Err(error)
        }
        (Err(error), ended) => {
            ended?;
            end_children(job, &launcher.born)?;
            Err(error)
        }
    }
}

/// The program that starts others.
pub(super) fn helper() -> io::Result<PathBuf> {
    companion::find(
        HELPERS,
        "no program is here that can start others inside of a container; put hosttask-node.exe beside this one",
    )
}

/// A launcher that runs.
#[derive(Debug)]
struct Launcher {
    born: Born,
    orders: Channel,
    answers: Channel,
    deadline: Deadline,
}

impl Launcher {
    /// Starts it in the job, with nothing but its two pipes and what it hands on. Returns what it is to be told.
    fn start(program: &Path, errand: Errand<'_>) -> io::Result<(Self, Vec<u8>)> {
        let (orders, stdin) = pipe::pair(Direction::Writes)?;
        let (answers, stdout) = pipe::pair(Direction::Reads)?;
        let handed = Handed::of(errand.streams, errand.token, errand.console.is_some())?;
        let order = handed.order(errand.launch).and_then(|it| it.bytes())?;
        let born = spawn::start(Birth {
            program: &program.to_string_lossy(),
            command_line: &format!("hosttask {ARGUMENT}"),
            // Some folder that nobody will want to remove.
            directory: Some(&folder::system()?),
            environment: None,
            streams: Streams {
                stdin: Some(stdin),
                stdout: Some(stdout),
                stderr: None,
            },
            console_streams: false,
            also: handed.list(),
            jobs: errand.jobs,
            token: None,
            console: errand.console,
            flags: if errand.console.is_none() {
                DETACHED_PROCESS
            } else {
                0
            },
        });
        let born = born.map_err(|error| {
            if error.kind() == io::ErrorKind::QuotaExceeded {
                return error;
            }
            failed("could not be started", &error)
        })?;
        let deadline = Deadline::after(PATIENCE);
        let launcher = Self {
            born,
            orders,
            answers,
            deadline,
        };
        Ok((launcher, order))
    }

    /// Sends the order. A launcher that does not read it says so by its answer.
    fn send(&self, order: &[u8]) -> io::Result<()> {
        let mut rest = order;
        while !rest.is_empty() {
            match self.orders.write(rest, self.deadline) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(failed("could not be told what to start", &error)),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// Waits for the answer: what was born, or why nothing was.
    fn answer(&self) -> io::Result<Told> {
        let (mut text, mut part) = (Vec::new(), [0; 1024]);
        while !text.contains(&b'\n') && text.len() < LARGEST {
            let read = self.answers.read(&mut part, self.deadline);
            match read.map_err(|error| failed("does not answer", &error))? {
                0 => break,
                read => text.extend_from_slice(part.get(..read).unwrap_or_default()),
            }
        }
        let line = text.split(|byte| *byte == b'\n').next();
        match serde_json::from_slice(line.unwrap_or_default()) {
            Ok(Answer::Born(told)) => Ok(told),
            Ok(Answer::Failed(failure)) => Err(failure.error()),
            Err(error) => Err(failed("ended without an answer", &error)),
        }
    }

    /// Takes the program over. That the handles are those of a process of the job is checked, not believed.
    fn take(&self, told: Told, job: &Handle) -> io::Result<Born> {
        let process = self.duplicate(told.process)?;
        let thread = self.duplicate(told.thread)?;
        // SAFETY: the handle is open while `process` has it; 0 where it is none of a process.
        let pid = unsafe { GetProcessId(process.as_raw_handle()) };
        // SAFETY: the handle is open while `thread` has it; 0 where it is none of a thread.
        let of_thread = unsafe { GetProcessIdOfThread(thread.as_raw_handle()) };
        let is_it = pid == told.pid && of_thread == pid && pid != self.born.pid;
        if !is_it || !is_in(&process, job)? || times(&process)?.created != told.started {
            return Err(io::Error::other(
                "the launcher in the container told of another process than the one it was to start",
            ));
        }
        Ok(Born {
            process,
            thread,
            pid,
        })
    }

    /// A handle of our own of what has this number in the launcher.
    fn duplicate(&self, number: u64) -> io::Result<Handle> {
        let number = usize::try_from(number).map_err(io::Error::other)?;
        // SAFETY: it takes nothing and returns a constant.
        let ours = unsafe { GetCurrentProcess() };
        let mut raw = ptr::null_mut();
        // SAFETY: the launcher is open while `self` has it; the number is only looked up there; `raw` receives one handle.
        let result = unsafe {
            DuplicateHandle(
                self.born.process.as_raw_handle(),
                ptr::with_exposed_provenance_mut(number),
                ours,
                &raw mut raw,
                0,
                0,
                DUPLICATE_SAME_ACCESS,
            )
        };
        check(result).map_err(|error| failed("ended before it could be relieved", &error))?;
        // SAFETY: the call succeeded, so `raw` is a new handle, and only this function knows it.
        unsafe { own(raw) }
    }

    /// Ends it, and waits until it is gone.
    fn end(&self) -> io::Result<()> {
        let process = &self.born.process;
        match terminate(process, 0) {
            // What ends already cannot be ended again.
            Err(error) if !is(&error, ERROR_ACCESS_DENIED) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let exit = wait(process, PATIENCE)?;
        exit.map(drop).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                "the launcher in the container does not end",
            )
        })
    }
}

/// What the launcher passes on, in handles that can be inherited.
#[derive(Debug)]
struct Handed {
    streams: [Option<Handle>; 3],
    token: Option<Handle>,
    console_streams: bool,
}

impl Handed {
    fn of(streams: Streams, token: Option<&Handle>, console_streams: bool) -> io::Result<Self> {
        let Streams {
            stdin,
            stdout,
            stderr,
        } = streams;
        let inherit = |file: Option<File>| file.map(|it| inheritable(it.as_handle())).transpose();
        Ok(Self {
            streams: [inherit(stdin)?, inherit(stdout)?, inherit(stderr)?],
            token: token.map(|it| inheritable(it.as_handle())).transpose()?,
            console_streams,
        })
    }

    fn list(&self) -> Vec<BorrowedHandle<'_>> {
        let handles = self.streams.iter().chain([&self.token]);
        handles.flatten().map(AsHandle::as_handle).collect()
    }

    /// What the launcher is told of it: the handles have the same numbers there.
    fn order(&self, launch: &Launch) -> io::Result<Order> {
        let name = |handle: &Option<Handle>| handle.as_ref().map(number).transpose();
        let [stdin, stdout, stderr] = &self.streams;
        Ok(Order {
            program: launch.program.clone(),
            command_line: launch.command_line.clone(),
            directory: launch.directory.clone(),
            environment: launch.environment.clone(),
            console_streams: self.console_streams,
            streams: [name(stdin)?, name(stdout)?, name(stderr)?],
            token: name(&self.token)?,
        })
    }
}

/// Ends the processes that a launcher of this job started and that nobody took over.
///
/// It has ended, and its number is not given to another while we hold it: so whoever names it as its parent, and is younger,
/// is one of them.
fn end_children(job: &Handle, launcher: &Born) -> io::Result<()> {
    let since = times(&launcher.process)?.created;
    for pid in numbers(job)? {
        let Some(process) = open_in(job, pid, PROCESS_SYNCHRONIZE | PROCESS_TERMINATE)? else {
            continue;
        };
        let is_child = parent(&process)? == launcher.pid && times(&process)?.created >= since;
        if is_child && wait(&process, Duration::ZERO)?.is_none() {
            terminate(&process, 1)?;
            wait(&process, PATIENCE)?;
        }
    }
    Ok(())
}

/// What is wrong with the launcher. Its kind is none that says something of the program.
fn failed(what: &str, error: &dyn std::error::Error) -> io::Error {
    io::Error::other(format!("the launcher in the container {what}: {error}"))
}

#[cfg(test)]
mod tests;
