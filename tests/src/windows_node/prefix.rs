//! A Wine prefix of the node's own: its drive, its registry, and the server that all its programs share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use hosttask_setup::windows_node::Programs;

use super::error::WindowsNodeError;
use super::machine::Machine;
use crate::cluster::ToolOutput;

/// How long a program of the set-up may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(5);

/// What a prefix lets programs take of ours instead of Wine's own, and what it must not ask about in a window.
const OVERRIDES: &str = "mscoree,mshtml=;pdh=n,b;bcryptprimitives=n,b";

/// A prefix with its server running.
#[derive(Debug)]
pub(super) struct Prefix {
    wine: PathBuf,
    wine_server: PathBuf,
    folder: PathBuf,
}

impl Prefix {
    /// Makes a new prefix in `folder` and starts its server. The folder above it is the node's own: temporary files go there.
    pub(super) async fn create(
        programs: &Programs,
        folder: PathBuf,
    ) -> Result<Self, WindowsNodeError> {
        let prefix = Self {
            wine: programs.wine.clone(),
            wine_server: programs.wine_server.clone(),
            folder,
        };
        prefix.quietly(prefix.command("wineboot").arg("-i")).await?;
        prefix.server("-w").await?;
        let system = prefix.drive().join("windows/system32");
        for library in &programs.libraries {
            let name = library.file_name().unwrap_or_default();
            copy(library, &system.join(name))?;
        }
        prefix.power_on().await?;
        Ok(prefix)
    }

    /// Starts the server. It stays until [`Self::power_off`], so that every further program starts in milliseconds.
    pub(super) async fn power_on(&self) -> Result<(), WindowsNodeError> {
        self.server("-p").await?;
        // The first program starts services that keep its output open for ever: it must be one whose output nobody reads.
        self.quietly(self.command("cmd").args(["/c", "ver"])).await
    }

    /// Ends every program of this prefix at once, and returns when its server has ended too.
    pub(super) async fn power_off(&self) -> Result<(), WindowsNodeError> {
        self.server("-k").await?;
        self.server("-w").await
    }

    /// Writes what the registry says about the machine.
    pub(super) async fn set_machine(&self, machine: &Machine) -> Result<(), WindowsNodeError> {
        let file = self.drive().join("machine.reg");
        write(&file, machine.registry().as_bytes())?;
        self.run(self.command("regedit").args(["/S", "C:\\machine.reg"]))
            .await
            .map(drop)
    }

    /// A command that runs a Windows program in this prefix.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(&self.wine);
        command.arg(program);
        self.prepare(&mut command);
        command
    }

    /// The folder that programs see as drive C.
    pub(super) fn drive(&self) -> PathBuf {
        self.folder.join("drive_c")
    }

    /// Runs a program to its end. The server must run: one that is started by the program would keep its output open.
    pub(super) async fn run(&self, command: &mut Command) -> Result<ToolOutput, WindowsNodeError> {
        let name = format!("{command:?}");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut running =
            tokio::process::Command::from(std::mem::replace(command, Command::new("")));
        running.kill_on_drop(true);
        let output = tokio::time::timeout(LIMIT, running.output())
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(WindowsNodeError::io(format!("run {name}")))?;
        let output = ToolOutput {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        };
        if output.is_success() {
            return Ok(output);
        }
        Err(WindowsNodeError::Failed {
            program: name,
            code: output.code,
            said: format!("{}{}", output.stdout, output.stderr),
        })
    }

    /// Runs a program whose output may stay open after its end.
    async fn quietly(&self, command: &mut Command) -> Result<(), WindowsNodeError> {
        let name = format!("{command:?}");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut running =
            tokio::process::Command::from(std::mem::replace(command, Command::new("")));
        let status = tokio::time::timeout(LIMIT, running.kill_on_drop(true).status())
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(WindowsNodeError::io(format!("run {name}")))?;
        if status.success() {
            return Ok(());
        }
        Err(WindowsNodeError::Failed {
            program: name,
            code: status.code(),
            said: String::new(),
        })
    }

    async fn server(&self, order: &str) -> Result<(), WindowsNodeError> {
        let mut command = Command::new(&self.wine_server);
        self.prepare(command.arg(order));
        match self.quietly(&mut command).await {
            // A server that does not run cannot be ended.
            Err(WindowsNodeError::Failed { .. }) if order == "-k" => Ok(()),
            outcome => outcome,
        }
    }

    fn prepare(&self, command: &mut Command) {
        // Some builds of Wine make a folder for their server among the temporary files, and leave it behind.
        let temporary = self.folder.parent().unwrap_or(&self.folder);
        command
            .env("TMPDIR", temporary)
            .env("WINEPREFIX", &self.folder)
            .env("WINEDEBUG", "-all")
            .env("WINEDLLOVERRIDES", OVERRIDES)
            .env_remove("DISPLAY")
            .current_dir("/");
    }
}

/// Copies a file and makes the folders above it.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), WindowsNodeError> {
    make_folder_of(to)?;
    fs::copy(from, to)
        .map(drop)
        .map_err(WindowsNodeError::io(format!(
            "copy {} to {}",
            from.display(),
            to.display()
        )))
}

/// Writes a file and makes the folders above it.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), WindowsNodeError> {
    make_folder_of(path)?;
    fs::write(path, content).map_err(WindowsNodeError::io(format!("write {}", path.display())))
}

fn make_folder_of(path: &Path) -> Result<(), WindowsNodeError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(WindowsNodeError::io(format!("create {}", folder.display())))
}
