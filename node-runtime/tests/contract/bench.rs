//! What every case works with: a host, a folder, and programs to start.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use hosttask_node_runtime::launch;
use hosttask_node_runtime::sys::fake::FakeHost;
use hosttask_node_runtime::sys::pipe::{self, Reader};
use hosttask_node_runtime::sys::{
    self, Host, Identity, Job, Launch, Process, Rules, Streams, User,
};

/// How long something may take that will surely happen.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// How long is waited for something that must not happen.
pub(crate) const SHORT: Duration = Duration::from_millis(150);

/// A host, a folder, and programs to start.
pub(crate) struct Bench {
    pub(crate) host: Arc<dyn Host>,
    /// The host in memory, where it is that.
    pub(crate) fake: Option<FakeHost>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) identity: Arc<dyn Identity>,
}

impl Bench {
    /// The host in memory.
    pub(crate) fn fake() -> Self {
        let fake = FakeHost::new();
        Self::new(Arc::new(fake.clone()), Some(fake))
    }

    /// The host of this system.
    pub(crate) fn native() -> Self {
        Self::of(sys::native().unwrap())
    }

    /// Another host.
    pub(crate) fn of(host: Arc<dyn Host>) -> Self {
        Self::new(host, None)
    }

    fn new(host: Arc<dyn Host>, fake: Option<FakeHost>) -> Self {
        let identity = host.log_on(&User::Inherit, "contract").unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self {
            host,
            fake,
            folder,
            identity,
        }
    }

    /// Says that a case is not run here, past the capture of the test harness.
    pub(crate) fn not_run(&self, what: &str, why: &str) {
        let backend = self.host.features().backend;
        let text = format!("not run: {what} on {backend} ({why})\n");
        io::stderr().write_all(text.as_bytes()).unwrap();
    }

    /// Whether it is Wine, which does not enforce or count everything.
    pub(crate) fn is_wine(&self) -> bool {
        self.host.features().system.to_lowercase().contains("wine")
    }

    /// A name that no other test uses.
    pub(crate) fn name() -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("contract-{}-{next}", std::process::id())
    }

    /// A job.
    pub(crate) fn job(&self) -> Arc<dyn Job> {
        self.host.create_job(&Self::name()).unwrap()
    }

    /// A path in the folder, as a step takes it.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A launch of `probe` with steps.
    pub(crate) fn launch(&self, steps: &[&str]) -> Launch {
        let program = probe().to_str().unwrap().to_owned();
        let arguments: Vec<String> = [program.as_str()]
            .iter()
            .chain(steps)
            .map(|it| (*it).to_owned())
            .collect();
        Launch {
            command_line: launch::quote(&arguments),
            arguments,
            program,
            directory: self.folder.path().to_str().unwrap().to_owned(),
            environment: Self::environment(),
            console: None,
            suspended: false,
            drop_privileges: BTreeSet::new(),
        }
    }

    /// What a program of the system needs to start, and one more.
    pub(crate) fn environment() -> BTreeMap<String, String> {
        let needed = ["PATH", "SystemRoot", "SystemDrive", "TEMP", "TMP"];
        let needed = needed
            .into_iter()
            .filter_map(|name| Some((name, env::var(name).ok()?)));
        let needed = needed.chain([("CONTRACT", "a = ä".to_owned())]);
        needed
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// Starts a launch without streams.
    pub(crate) fn start(&self, job: &dyn Job, launch: &Launch) -> io::Result<Arc<dyn Process>> {
        job.spawn(launch, Streams::default(), self.identity.as_ref())
    }

    /// Starts `probe` with steps, without streams.
    pub(crate) fn spawn(&self, job: &dyn Job, steps: &[&str]) -> Arc<dyn Process> {
        self.start(job, &self.launch(steps)).unwrap()
    }

    /// Starts `probe` with steps, whose second stream can be read.
    pub(crate) fn spawn_read(&self, job: &dyn Job, steps: &[&str]) -> (Arc<dyn Process>, Reader) {
        let (reader, stdout) = pipe::output().unwrap();
        let streams = Streams {
            stdout: Some(stdout),
            ..Streams::default()
        };
        let process = job.spawn(&self.launch(steps), streams, self.identity.as_ref());
        (process.unwrap(), reader)
    }

    /// What `probe` prints that does these steps to their end.
    pub(crate) fn printed(&self, job: &dyn Job, steps: &[&str]) -> String {
        let (process, reader) = self.spawn_read(job, steps);
        let text = read(reader).unwrap();
        assert_eq!(ended(process.as_ref()), 0, "{text}");
        text
    }

    /// Whether paths follow the rules of Windows.
    pub(crate) fn is_windows(&self) -> bool {
        self.host.places().rules == Rules::Windows
    }
}

/// The program that does steps.
pub(crate) fn probe() -> PathBuf {
    let this = env::current_exe().unwrap();
    let folder = this.ancestors().nth(2).unwrap();
    folder.join(format!("probe{}", env::consts::EXE_SUFFIX))
}

/// All that comes until the end. An error where the end does not come.
pub(crate) fn read(mut reader: Reader) -> io::Result<String> {
    let canceller = reader.canceller();
    let (is_done, done) = mpsc::channel();
    let guard = thread::spawn(move || {
        if done.recv_timeout(LONG) == Err(mpsc::RecvTimeoutError::Timeout) {
            canceller.cancel();
        }
    });
    let mut text = String::new();
    let result = reader.read_to_string(&mut text);
    let _ = is_done.send(());
    guard.join().unwrap();
    result.map(|_| text)
}

/// The exit code of a process that surely ends.
pub(crate) fn ended(process: &dyn Process) -> u32 {
    process
        .wait(LONG)
        .unwrap()
        .unwrap_or_else(|| panic!("{process:?} does not end"))
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "in vain: {what}");
        thread::yield_now();
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Waits until a file is there.
pub(crate) fn until_file(path: &str) {
    until(path, || Path::new(path).exists());
}

/// Waits until nobody has a file locked.
pub(crate) fn until_unlocked(path: &str) {
    until(&format!("{path} is still locked"), || !is_locked(path));
}

/// Whether somebody has a file locked, which `probe` does until it ended.
pub(crate) fn is_locked(path: &str) -> bool {
    let Ok(file) = fs::File::open(path) else {
        return false;
    };
    matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
}

/// How many processes run in a job.
pub(crate) fn active(job: &dyn Job) -> u32 {
    job.usage().unwrap().active_processes
}

/// The kind of an error that surely comes.
pub(crate) fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    match result {
        Ok(_) => panic!("it worked"),
        Err(error) => error.kind(),
    }
}
