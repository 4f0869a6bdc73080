//! Programs of the fake host being started: found, admitted by the limits of their jobs, and run in a thread.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::process::{FakeProcess, Reaction};
use super::state::{JobState, ProcessState, Program, Shared, State};
use super::{actor, steps};
use crate::sys::{Launch, Notice, ProcessId, Streams};

/// How a program ends that panicked: as Windows reports an abort.
const ABORTED: u32 = 0xC000_0409;

/// Starts a program.
pub(super) fn spawn(
    shared: &Arc<Shared>,
    launch: &Launch,
    streams: Streams,
    job: Option<u32>,
    parent: u32,
) -> io::Result<ProcessId> {
    let mut state = shared.lock();
    let program = find(&state, &launch.program)?;
    let admitted = admit(&mut state, launch, streams, job, parent);
    drop(state);
    shared.changed.notify_all();
    let id = admitted?;
    let process = FakeProcess {
        shared: Arc::clone(shared),
        id,
        launch: launch.clone(),
    };
    thread::spawn(move || {
        let run = || process.gate(|_| ()).map(|()| program(&process));
        let code = catch_unwind(AssertUnwindSafe(run)).unwrap_or(Ok(ABORTED));
        process.shared.end_itself(id, code.ok());
    });
    Ok(id)
}

/// Finds a program: by its path, or by the name of its file.
fn find(state: &State, path: &str) -> io::Result<Program> {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let stem = file.split('.').next().unwrap_or(file);
    if let Some(program) = state
        .programs
        .get(path)
        .or_else(|| state.programs.get(stem))
    {
        return Ok(Arc::clone(program));
    }
    if Path::new(path).is_dir() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    match stem {
        "probe" => Ok(Arc::new(|process| {
            steps::run(&mut actor::FakeActor {
                process,
                files: Vec::new(),
            })
        })),
        _ if Path::new(path).exists() => Err(io::ErrorKind::InvalidInput.into()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Makes the process, if the limits of its jobs let it.
fn admit(
    state: &mut State,
    launch: &Launch,
    streams: Streams,
    job: Option<u32>,
    parent: u32,
) -> io::Result<ProcessId> {
    let chain = state.chain(job);
    for job in &chain {
        let count = u32::try_from(state.members(*job).len()).unwrap_or(u32::MAX);
        let most = state
            .jobs
            .get(job)
            .and_then(|it| it.limits.active_processes);
        if most.is_some_and(|most| count >= most) {
            state.tell(Some(*job), Notice::ProcessLimit);
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
    }
    let count = |job: &mut JobState| job.total += 1;
    for job in chain {
        state.jobs.get_mut(&job).map(count);
    }
    let pid = state.next_number();
    let id = ProcessId {
        pid,
        started: u64::from(pid) * 1000,
    };
    let Streams {
        stdin,
        stdout,
        stderr,
    } = streams;
    let name = launch
        .program
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or_default();
    let process = ProcessState {
        id,
        parent,
        name: name.to_owned(),
        job,
        created: state.now,
        is_suspended: launch.suspended,
        exit: None,
        reaction: Reaction::default(),
        is_interrupted: false,
        user_nanoseconds: 0,
        commit_bytes: 0,
        handles: 0,
        streams: [stdin, stdout, stderr].map(|file| file.map(Arc::new)),
    };
    state.processes.insert(pid, process);
    state.tell(job, Notice::Started { pid });
    Ok(id)
}
