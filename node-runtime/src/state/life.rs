//! Requests about the container as a whole.

use jiff::Timestamp;

use super::{Added, Effect, EventKind, KILLED, Refused, Signal, Stage, State};
use crate::record::Exit;
use crate::sys::ProcessId;

type Answer = Result<Vec<Effect>, Refused>;

impl State {
    pub(super) fn start(&mut self) -> Answer {
        match &self.stage {
            Stage::Created => {
                self.stage = Stage::Starting;
                Ok(vec![Effect::RememberRunning, Effect::Spawn])
            }
            Stage::Starting | Stage::Running { .. } => Err(Refused::AlreadyStarted),
            Stage::Ending { .. } | Stage::Stopped(_) => Err(Refused::Ended),
            Stage::Deleting(_) => Err(Refused::Deleting),
            Stage::Deleted(_) => Err(Refused::Deleted),
        }
    }

    pub(super) fn spawned(&mut self, process: ProcessId) -> Answer {
        self.while_starting("a start of a container that was not being started")?;
        self.stage = Stage::Running {
            process,
            paused: false,
            told: None,
        };
        let started = EventKind::Started { pid: process.pid };
        Ok(vec![Effect::Remember, Effect::Tell(started)])
    }

    pub(super) fn not_spawned(&mut self) -> Answer {
        self.while_starting("a failed start of a container that was not being started")?;
        self.stage = Stage::Created;
        // A notice of this attempt, not of the next.
        self.memory_limit = false;
        Ok(vec![Effect::Remember])
    }

    fn while_starting(&self, otherwise: &'static str) -> Result<(), Refused> {
        match self.stage {
            Stage::Starting => Ok(()),
            Stage::Created
            | Stage::Running { .. }
            | Stage::Ending { .. }
            | Stage::Stopped(_)
            | Stage::Deleting(_)
            | Stage::Deleted(_) => Err(Refused::Unexpected(otherwise)),
        }
    }

    pub(super) fn signal(&mut self, signal: Signal, now: Timestamp) -> Answer {
        match &mut self.stage {
            Stage::Created => {
                // No process could clean up, so there is nobody to ask.
                let exit = self.killed(now);
                self.stage = Stage::Stopped(exit.clone());
                Ok(vec![Effect::Remember, told_exit(exit)])
            }
            Stage::Starting => Err(Refused::Starting),
            Stage::Running { paused, told, .. } => Ok(tell_running(signal, paused, told)),
            Stage::Ending { graceful, .. } => Ok(match signal {
                Signal::Terminate if *graceful => vec![Effect::Interrupt],
                Signal::Terminate => Vec::new(),
                Signal::Kill => {
                    *graceful = false;
                    vec![Effect::Terminate]
                }
            }),
            Stage::Stopped(_) => Err(Refused::NothingToSignal),
            Stage::Deleting(_) => Err(Refused::Deleting),
            Stage::Deleted(_) => Err(Refused::Deleted),
        }
    }

    pub(super) fn pause(&mut self) -> Answer {
        let (paused, told) = self.running()?;
        match (*paused, told) {
            (_, Some(_)) => Err(Refused::Stopping),
            (true, None) => Err(Refused::Paused),
            (false, None) => {
                *paused = true;
                Ok(vec![Effect::Suspend, Effect::Tell(EventKind::Paused)])
            }
        }
    }

    pub(super) fn resume(&mut self) -> Answer {
        let (paused, _) = self.running()?;
        if !*paused {
            return Err(Refused::NotPaused);
        }
        *paused = false;
        Ok(vec![Effect::Resume, Effect::Tell(EventKind::Resumed)])
    }

    pub(super) fn update(&mut self) -> Answer {
        match self.stage {
            Stage::Created | Stage::Starting | Stage::Running { .. } => Ok(vec![Effect::SetLimits]),
            Stage::Ending { .. } | Stage::Stopped(_) => Err(Refused::Ended),
            Stage::Deleting(_) => Err(Refused::Deleting),
            Stage::Deleted(_) => Err(Refused::Deleted),
        }
    }

    pub(super) fn init_ended(&mut self, code: u32) -> Answer {
        let Stage::Running { process, told, .. } = self.stage else {
            let text = "the end of a first process that did not run";
            return Err(Refused::Unexpected(text));
        };
        let graceful = told == Some(Signal::Terminate);
        self.stage = Stage::Ending {
            process,
            code,
            graceful,
        };
        Ok(if graceful {
            Vec::new()
        } else {
            vec![Effect::EndTree]
        })
    }

    /// The container has stopped once nothing is in its job and every added process told its exit.
    pub(super) fn empty(&mut self, now: Timestamp) -> Vec<Effect> {
        let Stage::Ending { code, .. } = self.stage else {
            return Vec::new();
        };
        let lives = |it: &Added| matches!(it, Added::Starting | Added::Running { .. });
        if self.added.values().any(lives) {
            return Vec::new();
        }
        let exit = Exit {
            code,
            at: now,
            memory_limit: self.memory_limit,
        };
        self.stage = Stage::Stopped(exit.clone());
        let mut effects = vec![Effect::Remember];
        effects.extend(self.end_unstarted(now));
        effects.push(told_exit(exit));
        effects
    }

    pub(super) fn memory_limit(&mut self, pid: Option<u32>) -> Vec<Effect> {
        if !self.can_have_processes() {
            return Vec::new();
        }
        self.memory_limit = true;
        for added in self.added.values_mut() {
            if let Added::Running {
                process,
                memory_limit,
            } = added
                && pid == Some(process.pid)
            {
                *memory_limit = true;
            }
        }
        vec![Effect::Tell(EventKind::MemoryLimit)]
    }

    pub(super) fn process_limit(&self) -> Vec<Effect> {
        if self.can_have_processes() {
            vec![Effect::Tell(EventKind::ProcessLimit)]
        } else {
            Vec::new()
        }
    }

    fn can_have_processes(&self) -> bool {
        match self.stage {
            Stage::Starting | Stage::Running { .. } | Stage::Ending { .. } => true,
            Stage::Created | Stage::Stopped(_) | Stage::Deleting(_) | Stage::Deleted(_) => false,
        }
    }

    pub(super) fn delete(&mut self, now: Timestamp) -> Answer {
        match &self.stage {
            Stage::Created => {
                let exit = self.killed(now);
                self.stage = Stage::Deleting(exit.clone());
                Ok(vec![Effect::Remember, told_exit(exit), Effect::CleanUp])
            }
            Stage::Stopped(exit) => {
                self.stage = Stage::Deleting(exit.clone());
                Ok(vec![Effect::CleanUp])
            }
            Stage::Starting => Err(Refused::Starting),
            Stage::Running { .. } => Err(Refused::StillRuns),
            Stage::Ending { .. } => Err(Refused::Stopping),
            Stage::Deleting(_) => Err(Refused::Deleting),
            Stage::Deleted(_) => Err(Refused::Deleted),
        }
    }

    pub(super) fn cleaned_up(&mut self) -> Answer {
        let exit = self.while_deleting()?;
        self.stage = Stage::Deleted(exit);
        self.added.clear();
        Ok(vec![Effect::Tell(EventKind::Deleted)])
    }

    pub(super) fn not_cleaned_up(&mut self) -> Answer {
        let exit = self.while_deleting()?;
        self.stage = Stage::Stopped(exit);
        Ok(Vec::new())
    }

    fn while_deleting(&self) -> Result<Exit, Refused> {
        match &self.stage {
            Stage::Deleting(exit) => Ok(exit.clone()),
            Stage::Created
            | Stage::Starting
            | Stage::Running { .. }
            | Stage::Ending { .. }
            | Stage::Stopped(_)
            | Stage::Deleted(_) => {
                let text = "a removal of a container that was not being removed";
                Err(Refused::Unexpected(text))
            }
        }
    }

    /// Why nothing can be asked of its processes, or whether they are paused and what they were told.
    fn running(&mut self) -> Result<(&mut bool, Option<Signal>), Refused> {
        match &mut self.stage {
            Stage::Running { paused, told, .. } => Ok((paused, *told)),
            Stage::Created => Err(Refused::NotStarted),
            Stage::Starting => Err(Refused::Starting),
            Stage::Ending { .. } | Stage::Stopped(_) => Err(Refused::Ended),
            Stage::Deleting(_) => Err(Refused::Deleting),
            Stage::Deleted(_) => Err(Refused::Deleted),
        }
    }

    fn killed(&self, now: Timestamp) -> Exit {
        Exit {
            code: KILLED,
            at: now,
            memory_limit: self.memory_limit,
        }
    }
}

/// What processes that run are told. A paused program could not listen, so it goes on first.
fn tell_running(signal: Signal, paused: &mut bool, told: &mut Option<Signal>) -> Vec<Effect> {
    match signal {
        Signal::Kill => {
            *told = Some(Signal::Kill);
            vec![Effect::Terminate]
        }
        Signal::Terminate => {
            let was_paused = std::mem::take(paused);
            *told = told.or(Some(Signal::Terminate));
            let mut effects = Vec::new();
            if was_paused {
                effects.push(Effect::Resume);
                effects.push(Effect::Tell(EventKind::Resumed));
            }
            effects.push(Effect::Interrupt);
            effects
        }
    }
}

fn told_exit(exit: Exit) -> Effect {
    Effect::Tell(EventKind::Exited { exec: None, exit })
}
