//! The tasks of one namespace as a user handles them: apply, change, wait, look.

use std::collections::BTreeMap;
use std::time::Duration;

use hosttask_crds::label;
use hosttask_crds::node::{LedgerEntry, WindowsHostNode};
use hosttask_crds::task::{WindowsHostTask, WindowsHostTaskStatus};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::poll::{self, TimedOut};

/// Access to the tasks of one namespace.
#[derive(Clone)]
pub struct Tasks {
    client: kube::Client,
    /// The namespace.
    pub namespace: String,
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// A valid Daemon task for the simulated fleet, whose pods count as healthy after a second.
pub fn daemon(name: &str, image: &str) -> Value {
    with(
        task(name, "Daemon", image),
        &json!({ "spec": { "rollout": { "minReadySeconds": 1 } } }),
    )
}

/// A valid RunOnce task for the simulated fleet, with quick retries.
pub fn run_once(name: &str, image: &str) -> Value {
    let mut task = task(name, "RunOnce", image);
    if let Some(spec) = task.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert(
            "job".into(),
            json!({ "retry": { "limit": 1, "initialSeconds": 1, "maxSeconds": 60 } }),
        );
    }
    task
}

/// A valid task of a mode for the simulated fleet: one container, `main`, on every Windows node, as `LocalSystem`.
pub fn task(name: &str, mode: &str, image: &str) -> Value {
    json!({
        "apiVersion": "hosttask.dev/v1alpha1",
        "kind": "WindowsHostTask",
        "metadata": { "name": name },
        "spec": {
            "mode": mode,
            "runAs": { "account": "System" },
            "placement": { "tolerate": "All" },
            "template": { "spec": { "containers": [{ "name": "main", "image": image, "command": ["agent.exe"] }] } },
        },
    })
}

/// A merge patch that gives a task's container another image.
pub fn image(image: &str) -> Value {
    json!({ "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": image, "command": ["agent.exe"] }] } } } })
}

/// A task with a JSON merge patch applied.
pub fn with(mut task: Value, patch: &Value) -> Value {
    merge(&mut task, patch);
    task
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// Since when a pod says that it is ready, if it does: a whole second of its node's clock.
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let ready = conditions.find(|it| it.type_ == "Ready" && it.status == "True")?;
    Some(ready.last_transition_time.as_ref()?.0)
}

/// The condition of a type, where the status has it.
pub fn condition<'a>(status: &'a WindowsHostTaskStatus, kind: &str) -> Option<&'a Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)
}

impl Tasks {
    pub(super) fn new(client: kube::Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
        }
    }

    /// Access to the tasks of an existing namespace.
    pub fn existing(client: kube::Client, namespace: &str) -> Self {
        Self::new(client, namespace)
    }

    /// The API of the tasks.
    pub fn api(&self) -> Api<WindowsHostTask> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies a task as `kubectl apply --server-side` does.
    pub async fn apply(&self, task: &Value) -> Result<WindowsHostTask, kube::Error> {
        let name = task
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let params = PatchParams {
            field_validation: Some(kube::api::ValidationDirective::Strict),
            ..PatchParams::apply("tests").force()
        };
        self.api().patch(name, &params, &Patch::Apply(task)).await
    }

    /// Changes fields of a task by JSON merge patch.
    pub async fn change(&self, name: &str, patch: &Value) -> Result<WindowsHostTask, kube::Error> {
        self.api()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
    }

    /// Deletes a task.
    pub async fn delete(&self, name: &str) -> Result<(), kube::Error> {
        self.api()
            .delete(name, &DeleteParams::background())
            .await
            .map(|_| ())
    }

    /// The status of a task.
    pub async fn status(&self, name: &str) -> Result<WindowsHostTaskStatus, kube::Error> {
        Ok(self.api().get(name).await?.status.unwrap_or_default())
    }

    /// Waits until the task's status is of its current generation and `holds` accepts it.
    pub async fn wait(
        &self,
        name: &str,
        what: &str,
        limit: Duration,
        holds: impl Fn(&WindowsHostTaskStatus) -> bool,
    ) -> Result<WindowsHostTaskStatus, TimedOut> {
        poll::until(
            &format!("task {}/{name}: {what}", self.namespace),
            limit,
            || async {
                let task = self
                    .api()
                    .get(name)
                    .await
                    .map_err(|error| error.to_string())?;
                let status = task.status.unwrap_or_default();
                if status.observed_generation == task.metadata.generation && holds(&status) {
                    Ok(status)
                } else {
                    Err(serde_json::to_string(&status).unwrap_or_default())
                }
            },
        )
        .await
    }

    /// Waits until Ready has the given status and reason.
    pub async fn wait_ready(
        &self,
        name: &str,
        status: &str,
        reason: &str,
        limit: Duration,
    ) -> Result<WindowsHostTaskStatus, TimedOut> {
        self.wait(name, &format!("Ready={status} {reason}"), limit, |found| {
            found
                .conditions
                .iter()
                .any(|c| c.type_ == "Ready" && c.status == status && c.reason == reason)
        })
        .await
    }

    /// The pods of a task, by name.
    pub async fn pods(&self, name: &str) -> Result<Vec<Pod>, kube::Error> {
        let selector = ListParams::default().labels(&format!("{}={name}", label::TASK));
        Ok(Api::<Pod>::namespaced(self.client.clone(), &self.namespace)
            .list(&selector)
            .await?
            .items)
    }

    /// The Jobs of a task, by name.
    pub async fn jobs(&self, name: &str) -> Result<Vec<Job>, kube::Error> {
        let selector = ListParams::default().labels(&format!("{}={name}", label::TASK));
        Ok(Api::<Job>::namespaced(self.client.clone(), &self.namespace)
            .list(&selector)
            .await?
            .items)
    }

    /// The ledger entry of a task on every node that has one.
    pub async fn ledger(&self, name: &str) -> Result<BTreeMap<String, LedgerEntry>, kube::Error> {
        let task = format!("{}/{name}", self.namespace);
        let nodes = Api::<WindowsHostNode>::all(self.client.clone())
            .list(&ListParams::default())
            .await?;
        let entry = |node: WindowsHostNode| {
            let name = node.metadata.name?;
            let found = node
                .status?
                .tasks
                .into_iter()
                .find(|entry| entry.task == task)?;
            Some((name, found))
        };
        Ok(nodes.items.into_iter().filter_map(entry).collect())
    }
}
