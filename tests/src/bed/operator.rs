//! The operator's own binary, run with the ServiceAccount and exactly the rules that `config/` ships.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::workspace_root;
use crate::cluster::{ClusterError, LocalCluster, Supervised};
use crate::poll::{self, TimedOut};

/// The namespace the operator is installed in.
const NAMESPACE: &str = "hosttask-system";
/// The operator's ServiceAccount.
const SERVICE_ACCOUNT: &str = "hosttask-operator";

/// How a replica is started.
#[derive(Clone, Debug)]
pub struct OperatorOptions {
    /// Further arguments.
    pub args: Vec<String>,
}

/// A replica that nobody stands by for: nothing starts it again, as a Deployment would, if it lost its lease while the machine had
/// no time for it.
impl Default for OperatorOptions {
    fn default() -> Self {
        let args = ["--lease-duration=60s", "--renew-deadline=45s"];
        Self {
            args: args.map(ToOwned::to_owned).to_vec(),
        }
    }
}

impl OperatorOptions {
    /// With more arguments.
    #[must_use]
    pub fn and(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }
}

/// Why the operator did not come up.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The control plane refused something.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// `kubectl` refused the manifests.
    #[error("failed to install {what}: {message}")]
    Install {
        /// Which manifests.
        what: String,
        /// What kubectl wrote.
        message: String,
    },
    /// The operator has not been built.
    #[error(
        "found no hosttask-operator beside {beside}; build it: cargo build -p hosttask-operator"
    )]
    Missing {
        /// The binary that runs now.
        beside: String,
    },
    /// The system does not say which binary this is.
    #[error("failed to find the running binary")]
    Executable(#[source] std::io::Error),
    /// No free port.
    #[error("failed to find a free port")]
    Port(#[source] std::io::Error),
    /// It ended instead of becoming ready.
    #[error("the operator ended with {status}; its log is {log}")]
    Ended {
        /// How it ended.
        status: std::process::ExitStatus,
        /// The log file.
        log: String,
    },
    /// It never became ready.
    #[error("the operator did not become ready; its log is {log}")]
    NotReady {
        /// The log file.
        log: String,
        /// The last probe.
        source: TimedOut,
    },
}

/// The metrics of a replica, by name and labels as they are exposed.
pub type Metrics = BTreeMap<String, f64>;

/// A running replica.
#[derive(Debug)]
pub struct OperatorProcess {
    /// The process.
    pub process: Supervised,
    /// Its log, one JSON object a line.
    pub log: PathBuf,
    endpoint: Endpoint,
}

/// Where a replica answers.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    health: u16,
    metrics: u16,
}

/// Installs the CRDs, the RBAC and the rest of `config/default`.
pub(super) async fn install(cluster: &LocalCluster) -> Result<(), OperatorError> {
    let folder = workspace_root().join("config/default");
    let folder = folder.to_string_lossy();
    let output = cluster
        .kubectl(&["apply", "--server-side", "-k", &folder])
        .await?;
    if output.is_success() {
        return Ok(());
    }
    Err(OperatorError::Install {
        what: folder.into_owned(),
        message: output.stderr,
    })
}

impl OperatorProcess {
    /// Starts one replica with leader election, as the Deployment does.
    pub async fn start(
        cluster: &LocalCluster,
        options: OperatorOptions,
    ) -> Result<Self, OperatorError> {
        let kubeconfig = cluster
            .service_account_kubeconfig(NAMESPACE, SERVICE_ACCOUNT)
            .await?;
        Self::start_with(&kubeconfig, cluster.dir(), options)
    }

    /// Starts one replica from another binary than the one that was built with this program.
    pub async fn start_binary(
        cluster: &LocalCluster,
        binary: &Path,
        options: OperatorOptions,
    ) -> Result<Self, OperatorError> {
        let kubeconfig = cluster
            .service_account_kubeconfig(NAMESPACE, SERVICE_ACCOUNT)
            .await?;
        Self::spawn(binary, &kubeconfig, cluster.dir(), options)
    }

    /// Starts one replica against the API server of a kubeconfig; its log goes to `folder`.
    pub fn start_with(
        kubeconfig: &Path,
        folder: &Path,
        options: OperatorOptions,
    ) -> Result<Self, OperatorError> {
        Self::spawn(&binary()?, kubeconfig, folder, options)
    }

    fn spawn(
        binary: &Path,
        kubeconfig: &Path,
        folder: &Path,
        options: OperatorOptions,
    ) -> Result<Self, OperatorError> {
        let [health, metrics] = free_ports()?;
        let mut args = vec![
            "--leader-elect".to_owned(),
            format!("--leader-election-namespace={NAMESPACE}"),
            format!("--health-probe-bind-address=127.0.0.1:{health}"),
            format!("--metrics-bind-address=127.0.0.1:{metrics}"),
        ];
        args.extend(options.args);
        let mut command = Command::new(binary);
        command.args(args).env("KUBECONFIG", kubeconfig);
        let process = Supervised::start(&format!("hosttask-operator-{health}"), &command, folder)?;
        let log = process.log().to_owned();
        Ok(Self {
            process,
            log,
            endpoint: Endpoint { health, metrics },
        })
    }

    /// Waits until `/readyz` answers 200.
    pub async fn ready(&self) -> Result<(), OperatorError> {
        let answers = poll::until(
            "the operator to be ready",
            Duration::from_mins(1),
            || async {
                let (code, body) = get(self.endpoint.health, "/readyz")
                    .await
                    .map_err(|error| error.to_string())?;
                if code == 200 {
                    Ok(())
                } else {
                    Err(format!("{code}: {body}"))
                }
            },
        );
        let log = || self.log.display().to_string();
        tokio::select! {
            ready = answers => ready.map_err(|source| OperatorError::NotReady { log: log(), source }),
            ended = self.process.wait() => Err(OperatorError::Ended { status: ended?, log: log() }),
        }
    }

    /// Whether the process still runs.
    pub fn is_running(&self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Where it answers.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The resident memory and its peak, in kibibytes.
    pub fn memory(&self) -> std::io::Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid()))?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        Ok((field("VmRSS:").unwrap_or(0), field("VmHWM:").unwrap_or(0)))
    }
}

impl Endpoint {
    /// The metrics now.
    pub async fn metrics(&self) -> std::io::Result<Metrics> {
        let (_, body) = get(self.metrics, "/metrics").await?;
        let samples = body
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (name, value) = line.rsplit_once(' ')?;
                Some((name.to_owned(), value.parse().ok()?))
            });
        Ok(samples.collect())
    }

    /// Whether this replica says it leads.
    pub async fn leads(&self) -> bool {
        self.metrics().await.is_ok_and(|all| {
            all.iter().any(|(name, value)| {
                name.starts_with("leader_election_master_status") && *value > 0.5
            })
        })
    }
}

/// The operator's binary, built into the folder this program runs from, or one above (test binaries are in `deps`).
pub fn binary() -> Result<PathBuf, OperatorError> {
    let current = std::env::current_exe().map_err(OperatorError::Executable)?;
    let found = current
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("hosttask-operator"))
        .find(|path| path.is_file());
    found.ok_or_else(|| OperatorError::Missing {
        beside: current
            .parent()
            .unwrap_or_else(|| Path::new("/"))
            .display()
            .to_string(),
    })
}

/// Ports that were free a moment ago. Both are held until both are known, else the system could name one twice.
fn free_ports() -> Result<[u16; 2], OperatorError> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(OperatorError::Port);
    let held = [listen()?, listen()?];
    let [one, other] = held.each_ref().map(TcpListener::local_addr);
    let port = |address: std::io::Result<SocketAddr>| {
        let address = address.map_err(OperatorError::Port)?;
        Ok::<u16, OperatorError>(address.port())
    };
    Ok([port(one)?, port(other)?])
}

/// A plain HTTP/1.1 GET on the loopback interface: status code and body.
async fn get(port: u16, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let code = answer
        .split_whitespace()
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((code, body.to_owned()))
}
