//! A client of containerd's API: any number of calls side by side through one program in Go.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ContainerdError;
use super::spec::Spec;

/// How long an answer may take: longer than anything does on a busy machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// One call. What a call does not need stays empty.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Ask {
    /// `container`, `create`, `start`, `exec`, `update`, `state`, `wait`, `kill`, `delete`, `pause`, `resume`, `pids`, `close`,
    /// `metrics` or `remove`.
    #[serde(rename = "do")]
    pub call: &'static str,
    /// The container.
    pub id: String,
    /// A process started later; empty is the container's first.
    pub exec: String,
    /// The path of the shim, of `container`.
    pub runtime: String,
    /// The config, of `container`.
    pub spec: Value,
    /// The process of `exec`, the resources of `update`.
    pub value: Value,
    /// Where the process reads, as containerd passes it on.
    pub stdin: String,
    /// Where the process writes.
    pub stdout: String,
    /// Where the process complains.
    pub stderr: String,
    /// The signal's number, of `kill`.
    pub signal: u32,
    /// Whether `kill` means every process.
    pub all: bool,
}

/// What containerd answered instead of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// `NotFound`, `FailedPrecondition`, …; `Unknown` where it has none, `Gone` where the client has ended, `Silence` where no
    /// answer came.
    pub code: String,
    /// The words.
    pub message: String,
}

/// A call as it is written.
#[derive(Serialize)]
struct Line<'a> {
    tag: u64,
    namespace: &'a str,
    #[serde(flatten)]
    ask: &'a Ask,
}

#[derive(Deserialize)]
struct Answer {
    tag: u64,
    #[serde(default)]
    value: Value,
    #[serde(default)]
    code: String,
    #[serde(default)]
    error: String,
}

/// Whoever waits for an answer, by tag.
type Waiting = Arc<Mutex<BTreeMap<u64, Sender<Answer>>>>;

/// A running client.
#[derive(Debug)]
pub struct Client {
    namespace: String,
    process: Child,
    input: Mutex<Option<ChildStdin>>,
    waiting: Waiting,
    next: AtomicU64,
}

impl Client {
    pub(super) fn start(
        program: &Path,
        address: &Path,
        namespace: &str,
    ) -> Result<Self, ContainerdError> {
        let starting = || ContainerdError::io(format!("start {}", program.display()));
        let mut process = Command::new(program)
            .arg(address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(starting())?;
        let input = Mutex::new(process.stdin.take());
        let waiting = Waiting::default();
        if let Some(output) = process.stdout.take() {
            let waiting = Arc::clone(&waiting);
            thread::spawn(move || hand_out(output, &waiting));
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            process,
            input,
            waiting,
            next: AtomicU64::new(1),
        })
    }

    /// Makes a call and waits for its answer. May be called by many threads at once.
    ///
    /// # Errors
    /// What containerd refused, with its code.
    pub fn ask(&self, ask: &Ask) -> Result<Value, Refusal> {
        let tag = self.next.fetch_add(1, Ordering::Relaxed);
        let namespace = &self.namespace;
        let refused = |code: &str, message: String| Refusal {
            code: code.to_owned(),
            message,
        };
        let mut line = serde_json::to_vec(&Line {
            tag,
            namespace,
            ask,
        })
        .map_err(|e| refused("Unknown", e.to_string()))?;
        line.push(b'\n');
        let (sender, receiver) = mpsc::channel();
        lock(&self.waiting).insert(tag, sender);
        let written = match lock(&self.input).as_mut() {
            Some(input) => input.write_all(&line),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        if let Err(error) = written {
            lock(&self.waiting).remove(&tag);
            return Err(refused("Gone", error.to_string()));
        }
        match receiver.recv_timeout(PATIENCE) {
            Ok(answer) if answer.error.is_empty() => Ok(answer.value),
            Ok(answer) => Err(refused(&answer.code, answer.error)),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(refused("Silence", format!("{ask:?}"))),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(refused("Gone", format!("{ask:?}"))),
        }
    }

    /// Makes a call that needs no more than a container and, or not, a process of it.
    ///
    /// # Errors
    /// As those of [`ask`](Self::ask).
    pub fn call(&self, call: &'static str, id: &str, exec: &str) -> Result<Value, Refusal> {
        self.ask(&Ask {
            call,
            id: id.to_owned(),
            exec: exec.to_owned(),
            ..Ask::default()
        })
    }

    /// Writes down a container and creates its task without streams.
    ///
    /// # Errors
    /// As those of [`ask`](Self::ask).
    pub fn create(&self, id: &str, runtime: &Path, spec: &Spec) -> Result<Value, Refusal> {
        self.ask(&Ask {
            call: "container",
            id: id.to_owned(),
            runtime: runtime.to_string_lossy().into_owned(),
            spec: spec.json(),
            ..Ask::default()
        })?;
        self.call("create", id, "")
    }

    /// Kills a process, or every process of the container.
    ///
    /// # Errors
    /// As those of [`ask`](Self::ask).
    pub fn kill(&self, id: &str, exec: &str, signal: u32) -> Result<Value, Refusal> {
        self.ask(&Ask {
            call: "kill",
            id: id.to_owned(),
            exec: exec.to_owned(),
            signal,
            ..Ask::default()
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(lock(&self.input).take());
        // It ends with its input; a call that hangs would keep it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads answers until the client has ended; then nobody needs to wait any longer.
fn hand_out(output: ChildStdout, waiting: &Waiting) {
    for line in BufReader::new(output).lines() {
        let Ok(answer) = line
            .map_err(drop)
            .and_then(|it| serde_json::from_str::<Answer>(&it).map_err(drop))
        else {
            break;
        };
        if let Some(sender) = lock(waiting).remove(&answer.tag) {
            // Whoever asked may have lost patience.
            let _ = sender.send(answer);
        }
    }
    lock(waiting).clear();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can be left half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
