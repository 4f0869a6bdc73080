//! A finished pod: what the API server, kubelet, containerd and hcsshim demand of HostProcess pods.

use std::collections::BTreeSet;
use std::fmt::Display;

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::container::{self, HOST_PROCESS, HostPorts, NON_ROOT};
use super::found::{Found, rules};
use super::{identity, name, probe, volume};

rules! {
    OS_NAME: ApiServer, "spec.template.spec.os.name", "must be windows; remove it, the operator sets it";
    HOST_NETWORK: ApiServer, "spec.template.spec.hostNetwork",
        "must be true, as HostProcess containers have no network of their own; remove it, the operator sets it";
    LINUX_POD_FIELD: ApiServer, "spec.template.spec.{hostIPC,hostPID,hostUsers,resources,shareProcessNamespace}",
        "is for Linux and refused in a Windows pod, whatever its value; remove it";
    LINUX_POD_CONTEXT: ApiServer, "spec.template.spec.securityContext.{appArmorProfile,fsGroup,fsGroupChangePolicy,runAsGroup,runAsUser,seLinuxChangePolicy,seLinuxOptions,seccompProfile,supplementalGroups,supplementalGroupsPolicy,sysctls}",
        "is for Linux and refused in a Windows pod, whatever its value; remove it";
    CONTAINERS: ApiServer, "spec.template.spec.containers", "must have at least one container";
    NAME_TWICE: ApiServer, "…containers[*].name",
        "is the name of another container of the pod as well; rename one";
    EPHEMERAL: ApiServer, "spec.template.spec.ephemeralContainers",
        "cannot be set in a template; remove it and use `kubectl debug` on the running pod";
    RUNTIME_CLASS: Documented, "spec.template.spec.runtimeClassName",
        "runs containers in a virtual machine, where there is no host to be a process of; remove it";
    HOSTNAME_OVERRIDE: ApiServer, "spec.template.spec.hostnameOverride",
        "cannot be set on the host network; remove it";
    DNS_POLICY: ApiServer, "spec.template.spec.dnsPolicy",
        "must be ClusterFirst, Default or None; on Windows the node's resolver answers in any case";
    DNS_HOST_NET: Documented, "spec.template.spec.dnsPolicy",
        "is not available on Windows, where pods on the host network use the node's resolver; remove it and use addresses instead of Service names";
    DNS_SERVERS: ApiServer, "spec.template.spec.dnsConfig.nameservers",
        "must have at least one address with dnsPolicy None";
    SERVICE_ACCOUNT: ApiServer, "spec.template.spec.{serviceAccountName,serviceAccount}",
        "is no name of a service account; use lower-case letters, digits, dashes and dots";
    GRACE_PERIOD: ApiServer, "spec.template.spec.terminationGracePeriodSeconds",
        "must not be negative; use 0 to stop at once";
}

/// Judges a finished pod spec; `at` is the path of the spec.
pub(super) fn pod(spec: &PodSpec, at: &str, found: &mut Found) {
    if spec.os.as_ref().is_none_or(|os| os.name != "windows") {
        let value = spec.os.as_ref().map(|os| &os.name as &dyn Display);
        found.report(&OS_NAME, format!("{at}.os.name"), value);
    }
    if spec.host_network != Some(true) {
        let value = spec.host_network.as_ref().map(|it| it as &dyn Display);
        found.report(&HOST_NETWORK, format!("{at}.hostNetwork"), value);
    }
    fields(spec, at, found);
    security(spec, at, found);
    containers(spec, at, found);
}

fn fields(spec: &PodSpec, at: &str, found: &mut Found) {
    for (field, is_set) in [
        ("hostIPC", spec.host_ipc.is_some()),
        ("hostPID", spec.host_pid.is_some()),
        ("hostUsers", spec.host_users.is_some()),
        ("resources", spec.resources.is_some()),
        (
            "shareProcessNamespace",
            spec.share_process_namespace.is_some(),
        ),
    ] {
        if is_set {
            found.report(&LINUX_POD_FIELD, format!("{at}.{field}"), None);
        }
    }
    if spec
        .ephemeral_containers
        .as_ref()
        .is_some_and(|it| !it.is_empty())
    {
        found.report(&EPHEMERAL, format!("{at}.ephemeralContainers"), None);
    }
    // Only the name is known here; the common ones of Hyper-V isolation say what they are.
    if let Some(class) = &spec.runtime_class_name {
        let lower = class.to_lowercase().replace('-', "");
        if lower.contains("hyperv") || lower.contains("hypervisor") {
            found.report(
                &RUNTIME_CLASS,
                format!("{at}.runtimeClassName"),
                Some(class),
            );
        }
    }
    if let Some(it) = &spec.hostname_override {
        found.report(
            &HOSTNAME_OVERRIDE,
            format!("{at}.hostnameOverride"),
            Some(it),
        );
    }
    for (field, it) in [
        ("serviceAccountName", &spec.service_account_name),
        ("serviceAccount", &spec.service_account),
    ] {
        if let Some(it) = it
            .as_ref()
            .filter(|it| !it.is_empty() && !name::is_subdomain(it))
        {
            found.report(&SERVICE_ACCOUNT, format!("{at}.{field}"), Some(it));
        }
    }
    if let Some(it) = spec.termination_grace_period_seconds.filter(|it| *it < 0) {
        found.report(
            &GRACE_PERIOD,
            format!("{at}.terminationGracePeriodSeconds"),
            Some(&it),
        );
    }
    dns(spec, at, found);
}

fn dns(spec: &PodSpec, at: &str, found: &mut Found) {
    let Some(policy) = &spec.dns_policy else {
        return;
    };
    match policy.as_str() {
        "ClusterFirst" | "Default" => {}
        "None" => {
            let servers = spec
                .dns_config
                .as_ref()
                .and_then(|it| it.nameservers.as_ref());
            if servers.is_none_or(Vec::is_empty) {
                found.report(&DNS_SERVERS, format!("{at}.dnsConfig.nameservers"), None);
            }
        }
        "ClusterFirstWithHostNet" => {
            found.report(&DNS_HOST_NET, format!("{at}.dnsPolicy"), Some(policy));
        }
        _ => found.report(&DNS_POLICY, format!("{at}.dnsPolicy"), Some(policy)),
    }
}

fn security(spec: &PodSpec, at: &str, found: &mut Found) {
    let Some(context) = &spec.security_context else {
        return;
    };
    let at = format!("{at}.securityContext");
    container::linux_fields(
        serde_json::to_value(context).ok(),
        &LINUX_POD_CONTEXT,
        &at,
        found,
    );
    if context.run_as_non_root == Some(true) {
        found.report(&NON_ROOT, format!("{at}.runAsNonRoot"), Some(&true));
    }
    let Some(options) = &context.windows_options else {
        return;
    };
    let at = format!("{at}.windowsOptions");
    if options.host_process == Some(false) {
        found.report(&HOST_PROCESS, format!("{at}.hostProcess"), Some(&false));
    }
    if let Some(it) = &options.run_as_user_name {
        identity::account(it, &format!("{at}.runAsUserName"), found);
    }
    container::managed_account(options, &at, found);
}

fn containers(spec: &PodSpec, at: &str, found: &mut Found) {
    if spec.containers.is_empty() {
        found.report(&CONTAINERS, format!("{at}.containers"), None);
    }
    let volumes = volume::volumes(spec.volumes.as_deref().unwrap_or_default(), at, found);
    let pod_is_host_process = spec
        .security_context
        .as_ref()
        .and_then(|it| it.windows_options.as_ref()?.host_process)
        .unwrap_or(false);
    let mut names = BTreeSet::new();
    let mut host_ports = HostPorts::new();
    let init = spec.init_containers.as_deref().unwrap_or_default();
    for (list, is_init, all) in [
        ("initContainers", true, init),
        ("containers", false, spec.containers.as_slice()),
    ] {
        for (index, it) in all.iter().enumerate() {
            let at = format!("{at}.{list}[{index}]");
            if !names.insert(&it.name) {
                found.report(&NAME_TWICE, format!("{at}.name"), Some(&it.name));
            }
            if !pod_is_host_process && own_host_process(it).is_none() {
                let field = format!("{at}.securityContext.windowsOptions.hostProcess");
                found.report(&HOST_PROCESS, field, None);
            }
            container::container(it, is_init, &at, found);
            container::ports(it, is_init, &mut host_ports, &at, found);
            probe::probes(it, is_init, &at, found);
            volume::mounts(it, &volumes, &at, found);
        }
    }
}

fn own_host_process(container: &Container) -> Option<bool> {
    container
        .security_context
        .as_ref()?
        .windows_options
        .as_ref()?
        .host_process
}
