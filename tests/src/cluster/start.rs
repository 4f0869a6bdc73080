//! Starts the servers in order and waits until each is ready.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hosttask_setup::control_plane::{self, Programs};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::error::ClusterError;
use super::servers::Servers;
use super::supervised::{Supervised, sweep_later, tail_of};
use super::{ClusterOptions, KEEP, LocalCluster, mark_kept, tell};

/// A start takes three seconds on an idle machine; two cores shared with a compiler need far more.
const READY: Duration = Duration::from_mins(3);
/// How often a server is asked.
const POLL: Duration = Duration::from_millis(50);
/// How often the start is repeated with other ports.
const ATTEMPTS: u32 = 3;

impl LocalCluster {
    /// Starts a control plane and returns when it serves, with what `options` choose.
    ///
    /// The first call on a machine builds the programs, which takes minutes and is reported on standard error.
    ///
    /// # Errors
    /// A program is missing, ends or does not become ready; its logs are kept and named.
    pub async fn start(options: ClusterOptions) -> Result<Self, ClusterError> {
        let programs =
            tokio::task::spawn_blocking(|| control_plane::programs(&mut |line| tell(line)))
                .await
                .map_err(|error| ClusterError::Io {
                    doing: "look for the control plane's programs".to_owned(),
                    source: error.into(),
                })??;
        let mut attempt = 1;
        loop {
            match start_once(programs.clone(), &options).await {
                Err(error) if error.is_port_race() && attempt < ATTEMPTS => attempt += 1,
                outcome => return outcome,
            }
        }
    }
}

async fn start_once(
    programs: Programs,
    options: &ClusterOptions,
) -> Result<LocalCluster, ClusterError> {
    let folder = tempfile::Builder::new()
        .prefix("hosttask-")
        .tempdir()
        .map_err(ClusterError::io("create a temporary folder"))?;
    let sweeper = sweep_later(folder.path())?;
    // From here on the sweeper removes it, also after SIGKILL.
    let folder = folder.keep();
    // A failed start drops the sweeper with all else, so the logs are marked before and not after.
    mark_kept(&folder);
    let started = start_servers(programs, options, &folder, sweeper).await;
    match &started {
        Err(error) if !error.is_port_race() => {
            tell(&format!(
                "the cluster did not start; its logs stay in {}",
                folder.display()
            ));
        }
        Ok(_) if options.keep => {}
        // After a port race the sweeper has seen the mark and is gone.
        Err(_) => drop(fs::remove_dir_all(&folder)),
        Ok(_) => fs::remove_file(folder.join(KEEP))
            .map_err(ClusterError::io(format!("unmark {}", folder.display())))?,
    }
    started
}

async fn start_servers(
    programs: Programs,
    options: &ClusterOptions,
    folder: &Path,
    sweeper: Child,
) -> Result<LocalCluster, ClusterError> {
    let servers = Servers::prepare(programs, folder)?;
    let kubeconfig = folder.join("admin.kubeconfig");
    servers.write_kubeconfig(&kubeconfig, "admin", Some("system:masters"))?;
    let config = load(&kubeconfig).await?;

    let etcd = start(folder, "etcd", &servers.etcd())?;
    let api_server = api_server(&servers, folder, &config).await?;
    let mut cluster = LocalCluster {
        folder: folder.to_owned(),
        config,
        kubeconfig,
        servers,
        api_server: Mutex::new(Some(api_server)),
        others: vec![etcd],
        sweeper,
    };
    if options.controllers {
        let command = cluster.servers.controllers(options);
        cluster
            .others
            .push(start(folder, "kube-controller-manager", &command)?);
    }
    if options.scheduler {
        let command = cluster.servers.scheduler();
        cluster
            .others
            .push(start(folder, "kube-scheduler", &command)?);
    }
    for server in cluster.others.iter().skip(1) {
        match server.name() {
            "kube-scheduler" => {
                let url = format!("https://127.0.0.1:{}", cluster.servers.ports.scheduler);
                wait_for_health(server, &cluster.config, &url, "/readyz").await?;
            }
            _ => wait_for_default_account(server, cluster.client()).await?,
        }
    }
    Ok(cluster)
}

/// Starts the API server and waits until it serves.
pub(super) async fn api_server(
    servers: &Servers,
    folder: &Path,
    config: &Config,
) -> Result<Supervised, ClusterError> {
    let server = start(folder, "kube-apiserver", &servers.api_server())?;
    wait_for_health(&server, config, &servers.url(), "/readyz").await?;
    Ok(server)
}

fn start(folder: &Path, name: &str, command: &Command) -> Result<Supervised, ClusterError> {
    Supervised::start(name, command, folder)
}

async fn load(kubeconfig: &Path) -> Result<Config, ClusterError> {
    let failed = |source| ClusterError::Kubeconfig {
        path: kubeconfig.to_owned(),
        source,
    };
    let file = Kubeconfig::read_from(kubeconfig).map_err(failed)?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(failed)?;
    // The environment's proxy does not lead to this machine's loopback address.
    config.proxy_url = None;
    Ok(config)
}

/// Asks a server for its health until it says ok.
async fn wait_for_health(
    server: &Supervised,
    config: &Config,
    url: &str,
    path: &str,
) -> Result<(), ClusterError> {
    let mut config = config.clone();
    config.cluster_url = url.parse().map_err(|_| ClusterError::Answer {
        program: "the port choice",
        answer: url.to_owned(),
    })?;
    let client = Client::try_from(config).map_err(ClusterError::api("make a client"))?;
    wait_until(server, "ready", async || {
        let request = http::Request::get(path).body(Vec::new()).ok();
        match request {
            Some(request) => client
                .request_text(request)
                .await
                .is_ok_and(|text| text == "ok"),
            None => false,
        }
    })
    .await
}

/// The controllers are at work once the default service account is there; pods cannot be created before.
async fn wait_for_default_account(server: &Supervised, client: Client) -> Result<(), ClusterError> {
    let accounts = Api::<ServiceAccount>::namespaced(client, "default");
    wait_until(
        server,
        "at work (default ServiceAccount created)",
        async || matches!(accounts.get_opt("default").await, Ok(Some(_))),
    )
    .await
}

async fn wait_until(
    server: &Supervised,
    expected: &'static str,
    is_ready: impl AsyncFn() -> bool,
) -> Result<(), ClusterError> {
    let begin = Instant::now();
    while begin.elapsed() < READY {
        if is_ready().await {
            return Ok(());
        }
        if let Some(status) = server.try_wait()? {
            return Err(ClusterError::Exited {
                program: server.name().to_owned(),
                status,
                log: server.log().to_owned(),
                tail: tail_of(server.log()),
            });
        }
        tokio::time::sleep(POLL).await;
    }
    Err(ClusterError::NotReady {
        program: server.name().to_owned(),
        expected,
        after: READY,
        log: server.log().to_owned(),
        tail: tail_of(server.log()),
    })
}
