//! The tasks of a shim, by their names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::failure::Failure;
use super::held::Held;
use super::sandbox::Sandbox;
use crate::id::Id;

/// A task.
#[derive(Clone)]
pub(super) enum Task {
    /// A pod, without a process.
    Pod(Arc<Sandbox>),
    /// A container.
    Container(Arc<Held>),
}

/// A name, from the beginning of a creation on.
enum Slot {
    Making {
        /// Whether somebody wanted it away meanwhile: then nobody will ask for it.
        is_given_up: bool,
    },
    Made(Task),
}

/// All tasks.
#[derive(Default)]
pub(super) struct Tasks {
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    slots: BTreeMap<Id, Slot>,
    is_leaving: bool,
    /// The pod that is being deleted, after which the shim is to leave.
    last: Option<Id>,
}

/// A name that is taken for a task that is being made. Dropped without one, it is free again.
pub(super) struct Reserved<'a> {
    tasks: &'a Tasks,
    id: Id,
    is_made: bool,
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a name.
    pub(super) fn reserve(&self, id: &Id) -> Result<Reserved<'_>, Failure> {
        let mut all = self.lock();
        if all.is_leaving {
            return Err(Failure::Leaves);
        }
        if all.slots.contains_key(id) {
            return Err(Failure::TaskExists(id.clone()));
        }
        let slot = Slot::Making { is_given_up: false };
        all.slots.insert(id.clone(), slot);
        Ok(Reserved {
            tasks: self,
            id: id.clone(),
            is_made: false,
        })
    }

    /// A task that was made.
    pub(super) fn find(&self, id: &str) -> Result<Task, Failure> {
        let parsed = Id::parse(id).ok();
        let all = self.lock();
        match parsed.and_then(|id| all.slots.get(&id)) {
            Some(Slot::Made(task)) => Ok(task.clone()),
            Some(Slot::Making { .. }) | None => Err(Failure::NoTask(id.to_owned())),
        }
    }

    /// A task that was made, for whoever removes it. One that is just being made is removed by who makes it: whoever wants it
    /// away, although it is not there yet, gave up its creation.
    pub(super) fn find_to_delete(&self, id: &str) -> Result<Task, Failure> {
        if let Ok(id) = Id::parse(id) {
            self.lock().give_up(&id);
        }
        self.find(id)
    }

    /// A task that is a container.
    pub(super) fn container(&self, id: &str) -> Result<Arc<Held>, Failure> {
        match self.find(id)? {
            Task::Container(held) => Ok(held),
            Task::Pod(pod) => Err(Failure::NoProcess(pod.id().clone())),
        }
    }

    /// The pod that is served, if it is one.
    pub(super) fn pod(&self) -> Option<Arc<Sandbox>> {
        let all = self.lock();
        all.slots.values().find_map(|slot| match slot {
            Slot::Made(Task::Pod(pod)) => Some(Arc::clone(pod)),
            Slot::Made(Task::Container(_)) | Slot::Making { .. } => None,
        })
    }

    /// The containers.
    pub(super) fn containers(&self) -> Vec<Arc<Held>> {
        let all = self.lock();
        let held = all.slots.values().filter_map(|slot| match slot {
            Slot::Made(Task::Container(held)) => Some(Arc::clone(held)),
            Slot::Made(Task::Pod(_)) | Slot::Making { .. } => None,
        });
        held.collect()
    }

    /// Forgets a task.
    pub(super) fn remove(&self, id: &Id) {
        let mut all = self.lock();
        all.slots.remove(id);
        all.is_leaving |= all.last.as_ref() == Some(id);
    }

    /// Nothing is made any more, unless a task has the name `own`: the one that all others belong to. A pod that is being deleted
    /// is waited for; a task that is being made is given up.
    ///
    /// It is said once only, also where a container of a deleted pod could not be removed yet.
    pub(super) fn leave_without(&self, own: &Id) {
        let mut all = self.lock();
        match all.slots.get(own) {
            Some(Slot::Made(Task::Pod(pod))) if pod.is_being_deleted() => {
                all.last = Some(own.clone());
            }
            Some(Slot::Made(_)) => {}
            Some(Slot::Making { .. }) | None => {
                all.give_up(own);
                all.is_leaving = true;
            }
        }
    }

    /// Whether a name is taken.
    pub(super) fn is_used(&self) -> bool {
        !self.lock().slots.is_empty()
    }

    /// Whether nothing is left, and nothing will come.
    pub(super) fn is_over(&self) -> bool {
        let all = self.lock();
        all.is_leaving && all.slots.is_empty()
    }
}

impl All {
    fn give_up(&mut self, id: &Id) {
        if let Some(Slot::Making { is_given_up }) = self.slots.get_mut(id) {
            *is_given_up = true;
        }
    }
}

impl Reserved<'_> {
    /// Puts the task there. Returns whether it was given up: then it has to be removed again.
    pub(super) fn fill(mut self, task: Task) -> bool {
        let slot = Slot::Made(task);
        let before = self.tasks.lock().slots.insert(self.id.clone(), slot);
        self.is_made = true;
        matches!(before, Some(Slot::Making { is_given_up: true }))
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.is_made {
            self.tasks.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_that_was_told_to_leave_does_so_when_the_last_leftover_is_gone() {
        let (own, other) = (Id::parse("web").unwrap(), Id::parse("one").unwrap());
        let tasks = Tasks::default();
        let (pod, leftover) = (tasks.reserve(&own).unwrap(), tasks.reserve(&other).unwrap());
        assert!(tasks.reserve(&Id::parse("two").unwrap()).is_ok());
        drop(pod);
        assert!(!tasks.is_over());
        tasks.leave_without(&own);
        assert!(!tasks.is_over());
        assert!(matches!(
            tasks.reserve(&Id::parse("two").unwrap()),
            Err(Failure::Leaves)
        ));
        drop(leftover);
        assert!(tasks.is_over());
    }

    #[test]
    fn a_shim_that_is_told_to_leave_while_its_task_is_made_leaves_without_it() {
        let own = Id::parse("web").unwrap();
        let tasks = Tasks::default();
        let making = tasks.reserve(&own).unwrap();
        tasks.leave_without(&own);
        assert!(!tasks.is_over(), "what is made has to be removed first");
        let other = Id::parse("two").unwrap();
        assert!(matches!(tasks.reserve(&other), Err(Failure::Leaves)));
        drop(making);
        assert!(tasks.is_over());
    }
}
