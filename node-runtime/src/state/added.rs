//! Requests about processes that were added to a container that runs.

use jiff::Timestamp;

use super::{Added, Effect, EventKind, KILLED, MOST_ADDED, Refused, Signal, Stage, State};
use crate::id::Id;
use crate::record::Exit;
use crate::sys::ProcessId;

type Answer = Result<Vec<Effect>, Refused>;

impl State {
    pub(super) fn add(&mut self, id: Id) -> Answer {
        self.accepts_processes()?;
        if self.added.contains_key(&id) {
            return Err(Refused::AddedExists(id));
        }
        if self.added.len() >= MOST_ADDED {
            self.forget_oldest()?;
        }
        self.added.insert(id.clone(), Added::Created);
        Ok(vec![Effect::Tell(EventKind::ExecAdded { exec: id })])
    }

    /// Clients that went away delete nothing, so what they left must not keep others out for ever.
    fn forget_oldest(&mut self) -> Result<(), Refused> {
        let ended = self.added.iter().filter_map(|(id, added)| match added {
            Added::Stopped(exit) => Some((exit.at, id)),
            Added::Created | Added::Starting | Added::Running { .. } => None,
        });
        let (_, oldest) = ended.min().ok_or(Refused::TooManyAdded)?;
        let oldest = oldest.clone();
        self.added.remove(&oldest);
        Ok(())
    }

    pub(super) fn start_added(&mut self, id: &Id) -> Answer {
        let stage = self.accepts_processes();
        let paused = matches!(self.stage, Stage::Running { paused: true, .. });
        let added = self.find(id)?;
        match added {
            Added::Created => {
                stage?;
                if paused {
                    return Err(Refused::Paused);
                }
                *added = Added::Starting;
                Ok(vec![Effect::SpawnAdded(id.clone())])
            }
            Added::Starting | Added::Running { .. } => {
                Err(Refused::AddedAlreadyStarted(id.clone()))
            }
            Added::Stopped(_) => Err(Refused::AddedEnded(id.clone())),
        }
    }

    pub(super) fn added_spawned(&mut self, id: Id, process: ProcessId) -> Answer {
        *self.while_added_starting(&id)? = Added::Running {
            process,
            memory_limit: false,
        };
        let pid = process.pid;
        let mut effects = vec![Effect::Tell(EventKind::ExecStarted { exec: id, pid })];
        if self.must_not_run() {
            // The tree was ended while this process was on its way into it.
            effects.push(Effect::EndTree);
        }
        Ok(effects)
    }

    pub(super) fn added_not_spawned(&mut self, id: &Id) -> Answer {
        *self.while_added_starting(id)? = Added::Created;
        Ok(Vec::new())
    }

    fn while_added_starting(&mut self, id: &Id) -> Result<&mut Added, Refused> {
        match self.find(id)? {
            added @ Added::Starting => Ok(added),
            Added::Created | Added::Running { .. } | Added::Stopped(_) => {
                let text = "a start of a process that was not being started";
                Err(Refused::Unexpected(text))
            }
        }
    }

    pub(super) fn signal_added(&mut self, id: &Id, signal: Signal, now: Timestamp) -> Answer {
        let paused = matches!(self.stage, Stage::Running { paused: true, .. });
        let added = self.find(id)?;
        match (&*added, signal) {
            (Added::Created, _) => {
                let exit = killed(now);
                *added = Added::Stopped(exit.clone());
                Ok(vec![told_exit(id, exit)])
            }
            (Added::Starting, _) => Err(Refused::AddedStarting(id.clone())),
            (Added::Running { .. }, Signal::Terminate) if paused => Err(Refused::Paused),
            (Added::Running { .. }, Signal::Terminate) => {
                Ok(vec![Effect::InterruptAdded(id.clone())])
            }
            (Added::Running { .. }, Signal::Kill) => Ok(vec![Effect::TerminateAdded(id.clone())]),
            (Added::Stopped(_), _) => Err(Refused::NothingToSignal),
        }
    }

    pub(super) fn added_ended(&mut self, id: &Id, code: u32, now: Timestamp) -> Answer {
        let added = self.find(id)?;
        let Added::Running { memory_limit, .. } = *added else {
            let text = "the end of an added process that did not run";
            return Err(Refused::Unexpected(text));
        };
        let exit = Exit {
            code,
            at: now,
            memory_limit,
        };
        *added = Added::Stopped(exit.clone());
        Ok(vec![told_exit(id, exit)])
    }

    pub(super) fn delete_added(&mut self, id: &Id, now: Timestamp) -> Answer {
        let effects = match self.find(id)? {
            Added::Created => vec![told_exit(id, killed(now))],
            Added::Starting => return Err(Refused::AddedStarting(id.clone())),
            Added::Running { .. } => return Err(Refused::AddedStillRuns(id.clone())),
            Added::Stopped(_) => Vec::new(),
        };
        self.added.remove(id);
        Ok(effects)
    }

    /// Ends those that were never started, as their container has stopped.
    pub(super) fn end_unstarted(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (id, added) in &mut self.added {
            if *added == Added::Created {
                let exit = killed(now);
                *added = Added::Stopped(exit.clone());
                effects.push(told_exit(id, exit));
            }
        }
        effects
    }

    fn find(&mut self, id: &Id) -> Result<&mut Added, Refused> {
        let deleted = match self.stage {
            Stage::Deleting(_) => Some(Refused::Deleting),
            Stage::Deleted(_) => Some(Refused::Deleted),
            Stage::Created
            | Stage::Starting
            | Stage::Running { .. }
            | Stage::Ending { .. }
            | Stage::Stopped(_) => None,
        };
        match (deleted, self.added.get_mut(id)) {
            (Some(refused), _) => Err(refused),
            (None, Some(added)) => Ok(added),
            (None, None) => Err(Refused::NoSuchAdded(id.clone())),
        }
    }

    /// Only a container whose first process runs takes others in; one that was asked to end still does, for probes.
    fn accepts_processes(&self) -> Result<(), Refused> {
        match self.stage {
            Stage::Running {
                told: Some(Signal::Kill),
                ..
            } => Err(Refused::Stopping),
            Stage::Running { .. } => Ok(()),
            Stage::Created => Err(Refused::NotStarted),
            Stage::Starting => Err(Refused::Starting),
            Stage::Ending { .. } | Stage::Stopped(_) => Err(Refused::Ended),
            Stage::Deleting(_) => Err(Refused::Deleting),
            Stage::Deleted(_) => Err(Refused::Deleted),
        }
    }

    fn must_not_run(&self) -> bool {
        match self.stage {
            Stage::Running { told, .. } => told == Some(Signal::Kill),
            Stage::Ending { graceful, .. } => !graceful,
            Stage::Created
            | Stage::Starting
            | Stage::Stopped(_)
            | Stage::Deleting(_)
            | Stage::Deleted(_) => false,
        }
    }
}

fn killed(now: Timestamp) -> Exit {
    Exit {
        code: KILLED,
        at: now,
        memory_limit: false,
    }
}

fn told_exit(id: &Id, exit: Exit) -> Effect {
    let exec = Some(id.clone());
    Effect::Tell(EventKind::Exited { exec, exit })
}
