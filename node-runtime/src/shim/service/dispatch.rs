//! From a call to a method, and back. The messages of both versions of the service are the same on the wire.

use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, CreateTaskRequest, DeleteRequest, Empty,
    ExecProcessRequest, KillRequest, PauseRequest, PidsRequest, ResizePtyRequest, ResumeRequest,
    ShutdownRequest, StartRequest, StateRequest, StatsRequest, UpdateTaskRequest, WaitRequest,
};
use protobuf::Message;

use super::Shim;
use super::failure::Failure;
use crate::ttrpc::{Call, Service, Status};

/// The service as containerd 1.x and 2.x name it.
const SERVICES: [&str; 2] = ["containerd.task.v2.Task", "containerd.task.v3.Task"];

const NO_CHECKPOINT: Failure =
    Failure::Never("no container of Windows can be saved to be continued later; stop it");

impl Service for Shim {
    fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, Status> {
        Ok(self.answer(call)?)
    }

    fn waits(&self, _service: &str, method: &str) -> bool {
        method == "Wait"
    }
}

impl Shim {
    fn answer(&self, call: &Call<'_>) -> Result<Vec<u8>, Failure> {
        if !SERVICES.contains(&call.service) {
            return Err(no_method(call));
        }
        match call.method {
            "State" => say(call, |it: StateRequest| self.state(&it)),
            "Create" => say(call, |it: CreateTaskRequest| {
                let created = self.create(it);
                created.map_err(|failure| Failure::Creation(Box::new(failure)))
            }),
            "Start" => say(call, |it: StartRequest| self.start(&it)),
            "Delete" => say(call, |it: DeleteRequest| self.delete(&it)),
            "Pids" => say(call, |it: PidsRequest| self.pids(&it)),
            "Pause" => done(call, |it: PauseRequest| self.pause(&it)),
            "Resume" => done(call, |it: ResumeRequest| self.resume(&it)),
            "Checkpoint" => done(call, |_: CheckpointTaskRequest| Err(NO_CHECKPOINT)),
            "Kill" => done(call, |it: KillRequest| self.kill(&it)),
            "Exec" => done(call, |it: ExecProcessRequest| self.exec(it)),
            "ResizePty" => done(call, |it: ResizePtyRequest| self.resize(&it)),
            "CloseIO" => done(call, |it: CloseIORequest| self.close_io(&it)),
            "Update" => done(call, |it: UpdateTaskRequest| self.update(&it)),
            "Wait" => say(call, |it: WaitRequest| self.wait(&it, &call.caller)),
            "Stats" => say(call, |it: StatsRequest| self.stats(&it)),
            "Connect" => say(call, |it: ConnectRequest| self.connect(&it)),
            "Shutdown" => done(call, |it: ShutdownRequest| {
                self.shutdown(&it);
                Ok(())
            }),
            _ => Err(no_method(call)),
        }
    }
}

/// Answers a call that has something to say.
fn say<Q: Message, A: Message>(
    call: &Call<'_>,
    work: impl FnOnce(Q) -> Result<A, Failure>,
) -> Result<Vec<u8>, Failure> {
    let request = Q::parse_from_bytes(call.payload).map_err(|source| Failure::Decode {
        method: call.method.to_owned(),
        source,
    })?;
    let answer = work(request)?;
    answer.write_to_bytes().map_err(|source| Failure::Encode {
        what: format!("the answer to {}", call.method),
        source,
    })
}

/// Answers a call that is just done.
fn done<Q: Message>(
    call: &Call<'_>,
    work: impl FnOnce(Q) -> Result<(), Failure>,
) -> Result<Vec<u8>, Failure> {
    say(call, |request: Q| work(request).map(|()| Empty::new()))
}

fn no_method(call: &Call<'_>) -> Failure {
    Failure::NoMethod {
        service: call.service.to_owned(),
        method: call.method.to_owned(),
    }
}
