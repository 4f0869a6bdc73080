//! The task of a pod: it has no process, and holds the job that the jobs of its containers are in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::events::{self, Birth, Event};
use super::failure::Failure;
use super::process::End;
use crate::container::KILLED;
use crate::id::Id;
use crate::record::Exit;
use crate::shim::publisher::Publish;
use crate::sys::{Host, Job};

/// The task of a pod.
pub(super) struct Sandbox {
    id: Id,
    host: Arc<dyn Host>,
    publisher: Arc<dyn Publish>,
    /// The number that is told for the process it does not have: the shim's own.
    pid: u32,
    birth: Birth,
    annotations: BTreeMap<String, String>,
    end: End,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// None once it is deleted.
    job: Option<Arc<dyn Job>>,
    /// Whether somebody removes it just now.
    is_being_deleted: bool,
}

/// How far a pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// It was made.
    Created,
    /// It was started.
    Running,
    /// It ended.
    Stopped(Exit),
}

/// What a pod is made with.
pub(super) struct Parts {
    pub(super) id: Id,
    pub(super) pid: u32,
    pub(super) job: Arc<dyn Job>,
    pub(super) birth: Birth,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Sandbox {
    /// A pod that was just made; that is told.
    pub(super) fn new(host: &Arc<dyn Host>, publisher: &Arc<dyn Publish>, parts: Parts) -> Self {
        let pod = Self {
            id: parts.id,
            host: Arc::clone(host),
            publisher: Arc::clone(publisher),
            pid: parts.pid,
            birth: parts.birth,
            annotations: parts.annotations,
            end: End::default(),
            state: Mutex::new(State {
                stage: Stage::Created,
                job: Some(parts.job),
                is_being_deleted: false,
            }),
        };
        pod.publish(events::created(&pod.id, pod.pid, &pod.birth));
        pod
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, event: Option<Event>) {
        if let Some((topic, event)) = event {
            self.publisher.publish(topic, event);
        }
    }

    /// Its name.
    pub(super) fn id(&self) -> &Id {
        &self.id
    }

    /// The number that is told for its process.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// What was said when it was made.
    pub(super) fn birth(&self) -> &Birth {
        &self.birth
    }

    /// The annotations of its config.
    pub(super) fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// Its end.
    pub(super) fn end(&self) -> &End {
        &self.end
    }

    /// The job of its containers, until it has ended.
    pub(super) fn job(&self) -> Result<Arc<dyn Job>, Failure> {
        let state = self.lock();
        match (&state.stage, &state.job) {
            (Stage::Created | Stage::Running, Some(job)) => Ok(Arc::clone(job)),
            (Stage::Stopped(_), _) | (_, None) => Err(Failure::PodEnded(self.id.clone())),
        }
    }

    /// That processes can be started in it.
    pub(super) fn check_lives(&self) -> Result<(), Failure> {
        self.job()
            .map(drop)
            .map_err(|_| self.refused("has ended, and nothing is started in it any more"))
    }

    /// How far it is, and how it ended where it has: both of one moment.
    pub(super) fn stage(&self) -> Stage {
        self.lock().stage.clone()
    }

    /// Whether somebody removes it just now.
    pub(super) fn is_being_deleted(&self) -> bool {
        self.lock().is_being_deleted
    }

    /// Starts it.
    pub(super) fn start(&self) -> Result<u32, Failure> {
        let mut state = self.lock();
        match state.stage {
            Stage::Created => {
                state.stage = Stage::Running;
                self.publish(events::started(&self.id, self.pid));
                Ok(self.pid)
            }
            Stage::Running => Err(self.refused("was started already")),
            Stage::Stopped(_) => Err(self.refused("has ended; delete it")),
        }
    }

    /// Ends it, with 0. Its containers are ended each on its own, before.
    pub(super) fn kill(&self) -> Result<(), Failure> {
        let mut state = self.lock();
        if matches!(state.stage, Stage::Stopped(_)) {
            return Err(Failure::PodEnded(self.id.clone()));
        }
        let exit = self.stop(&mut state);
        drop(state);
        self.end.tell(exit);
        Ok(())
    }

    fn stop(&self, state: &mut State) -> Exit {
        let exit = Exit {
            code: 0,
            at: self.host.now(),
            memory_limit: false,
        };
        state.stage = Stage::Stopped(exit.clone());
        self.publish(events::exited(&self.id, &self.id, self.pid, &exit));
        exit
    }

    /// Begins to remove it: nothing is made or started in it any more. It is there until [`Deletion::finish`], and a deletion
    /// that is given up can be begun again.
    ///
    /// # Errors
    /// Where it runs, is deleted, or somebody else is at it.
    pub(super) fn begin_delete(&self) -> Result<Deletion<'_>, Failure> {
        let mut state = self.lock();
        let Some(job) = state.job.clone() else {
            return Err(Failure::NoTask(self.id.to_string()));
        };
        if state.is_being_deleted {
            return Err(self.refused("is being deleted; ask again"));
        }
        let exit = match state.stage.clone() {
            Stage::Running => return Err(self.refused("runs; kill it first")),
            Stage::Created => self.stop(&mut state),
            Stage::Stopped(exit) => exit,
        };
        state.is_being_deleted = true;
        drop(state);
        self.end.tell(exit.clone());
        Ok(Deletion {
            pod: self,
            job,
            exit,
        })
    }

    fn refused(&self, why: &'static str) -> Failure {
        Failure::Pod {
            id: self.id.clone(),
            why,
        }
    }
}

/// A deletion that was begun.
pub(super) struct Deletion<'a> {
    pod: &'a Sandbox,
    job: Arc<dyn Job>,
    exit: Exit,
}

impl Deletion<'_> {
    /// Ends whatever is in its job.
    pub(super) fn end_all(&self) {
        // Whatever it answers: the last handle ends them too.
        drop(self.job.terminate(KILLED));
    }

    /// Nothing of it is left: its job goes, and that is told.
    pub(super) fn finish(self) -> Exit {
        self.pod.lock().job = None;
        let (id, pid) = (&self.pod.id, self.pod.pid);
        self.pod.publish(events::deleted(id, pid, &self.exit));
        self.exit.clone()
    }
}

impl Drop for Deletion<'_> {
    fn drop(&mut self) {
        self.pod.lock().is_being_deleted = false;
    }
}
