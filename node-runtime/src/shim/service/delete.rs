//! `Delete`: removes a task or an added process that ended, and answers once everything of it is gone.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use containerd_shim_protos::api::{DeleteRequest, DeleteResponse};
use protobuf::MessageField;

use super::Shim;
use super::events::stamp;
use super::failure::Failure;
use super::held::Held;
use super::look::pid;
use super::sandbox::Sandbox;
use super::tasks::Task;
use crate::container::{self, Phase};
use crate::id::Id;
use crate::record::Exit;
use crate::state;

/// How long a container that is just ending may take to release everything.
const RELEASE: Duration = Duration::from_secs(30);

/// How long the deletion of a pod waits, for starts that are under way and for all containers that are left in it, together:
/// containerd gives it ten seconds for the whole pod.
const RELEASE_OF_POD: Duration = Duration::from_secs(8);

/// How often is looked whether somebody else is done with a deletion.
const LOOK: Duration = Duration::from_millis(10);

/// How long publishing the end of a process may take: it queues.
const TOLD: Duration = Duration::from_secs(5);

impl Shim {
    /// Removes a task, or a process that was added to one.
    pub(super) fn delete(&self, request: &DeleteRequest) -> Result<DeleteResponse, Failure> {
        let found = if request.exec_id.is_empty() {
            self.tasks.find_to_delete(&request.id)
        } else {
            self.tasks.find(&request.id)
        };
        let (pid, exit) = match found? {
            Task::Pod(pod) if request.exec_id.is_empty() => self.delete_pod(&pod)?,
            Task::Pod(pod) => return Err(Failure::NoProcess(pod.id().clone())),
            Task::Container(held) => match held.process(&request.exec_id)? {
                (None, _) => self.delete_container(&held, Instant::now() + RELEASE)?,
                (Some(exec), _) => delete_added(&held, &exec)?,
            },
        };
        Ok(DeleteResponse {
            pid,
            exit_status: exit.code,
            exited_at: MessageField::some(stamp(exit.at)),
            ..DeleteResponse::default()
        })
    }

    /// Whatever is still in the pod goes with it: containerd deletes containers first, and one that it forgot is nobody's. The
    /// pod is there until all of them are gone, so that containerd asks again where one cannot be removed, or takes long.
    pub(super) fn delete_pod(&self, pod: &Sandbox) -> Result<(u32, Exit), Failure> {
        let deletion = pod.begin_delete()?;
        let deadline = Instant::now() + RELEASE_OF_POD;
        let left = self.tasks.containers();
        end_left(&left, deadline);
        deletion.end_all();
        let removed: Vec<_> = left
            .iter()
            .map(|held| self.delete_left(held, deadline))
            .collect();
        removed.into_iter().collect::<Result<(), Failure>>()?;
        let exit = deletion.finish();
        self.tasks.remove(pod.id());
        Ok((pod.pid(), exit))
    }

    /// Removes a container of a pod that was told to end, also where its own deletion was quicker.
    fn delete_left(&self, held: &Held, until: Instant) -> Result<(), Failure> {
        use container::Error::Refused;
        if let Err(starting) = end_once_started(held, Duration::ZERO) {
            return Err(starting.into());
        }
        // What still runs then cannot be deleted.
        drop(held.container.wait(None, left_until(until)));
        loop {
            match self.delete_container(held, until) {
                Ok(_) | Err(Failure::Container(Refused(state::Refused::Deleted))) => return Ok(()),
                Err(Failure::Container(Refused(state::Refused::Deleting)))
                    if !left_until(until).is_zero() =>
                {
                    thread::sleep(LOOK);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Removes a container, which is waited for until then where it is just ending.
    pub(super) fn delete_container(
        &self,
        held: &Held,
        until: Instant,
    ) -> Result<(u32, Exit), Failure> {
        let container = &held.container;
        let pid = pid(held, None)?;
        if container.status(None)?.phase == Phase::Stopping {
            container.wait(None, left_until(until))?;
        }
        let exit = container.delete(None)?;
        held.hear_out();
        self.tasks.remove(container.id());
        Ok((pid, exit))
    }
}

/// Ends the containers that are left in a pod, one that is being started once it has: not before all others end.
fn end_left(left: &[Arc<Held>], until: Instant) {
    let starting = left
        .iter()
        .filter(|held| end_once_started(held, Duration::ZERO).is_err());
    for held in starting.collect::<Vec<_>>() {
        // One that takes too long is there still when it is to be removed.
        drop(end_once_started(held, left_until(until)));
    }
}

/// Ends a container; fails where it is still being started then.
fn end_once_started(held: &Held, patience: Duration) -> Result<(), container::Error> {
    match held.container.end(patience) {
        Err(error @ container::Error::Refused(state::Refused::Starting)) => Err(error),
        // One that ended already is what is wanted, and what still runs is not removed.
        Ok(()) | Err(_) => Ok(()),
    }
}

fn left_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn delete_added(held: &Held, exec: &Id) -> Result<(u32, Exit), Failure> {
    let pid = pid(held, Some(exec))?;
    let exit = held.container.delete(Some(exec))?;
    if let Some(process) = held.processes.find(Some(exec)) {
        // Else the next process of that name could be taken for the one that ended.
        process.end.settle(TOLD);
    }
    held.processes.remove(exec);
    Ok((pid, exit))
}
