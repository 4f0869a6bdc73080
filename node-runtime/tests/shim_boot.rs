//! The program `containerd-shim-hosttask-v1` as containerd uses it: how it is started, found, told to leave and removed.
#![expect(
    clippy::unwrap_used,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use containerd_shim_protos::api::{ConnectRequest, DeleteResponse, ShutdownRequest};
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use containerd_shim_protos::types::introspection::RuntimeInfo;
use hosttask_node_runtime::sys::{self, Host, ProcessId, Rules};
use hosttask_node_runtime::ttrpc::{Client, Error};
use protobuf::Message;
use serde_json::{Value, json};
use tempfile::TempDir;

const SHIM: &str = env!("CARGO_BIN_EXE_containerd-shim-hosttask-v1");
const LONG: Duration = Duration::from_mins(2);

/// A containerd that starts shims; its bundles, sockets and records are in a folder of its own.
struct Bench {
    host: Arc<dyn Host>,
    folder: TempDir,
    namespace: String,
}

impl Bench {
    fn new(name: &str) -> Self {
        let bench = Self {
            host: sys::native().unwrap(),
            folder: tempfile::tempdir().unwrap(),
            // Pipes of Windows have no folder: no two tests may share a namespace.
            namespace: format!("{name}{}", std::process::id()),
        };
        fs::create_dir(bench.path("records")).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bundle(&self, id: &str) -> PathBuf {
        let bundle = self.path("bundles").join(id);
        if !bundle.exists() {
            fs::create_dir_all(&bundle).unwrap();
            fs::write(bundle.join("config.json"), "{}").unwrap();
        }
        bundle
    }

    /// A command of the shim, as containerd writes it.
    fn command(&self, id: &str, action: &str) -> Command {
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
    fn params(&self, id: &str) -> Vec<u8> {
        let params = BootstrapParams {
            instance_id: id.to_owned(),
            namespace: self.namespace.clone(),
            containerd_grpc_address: "containerd".to_owned(),
            socket_dir: Some(self.path("s").to_str().unwrap().to_owned()),
            ..BootstrapParams::default()
        };
        params.write_to_bytes().unwrap()
    }

    fn start(&self, id: &str) -> Output {
        run(self.command(id, "start"), &self.params(id))
    }

    /// Starts a shim that has to start.
    fn started(&self, id: &str) -> String {
        answered(&self.start(id))
    }

    fn delete(&self, id: &str) -> DeleteResponse {
        let output = run(self.command(id, "delete"), b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
        DeleteResponse::parse_from_bytes(&output.stdout).unwrap()
    }

    fn client(&self, address: &str) -> Client {
        Client::connect(&self.host, address, LONG).unwrap()
    }

    /// Whether a shim answers.
    fn answers(&self, address: &str, id: &str) -> bool {
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

    fn shut_down(&self, address: &str, id: &str) {
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
    fn process(&self, id: &str) -> ProcessId {
        let known = fs::read(self.bundle(id).join("hosttask-shim.json")).unwrap();
        let known: Value = serde_json::from_slice(&known).unwrap();
        let process = serde_json::from_value(known["process"].clone()).unwrap();
        let pid = fs::read_to_string(self.bundle(id).join("shim.pid")).unwrap();
        let process: ProcessId = process;
        assert_eq!(pid, process.pid.to_string());
        process
    }

    fn wait(&self, process: ProcessId) {
        if let Some(process) = self.host.open_process(process).unwrap() {
            assert!(
                process.wait(LONG).unwrap().is_some(),
                "the shim did not end"
            );
        }
    }

    fn runs(&self, process: ProcessId) -> bool {
        let process = self.host.open_process(process).unwrap();
        process.is_some_and(|it| it.wait(Duration::ZERO).unwrap().is_none())
    }

    fn is_windows(&self) -> bool {
        self.host.places().rules == Rules::Windows
    }
}

fn run(command: Command, input: &[u8]) -> Output {
    spawn(command, input).wait_with_output().unwrap()
}

fn spawn(mut command: Command, input: &[u8]) -> Child {
    let mut child = command.spawn().unwrap();
    // One that does not read it is gone already.
    drop(child.stdin.take().unwrap().write_all(input));
    child
}

/// The address that was answered, and that nothing else was said.
fn answered(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    let answer = BootstrapResult::parse_from_bytes(&output.stdout).unwrap();
    assert_eq!((answer.version, answer.protocol.as_str()), (3, "ttrpc"));
    answer.address
}

/// What was said by a command that failed and answered nothing.
fn refused(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(output.stdout, b"");
    said
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_shim_answers_once_its_start_is_done_and_leaves_nothing_when_it_is_told_to_leave() {
    let bench = Bench::new("life");
    let address = bench.started("web");
    assert!(bench.answers(&address, "web"));
    let bundle = bench.bundle("web");
    assert_eq!(fs::read_to_string(bundle.join("address")).unwrap(), address);
    let process = bench.process("web");
    bench.shut_down(&address, "web");
    bench.wait(process);
    assert!(!bench.answers(&address, "web"));
    assert_eq!(names(&bundle), ["config.json"]);
    if !bench.is_windows() {
        assert_eq!(names(&bench.path("s")), Vec::<String>::new());
    }
}

#[test]
fn the_bundle_can_be_moved_while_the_shim_runs() {
    let bench = Bench::new("busy");
    let address = bench.started("web");
    fs::rename(bench.bundle("web"), bench.path("bundles").join(".web")).unwrap();
    assert!(bench.answers(&address, "web"));
    bench.shut_down(&address, "web");
}

#[test]
fn starts_of_one_name_find_one_shim_in_a_row_and_at_once() {
    let bench = Bench::new("twice");
    bench.bundle("web");
    let answers: Vec<String> = thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| bench.started("web")))
            .collect();
        starts.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let first = answers.first().unwrap();
    assert!(answers.iter().all(|it| it == first), "{answers:?}");
    let process = bench.process("web");
    assert_eq!(&bench.started("web"), first);
    assert_eq!(bench.process("web"), process);
    bench.shut_down(first, "web");
    bench.wait(process);
    assert!(!bench.answers(first, "web"));
}

#[test]
fn two_containers_have_two_shims() {
    let bench = Bench::new("two");
    let (web, db) = (bench.started("web"), bench.started("db"));
    assert_ne!(web, db);
    bench.shut_down(&web, "web");
    bench.wait(bench.process("web"));
    assert!(bench.answers(&db, "db"));
    bench.shut_down(&db, "db");
}

#[test]
fn an_older_containerd_is_answered_in_its_own_words() {
    let bench = Bench::new("older");
    for (newest, expected) in [
        (None, "A"),
        (
            Some("2"),
            r#"{"address":"A","protocol":"ttrpc","version":2}"#,
        ),
    ] {
        let mut command = bench.command("web", "start");
        if let Some(newest) = newest {
            command.env("MAX_SHIM_VERSION", newest);
        }
        let output = run(command, b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
        let address = fs::read_to_string(bench.bundle("web").join("address")).unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            answer
                .replace(&address.replace('\\', r"\\"), "A")
                .replace(&address, "A"),
            expected
        );
        assert!(bench.answers(&address, "web"));
        let process = bench.process("web");
        bench.shut_down(&address, "web");
        bench.wait(process);
    }
}

#[test]
fn a_container_of_a_pod_gets_the_shim_of_its_sandbox_and_none_of_its_own() {
    let bench = Bench::new("pod");
    let config = r#"{"annotations":{
        "io.kubernetes.cri.container-type":"container",
        "io.kubernetes.cri.sandbox-id":"pod"}}"#;
    fs::write(bench.bundle("web").join("config.json"), config).unwrap();
    let alone = refused(&bench.start("web"), 1);
    assert!(
        alone.contains("the shim of the pod pod does not answer"),
        "{alone}"
    );
    let pod = bench.started("pod");
    assert_eq!(bench.started("web"), pod);
    assert_eq!(names(&bench.bundle("web")), ["address", "config.json"]);
    bench.shut_down(&pod, "pod");
}

#[test]
fn a_shim_that_cannot_begin_makes_its_start_fail_with_the_reason() {
    let bench = Bench::new("reason");
    fs::remove_dir(bench.path("records")).unwrap();
    fs::write(bench.path("records"), "no folder").unwrap();
    let said = refused(&bench.start("web"), 1);
    assert!(
        said.contains("the shim failed to start") && said.contains("records"),
        "{said}"
    );
    assert_eq!(names(&bench.bundle("web")), ["config.json"]);
    // Nothing of it is left, so that the next one can begin.
    fs::remove_file(bench.path("records")).unwrap();
    let address = bench.started("web");
    bench.shut_down(&address, "web");
}

#[test]
fn an_address_that_somebody_else_serves_is_not_given_to_containerd() {
    let bench = Bench::new("squat");
    let address = bench.started("web");
    let process = bench.process("web");
    bench.shut_down(&address, "web");
    bench.wait(process);
    // It takes clients and never answers.
    let mut squatter = bench.host.listen(&address).unwrap();
    let said = thread::scope(|scope| {
        let start = scope.spawn(|| refused(&bench.start("web"), 1));
        let mut clients = Vec::new();
        while !start.is_finished() {
            clients.extend(squatter.accept(Duration::from_millis(50)).unwrap());
        }
        start.join().unwrap()
    });
    assert!(said.contains("does not answer at"), "{said}");
    assert_eq!(names(&bench.bundle("web")), ["config.json"]);
}

#[test]
fn nobody_can_serve_the_pipe_of_a_shim_beside_it_or_reach_it_from_afar() {
    let bench = Bench::new("pipe");
    let address = bench.started("web");
    let second = bench.host.listen(&address).unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::AlreadyExists);
    if bench.is_windows() {
        // Where a machine reaches itself this way, it is another to the pipe.
        let afar = address.replacen(r"\\.\", r"\\localhost\", 1);
        assert!(bench.host.connect(&afar, Duration::from_secs(5)).is_err());
    }
    assert!(bench.answers(&address, "web"));
    bench.shut_down(&address, "web");
}

#[test]
fn what_is_left_of_a_container_without_a_shim_is_removed_without_a_word() {
    let bench = Bench::new("gone");
    let address = bench.started("web");
    let process = bench.process("web");
    let shim = bench.host.open_process(process).unwrap().unwrap();
    shim.terminate(1).unwrap();
    bench.wait(process);
    let deleted = bench.delete("web");
    assert_eq!((deleted.pid, deleted.exit_status), (0, 255));
    assert!(deleted.exited_at.seconds > 0);
    if !bench.is_windows() {
        assert_eq!(names(&bench.path("s")), Vec::<String>::new());
    }
    // A second time, and for one that never was.
    assert_eq!(bench.delete("web").exit_status, 255);
    assert_eq!(bench.delete("never").exit_status, 255);
    // The name can be used again.
    assert_eq!(bench.started("web"), address);
    bench.shut_down(&address, "web");
}

#[test]
fn a_shim_that_containerd_lost_is_told_to_leave() {
    let bench = Bench::new("lost");
    let address = bench.started("web");
    let process = bench.process("web");
    assert_eq!(bench.delete("web").exit_status, 255);
    bench.wait(process);
    assert!(!bench.answers(&address, "web"));
}

#[test]
fn a_shim_that_does_not_answer_is_ended() {
    let bench = Bench::new("mute");
    let output = fs::File::create(bench.path("output")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_probe"));
    let steps = ["hang".to_owned()];
    let process = bench.host.spawn_detached(program, &steps, output).unwrap();
    let known = json!({
        "process": process,
        "address": bench.path("nowhere"),
        "stateRoot": bench.path("records"),
    });
    let bundle = bench.bundle("web");
    fs::write(bundle.join("hosttask-shim.json"), known.to_string()).unwrap();
    assert!(bench.runs(process));
    assert_eq!(bench.delete("web").exit_status, 255);
    bench.wait(process);
}

#[test]
fn a_start_that_cannot_write_where_its_shim_is_fails_and_ends_it() {
    let bench = Bench::new("full");
    let address = bench.started("web");
    let process = bench.process("web");
    bench.shut_down(&address, "web");
    bench.wait(process);
    fs::create_dir(bench.bundle("web").join("address")).unwrap();
    let said = refused(&bench.start("web"), 1);
    assert!(
        said.contains("failed to write") && said.contains("address"),
        "{said}"
    );
    until("the shim stays", || !bench.answers(&address, "web"));
    assert_eq!(names(&bench.bundle("web")), ["address", "config.json"]);
}

#[test]
fn what_panics_of_a_shim_said_is_told_when_it_is_deleted() {
    let bench = Bench::new("panic");
    fs::write(
        bench.bundle("web").join("panic.log"),
        "panicked at x.rs:1:\nno\n",
    )
    .unwrap();
    let output = run(bench.command("web", "delete"), b"");
    assert!(output.status.success());
    assert!(DeleteResponse::parse_from_bytes(&output.stdout).is_ok());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 2);
    assert!(said.contains("panicked at x.rs:1:"), "{said}");
}

#[test]
fn the_deletion_of_a_container_leaves_the_shim_of_its_pod_alone() {
    let bench = Bench::new("others");
    let pod = bench.started("pod");
    let process = bench.process("pod");
    let web = bench.bundle("web");
    fs::write(web.join("sandbox"), "pod").unwrap();
    let written = format!(
        r#"{{"version":3,"address":{},"protocol":"ttrpc"}}"#,
        Value::from(pod.clone())
    );
    fs::write(web.join("bootstrap.json"), written).unwrap();
    assert_eq!(bench.delete("web").exit_status, 255);
    assert!(bench.runs(process) && bench.answers(&pod, "pod"));
    bench.shut_down(&pod, "pod");
}

#[test]
fn a_shim_whose_start_was_ended_before_containerd_knew_of_it_leaves_by_itself() {
    let bench = Bench::new("orphan");
    // Served first, so that its address and what else it is given are known.
    let address = bench.started("web");
    let process = bench.process("web");
    bench.shut_down(&address, "web");
    bench.wait(process);
    let mut serve = Command::new(SHIM);
    serve
        .args([
            "-namespace",
            &bench.namespace,
            "-id",
            "web",
            "-socket",
            &address,
        ])
        .arg("-state-root")
        .arg(bench.path("records"))
        .arg("-bundle")
        .arg(bench.bundle("web"))
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut shim = spawn(serve, b"");
    let mut ready = String::new();
    let mut output = BufReader::new(shim.stdout.take().unwrap());
    output.read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    drop(output);
    assert!(bench.answers(&address, "web"));
    until("the shim stays", || shim.try_wait().unwrap().is_some());
    assert_eq!(shim.wait().unwrap().code(), Some(0));
    assert!(!bench.answers(&address, "web"));
}

/// Has the shim log a line.
fn say(bench: &Bench, address: &str) {
    let answer = bench
        .client(address)
        .call("no.such.Service", "Nonsense", b"", LONG);
    assert!(matches!(answer, Err(Error::Status(_))), "{answer:?}");
}

/// The first line that says this.
fn line_of(reader: &mut impl BufRead, part: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the log ended");
        if line.contains(part) {
            return line;
        }
    }
}

#[test]
fn lines_of_the_log_are_read_by_one_containerd_after_another() {
    let bench = Bench::new("log");
    let fifo = bench.bundle("web").join("log");
    if !bench.is_windows() {
        let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
    }
    let address = bench.started("web");
    if bench.is_windows() {
        // One that came and left while nothing was said.
        let pipe = format!(r"\\.\pipe\containerd-shim-{}-web-log", bench.namespace);
        drop(bench.host.connect(&pipe, LONG).unwrap());
    }
    for _ in 0..2 {
        say(&bench, &address);
        let line = if bench.is_windows() {
            let pipe = format!(r"\\.\pipe\containerd-shim-{}-web-log", bench.namespace);
            let mut reader = bench.host.connect(&pipe, LONG).unwrap();
            reader.set_timeout(Some(LONG)).unwrap();
            line_of(&mut BufReader::new(reader), "Nonsense")
        } else {
            let mut options = fs::OpenOptions::new();
            let reader = options.read(true).write(true).open(&fifo).unwrap();
            line_of(&mut BufReader::new(reader), "Nonsense")
        };
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["level"], "error");
        assert!(line["time"].is_string());
    }
    bench.shut_down(&address, "web");
}

#[test]
fn a_wrong_command_line_is_refused_with_all_that_is_wrong() {
    let mut command = Command::new(SHIM);
    command.args(["-what", "-id", "../web", "begin"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = refused(&output, 2);
    for part in ["-what", "-namespace is missing", "../web", "begin"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn what_the_runtime_is_can_be_asked_without_a_container() {
    let ask = |flag: &str| {
        let mut command = Command::new(SHIM);
        command.arg(flag).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        output.stdout
    };
    let info = RuntimeInfo::parse_from_bytes(&ask("-info")).unwrap();
    assert_eq!(info.name, "io.containerd.hosttask.v1");
    let features: Value = serde_json::from_slice(&info.features.value).unwrap();
    assert!(features["hosttask"]["features"]["backend"].is_string());
    let version = String::from_utf8(ask("-v")).unwrap();
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    assert!(String::from_utf8(ask("--help")).unwrap().contains("start"));
}
