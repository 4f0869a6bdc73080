//! The pod template as the user wrote it: what contradicts the task, and what is said elsewhere in it.

use std::collections::BTreeMap;
use std::fmt::Display;

use hosttask_crds::GROUP;
use hosttask_crds::label::{INHERIT_USER, OS};
use hosttask_crds::task::Mode;
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};

use super::container::HOST_PROCESS;
use super::found::{Found, rules};
use super::pod::{HOST_NETWORK, OS_NAME};
use super::{identity, name};
use crate::desired::Identity;

rules! {
    NODE_NAME: Hosttask, "spec.template.spec.nodeName",
        "would put every pod on one node, past the scheduler; remove it and use spec.placement.nodeSelector with kubernetes.io/hostname";
    NODE_SELECTOR: Hosttask, "spec.template.spec.nodeSelector",
        "must be said in spec.placement.nodeSelector.matchLabels; move it there (kubernetes.io/os: windows can be left out)";
    AFFINITY: Hosttask, "spec.template.spec.affinity",
        "must be said in spec.placement.nodeSelector.matchExpressions; move it there, each node runs exactly one pod";
    TOLERATIONS: Hosttask, "spec.template.spec.tolerations",
        "must be said in spec.placement.tolerate or spec.placement.tolerations; move them there";
    SPREAD: Hosttask, "spec.template.spec.topologySpreadConstraints",
        "could keep a pod from its node for ever; remove it, each node runs exactly one pod";
    RESTART_DAEMON: ApiServer, "spec.template.spec.restartPolicy",
        "must be Always with mode Daemon; remove it, the operator sets it";
    RESTART_RUN_ONCE: ApiServer, "spec.template.spec.restartPolicy",
        "must be Never with mode RunOnce; remove it and use spec.job.retry";
    DEADLINE: ApiServer, "spec.template.spec.activeDeadlineSeconds",
        "is refused in DaemonSets and would hide the result of Jobs; remove it, with mode RunOnce use spec.job.activeDeadlineSeconds";
    FINALIZERS: Hosttask, "spec.template.metadata.finalizers",
        "would keep pods from being deleted, and so the rollout from going on; remove it";
    RESERVED: Hosttask, "spec.template.metadata.{labels,annotations}",
        "is under hosttask.dev/, which belongs to the operator; remove it";
    LABEL_KEY: ApiServer, "spec.template.metadata.{labels,annotations}",
        "is no key; use `name` or `domain/name`, letters, digits, dashes, dots and underscores";
    LABEL_VALUE: ApiServer, "spec.template.metadata.labels",
        "is no label value; use at most 63 letters, digits, dashes, dots and underscores, or an annotation";
    OS_LABEL: Kubelet, "spec.template.metadata.labels[kubernetes.io/os]",
        "makes the kubelet refuse the pod, as the node has the value windows; remove it";
    INHERIT: Hosttask, "spec.template.metadata.annotations[microsoft.com/hostprocess-inherit-user]",
        "decides the account, which is said in spec.runAs; remove it and set spec.runAs to {account: Inherit}";
    DISABLED: Hcsshim, "spec.template.metadata.annotations[microsoft.com/disable-hostprocess-container]",
        "forbids what the task is; remove it";
}

/// The annotation by which hcsshim refuses HostProcess containers.
const DISABLE: &str = "microsoft.com/disable-hostprocess-container";

/// Judges what only the user's own words can break: in the finished pod the operator has replaced them.
pub(super) fn template(
    template: &PodTemplateSpec,
    mode: Option<Mode>,
    run_as: Option<&Identity>,
    found: &mut Found,
) {
    metadata(template, run_as, found);
    let Some(spec) = &template.spec else { return };
    scheduling(spec, found);
    if let Some(mode) = mode {
        restart_policy(spec, mode, found);
    }
    if let Some(it) = &spec.active_deadline_seconds {
        found.report(
            &DEADLINE,
            "spec.template.spec.activeDeadlineSeconds".to_owned(),
            Some(it),
        );
    }
    if spec.host_network == Some(false) {
        found.report(
            &HOST_NETWORK,
            "spec.template.spec.hostNetwork".to_owned(),
            Some(&false),
        );
    }
    if let Some(os) = spec.os.as_ref().filter(|os| os.name != "windows") {
        found.report(
            &OS_NAME,
            "spec.template.spec.os.name".to_owned(),
            Some(&os.name),
        );
    }
    accounts(spec, run_as, found);
}

fn metadata(template: &PodTemplateSpec, run_as: Option<&Identity>, found: &mut Found) {
    let Some(metadata) = &template.metadata else {
        return;
    };
    if metadata
        .finalizers
        .as_ref()
        .is_some_and(|it| !it.is_empty())
    {
        found.report(
            &FINALIZERS,
            "spec.template.metadata.finalizers".to_owned(),
            None,
        );
    }
    let empty = BTreeMap::new();
    let labels = metadata.labels.as_ref().unwrap_or(&empty);
    let annotations = metadata.annotations.as_ref().unwrap_or(&empty);
    for (kind, map) in [("labels", labels), ("annotations", annotations)] {
        for (key, value) in map {
            let field = format!("spec.template.metadata.{kind}[{key}]");
            // Annotation keys may be in capitals.
            let form = if kind == "annotations" {
                key.to_lowercase()
            } else {
                key.clone()
            };
            if !name::is_qualified(&form) {
                found.report(&LABEL_KEY, field.clone(), Some(key));
            }
            if is_reserved(key) {
                found.report(&RESERVED, field.clone(), Some(key));
            }
            if kind == "labels" && !name::is_label_value(value) {
                found.report(&LABEL_VALUE, field, Some(value));
            }
        }
    }
    if let Some(value) = labels.get(OS).filter(|value| *value != "windows") {
        found.report(
            &OS_LABEL,
            format!("spec.template.metadata.labels[{OS}]"),
            Some(value),
        );
    }
    let inherits = run_as == Some(&Identity::Account(hosttask_crds::task::Account::Inherit));
    if let Some(value) = annotations.get(INHERIT_USER).filter(|_| !inherits) {
        let field = format!("spec.template.metadata.annotations[{INHERIT_USER}]");
        found.report(&INHERIT, field, Some(value));
    }
    if let Some(value) = annotations.get(DISABLE) {
        let field = format!("spec.template.metadata.annotations[{DISABLE}]");
        found.report(&DISABLED, field, Some(value));
    }
}

fn is_reserved(key: &str) -> bool {
    key.split_once('/').is_some_and(|(domain, _)| {
        domain == GROUP
            || domain
                .strip_suffix(GROUP)
                .is_some_and(|it| it.ends_with('.'))
    })
}

fn scheduling(spec: &PodSpec, found: &mut Found) {
    if let Some(it) = spec.node_name.as_ref().filter(|it| !it.is_empty()) {
        found.report(
            &NODE_NAME,
            "spec.template.spec.nodeName".to_owned(),
            Some(it),
        );
    }
    let selector = spec
        .node_selector
        .iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value}"));
    let selector = selector.collect::<Vec<_>>().join(",");
    if !selector.is_empty() {
        let field = "spec.template.spec.nodeSelector".to_owned();
        found.report(&NODE_SELECTOR, field, Some(&selector));
    }
    for (field, rule, is_set) in [
        ("affinity", &AFFINITY, spec.affinity.is_some()),
        (
            "tolerations",
            &TOLERATIONS,
            spec.tolerations.as_ref().is_some_and(|it| !it.is_empty()),
        ),
        (
            "topologySpreadConstraints",
            &SPREAD,
            spec.topology_spread_constraints
                .as_ref()
                .is_some_and(|it| !it.is_empty()),
        ),
    ] {
        if is_set {
            found.report(rule, format!("spec.template.spec.{field}"), None);
        }
    }
}

fn restart_policy(spec: &PodSpec, mode: Mode, found: &mut Found) {
    let (rule, expected) = match mode {
        Mode::Daemon => (&RESTART_DAEMON, "Always"),
        Mode::RunOnce | Mode::Scheduled => (&RESTART_RUN_ONCE, "Never"),
    };
    if let Some(policy) = spec.restart_policy.as_ref().filter(|it| *it != expected) {
        let value: Option<&dyn Display> = Some(policy);
        found.report(rule, "spec.template.spec.restartPolicy".to_owned(), value);
    }
}

fn accounts(spec: &PodSpec, run_as: Option<&Identity>, found: &mut Found) {
    const AT: &str = "spec.template.spec";
    let options = spec
        .security_context
        .as_ref()
        .and_then(|it| it.windows_options.as_ref());
    if options.and_then(|it| it.host_process) == Some(false) {
        let field = format!("{AT}.securityContext.windowsOptions.hostProcess");
        found.report(&HOST_PROCESS, field, Some(&false));
    }
    // Without a valid runAs there is nothing to compare with.
    let Some(run_as) = run_as else { return };
    if let Some(it) = options.and_then(|it| it.run_as_user_name.as_ref()) {
        let field = format!("{AT}.securityContext.windowsOptions.runAsUserName");
        identity::of_pod(it, run_as, &field, found);
    }
    let init = spec.init_containers.as_deref().unwrap_or_default();
    for (list, containers) in [("initContainers", init), ("containers", &spec.containers)] {
        for (index, container) in containers.iter().enumerate() {
            let options = container
                .security_context
                .as_ref()
                .and_then(|it| it.windows_options.as_ref());
            if let Some(it) = options.and_then(|it| it.run_as_user_name.as_ref()) {
                let field =
                    format!("{AT}.{list}[{index}].securityContext.windowsOptions.runAsUserName");
                identity::within(it, run_as, &field, found);
            }
        }
    }
}
