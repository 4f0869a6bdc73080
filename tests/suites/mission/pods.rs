//! Every version of the pods on the real node, as the API server shows them: nothing that was seen is missed by asking late.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use hosttask_crds::label;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::watcher::{self, Event};
use serde_json::Value;
use tokio::task::JoinHandle;

/// A watch on the pods of one node in one namespace.
#[derive(Debug)]
pub(crate) struct Pods {
    seen: Arc<Mutex<Vec<Value>>>,
    watch: JoinHandle<()>,
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Pods {
    /// Begins to write down.
    pub(crate) fn start(client: kube::Client, namespace: &str, node: &str) -> Self {
        let api = Api::<Pod>::namespaced(client, namespace);
        let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        let watch = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher::watcher(api, config));
            while let Some(event) = events.next().await {
                // The watcher begins again by itself.
                let Ok(Event::InitApply(pod) | Event::Apply(pod) | Event::Delete(pod)) = event
                else {
                    continue;
                };
                lock(&shared).push(serde_json::to_value(pod).unwrap_or_default());
            }
        });
        Self { seen, watch }
    }

    /// All versions of the pods of a task, oldest first.
    pub(crate) fn of(&self, task: &str) -> Vec<Value> {
        let seen = lock(&self.seen);
        let of_task = seen
            .iter()
            .filter(|pod| pod["metadata"]["labels"][label::TASK] == task);
        of_task.cloned().collect()
    }

    /// The first version of a pod of a task that is as wanted.
    pub(crate) fn first(&self, task: &str, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        self.of(task).into_iter().find(wanted)
    }
}

fn lock(seen: &Mutex<Vec<Value>>) -> MutexGuard<'_, Vec<Value>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the pod's container runs.
pub(crate) fn runs(pod: &Value) -> bool {
    pod["status"]["containerStatuses"][0]["state"]["running"].is_object()
}

/// Whether the pod has failed, and its container ended with a code.
pub(crate) fn failed_with(pod: &Value, wanted: i64) -> bool {
    pod["status"]["phase"] == "Failed" && code(pod) == Some(wanted)
}

/// The exit code of the pod's container, where it ended.
pub(crate) fn code(pod: &Value) -> Option<i64> {
    let state = &pod["status"]["containerStatuses"][0]["state"];
    state["terminated"]["exitCode"].as_i64()
}

/// What containerd calls the pod's container.
pub(crate) fn container(pod: &Value) -> String {
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str();
    let id = id.and_then(|id| id.strip_prefix("containerd://"));
    id.unwrap_or_default().to_owned()
}

/// The pod's UID.
pub(crate) fn uid(pod: &Value) -> &str {
    pod["metadata"]["uid"].as_str().unwrap_or_default()
}

/// The revision of the task that the pod is of.
pub(crate) fn revision(pod: &Value) -> &str {
    let labels = &pod["metadata"]["labels"];
    labels[label::REVISION].as_str().unwrap_or_default()
}
