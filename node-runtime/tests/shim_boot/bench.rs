//! A containerd that starts shims, and what it asks of them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use containerd_shim_protos::api::{ConnectRequest, DeleteResponse, ShutdownRequest};
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use hosttask_node_runtime::sys::{self, Host, ProcessId, Rules};
use hosttask_node_runtime::ttrpc::{Client, Error};
use protobuf::Message;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const SHIM: &str = env!("CARGO_BIN_EXE_containerd-shim-hosttask-v1");
pub(crate) const LONG: Duration = Duration::from_mins(2);

/// A containerd that starts shims; its bundles, sockets and records are in a folder of its own.
pub(crate) struct Bench {
    pub(crate) host: Arc<dyn Host>,
    folder: TempDir,
    pub(crate) namespace: String,
}

impl Bench {
    pub(crate) fn new(name: &str) -> Self {
        let bench = Self {
            host: sys::native().unwrap(),
            folder: tempfile::tempdir().unwrap(),
            // Pipes of Windows have no folder: no two tests may share a namespace.
            namespace: format!("{name}{}", std::process::id()),
        };
        fs::create_dir(bench.path("records")).unwrap();
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn bundle(&self, id: &str) -> PathBuf {
        let bundle = self.path("bundles").join(id);
        if !bundle.exists() {
            fs::create_dir_all(&bundle).unwrap();
            fs::write(bundle.join("config.json"), "{}").unwrap();
        }
        bundle
    }

    /// A command of the shim, as containerd writes it.
    pub(crate) fn command(&self, id: &str, action: &str) -> Command {
        let mut command = Command::new(SHIM);
        command
            .args(["-namespace", &self.namespace, "-address", "containerd"])
            .args(["-publish-binary", "containerd", "-id", id])
            .env_remove("TTRPC_ADDRESS")
            .env_remove("MAX_SHIM_VERSION")
            .env("HOSTTASK_STATE_ROOT", self.path("records"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let bundle = self.bundle(id);
        if action == "delete" {
            command.arg("-bundle").arg(&bundle);
            command.current_dir(self.folder.path());
        } else {
            command.current_dir(&bundle);
        }
        command.arg(action);
        command
    }

    /// What containerd 2.3 and later say.
    pub(crate) fn params(&self, id: &str) -> Vec<u8> {
        let params = BootstrapParams {
            instance_id: id.to_owned(),
            namespace: self.namespace.clone(),
            containerd_grpc_address: "containerd".to_owned(),
            socket_dir: Some(self.path("s").to_str().unwrap().to_owned()),
            ..BootstrapParams::default()
        };
        params.write_to_bytes().unwrap()
    }

    pub(crate) fn start(&self, id: &str) -> Output {
        run(self.command(id, "start"), &self.params(id))
    }

    /// Starts a shim that has to start.
    pub(crate) fn started(&self, id: &str) -> String {
        answered(&self.start(id))
    }

    pub(crate) fn delete(&self, id: &str) -> DeleteResponse {
        let output = run(self.command(id, "delete"), b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
        DeleteResponse::parse_from_bytes(&output.stdout).unwrap()
    }

    pub(crate) fn client(&self, address: &str) -> Client {
        Client::connect(&self.host, address, LONG).unwrap()
    }

    /// Whether a shim answers.
    pub(crate) fn answers(&self, address: &str, id: &str) -> bool {
        let request = ConnectRequest {
            id: id.to_owned(),
            ..ConnectRequest::default()
        };
        let request = request.write_to_bytes().unwrap();
        ["containerd.task.v2.Task", "containerd.task.v3.Task"]
            .iter()
            .all(|service| {
                let Ok(client) = Client::connect(&self.host, address, LONG) else {
                    return false;
                };
                let answer = client.call(service, "Connect", &request, LONG);
                matches!(answer, Ok(_) | Err(Error::Status(_)))
            })
    }

    pub(crate) fn shut_down(&self, address: &str, id: &str) {
        let request = ShutdownRequest {
            id: id.to_owned(),
            ..ShutdownRequest::default()
        };
        let request = request.write_to_bytes().unwrap();
        let answer =
            self.client(address)
                .call("containerd.task.v3.Task", "Shutdown", &request, LONG);
        answer.unwrap();
    }

    /// The process of a shim.
    pub(crate) fn process(&self, id: &str) -> ProcessId {
        let known = fs::read(self.bundle(id).join("hosttask-shim.json")).unwrap();
        let known: Value = serde_json::from_slice(&known).unwrap();
        let process = serde_json::from_value(known["process"].clone()).unwrap();
        let pid = fs::read_to_string(self.bundle(id).join("shim.pid")).unwrap();
        let process: ProcessId = process;
        assert_eq!(pid, process.pid.to_string());
        process
    }

    pub(crate) fn wait(&self, process: ProcessId) {
        if let Some(process) = self.host.open_process(process).unwrap() {
            assert!(
                process.wait(LONG).unwrap().is_some(),
                "the shim did not end"
            );
        }
    }

    pub(crate) fn runs(&self, process: ProcessId) -> bool {
        let process = self.host.open_process(process).unwrap();
        process.is_some_and(|it| it.wait(Duration::ZERO).unwrap().is_none())
    }

    pub(crate) fn is_windows(&self) -> bool {
        self.host.places().rules == Rules::Windows
    }
}

pub(crate) fn run(command: Command, input: &[u8]) -> Output {
    spawn(command, input).wait_with_output().unwrap()
}

pub(crate) fn spawn(mut command: Command, input: &[u8]) -> Child {
    let mut child = command.spawn().unwrap();
    // One that does not read it is gone already.
    drop(child.stdin.take().unwrap().write_all(input));
    child
}

/// The address that was answered, and that nothing else was said.
pub(crate) fn answered(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    let answer = BootstrapResult::parse_from_bytes(&output.stdout).unwrap();
    assert_eq!((answer.version, answer.protocol.as_str()), (3, "ttrpc"));
    answer.address
}

/// What was said by a command that failed and answered nothing.
pub(crate) fn refused(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(output.stdout, b"");
    said
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}
