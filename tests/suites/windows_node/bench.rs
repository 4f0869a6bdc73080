//! One cluster and one node for all tests of the suite, and how they make pods.

use std::time::Duration;

use hosttask_tests::bed;
use hosttask_tests::cluster::{ClusterOptions, LocalCluster};
use hosttask_tests::poll;
use hosttask_tests::windows_node::{WindowsNode, WindowsNodeOptions};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, LogParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// How long a step may take: two cores run a control plane, a node and the compiler of others.
pub(crate) const SOON: Duration = Duration::from_mins(4);

pub(crate) use hosttask_tests::bed::scenario;

/// A control plane with one real node.
pub(crate) struct Bench {
    pub(crate) cluster: LocalCluster,
    pub(crate) node: WindowsNode,
}

/// The node that all tests share, started by the first.
pub(crate) async fn node() -> &'static Bench {
    static BENCH: OnceCell<Bench> = OnceCell::const_new();
    BENCH
        .get_or_init(|| async {
            let cluster = LocalCluster::start(ClusterOptions::default()).await.unwrap();
            let node = WindowsNode::start(&cluster, WindowsNodeOptions::default())
                .await
                .unwrap_or_else(|error| panic!("{}", bed::describe(&error)));
            Bench { cluster, node }
        })
        .await
}

impl Bench {
    /// The node as the control plane sees it.
    pub(crate) async fn read_node(&self) -> Node {
        let nodes = Api::<Node>::all(self.cluster.client());
        nodes.get(self.node.name()).await.unwrap()
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client(), "default")
    }

    /// Creates a HostProcess pod on the node; `spec` has its containers and what else is special about it.
    pub(crate) async fn create(&self, name: &str, spec: &Value) {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name },
            "spec": {
                "nodeName": self.node.name(),
                "os": { "name": "windows" },
                "hostNetwork": true,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 5,
                "tolerations": [{ "operator": "Exists" }],
                "securityContext": { "windowsOptions": {
                    "hostProcess": true, "runAsUserName": "NT AUTHORITY\\SYSTEM"
                } },
            }
        });
        let fields = pod["spec"].as_object_mut().unwrap();
        for (key, value) in spec.as_object().unwrap() {
            fields.insert(key.clone(), value.clone());
        }
        let pod: Pod = serde_json::from_value(pod).unwrap();
        self.pods().create(&PostParams::default(), &pod).await.unwrap();
    }

    /// Waits until the pod is as `wanted` says, which gets its status as JSON.
    pub(crate) async fn wait(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let pods = self.pods();
        poll::until(&format!("pod {name}: {what}"), SOON, || async {
            let pod = pods.get(name).await.map_err(|error| error.to_string())?;
            let status = serde_json::to_value(pod.status).unwrap();
            if wanted(&status) { Ok(status) } else { Err(status.to_string()) }
        })
        .await
        .unwrap()
    }

    /// What a container of a pod wrote.
    pub(crate) async fn logs(&self, name: &str, container: &str) -> String {
        let options = LogParams {
            container: Some(container.to_owned()),
            ..LogParams::default()
        };
        self.pods().logs(name, &options).await.unwrap()
    }

    /// Deletes a pod and waits until it is gone.
    pub(crate) async fn delete(&self, name: &str) {
        let pods = self.pods();
        pods.delete(name, &DeleteParams::default()).await.unwrap();
        poll::until(&format!("pod {name} to be gone"), SOON, || async {
            match pods.get_opt(name).await {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .unwrap();
    }
}

/// A container that runs `probe` on the node with these steps.
pub(crate) fn probe(name: &str, steps: &[&str]) -> Value {
    let mut command = vec![WindowsNode::PROBE];
    command.extend(steps);
    json!({
        "name": name,
        "image": WindowsNode::IMAGE,
        "imagePullPolicy": "Never",
        "command": command,
        "securityContext": { "windowsOptions": { "hostProcess": true } },
    })
}
