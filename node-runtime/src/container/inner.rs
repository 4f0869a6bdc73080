//! What the methods and the watchers of a container share, and the one place where the state changes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::events::Hub;
use super::process::{Entry, Running};
use super::{Error, Output, Phase, Status};
use crate::id::Id;
use crate::launch::Plan;
use crate::limits::Limits;
use crate::record::{self, Exit, Folder, Record, Store};
use crate::state::{Added, Effect, KILLED, Refused, Request, Stage, State};
use crate::storage::Placed;
use crate::sys::{Host, Identity, Job, Process, ProcessId};

/// A container.
pub(super) struct Inner {
    pub(super) host: Arc<dyn Host>,
    pub(super) id: Id,
    pub(super) plan: Plan,
    pub(super) placed: Placed,
    pub(super) store: Arc<Store>,
    /// None once it is deleted.
    pub(super) folder: Mutex<Option<Folder>>,
    /// None once it is deleted.
    pub(super) job: Mutex<Option<Arc<dyn Job>>>,
    /// The user of the first process, who is logged on once and for all processes of that user.
    pub(super) identity: Mutex<Option<Arc<dyn Identity>>>,
    pub(super) life: Mutex<Life>,
    /// The state changed.
    pub(super) changed: Condvar,
}

/// What changes in the life of a container.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) state: State,
    pub(super) record: Record,
    pub(super) record_error: Option<String>,
    pub(super) limits: Limits,
    pub(super) hub: Hub,
    pub(super) init: Entry,
    pub(super) added: BTreeMap<Id, Entry>,
    pub(super) not_asked: Vec<u32>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Inner {
    pub(super) fn lock(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job, until the container is deleted.
    pub(super) fn job(&self) -> Result<Arc<dyn Job>, Error> {
        let job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        job.clone().ok_or_else(Error::deleted)
    }

    /// Changes the state as the request asks, and does what follows. When that fails, or is refused, the state stays.
    pub(super) fn apply(&self, request: Request) -> Result<(), Error> {
        self.apply_to(&mut self.lock(), request).map(drop)
    }

    /// The same while the lock is held. Returns what takes long, which the caller does without the lock.
    pub(super) fn apply_to(&self, life: &mut Life, request: Request) -> Result<Vec<Effect>, Error> {
        let now = self.host.now();
        let (next, effects) = life.state.apply(request, now)?;
        let (long, short): (Vec<_>, Vec<_>) = effects.into_iter().partition(takes_long);
        for effect in &short {
            self.perform(life, &next, effect, now)?;
        }
        life.state = next;
        self.changed.notify_all();
        Ok(long)
    }

    fn perform(
        &self,
        life: &mut Life,
        next: &State,
        effect: &Effect,
        now: Timestamp,
    ) -> Result<(), Error> {
        match effect {
            Effect::RememberRunning => self.remember_running(life),
            Effect::Remember => {
                self.remember(life, next);
                Ok(())
            }
            Effect::Tell(event) => {
                life.hub.tell(now, event.clone());
                Ok(())
            }
            Effect::Resume => {
                let resumed = self.job()?.resume();
                resumed.map_err(Error::host("let the processes go on"))
            }
            Effect::Suspend => {
                let suspended = self.job()?.suspend();
                suspended.map_err(Error::host("pause the processes"))
            }
            Effect::Terminate => {
                let ended = self.job()?.terminate(KILLED);
                ended.map_err(Error::host("end the processes"))
            }
            Effect::EndTree => {
                // Whoever watches the container does it again until nothing is left.
                let _again_later = self.job()?.terminate(KILLED);
                Ok(())
            }
            Effect::SetLimits => {
                let set = self.job()?.set_limits(&life.limits);
                set.map_err(Error::host("set the limits of the container"))
            }
            Effect::TerminateAdded(id) => match life.process(id) {
                Some(process) => process
                    .terminate(KILLED)
                    .map_err(Error::host("end the process")),
                None => Ok(()),
            },
            Effect::Interrupt
            | Effect::InterruptAdded(_)
            | Effect::Spawn
            | Effect::SpawnAdded(_)
            | Effect::CleanUp => Ok(()),
        }
    }

    /// Does something with the folder of records, as long as the container has one.
    fn write(
        &self,
        write: impl FnOnce(&Folder) -> Result<(), record::Error>,
    ) -> Result<(), record::Error> {
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        folder.as_ref().map_or(Ok(()), write)
    }

    /// Writes down that it is about to run, so that nobody who finds the record later thinks that it never did.
    fn remember_running(&self, life: &mut Life) -> Result<(), Error> {
        let mut record = life.record.clone();
        record.phase = record::Phase::Running;
        self.write(|folder| folder.write(&record))?;
        life.record = record;
        Ok(())
    }

    fn remember(&self, life: &mut Life, next: &State) {
        life.record.phase = match next.stage {
            Stage::Created => record::Phase::Created,
            Stage::Starting | Stage::Running { .. } | Stage::Ending { .. } => {
                record::Phase::Running
            }
            Stage::Stopped(_) | Stage::Deleting(_) | Stage::Deleted(_) => record::Phase::Stopped,
        };
        life.record.exit = next.exit().cloned();
        let written = if let Stage::Running { process, .. } = next.stage {
            life.record.init = Some(process);
            // That it was about to run is on the disk already, and after a loss of power nobody asks which process it was.
            self.write(|folder| folder.add(&life.record))
        } else {
            self.write(|folder| folder.write(&life.record))
        };
        life.record_error = written.err().map(|error| error.to_string());
    }

    pub(super) fn update(&self, limits: &Limits) -> Result<(), Error> {
        let mut life = self.lock();
        let before = std::mem::replace(&mut life.limits, limits.clone());
        let set = self.apply_to(&mut life, Request::Update);
        if set.is_err() {
            life.limits = before;
        }
        set.map(drop)
    }

    /// The handles of a process that runs.
    pub(super) fn running(&self, exec: Option<&Id>) -> Result<Arc<Running>, Error> {
        let life = self.lock();
        let running = life.entry(exec)?.running.clone();
        let refused = || match exec {
            None if life.state.exit().is_some() => Refused::Ended,
            None => Refused::NotStarted,
            Some(id) => match life.state.added.get(id) {
                Some(Added::Stopped(_)) => Refused::AddedEnded(id.clone()),
                _ => Refused::AddedNotStarted(id.clone()),
            },
        };
        running.ok_or_else(|| refused().into())
    }

    pub(super) fn wait(&self, exec: Option<&Id>, timeout: Duration) -> Result<Option<Exit>, Error> {
        let begin = Instant::now();
        let mut life = self.lock();
        loop {
            if let Some(exit) = life.exit(exec)? {
                return Ok(Some(exit));
            }
            let left = timeout.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            life = self.wait_changed(life, left);
        }
    }

    fn tried(&self) -> Vec<String> {
        let tried = self.placed.tried.iter();
        tried
            .map(|it| format!("{:?}: {}", it.means, it.why))
            .collect()
    }

    /// Waits for a change of the state.
    pub(super) fn wait_changed<'a>(
        &self,
        life: MutexGuard<'a, Life>,
        timeout: Duration,
    ) -> MutexGuard<'a, Life> {
        let woken = self.changed.wait_timeout(life, timeout);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn status(&self, exec: Option<&Id>) -> Result<Status, Error> {
        let life = self.lock();
        let entry = life.entry(exec)?;
        let (phase, process) = life.phase(exec)?;
        let (lost_bytes, was_cut) = entry
            .story
            .as_ref()
            .map_or_else(Default::default, |story| (story.lost(), story.was_cut()));
        Ok(Status {
            id: self.id.clone(),
            exec: exec.cloned(),
            phase,
            process: process.or(entry.process),
            exit: life.exit(exec)?,
            created: entry.created,
            started: entry.started,
            bundle: life.record.bundle.clone(),
            root: self.placed.location.clone(),
            means: self.placed.means,
            tried: self.tried(),
            execs: life.added.keys().cloned().collect(),
            output: Output {
                lost_bytes,
                was_cut,
            },
            not_asked: life.not_asked.clone(),
            record_error: life.record_error.clone(),
        })
    }
}

/// Whether it is done without the lock, so that others can look and act meanwhile.
fn takes_long(effect: &Effect) -> bool {
    match effect {
        Effect::Interrupt
        | Effect::InterruptAdded(_)
        | Effect::Spawn
        | Effect::SpawnAdded(_)
        | Effect::CleanUp => true,
        Effect::RememberRunning
        | Effect::Resume
        | Effect::Suspend
        | Effect::Terminate
        | Effect::EndTree
        | Effect::SetLimits
        | Effect::TerminateAdded(_)
        | Effect::Remember
        | Effect::Tell(_) => false,
    }
}

impl Life {
    pub(super) fn entry(&self, exec: Option<&Id>) -> Result<&Entry, Error> {
        match exec {
            None => Ok(&self.init),
            Some(id) => {
                let entry = self.added.get(id);
                entry.ok_or_else(|| Refused::NoSuchAdded(id.clone()).into())
            }
        }
    }

    /// An added process that runs. Without handles it ended just now, which is what whoever signals it asks for.
    pub(super) fn process(&self, id: &Id) -> Option<Arc<dyn Process>> {
        let running = self.added.get(id)?.running.as_ref()?;
        Some(Arc::clone(&running.process))
    }

    /// How it ended; none while it has not.
    pub(super) fn exit(&self, exec: Option<&Id>) -> Result<Option<Exit>, Error> {
        match exec {
            None => Ok(self.state.exit().cloned()),
            Some(id) => match self.state.added.get(id) {
                Some(Added::Stopped(exit)) => Ok(Some(exit.clone())),
                Some(Added::Created | Added::Starting | Added::Running { .. }) => Ok(None),
                None => Err(Refused::NoSuchAdded(id.clone()).into()),
            },
        }
    }

    fn phase(&self, exec: Option<&Id>) -> Result<(Phase, Option<ProcessId>), Error> {
        let Some(id) = exec else {
            return Ok(match &self.state.stage {
                Stage::Created | Stage::Starting => (Phase::Created, None),
                Stage::Running {
                    process,
                    paused: true,
                    ..
                } => (Phase::Paused, Some(*process)),
                Stage::Running {
                    process,
                    told: None,
                    ..
                } => (Phase::Running, Some(*process)),
                Stage::Running { process, .. } | Stage::Ending { process, .. } => {
                    (Phase::Stopping, Some(*process))
                }
                Stage::Stopped(_) | Stage::Deleting(_) | Stage::Deleted(_) => {
                    (Phase::Stopped, None)
                }
            });
        };
        let is_paused = matches!(self.state.stage, Stage::Running { paused: true, .. });
        match self.state.added.get(id) {
            Some(Added::Created | Added::Starting) => Ok((Phase::Created, None)),
            Some(Added::Running { process, .. }) if is_paused => {
                Ok((Phase::Paused, Some(*process)))
            }
            Some(Added::Running { process, .. }) => Ok((Phase::Running, Some(*process))),
            Some(Added::Stopped(_)) => Ok((Phase::Stopped, None)),
            None => Err(Refused::NoSuchAdded(id.clone()).into()),
        }
    }
}
