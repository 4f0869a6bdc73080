//! The real program with a root of its own, and what a test asks of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::record::{Record, Store};
use hosttask_node_runtime::sys::{self, Host, ProcessId};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything takes, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The program that does what its arguments say: with its drive, which a path of the machine that built it lacks under Wine.
pub(crate) static PROBE: LazyLock<String> = LazyLock::new(|| {
    let path = std::path::absolute(env!("CARGO_BIN_EXE_probe")).unwrap();
    path.into_os_string().into_string().unwrap()
});

/// The program with a root of its own. What it left when a test ends is removed.
pub(crate) struct Bench {
    folder: TempDir,
    /// A name for a container that no other test has: jobs of all roots share one name space.
    pub(crate) web: String,
    /// Another one.
    pub(crate) other: String,
    /// The host the program runs on.
    pub(crate) host: Arc<dyn Host>,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code, as the system reports it.
    pub(crate) code: i32,
    /// What it printed.
    pub(crate) printed: String,
    /// What it complained.
    pub(crate) complained: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            printed: String::from_utf8_lossy(&output.stdout).into_owned(),
            complained: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Bench {
    /// An empty root.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let unique = folder.path().file_name().unwrap().to_string_lossy();
        let unique: String = unique.chars().filter(char::is_ascii_alphanumeric).collect();
        let process = std::process::id();
        Self {
            web: format!("web-{unique}-{process}"),
            other: format!("other-{unique}-{process}"),
            folder,
            host: sys::native().unwrap(),
        }
    }

    /// The folder with the records.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// A file of the test's own.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command that is not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hosttask-node"));
        command.arg("--root").arg(self.root()).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs a command that has to succeed.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended.printed
    }

    /// Runs a command that has to fail as commands do, and returns why.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str], code: i32) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
        ended.complained
    }

    /// Starts a command and does not wait for it.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// A bundle whose program is the probe with these steps.
    pub(crate) fn bundle(&self, name: &str, steps: &[&str]) -> String {
        let args: Vec<&str> = [PROBE.as_str()].iter().chain(steps).copied().collect();
        self.bundle_of(name, &config(&args))
    }

    /// A bundle with this config.
    pub(crate) fn bundle_of(&self, name: &str, config: &Value) -> String {
        let bundle = self.file(name);
        fs::create_dir_all(&bundle).unwrap();
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        bundle.to_str().unwrap().to_owned()
    }

    /// Starts the probe with these steps as a container that is not waited for.
    #[track_caller]
    pub(crate) fn detached(&self, id: &str, steps: &[&str]) {
        let head = ["run", "--detach", id, "--", &PROBE];
        self.done(&[&head, steps].concat());
    }

    /// The state of a container, as JSON.
    #[track_caller]
    pub(crate) fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.done(&["state", id])).unwrap()
    }

    /// Waits for a status.
    #[track_caller]
    pub(crate) fn reaches(&self, id: &str, status: &str) -> Value {
        let mut state = self.state(id);
        let deadline = Instant::now() + PATIENCE;
        while status_of(&state) != status {
            assert!(
                Instant::now() < deadline,
                "{id} is not {status} but {state}"
            );
            std::thread::park_timeout(Duration::from_millis(5));
            state = self.state(id);
        }
        state
    }

    /// What is written down about a container.
    #[track_caller]
    pub(crate) fn record(&self, id: &str) -> Record {
        let store = Store::open(&self.root(), self.host.storage()).unwrap();
        store.read(&Id::parse(id).unwrap()).unwrap()
    }

    /// Whether a process runs.
    pub(crate) fn runs(&self, process: ProcessId) -> bool {
        let process = self.host.open_process(process).unwrap();
        process.is_some_and(|it| it.wait(Duration::ZERO).unwrap().is_none())
    }

    /// Kills the keeper of a container, and waits until it is dead.
    pub(crate) fn kill_keeper(&self, id: &str) {
        let keeper = self.record(id).keeper.unwrap();
        let keeper = self.host.open_process(keeper).unwrap().unwrap();
        keeper.terminate(9).unwrap();
        assert!(keeper.wait(PATIENCE).unwrap().is_some());
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // A test that failed says why; what is left of it must not hurt the next.
        let Ok(listed) = self.command(&["list", "--output", "json"]).output() else {
            return;
        };
        let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap_or_default();
        for container in &listed {
            let id = container["id"].as_str().unwrap_or_default();
            drop(self.command(&["delete", "--force", id]).output());
        }
    }
}

/// How far a container is.
pub(crate) fn status_of(state: &Value) -> &str {
    state.get("status").and_then(Value::as_str).unwrap()
}

/// A config that runs these arguments as the user of the test.
pub(crate) fn config(args: &[&str]) -> Value {
    json!({
        "ociVersion": "1.2.0",
        "process": { "args": args, "cwd": if cfg!(windows) { "C:\\" } else { "/" } },
        "annotations": {
            "microsoft.com/hostprocess-container": "true",
            "microsoft.com/hostprocess-inherit-user": "true",
        },
        "windows": {},
    })
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn eventually(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        // Looking again costs what is waited for its processor.
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The text of a file, empty where there is none.
pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
