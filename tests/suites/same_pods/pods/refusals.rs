//! What a Windows node refuses: images, programs, accounts, mounts, pods of another system.

use serde_json::{Value, json};

use super::super::case::{Case, container, ended, probe, waits, waits_for, with};

pub(super) fn all() -> Vec<Case> {
    vec![
        image_missing(),
        image_never_pulled(),
        program("program-missing-never", "Never"),
        program_again(),
        user("user-unknown", json!("NOWHERE\\nobody")),
        user("user-none", json!(null)),
        administrator(),
        mount_at_drive(),
        mount_of_pipe(),
        other_system(),
        other_label(),
    ]
}

/// A simulated program that cannot be pulled.
fn missing() -> Value {
    json!({ "image": "Missing" })
}

fn image_missing() -> Case {
    let image = json!({ "image": "registry.invalid/none:1", "imagePullPolicy": "IfNotPresent" });
    let spec = json!({ "containers": [with(waits("main"), &image)] });
    Case::new(
        "image-missing",
        spec,
        waits_for("main", "ImagePullBackOff", 0),
    )
    .does("main", missing())
}

fn image_never_pulled() -> Case {
    let image = json!({ "image": "registry.invalid/none:1" });
    let spec = json!({ "containers": [with(waits("main"), &image)] });
    Case::new(
        "image-never-pulled",
        spec,
        waits_for("main", "ErrImageNeverPull", 0),
    )
    .does("main", missing())
}

/// A container whose program does not exist.
fn nothing() -> Value {
    with(
        probe("main", &[]),
        &json!({ "command": ["C:\\node\\nothing.exe"] }),
    )
}

fn does_not_start() -> Value {
    json!({ "startError": "the program does not exist" })
}

fn program(name: &'static str, policy: &str) -> Case {
    Case::new(
        name,
        json!({ "restartPolicy": policy, "containers": [nothing()] }),
        ended,
    )
    .does("main", does_not_start())
}

fn program_again() -> Case {
    let spec = json!({ "restartPolicy": "Always", "containers": [nothing()] });
    Case::new(
        "program-missing-always",
        spec,
        waits_for("main", "CrashLoopBackOff", 1),
    )
    .does("main", does_not_start())
}

fn user(name: &'static str, user: Value) -> Case {
    let mut options = json!({ "hostProcess": true });
    if user.is_string() {
        options["runAsUserName"] = user;
    }
    let spec =
        json!({ "securityContext": { "windowsOptions": options }, "containers": [waits("main")] });
    Case::new(name, spec, ended)
}

fn administrator() -> Case {
    let security = json!({ "runAsNonRoot": true, "windowsOptions": {
        "hostProcess": true, "runAsUserName": "ContainerAdministrator" } });
    let spec = json!({ "securityContext": security, "containers": [waits("main")] });
    Case::new(
        "administrator",
        spec,
        waits_for("main", "CreateContainerConfigError", 0),
    )
}

fn mount_at_drive() -> Case {
    let main = with(
        waits("main"),
        &json!({ "volumeMounts": [{ "name": "data", "mountPath": "C:" }] }),
    );
    let spec = json!({ "containers": [main], "volumes": [{ "name": "data", "emptyDir": {} }] });
    Case::new(
        "mount-at-drive",
        spec,
        waits_for("main", "CreateContainerError", 0),
    )
}

fn mount_of_pipe() -> Case {
    let main = with(
        waits("main"),
        &json!({ "volumeMounts": [{ "name": "pipe", "mountPath": "\\\\.\\pipe\\same" }] }),
    );
    let volume = json!({ "name": "pipe", "hostPath": { "path": "\\\\.\\pipe\\same" } });
    Case::new(
        "mount-of-pipe",
        json!({ "containers": [main], "volumes": [volume] }),
        |status| {
            ended(status)
                || container("main", |it| it["state"]["waiting"]["message"].is_string())(status)
        },
    )
}

fn other_system() -> Case {
    let spec =
        json!({ "os": { "name": "linux" }, "securityContext": {}, "containers": [waits("main")] });
    Case::new("other-system", spec, ended)
}

fn other_label() -> Case {
    Case::new(
        "other-label",
        json!({ "containers": [waits("main")] }),
        ended,
    )
    .label("kubernetes.io/os", "linux")
}
