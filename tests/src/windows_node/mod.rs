//! A real Windows node: kubelet and containerd for Windows, unpatched, and our shim, under Wine, joined to a local cluster.
//!
//! Each node has a Wine prefix, ports and folders of its own. Its kubelet has the identity of a node (`system:node:…`), listens
//! only on the address of this machine it tells the control plane, and lets only the API server in. Below kubelet and containerd
//! lie the stand-ins of `tests/windows-node/libraries`; the shim and the containers see Wine as it is.

mod address;
mod error;
mod image;
mod machine;
mod prefix;
mod set_up;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hosttask_setup::windows_node;
use kube::Config;
use tempfile::TempDir;

use crate::cluster::{ClusterError, LocalCluster, Supervised, ToolOutput};

pub use error::WindowsNodeError;
pub use machine::Machine;

use prefix::{Prefix, write};

/// Where the programs of the node are on its drive C.
const PROGRAMS: &str = "C:\\containerd\\bin";
/// The address of containerd's API.
const CONTAINERD: &str = "\\\\.\\pipe\\hosttask-containerd";
/// The name by which containerd finds the shim of the runtime type `io.containerd.hosttask.v1`, also after its own restart.
const SHIM: &str = "containerd-shim-hosttask-v1.exe";

/// What a test may choose about its node.
#[derive(Debug, Clone)]
pub struct WindowsNodeOptions {
    /// The name of the node in the cluster.
    pub name: String,
    /// What its registry says about the machine.
    pub machine: Machine,
    /// The folder with our programs for Windows; none: where Cargo puts them beside the test.
    pub programs: Option<PathBuf>,
}

impl Default for WindowsNodeOptions {
    fn default() -> Self {
        Self {
            name: "windows-1".to_owned(),
            machine: Machine::default(),
            programs: None,
        }
    }
}

/// A running Windows node.
///
/// Dropping it ends whatever it started and removes its folder, unless a panic is on its way; so does the end of the test's
/// process, even by SIGKILL.
#[derive(Debug)]
pub struct WindowsNode {
    name: String,
    address: Ipv4Addr,
    health_port: u16,
    config: Config,
    prefix: Prefix,
    machine: Mutex<Machine>,
    containerd: Mutex<Option<Supervised>>,
    kubelet: Mutex<Option<Supervised>>,
    sweeper: Child,
    folder: TempDir,
}

impl WindowsNode {
    /// The image whose only file is the program `probe.exe`.
    pub const IMAGE: &'static str = "hosttask.test/probe:1";
    /// Where `probe.exe` is on the node itself.
    pub const PROBE: &'static str = "C:\\node\\probe.exe";

    /// Starts a node and returns when the control plane sees it ready.
    ///
    /// The first call on a machine builds kubelet and containerd, which takes minutes and is reported on standard error.
    ///
    /// # Errors
    /// Something is missing (the message says how to install or build it), or a program does not become ready; its logs are
    /// kept and named.
    pub async fn start(
        cluster: &LocalCluster,
        options: WindowsNodeOptions,
    ) -> Result<Self, WindowsNodeError> {
        let ours = match &options.programs {
            Some(folder) => folder.clone(),
            None => built_programs()?,
        };
        let programs =
            tokio::task::spawn_blocking(|| windows_node::programs(&mut |line| tell(line)))
                .await
                .map_err(|error| {
                    WindowsNodeError::io("look for the node's programs")(error.into())
                })??;
        let folder = tempfile::Builder::new()
            .prefix("hosttask-node-")
            .tempdir()
            .map_err(WindowsNodeError::io("create a temporary folder"))?;
        let sweeper = crate::cluster::sweep_strays_later(folder.path())?;
        let address = address::own()?;
        let prefix = Prefix::create(&programs, folder.path().join("prefix")).await?;
        let node = Self {
            name: options.name,
            address,
            health_port: address::free_port(Ipv4Addr::LOCALHOST)?,
            config: cluster.config(),
            prefix,
            machine: Mutex::new(options.machine),
            containerd: Mutex::new(None),
            kubelet: Mutex::new(None),
            sweeper,
            folder,
        };
        let started = node.set_up(cluster, &programs, &ours).await;
        if started.is_err() {
            node.keep();
        }
        started.map(|()| node)
    }

    /// The name of the node in the cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address that pods of the node have, too.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The port of 127.0.0.1 where kubelet tells whether it is healthy.
    pub fn health_port(&self) -> u16 {
        self.health_port
    }

    /// The folder with everything of the node.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the node's programs see as drive C.
    pub fn drive(&self) -> PathBuf {
        self.prefix.drive()
    }

    /// Leaves the folder with the logs when the node ends.
    pub fn keep(&self) {
        // Without the marker the logs are lost, but nobody is there to be told.
        let _ = fs::write(self.folder.path().join("keep"), b"");
    }

    /// The end of what a program of the node (`kubelet`, `containerd`) wrote.
    pub fn log(&self, program: &str) -> String {
        let path = self.folder.path().join(format!("{program}.log"));
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }

    /// Runs `ctr` on the node, in the namespace of kubelet's containers.
    ///
    /// # Errors
    /// It cannot be started, or its exit code is not 0.
    pub async fn ctr(&self, arguments: &[&str]) -> Result<ToolOutput, WindowsNodeError> {
        let mut command = self.program("ctr.exe");
        command
            .args(["--namespace", "k8s.io"])
            .args(arguments)
            .env("CONTAINERD_ADDRESS", CONTAINERD);
        self.prefix.run(&mut command).await
    }

    /// Runs `hosttask-node` on the node.
    ///
    /// # Errors
    /// It cannot be started, or its exit code is not 0.
    pub async fn hosttask_node(&self, arguments: &[&str]) -> Result<ToolOutput, WindowsNodeError> {
        let mut command = self.program("hosttask-node.exe");
        self.prefix.run(command.args(arguments)).await
    }

    /// What starts a program of the node in a shell, up to its arguments.
    pub fn shell_line(&self, program: &str) -> String {
        let command = self.program(program);
        let words = command
            .get_envs()
            .filter_map(|(name, value)| Some(format!("{}='{}'", name.display(), value?.display())));
        let program = [command.get_program()]
            .into_iter()
            .chain(command.get_args());
        let program = program.map(|word| format!("'{}'", word.display()));
        words.chain(program).collect::<Vec<_>>().join(" ")
    }

    /// Kills kubelet and starts it again; returns when the node is ready.
    ///
    /// # Errors
    /// It does not become ready; its logs are named.
    pub async fn restart_kubelet(&self) -> Result<(), WindowsNodeError> {
        stop(&self.kubelet)?;
        self.start_kubelet().await?;
        self.wait_ready().await
    }

    /// Kills containerd and starts it again; returns when it answers.
    ///
    /// # Errors
    /// It does not answer; its logs are named.
    pub async fn restart_containerd(&self) -> Result<(), WindowsNodeError> {
        stop(&self.containerd)?;
        self.start_containerd().await
    }

    /// Ends everything at once, as a loss of power does, and starts the machine again.
    ///
    /// # Errors
    /// It does not become ready; its logs are named.
    pub async fn reboot(&self) -> Result<(), WindowsNodeError> {
        let mut next = lock(&self.machine).clone();
        next.boot += 1;
        self.start_again_as(next).await
    }

    /// Starts the machine again with another installation of Windows, in which nothing runs yet.
    ///
    /// # Errors
    /// It does not become ready; its logs are named.
    pub async fn reimage(&self) -> Result<(), WindowsNodeError> {
        let next = lock(&self.machine).reimaged();
        self.start_again_as(next).await
    }

    /// The machine as its registry tells it now.
    pub fn machine(&self) -> Machine {
        lock(&self.machine).clone()
    }

    async fn start_again_as(&self, machine: Machine) -> Result<(), WindowsNodeError> {
        self.prefix.power_off().await?;
        stop(&self.kubelet)?;
        stop(&self.containerd)?;
        self.prefix.power_on().await?;
        self.prefix.set_machine(&machine).await?;
        *lock(&self.machine) = machine;
        self.start_containerd().await?;
        self.start_kubelet().await?;
        self.wait_ready().await
    }

    /// Gives an image to containerd: its name with a tag, the command it runs, and its files by path. One at a time.
    ///
    /// # Errors
    /// The archive cannot be written, or `ctr` refuses it.
    pub async fn import_image(
        &self,
        name: &str,
        command: &[&str],
        files: &[(&str, &[u8])],
    ) -> Result<(), WindowsNodeError> {
        let bytes = image::archive(name, command, files)
            .map_err(WindowsNodeError::io(format!("make image {name}")))?;
        write(&self.drive().join("image.tar"), &bytes)?;
        self.ctr(&[
            "images",
            "import",
            "--snapshotter",
            "native",
            "C:\\image.tar",
        ])
        .await
        .map(drop)
    }

    fn program(&self, name: &str) -> Command {
        self.prefix.command(&format!("{PROGRAMS}\\{name}"))
    }
}

impl Drop for WindowsNode {
    fn drop(&mut self) {
        // kubelet first: it would start again what ends.
        drop(lock(&self.kubelet).take());
        drop(lock(&self.containerd).take());
        if std::thread::panicking() {
            self.keep();
        }
        if self.folder.path().join("keep").exists() {
            self.folder.disable_cleanup(true);
            tell(&format!(
                "the Windows node's logs stay in {}",
                self.folder.path().display()
            ));
        }
        // A drop cannot report; the sweeper ends what is left, and takes the folder.
        drop(self.sweeper.stdin.take());
        let _ = self.sweeper.wait();
    }
}

/// Ends a program and waits until it is gone. Does nothing when it does not run.
fn stop(program: &Mutex<Option<Supervised>>) -> Result<(), ClusterError> {
    let running = lock(program).take();
    running.map_or(Ok(()), |running| running.kill().map(drop))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only whole values are stored under the locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The folder where Cargo puts our programs for Windows: beside the folder of this test's own programs.
fn built_programs() -> Result<PathBuf, WindowsNodeError> {
    let own = std::env::current_exe().map_err(WindowsNodeError::io("find the own executable"))?;
    let places: Vec<PathBuf> = own
        .ancestors()
        .skip(2)
        .take(2)
        .map(|folder| folder.join("x86_64-pc-windows-gnu/debug"))
        .collect();
    let found = places.iter().find(|folder| folder.join(SHIM).is_file());
    found.cloned().ok_or_else(|| WindowsNodeError::NotBuilt {
        path: places
            .into_iter()
            .next_back()
            .unwrap_or_default()
            .join(SHIM),
    })
}

/// A line for the person in front of the terminal.
#[expect(
    clippy::print_stderr,
    reason = "a build of minutes and kept logs must be seen also in a test"
)]
fn tell(line: &str) {
    eprintln!("{line}");
}
