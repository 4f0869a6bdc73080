//! Linux: real processes below a holder for each job. For tests and demonstrations only: it sets no limits and changes no
//! users, and its links do not hide anything.
//!
//! A job is a process of its own, its holder, which is the subreaper of all in it: whatever they start stays below it, also
//! in another session. When the last handle is closed, also by `SIGKILL`, the holder ends all of them. What is not caught:
//! a holder that is itself killed by `SIGKILL` leaves its processes to the system. Exit codes have eight bits here, except
//! those given to `terminate`. Notices tell of the processes that the job was asked to start, not of those they start, and
//! a descendant that ends before anybody looks is not counted. Descriptors that this process was itself started with, and
//! that are not closed on exec, are passed on: safe code cannot close them.

mod fifo;
mod holder;
mod job;
pub(super) mod log_driver;
mod members;
mod message;
pub mod pipe;
mod procfs;
mod socket;
mod storage;

use std::any::Any;
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use signal_hook::consts::{SIGINT, SIGTERM};

use self::job::{LinuxJob, LinuxProcess};
use self::storage::LinuxStorage;
use super::{
    Connection, Features, Host, Identity, Job, Listener, Means, Places, Process, ProcessId, Rules,
    Storage, User,
};

/// The programs that do the duty of a holder: they call [`helper_main`] first.
const HELPERS: [&str; 2] = ["probe", "hosttask-node"];

/// The host.
#[derive(Debug)]
pub(super) struct LinuxHost {
    helper: PathBuf,
    system: String,
}

impl LinuxHost {
    /// Finds out what it needs.
    pub(super) fn open() -> io::Result<Self> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let system = format!("Linux {}", release.trim());
        Ok(Self {
            helper: super::companion::find(
                HELPERS,
                "no program that can hold a job is here; build hosttask-node",
            )?,
            system,
        })
    }
}

/// Runs this process as a helper where its arguments, the name of the program left out, say so, and returns its exit code.
/// A program that calls this first needs no other beside it.
pub fn helper_main(arguments: impl IntoIterator<Item = OsString>) -> Option<i32> {
    super::companion::is_this();
    let arguments = arguments.into_iter().map(OsString::into_string);
    holder::main(&arguments.collect::<Result<Vec<_>, _>>().ok()?)
}

/// How many handles this process has open: whoever starts and ends the same again finds the same number.
pub fn live_handles() -> i64 {
    let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    i64::try_from(open).unwrap_or(i64::MAX)
}

/// This process, as others find it.
pub fn own_process() -> io::Result<ProcessId> {
    let own = procfs::Stat::read(std::process::id());
    own.map(|it| it.id)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Sets a flag when this process is asked to end, which then no longer ends it.
pub fn on_interrupt(flag: Arc<AtomicBool>) -> io::Result<()> {
    signal_hook::flag::register(SIGTERM, Arc::clone(&flag))?;
    signal_hook::flag::register(SIGINT, flag)?;
    Ok(())
}

impl Host for LinuxHost {
    fn features(&self) -> Features {
        Features {
            backend: "linux".to_owned(),
            system: self.system.clone(),
            nested_jobs: true,
            suspend: true,
            means: vec![Means::Symlink],
            ..Features::default()
        }
    }

    fn places(&self) -> Places {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Places {
            rules: Rules::Posix,
            windows: String::new(),
            system: "/usr/bin".to_owned(),
            container_root: "/var/lib/hosttask/hpc/".to_owned(),
            state_root: "/var/lib/hosttask/node".to_owned(),
            processors: u32::try_from(processors).unwrap_or(1),
        }
    }

    fn boot_id(&self) -> io::Result<String> {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(id.trim().to_owned())
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn create_job(&self, name: &str) -> io::Result<Arc<dyn Job>> {
        LinuxJob::create(&self.helper, name)
    }

    fn open_job(&self, name: &str) -> io::Result<Arc<dyn Job>> {
        LinuxJob::open(name)
    }

    fn log_on(&self, user: &User, _owner: &str) -> io::Result<Arc<dyn Identity>> {
        if *user != User::Inherit {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let id = rustix::process::geteuid().as_raw();
        Ok(Arc::new(LinuxIdentity(format!("uid {id}"))))
    }

    fn sweep_identities(&self, _lives: &dyn Fn(&str) -> bool) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn open_process(&self, id: ProcessId) -> io::Result<Option<Arc<dyn Process>>> {
        LinuxProcess::open(id)
    }

    fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(socket::listen(address)?))
    }

    fn connect(&self, address: &str, _timeout: Duration) -> io::Result<Box<dyn Connection>> {
        if fifo::is_fifo(address) {
            return fifo::connect(address);
        }
        // The system queues clients, so a server is never too busy to be connected to.
        socket::connect(address)
    }

    fn spawn_detached(
        &self,
        program: &Path,
        arguments: &[String],
        output: File,
    ) -> io::Result<ProcessId> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output);
        let mut child = command.stderr(Stdio::null()).spawn()?;
        let stat = procfs::Stat::read(child.id()).ok_or(io::ErrorKind::NotFound)?;
        thread::spawn(move || child.wait());
        Ok(stat.id)
    }

    fn storage(&self) -> &dyn Storage {
        &LinuxStorage
    }
}

/// The user that the runtime runs as.
#[derive(Debug)]
struct LinuxIdentity(String);

impl Identity for LinuxIdentity {
    fn account(&self) -> &str {
        &self.0
    }

    fn environment(&self) -> io::Result<BTreeMap<String, String>> {
        let names = ["HOME", "LANG", "PATH", "TMPDIR", "USER"];
        let variables = names
            .into_iter()
            .filter_map(|name| Some((name, env::var(name).ok()?)));
        Ok(variables
            .map(|(name, value)| (name.to_owned(), value))
            .collect())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
