//! Commands that may hang: their output, or an error after a time.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::error::ContainerdError;

/// How often a command is looked at.
const POLL: Duration = Duration::from_millis(5);

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub printed: String,
    /// What it complained.
    pub complained: String,
}

/// Runs a command for a limited time.
///
/// What the command left running may keep its streams open: they are read until it has ended and no longer.
///
/// # Errors
/// It cannot be started, or runs on; then it is killed.
pub fn run(command: &mut Command, limit: Duration) -> Result<Ended, ContainerdError> {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let said = words.join(" ");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(ContainerdError::io(format!("start {said}")))?;
    let printed = read(child.stdout.take());
    let complained = read(child.stderr.take());
    let status = wait(&mut child, limit, &said)?;
    let rest = Duration::from_secs(10);
    let text = |stream: mpsc::Receiver<Vec<u8>>| {
        let bytes = stream.recv_timeout(rest).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Ended {
        code: status.code(),
        printed: text(printed),
        complained: text(complained),
    })
}

fn wait(
    child: &mut Child,
    limit: Duration,
    said: &str,
) -> Result<std::process::ExitStatus, ContainerdError> {
    let deadline = Instant::now() + limit;
    loop {
        let ended = child
            .try_wait()
            .map_err(ContainerdError::io(format!("wait for {said}")))?;
        if let Some(status) = ended {
            return Ok(status);
        }
        if Instant::now() > deadline {
            // It may have ended this moment; there is nothing else to be done about it.
            let _ = child.kill();
            let _ = child.wait();
            return Err(ContainerdError::Endless {
                command: said.to_owned(),
                seconds: limit.as_secs(),
            });
        }
        thread::sleep(POLL);
    }
}

/// Reads a stream to its end, beside the command.
fn read(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read until an error is what there is.
            let _ = stream.read_to_end(&mut bytes);
        }
        // Nobody waits any more where the command was killed.
        let _ = sender.send(bytes);
    });
    receiver
}
