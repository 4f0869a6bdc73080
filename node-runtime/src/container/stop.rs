//! Tells processes to end, and waits until they have.

use std::time::{Duration, Instant};

use super::Error;
use super::inner::Inner;
use crate::id::Id;
use crate::record::Exit;
use crate::state::{Effect, Refused, Request, Signal};

/// How long a request waits for a start that is under way, where its caller does not say.
const START: Duration = Duration::from_secs(30);

/// How long processes that were killed may need until they are gone.
const GONE: Duration = Duration::from_secs(30);

/// Tells all processes, or an added one, to end.
pub(super) fn kill(
    inner: &Inner,
    exec: Option<&Id>,
    signal: Signal,
    all: bool,
) -> Result<(), Error> {
    let request = match exec {
        Some(id) if all => return Err(Error::AllOfOne(id.clone())),
        Some(id) => Request::SignalAdded(id.clone(), signal),
        None => Request::Signal(signal),
    };
    carry_out(inner, once_started(inner, &request)?)
}

/// Ends all processes, and waits so long for a start that is under way.
pub(super) fn end(inner: &Inner, patience: Duration) -> Result<(), Error> {
    let request = Request::Signal(Signal::Kill);
    carry_out(inner, once_started_within(inner, &request, patience)?)
}

fn carry_out(inner: &Inner, effects: Vec<Effect>) -> Result<(), Error> {
    for effect in effects {
        if let Effect::InterruptAdded(id) = &effect {
            ask(inner, id)?;
        } else if effect == Effect::Interrupt {
            ask_all(inner)?;
        }
    }
    Ok(())
}

/// Asks every process to end, and keeps in mind which could not be asked.
fn ask_all(inner: &Inner) -> Result<(), Error> {
    let asked = inner.job()?.interrupt();
    inner.lock().not_asked = asked.map_err(Error::host("ask the processes to end"))?;
    Ok(())
}

/// Asks an added process to end.
fn ask(inner: &Inner, id: &Id) -> Result<(), Error> {
    let Some(process) = inner.lock().process(id) else {
        return Ok(());
    };
    let asked = process.interrupt();
    if asked.map_err(Error::host("ask the process to end"))? {
        return Ok(());
    }
    // It ended just now, which is what is asked for.
    if let Ok(Some(_)) = process.wait(Duration::ZERO) {
        return Ok(());
    }
    let pid = process.id().pid;
    Err(Error::CannotAsk { pid })
}

/// Asks all processes to end, waits, and ends those that are left.
pub(super) fn stop(inner: &Inner, grace: Duration) -> Result<Exit, Error> {
    let begin = Instant::now();
    match kill(inner, None, Signal::Terminate, false) {
        // A host that cannot ask them is no reason to leave them running.
        Ok(()) | Err(Error::Refused(Refused::NothingToSignal) | Error::Host { .. }) => {}
        Err(error) => return Err(error),
    }
    let left = grace.saturating_sub(begin.elapsed());
    if let Some(exit) = inner.wait(None, left)? {
        return Ok(exit);
    }
    match kill(inner, None, Signal::Kill, false) {
        Ok(()) | Err(Error::Refused(Refused::NothingToSignal)) => {}
        Err(error) => return Err(error),
    }
    inner.wait(None, GONE)?.ok_or(Error::DoesNotEnd)
}

/// Applies a request that has to wait while a process is being started: then there is nobody to be told, but there will be.
/// Returns what takes long.
pub(super) fn once_started(inner: &Inner, request: &Request) -> Result<Vec<Effect>, Error> {
    once_started_within(inner, request, START)
}

fn once_started_within(
    inner: &Inner,
    request: &Request,
    patience: Duration,
) -> Result<Vec<Effect>, Error> {
    let begin = Instant::now();
    let mut life = inner.lock();
    loop {
        let error = match inner.apply_to(&mut life, request.clone()) {
            Err(error @ Error::Refused(Refused::Starting | Refused::AddedStarting(_))) => error,
            other => return other,
        };
        let left = patience.saturating_sub(begin.elapsed());
        if left.is_zero() {
            return Err(error);
        }
        life = inner.wait_changed(life, left);
    }
}
