//! A containerd of its own for each test, and what a test asks of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hosttask_tests::containerd::{
    Ask, Client, Containerd, Ended, Refusal, Spec, Stray, run, strays,
};
use serde_json::Value;

/// Longer than anything takes, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// How long something of a container may run after its shim was killed.
pub(crate) const GONE: Duration = Duration::from_secs(5);
/// The variable by which a test knows the processes of a container again.
const MARK: &str = "BENCH_MARK";

/// The states of a task, as containerd numbers them.
pub(crate) const CREATED: u64 = 1;
/// It runs.
pub(crate) const RUNNING: u64 = 2;
/// It has ended.
pub(crate) const STOPPED: u64 = 3;
/// It stands still.
pub(crate) const PAUSED: u64 = 4;

/// A containerd, and a client of it in a namespace that no other test has: jobs of all containerds share their names.
pub(crate) struct Bench {
    /// The client.
    pub(crate) client: Client,
    /// The daemon.
    pub(crate) containerd: Containerd,
    /// The namespace.
    pub(crate) namespace: String,
}

/// A program of this repository, as Cargo puts them: tests lie one folder below.
pub(crate) fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let found = own.ancestors().skip(1).take(2).map(|it| it.join(name));
    let found = found.into_iter().find(|it| it.is_file());
    found.unwrap_or_else(|| {
        panic!("there is no {name}; build it: cargo build -p hosttask-node-runtime --bins")
    })
}

impl Bench {
    /// Starts containerd with our shim.
    pub(crate) fn new() -> Self {
        let containerd = Containerd::start(program("containerd-shim-hosttask-v1")).unwrap();
        let folder = containerd.folder().file_name().unwrap();
        let namespace = folder.to_string_lossy().into_owned();
        let client = containerd.client(&namespace).unwrap();
        Self {
            client,
            containerd,
            namespace,
        }
    }

    /// A config that runs the program for tests; its processes can be found by the container's id.
    pub(crate) fn spec(&self, id: &str, steps: &[&str]) -> Spec {
        let spec = Spec::new(&program("probe"), steps);
        spec.with_variable(MARK, &self.mark(id))
    }

    /// What the processes of a container have in their variables.
    fn mark(&self, id: &str) -> String {
        format!("{}/of/{id}/", self.containerd.folder().display())
    }

    /// The processes of a container.
    pub(crate) fn processes(&self, id: &str) -> Vec<Stray> {
        strays(Path::new(&self.mark(id)))
    }

    /// Creates a task without streams.
    pub(crate) fn create(&self, id: &str, steps: &[&str]) {
        self.create_with(id, &self.spec(id, steps)).unwrap();
    }

    /// Creates a task from any config.
    pub(crate) fn create_with(&self, id: &str, spec: &Spec) -> Result<Value, Refusal> {
        self.client.create(id, self.containerd.shim(), spec)
    }

    /// Creates a task that prints to a FIFO or a log, as containerd names them.
    pub(crate) fn create_writing_to(&self, id: &str, steps: &[&str], stdout: &str) {
        let ask = |call, stdout: &str| Ask {
            call,
            id: id.to_owned(),
            runtime: self.containerd.shim().to_string_lossy().into_owned(),
            spec: self.spec(id, steps).json(),
            stdout: stdout.to_owned(),
            ..Ask::default()
        };
        self.client.ask(&ask("container", "")).unwrap();
        self.client.ask(&ask("create", stdout)).unwrap();
    }

    /// Creates a task and starts it.
    pub(crate) fn started(&self, id: &str, steps: &[&str]) {
        self.create(id, steps);
        self.client.call("start", id, "").unwrap();
    }

    /// The state of a task's process, as containerd numbers it.
    pub(crate) fn status(&self, id: &str, exec: &str) -> Result<u64, Refusal> {
        let state = self.client.call("state", id, exec)?;
        Ok(state["status"].as_u64().unwrap_or(0))
    }

    /// Waits for the end of a process, and returns its exit code.
    pub(crate) fn code(&self, id: &str, exec: &str) -> u64 {
        code_of(&self.client.call("wait", id, exec).unwrap())
    }

    /// Kills a task, and removes all of it.
    pub(crate) fn remove(&self, id: &str) {
        // It may have ended already.
        let _ = self.client.kill(id, "", 9);
        self.code(id, "");
        self.client.call("delete", id, "").unwrap();
        self.client.call("remove", id, "").unwrap();
    }

    /// After a restart: the old client's connection is gone with the old containerd.
    pub(crate) fn reconnect(&mut self) {
        self.client = self.containerd.client(&self.namespace).unwrap();
    }

    /// Runs a command of `ctr`.
    pub(crate) fn ctr(&self, arguments: &[&str]) -> Ended {
        ctr(&mut self.containerd.ctr(&self.namespace, arguments))
    }

    /// Runs a command of `ctr` that must succeed, and returns what it printed.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let ended = self.ctr(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended.printed
    }

    /// The arguments of `ctr run` for a config, with more options before the id.
    pub(crate) fn ctr_run(&self, id: &str, spec: &Spec, options: &[&str]) -> Vec<String> {
        let file = self.file(&format!("{id}.json"));
        fs::write(&file, spec.json().to_string()).unwrap();
        let shim = self.containerd.shim().to_string_lossy().into_owned();
        let mut arguments: Vec<String> = ["run", "--runtime", &shim, "--config", &file]
            .map(ToOwned::to_owned)
            .to_vec();
        arguments.extend(options.iter().map(ToString::to_string));
        arguments.push(id.to_owned());
        arguments
    }

    /// `ctr run` of the program for tests.
    pub(crate) fn run(&self, id: &str, options: &[&str], steps: &[&str]) -> Ended {
        let arguments = self.ctr_run(id, &self.spec(id, steps), options);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.ctr(&arguments)
    }

    /// A path in the test's folder.
    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.containerd.folder().join(name);
        path.into_os_string().into_string().unwrap()
    }

    /// A FIFO in the test's folder.
    pub(crate) fn fifo(&self, name: &str) -> String {
        let path = self.file(name);
        let made = run(Command::new("mkfifo").arg(&path), PATIENCE).unwrap();
        assert_eq!(made.code, Some(0), "{made:?}");
        path
    }

    /// The folder of a task.
    pub(crate) fn bundle(&self, id: &str) -> PathBuf {
        self.containerd.bundle(&self.namespace, id)
    }

    /// The shims that run.
    pub(crate) fn shims(&self) -> Vec<Stray> {
        let mut found = strays(self.containerd.folder());
        found.retain(|it| it.command.contains("containerd-shim"));
        found
    }

    /// Whether nothing of any task is left: no shim, no folder, no socket, no record.
    pub(crate) fn what_is_left(&self) -> Vec<String> {
        let shims = self.shims().into_iter().map(|it| it.command);
        let tasks = self.containerd.bundle(&self.namespace, "x");
        let folders = [
            tasks.parent().unwrap().to_owned(),
            self.containerd.sockets(),
        ];
        let files = folders.iter().flat_map(|it| names(it));
        let records = files_below(&self.containerd.records());
        shims.chain(files).chain(records).collect()
    }

    /// Waits until nothing of any task is left.
    #[track_caller]
    pub(crate) fn is_empty(&self) {
        eventually("nothing is left", PATIENCE, || {
            let left = self.what_is_left();
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
    }
}

/// Runs a command of `ctr`, without the warning it prints on hosts with old control groups.
fn ctr(command: &mut Command) -> Ended {
    let mut ended = run(command, PATIENCE).unwrap();
    let lines = ended.complained.split_inclusive('\n');
    ended.complained = lines.filter(|it| !it.contains("DEPRECATION")).collect();
    ended
}

/// The exit code in an answer; zero is left out of them.
pub(crate) fn code_of(answer: &Value) -> u64 {
    answer["exit_status"].as_u64().unwrap_or(0)
}

/// Waits until something is so; what is seen meanwhile is said at the end.
#[track_caller]
pub(crate) fn eventually<T, E: std::fmt::Debug>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        let seen = match look() {
            Ok(found) => return found,
            Err(seen) => seen,
        };
        assert!(
            Instant::now() < deadline,
            "not within {within:?}: {what}; seen: {seen:?}"
        );
        // Looking again costs what is waited for its processor.
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// The names of the entries of a folder, none where there is no folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|it| it.path().to_string_lossy().into_owned())
        .collect()
}

/// All files of containers below a folder of records: the mark of a namespace stays.
fn files_below(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|it| it.path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else if path.file_name().is_some_and(|it| it == "namespace") {
                Vec::new()
            } else {
                vec![path.to_string_lossy().into_owned()]
            }
        })
        .collect()
}
