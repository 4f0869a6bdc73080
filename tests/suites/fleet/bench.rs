//! A cluster with a fleet, and what the suite asks of them.

use std::time::Duration;

use hosttask_tests::cluster::{ClusterOptions, LocalCluster};
use hosttask_tests::fleet::{Fleet, FleetOptions, Script};
use hosttask_tests::poll::until;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// Two cores may be shared with a compiler.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

pub(crate) struct Bench {
    pub(crate) cluster: LocalCluster,
    pub(crate) client: Client,
    pub(crate) fleet: Fleet,
}

pub(crate) async fn start(cluster: ClusterOptions, fleet: FleetOptions) -> Bench {
    let cluster = LocalCluster::start(cluster).await.unwrap();
    let client = cluster.client();
    let fleet = Fleet::start(client.clone(), fleet).await.unwrap();
    Bench {
        cluster,
        client,
        fleet,
    }
}

pub(crate) fn options(nodes: usize, script: &str) -> FleetOptions {
    FleetOptions {
        nodes,
        speed: 20.0,
        script: Script::parse(script).unwrap(),
        ..FleetOptions::default()
    }
}

/// A pod spec as HostProcess pods have it, that every Windows node takes.
pub(crate) fn spec(extra: Value) -> Value {
    let mut spec = json!({
        "hostNetwork": true,
        "os": {"name": "windows"},
        "nodeSelector": {"kubernetes.io/os": "windows"},
        "tolerations": [{"operator": "Exists"}],
        "securityContext": {"windowsOptions": {"hostProcess": true, "runAsUserName": "NT AUTHORITY\\SYSTEM"}},
        "containers": [{"name": "main", "image": "example.com/agent:1"}],
    });
    if let (Some(target), Value::Object(extra)) = (spec.as_object_mut(), extra) {
        target.extend(extra);
    }
    spec
}

pub(crate) fn daemon_set(name: &str, extra: Value) -> DaemonSet {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name, "hosttask.dev/task": name}},
                "spec": spec(extra),
            },
        },
    }))
    .unwrap()
}

impl Bench {
    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "default")
    }

    pub(crate) fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// Creates a pod straight on a node: what the kubelet refuses is not for the scheduler to see.
    pub(crate) async fn create_pod(&self, name: &str, node: &str, extra: Value) -> Pod {
        let mut spec = spec(extra);
        if let Some(spec) = spec.as_object_mut() {
            spec.insert("nodeName".to_owned(), json!(node));
        }
        let pod = json!({"metadata": {"name": name, "labels": {"hosttask.dev/task": name}}, "spec": spec});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let made = until("the namespace's service account", LIMIT, || async {
            let made = self.pods().create(&PostParams::default(), &pod).await;
            match made {
                Err(kube::Error::Api(status)) if status.code == 403 => Err(status.message.clone()),
                made => Ok(made),
            }
        });
        made.await.unwrap().unwrap()
    }

    pub(crate) async fn create_daemon_set(&self, set: &DaemonSet) {
        let sets: Api<DaemonSet> = Api::namespaced(self.client.clone(), "default");
        sets.create(&PostParams::default(), set).await.unwrap();
    }

    pub(crate) async fn daemon_set_is_ready(&self, name: &str, nodes: i32) {
        let sets: Api<DaemonSet> = Api::namespaced(self.client.clone(), "default");
        let ready = until("the DaemonSet to be ready everywhere", LIMIT, || async {
            let set = sets.get(name).await.map_err(|error| error.to_string())?;
            let status = set.status.unwrap_or_default();
            let all = status.number_ready == nodes && status.desired_number_scheduled == nodes;
            if all {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        });
        ready.await.unwrap();
    }

    /// Waits until the pod is as `wanted` says.
    pub(crate) async fn pod_when(&self, name: &str, wanted: impl Fn(&Pod) -> bool) -> Pod {
        let what = format!("pod {name}");
        let pod = until(&what, LIMIT, || async {
            let pod = self
                .pods()
                .get(name)
                .await
                .map_err(|error| error.to_string())?;
            if wanted(&pod) {
                Ok(pod)
            } else {
                Err(serde_json::to_string(&pod.status).unwrap_or_default())
            }
        });
        pod.await.unwrap()
    }

    pub(crate) async fn one_pod(&self, labels: &str) -> Pod {
        let found = until("a pod", LIMIT, || async {
            let pods = self
                .pods()
                .list(&ListParams::default().labels(labels))
                .await;
            let pods = pods.map_err(|error| error.to_string())?;
            pods.items
                .into_iter()
                .next()
                .ok_or_else(|| "none".to_owned())
        });
        found.await.unwrap()
    }
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// The first container's status as JSON.
pub(crate) fn main_container(pod: &Pod) -> Value {
    let status = pod.status.as_ref().unwrap();
    let statuses = status.container_statuses.clone().unwrap_or_default();
    serde_json::to_value(statuses.first()).unwrap()
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
