//! `Delete`: removes a task or an added process that ended, and answers once everything of it is gone.

use std::time::Duration;

use containerd_shim_protos::api::{DeleteRequest, DeleteResponse};
use protobuf::MessageField;

use super::Shim;
use super::events::stamp;
use super::failure::Failure;
use super::held::Held;
use super::look::pid;
use super::sandbox::Sandbox;
use super::tasks::Task;
use crate::container::Phase;
use crate::id::Id;
use crate::record::Exit;

/// How long a container that is just ending may take to release everything.
const RELEASE: Duration = Duration::from_secs(30);

/// How long publishing the end of a process may take: it queues.
const TOLD: Duration = Duration::from_secs(5);

impl Shim {
    /// Removes a task, or a process that was added to one.
    pub(super) fn delete(&self, request: &DeleteRequest) -> Result<DeleteResponse, Failure> {
        let (pid, exit) = match self.tasks.find(&request.id)? {
            Task::Pod(pod) if request.exec_id.is_empty() => self.delete_pod(&pod)?,
            Task::Pod(pod) => return Err(Failure::NoProcess(pod.id().clone())),
            Task::Container(held) => match held.process(&request.exec_id)? {
                (None, _) => self.delete_container(&held)?,
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

    /// Whatever is still in the pod goes with it: containerd deletes containers first, and one that it forgot is nobody's.
    fn delete_pod(&self, pod: &Sandbox) -> Result<(u32, Exit), Failure> {
        let exit = pod.delete()?;
        for held in self.tasks.containers() {
            // One that cannot be removed keeps the shim from leaving, and can be deleted again.
            let is_ending = held.container.status(None).map(|it| it.phase);
            if !matches!(is_ending, Ok(Phase::Created)) {
                drop(held.container.wait(None, RELEASE));
            }
            drop(self.delete_container(&held));
        }
        self.tasks.remove(pod.id());
        Ok((pod.pid(), exit))
    }

    fn delete_container(&self, held: &Held) -> Result<(u32, Exit), Failure> {
        let container = &held.container;
        let pid = pid(held, None)?;
        if container.status(None)?.phase == Phase::Stopping {
            container.wait(None, RELEASE)?;
        }
        let exit = container.delete(None)?;
        held.hear_out();
        self.tasks.remove(container.id());
        Ok((pid, exit))
    }
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
