//! Waiting for threads that pass streams on: something that happens once, and how many are left.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::sys::Cancel;

/// Something that happens once, and can be waited for.
#[derive(Debug, Default)]
pub(super) struct Cut {
    state: Mutex<CutState>,
    changed: Condvar,
}

#[derive(Default)]
struct CutState {
    is_set: bool,
    /// Ends what its thread waits for at another place.
    cancel: Option<Cancel>,
}

impl fmt::Debug for CutState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CutState")
            .field("is_set", &self.is_set)
            .finish_non_exhaustive()
    }
}

impl Cut {
    fn lock(&self) -> MutexGuard<'_, CutState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self) {
        let mut state = self.lock();
        state.is_set = true;
        let cancel = state.cancel.take();
        drop(state);
        self.changed.notify_all();
        if let Some(cancel) = cancel {
            cancel();
        }
    }

    /// Calls this once it happens, at once where it has; in place of what was to be called before.
    pub(super) fn then(&self, cancel: Cancel) {
        let mut state = self.lock();
        if state.is_set {
            drop(state);
            cancel();
        } else {
            state.cancel = Some(cancel);
        }
    }

    pub(super) fn is_set(&self) -> bool {
        self.lock().is_set
    }

    /// Waits for it; whether it happened.
    pub(super) fn wait(&self, timeout: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |state| !state.is_set);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_set
    }
}

/// How many threads run.
#[derive(Debug, Default)]
pub(super) struct Count {
    running: Mutex<usize>,
    changed: Condvar,
}

impl Count {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no more than so many run; whether that is so.
    pub(super) fn wait_at_most(&self, most: usize, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), left, |running| *running > most);
        *waited.unwrap_or_else(PoisonError::into_inner).0 <= most
    }
}

/// One of them.
pub(super) struct Running(Arc<Count>);

impl Running {
    pub(super) fn new(count: &Arc<Count>) -> Self {
        *count.lock() += 1;
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.changed.notify_all();
    }
}
