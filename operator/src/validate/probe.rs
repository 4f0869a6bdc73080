//! Probes and lifecycle hooks.

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Probe};

use super::found::{Found, rules};

rules! {
    PROBE_HANDLER: ApiServer, "…containers[*].{liveness,readiness,startup}Probe",
        "must say exactly one of exec, httpGet, tcpSocket and grpc";
    PROBE_NUMBER: ApiServer, "…containers[*].{liveness,readiness,startup}Probe.*",
        "must not be negative; remove it for the default";
    PROBE_SUCCESS: ApiServer, "…containers[*].{liveness,startup}Probe.successThreshold",
        "must be 1 in liveness and startup probes; remove it";
    INIT_PROBE: ApiServer, "…initContainers[*].{livenessProbe,readinessProbe,startupProbe,lifecycle}",
        "is not for init containers that run to their end; remove it, or set restartPolicy: Always to make a sidecar of it";
    LIFECYCLE_HANDLER: ApiServer, "…containers[*].lifecycle.{postStart,preStop}",
        "must say exactly one of exec, httpGet, tcpSocket and sleep";
}

/// Judges the probes and hooks of one container. All kinds work with HostProcess containers; a network probe reaches the
/// node's own address.
pub(super) fn probes(container: &Container, is_init: bool, at: &str, found: &mut Found) {
    let runs_to_its_end = is_init && container.restart_policy.as_deref() != Some("Always");
    for (kind, it) in [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
    ] {
        if let Some(it) = it {
            if runs_to_its_end {
                found.report(&INIT_PROBE, format!("{at}.{kind}"), None);
            }
            probe(it, kind, &format!("{at}.{kind}"), found);
        }
    }
    let Some(lifecycle) = &container.lifecycle else {
        return;
    };
    if runs_to_its_end {
        found.report(&INIT_PROBE, format!("{at}.lifecycle"), None);
    }
    for (kind, it) in [
        ("postStart", &lifecycle.post_start),
        ("preStop", &lifecycle.pre_stop),
    ] {
        if it.as_ref().is_some_and(|it| handlers(it) != 1) {
            found.report(&LIFECYCLE_HANDLER, format!("{at}.lifecycle.{kind}"), None);
        }
    }
}

fn probe(probe: &Probe, kind: &str, at: &str, found: &mut Found) {
    let handlers = [
        probe.exec.is_some(),
        probe.http_get.is_some(),
        probe.tcp_socket.is_some(),
        probe.grpc.is_some(),
    ];
    if handlers.iter().filter(|is_set| **is_set).count() != 1 {
        found.report(&PROBE_HANDLER, at.to_owned(), None);
    }
    for (field, number) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("periodSeconds", probe.period_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        if let Some(number) = number.filter(|number| *number < 0) {
            found.report(&PROBE_NUMBER, format!("{at}.{field}"), Some(&number));
        }
    }
    if kind != "readinessProbe"
        && let Some(threshold) = probe.success_threshold.filter(|it| *it > 1)
    {
        found.report(
            &PROBE_SUCCESS,
            format!("{at}.successThreshold"),
            Some(&threshold),
        );
    }
}

fn handlers(handler: &LifecycleHandler) -> usize {
    [
        handler.exec.is_some(),
        handler.http_get.is_some(),
        handler.tcp_socket.is_some(),
        handler.sleep.is_some(),
    ]
    .iter()
    .filter(|is_set| **is_set)
    .count()
}
