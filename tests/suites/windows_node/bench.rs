//! One cluster and one node for all tests of the suite, and how they make pods.

use std::time::Duration;

use hosttask_tests::bed;
use hosttask_tests::cluster::{ClusterOptions, LocalCluster, ToolOutput};
use hosttask_tests::poll;
use hosttask_tests::windows_node::{WindowsNode, WindowsNodeOptions};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, LogParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) use hosttask_tests::bed::scenario;

/// How long a step may take: two cores run a control plane, a node and perhaps a compiler.
pub(crate) const SOON: Duration = Duration::from_mins(4);

/// A control plane with one real node.
pub(crate) struct Bench {
    pub(crate) cluster: LocalCluster,
    pub(crate) node: WindowsNode,
    quiet: RwLock<()>,
}

/// The node that all tests share, started by the first.
pub(crate) async fn bench() -> &'static Bench {
    bench_of(WindowsNodeOptions::default()).await
}

/// The same; whoever starts it says how.
pub(crate) async fn bench_of(options: WindowsNodeOptions) -> &'static Bench {
    static BENCH: OnceCell<Bench> = OnceCell::const_new();
    static HOOK: std::sync::Once = std::sync::Once::new();
    let bench = BENCH
        .get_or_init(|| async {
            let cluster = LocalCluster::start(ClusterOptions::default())
                .await
                .unwrap();
            let node = WindowsNode::start(&cluster, options)
                .await
                .unwrap_or_else(|error| panic!("{}", bed::describe(&error)));
            Bench {
                cluster,
                node,
                quiet: RwLock::new(()),
            }
        })
        .await;
    // A static is never dropped, so a panic decides that the logs stay.
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            before(info);
            bench.cluster.keep();
            bench.node.keep();
        }));
    });
    bench
}

impl Bench {
    /// While this is held, nobody restarts anything of the node.
    pub(crate) async fn beside_others(&self) -> RwLockReadGuard<'_, ()> {
        self.quiet.read().await
    }

    /// While this is held, no other test uses the node.
    pub(crate) async fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.quiet.write().await
    }

    /// The node as the control plane sees it.
    pub(crate) async fn read_node(&self) -> Node {
        let nodes = Api::<Node>::all(self.cluster.client());
        nodes.get(self.node.name()).await.unwrap()
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client(), "default")
    }

    /// Creates a HostProcess pod on the node; `spec` has its containers and what else is special about it.
    pub(crate) async fn create(&self, name: &str, spec: &Value) {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "labels": { "colour": "blue" } },
            "spec": {
                "nodeName": self.node.name(),
                "os": { "name": "windows" },
                "hostNetwork": true,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 2,
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
        self.pods()
            .create(&PostParams::default(), &pod)
            .await
            .unwrap();
    }

    /// Waits until the pod's status, as JSON, is as `wanted` says, and returns it.
    pub(crate) async fn wait(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let pods = self.pods();
        poll::until(&format!("pod {name}: {what}"), SOON, || async {
            let pod = pods.get(name).await.map_err(|error| error.to_string())?;
            let status = serde_json::to_value(pod.status).unwrap();
            if wanted(&status) {
                Ok(status)
            } else {
                Err(status.to_string())
            }
        })
        .await
        .unwrap()
    }

    /// Waits until the pod has ended, and returns its status.
    pub(crate) async fn ended(&self, name: &str) -> Value {
        self.wait(name, "ended", |status| {
            status["phase"] == "Succeeded" || status["phase"] == "Failed"
        })
        .await
    }

    /// Waits until all containers of the pod run, and returns its status.
    pub(crate) async fn running(&self, name: &str) -> Value {
        self.wait(name, "running", |status| {
            status["phase"] == "Running"
                && containers(status)
                    .iter()
                    .all(|one| one["state"]["running"].is_object())
        })
        .await
    }

    /// What a container of a pod wrote. A kubelet that was just started does not know its pods yet.
    pub(crate) async fn logs(&self, name: &str, container: &str) -> String {
        let options = LogParams {
            container: Some(container.to_owned()),
            ..LogParams::default()
        };
        let pods = self.pods();
        poll::until(&format!("the log of {name}"), SOON, || async {
            let log = pods.logs(name, &options).await;
            log.map_err(|error| error.to_string())
        })
        .await
        .unwrap()
    }

    /// Waits until a container of a pod has written something.
    pub(crate) async fn wait_logs(&self, name: &str, container: &str, wanted: &str) -> String {
        poll::until(&format!("{wanted} in the log of {name}"), SOON, || async {
            let text = self.logs(name, container).await;
            if text.contains(wanted) {
                Ok(text)
            } else {
                Err(text)
            }
        })
        .await
        .unwrap()
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

    /// Runs `probe` in a container with `kubectl exec`, with an input.
    pub(crate) async fn exec(&self, pod: &str, steps: &[&str], input: &str) -> ToolOutput {
        let mut arguments = vec!["exec", "--stdin", pod, "--", WindowsNode::PROBE];
        arguments.extend(steps);
        self.cluster
            .kubectl_with_input(&arguments, input)
            .await
            .unwrap()
    }
}

/// The statuses of a pod's containers.
pub(crate) fn containers(status: &Value) -> Vec<Value> {
    status["containerStatuses"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

/// The exit codes of a pod's containers, in their order.
pub(crate) fn codes(status: &Value) -> Vec<i64> {
    containers(status)
        .iter()
        .filter_map(|one| one["state"]["terminated"]["exitCode"].as_i64())
        .collect()
}

/// How often the first container was started again.
pub(crate) fn restarts(status: &Value) -> i64 {
    status["containerStatuses"][0]["restartCount"]
        .as_i64()
        .unwrap_or_default()
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
    })
}

/// The same container with more fields.
pub(crate) fn with(mut container: Value, fields: &Value) -> Value {
    let all = container.as_object_mut().unwrap();
    for (key, value) in fields.as_object().unwrap() {
        all.insert(key.clone(), value.clone());
    }
    container
}
