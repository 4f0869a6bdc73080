//! How the programs of a node get there and start: what lies on drive C, what they are told, and when they are ready.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use hosttask_setup::windows_node::{self, Programs};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::prefix::{copy, write};
use super::{SHIM, WindowsNode, WindowsNodeError, address, lock};
use crate::cluster::{LocalCluster, Supervised};
use crate::poll;

/// How long a program of the node may take until it is ready, on two cores that others use too.
const READY: Duration = Duration::from_mins(4);
/// How long one question to containerd may take on a busy machine before it is asked again.
const ATTEMPT: Duration = Duration::from_secs(30);
/// The sandbox image. Nothing of it runs: a HostProcess pod's sandbox has no process.
const PAUSE: &str = "hosttask.test/pause:1";

impl WindowsNode {
    pub(super) async fn set_up(
        &self,
        cluster: &LocalCluster,
        programs: &Programs,
        ours: &Path,
    ) -> Result<(), WindowsNodeError> {
        self.install(programs, ours)?;
        self.configure(cluster)?;
        let machine = lock(&self.machine).clone();
        self.prefix.set_machine(&machine).await?;
        self.start_containerd().await?;
        self.import_image(PAUSE, &["cmd"], &[]).await?;
        let probe = read(&ours.join("probe.exe"))?;
        self.import_image(Self::IMAGE, &["probe.exe"], &[("probe.exe", &probe)])
            .await?;
        self.start_kubelet().await?;
        self.wait_ready().await
    }

    /// Puts the programs on drive C.
    fn install(&self, programs: &Programs, ours: &Path) -> Result<(), WindowsNodeError> {
        let drive = self.drive();
        let bin = drive.join("containerd/bin");
        copy(&programs.containerd, &bin.join("containerd.exe"))?;
        copy(&programs.containerd, &bin.join("ctr.exe"))?;
        copy(&programs.kubelet, &bin.join("kubelet.exe"))?;
        for (name, place) in [
            (SHIM, bin.join(SHIM)),
            ("hosttask-node.exe", bin.join("hosttask-node.exe")),
            ("probe.exe", drive.join("node/probe.exe")),
        ] {
            let path = ours.join(name);
            if !path.is_file() {
                return Err(WindowsNodeError::NotBuilt { path });
            }
            copy(&path, &place)?;
        }
        Ok(())
    }

    /// Writes the settings of containerd and kubelet.
    fn configure(&self, cluster: &LocalCluster) -> Result<(), WindowsNodeError> {
        let drive = self.drive();
        let settings = windows_node::sources().join("settings");
        copy(
            &settings.join("containerd.toml"),
            &drive.join("containerd/config.toml"),
        )?;
        copy(
            &settings.join("network.conflist"),
            &drive.join("containerd/cni/conf/10-none.conflist"),
        )?;
        copy(
            &cluster.certificate_authority(),
            &drive.join("node/authority.crt"),
        )?;
        let kubelet = String::from_utf8_lossy(&read(&settings.join("kubelet.yaml"))?)
            .replace("@ADDRESS@", &self.address.to_string())
            .replace("@PORT@", &address::free_port(self.address)?.to_string())
            .replace("@HEALTH@", &self.health_port.to_string());
        write(&drive.join("node/kubelet.yaml"), kubelet.as_bytes())?;
        let user = format!("system:node:{}", self.name);
        let path = cluster.user_kubeconfig(&user, Some("system:nodes"))?;
        let kubeconfig = for_windows(&read(&path)?)
            .map_err(|error| WindowsNodeError::io("read the node's kubeconfig")(error.into()))?;
        write(&drive.join("node/kubeconfig"), kubeconfig.as_bytes())
    }

    pub(super) async fn start_containerd(&self) -> Result<(), WindowsNodeError> {
        let mut command = self.program("containerd.exe");
        command
            .args(["--config", "C:\\containerd\\config.toml"])
            // A shim lives longer than the containerd that started it; the sweeper ends it with the node.
            .env("HOSTTASK_LEAVE_CHILDREN", "1");
        self.launch("containerd", &command, &self.containerd)?;
        self.wait("containerd to answer", async || {
            check_runs(&self.containerd)?;
            // Now and then the first program beside it hangs for ever under Wine: the next one gets its answer.
            let answer = tokio::time::timeout(ATTEMPT, self.ctr(&["version"])).await;
            let answer = answer.map_err(|_| format!("ctr said nothing for {ATTEMPT:?}"))?;
            answer.map(drop).map_err(|error| error.to_string())
        })
        .await
    }

    pub(super) async fn start_kubelet(&self) -> Result<(), WindowsNodeError> {
        let mut command = self.program("kubelet.exe");
        command
            .args(["--config", "C:\\node\\kubelet.yaml"])
            .args(["--kubeconfig", "C:\\node\\kubeconfig"])
            .args(["--hostname-override", &self.name])
            .args(["--node-ip", &self.address.to_string()])
            .args(["--root-dir", "C:\\var\\lib\\kubelet"])
            .args(["--cert-dir", "C:\\var\\lib\\kubelet\\pki"])
            .args(["--register-with-taints", "os=windows:NoSchedule"]);
        self.launch("kubelet", &command, &self.kubelet)?;
        self.wait("kubelet to say that it is healthy", async || {
            check_runs(&self.kubelet)?;
            let answer = ask_health(self.health_port).await;
            let text = answer.map_err(|error| error.to_string())?;
            if text.ends_with("ok") {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await
    }

    /// Waits until the control plane sees this start of the machine, ready.
    pub(super) async fn wait_ready(&self) -> Result<(), WindowsNodeError> {
        let client =
            Client::try_from(self.config.clone()).map_err(|source| WindowsNodeError::Api {
                doing: "make a client".to_owned(),
                source,
            })?;
        let nodes = Api::<Node>::all(client);
        let machine = lock(&self.machine).clone();
        self.wait("the node to be ready", async || {
            check_runs(&self.kubelet)?;
            let node = nodes
                .get(&self.name)
                .await
                .map_err(|error| error.to_string())?;
            let status = node.status.unwrap_or_default();
            let boot = status
                .node_info
                .map(|info| info.boot_id)
                .unwrap_or_default();
            let ready = status
                .conditions
                .into_iter()
                .flatten()
                .find(|condition| condition.type_ == "Ready");
            match ready {
                Some(ready) if ready.status == "True" && boot == machine.boot.to_string() => Ok(()),
                ready => Err(format!("boot {boot}, condition {ready:?}")),
            }
        })
        .await
    }

    fn launch(
        &self,
        name: &str,
        command: &Command,
        place: &Mutex<Option<Supervised>>,
    ) -> Result<(), WindowsNodeError> {
        let started = Supervised::start(name, command, self.folder.path())?;
        *lock(place) = Some(started);
        Ok(())
    }

    async fn wait(
        &self,
        what: &str,
        probe: impl AsyncFn() -> Result<(), String>,
    ) -> Result<(), WindowsNodeError> {
        poll::until(what, READY, || probe())
            .await
            .map_err(|source| WindowsNodeError::Late {
                source,
                logs: self.folder.path().to_owned(),
            })
    }
}

/// Says so when a program has ended that should run.
fn check_runs(program: &Mutex<Option<Supervised>>) -> Result<(), String> {
    let program = lock(program);
    let Some(program) = program.as_ref() else {
        return Err("it was not started".to_owned());
    };
    match program.try_wait() {
        Ok(None) => Ok(()),
        Ok(Some(status)) => Err(format!("{} has ended: {status}", program.name())),
        Err(error) => Err(error.to_string()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, WindowsNodeError> {
    fs::read(path).map_err(WindowsNodeError::io(format!("read {}", path.display())))
}

/// Asks a health port of this machine, and returns the whole answer.
async fn ask_health(port: u16) -> std::io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream
        .write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A kubeconfig whose files are named as Windows programs see them: the root of Linux is their drive Z.
fn for_windows(kubeconfig: &[u8]) -> serde_json::Result<String> {
    let mut document: Value = serde_json::from_slice(kubeconfig)?;
    for (list, field) in [("clusters", "cluster"), ("users", "user")] {
        let entries = document.get_mut(list).and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten() {
            let fields = entry.get_mut(field).and_then(Value::as_object_mut);
            for (_, value) in fields.into_iter().flatten() {
                if let Some(path) = value.as_str().filter(|text| text.starts_with('/')) {
                    *value = format!("Z:{}", path.replace('/', "\\")).into();
                }
            }
        }
    }
    serde_json::to_string_pretty(&document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_kubeconfig_get_the_names_that_windows_programs_see() {
        let text = br#"{"clusters":[{"cluster":{"server":"https://127.0.0.1:1","certificate-authority":"/a/ca.crt"}}],
            "users":[{"user":{"client-key":"/a/b.key"}}]}"#;
        let document: Value = serde_json::from_str(&for_windows(text).unwrap()).unwrap();
        assert_eq!(
            document.pointer("/clusters/0/cluster/certificate-authority"),
            Some(&Value::from("Z:\\a\\ca.crt"))
        );
        assert_eq!(
            document.pointer("/clusters/0/cluster/server"),
            Some(&Value::from("https://127.0.0.1:1"))
        );
        assert_eq!(
            document.pointer("/users/0/user/client-key"),
            Some(&Value::from("Z:\\a\\b.key"))
        );
    }
}
