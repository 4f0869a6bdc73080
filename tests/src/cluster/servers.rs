//! The command lines of the four servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hosttask_setup::collect_less;
use hosttask_setup::control_plane::Programs;

use super::LocalCluster;
use super::certificates::{Authority, Identity, write_private};
use super::error::ClusterError;
use super::kubeconfig::{self, Credential};
use super::options::ClusterOptions;
use super::ports::Ports;

/// The controllers that our tasks, their children and their nodes need; all others cost start time and memory.
const CONTROLLERS: [&str; 16] = [
    "clusterrole-aggregation-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
    "validatingadmissionpolicy-status-controller",
];

/// Every request once, when it is answered: the audit log is our counter of reads and writes.
const AUDIT_POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "omitStages": ["RequestReceived", "ResponseStarted", "Panic"],
  "rules": [{ "level": "Metadata", "omitManagedFields": true }]
}
"#;

/// Everything the servers are started with.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) programs: Programs,
    pub(super) ports: Ports,
    pub(super) authority: Authority,
    folder: PathBuf,
    certificate: Identity,
    service_account: Identity,
    kubelet_client: Identity,
    controllers_kubeconfig: PathBuf,
    scheduler_kubeconfig: PathBuf,
}

impl LocalCluster {
    /// The certificate that signs all others of the cluster: by it a kubelet knows the API server.
    pub fn certificate_authority(&self) -> PathBuf {
        self.servers.authority.certificate()
    }
}

impl Servers {
    /// Chooses ports, makes certificates and writes the configuration files into `folder`.
    pub(super) fn prepare(programs: Programs, folder: &Path) -> Result<Self, ClusterError> {
        let authority = Authority::create(&folder.join("certificates"))?;
        let ports = Ports::free()?;
        let servers = Self {
            certificate: authority.server()?,
            service_account: authority.service_account_keys()?,
            kubelet_client: authority.client(
                "kubelet-client",
                "kube-apiserver-kubelet-client",
                None,
            )?,
            controllers_kubeconfig: folder.join("kube-controller-manager.kubeconfig"),
            scheduler_kubeconfig: folder.join("kube-scheduler.kubeconfig"),
            folder: folder.to_owned(),
            programs,
            ports,
            authority,
        };
        write_private(&servers.audit_policy(), AUDIT_POLICY)?;
        for (user, file) in [
            (
                "system:kube-controller-manager",
                &servers.controllers_kubeconfig,
            ),
            ("system:kube-scheduler", &servers.scheduler_kubeconfig),
        ] {
            servers.write_kubeconfig(file, user, None)?;
        }
        let data = folder.join("etcd");
        fs::create_dir_all(&data).map_err(ClusterError::io("create the data folder of etcd"))?;
        Ok(servers)
    }

    /// Where clients find the API server.
    pub(super) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api_server)
    }

    /// Where the audit log is.
    pub(super) fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.jsonl")
    }

    /// Writes a kubeconfig with a new client certificate for `user`.
    pub(super) fn write_kubeconfig(
        &self,
        path: &Path,
        user: &str,
        group: Option<&str>,
    ) -> Result<(), ClusterError> {
        // Users have colons in their names, files better not.
        let identity = self
            .authority
            .client(&user.replace([':', '/'], "-"), user, group)?;
        let credential = Credential::Certificate(&identity);
        kubeconfig::write(
            path,
            &self.url(),
            &self.authority.certificate(),
            user,
            &credential,
        )
    }

    pub(super) fn etcd(&self) -> Command {
        let url = format!("https://127.0.0.1:{}", self.ports.etcd);
        let peer = format!("https://127.0.0.1:{}", self.ports.etcd_peer);
        let mut command = server(&self.programs.etcd);
        command
            .arg("--name=local")
            .arg(flag("--data-dir", self.folder.join("etcd")))
            .args([
                format!("--listen-client-urls={url}"),
                format!("--advertise-client-urls={url}"),
            ])
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster=local={peer}"))
            .args(["--log-level=warn", "--quota-backend-bytes=8589934592"])
            // The data of a bench may be lost with the machine, and disks are slow.
            .arg("--unsafe-no-fsync");
        for prefix in ["", "peer-"] {
            command
                .arg(flag(
                    &format!("--{prefix}cert-file"),
                    &self.certificate.certificate,
                ))
                .arg(flag(&format!("--{prefix}key-file"), &self.certificate.key))
                .arg(flag(
                    &format!("--{prefix}trusted-ca-file"),
                    self.authority.certificate(),
                ))
                .arg(format!("--{prefix}client-cert-auth"));
        }
        command
    }

    pub(super) fn api_server(&self) -> Command {
        let mut command = server(&self.programs.kube_apiserver);
        command
            .arg(format!(
                "--etcd-servers=https://127.0.0.1:{}",
                self.ports.etcd
            ))
            .arg(flag("--etcd-cafile", self.authority.certificate()))
            .arg(flag("--etcd-certfile", &self.certificate.certificate))
            .arg(flag("--etcd-keyfile", &self.certificate.key))
            .arg(format!("--secure-port={}", self.ports.api_server))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
            // A loopback address is refused as an endpoint of the `kubernetes` service.
            .arg("--endpoint-reconciler-type=none")
            .arg(flag("--tls-cert-file", &self.certificate.certificate))
            .arg(flag("--tls-private-key-file", &self.certificate.key))
            .arg(flag("--client-ca-file", self.authority.certificate()))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(flag(
                "--service-account-signing-key-file",
                &self.service_account.key,
            ))
            .arg(flag(
                "--service-account-key-file",
                &self.service_account.certificate,
            ))
            .args([
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
            ])
            // How it asks a real kubelet for logs and commands: with a certificate, at the node's address, whose name nobody knows.
            .arg(flag(
                "--kubelet-client-certificate",
                &self.kubelet_client.certificate,
            ))
            .arg(flag("--kubelet-client-key", &self.kubelet_client.key))
            .arg("--kubelet-preferred-address-types=InternalIP")
            // HostProcess pods are refused without it.
            .arg("--allow-privileged=true")
            .arg("--service-cluster-ip-range=10.96.0.0/16")
            .args([
                "--max-requests-inflight=1600",
                "--max-mutating-requests-inflight=800",
            ])
            .arg(flag("--audit-policy-file", self.audit_policy()))
            .arg(flag("--audit-log-path", self.audit_log()))
            // Megabytes before the file is replaced: a counter must not lose its beginning.
            .args(["--audit-log-format=json", "--audit-log-maxsize=1000000"]);
        command
    }

    pub(super) fn controllers(&self, options: &ClusterOptions) -> Command {
        let grace = options.node_monitor_grace.as_secs();
        let mut command = server(&self.programs.kube_controller_manager);
        self.add_client_flags(
            &mut command,
            &self.controllers_kubeconfig,
            self.ports.controllers,
        );
        add_rate(&mut command, options.kcm_qps);
        command
            .arg(format!("--controllers={}", CONTROLLERS.join(",")))
            .arg("--use-service-account-credentials=true")
            .arg(flag(
                "--service-account-private-key-file",
                &self.service_account.key,
            ))
            .arg(flag("--root-ca-file", self.authority.certificate()))
            .arg(format!("--node-monitor-grace-period={grace}s"))
            .arg(format!("--node-startup-grace-period={}s", grace.max(60)));
        command
    }

    pub(super) fn scheduler(&self) -> Command {
        let mut command = server(&self.programs.kube_scheduler);
        self.add_client_flags(
            &mut command,
            &self.scheduler_kubeconfig,
            self.ports.scheduler,
        );
        add_rate(&mut command, ClusterOptions::FAST_QPS);
        command
    }

    fn add_client_flags(&self, command: &mut Command, kubeconfig: &Path, port: u16) {
        command
            .arg(flag("--kubeconfig", kubeconfig))
            .arg(flag("--authentication-kubeconfig", kubeconfig))
            .arg(flag("--authorization-kubeconfig", kubeconfig))
            .args(["--leader-elect=false", "--bind-address=127.0.0.1"])
            .arg(format!("--secure-port={port}"))
            .arg(flag("--client-ca-file", self.authority.certificate()))
            .arg(flag("--tls-cert-file", &self.certificate.certificate))
            .arg(flag("--tls-private-key-file", &self.certificate.key));
    }

    fn audit_policy(&self) -> PathBuf {
        self.folder.join("audit-policy.json")
    }
}

/// One of the servers. Several control planes run side by side for minutes: they lack processors, and memory only from a gigabyte each.
fn server(program: &Path) -> Command {
    let mut command = Command::new(program);
    collect_less(&mut command);
    if std::env::var_os("GOMEMLIMIT").is_none() {
        command.env("GOMEMLIMIT", "1GiB");
    }
    command
}

/// The burst is one and a half times the rate, as in the built-in 20 and 30.
fn add_rate(command: &mut Command, per_second: u32) {
    command
        .arg(format!("--kube-api-qps={per_second}"))
        .arg(format!(
            "--kube-api-burst={}",
            per_second.saturating_mul(3) / 2
        ));
}

fn flag(name: &str, path: impl AsRef<Path>) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(name);
    argument.push("=");
    argument.push(path.as_ref());
    argument
}
