//! One container: name, image, environment, ports, resources and security context.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ResourceRequirements, SecurityContext,
    WindowsSecurityContextOptions,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;

use super::found::{Found, Rule, rules};
use super::{identity, name, quantity};

rules! {
    NAME: ApiServer, "…containers[*].name",
        "is no container name; use at most 63 lower-case letters, digits and dashes";
    IMAGE: ApiServer, "…containers[*].image", "must name an image: letters, digits and . _ - / : @ only, such as registry.example.com/agent:1.2";
    PULL_POLICY: ApiServer, "…containers[*].imagePullPolicy", "must be Always, IfNotPresent or Never";
    MESSAGE_POLICY: ApiServer, "…containers[*].terminationMessagePolicy",
        "must be File or FallbackToLogsOnError; remove it for the latter";
    INIT_RESTART: ApiServer, "…initContainers[*].restartPolicy",
        "must be Always, which makes a sidecar of it; else remove it";
    ENV_NAME: ApiServer, "…containers[*].env[*].name",
        "is no name of a variable; use printable ASCII without `=`";
    ENV_TWICE: ApiServer, "…containers[*].env[*].name", "is set twice, which server-side apply refuses; remove one";
    ENV_SOURCE: ApiServer, "…containers[*].env[*].valueFrom",
        "must say exactly one source, and no value beside it";
    PORT_NUMBER: ApiServer, "…containers[*].ports[*].{containerPort,hostPort}", "must be from 1 to 65535";
    PORT_HOST: ApiServer, "…containers[*].ports[*].hostPort",
        "must be the containerPort, as the pod is on the host network; remove it";
    PORT_PROTOCOL: ApiServer, "…containers[*].ports[*].protocol", "must be TCP, UDP or SCTP";
    PORT_NAME: ApiServer, "…containers[*].ports[*].name",
        "is no port name; use at most 15 lower-case letters, digits and dashes, at least one letter";
    PORT_NAME_TWICE: ApiServer, "…containers[*].ports[*].name",
        "is the name of another port of the container as well; rename one";
    PORT_TWICE: ApiServer, "…containers[*].ports[*].containerPort",
        "is listed twice in the pod, and every port is a port of the host; remove one";
    QUANTITY: ApiServer, "…resources.{limits,requests}",
        "is no quantity; use a number that is not negative, such as 500m or 200Mi";
    REQUEST_OVER_LIMIT: ApiServer, "…resources.requests", "is more than the limit; lower it or raise the limit";
    HUGE_PAGES: Documented, "…resources.{limits,requests}", "is not available on Windows: huge pages; remove it";
    HOST_PROCESS: ApiServer, "…securityContext.windowsOptions.hostProcess",
        "must be true in all containers of a task; remove it, the operator sets it for the pod";
    GMSA: Hcsshim, "…securityContext.windowsOptions.{gmsaCredentialSpecName,gmsaCredentialSpec}",
        "has no effect on HostProcess containers: a group managed service account is never logged on; remove it";
    NON_ROOT: Documented, "…securityContext.runAsNonRoot",
        "must not be true for a HostProcess container; remove it and choose an account with few rights in spec.runAs";
    LINUX_FIELD: ApiServer, "…containers[*].securityContext.{allowPrivilegeEscalation,appArmorProfile,capabilities,privileged,procMount,readOnlyRootFilesystem,runAsGroup,runAsUser,seLinuxOptions,seccompProfile}",
        "is for Linux and refused in a Windows pod, whatever its value; remove it";
}

/// Judges one container of a pod whose volumes are known.
pub(super) fn container(container: &Container, is_init: bool, at: &str, found: &mut Found) {
    if !name::is_label(&container.name) {
        found.report(&NAME, format!("{at}.name"), Some(&container.name));
    }
    let image = container.image.as_deref().unwrap_or_default();
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    if image.is_empty() || !image.bytes().all(is_legal) {
        found.report(&IMAGE, format!("{at}.image"), Some(&image));
    }
    for (field, rule, value, known) in [
        (
            "imagePullPolicy",
            &PULL_POLICY,
            &container.image_pull_policy,
            &["Always", "IfNotPresent", "Never"][..],
        ),
        (
            "terminationMessagePolicy",
            &MESSAGE_POLICY,
            &container.termination_message_policy,
            &["File", "FallbackToLogsOnError"],
        ),
    ] {
        if let Some(value) = value.as_ref().filter(|it| !known.contains(&it.as_str())) {
            found.report(rule, format!("{at}.{field}"), Some(value));
        }
    }
    if let Some(policy) = container
        .restart_policy
        .as_ref()
        .filter(|it| is_init && *it != "Always")
    {
        found.report(&INIT_RESTART, format!("{at}.restartPolicy"), Some(policy));
    }
    environment(container.env.as_deref().unwrap_or_default(), at, found);
    if let Some(it) = &container.resources {
        resources(it, &format!("{at}.resources"), found);
    }
    if let Some(it) = &container.security_context {
        security(it, &format!("{at}.securityContext"), found);
    }
}

fn environment(variables: &[EnvVar], at: &str, found: &mut Found) {
    let mut names = BTreeSet::new();
    for (index, variable) in variables.iter().enumerate() {
        let at = format!("{at}.env[{index}]");
        if !name::is_variable(&variable.name) {
            found.report(&ENV_NAME, format!("{at}.name"), Some(&variable.name));
        }
        if !names.insert(&variable.name) {
            found.report(&ENV_TWICE, format!("{at}.name"), Some(&variable.name));
        }
        let has_value = variable.value.as_ref().is_some_and(|it| !it.is_empty());
        if variable
            .value_from
            .as_ref()
            .is_some_and(|it| has_value || sources(it) != 1)
        {
            found.report(&ENV_SOURCE, format!("{at}.valueFrom"), Some(&variable.name));
        }
    }
}

fn sources(source: &EnvVarSource) -> usize {
    [
        source.config_map_key_ref.is_some(),
        source.field_ref.is_some(),
        source.file_key_ref.is_some(),
        source.resource_field_ref.is_some(),
        source.secret_key_ref.is_some(),
    ]
    .iter()
    .filter(|is_set| **is_set)
    .count()
}

/// The ports that the containers of a pod hold on the node, as (port, protocol, address).
pub(super) type HostPorts = BTreeSet<(i32, String, String)>;

/// Judges the ports of one container beside those of the containers before it. The ports of init containers that end
/// are free again, and do not collide with others.
pub(super) fn ports(
    container: &Container,
    is_init: bool,
    taken: &mut HostPorts,
    at: &str,
    found: &mut Found,
) {
    let mut own = HostPorts::new();
    let mut names = BTreeSet::new();
    let ends = is_init && container.restart_policy.as_deref() != Some("Always");
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let at = format!("{at}.ports[{index}]");
        let number = port.container_port;
        if !(1..=65_535).contains(&number) {
            found.report(&PORT_NUMBER, format!("{at}.containerPort"), Some(&number));
        }
        if let Some(host_port) = port.host_port.filter(|it| *it != number) {
            found.report(&PORT_HOST, format!("{at}.hostPort"), Some(&host_port));
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        if !["TCP", "UDP", "SCTP"].contains(&protocol) {
            found.report(&PORT_PROTOCOL, format!("{at}.protocol"), Some(&protocol));
        }
        if let Some(it) = &port.name {
            if !name::is_port_name(it) {
                found.report(&PORT_NAME, format!("{at}.name"), Some(it));
            }
            if !names.insert(it) {
                found.report(&PORT_NAME_TWICE, format!("{at}.name"), Some(it));
            }
        }
        let address = port.host_ip.clone().unwrap_or_default();
        let key = (number, protocol.to_owned(), address);
        let list = if ends { &mut own } else { &mut *taken };
        if !list.insert(key) {
            found.report(&PORT_TWICE, format!("{at}.containerPort"), Some(&number));
        }
    }
}

/// Judges the resources of a container or of the pod.
fn resources(resources: &ResourceRequirements, at: &str, found: &mut Found) {
    let empty = BTreeMap::new();
    let limits = resources.limits.as_ref().unwrap_or(&empty);
    let requests = resources.requests.as_ref().unwrap_or(&empty);
    let limit_values = quantities(limits, &format!("{at}.limits"), found);
    let request_values = quantities(requests, &format!("{at}.requests"), found);
    for (resource, request) in request_values {
        if limit_values
            .get(resource)
            .is_some_and(|limit| *limit < request)
        {
            let shown = requests.get(resource).map_or("", |it| it.0.as_str());
            found.report(
                &REQUEST_OVER_LIMIT,
                format!("{at}.requests.{resource}"),
                Some(&shown),
            );
        }
    }
}

fn quantities<'a>(
    list: &'a BTreeMap<String, Quantity>,
    at: &str,
    found: &mut Found,
) -> BTreeMap<&'a str, i128> {
    let mut values = BTreeMap::new();
    for (resource, Quantity(text)) in list {
        let field = format!("{at}.{resource}");
        if resource.starts_with("hugepages-") {
            found.report(&HUGE_PAGES, field, Some(text));
        } else if let Some(value) = quantity::parse(text) {
            values.insert(resource.as_str(), value);
        } else {
            found.report(&QUANTITY, field, Some(text));
        }
    }
    values
}

fn security(context: &SecurityContext, at: &str, found: &mut Found) {
    linux_fields(serde_json::to_value(context).ok(), &LINUX_FIELD, at, found);
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
    managed_account(options, &at, found);
}

/// Reports group managed service accounts: hcsshim never reads them for HostProcess containers.
pub(super) fn managed_account(
    options: &WindowsSecurityContextOptions,
    at: &str,
    found: &mut Found,
) {
    if let Some(it) = &options.gmsa_credential_spec_name {
        found.report(&GMSA, format!("{at}.gmsaCredentialSpecName"), Some(it));
    }
    if options.gmsa_credential_spec.is_some() {
        found.report(&GMSA, format!("{at}.gmsaCredentialSpec"), None);
    }
}

/// Reports every field of a security context but the two that mean something on Windows.
pub(super) fn linux_fields(context: Option<Value>, rule: &Rule, at: &str, found: &mut Found) {
    let Some(Value::Object(fields)) = context else {
        return;
    };
    for (field, value) in fields {
        if field != "windowsOptions" && field != "runAsNonRoot" {
            found.report(rule, format!("{at}.{field}"), Some(&value));
        }
    }
}
