//! Tells processes to end, and waits until they have.

use std::time::{Duration, Instant};

use super::Error;
use super::inner::Inner;
use crate::id::Id;
use crate::record::Exit;
use crate::state::{Refused, Request, Signal};

/// How long a signal waits for a start that is under way.
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
    match exec {
        Some(id) if all => Err(Error::AllOfOne(id.clone())),
        Some(id) => once_started(inner, &Request::SignalAdded(id.clone(), signal)),
        None => once_started(inner, &Request::Signal(signal)),
    }
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
pub(super) fn once_started(inner: &Inner, request: &Request) -> Result<(), Error> {
    let begin = Instant::now();
    let mut life = inner.lock();
    loop {
        let error = match inner.apply_to(&mut life, request.clone()) {
            Err(error @ Error::Refused(Refused::Starting | Refused::AddedStarting(_))) => error,
            other => return other,
        };
        let left = START.saturating_sub(begin.elapsed());
        if left.is_zero() {
            return Err(error);
        }
        life = inner.wait_changed(life, left);
    }
}
