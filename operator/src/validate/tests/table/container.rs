//! Cases of containers, probes, volumes and mounts.

use super::super::super::{container as c, probe, volume as v};
use super::*;

#[expect(clippy::too_many_lines, reason = "a table: each entry is a case")]
pub(super) fn container_cases() -> Vec<Case> {
    let mut cases = vec![
        case(&c::NAME, &format!("{C}/name"), json!("Agent")),
        case(&c::IMAGE, &format!("{C}/image"), json!(" a")),
        case(&c::IMAGE, &format!("{I}/image"), json!("")),
        case(
            &c::PULL_POLICY,
            &format!("{C}/imagePullPolicy"),
            json!("Sometimes"),
        ),
        case(
            &c::MESSAGE_POLICY,
            &format!("{C}/terminationMessagePolicy"),
            json!("Log"),
        ),
        case(
            &c::INIT_RESTART,
            &format!("{I}/restartPolicy"),
            json!("Never"),
        ),
        case(&c::ENV_NAME, &format!("{C}/env/0/name"), json!("A=B")),
        case(
            &c::ENV_TWICE,
            &format!("{C}/env/1"),
            json!({"name": "NODE", "value": "x"}),
        )
        .named("name"),
        at(
            &c::ENV_SOURCE,
            &format!("{C}/env/0/value"),
            json!("x"),
            "spec.template.spec.containers[0].env[0].valueFrom",
        ),
        case(&c::ENV_SOURCE, &format!("{C}/env/0/valueFrom"), json!({})),
        case(
            &c::PORT_NUMBER,
            &format!("{C}/ports/0/containerPort"),
            json!(65_536),
        ),
        case(&c::PORT_HOST, &format!("{C}/ports/0/hostPort"), json!(80)),
        case(
            &c::PORT_PROTOCOL,
            &format!("{C}/ports/0/protocol"),
            json!("tcp"),
        ),
        case(&c::PORT_NAME, &format!("{C}/ports/0/name"), json!("80")),
        case(
            &c::PORT_NAME_TWICE,
            &format!("{C}/ports/1"),
            json!({"containerPort": 1, "name": "http"}),
        )
        .named("name"),
        case(
            &c::PORT_TWICE,
            &format!("{C}/ports/1"),
            json!({"containerPort": 9182}),
        )
        .named("containerPort"),
        case(
            &c::PORT_TWICE,
            "/template/spec/containers/1",
            json!({"name": "b", "image": "b", "ports": [{"containerPort": 9182}]}),
        )
        .named("ports[0].containerPort"),
        case(
            &c::QUANTITY,
            &format!("{C}/resources/limits/cpu"),
            json!("half"),
        ),
        case(
            &c::QUANTITY,
            &format!("{C}/resources/requests/memory"),
            json!("-1"),
        ),
        case(
            &c::REQUEST_OVER_LIMIT,
            &format!("{C}/resources/requests/cpu"),
            json!("501m"),
        ),
        case(
            &c::HUGE_PAGES,
            &format!("{C}/resources/limits/hugepages-2Mi"),
            json!("2Mi"),
        ),
        case(
            &probe::PROBE_HANDLER,
            &format!("{C}/livenessProbe"),
            json!({"periodSeconds": 5}),
        ),
        case(
            &probe::PROBE_HANDLER,
            &format!("{C}/readinessProbe"),
            json!({"exec": {}, "grpc": {"port": 1}}),
        ),
        case(
            &probe::PROBE_NUMBER,
            &format!("{C}/readinessProbe/periodSeconds"),
            json!(-1),
        ),
        case(
            &probe::PROBE_SUCCESS,
            &format!("{C}/startupProbe"),
            json!({"exec": {}, "successThreshold": 2}),
        )
        .named("successThreshold"),
        case(
            &probe::INIT_PROBE,
            &format!("{I}/livenessProbe"),
            json!({"exec": {}}),
        ),
        case(
            &probe::INIT_PROBE,
            &format!("{I}/lifecycle"),
            json!({"preStop": {"exec": {}}}),
        ),
        case(
            &probe::LIFECYCLE_HANDLER,
            &format!("{C}/lifecycle/preStop"),
            json!({}),
        ),
    ];
    for (name, value) in [
        ("allowPrivilegeEscalation", json!(false)),
        ("appArmorProfile", json!({"type": "RuntimeDefault"})),
        ("capabilities", json!({"drop": ["ALL"]})),
        ("privileged", json!(false)),
        ("procMount", json!("Default")),
        ("readOnlyRootFilesystem", json!(false)),
        ("runAsGroup", json!(1)),
        ("runAsUser", json!(1)),
        ("seLinuxOptions", json!({})),
        ("seccompProfile", json!({"type": "RuntimeDefault"})),
    ] {
        for container in [C, I] {
            let pointer = format!("{container}/securityContext/{name}");
            cases.push(case(&c::LINUX_FIELD, &pointer, value.clone()));
        }
    }
    cases
}

#[expect(clippy::too_many_lines, reason = "a table: each entry is a case")]
pub(super) fn volume_cases() -> Vec<Case> {
    let volume = "/template/spec/volumes/1";
    let mount = "/template/spec/containers/0/volumeMounts/0";
    let with = |name: &str, source: Value| {
        let mut volume = source;
        set(&mut volume, "/name", json!(name));
        volume
    };
    vec![
        case(&v::VOLUME_NAME, volume, with("A", json!({"emptyDir": {}}))).named("name"),
        case(
            &v::VOLUME_TWICE,
            volume,
            with("config", json!({"emptyDir": {}})),
        )
        .named("name"),
        case(&v::VOLUME_SOURCE, volume, with("a", json!({}))),
        case(
            &v::VOLUME_SOURCE,
            volume,
            with("a", json!({"emptyDir": {}, "hostPath": {"path": "/a"}})),
        ),
        case(
            &v::PIPE,
            volume,
            with(
                "a",
                json!({"hostPath": {"path": r"\\.\pipe\csi-proxy-disk-v1"}}),
            ),
        )
        .named("hostPath.path"),
        case(
            &v::HOST_PATH_TYPE,
            volume,
            with("a", json!({"hostPath": {"path": "/a", "type": "Socket"}})),
        )
        .named("hostPath.type"),
        case(
            &v::HOST_PATH_DOTS,
            volume,
            with("a", json!({"hostPath": {"path": r"C:\a\..\b"}})),
        )
        .named("hostPath.path"),
        case(
            &v::MEDIUM,
            volume,
            with("a", json!({"emptyDir": {"medium": "Memory"}})),
        )
        .named("emptyDir.medium"),
        case(
            &v::DEVICES,
            &format!("{C}/volumeDevices"),
            json!([{"name": "config", "devicePath": "d"}]),
        ),
        case(&v::MOUNT_VOLUME, &format!("{mount}/name"), json!("other")),
        case(&v::MOUNT_PATH, &format!("{mount}/mountPath"), json!("")),
        case(
            &v::MOUNT_TWICE,
            "/template/spec/containers/0/volumeMounts/1",
            json!({"name": "config", "mountPath": "/etc/agent"}),
        )
        .named("mountPath"),
        case(
            &v::MOUNT_DRIVE,
            &format!("{mount}/mountPath"),
            json!("c:\\"),
        ),
        case(&v::MOUNT_DRIVE, &format!("{mount}/mountPath"), json!("/")),
        case(
            &v::MOUNT_PIPE,
            &format!("{mount}/mountPath"),
            json!(r"\\.\pipe\a"),
        ),
        case(
            &v::PROPAGATION,
            &format!("{mount}/mountPropagation"),
            json!("HostToContainer"),
        ),
        case(
            &v::RECURSIVE,
            &format!("{mount}/recursiveReadOnly"),
            json!("IfPossible"),
        ),
        case(&v::SUB_PATH, &format!("{mount}/subPath"), json!("../a")),
        case(&v::SUB_PATH, &format!("{mount}/subPathExpr"), json!("/a")),
    ]
}
