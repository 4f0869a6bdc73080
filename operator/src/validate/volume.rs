//! Volumes and mounts, and what Windows cannot do of them.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Volume, VolumeMount};
use serde_json::Value;

use super::found::{Found, rules};
use super::name;

rules! {
    VOLUME_NAME: ApiServer, "…volumes[*].name",
        "is no volume name; use at most 63 lower-case letters, digits and dashes";
    VOLUME_TWICE: ApiServer, "…volumes[*].name", "is the name of another volume as well; rename one";
    VOLUME_SOURCE: ApiServer, "…volumes[*]",
        "must have exactly one source, such as hostPath, configMap, secret or emptyDir";
    PIPE: Hcsshim, "…volumes[*].hostPath.path",
        "is a named pipe, which cannot be mounted into a HostProcess container; remove volume and mount, the container reaches the pipe under the same path";
    HOST_PATH_TYPE: Documented, "…volumes[*].hostPath.type",
        "must be DirectoryOrCreate, Directory, FileOrCreate or File: sockets and devices cannot be mounted on Windows; remove volume and mount, the container reaches it under its path on the host";
    HOST_PATH_DOTS: ApiServer, "…volumes[*].hostPath.path", "must not go up with `..`; give the full path";
    MEDIUM: Documented, "…volumes[*].emptyDir.medium",
        "is not available on Windows, where an emptyDir is always on disk; remove it";
    DEVICES: Documented, "…containers[*].volumeDevices",
        "is not available on Windows: a raw block device cannot be given to a container; remove it";
    MOUNT_VOLUME: ApiServer, "…containers[*].volumeMounts[*].name",
        "names no volume of the pod; add it to volumes, or correct the name";
    MOUNT_PATH: ApiServer, "…containers[*].volumeMounts[*].mountPath", "is required; say where the volume appears";
    MOUNT_TWICE: ApiServer, "…containers[*].volumeMounts[*].mountPath",
        "is the path of another mount of the container as well; change one";
    MOUNT_DRIVE: Containerd, "…containers[*].volumeMounts[*].mountPath",
        "is drive C: itself, over which nothing can be mounted; give a directory";
    MOUNT_PIPE: Hcsshim, "…containers[*].volumeMounts[*].mountPath",
        "is a named pipe, which cannot be mounted into a HostProcess container; remove the mount";
    PROPAGATION: Documented, "…containers[*].volumeMounts[*].mountPropagation",
        "is not available on Windows; remove it";
    RECURSIVE: Documented, "…containers[*].volumeMounts[*].recursiveReadOnly",
        "is not available on Windows; use readOnly";
    SUB_PATH: ApiServer, "…containers[*].volumeMounts[*].{subPath,subPathExpr}",
        "must be one of subPath and subPathExpr, relative and without `..`";
}

/// The types of host paths that Windows has.
const HOST_PATH_TYPES: [&str; 5] = ["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File"];

/// Judges the volumes of a pod and returns their names.
pub(super) fn volumes<'a>(volumes: &'a [Volume], at: &str, found: &mut Found) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (index, volume) in volumes.iter().enumerate() {
        let at = format!("{at}.volumes[{index}]");
        if !name::is_label(&volume.name) {
            found.report(&VOLUME_NAME, format!("{at}.name"), Some(&volume.name));
        }
        if !names.insert(volume.name.as_str()) {
            found.report(&VOLUME_TWICE, format!("{at}.name"), Some(&volume.name));
        }
        if sources(volume) != 1 {
            found.report(&VOLUME_SOURCE, at.clone(), Some(&volume.name));
        }
        source(volume, &at, found);
    }
    names
}

/// How many sources a volume has. Counted in its JSON, so that a new kind of volume needs no line here.
fn sources(volume: &Volume) -> usize {
    match serde_json::to_value(volume) {
        Ok(Value::Object(map)) => map.keys().filter(|key| *key != "name").count(),
        _ => 0,
    }
}

fn source(volume: &Volume, at: &str, found: &mut Found) {
    if let Some(host) = &volume.host_path {
        let slashed = host.path.replace('\\', "/");
        if is_pipe(&slashed) {
            found.report(&PIPE, format!("{at}.hostPath.path"), Some(&host.path));
        }
        if slashed.split('/').any(|part| part == "..") {
            found.report(
                &HOST_PATH_DOTS,
                format!("{at}.hostPath.path"),
                Some(&host.path),
            );
        }
        let kind = host.type_.as_deref().unwrap_or_default();
        if !HOST_PATH_TYPES.contains(&kind) {
            found.report(&HOST_PATH_TYPE, format!("{at}.hostPath.type"), Some(&kind));
        }
    }
    let medium = volume.empty_dir.as_ref().and_then(|it| it.medium.as_ref());
    if let Some(medium) = medium.filter(|it| !it.is_empty()) {
        found.report(&MEDIUM, format!("{at}.emptyDir.medium"), Some(medium));
    }
}

/// Judges the mounts of one container.
pub(super) fn mounts(container: &Container, volumes: &BTreeSet<&str>, at: &str, found: &mut Found) {
    if container
        .volume_devices
        .as_ref()
        .is_some_and(|it| !it.is_empty())
    {
        found.report(&DEVICES, format!("{at}.volumeDevices"), None);
    }
    let mut paths = BTreeSet::new();
    for (index, it) in container.volume_mounts.iter().flatten().enumerate() {
        let at = format!("{at}.volumeMounts[{index}]");
        if !volumes.contains(it.name.as_str()) {
            found.report(&MOUNT_VOLUME, format!("{at}.name"), Some(&it.name));
        }
        if !it.mount_path.is_empty() && !paths.insert(it.mount_path.as_str()) {
            found.report(
                &MOUNT_TWICE,
                format!("{at}.mountPath"),
                Some(&it.mount_path),
            );
        }
        mount(it, &at, found);
    }
}

fn mount(mount: &VolumeMount, at: &str, found: &mut Found) {
    let path = mount.mount_path.replace('\\', "/");
    let field = format!("{at}.mountPath");
    if path.is_empty() {
        found.report(&MOUNT_PATH, field, None);
    } else if is_pipe(&path) {
        found.report(&MOUNT_PIPE, field, Some(&mount.mount_path));
    } else if ["", "c:"].contains(&path.trim_end_matches('/').to_lowercase().as_str()) {
        found.report(&MOUNT_DRIVE, field, Some(&mount.mount_path));
    }
    if let Some(propagation) = mount.mount_propagation.as_ref().filter(|it| *it != "None") {
        found.report(
            &PROPAGATION,
            format!("{at}.mountPropagation"),
            Some(propagation),
        );
    }
    if let Some(recursive) = mount
        .recursive_read_only
        .as_ref()
        .filter(|it| *it != "Disabled")
    {
        found.report(
            &RECURSIVE,
            format!("{at}.recursiveReadOnly"),
            Some(recursive),
        );
    }
    let plain = mount.sub_path.as_deref().unwrap_or_default();
    let expression = mount.sub_path_expr.as_deref().unwrap_or_default();
    for (field, it) in [("subPath", plain), ("subPathExpr", expression)] {
        let slashed = it.replace('\\', "/");
        let leaves = slashed.starts_with('/') || slashed.split('/').any(|part| part == "..");
        if leaves || (field == "subPathExpr" && !it.is_empty() && !plain.is_empty()) {
            found.report(&SUB_PATH, format!("{at}.{field}"), Some(&it));
        }
    }
}

fn is_pipe(slashed: &str) -> bool {
    slashed.to_lowercase().starts_with("//./pipe/")
}
