//! A shim that is called as containerd does: a method for each of its calls.

use std::time::Duration;

use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest,
    CreateTaskResponse, DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest,
    PauseRequest, PidsRequest, PidsResponse, ResizePtyRequest, ResumeRequest, ShutdownRequest,
    StartRequest, StartResponse, StateRequest, StateResponse, StatsRequest, StatsResponse,
    UpdateTaskRequest, WaitRequest, WaitResponse,
};
use hosttask_node_runtime::ttrpc::{Client, Code, Error};
use protobuf::well_known_types::any::Any;
use protobuf::{Message, MessageField};
use serde_json::json;

use crate::node::{LONG, Node, probe};

pub(crate) const TERMINATE: u32 = 15;
pub(crate) const KILL: u32 = 9;

/// A connection to a shim.
#[derive(Debug)]
pub(crate) struct Shim {
    /// The name it was started for.
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) version: i32,
    pub(crate) client: Client,
}

/// What a call came to.
pub(crate) type Answer<T> = Result<T, Error>;

impl Shim {
    pub(crate) fn new(id: String, address: String, version: i32, client: Client) -> Self {
        Self {
            id,
            address,
            version,
            client,
        }
    }

    /// Calls a method of the task service.
    pub(crate) fn ask<A: Message>(&self, method: &str, request: &impl Message) -> Answer<A> {
        self.ask_for(method, request, LONG)
    }

    /// The same, and gives up after a while.
    pub(crate) fn ask_for<A: Message>(
        &self,
        method: &str,
        request: &impl Message,
        timeout: Duration,
    ) -> Answer<A> {
        let service = format!("containerd.task.v{}.Task", self.version);
        let payload = request.write_to_bytes().unwrap();
        let answer = self.client.call(&service, method, &payload, timeout)?;
        Ok(A::parse_from_bytes(&answer).unwrap())
    }

    /// Creates the task of a bundle without streams.
    pub(crate) fn create(&self, node: &Node, id: &str) -> Answer<CreateTaskResponse> {
        let request = CreateTaskRequest {
            id: id.to_owned(),
            bundle: node.bundle_path(id).to_str().unwrap().to_owned(),
            ..CreateTaskRequest::default()
        };
        self.ask("Create", &request)
    }

    pub(crate) fn start(&self, id: &str, exec: &str) -> Answer<StartResponse> {
        let request = StartRequest {
            id: id.to_owned(),
            exec_id: exec.to_owned(),
            ..StartRequest::default()
        };
        self.ask("Start", &request)
    }

    pub(crate) fn state(&self, id: &str, exec: &str) -> Answer<StateResponse> {
        let request = StateRequest {
            id: id.to_owned(),
            exec_id: exec.to_owned(),
            ..StateRequest::default()
        };
        self.ask("State", &request)
    }

    pub(crate) fn delete(&self, id: &str, exec: &str) -> Answer<DeleteResponse> {
        let request = DeleteRequest {
            id: id.to_owned(),
            exec_id: exec.to_owned(),
            ..DeleteRequest::default()
        };
        self.ask("Delete", &request)
    }

    pub(crate) fn pids(&self, id: &str) -> Answer<PidsResponse> {
        let request = PidsRequest {
            id: id.to_owned(),
            ..PidsRequest::default()
        };
        self.ask("Pids", &request)
    }

    pub(crate) fn pause(&self, id: &str) -> Answer<Empty> {
        let request = PauseRequest {
            id: id.to_owned(),
            ..PauseRequest::default()
        };
        self.ask("Pause", &request)
    }

    pub(crate) fn resume(&self, id: &str) -> Answer<Empty> {
        let request = ResumeRequest {
            id: id.to_owned(),
            ..ResumeRequest::default()
        };
        self.ask("Resume", &request)
    }

    pub(crate) fn checkpoint(&self, id: &str) -> Answer<Empty> {
        let request = CheckpointTaskRequest {
            id: id.to_owned(),
            ..CheckpointTaskRequest::default()
        };
        self.ask("Checkpoint", &request)
    }

    pub(crate) fn kill(&self, id: &str, exec: &str, signal: u32) -> Answer<Empty> {
        let request = KillRequest {
            id: id.to_owned(),
            exec_id: exec.to_owned(),
            signal,
            all: exec.is_empty(),
            ..KillRequest::default()
        };
        self.ask("Kill", &request)
    }

    /// Adds the probe with these steps.
    pub(crate) fn exec(&self, id: &str, exec: &str, steps: &[&str]) -> Answer<Empty> {
        let probe = probe();
        let args: Vec<&str> = [probe.as_str()].iter().chain(steps).copied().collect();
        let cwd = if std::path::MAIN_SEPARATOR == '\\' {
            "C:\\"
        } else {
            "/"
        };
        let spec = Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".to_owned(),
            value: json!({ "args": args, "cwd": cwd }).to_string().into_bytes(),
            ..Any::default()
        };
        let request = ExecProcessRequest {
            id: id.to_owned(),
            exec_id: exec.to_owned(),
            spec: MessageField::some(spec),
            ..ExecProcessRequest::default()
        };
        self.ask("Exec", &request)
    }

    pub(crate) fn resize(&self, id: &str) -> Answer<Empty> {
        let request = ResizePtyRequest {
            id: id.to_owned(),
            width: 80,
            height: 25,
            ..ResizePtyRequest::default()
        };
        self.ask("ResizePty", &request)
    }

    pub(crate) fn close_io(&self, id: &str) -> Answer<Empty> {
        let request = CloseIORequest {
            id: id.to_owned(),
            stdin: true,
            ..CloseIORequest::default()
        };
        self.ask("CloseIO", &request)
    }

    /// Sets limits of nothing, which every host has.
    pub(crate) fn update(&self, id: &str) -> Answer<Empty> {
        let resources = Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/WindowsResources"
                .to_owned(),
            value: b"{}".to_vec(),
            ..Any::default()
        };
        let request = UpdateTaskRequest {
            id: id.to_owned(),
            resources: MessageField::some(resources),
            ..UpdateTaskRequest::default()
        };
        self.ask("Update", &request)
    }

    pub(crate) fn wait(&self, id: &str, exec: &str, timeout: Duration) -> Answer<WaitResponse> {
        let request = WaitRequest {
            id: id.to_owned(),
            exec_id: exec.to_owned(),
            ..WaitRequest::default()
        };
        self.ask_for("Wait", &request, timeout)
    }

    /// The exit code of a process that surely ends.
    pub(crate) fn ended(&self, id: &str, exec: &str) -> u32 {
        self.wait(id, exec, LONG).unwrap().exit_status
    }

    pub(crate) fn stats(&self, id: &str) -> Answer<StatsResponse> {
        let request = StatsRequest {
            id: id.to_owned(),
            ..StatsRequest::default()
        };
        self.ask("Stats", &request)
    }

    pub(crate) fn connect(&self, id: &str) -> Answer<ConnectResponse> {
        let request = ConnectRequest {
            id: id.to_owned(),
            ..ConnectRequest::default()
        };
        self.ask("Connect", &request)
    }

    pub(crate) fn shutdown(&self) -> Answer<Empty> {
        let request = ShutdownRequest {
            id: self.id.clone(),
            ..ShutdownRequest::default()
        };
        self.ask("Shutdown", &request)
    }

    /// Creates and starts its task.
    pub(crate) fn run(&self, node: &Node, id: &str) -> u32 {
        self.create(node, id).unwrap();
        self.start(id, "").unwrap().pid
    }

    /// Kills its task, deletes it, and leaves.
    pub(crate) fn end(self, node: &Node) {
        self.kill(&self.id, "", KILL).unwrap();
        assert_eq!(self.ended(&self.id, ""), 137);
        self.delete(&self.id, "").unwrap();
        self.leave(node);
    }

    /// Tells it to leave, and waits until its process has.
    pub(crate) fn leave(self, node: &Node) {
        let process = node.process_of(&self.id);
        self.shutdown().unwrap();
        drop(self.client);
        crate::node::until("the shim leaves", || !node.runs(process));
    }
}

/// The code of a failure that surely comes, which says more than its code.
#[track_caller]
pub(crate) fn code<T: std::fmt::Debug>(answer: Answer<T>) -> Code {
    match answer.unwrap_err() {
        Error::Status(status) => {
            assert!(status.message.len() > 10, "{status:?}");
            status.code
        }
        other @ (Error::Io(_) | Error::Answer(_)) => panic!("{other:?}"),
    }
}
