//! A child process that ends when this process ends, even by SIGKILL.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

use super::error::ClusterError;

/// The signals a child can be sent.
pub use rustix::process::Signal;

/// How often an ending child is looked at.
const POLL: Duration = Duration::from_millis(10);
/// How long a stop may take: the supervisor's five seconds and as much again.
const STOP: Duration = Duration::from_secs(10);
/// How long the supervisor may take to name the pid of the program it started.
const START: Duration = Duration::from_secs(20);

/// A program run by the `supervise` binary of this package.
///
/// Dropping it kills the program. It holds nothing of an async runtime, so it may outlive the one it was
/// started in.
#[derive(Debug)]
pub struct Supervised {
    name: String,
    pid: Pid,
    log: PathBuf,
    process: Mutex<Process>,
}

#[derive(Debug)]
struct Process {
    supervisor: Child,
    /// Its end is the order to stop.
    stdin: Option<ChildStdin>,
}

impl Supervised {
    /// Starts `command` (its program, arguments, environment changes and folder; nothing else of it).
    ///
    /// Output and errors are appended to `NAME.log` in `folder`, the pid is in `NAME.pid`.
    ///
    /// # Errors
    /// The supervisor is missing, or the program cannot be started.
    pub fn start(name: &str, command: &Command, folder: &Path) -> Result<Self, ClusterError> {
        let log = folder.join(format!("{name}.log"));
        let pid_file = folder.join(format!("{name}.pid"));
        // Left by the run before, such as that of an API server that is started again.
        let _ = fs::remove_file(&pid_file);
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(ClusterError::io(format!("create {}", log.display())))?;
        let errors = output
            .try_clone()
            .map_err(ClusterError::io(format!("open {}", log.display())))?;
        let mut supervise = Command::new(supervise_binary()?);
        supervise
            .arg("--pid-file")
            .arg(&pid_file)
            .arg("--")
            .arg(command.get_program());
        supervise
            .args(command.get_args())
            .stdout(output)
            .stderr(errors);
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => supervise.env(key, value),
                None => supervise.env_remove(key),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            supervise.current_dir(folder);
        }
        let mut supervisor = spawn_with_pipe(&mut supervise, name)?;
        let stdin = supervisor.stdin.take();
        let mut process = Process { supervisor, stdin };
        let pid = process.wait_for_pid(name, &pid_file, &log)?;
        Ok(Self {
            name: name.to_owned(),
            pid,
            log,
            process: Mutex::new(process),
        })
    }

    /// The name given at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its output and errors go.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The pid of the program itself, not of its supervisor.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal to the program. Does nothing when it has ended.
    ///
    /// # Errors
    /// The system refused.
    pub fn signal(&self, signal: Signal) -> Result<(), ClusterError> {
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        match kill_process(self.pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(ClusterError::io(format!(
                "send {signal:?} to {}",
                self.name
            ))(error.into())),
        }
    }

    /// Kills the program with SIGKILL, as a node failure or the out-of-memory killer would, and returns when it is gone.
    ///
    /// # Errors
    /// The system refused.
    pub fn kill(&self) -> Result<ExitStatus, ClusterError> {
        self.signal(Signal::KILL)?;
        self.lock()
            .supervisor
            .wait()
            .map_err(ClusterError::io(format!("wait for {}", self.name)))
    }

    /// Asks the program to end (SIGTERM, SIGKILL after five seconds) and waits until it is gone.
    ///
    /// # Errors
    /// The system refused.
    pub async fn stop(&self) -> Result<ExitStatus, ClusterError> {
        self.lock().stdin = None;
        match tokio::time::timeout(STOP, self.wait()).await {
            Ok(status) => status,
            // The supervisor has not done its work; nobody should wait for ever for that.
            Err(_) => self.kill(),
        }
    }

    /// Waits until the program ends by itself. The status has its exit code, or 128 and the signal's number.
    ///
    /// # Errors
    /// The system refused.
    pub async fn wait(&self) -> Result<ExitStatus, ClusterError> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The exit status if the program has ended.
    ///
    /// # Errors
    /// The system refused.
    pub fn try_wait(&self) -> Result<Option<ExitStatus>, ClusterError> {
        self.lock()
            .supervisor
            .try_wait()
            .map_err(ClusterError::io(format!("wait for {}", self.name)))
    }

    fn lock(&self) -> MutexGuard<'_, Process> {
        // Nothing under the lock can be left half done.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // A drop cannot report; the supervisor sees the end of the pipe in any case.
        let _ = self.kill();
    }
}

impl Process {
    fn wait_for_pid(&mut self, name: &str, file: &Path, log: &Path) -> Result<Pid, ClusterError> {
        let begin = Instant::now();
        while begin.elapsed() < START {
            // Asked before the file is read: a short program may have come and gone.
            let ended = self
                .supervisor
                .try_wait()
                .map_err(ClusterError::io(format!("wait for {name}")))?;
            let text = fs::read_to_string(file).ok();
            if let Some(pid) = text.and_then(|text| Pid::from_raw(text.parse().ok()?)) {
                return Ok(pid);
            }
            if let Some(status) = ended {
                return Err(ClusterError::Exited {
                    program: name.to_owned(),
                    status,
                    log: log.to_owned(),
                    tail: tail_of(log),
                });
            }
            std::thread::sleep(POLL);
        }
        Err(ClusterError::NotReady {
            program: name.to_owned(),
            expected: "started",
            after: START,
            log: log.to_owned(),
            tail: tail_of(log),
        })
    }
}

/// Starts the process that removes `folder` when the returned pipe closes and its programs have ended.
pub(super) fn sweep_later(folder: &Path) -> Result<Child, ClusterError> {
    let mut sweep = Command::new(supervise_binary()?);
    sweep.arg("--sweep").arg(folder).stdout(Stdio::null());
    spawn_with_pipe(&mut sweep, "the sweeper")
}

/// Starts the process that ends whatever names `folder`, and removes it, when the returned pipe closes.
pub(crate) fn sweep_strays_later(folder: &Path) -> Result<Child, ClusterError> {
    let mut sweep = Command::new(supervise_binary()?);
    sweep
        .arg("--sweep-strays")
        .arg(folder)
        .stdout(Stdio::null());
    spawn_with_pipe(&mut sweep, "the sweeper")
}

fn spawn_with_pipe(command: &mut Command, name: &str) -> Result<Child, ClusterError> {
    use std::os::unix::process::CommandExt as _;
    command
        // Ctrl-C goes to the whole foreground group: the supervisor must outlive it to end its child.
        .process_group(0)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(ClusterError::io(format!("start the supervisor of {name}")))
}

/// Cargo puts binaries in `target/debug`, tests one folder below it.
fn supervise_binary() -> Result<PathBuf, ClusterError> {
    let own = std::env::current_exe().map_err(ClusterError::io("find the own executable"))?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("supervise"))
        .find(|candidate| candidate.is_file())
        .ok_or(ClusterError::SupervisorMissing { beside: own })
}

/// The last lines of a log, for an error message.
pub(super) fn tail_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(15))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}
