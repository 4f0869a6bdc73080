//! A real containerd of its own for a suite: private sockets and folders, restarted and killed at will, nothing left behind.

mod client;
mod command;
mod error;
mod spec;
mod strays;

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hosttask_setup::containerd::Programs;
use tempfile::TempDir;

pub use client::{Ask, Client, Refusal};
pub use command::{Ended, run};
pub use error::ContainerdError;
pub use rustix::process::{Pid, Signal, kill_process};
pub use spec::{Part, Spec};
pub use strays::{Stray, peer, strays};

use crate::cluster::{Supervised, tell};

/// How long containerd may take until it answers, on a machine that is busy with other things.
const BOOT: Duration = Duration::from_mins(1);
/// How often it is looked at meanwhile.
const POLL: Duration = Duration::from_millis(10);
/// The folders of sockets have short names: an address of a shim has 42 bytes at most before its own name.
const PREFIX: &str = "ht-";
/// Where the shim keeps its records, in the folder.
const RECORDS: &str = "records";

/// A containerd with everything it has and starts in one folder.
///
/// Dropping it kills containerd, its shims and whatever names the folder in its arguments or variables; so does the end of
/// the test's process, even by SIGKILL.
#[derive(Debug)]
pub struct Containerd {
    programs: Programs,
    shim: PathBuf,
    folder: TempDir,
    process: Mutex<Option<Supervised>>,
    sweeper: Child,
}

impl Containerd {
    /// Starts containerd with a shim, and waits until it listens.
    ///
    /// # Errors
    /// Its programs cannot be built, the folder cannot be written, or containerd does not come up; its log is named.
    pub fn start(shim: PathBuf) -> Result<Self, ContainerdError> {
        let programs = hosttask_setup::containerd::programs(&mut |line| tell(line))?;
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in("/tmp")
            .map_err(ContainerdError::io("make a folder in /tmp"))?;
        let sweeper = crate::cluster::sweep_strays_later(folder.path())?;
        let containerd = Self {
            programs,
            shim,
            folder,
            process: Mutex::new(None),
            sweeper,
        };
        containerd.write_config()?;
        containerd.boot()?;
        Ok(containerd)
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill`](Self::kill).
    ///
    /// # Errors
    /// It does not come up; its log is named.
    pub fn boot(&self) -> Result<(), ContainerdError> {
        let mut command = Command::new(&self.programs.containerd);
        command
            .arg("--config")
            .arg(self.config())
            .env("HOSTTASK_STATE_ROOT", self.records());
        let process = Supervised::start("containerd", &command, self.folder.path())?;
        let deadline = Instant::now() + BOOT;
        while let Err(source) = UnixStream::connect(self.address()) {
            if process.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(ContainerdError::NotUp {
                    source,
                    log: self.log(),
                });
            }
            std::thread::sleep(POLL);
        }
        *self.process() = Some(process);
        Ok(())
    }

    /// Asks it to end, as the system does before it is upgraded, and waits until it is gone.
    ///
    /// # Errors
    /// The system refused, or it does not end.
    pub fn stop(&self) -> Result<(), ContainerdError> {
        let Some(process) = self.process().take() else {
            return Ok(());
        };
        process.signal(Signal::TERM)?;
        let deadline = Instant::now() + BOOT;
        while process.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err(ContainerdError::DoesNotEnd { log: self.log() });
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Kills it, and returns when it is gone.
    ///
    /// # Errors
    /// The system refused.
    pub fn kill(&self) -> Result<(), ContainerdError> {
        if let Some(process) = self.process().take() {
            process.kill()?;
        }
        Ok(())
    }

    /// A command of `ctr` in a namespace, without input.
    pub fn ctr(&self, namespace: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.programs.ctr);
        command
            .arg("--address")
            .arg(self.address())
            .args(["--namespace", namespace])
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// A client of its API in a namespace. It is of use until containerd ends.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn client(&self, namespace: &str) -> Result<Client, ContainerdError> {
        Client::start(&self.programs.client, &self.address(), namespace)
    }

    /// The shim it is to start.
    pub fn shim(&self) -> &Path {
        &self.shim
    }

    /// A folder for what a test writes and what its containers do: gone when this is dropped.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The socket of its API.
    pub fn address(&self) -> PathBuf {
        self.folder.path().join("c")
    }

    /// The folder of a task as long as containerd has it.
    pub fn bundle(&self, namespace: &str, id: &str) -> PathBuf {
        let tasks = "state/io.containerd.runtime.v2.task";
        self.folder.path().join(tasks).join(namespace).join(id)
    }

    /// The root of the shim's records, as in `hosttask-node --root`.
    pub fn records(&self) -> PathBuf {
        self.folder.path().join(RECORDS)
    }

    /// The folder with the sockets of the shims.
    pub fn sockets(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// What it and its shims wrote, over all its starts.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("containerd.log")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    fn write_config(&self) -> Result<(), ContainerdError> {
        let folder = self.folder.path().display();
        let text = format!(
            "version = 4\n\
             root = '{folder}/root'\n\
             state = '{folder}/state'\n\
             [plugins.'io.containerd.server.v1.grpc']\n\
             address = '{folder}/c'\n\
             [plugins.'io.containerd.server.v1.ttrpc']\n\
             address = '{folder}/t'\n\
             [plugins.'io.containerd.shim.v1.manager']\n\
             socket_dir = '{folder}/s'\n"
        );
        let config = self.config();
        fs::write(&config, text).map_err(ContainerdError::io(format!("write {}", config.display())))
    }

    fn process(&self) -> MutexGuard<'_, Option<Supervised>> {
        // Nothing under the lock can be left half done.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            tell(&format!("containerd's log ends with:\n{}", tail(&log)));
        }
        // First containerd, which would start what cleans up after its shims.
        drop(self.process().take());
        // A drop cannot report; the sweeper ends what is left, and takes the folder.
        drop(self.sweeper.stdin.take());
        let _ = self.sweeper.wait();
    }
}

/// The last lines without those of every start, for a person who reads a failed test.
fn tail(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.contains("loading plugin"));
    let lines: Vec<&str> = lines.collect();
    let skipped = lines.len().saturating_sub(60);
    lines
        .into_iter()
        .skip(skipped)
        .collect::<Vec<_>>()
        .join("\n")
}
