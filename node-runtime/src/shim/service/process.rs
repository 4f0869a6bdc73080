//! What the service keeps of a process beside its container: the streams as containerd named them, and its end once it was
//! told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::failure::Failure;
use crate::id::Id;
use crate::record::Exit;
use crate::ttrpc::Caller;

/// How often is looked whether somebody still waits.
const LOOK: Duration = Duration::from_secs(1);

/// The streams of a process as containerd named them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) stdin: String,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) terminal: bool,
}

/// The first process of a container or an added one.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) streams: Named,
    pub(super) end: End,
    /// Whether its input was to be closed before it was started.
    pub(super) is_deaf: AtomicBool,
    /// Whether the container knows it, or knew it.
    is_made: AtomicBool,
}

/// The end of a process, once it was published.
#[derive(Debug, Default)]
pub(super) struct End {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone)]
enum Told {
    #[default]
    NotYet,
    Ended(Exit),
    /// Nothing will be told any more.
    Never,
}

impl End {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was told. Only the first time counts.
    pub(super) fn tell(&self, exit: Exit) {
        self.set(Told::Ended(exit));
    }

    /// It will not be told.
    pub(super) fn give_up(&self) {
        self.set(Told::Never);
    }

    fn set(&self, what: Told) {
        let mut told = self.lock();
        if matches!(*told, Told::NotYet) {
            *told = what;
            self.changed.notify_all();
        }
    }

    /// Waits until it was told, or the caller is gone.
    pub(super) fn wait(&self, caller: &Caller) -> Result<Exit, Failure> {
        loop {
            match self.wait_for(LOOK) {
                Told::Ended(exit) => return Ok(exit),
                Told::Never => return Err(Failure::Untold),
                Told::NotYet if caller.is_gone() => return Err(Failure::TooLate),
                Told::NotYet => {}
            }
        }
    }

    /// Waits at most so long until it was told.
    pub(super) fn settle(&self, timeout: Duration) {
        let _told_or_too_late = self.wait_for(timeout);
    }

    fn wait_for(&self, timeout: Duration) -> Told {
        let is_open = |told: &mut Told| matches!(told, Told::NotYet);
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, is_open);
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

/// The processes of a container: the first, and those that were added.
#[derive(Debug, Default)]
pub(super) struct Processes {
    all: Mutex<BTreeMap<Option<Id>, Arc<Process>>>,
}

impl Processes {
    /// The first one alone.
    pub(super) fn new(streams: Named) -> Self {
        let first = Process {
            streams,
            ..Process::default()
        };
        Self {
            all: Mutex::new(BTreeMap::from([(None, Arc::new(first))])),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<Id>, Arc<Process>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of them.
    pub(super) fn find(&self, exec: Option<&Id>) -> Option<Arc<Process>> {
        self.lock().get(&exec.cloned()).cloned()
    }

    /// One more, which is about to be added to the container. `lives` says whether the container still knows another: it
    /// forgets the oldest of very many. None where there is one of that name.
    pub(super) fn add(
        &self,
        exec: &Id,
        streams: Named,
        lives: impl Fn(&Id) -> bool,
    ) -> Option<Arc<Process>> {
        let mut all = self.lock();
        all.retain(|id, process| {
            let is_known = || id.as_ref().is_none_or(&lives);
            !process.is_made.load(Ordering::Acquire) || is_known()
        });
        let key = Some(exec.clone());
        if all.contains_key(&key) {
            return None;
        }
        let process = Arc::new(Process {
            streams,
            ..Process::default()
        });
        all.insert(key, Arc::clone(&process));
        Some(process)
    }

    /// Forgets one.
    pub(super) fn remove(&self, exec: &Id) {
        self.lock().remove(&Some(exec.clone()));
    }

    /// Nothing will be told any more.
    pub(super) fn give_up(&self) {
        for process in self.lock().values() {
            process.end.give_up();
        }
    }
}

impl Process {
    /// From now on the container knows it.
    pub(super) fn made(&self) {
        self.is_made.store(true, Ordering::Release);
    }
}
