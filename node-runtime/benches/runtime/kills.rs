//! The process that holds a container is killed at every boundary: what still runs five seconds later.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::record::Store;
use hosttask_node_runtime::sys::{self, Host};

use crate::host::Bench;

/// How many times, unless the variable `KILLS` says otherwise.
const KILLS: u32 = 200;

/// When what was left is counted.
const JUDGED: Duration = Duration::from_secs(5);

/// What is under way when the holder dies.
const BOUNDARIES: [&str; 6] = [
    "during create",
    "after create",
    "during start",
    "after start",
    "during exec",
    "during stop",
];

/// Kills the holder over and over.
pub(crate) fn kills(bench: &Bench) {
    if !Path::new("/proc/self/cmdline").exists() {
        println!("\nkills: not measured, this system has no /proc to count what was left");
        return;
    }
    let count = std::env::var("KILLS")
        .ok()
        .and_then(|it| it.parse().ok())
        .unwrap_or(KILLS);
    let host = sys::native().unwrap();
    let (mut leaked, mut dirty, mut killed) = (0, 0, 0);
    let mut slowest = Duration::ZERO;
    for turn in 0..count {
        let victim = Victim::new(bench, turn);
        let boundary = usize::try_from(turn).unwrap() % BOUNDARIES.len();
        let mut commands = victim.go_to(boundary);
        killed += u32::from(victim.kill_holder(host.as_ref()));
        // What a command had just asked for may be born after the first look.
        for command in &mut commands {
            command.wait().unwrap();
        }
        let begin = Instant::now();
        let mut left = victim.running();
        while left > 0 && begin.elapsed() < JUDGED {
            std::thread::park_timeout(Duration::from_millis(20));
            left = victim.running();
        }
        slowest = slowest.max(begin.elapsed());
        leaked += left;
        // The holder of a container that was only being created may have been born after the first look.
        victim.kill_holder(host.as_ref());
        victim.finish(&["delete", "--force", victim.name.as_str()]);
        victim.finish(&["sweep"]);
        dirty += u32::from(victim.store.read(&victim.name).is_ok());
    }
    println!(
        "\n{count} times, {killed} holders killed at: {}",
        BOUNDARIES.join(", ")
    );
    println!("processes left after 5 s: {leaked}; records left after delete and sweep: {dirty}");
    println!("the slowest was gone after {:.2} s", slowest.as_secs_f64());
}

/// A container whose holder is killed.
struct Victim {
    name: Id,
    /// A copy of the program, so that what runs it can be told from everything else.
    probe: PathBuf,
    root: PathBuf,
    store: Store,
}

impl Victim {
    fn new(bench: &Bench, turn: u32) -> Self {
        let root = bench.folder.path().join(format!("kills-{turn}"));
        let host = sys::native().unwrap();
        let original = Path::new(env!("CARGO_BIN_EXE_probe"));
        let store = Store::open(&root, host.storage()).unwrap();
        let unique = format!("victim-{}-{turn}", std::process::id());
        let mut probe = bench.folder.path().join(unique);
        if let Some(extension) = original.extension() {
            probe.set_extension(extension);
        }
        std::fs::copy(original, &probe).unwrap();
        Self {
            name: Id::parse(&format!("victim-{turn}")).unwrap(),
            probe,
            root,
            store,
        }
    }

    fn command(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hosttask-node"));
        command.arg("--root").arg(&self.root).args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    }

    fn finish(&self, arguments: &[&str]) {
        self.command(arguments).wait().unwrap();
    }

    /// Brings the container to the boundary. Returns the commands that are under way.
    fn go_to(&self, boundary: usize) -> Vec<Child> {
        let name = self.name.as_str();
        let probe = self.probe.display().to_string();
        let bundle = self.bundle();
        let bundle = bundle.display().to_string();
        let create = ["create", "--bundle", &bundle, name];
        if boundary == 0 {
            return vec![self.command(&create)];
        }
        self.finish(&create);
        match boundary {
            1 => Vec::new(),
            2 => vec![self.command(&["start", name])],
            _ => {
                self.finish(&["start", name]);
                match boundary {
                    3 => Vec::new(),
                    4 => vec![self.command(&["exec", name, "--", &probe, "tree", "2", "hang"])],
                    _ => vec![self.command(&["stop", "--grace", "30s", name])],
                }
            }
        }
    }

    /// A config whose program has descendants and ignores every wish that it may end.
    fn bundle(&self) -> PathBuf {
        let bundle = self.root.join("bundle");
        std::fs::create_dir_all(&bundle).unwrap();
        let probe = self.probe.display().to_string();
        let config = serde_json::json!({
            "ociVersion": "1.2.0",
            "process": { "args": [probe, "ignore", "tree", "3", "hang"], "cwd": "" },
            "annotations": { "microsoft.com/hostprocess-inherit-user": "true" },
        });
        std::fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        bundle
    }

    /// Kills the holder that stands in the record, as if it had crashed. Whether there was one.
    fn kill_holder(&self, host: &dyn Host) -> bool {
        let keeper = self
            .store
            .read(&self.name)
            .ok()
            .and_then(|record| record.keeper);
        let Some(process) = keeper.and_then(|keeper| host.open_process(keeper).unwrap()) else {
            return false;
        };
        process.terminate(9).unwrap();
        true
    }

    /// How many processes run the copy of the program.
    fn running(&self) -> u32 {
        let name = self.probe.file_name().unwrap().as_encoded_bytes();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        let runs = |line: &Vec<u8>| {
            let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
            first.ends_with(name)
        };
        u32::try_from(lines.filter(runs).count()).unwrap()
    }
}
