//! `kill`, `stop`, `pause`, `resume`, `update` and `delete`: what is done to a container that exists.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;

use super::arguments::{Delete, Kill, Output, Stop, Update};
use super::context::Context;
use super::error::CommandError;
use super::known::known;
use super::quantity::OrNone;
use super::{output, own};
use crate::id::Id;
use crate::keeper::client::Client;
use crate::keeper::protocol::{Kind, Request};
use crate::launch;
use crate::limits::{Cpu, Limits};
use crate::record::{self, Exit};
use crate::state::Signal;
use crate::sys::LimitKind;

/// How long a container that is killed may take to be gone: every process of a large tree has to end.
const END: Duration = Duration::from_secs(30);

/// How often is looked whether a container whose keeper is gone has ended.
const LOOK: Duration = Duration::from_millis(20);

/// `kill`.
pub(super) fn kill(context: &Context, command: Kill) -> Result<u32, CommandError> {
    let request = Request::Kill {
        exec: command.exec,
        signal: command.signal,
        all: command.all,
    };
    context.keeper(&command.id)?.ask_now::<()>(&request)?;
    Ok(0)
}

/// `stop`. A container that ended already is stopped.
pub(super) fn stop(context: &Context, command: &Stop) -> Result<u32, CommandError> {
    let request = Request::Stop {
        grace_ms: u64::try_from(command.grace.0.as_millis()).unwrap_or(u64::MAX),
    };
    let takes = command.grace.0 + END;
    let keeper = context.keeper(&command.id);
    let stopped = keeper.and_then(|mut keeper| Ok(keeper.ask::<Exit>(&request, takes)?));
    match stopped {
        Err(error) if error.is_gone() => has_stopped(context, &command.id)?,
        stopped => {
            let _: Exit = stopped?;
        }
    }
    Ok(0)
}

/// Says how a container ended whose keeper is gone. What was held by a keeper that was just killed may need a moment.
fn has_stopped(context: &Context, id: &Id) -> Result<(), CommandError> {
    let deadline = Instant::now() + END;
    loop {
        let known = known(context, id)?;
        if known.status == "stopped" {
            if let Some(note) = known.note {
                super::notice(context.log_format(), &format!("{id} has stopped: {note}"));
            }
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(CommandError::NoKeeper(id.clone()));
        }
        std::thread::sleep(LOOK);
    }
}

/// `pause` and `resume`.
pub(super) fn simple(context: &Context, id: &Id, request: &Request) -> Result<u32, CommandError> {
    context.keeper(id)?.ask_now::<()>(request)?;
    Ok(0)
}

/// `update`. Prints all limits that hold afterwards.
pub(super) fn update(context: &Context, command: &Update) -> Result<u32, CommandError> {
    let (limits, lift) = asked(command);
    launch::check_limits(&limits, &context.host.features(), option)?;
    let resources = command
        .resources
        .as_deref()
        .map(super::read_json)
        .transpose()?;
    if resources.is_none() && limits == Limits::default() && lift.is_empty() {
        return Err(CommandError::NothingToChange);
    }
    let request = Request::Update {
        resources,
        limits: Box::new(limits),
        lift,
    };
    let now: Limits = context.keeper(&command.id)?.ask_now(&request)?;
    if context.output(Output::Table) == Output::Json {
        output::json(&now).map_err(CommandError::Print)?;
    }
    Ok(0)
}

/// The option that asks for a kind of limit; none has the others.
fn option(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::JobMemory => "--memory-bytes",
        LimitKind::ProcessMemory => "--process-memory-bytes",
        LimitKind::CpuCap => "--cpu-maximum",
        LimitKind::CpuWeight => "--cpu-weight",
        LimitKind::ActiveProcesses => "--processes",
        LimitKind::Affinity
        | LimitKind::Priority
        | LimitKind::UserInterface
        | LimitKind::NetworkRate
        | LimitKind::IoRate => "--resources",
    }
}

/// What the options ask for, and which limits they lift.
fn asked(command: &Update) -> (Limits, BTreeSet<LimitKind>) {
    let mut limits = Limits::default();
    let mut lift = BTreeSet::new();
    let mut lifts = |kinds: &[LimitKind]| lift.extend(kinds.iter().copied());
    match command.memory_bytes {
        Some(OrNone::Some(bytes)) => limits.job_memory_bytes = Some(bytes.0),
        Some(OrNone::None) => lifts(&[LimitKind::JobMemory]),
        None => {}
    }
    match command.process_memory_bytes {
        Some(OrNone::Some(bytes)) => limits.process_memory_bytes = Some(bytes.0),
        Some(OrNone::None) => lifts(&[LimitKind::ProcessMemory]),
        None => {}
    }
    match command.cpu_maximum {
        Some(OrNone::Some(cap)) => limits.cpu = Some(Cpu::Cap(cap)),
        Some(OrNone::None) => lifts(&[LimitKind::CpuCap]),
        None => {}
    }
    match command.cpu_weight {
        Some(OrNone::Some(weight)) => limits.cpu = Some(Cpu::Weight(weight)),
        Some(OrNone::None) => lifts(&[LimitKind::CpuWeight]),
        None => {}
    }
    match command.processes {
        Some(OrNone::Some(count)) => limits.active_processes = Some(count),
        Some(OrNone::None) => lifts(&[LimitKind::ActiveProcesses]),
        None => {}
    }
    (limits, lift)
}

/// `delete`.
pub(super) fn delete(context: &Context, command: &Delete) -> Result<u32, CommandError> {
    let id = &command.id;
    let keeper = context.keeper(id);
    let deleted = keeper.and_then(|client| delete_held(context, command, client));
    match deleted {
        // Its processes went with it; to forget one of them is no wish to lose the container.
        Err(error) if command.exec.is_none() && error.is_gone() => delete_left(context, command)?,
        Err(CommandError::NoContainer { .. }) if command.force => {}
        deleted => deleted?,
    }
    if command.exec.is_none() {
        own::remove(&context.root, id);
    }
    Ok(0)
}

/// Has the keeper delete what it holds.
fn delete_held(
    context: &Context,
    command: &Delete,
    mut client: Client,
) -> Result<(), CommandError> {
    // Read before it is gone: whoever cannot read it need not wait for it.
    let record = context.store()?.read(&command.id).ok();
    if command.force {
        end(&mut client)?;
    }
    let request = Request::Delete {
        exec: command.exec.clone(),
    };
    client.ask::<IgnoredAny>(&request, END)?;
    drop(client);
    if command.exec.is_none()
        && let Some(record) = record
        && let Some(keeper) = record.keeper
    {
        context.wait_end(keeper, Some(&record.job));
    }
    Ok(())
}

/// Removes what a keeper left that is gone, or that ended when it was asked: it may have been killed a moment before.
fn delete_left(context: &Context, command: &Delete) -> Result<(), CommandError> {
    let id = &command.id;
    let record = context.store()?.read(id);
    if matches!(record, Err(record::Error::NotFound { .. })) {
        return Ok(());
    }
    if let Ok(record) = record
        && let Some(keeper) = record.keeper
    {
        context.wait_end(keeper, Some(&record.job));
    }
    super::sweep::remove(context, id, command.force)
}

/// Ends a container and waits for that.
fn end(client: &mut Client) -> Result<(), CommandError> {
    let kill = Request::Kill {
        exec: None,
        signal: Signal::Kill,
        all: true,
    };
    match client.ask_now::<()>(&kill) {
        // It has ended, or is being ended.
        Err(error) if matches!(error.kind(), Kind::FailedPrecondition | Kind::NotFound) => {}
        killed => killed?,
    }
    let deadline = Instant::now() + END;
    // Deleting says what is wrong, if anything is.
    drop(client.wait_until(None, Some(deadline)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::arguments::{Arguments, Command};
    use super::*;

    #[test]
    fn options_become_limits_and_none_lifts_them() {
        let line = "hosttask-node update web --memory-bytes 1MiB --processes none --cpu-weight 7";
        let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
        let Command::Update(update) = arguments.command else {
            panic!("{arguments:?}");
        };
        let (limits, lift) = asked(&update);
        let expected = Limits {
            job_memory_bytes: Some(1 << 20),
            cpu: Some(Cpu::Weight(7)),
            ..Limits::default()
        };
        assert_eq!(limits, expected);
        assert_eq!(lift, BTreeSet::from([LimitKind::ActiveProcesses]));
    }
}
