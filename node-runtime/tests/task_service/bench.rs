//! A shim with a publisher that keeps what it is told, asked by encoded messages as containerd asks.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use containerd_shim_protos::api::{
    CreateTaskRequest, CreateTaskResponse, DeleteRequest, DeleteResponse, Empty,
    ExecProcessRequest, KillRequest, ShutdownRequest, StartRequest, StartResponse, StateRequest,
    StateResponse, WaitRequest, WaitResponse,
};
use containerd_shim_protos::events::task;
use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::record::Store;
use hosttask_node_runtime::shim::publisher::Publish;
use hosttask_node_runtime::shim::service::{Setup, Shim};
use hosttask_node_runtime::sys::fake::FakeHost;
use hosttask_node_runtime::sys::{self, Features, Host};
use hosttask_node_runtime::ttrpc::{Call, Caller, Code, Service, Status};
use protobuf::Message;
use protobuf::well_known_types::any::Any;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::scene::{self, HAS_LINKS, arguments};

pub(crate) use crate::scene::{SOON, until};

/// The namespace of all tests.
pub(crate) const NAMESPACE: &str = "k8s.io";

static BENCHES: AtomicU32 = AtomicU32::new(0);

/// Keeps what it is told.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<(String, Any)>>);

impl Publish for Recorder {
    fn publish(&self, topic: &str, event: Any) {
        self.0.lock().unwrap().push((topic.to_owned(), event));
    }
}

pub(crate) struct Bench {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) folder: TempDir,
    pub(crate) shim: Arc<Shim>,
    pub(crate) recorder: Arc<Recorder>,
    fake: Option<FakeHost>,
    /// What makes names of tasks unique: jobs are those of the whole system.
    suffix: String,
}

/// Runs a test on the fake host and with real processes. The shim is the one of `web`.
pub(crate) fn everywhere(test: impl Fn(&Bench)) {
    test(&Bench::fake());
    test(&Bench::native());
}

impl Bench {
    pub(crate) fn fake() -> Self {
        Self::faked(|_| ())
    }

    pub(crate) fn faked(change: impl FnOnce(&mut Features)) -> Self {
        let mut fake = FakeHost::new().with_features(change);
        if !HAS_LINKS {
            fake = fake.with_features(|it| it.means.clear());
        }
        let mut bench = Self::on(Arc::new(fake.clone()), String::new());
        bench.fake = Some(fake);
        bench
    }

    pub(crate) fn native() -> Self {
        let number = BENCHES.fetch_add(1, Ordering::Relaxed);
        let suffix = format!("-{}-{number}", std::process::id());
        Self::on(sys::native().unwrap(), suffix)
    }

    fn on(host: Arc<dyn Host>, suffix: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Arc::new(Recorder::default());
        let setup = Setup {
            host: Arc::clone(&host),
            namespace: NAMESPACE.to_owned(),
            id: format!("web{suffix}"),
            state_root: folder.path().join("state"),
            publisher: recorder.clone(),
            keeper: None,
        };
        Self {
            shim: Shim::new(setup).unwrap(),
            host,
            folder,
            recorder,
            fake: None,
            suffix,
        }
    }

    /// The fake behind it.
    pub(crate) fn faker(&self) -> &FakeHost {
        self.fake.as_ref().unwrap()
    }

    /// The whole name of a task.
    pub(crate) fn id(&self, id: &str) -> String {
        format!("{id}{}", self.suffix)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// An address that nobody else uses, by the rules of the system.
    pub(crate) fn address(&self, name: &str) -> String {
        scene::address(self.folder.path(), name)
    }

    pub(crate) fn store(&self) -> Store {
        let namespace = Id::parse(NAMESPACE).unwrap();
        Store::open_namespace(&self.path("state"), &namespace, self.host.storage()).unwrap()
    }

    /// Asks with a message, and takes the answer.
    pub(crate) fn ask<A: Message>(
        &self,
        method: &str,
        request: &impl Message,
    ) -> Result<A, Status> {
        self.ask_of("containerd.task.v3.Task", method, request, None)
    }

    pub(crate) fn ask_of<A: Message>(
        &self,
        service: &str,
        method: &str,
        request: &impl Message,
        timeout: Option<Duration>,
    ) -> Result<A, Status> {
        let payload = request.write_to_bytes().unwrap();
        let answer = self.shim.call(&Call {
            service,
            method,
            payload: &payload,
            timeout,
            caller: Caller::default(),
        })?;
        Ok(A::parse_from_bytes(&answer).unwrap())
    }

    /// The code that a request is refused with.
    pub(crate) fn code(&self, method: &str, request: &impl Message) -> Option<Code> {
        self.ask::<Empty>(method, request).err().map(|it| it.code)
    }

    /// A config whose program does these steps of `probe`, divided by spaces.
    pub(crate) fn config(&self, id: &str, steps: &str) -> Value {
        let mut config = json!({
            "ociVersion": "1.1.0",
            "process": { "args": arguments(steps), "cwd": "" },
            "annotations": {
                "microsoft.com/hostprocess-container": "true",
                "microsoft.com/hostprocess-inherit-user": "true",
            },
        });
        if HAS_LINKS {
            config["annotations"]["microsoft.com/hostprocess-rootfs-location"] =
                json!(self.text(&format!("root-{id}")));
        }
        config
    }

    /// The same of a pod, or of a container of one.
    pub(crate) fn pod_config(&self, id: &str, kind: &str, steps: &str) -> Value {
        let mut config = self.config(id, steps);
        config["annotations"]["io.kubernetes.cri.container-type"] = json!(kind);
        config["annotations"]["io.kubernetes.cri.sandbox-id"] = json!(self.id("web"));
        config
    }

    /// The request for a task with a config, which is written into its bundle.
    pub(crate) fn request(&self, id: &str, config: &Value) -> CreateTaskRequest {
        let bundle = self.path(&format!("bundle-{id}"));
        fs::create_dir_all(&bundle).unwrap();
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        CreateTaskRequest {
            id: self.id(id),
            bundle: bundle.to_str().unwrap().to_owned(),
            ..CreateTaskRequest::default()
        }
    }

    pub(crate) fn create_with(&self, request: &CreateTaskRequest) -> Result<u32, Status> {
        let made: CreateTaskResponse = self.ask("Create", request)?;
        Ok(made.pid)
    }

    pub(crate) fn create(&self, id: &str, steps: &str) {
        let request = self.request(id, &self.config(id, steps));
        self.create_with(&request).unwrap();
    }

    /// A task that runs, and said so where its steps have `READY`.
    pub(crate) fn run(&self, id: &str, steps: &str) -> u32 {
        let ready = self.text(&format!("ready-{id}"));
        self.create(id, &steps.replace("READY", &format!("ready {ready}")));
        let pid = self.start(id, "").unwrap();
        if steps.contains("READY") {
            until("the program is ready", || fs::exists(&ready).unwrap());
        }
        pid
    }

    pub(crate) fn start(&self, id: &str, exec: &str) -> Result<u32, Status> {
        let request = StartRequest {
            id: self.id(id),
            exec_id: exec.to_owned(),
            ..StartRequest::default()
        };
        let started: StartResponse = self.ask("Start", &request)?;
        Ok(started.pid)
    }

    pub(crate) fn state(&self, id: &str, exec: &str) -> Result<StateResponse, Status> {
        let request = StateRequest {
            id: self.id(id),
            exec_id: exec.to_owned(),
            ..StateRequest::default()
        };
        self.ask("State", &request)
    }

    pub(crate) fn wait(&self, id: &str, exec: &str) -> Result<WaitResponse, Status> {
        let request = WaitRequest {
            id: self.id(id),
            exec_id: exec.to_owned(),
            ..WaitRequest::default()
        };
        self.ask("Wait", &request)
    }

    pub(crate) fn kill(&self, id: &str, exec: &str, signal: u32) -> Result<(), Status> {
        let request = KillRequest {
            id: self.id(id),
            exec_id: exec.to_owned(),
            signal,
            ..KillRequest::default()
        };
        self.ask::<Empty>("Kill", &request).map(drop)
    }

    pub(crate) fn delete(&self, id: &str, exec: &str) -> Result<DeleteResponse, Status> {
        let request = DeleteRequest {
            id: self.id(id),
            exec_id: exec.to_owned(),
            ..DeleteRequest::default()
        };
        self.ask("Delete", &request)
    }

    pub(crate) fn exec_request(&self, id: &str, exec: &str, steps: &str) -> ExecProcessRequest {
        let process = json!({ "args": arguments(steps), "cwd": "" });
        let spec = Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".to_owned(),
            value: process.to_string().into_bytes(),
            ..Any::default()
        };
        ExecProcessRequest {
            id: self.id(id),
            exec_id: exec.to_owned(),
            spec: Some(spec).into(),
            ..ExecProcessRequest::default()
        }
    }

    pub(crate) fn exec(&self, id: &str, exec: &str, steps: &str) -> Result<(), Status> {
        let request = self.exec_request(id, exec, steps);
        self.ask::<Empty>("Exec", &request).map(drop)
    }

    pub(crate) fn shutdown(&self, id: &str) {
        let request = ShutdownRequest {
            id: self.id(id),
            ..ShutdownRequest::default()
        };
        self.ask::<Empty>("Shutdown", &request).unwrap();
    }

    /// What was published, one line each, without the suffix of the names.
    pub(crate) fn told(&self) -> Vec<String> {
        let told = self.recorder.0.lock().unwrap();
        let lines = told.iter().map(|(topic, event)| line(topic, event));
        lines.map(|it| it.replace(&self.suffix, "")).collect()
    }

    /// Nothing of any task is left: no record, no job, no link, no account.
    pub(crate) fn is_clean(&self) {
        assert!(self.store().list().unwrap().is_empty());
        let store = self.path("state").join(NAMESPACE);
        scene::assert_no_files(&store, self.folder.path());
        if let Some(fake) = &self.fake {
            scene::assert_unused(fake);
        }
    }
}

fn line(topic: &str, event: &Any) -> String {
    let bytes = &event.value;
    match event.type_url.as_str() {
        "containerd.events.TaskCreate" => {
            let it = task::TaskCreate::parse_from_bytes(bytes).unwrap();
            format!("{topic} {}", it.container_id)
        }
        "containerd.events.TaskStart" => {
            let it = task::TaskStart::parse_from_bytes(bytes).unwrap();
            assert_ne!(it.pid, 0);
            format!("{topic} {}", it.container_id)
        }
        "containerd.events.TaskExit" => {
            let it = task::TaskExit::parse_from_bytes(bytes).unwrap();
            assert!(it.exited_at.is_some());
            format!("{topic} {} {} {}", it.container_id, it.id, it.exit_status)
        }
        "containerd.events.TaskDelete" => {
            let it = task::TaskDelete::parse_from_bytes(bytes).unwrap();
            format!("{topic} {} {}", it.container_id, it.exit_status)
        }
        "containerd.events.TaskExecAdded" => {
            let it = task::TaskExecAdded::parse_from_bytes(bytes).unwrap();
            format!("{topic} {} {}", it.container_id, it.exec_id)
        }
        "containerd.events.TaskExecStarted" => {
            let it = task::TaskExecStarted::parse_from_bytes(bytes).unwrap();
            assert_ne!(it.pid, 0);
            format!("{topic} {} {}", it.container_id, it.exec_id)
        }
        "containerd.events.TaskOOM" => {
            let it = task::TaskOOM::parse_from_bytes(bytes).unwrap();
            format!("{topic} {}", it.container_id)
        }
        "containerd.events.TaskPaused" => {
            let it = task::TaskPaused::parse_from_bytes(bytes).unwrap();
            format!("{topic} {}", it.container_id)
        }
        "containerd.events.TaskResumed" => {
            let it = task::TaskResumed::parse_from_bytes(bytes).unwrap();
            format!("{topic} {}", it.container_id)
        }
        other => panic!("{topic} of the type {other}"),
    }
}
