//! How the tasks of the demonstration must end, and whether they did.

use hosttask_crds::task::{WindowsHostTask, WindowsHostTaskStatus};

use super::screen::Seen;
use super::{Cast, DemoError, real_node, status};
use crate::bed::condition;

/// One task of the demonstration, and how it must end.
pub(super) struct Expected {
    namespace: &'static str,
    name: &'static str,
    reason: &'static str,
    failed_nodes: i32,
    /// Whether it runs on the real Windows node too.
    is_on_real_node: bool,
}

const fn recipe(namespace: &'static str, name: &'static str) -> Expected {
    Expected {
        namespace,
        name,
        reason: "RolloutComplete",
        failed_nodes: 0,
        is_on_real_node: false,
    }
}

const fn own(name: &'static str, reason: &'static str, failed_nodes: i32) -> Expected {
    Expected {
        namespace: "win-ops",
        name,
        reason,
        failed_nodes,
        is_on_real_node: true,
    }
}

/// The tasks of the demonstration.
pub(super) const EXPECTED: [Expected; 6] = [
    recipe("kube-system", "calico-node-windows"),
    recipe("kube-system", "kube-proxy-windows"),
    recipe("kube-system", "csi-proxy"),
    recipe("windows-exporter", "windows-exporter"),
    own("vc-runtime", "EnoughNodesSucceeded", 1),
    own("log-forwarder", "RolloutComplete", 0),
];

/// Whether nothing more is going to happen to a task by itself.
pub(super) fn is_settled(task: &WindowsHostTask) -> bool {
    let status = status(task);
    status.observed_generation == task.metadata.generation
        && status.in_progress_nodes == Some(0)
        && status.pending_nodes == Some(0)
        && condition(&status, "Reconciling").is_none()
}

pub(super) fn judge(cast: &Cast, seen: &Seen) -> Result<(), DemoError> {
    let mut problems = Vec::new();
    for expected in EXPECTED {
        let Expected {
            namespace, name, ..
        } = expected;
        let nodes = cast.nodes(expected.is_on_real_node);
        let found = seen.tasks.iter().find(|task| {
            task.metadata.namespace.as_deref() == Some(namespace)
                && task.metadata.name.as_deref() == Some(name)
        });
        match found {
            None => problems.push(format!("{namespace}/{name} does not exist")),
            Some(task) => problems.extend(judge_one(&expected, &status(task), nodes)),
        }
    }
    if cast.real.is_some() {
        problems.extend(real_node::judge(&cast.jobs, &seen.nodes));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(DemoError::Unexpected(problems))
    }
}

/// What is wrong about how a task ended.
fn judge_one(expected: &Expected, status: &WindowsHostTaskStatus, nodes: i32) -> Option<String> {
    let Expected {
        namespace,
        name,
        reason,
        failed_nodes: failed,
        ..
    } = expected;
    let ready = condition(status, "Ready");
    let counts = (
        status.desired_nodes,
        status.healthy_nodes,
        status.failed_nodes,
    );
    let is_right = ready.is_some_and(|c| c.status == "True" && c.reason == *reason)
        && counts == (Some(nodes), Some(nodes - failed), Some(*failed));
    if is_right {
        return None;
    }
    let message = ready.map_or("no condition", |c| c.message.as_str());
    Some(format!(
        "{namespace}/{name} should be {reason} on {nodes} nodes with {failed} failed: {message}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ended(reason: &str, healthy: i32, failed: i32) -> WindowsHostTaskStatus {
        serde_json::from_value(json!({
            "desiredNodes": healthy + failed, "healthyNodes": healthy, "failedNodes": failed,
            "conditions": [{ "type": "Ready", "status": "True", "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1 }],
        }))
        .unwrap()
    }

    #[test]
    fn a_task_is_right_with_its_reason_on_its_nodes_with_its_failures_and_not_otherwise() {
        let task = own("vc-runtime", "EnoughNodesSucceeded", 1);
        let judged =
            |reason, healthy, failed| judge_one(&task, &ended(reason, healthy, failed), 13);
        assert_eq!(judged("EnoughNodesSucceeded", 12, 1), None);
        assert!(judged("RolloutComplete", 12, 1).is_some());
        assert!(judged("EnoughNodesSucceeded", 11, 1).is_some());
        assert!(judged("EnoughNodesSucceeded", 11, 2).is_some());
    }
}
