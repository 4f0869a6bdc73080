//! What a kubelet stand-in reads of a pod: a light decode of the watch stream, so that 5,000 nodes fit in one process.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;

use hosttask_crds::label;

/// A pod as the watch delivers it, with the few fields that decide how it moves.
#[derive(Resource, Clone, Debug, Deserialize)]
#[resource(inherit = Pod)]
pub(super) struct WatchedPod {
    /// Names, labels and deletion.
    pub metadata: ObjectMeta,
    /// What is to run.
    pub spec: PodSpec,
    /// What the node, or an earlier run of it, reported.
    #[serde(default)]
    pub status: PodReport,
}

/// A pod as the state machine sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct PodView {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID: a pod of the same name with another UID is another pod.
    pub uid: String,
    /// `metadata.generation`, reported back as `observedGeneration`.
    pub generation: Option<i64>,
    /// Labels; scripts match the ones of `hosttask.dev`.
    pub labels: BTreeMap<String, String>,
    /// Annotations; some of them steer hcsshim.
    pub annotations: BTreeMap<String, String>,
    /// When the deletion was asked for; the grace period is then over at this time.
    pub deleted: bool,
    /// How long the containers may take to stop, seconds.
    pub grace_seconds: i64,
    /// The controller's name, or the pod's own without one.
    pub owner: String,
    /// What is to run.
    pub spec: PodSpec,
    /// What was reported when the pod was first read.
    pub report: PodReport,
}

/// The part of `spec` that a node acts on.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    /// The node the pod is bound to.
    pub node_name: String,
    /// `Always`, `OnFailure` or `Never`.
    pub restart_policy: RestartPolicy,
    /// The operating system the pod says it is for.
    pub os: Option<Named>,
    /// Whether the pod shares the node's network.
    pub host_network: bool,
    /// The settings that containers inherit.
    pub security_context: Security,
    /// Run to their end in order, before the others.
    pub init_containers: Vec<ContainerView>,
    /// Run together.
    pub containers: Vec<ContainerView>,
    /// What the mounts refer to.
    pub volumes: Vec<Volume>,
    /// The longest the pod may be active, seconds.
    pub active_deadline_seconds: Option<i64>,
    /// How long containers may take to stop, seconds.
    pub termination_grace_period_seconds: Option<i64>,
}

/// The part of `status` that outlives the process that wrote it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodReport {
    /// `Succeeded` and `Failed` are final.
    pub phase: Option<String>,
    /// When the node accepted the pod.
    pub start_time: Option<Timestamp>,
    /// The scheduler writes `PodScheduled` here.
    pub conditions: Vec<ReportedCondition>,
    /// Restart counts go on from here.
    pub container_statuses: Vec<ReportedContainer>,
}

/// A condition of the pod as reported.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ReportedCondition {
    /// The condition's type.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Since when.
    pub last_transition_time: Option<Timestamp>,
}

/// A container of the pod as reported.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ReportedContainer {
    /// Container name.
    pub name: String,
    /// How often it was restarted.
    pub restart_count: i32,
}

/// Something that has only a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    /// The name.
    pub name: String,
}

/// When a container that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum RestartPolicy {
    /// Whatever the exit code.
    #[default]
    Always,
    /// When the exit code is not 0.
    OnFailure,
    /// Never.
    Never,
}

/// The part of a security context that matters on Windows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Security {
    /// Account and isolation.
    pub windows_options: WindowsOptions,
    /// Whether an administrator account is refused.
    pub run_as_non_root: Option<bool>,
}

/// Account and isolation of a Windows container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WindowsOptions {
    /// Whether the container runs on the host itself.
    pub host_process: Option<bool>,
    /// The account or local group it runs as.
    pub run_as_user_name: Option<String>,
}

/// A container as far as a node stand-in acts on it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerView {
    /// Container name.
    pub name: String,
    /// Image reference.
    pub image: String,
    /// `Never` does not ask the registry.
    pub image_pull_policy: String,
    /// What is run in place of the image's entry point.
    pub command: Vec<String>,
    /// `Always` on an init container makes it a sidecar.
    pub restart_policy: Option<RestartPolicy>,
    /// Overrides the pod's, field by field.
    pub security_context: Security,
    /// Where volumes appear.
    pub volume_mounts: Vec<Mount>,
    /// Holds the other probes back until it passes.
    pub startup_probe: Option<Probe>,
    /// Decides `ready`.
    pub readiness_probe: Option<Probe>,
    /// A failure restarts the container.
    pub liveness_probe: Option<Probe>,
    /// Where the termination message comes from.
    pub termination_message_policy: MessagePolicy,
    /// What is run after the start.
    pub lifecycle: Lifecycle,
}

/// The hooks of a container that decide what becomes of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Lifecycle {
    /// Run after the start; where it fails, the container is stopped.
    pub post_start: Option<Handler>,
}

/// A hook. What it runs is for the script to say.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Handler {}

/// Where the termination message comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum MessagePolicy {
    /// Only the file.
    #[default]
    File,
    /// The end of the log where the file is empty and the exit code is not 0.
    FallbackToLogsOnError,
}

/// A volume, as far as refusals look at it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Volume {
    /// Volume name.
    pub name: String,
    /// A path of the node.
    pub host_path: Option<HostPath>,
}

/// A path of the node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HostPath {
    /// The path.
    pub path: String,
}

/// A mount of a volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Mount {
    /// The volume's name.
    pub name: String,
    /// The path in the container.
    pub mount_path: String,
}

/// The timing of a probe, seconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Probe {
    /// Wait before the first probe.
    pub initial_delay_seconds: i32,
    /// Time between probes.
    pub period_seconds: i32,
    /// Failures in a row that count.
    pub failure_threshold: i32,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            initial_delay_seconds: 0,
            period_seconds: 10,
            failure_threshold: 3,
        }
    }
}

impl From<WatchedPod> for PodView {
    fn from(pod: WatchedPod) -> Self {
        let metadata = pod.metadata;
        let name = metadata.name.unwrap_or_default();
        let owner = metadata
            .owner_references
            .unwrap_or_default()
            .into_iter()
            .find(|owner| owner.controller == Some(true))
            .map_or_else(|| name.clone(), |owner| owner.name);
        Self {
            namespace: metadata.namespace.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            generation: metadata.generation,
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            deleted: metadata.deletion_timestamp.is_some(),
            grace_seconds: metadata.deletion_grace_period_seconds.unwrap_or(30),
            owner,
            name,
            spec: pod.spec,
            report: pod.status,
        }
    }
}

impl PodView {
    /// What the pod is counted and scripted under: the label `hosttask.dev/task`, else its controller's name.
    pub(super) fn task(&self) -> &str {
        self.labels
            .get(label::TASK)
            .map_or(self.owner.as_str(), String::as_str)
    }

    /// The value of a label, empty without it.
    pub(super) fn label(&self, key: &str) -> &str {
        self.labels.get(key).map_or("", String::as_str)
    }

    /// Init containers and then the others.
    pub(super) fn all_containers(&self) -> impl Iterator<Item = &ContainerView> {
        self.spec
            .init_containers
            .iter()
            .chain(&self.spec.containers)
    }

    /// Whether the container runs on the host itself: its own setting, else the pod's.
    pub(super) fn is_host_process(&self, container: &ContainerView) -> bool {
        let options = &container.security_context.windows_options;
        options
            .host_process
            .or(self.spec.security_context.windows_options.host_process)
            .unwrap_or(false)
    }

    /// The account the container asks for: its own setting, else the pod's.
    pub(super) fn user_name<'a>(&'a self, container: &'a ContainerView) -> Option<&'a str> {
        let own = container
            .security_context
            .windows_options
            .run_as_user_name
            .as_deref();
        own.or(self
            .spec
            .security_context
            .windows_options
            .run_as_user_name
            .as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_setting_overrides_the_pod_setting_field_by_field() {
        let pod: WatchedPod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "1", "controller": true}
            ]},
            "spec": {
                "securityContext": {"windowsOptions": {"hostProcess": true, "runAsUserName": "Administrators"}},
                "containers": [
                    {"name": "a", "image": "a:1"},
                    {"name": "b", "image": "b:1", "securityContext": {"windowsOptions": {"runAsUserName": "Users"}}}
                ]
            }
        }))
        .unwrap();
        let pod = PodView::from(pod);
        let [a, b] = pod.spec.containers.as_slice() else {
            panic!("two containers")
        };
        assert_eq!(
            (pod.user_name(a), pod.user_name(b)),
            (Some("Administrators"), Some("Users"))
        );
        assert!(pod.is_host_process(a) && pod.is_host_process(b));
        assert_eq!(pod.task(), "agent");
    }
}
