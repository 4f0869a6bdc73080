//! `create`, `run`, `start` and `exec`: from a keeper to a program that runs, and to its end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::arguments::{Create, Exec, Run};
use super::attach::{self, Relays};
use super::context::{Context, absolute};
use super::error::CommandError;
use super::own;
use super::quantity::Variable;
use crate::container::Stdio;
use crate::id::Id;
use crate::keeper::boot;
use crate::keeper::client::{AskError, Client};
use crate::keeper::protocol::{Process, Request};
use crate::record::Exit;
use crate::state::Signal;
use crate::sys::{self, ProcessId};

/// How often an attached command looks whether it was interrupted.
const LOOK: Duration = Duration::from_millis(50);

/// `create`.
pub(super) fn create(context: &Context, command: &Create) -> Result<u32, CommandError> {
    let bundle = bundle_of(command)?;
    let stdio = attach::detached(&command.streams)?;
    let (_, keeper) = make(context, &command.id, bundle, stdio)?;
    write_pid(command.streams.pid_file.as_deref(), keeper)?;
    Ok(0)
}

/// `start`.
pub(super) fn start(context: &Context, id: &Id) -> Result<u32, CommandError> {
    let _: ProcessId = context.keeper(id)?.ask_now(&Request::Start)?;
    Ok(0)
}

/// `run`. Ends with the program's own code unless it is detached.
pub(super) fn run(context: &Context, command: &Run) -> Result<u32, CommandError> {
    let interrupted = interrupts()?;
    let id = &command.create.id;
    let bundle = if command.program.is_empty() {
        bundle_of(&command.create)?
    } else {
        own::make(context, id, &command.program)?
    };
    let streams = &command.create.streams;
    let has_terminal = bundle_has_terminal(&bundle);
    let started =
        streams_of(context, command.detach, has_terminal, streams).and_then(|(stdio, relays)| {
            let (client, keeper) = make(context, id, bundle, stdio)?;
            let (process, client) = start_or_delete(context, id, client, keeper)?;
            Ok((process, client, keeper, relays))
        });
    let (process, client, keeper, relays) = match started {
        Ok(started) => started,
        Err(error) => {
            if !command.program.is_empty() {
                own::remove(&context.root, id);
            }
            return Err(error);
        }
    };
    write_pid(streams.pid_file.as_deref(), process)?;
    let Some(relays) = relays else {
        return Ok(0);
    };
    let stop = Request::Stop {
        grace_ms: u64::try_from(command.grace.0.as_millis()).unwrap_or(u64::MAX),
    };
    let exit = stay(
        context,
        id,
        client,
        None,
        (stop, command.grace.0),
        &interrupted,
    )?;
    relays.drain();
    if command.rm {
        delete(context, id, context.keeper(id)?, keeper)?;
    }
    Ok(exit.code)
}

/// `exec`. Ends with the program's own code unless it is detached.
pub(super) fn exec(context: &Context, command: &Exec) -> Result<u32, CommandError> {
    let interrupted = interrupts()?;
    let mut client = context.keeper(&command.id)?;
    let process = process_of(command)?;
    let exec = match &command.exec_id {
        Some(exec) => exec.clone(),
        None => free_name(context)?,
    };
    let has_terminal = has_terminal(&process);
    let (stdio, relays) = streams_of(context, command.detach, has_terminal, &command.streams)?;
    let add = Request::Exec {
        id: exec.clone(),
        process,
        stdio,
    };
    client.ask_now::<()>(&add)?;
    let delete = Request::Delete {
        exec: Some(exec.clone()),
    };
    let start = Request::StartExec { id: exec.clone() };
    let started: Result<ProcessId, AskError> = client.ask_now(&start);
    let process = started.inspect_err(|_| {
        // Why it could not be started says more than why it could not be forgotten.
        drop(client.ask_now::<IgnoredAny>(&delete));
    })?;
    write_pid(command.streams.pid_file.as_deref(), process)?;
    let Some(relays) = relays else {
        return Ok(0);
    };
    let interrupt = Request::Kill {
        exec: Some(exec.clone()),
        signal: Signal::Terminate,
        all: false,
    };
    let interrupt = (interrupt, Duration::ZERO);
    let exit = stay(
        context,
        &command.id,
        client,
        Some(&exec),
        interrupt,
        &interrupted,
    )?;
    relays.drain();
    // A container that was deleted meanwhile took it along.
    if let Ok(mut client) = context.keeper(&command.id) {
        drop(client.ask_now::<IgnoredAny>(&delete));
    }
    Ok(exit.code)
}

/// A flag that is set when the user wants an end. From now on Ctrl+C does not end this command by itself.
fn interrupts() -> Result<Arc<AtomicBool>, CommandError> {
    let flag = Arc::new(AtomicBool::new(false));
    sys::on_interrupt(Arc::clone(&flag)).map_err(CommandError::Host)?;
    Ok(flag)
}

fn bundle_of(command: &Create) -> Result<PathBuf, CommandError> {
    absolute(command.bundle.as_deref().unwrap_or_else(|| Path::new(".")))
}

fn streams_of(
    context: &Context,
    is_detached: bool,
    has_terminal: bool,
    streams: &super::arguments::Streams,
) -> Result<(Stdio, Option<Relays>), CommandError> {
    if is_detached {
        return Ok((attach::detached(streams)?, None));
    }
    let (stdio, relays) = attach::attached(context, streams, has_terminal)?;
    Ok((stdio, Some(relays)))
}

/// Whether a bundle's program is to have a terminal. What else is wrong with its config is said by the keeper.
fn bundle_has_terminal(bundle: &Path) -> bool {
    let config = super::read_json(&bundle.join("config.json"));
    config.is_ok_and(|it| it.pointer("/process/terminal") == Some(&Value::Bool(true)))
}

/// Whether a further process is to have a terminal.
fn has_terminal(process: &Process) -> bool {
    match process {
        Process::Whole(document) => document.get("terminal") == Some(&Value::Bool(true)),
        Process::Like { terminal, .. } => *terminal,
    }
}

/// Starts a keeper and has it create the container.
fn make(
    context: &Context,
    id: &Id,
    bundle: PathBuf,
    stdio: Stdio,
) -> Result<(Client, ProcessId), CommandError> {
    // The keeper finds out as well; here it costs no process.
    if context.store()?.path(id).exists() {
        return Err(CommandError::Exists(id.clone()));
    }
    let program = std::env::current_exe().map_err(CommandError::file("find", "our own program"))?;
    let keeper = boot::start(
        context.host.as_ref(),
        &program,
        &keeper_arguments(context, id)?,
    )?;
    let mut client = Client::connect(context.host.as_ref(), &context.address(id))?;
    let create = Request::Create {
        bundle,
        stdio,
        keeper,
    };
    match client.ask_now::<()>(&create) {
        Ok(()) => Ok((client, keeper)),
        Err(error) => {
            // It has nothing to hold and ends: then the next one can serve its address.
            drop(client);
            context.wait_end(keeper, None);
            Err(error.into())
        }
    }
}

fn keeper_arguments(context: &Context, id: &Id) -> Result<Vec<String>, CommandError> {
    let mut arguments = vec!["keeper".to_owned()];
    arguments.extend([
        "--root".to_owned(),
        context.root.to_string_lossy().into_owned(),
    ]);
    if let Some(log) = &context.global.log {
        let log = absolute(log)?.to_string_lossy().into_owned();
        let format = match context.log_format() {
            crate::log::Format::Text => "text",
            crate::log::Format::Json => "json",
        };
        arguments.extend(["--log".to_owned(), log]);
        arguments.extend(["--log-format".to_owned(), format.to_owned()]);
    }
    arguments.push(id.to_string());
    Ok(arguments)
}

/// Starts a container that was created for this alone: it is no use to anybody when that fails.
fn start_or_delete(
    context: &Context,
    id: &Id,
    mut client: Client,
    keeper: ProcessId,
) -> Result<(ProcessId, Client), CommandError> {
    match client.ask_now(&Request::Start) {
        Ok(process) => Ok((process, client)),
        Err(error) => {
            // Why it could not be started says more than why it could not be removed.
            drop(delete(context, id, client, keeper));
            Err(error.into())
        }
    }
}

/// Deletes a container that ended, and waits until its name is free.
fn delete(
    context: &Context,
    id: &Id,
    mut client: Client,
    keeper: ProcessId,
) -> Result<(), CommandError> {
    let record = context.record(&context.store()?, id)?;
    client.ask_now::<IgnoredAny>(&Request::Delete { exec: None })?;
    drop(client);
    context.wait_end(keeper, Some(&record.job));
    Ok(())
}

fn process_of(command: &Exec) -> Result<Process, CommandError> {
    if let Some(path) = &command.process {
        return Ok(Process::Whole(super::read_json(path)?));
    }
    let variables = command.env.iter().map(|it| it.parse::<Variable>());
    let variables = variables.map(|it| it.map(|it| (it.name, it.value)));
    Ok(Process::Like {
        args: command.program.clone(),
        cwd: command.cwd.clone(),
        user: command.user.clone(),
        env: variables.collect::<Result<_, _>>()?,
        terminal: command.tty,
    })
}

/// A name that no other process of the container has: two commands with one number cannot live at one time.
fn free_name(context: &Context) -> Result<Id, CommandError> {
    let at = context.host.now().as_millisecond();
    let name = format!("exec-{}-{at:x}", std::process::id());
    Id::parse(&name).map_err(|_| super::quantity::QuantityError::Time(name).into())
}

fn write_pid(file: Option<&Path>, process: ProcessId) -> Result<(), CommandError> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, process.pid.to_string()).map_err(CommandError::file("write", file))
}

/// Waits for the end of a process. The first interrupt asks it to end, the second ends it.
fn stay(
    context: &Context,
    id: &Id,
    mut client: Client,
    exec: Option<&Id>,
    (gentle, takes): (Request, Duration),
    interrupted: &AtomicBool,
) -> Result<Exit, CommandError> {
    let (tells, told) = mpsc::channel();
    let waits_for = exec.cloned();
    let waiter = thread::Builder::new().spawn(move || {
        // Nobody hears it where this command ended.
        drop(tells.send(client.wait(waits_for.as_ref())));
    });
    waiter.map_err(CommandError::Thread)?;
    let hard = Request::Kill {
        exec: exec.cloned(),
        signal: Signal::Kill,
        all: exec.is_none(),
    };
    let mut steps = [(gentle, takes), (hard, Duration::ZERO)].into_iter();
    loop {
        match told.recv_timeout(LOOK) {
            Ok(exit) => return Ok(exit?),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(AskError::Left.into()),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if interrupted.swap(false, Ordering::AcqRel)
            && let Some((request, takes)) = steps.next()
        {
            interrupt(context, id, request, takes)?;
        }
    }
}

/// Sends a request beside the one that waits. How it ends is seen by that one.
fn interrupt(
    context: &Context,
    id: &Id,
    request: Request,
    takes: Duration,
) -> Result<(), CommandError> {
    let mut client = context.keeper(id)?;
    let sent = thread::Builder::new().spawn(move || {
        drop(client.ask::<IgnoredAny>(&request, takes));
    });
    sent.map(|_| ()).map_err(CommandError::Thread)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_terminal_is_seen_where_it_is_asked_for_and_nowhere_else() {
        let bundle = tempfile::tempdir().unwrap();
        assert!(!bundle_has_terminal(bundle.path()));
        for terminal in [true, false] {
            let process = json!({ "args": ["x"], "terminal": terminal });
            let config = json!({ "process": process }).to_string();
            std::fs::write(bundle.path().join("config.json"), config).unwrap();
            assert_eq!(bundle_has_terminal(bundle.path()), terminal);
            assert_eq!(has_terminal(&Process::Whole(process)), terminal);
        }
        assert!(!has_terminal(&Process::Whole(json!({}))));
    }
}
