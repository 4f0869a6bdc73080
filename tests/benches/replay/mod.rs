//! An HTTP server that answers LIST and WATCH as an API server with a large Windows fleet does.

use std::convert::Infallible;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};

/// How many nodes the pods are spread over.
const NODES: usize = 5_000;

/// The running server. It ends with its runtime.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its address, such as `http://127.0.0.1:40000`.
    pub(crate) url: String,
}

impl Server {
    /// Writes a kubeconfig for it.
    pub(crate) fn kubeconfig(&self, folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
        let path = folder.join("replay.kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "replay",
            "clusters": [{ "name": "replay", "cluster": { "server": self.url } }],
            "users": [{ "name": "replay", "user": {} }],
            "contexts": [{ "name": "replay", "context": { "cluster": "replay", "user": "replay" } }],
        });
        std::fs::write(&path, config.to_string())?;
        Ok(path)
    }
}

/// Serves a fleet with so many pods on a free port.
pub(crate) async fn serve(pods: usize) -> Result<Server, Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let pods = Arc::new(pods);
    let app = axum::Router::new().fallback(move |uri: Uri| {
        let pods = Arc::clone(&pods);
        async move { answer(&uri, *pods) }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(Server { url })
}

fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    uri.query()?
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn answer(uri: &Uri, pods: usize) -> Response {
    if uri.path().contains("/leases") {
        return reply(&lease());
    }
    if parameter(uri, "watch").is_some_and(|value| value != "false") {
        return quiet_watch();
    }
    let (kind, total, make): (&str, usize, fn(usize) -> Value) = match uri.path().rsplit('/').next()
    {
        Some("pods") => ("Pod", pods, pod),
        Some("nodes") => ("Node", NODES, node),
        _ => ("", 0, pod),
    };
    let start = parameter(uri, "continue")
        .and_then(|token| token.parse().ok())
        .unwrap_or(0);
    let limit = parameter(uri, "limit")
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(total);
    let end = (start + limit).min(total);
    let next = if end < total {
        end.to_string()
    } else {
        String::new()
    };
    let items: Vec<Value> = (start..end).map(make).collect();
    reply(
        &json!({ "apiVersion": "v1", "kind": format!("{kind}List"), "metadata": { "resourceVersion": "1000", "continue": next }, "items": items }),
    )
}

fn reply(value: &Value) -> Response {
    respond(Body::from(value.to_string()))
}

fn respond(body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/json"));
    response
}

/// A watch that says nothing but a bookmark now and then.
fn quiet_watch() -> Response {
    let bookmark = json!({ "type": "BOOKMARK", "object": { "apiVersion": "v1", "kind": "Pod", "metadata": { "resourceVersion": "1000" } } });
    let line = Bytes::from(format!("{bookmark}\n"));
    let lines = futures::stream::unfold(line, |line| async move {
        tokio::time::sleep(Duration::from_secs(10)).await;
        Some((Ok::<_, Infallible>(line.clone()), line))
    });
    respond(Body::from_stream(lines))
}

/// A lease that somebody else keeps renewing, so that the operator stays a standby.
fn lease() -> Value {
    let now = jiff::Timestamp::now();
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": "hosttask-operator", "namespace": "hosttask-system", "uid": "lease", "resourceVersion": now.as_microsecond().to_string() },
        "spec": { "holderIdentity": "somebody-else", "leaseDurationSeconds": 3600, "renewTime": format!("{now:.6}"), "acquireTime": format!("{now:.6}"), "leaseTransitions": 1 },
    })
}

fn uuid(kind: u32, index: usize) -> String {
    format!("{kind:08x}-0000-4000-8000-{index:012x}")
}

/// What the API server adds to a real object: who set which field.
fn managed_fields() -> Value {
    let fields = json!({ "f:metadata": { "f:labels": { ".": {}, "f:app.kubernetes.io/managed-by": {}, "f:hosttask.dev/task": {}, "f:hosttask.dev/task-uid": {} } },
        "f:spec": { "f:containers": { "k:{\"name\":\"main\"}": { ".": {}, "f:image": {}, "f:command": {}, "f:env": {}, "f:resources": {} } }, "f:hostNetwork": {}, "f:os": {}, "f:tolerations": {} } });
    let status = json!({ "f:status": { "f:conditions": { "k:{\"type\":\"Ready\"}": { ".": {}, "f:status": {}, "f:lastTransitionTime": {} } }, "f:containerStatuses": {}, "f:podIP": {}, "f:startTime": {} } });
    json!([
        { "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": "2026-11-22T10:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields },
        { "manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": "2026-11-22T10:00:05Z", "fieldsType": "FieldsV1", "fieldsV1": status, "subresource": "status" },
    ])
}

fn pod(index: usize) -> Value {
    let (task, node) = (index / NODES, index % NODES);
    let name = format!("task-{task:02}-{index:05x}");
    let env: Vec<Value> = (0..8).map(|n| json!({ "name": format!("SETTING_{n}"), "value": format!("value of setting {n} on the node") })).collect();
    let kinds = [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ];
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-11-22T10:00:05Z", "observedGeneration": 1 });
    let conditions = kinds.map(condition);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "generateName": format!("task-{task:02}-"), "namespace": "win-ops", "uid": uuid(1, index), "resourceVersion": (100_000 + index).to_string(),
            "creationTimestamp": "2026-11-22T10:00:00Z",
            "labels": {
                "app.kubernetes.io/managed-by": "hosttask", "hosttask.dev/task": format!("task-{task:02}"), "hosttask.dev/task-uid": uuid(2, task),
                "hosttask.dev/revision": format!("task-{task:02}-abcdefghij"), "controller-revision-hash": "6d4cf56db6", "pod-template-generation": "1",
            },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": format!("task-{task:02}"), "uid": uuid(3, task), "controller": true, "blockOwnerDeletion": true }],
            "managedFields": managed_fields(),
        },
        "spec": {
            "nodeName": format!("win-{node:04}"), "hostNetwork": true, "os": { "name": "windows" }, "restartPolicy": "Always", "serviceAccountName": "default",
            "securityContext": { "windowsOptions": { "hostProcess": true, "runAsUserName": "NT AUTHORITY\\SYSTEM" } },
            "containers": [{ "name": "main", "image": "registry.example.com/agents/agent:1.2.3", "command": ["agent.exe", "--config", "C:/agent/config.yaml"], "env": env, "resources": { "limits": { "cpu": "200m", "memory": "256Mi" } }, "terminationMessagePolicy": "FallbackToLogsOnError", "imagePullPolicy": "IfNotPresent",
                "volumeMounts": [{ "name": "kube-api-access", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" }] }],
            "tolerations": [{ "operator": "Exists" }], "priority": 0, "preemptionPolicy": "PreemptLowerPriority", "enableServiceLinks": true, "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30,
            "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [format!("win-{node:04}")] }] }] } } },
        },
        "status": {
            "phase": "Running", "hostIP": "10.1.2.3", "podIP": "10.1.2.3", "podIPs": [{ "ip": "10.1.2.3" }], "startTime": "2026-11-22T10:00:01Z", "qosClass": "Burstable",
            "conditions": conditions,
            "containerStatuses": [{ "name": "main", "ready": true, "started": true, "restartCount": 0, "image": "registry.example.com/agents/agent:1.2.3", "imageID": format!("registry.example.com/agents/agent@sha256:{:064x}", 7), "containerID": format!("containerd://{index:064x}"), "state": { "running": { "startedAt": "2026-11-22T10:00:05Z" } }, "lastState": {} }],
        },
    })
}

fn node(index: usize) -> Value {
    let name = format!("win-{index:04}");
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "uid": uuid(4, index), "resourceVersion": (200_000 + index).to_string(), "creationTimestamp": "2026-11-22T09:00:00Z",
            "labels": { "kubernetes.io/os": "windows", "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name, "node.kubernetes.io/windows-build": "10.0.20348", "topology.kubernetes.io/zone": format!("zone-{}", index % 3), "agentpool": "win" } },
        "spec": {},
        "status": { "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-11-22T09:01:00Z" }],
            "nodeInfo": { "bootID": uuid(5, index), "systemUUID": uuid(6, index), "machineID": name, "osImage": "Windows Server 2022 Datacenter", "kernelVersion": "10.0.20348.2700", "kubeletVersion": "v1.37.0", "kubeProxyVersion": "", "containerRuntimeVersion": "containerd://2.1.4", "operatingSystem": "windows", "architecture": "amd64" } },
    })
}
