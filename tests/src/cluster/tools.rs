//! kubectl and kstatus, run as users run them.

use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::error::ClusterError;

/// What a command line tool printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutput {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
}

impl ToolOutput {
    /// Whether the exit code is 0.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }
}

/// What Flux and Helm 4 see in an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Kstatus {
    /// `InProgress`, `Failed`, `Current`, `Terminating`, `NotFound` or `Unknown`.
    pub status: String,
    /// The reason in words.
    pub message: String,
}

/// Runs `program`, gives it `input` and waits for its end. It is killed if the future is dropped.
pub(super) async fn run(
    program: &Path,
    arguments: &[&str],
    kubeconfig: &Path,
    input: &str,
) -> Result<ToolOutput, ClusterError> {
    let running = || ClusterError::io(format!("run {}", program.display()));
    let mut child = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(running())?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program that ends before it has read everything is not our failure: its exit code tells.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.map_err(running())?;
    Ok(ToolOutput {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code(),
    })
}

/// Asks the kstatus library about one object.
pub(super) async fn kstatus(
    program: &Path,
    kubeconfig: &Path,
    object: &Value,
) -> Result<Kstatus, ClusterError> {
    let output = run(program, &[], kubeconfig, &object.to_string()).await?;
    serde_json::from_str(&output.stdout).map_err(|error| ClusterError::Answer {
        program: "kstatus",
        answer: format!(
            "{error}; it printed {:?} and {:?}",
            output.stdout, output.stderr
        ),
    })
}
