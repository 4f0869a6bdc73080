//! What asks about a task or a process and changes nothing: state, pids, stats, wait, connect.

use containerd_shim_protos::api::{
    ConnectRequest, ConnectResponse, PidsRequest, PidsResponse, ProcessInfo, StateRequest,
    StateResponse, StatsRequest, StatsResponse, Status, WaitRequest, WaitResponse,
};
use protobuf::MessageField;

use super::events::stamp;
use super::failure::Failure;
use super::held::Held;
use super::process::Named;
use super::sandbox::{Sandbox, Stage};
use super::tasks::Task;
use super::{Shim, details, stats};
use crate::container::Phase;
use crate::id::Id;
use crate::record::Exit;
use crate::ttrpc::Caller;

/// What containerd shows as the exit status of what has none.
pub(super) const UNKNOWN: u32 = 255;

impl Shim {
    /// How far a task or an added process is.
    pub(super) fn state(&self, request: &StateRequest) -> Result<StateResponse, Failure> {
        match self.tasks.find(&request.id)? {
            Task::Pod(pod) if request.exec_id.is_empty() => Ok(state_of_pod(&pod)),
            Task::Pod(pod) => Err(Failure::NoProcess(pod.id().clone())),
            Task::Container(held) => state_of(&held, request),
        }
    }

    /// The processes of a task; where none runs, its first one, or the shim for one that was not started.
    pub(super) fn pids(&self, request: &PidsRequest) -> Result<PidsResponse, Failure> {
        let processes = match self.tasks.find(&request.id)? {
            Task::Pod(pod) => vec![ProcessInfo {
                pid: pod.pid(),
                ..ProcessInfo::default()
            }],
            Task::Container(held) => {
                let mut running = details::of(&held.container, self.rules())?;
                if running.is_empty() {
                    // A containerd that was restarted ends a shim that names no process, and loses how its task ended.
                    running.push(ProcessInfo {
                        pid: Some(pid(&held, None)?)
                            .filter(|it| *it > 0)
                            .unwrap_or_else(|| self.pid()),
                        ..ProcessInfo::default()
                    });
                }
                running
            }
        };
        Ok(PidsResponse {
            processes,
            ..PidsResponse::default()
        })
    }

    /// What a task used.
    pub(super) fn stats(&self, request: &StatsRequest) -> Result<StatsResponse, Failure> {
        let now = self.host.now();
        let stats = match self.tasks.find(&request.id)? {
            Task::Pod(pod) => stats::of_pod(&pod, self.rules(), now),
            Task::Container(held) => stats::of_container(&held, self.rules(), now),
        }?;
        Ok(StatsResponse {
            stats: MessageField::some(stats),
            ..StatsResponse::default()
        })
    }

    /// Waits for the end of a task or an added process, as long as the caller does.
    pub(super) fn wait(
        &self,
        request: &WaitRequest,
        caller: &Caller,
    ) -> Result<WaitResponse, Failure> {
        let exit = match self.tasks.find(&request.id)? {
            Task::Pod(pod) if request.exec_id.is_empty() => pod.end().wait(caller)?,
            Task::Pod(pod) => return Err(Failure::NoProcess(pod.id().clone())),
            Task::Container(held) => {
                let (_, process) = held.process(&request.exec_id)?;
                // Nobody is kept from deleting it meanwhile.
                drop(held);
                process.end.wait(caller)?
            }
        };
        Ok(WaitResponse {
            exit_status: exit.code,
            exited_at: MessageField::some(stamp(exit.at)),
            ..WaitResponse::default()
        })
    }

    /// The shim, and the first process of a task where there is one of that name.
    pub(super) fn connect(&self, request: &ConnectRequest) -> Result<ConnectResponse, Failure> {
        let task_pid = match self.tasks.find(&request.id) {
            Ok(Task::Pod(pod)) => pod.pid(),
            Ok(Task::Container(held)) => pid(&held, None)?,
            // containerd asks this of a shim that it finds again, whatever became of the task.
            Err(_) => 0,
        };
        Ok(ConnectResponse {
            shim_pid: self.pid(),
            task_pid,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..ConnectResponse::default()
        })
    }
}

/// The number of a process, also once it ended; 0 before it was started.
pub(super) fn pid(held: &Held, exec: Option<&Id>) -> Result<u32, Failure> {
    let status = held.container.status(exec)?;
    Ok(status.process.map_or(0, |it| it.pid))
}

fn state_of(held: &Held, request: &StateRequest) -> Result<StateResponse, Failure> {
    let (exec, process) = held.process(&request.exec_id)?;
    let status = held.container.status(exec.as_ref())?;
    let phase = match status.phase {
        Phase::Created => Status::CREATED,
        Phase::Running | Phase::Stopping => Status::RUNNING,
        Phase::Paused => Status::PAUSED,
        Phase::Stopped => Status::STOPPED,
    };
    let pid = status.process.map_or(0, |it| it.pid);
    Ok(StateResponse {
        id: request.id.clone(),
        exec_id: request.exec_id.clone(),
        bundle: held.bundle.to_string_lossy().into_owned(),
        pid,
        ..state_response(phase, status.exit.as_ref(), &process.streams)
    })
}

fn state_of_pod(pod: &Sandbox) -> StateResponse {
    let (phase, exit) = match pod.stage() {
        Stage::Created => (Status::CREATED, None),
        Stage::Running => (Status::RUNNING, None),
        Stage::Stopped(exit) => (Status::STOPPED, Some(exit)),
    };
    let birth = pod.birth();
    StateResponse {
        id: pod.id().to_string(),
        bundle: birth.bundle.clone(),
        pid: pod.pid(),
        ..state_response(phase, exit.as_ref(), &birth.streams)
    }
}

fn state_response(phase: Status, exit: Option<&Exit>, streams: &Named) -> StateResponse {
    StateResponse {
        status: phase.into(),
        stdin: streams.stdin.clone(),
        stdout: streams.stdout.clone(),
        stderr: streams.stderr.clone(),
        terminal: streams.terminal,
        exit_status: exit.map_or(UNKNOWN, |exit| exit.code),
        exited_at: exit.map(|exit| stamp(exit.at)).into(),
        ..StateResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use protobuf::well_known_types::any::Any;

    use super::super::events::Birth;
    use super::super::sandbox::Parts;
    use super::*;
    use crate::shim::publisher::Publish;
    use crate::sys::Host;
    use crate::sys::fake::FakeHost;

    /// Tells nobody.
    struct Nobody;

    impl Publish for Nobody {
        fn publish(&self, _topic: &str, _event: Any) {}
    }

    #[test]
    fn a_pod_that_ends_just_now_is_seen_with_its_exit_or_not_at_its_end_yet() {
        let host: Arc<dyn Host> = Arc::new(FakeHost::new());
        let publisher: Arc<dyn Publish> = Arc::new(Nobody);
        for round in 0..2000 {
            let parts = Parts {
                id: Id::parse("web").unwrap(),
                pid: 1,
                job: host.create_job(&format!("job-{round}")).unwrap(),
                birth: Birth::default(),
                annotations: [].into(),
            };
            let pod = Sandbox::new(&host, &publisher, parts);
            pod.start().unwrap();
            thread::scope(|scope| {
                let looking = scope.spawn(|| {
                    loop {
                        let state = state_of_pod(&pod);
                        if state.status == Status::STOPPED.into() {
                            return state;
                        }
                    }
                });
                pod.kill().unwrap();
                let state = looking.join().unwrap();
                assert_eq!((state.exit_status, state.exited_at.is_some()), (0, true));
            });
        }
    }
}
