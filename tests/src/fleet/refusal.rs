//! What a Windows kubelet, containerd and hcsshim refuse, though the API server may have let it pass.
//!
//! A refusal shows where the real one shows: the kubelet's admission fails the pod, a sandbox failure leaves it at
//! `ContainerCreating` with an event, a configuration or creation failure is a waiting reason, and what hcsshim refuses
//! is a start failure: containerd then reports the container as ended with `StartError` and exit code 128.

use super::pod::{ContainerView, PodView};

/// The annotation that makes hcsshim refuse HostProcess containers.
const DISABLED: &str = "microsoft.com/disable-hostprocess-container";

/// At which step a pod or container is refused. It decides what the pod's status shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The kubelet does not admit the pod: it fails at once.
    Admission,
    /// The sandbox is not created: the pod waits, an event says why.
    Sandbox,
    /// The container's configuration cannot be made: it waits and is tried again.
    Config,
    /// The container is not created: it waits and is tried again.
    Create,
    /// The container is created and does not start: it counts as ended with exit code 128.
    Start,
}

/// What was refused and how it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// At which step.
    pub stage: Stage,
    /// The reason in the status.
    pub reason: &'static str,
    /// The message in the status.
    pub message: String,
}

impl Refusal {
    fn new(stage: Stage, message: impl Into<String>) -> Self {
        let reason = match stage {
            Stage::Admission => "PodOSNotSupported",
            Stage::Sandbox => "FailedCreatePodSandBox",
            Stage::Config => "CreateContainerConfigError",
            Stage::Create => "CreateContainerError",
            Stage::Start => "StartError",
        };
        Self {
            stage,
            reason,
            message: message.into(),
        }
    }
}

/// Whether the pod as a whole is refused on a Windows node.
pub(super) fn of_pod(pod: &PodView) -> Option<Refusal> {
    if let Some(os) = pod.spec.os.as_ref().filter(|os| os.name != "windows") {
        return Some(Refusal::new(
            Stage::Admission,
            format!(
                "Failed to admit pod as the OS field ({}) doesn't match node OS (windows)",
                os.name
            ),
        ));
    }
    if let Some(os) = pod
        .labels
        .get("kubernetes.io/os")
        .filter(|os| *os != "windows")
    {
        return Some(Refusal {
            reason: "PodOSSelectorNodeLabelDoesNotMatch",
            ..Refusal::new(
                Stage::Admission,
                format!(
                    "Failed to admit pod as its kubernetes.io/os label ({os}) doesn't match the node's"
                ),
            )
        });
    }
    let host_process = pod
        .all_containers()
        .filter(|container| pod.is_host_process(container))
        .count();
    if host_process == 0 {
        return None;
    }
    let message = if pod.spec.security_context.windows_options.host_process == Some(false) {
        "pod must not contain any HostProcess containers if Pod's WindowsOptions.HostProcess is set to false"
    } else if host_process < pod.all_containers().count() {
        "pod must not contain both HostProcess and non-HostProcess containers"
    } else if !pod.spec.host_network {
        "hostNetwork is required if Pod contains HostProcess containers"
    } else {
        return None;
    };
    Some(Refusal::new(Stage::Sandbox, message))
}

/// Whether one container of the pod is refused. `image_user` is the account in the image's configuration; `local_groups`
/// are the groups that exist on the node.
pub(super) fn of_container(
    pod: &PodView,
    container: &ContainerView,
    image_user: &str,
    local_groups: &[String],
) -> Option<Refusal> {
    let asked = pod.user_name(container);
    let non_root = container
        .security_context
        .run_as_non_root
        .or(pod.spec.security_context.run_as_non_root);
    let user = asked.unwrap_or(image_user);
    if non_root == Some(true) && user.eq_ignore_ascii_case("ContainerAdministrator") {
        return Some(Refusal::new(
            Stage::Config,
            format!(
                "container's user ({user}) counts as root and breaks the non-root policy of the pod"
            ),
        ));
    }
    if let Some(mount) = container
        .volume_mounts
        .iter()
        .find(|mount| is_drive_c(&mount.mount_path))
    {
        return Some(Refusal::new(
            Stage::Create,
            format!(
                "failed to generate spec: destination path can not be C drive: {}",
                mount.mount_path
            ),
        ));
    }
    if !pod.is_host_process(container) {
        return None;
    }
    if is_true(pod, DISABLED) {
        return Some(Refusal::new(
            Stage::Start,
            "HostProcess containers are disabled by an annotation of the pod",
        ));
    }
    let pipe = container.volume_mounts.iter().find_map(|mount| {
        let volume = pod
            .spec
            .volumes
            .iter()
            .find(|volume| volume.name == mount.name)?;
        volume
            .host_path
            .as_ref()
            .filter(|host| is_named_pipe(&host.path))
    });
    if pipe.is_some() {
        return Some(Refusal::new(
            Stage::Start,
            "failed to setup mounts: named pipe mounts not supported for job containers - interact with the pipe directly",
        ));
    }
    if is_true(pod, hosttask_crds::label::INHERIT_USER) {
        return None;
    }
    logon(user, local_groups)
        .err()
        .map(|message| Refusal::new(Stage::Start, message))
}

/// The account that the images of Microsoft set. Others are taken to set none, as the HostProcess base image does.
pub(super) fn user_of_image(image: &str) -> &'static str {
    if image.contains("windows/nanoserver") {
        "ContainerUser"
    } else if image.contains("windows/servercore") || image.contains("windows/server:") {
        "ContainerAdministrator"
    } else {
        ""
    }
}

fn logon(user: &str, local_groups: &[String]) -> Result<(), String> {
    let failed = |why: &str| Err(format!("failed to create user process token: {why}"));
    if user.is_empty() {
        return failed("empty username or group name passed");
    }
    // Windows compares group names without case; a group goes before an account of the same name.
    if local_groups
        .iter()
        .any(|group| group.eq_ignore_ascii_case(user))
    {
        return Ok(());
    }
    let mut parts = user.split('\\');
    let (domain, account) = match (parts.next(), parts.next(), parts.next()) {
        (Some(domain), Some(account), None) => (domain, account),
        (Some(account), None, None) => ("", account),
        _ => {
            return failed(&format!(
                "the user name {user:?} has more than one backslash"
            ));
        }
    };
    // hcsshim compares the domain with case, and only this one gets a service logon.
    let services = [
        "SYSTEM",
        "LocalService",
        "Local Service",
        "NetworkService",
        "Network Service",
    ];
    let is_service = services
        .iter()
        .any(|service| service.eq_ignore_ascii_case(account));
    if domain == "NT AUTHORITY" && is_service {
        return Ok(());
    }
    failed(&format!(
        "failed to logon user {user:?}: The user name or password is incorrect."
    ))
}

fn is_true(pod: &PodView, annotation: &str) -> bool {
    pod.annotations
        .get(annotation)
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn is_drive_c(path: &str) -> bool {
    matches!(path.trim_end_matches(['\\', '/']), "C:" | "c:")
}

fn is_named_pipe(path: &str) -> bool {
    path.replace('/', "\\")
        .to_ascii_lowercase()
        .starts_with(r"\\.\pipe\")
}
