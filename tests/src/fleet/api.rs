//! The requests of the fleet to the API server, without typed answers: 5,000 nodes write often and read nothing back.

use http::Request as HttpRequest;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::node::{Machine, NodeCondition, micros};
use super::pod::PodView;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request could not be put together.
    #[error("failed to build the request for {what}")]
    Build {
        /// The object.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server refused it or did not answer.
    #[error("failed to write {what}")]
    Send {
        /// The object.
        what: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

impl ApiError {
    /// The HTTP status of the refusal; 0 without an answer.
    pub fn code(&self) -> u16 {
        if let Self::Send { source, .. } = self
            && let kube::Error::Api(status) = source.as_ref()
        {
            return status.code;
        }
        0
    }
}

async fn send<T>(
    client: &Client,
    what: &str,
    request: Result<HttpRequest<Vec<u8>>, kube::core::request::Error>,
) -> Result<T, ApiError>
where
    T: serde::de::DeserializeOwned,
{
    let request = request.map_err(|error| ApiError::Build {
        what: what.to_owned(),
        source: Box::new(error),
    })?;
    let sent = client.request::<T>(request).await;
    sent.map_err(|error| ApiError::Send {
        what: what.to_owned(),
        source: Box::new(error),
    })
}

fn body(what: &str, value: &Value) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|error| ApiError::Build {
        what: what.to_owned(),
        source: Box::new(error),
    })
}

fn pods(namespace: &str) -> Request {
    Request::new(format!("/api/v1/namespaces/{namespace}/pods"))
}

fn nodes() -> Request {
    Request::new("/api/v1/nodes")
}

fn leases() -> Request {
    Request::new("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases")
}

/// Reports a pod's status, as the kubelet does: a strategic merge patch that fits only the pod of this UID.
pub(super) async fn report(
    client: &Client,
    pod: &PodView,
    status: &PodStatus,
) -> Result<(), ApiError> {
    let what = format!("the status of pod {}/{}", pod.namespace, pod.name);
    let mut status = serde_json::to_value(status).map_err(|error| ApiError::Build {
        what: what.clone(),
        source: Box::new(error),
    })?;
    // Conditions are merged by type, so a reason that is over must be taken away by name.
    if let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut) {
        for condition in conditions.iter_mut().filter_map(Value::as_object_mut) {
            condition.entry("reason").or_insert(Value::Null);
            condition.entry("message").or_insert(Value::Null);
        }
    }
    let patch = Patch::Strategic(json!({"metadata": {"uid": pod.uid}, "status": status}));
    let request = pods(&pod.namespace).patch_subresource(
        "status",
        &pod.name,
        &PatchParams::default(),
        &patch,
    );
    send::<IgnoredAny>(client, &what, request).await.map(drop)
}

/// Removes a pod whose containers have stopped.
pub(super) async fn remove(client: &Client, pod: &PodView) -> Result<(), ApiError> {
    let preconditions = Preconditions {
        uid: Some(pod.uid.clone()),
        resource_version: None,
    };
    let options = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    let request = pods(&pod.namespace).delete(&pod.name, &options);
    let what = format!("the deletion of pod {}/{}", pod.namespace, pod.name);
    send::<IgnoredAny>(client, &what, request).await.map(drop)
}

/// Publishes a warning about a pod.
pub(super) async fn warn(
    client: &Client,
    node: &str,
    pod: &PodView,
    reason: &str,
    message: &str,
) -> Result<(), ApiError> {
    let what = format!("an event about pod {}/{}", pod.namespace, pod.name);
    let now = Timestamp::now();
    let event = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": format!("{}.{:x}", pod.name, now.as_nanosecond()), "namespace": pod.namespace},
        "eventTime": micros(now),
        "reportingController": "kubelet",
        "reportingInstance": node,
        "action": "Starting",
        "type": "Warning",
        "reason": reason,
        "note": message.chars().take(1024).collect::<String>(),
        "regarding": {"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid},
    });
    let events = Request::new(format!(
        "/apis/events.k8s.io/v1/namespaces/{}/events",
        pod.namespace
    ));
    send::<IgnoredAny>(
        client,
        &what,
        events.create(&PostParams::default(), body(&what, &event)?),
    )
    .await
    .map(drop)
}

/// Registers a node and its lease; a Node that is there already is taken over. Returns the Node's UID.
pub(super) async fn register(
    client: &Client,
    machine: &Machine,
    lease_seconds: u64,
) -> Result<String, ApiError> {
    let what = format!("node {}", machine.facts.name);
    let now = machine.now();
    let node = body(&what, &machine.object(now))?;
    let created = send::<Value>(client, &what, nodes().create(&PostParams::default(), node)).await;
    let node = match created {
        Err(error) if error.code() == 409 => report_node(client, machine).await?,
        created => created?,
    };
    let uid = node
        .pointer("/metadata/uid")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let lease = body(&what, &machine.lease(&uid, lease_seconds, now))?;
    match send::<IgnoredAny>(
        client,
        &what,
        leases().create(&PostParams::default(), lease),
    )
    .await
    {
        Err(error) if error.code() == 409 => renew(client, machine, &uid, lease_seconds).await?,
        created => drop(created?),
    }
    Ok(uid)
}

/// Reports a node's status after a start. Returns the Node.
pub(super) async fn report_node(client: &Client, machine: &Machine) -> Result<Value, ApiError> {
    let what = format!("the status of node {}", machine.facts.name);
    let patch = Patch::Strategic(json!({"status": machine.status(machine.now())}));
    let request = nodes().patch_subresource(
        "status",
        &machine.facts.name,
        &PatchParams::default(),
        &patch,
    );
    send::<Value>(client, &what, request).await
}

/// Reports one condition of a node and leaves the others as they are.
pub(super) async fn report_condition(
    client: &Client,
    machine: &Machine,
    condition: &NodeCondition,
) -> Result<(), ApiError> {
    let name = &machine.facts.name;
    let what = format!("condition {} of node {name}", condition.type_);
    let condition = condition.object(machine.now());
    let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
    let request = nodes().patch_subresource("status", name, &PatchParams::default(), &patch);
    send::<IgnoredAny>(client, &what, request).await.map(drop)
}

/// Renews a node's lease, and makes it anew where it is gone.
pub(super) async fn renew(
    client: &Client,
    machine: &Machine,
    uid: &str,
    seconds: u64,
) -> Result<(), ApiError> {
    let what = format!("the lease of node {}", machine.facts.name);
    let lease = machine.lease(uid, seconds, machine.now());
    let request = leases().patch(
        &machine.facts.name,
        &PatchParams::default(),
        &Patch::Merge(&lease),
    );
    match send::<IgnoredAny>(client, &what, request).await {
        Err(error) if error.code() == 404 => {
            let made = leases().create(&PostParams::default(), body(&what, &lease)?);
            send::<IgnoredAny>(client, &what, made).await.map(drop)
        }
        renewed => renewed.map(drop),
    }
}

/// Removes a Node object; one that is gone already is fine.
pub(super) async fn unregister(client: &Client, machine: &Machine) -> Result<(), ApiError> {
    let what = format!("the deletion of node {}", machine.facts.name);
    match send::<IgnoredAny>(
        client,
        &what,
        nodes().delete(&machine.facts.name, &DeleteParams::default()),
    )
    .await
    {
        Err(error) if error.code() == 404 => Ok(()),
        removed => removed.map(drop),
    }
}
