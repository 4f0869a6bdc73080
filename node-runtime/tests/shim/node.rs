//! A node without containerd: its folders, its events server, and the shims it starts as containerd does.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use hosttask_node_runtime::sys::{self, Host, ProcessId, Rules};
use hosttask_node_runtime::ttrpc::{Client, Service, serve};
use protobuf::Message as _;
use serde_json::{Value, json};

use crate::events::Events;
use crate::task::Shim;

/// How long something may take that will surely happen, on a machine that is busy with other things.
pub(crate) const LONG: Duration = Duration::from_secs(90);

pub(crate) const NAMESPACE: &str = "lane";

/// How a version of containerd talks to a shim that it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// 1.6: it reads a bare address.
    Bare,
    /// 1.7: it reads JSON, and knows the service in its version 2.
    Json2,
    /// 2.0 to 2.2: it reads JSON, and knows version 3.
    Json3,
    /// 2.3 and later: messages.
    Message,
}

impl Dialect {
    pub(crate) const ALL: [Self; 4] = [Self::Bare, Self::Json2, Self::Json3, Self::Message];

    /// The version of the task service it uses.
    pub(crate) fn version(self) -> i32 {
        match self {
            Self::Bare | Self::Json2 => 2,
            Self::Json3 | Self::Message => 3,
        }
    }

    fn newest(self) -> Option<&'static str> {
        match self {
            Self::Bare => None,
            Self::Json2 => Some("2"),
            Self::Json3 | Self::Message => Some("3"),
        }
    }
}

/// A node. What it left when a test ends is removed.
pub(crate) struct Node {
    pub(crate) host: Arc<dyn Host>,
    folder: tempfile::TempDir,
    unique: String,
    events: Arc<Events>,
    serving: Option<JoinHandle<()>>,
    bundles: Mutex<Vec<String>>,
}

impl Node {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut node = Self {
            host: sys::native().unwrap(),
            folder: tempfile::tempdir().unwrap(),
            unique: format!("{}-{next}", std::process::id()),
            events: Arc::default(),
            serving: None,
            bundles: Mutex::default(),
        };
        let listener = node.host.listen(&node.address("events")).unwrap();
        let events = Arc::clone(&node.events);
        node.serving = Some(thread::spawn(move || {
            let service: Arc<dyn Service> = Arc::<Events>::clone(&events);
            serve(listener, service, &|| events.is_over()).unwrap();
        }));
        node
    }

    pub(crate) fn is_windows(&self) -> bool {
        self.host.places().rules == Rules::Windows
    }

    /// Whether it is Wine, which is no Windows in everything.
    pub(crate) fn is_wine(&self) -> bool {
        self.host.features().system.to_lowercase().contains("wine")
    }

    /// A name that no other test has.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.unique)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path as an argument.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// An address of this node.
    pub(crate) fn address(&self, name: &str) -> String {
        if self.is_windows() {
            return format!(r"\\.\pipe\{}", self.name(name));
        }
        self.text(name)
    }

    fn state_root(&self) -> PathBuf {
        self.path("state")
    }

    /// The names in the records of the namespace.
    pub(crate) fn recorded(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.state_root().join(NAMESPACE)) else {
            return Vec::new();
        };
        let names = entries.map(|it| it.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|it| it.contains(&self.unique)).collect()
    }

    pub(crate) fn bundle_path(&self, id: &str) -> PathBuf {
        self.path("bundles").join(id)
    }

    /// A bundle whose program is the probe with these steps.
    pub(crate) fn bundle(&self, id: &str, steps: &[&str]) {
        self.bundle_of(id, &config(steps, None));
    }

    pub(crate) fn bundle_of(&self, id: &str, config: &Value) {
        let bundle = self.bundle_path(id);
        fs::create_dir_all(&bundle).unwrap();
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        self.bundles.lock().unwrap().push(id.to_owned());
    }

    /// The program, as containerd runs it for a bundle that is there.
    fn command(&self, id: &str, dialect: Dialect, action: &str) -> Command {
        let program = std::path::absolute(env!("CARGO_BIN_EXE_containerd-shim-hosttask-v1"));
        let mut command = Command::new(program.unwrap());
        let containerd = self.address("containerd");
        command.args(["-namespace", NAMESPACE, "-address", &containerd]);
        command.args(["-publish-binary", "containerd", "-id", id, "-debug"]);
        command.arg("-bundle").arg(self.bundle_path(id)).arg(action);
        command.env("TTRPC_ADDRESS", self.address("events"));
        command.env("GRPC_ADDRESS", &containerd);
        command.env("HOSTTASK_STATE_ROOT", self.state_root());
        command.env_remove("MAX_SHIM_VERSION");
        if let Some(newest) = dialect.newest() {
            command.env("MAX_SHIM_VERSION", newest);
        }
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `start` to its end.
    pub(crate) fn start_output(&self, id: &str, dialect: Dialect) -> Output {
        let mut command = self.command(id, dialect, "start");
        command.current_dir(self.bundle_path(id));
        let mut child = command.spawn().unwrap();
        let mut input = Vec::new();
        if dialect == Dialect::Message {
            let params = BootstrapParams {
                instance_id: id.to_owned(),
                namespace: NAMESPACE.to_owned(),
                containerd_ttrpc_address: self.address("events"),
                containerd_grpc_address: self.address("containerd"),
                containerd_binary: "containerd".to_owned(),
                ..BootstrapParams::default()
            };
            input = params.write_to_bytes().unwrap();
        }
        child.stdin.take().unwrap().write_all(&input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Starts a shim, and connects to it where it says that it is.
    pub(crate) fn start(&self, id: &str, dialect: Dialect) -> Shim {
        let output = self.start_output(id, dialect);
        assert!(output.status.success(), "{output:?}");
        assert!(
            output.stderr.is_empty(),
            "containerd reads it too: {output:?}"
        );
        let (address, version) = answered(dialect, &output.stdout);
        assert_eq!(version, dialect.version());
        self.connect(id, &address, version)
    }

    /// Connects to a shim.
    pub(crate) fn connect(&self, id: &str, address: &str, version: i32) -> Shim {
        let client = Client::connect(&self.host, address, LONG).unwrap();
        let address = address.to_owned();
        Shim::new(id.to_owned(), address, version, client)
    }

    /// A shim for one container, whose task is not created yet.
    pub(crate) fn shim(&self, id: &str, steps: &[&str]) -> Shim {
        self.bundle(id, steps);
        self.start(id, Dialect::Message)
    }

    /// What containerd reads the log of a shim from, made before the shim starts; none on Windows, where the shim makes it.
    pub(crate) fn log_before(&self, id: &str) -> Option<Box<dyn Read + Send>> {
        let path = self.bundle_path(id).join("log");
        let is_fifo = !self.is_windows();
        is_fifo.then(|| -> Box<dyn Read + Send> { Box::new(fifo(path.to_str().unwrap())) })
    }

    /// The log that a shim serves on Windows.
    pub(crate) fn log_of(&self, id: &str) -> Box<dyn Read + Send> {
        let pipe = format!(r"\\.\pipe\containerd-shim-{NAMESPACE}-{id}-log");
        Box::new(self.host.connect(&pipe, LONG).unwrap())
    }

    /// Runs `delete`, which containerd does somewhere else.
    pub(crate) fn delete_output(&self, id: &str) -> Output {
        let mut command = self.command(id, Dialect::Json2, "delete");
        command.current_dir(self.folder.path());
        command.spawn().unwrap().wait_with_output().unwrap()
    }

    /// Runs `delete`, which has to succeed.
    pub(crate) fn delete(&self, id: &str) -> DeleteResponse {
        let output = self.delete_output(id);
        assert!(output.status.success(), "{output:?}");
        DeleteResponse::parse_from_bytes(&output.stdout).unwrap()
    }

    /// The process of a shim that runs.
    pub(crate) fn process_of(&self, id: &str) -> ProcessId {
        let known = self.bundle_path(id).join("hosttask-shim.json");
        let known: Value = serde_json::from_slice(&fs::read(known).unwrap()).unwrap();
        serde_json::from_value(known["process"].clone()).unwrap()
    }

    /// Ends a process as the system does that lacks memory.
    pub(crate) fn kill(&self, process: ProcessId) {
        let Some(process) = self.host.open_process(process).unwrap() else {
            return;
        };
        process.terminate(9).unwrap();
        assert!(process.wait(LONG).unwrap().is_some());
    }

    pub(crate) fn runs(&self, process: ProcessId) -> bool {
        let process = self.host.open_process(process).unwrap();
        process.is_some_and(|it| it.wait(Duration::ZERO).unwrap().is_none())
    }

    /// The topics of the events so far that name a task, in order.
    pub(crate) fn topics(&self, id: &str) -> Vec<String> {
        self.events.topics(id)
    }

    /// Waits until an event of a topic came for a task, and returns the topics till then.
    pub(crate) fn until_topic(&self, id: &str, topic: &str) -> Vec<String> {
        until(topic, || self.topics(id).iter().any(|it| it == topic));
        self.topics(id)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A test that failed says why; what is left of it must not hurt the next.
        for id in self.bundles.lock().unwrap().iter() {
            if self.bundle_path(id).join("hosttask-shim.json").exists() {
                drop(self.delete_output(id));
            }
        }
        self.events.end();
        if let Some(serving) = self.serving.take() {
            drop(serving.join());
        }
    }
}

/// What `start` printed.
fn answered(dialect: Dialect, printed: &[u8]) -> (String, i32) {
    let text = || String::from_utf8(printed.to_vec()).unwrap();
    match dialect {
        Dialect::Bare => (text(), 2),
        Dialect::Json2 | Dialect::Json3 => {
            let answer: Value = serde_json::from_str(&text()).unwrap();
            assert_eq!(answer["protocol"], "ttrpc");
            let version = answer["version"].as_i64().unwrap();
            let address = answer["address"].as_str().unwrap().to_owned();
            (address, i32::try_from(version).unwrap())
        }
        Dialect::Message => {
            let answer = BootstrapResult::parse_from_bytes(printed).unwrap();
            assert_eq!(answer.protocol, "ttrpc");
            (answer.address, answer.version)
        }
    }
}

/// The program that does what its arguments say.
pub(crate) fn probe() -> String {
    let path = std::path::absolute(env!("CARGO_BIN_EXE_probe")).unwrap();
    path.into_os_string().into_string().unwrap()
}

/// A config that runs the probe; in a pod where one is named.
pub(crate) fn config(steps: &[&str], pod: Option<&str>) -> Value {
    let probe = probe();
    let args: Vec<&str> = [probe.as_str()].iter().chain(steps).copied().collect();
    let cwd = if std::path::MAIN_SEPARATOR == '\\' {
        "C:\\"
    } else {
        "/"
    };
    let mut config = json!({
        "ociVersion": "1.2.0",
        "process": { "args": args, "cwd": cwd },
        "annotations": {
            "microsoft.com/hostprocess-container": "true",
            "microsoft.com/hostprocess-inherit-user": "true",
        },
        "windows": {},
    });
    if let Some(pod) = pod {
        config["annotations"]["io.kubernetes.cri.container-type"] = json!("container");
        config["annotations"]["io.kubernetes.cri.sandbox-id"] = json!(pod);
    }
    config
}

/// The config of a pod.
pub(crate) fn pod_config(id: &str) -> Value {
    let mut config = config(&[], Some(id));
    config["annotations"]["io.kubernetes.cri.container-type"] = json!("sandbox");
    config
}

/// A FIFO, opened both ways: it is there before anybody writes, and whoever has this reads or does not.
pub(crate) fn fifo(path: &str) -> File {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(path).unwrap()
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "in vain: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Whether a process still has a file locked.
pub(crate) fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
}
