//! A real control plane on this machine: etcd, kube-apiserver, kube-controller-manager and kube-scheduler.
//!
//! Each cluster has its own folder, ports and certificate authority, so several run side by side. Every
//! server runs under the `supervise` binary and ends with the cluster, also when this process is killed.

mod audit;
mod certificates;
mod error;
mod kubeconfig;
mod options;
mod ports;
mod servers;
mod shared;
mod start;
mod supervised;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client, Config};
use serde_json::Value;

pub use audit::{AuditEvent, AuditReader};
pub use error::ClusterError;
pub use options::ClusterOptions;
pub(crate) use supervised::sweep_strays_later;
pub use supervised::{Signal, Supervised};
pub use tools::{Kstatus, ToolOutput};

use servers::Servers;

/// The file that tells the sweeper to leave the folder.
const KEEP: &str = "keep";
/// How long a service account token is valid: longer than any bench.
const TOKEN_SECONDS: i64 = 7 * 24 * 3600;

/// A running control plane.
///
/// It holds nothing of an async runtime: it may be started in one and used in another. Dropping it
/// kills every server and removes its folder, unless a panic is on its way or [`Self::keep`] was called.
#[derive(Debug)]
pub struct LocalCluster {
    folder: PathBuf,
    config: Config,
    kubeconfig: PathBuf,
    servers: Servers,
    api_server: Mutex<Option<Supervised>>,
    /// The others, in the order of their start. They are killed before the sweeper may run.
    others: Vec<Supervised>,
    sweeper: Child,
}

impl LocalCluster {
    /// A client with all rights, new at each call: a client belongs to the runtime it was made in.
    ///
    /// # Panics
    /// There is no tokio runtime here, or this computer's certificates cannot be used any more.
    pub fn client(&self) -> Client {
        #[expect(
            clippy::expect_used,
            reason = "the same configuration made a client at the start"
        )]
        Client::try_from(self.config()).expect("a configuration that worked before works again")
    }

    /// How to connect with all rights (`system:masters`).
    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// The kubeconfig of the user with all rights.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Makes a kubeconfig with a client certificate for any user and one group.
    ///
    /// # Errors
    /// The certificate or the file cannot be made.
    pub fn user_kubeconfig(
        &self,
        user: &str,
        group: Option<&str>,
    ) -> Result<PathBuf, ClusterError> {
        let path = self
            .folder
            .join(format!("{}.kubeconfig", user.replace([':', '/'], "-")));
        self.servers.write_kubeconfig(&path, user, group)?;
        Ok(path)
    }

    /// Makes a kubeconfig with a real token of an existing service account, valid for a week.
    ///
    /// # Errors
    /// The service account does not exist, or the file cannot be written.
    pub async fn service_account_kubeconfig(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<PathBuf, ClusterError> {
        let spec = TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest {
            spec: Some(spec),
            ..TokenRequest::default()
        };
        let accounts = Api::<ServiceAccount>::namespaced(self.client(), namespace);
        let token = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .map_err(ClusterError::api(format!(
                "get a token of {namespace}/{name}"
            )))?
            .status
            .and_then(|status| status.token)
            .ok_or_else(|| ClusterError::Answer {
                program: "kube-apiserver",
                answer: "a token request without a token".to_owned(),
            })?;
        let path = self.folder.join(format!("{namespace}-{name}.kubeconfig"));
        let authority = self.servers.authority.certificate();
        let credential = kubeconfig::Credential::Token(&token);
        kubeconfig::write(&path, &self.servers.url(), &authority, name, &credential)?;
        Ok(path)
    }

    /// Runs kubectl with all rights.
    ///
    /// # Errors
    /// It cannot be started. An exit code other than 0 is no error here.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<ToolOutput, ClusterError> {
        self.kubectl_with_input(arguments, "").await
    }

    /// Runs kubectl with all rights and `input` as standard input, for `apply -f -`.
    ///
    /// # Errors
    /// It cannot be started. An exit code other than 0 is no error here.
    pub async fn kubectl_with_input(
        &self,
        arguments: &[&str],
        input: &str,
    ) -> Result<ToolOutput, ClusterError> {
        tools::run(self.kubectl_path(), arguments, &self.kubeconfig, input).await
    }

    /// Where kubectl is, for a caller that needs another kubeconfig or prints the path.
    pub fn kubectl_path(&self) -> &Path {
        &self.servers.programs.kubectl
    }

    /// What Flux and Helm 4 would see in `object`, computed by their library.
    ///
    /// # Errors
    /// The program cannot be started or refuses the object.
    pub async fn kstatus(&self, object: &Value) -> Result<Kstatus, ClusterError> {
        tools::kstatus(&self.servers.programs.kstatus, &self.kubeconfig, object).await
    }

    /// All requests the API server has answered so far.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn audit(&self) -> Result<Vec<AuditEvent>, ClusterError> {
        self.audit_reader().read()
    }

    /// A reader of the audit log that continues where it stopped. It begins with the first request.
    pub fn audit_reader(&self) -> AuditReader {
        AuditReader::from_start(self.servers.audit_log())
    }

    /// Ends the API server; etcd keeps its data. Does nothing when it does not run.
    ///
    /// # Errors
    /// The system refused.
    pub async fn stop_api_server(&self) -> Result<(), ClusterError> {
        let running = self.api_server().take();
        match running {
            Some(server) => server.stop().await.map(drop),
            None => Ok(()),
        }
    }

    /// Kills the API server with SIGKILL, in the middle of what it does.
    ///
    /// # Errors
    /// The system refused.
    pub fn kill_api_server(&self) -> Result<(), ClusterError> {
        let running = self.api_server().take();
        running.map_or(Ok(()), |server| server.kill().map(drop))
    }

    /// Starts the API server again, on the same port and data, and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn start_api_server(&self) -> Result<(), ClusterError> {
        if self.api_server().is_some() {
            return Ok(());
        }
        let server = start::api_server(&self.servers, &self.folder, &self.config).await?;
        *self.api_server() = Some(server);
        Ok(())
    }

    /// The private folder with certificates, data and one log per server.
    pub fn dir(&self) -> &Path {
        &self.folder
    }

    /// Leaves the folder with the logs when the cluster ends.
    pub fn keep(&self) {
        mark_kept(&self.folder);
    }

    /// The pids of the servers that run.
    pub fn pids(&self) -> Vec<u32> {
        self.api_server()
            .iter()
            .chain(&self.others)
            .map(Supervised::pid)
            .collect()
    }

    fn api_server(&self) -> std::sync::MutexGuard<'_, Option<Supervised>> {
        // Only whole values are stored under the lock.
        self.api_server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        self.others.reverse();
        self.others.clear();
        self.api_server().take();
        if std::thread::panicking() {
            self.keep();
        }
        if is_kept(&self.folder) {
            tell(&format!(
                "the cluster's logs stay in {}",
                self.folder.display()
            ));
        }
        // Its standard input closes, and it removes the folder now that nobody writes there.
        let _ = self.sweeper.wait();
    }
}

/// Marks the folder so that the sweeper leaves it.
fn mark_kept(folder: &Path) {
    // Without the marker the logs are lost, but a drop has nobody to tell.
    let _ = std::fs::write(folder.join(KEEP), b"");
}

fn is_kept(folder: &Path) -> bool {
    folder.join(KEEP).exists()
}

/// A line for the person in front of the terminal.
#[expect(
    clippy::print_stderr,
    reason = "a build of minutes and kept logs must be seen also in a test"
)]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}
