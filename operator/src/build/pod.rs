//! The pod template of both kinds of children: what the user wrote and what every HostProcess pod needs.

use std::collections::BTreeMap;

use hosttask_crds::label::INHERIT_USER;
use hosttask_crds::task::{Account, Mode};
use k8s_openapi::api::core::v1::{
    Affinity, Container, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm,
    PodOS, PodTemplateSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::desired::Identity;

/// The account as `runAsUserName` spells it; none for Inherit, which is an annotation.
///
/// The domain is in capitals because hcsshim compares it case-sensitively when it chooses the service logon.
pub(crate) fn account_name(identity: &Identity) -> Option<&str> {
    match identity {
        Identity::Account(Account::System) => Some(r"NT AUTHORITY\SYSTEM"),
        Identity::Account(Account::LocalService) => Some(r"NT AUTHORITY\LocalService"),
        Identity::Account(Account::NetworkService) => Some(r"NT AUTHORITY\NetworkService"),
        Identity::Account(Account::Inherit) => None,
        Identity::LocalGroup(group) => Some(group),
    }
}

/// Fills in what makes the template a HostProcess pod. Scheduling and labels are added by the child it becomes part of.
pub(crate) fn inject(template: &PodTemplateSpec, mode: Mode, run_as: &Identity) -> PodTemplateSpec {
    let written = template.metadata.clone().unwrap_or_default();
    let mut annotations = written.annotations.unwrap_or_default();
    if *run_as == Identity::Account(Account::Inherit) {
        annotations.insert(INHERIT_USER.to_owned(), "true".to_owned());
    }
    let mut spec = template.spec.clone().unwrap_or_default();
    spec.os = Some(PodOS {
        name: "windows".to_owned(),
    });
    spec.host_network = Some(true);
    spec.restart_policy = Some(restart_policy(mode).to_owned());
    let options = spec
        .security_context
        .get_or_insert_default()
        .windows_options
        .get_or_insert_default();
    options.host_process = Some(true);
    options.run_as_user_name = account_name(run_as).map(str::to_owned);
    for container in spec
        .init_containers
        .iter_mut()
        .flatten()
        .chain(&mut spec.containers)
    {
        complete(container);
    }
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: written.labels,
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(spec),
    }
}

/// The restart policy that a mode needs. Jobs need Never: a pod failure policy is accepted with nothing else.
fn restart_policy(mode: Mode) -> &'static str {
    match mode {
        Mode::Daemon => "Always",
        Mode::RunOnce | Mode::Scheduled => "Never",
    }
}

fn complete(container: &mut Container) {
    // The log tail becomes the message of the failure in the status.
    container
        .termination_message_policy
        .get_or_insert_with(|| "FallbackToLogsOnError".to_owned());
    for port in container.ports.iter_mut().flatten() {
        // On the host network every port is a host port. Kubernetes would fill it in on the pod only.
        if port.host_port.is_none_or(|host_port| host_port == 0) {
            port.host_port = Some(port.container_port);
        }
    }
}

/// Puts labels and annotations on a template, over those of the user.
pub(super) fn mark(
    template: &mut PodTemplateSpec,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
) {
    let metadata = template.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().extend(labels);
    if !annotations.is_empty() {
        metadata
            .annotations
            .get_or_insert_default()
            .extend(annotations);
    }
}

/// A required node affinity: the node must meet all requirements, on labels and on the node's fields, of one alternative.
pub(super) fn node_affinity(
    alternatives: impl IntoIterator<Item = (Vec<NodeSelectorRequirement>, Vec<NodeSelectorRequirement>)>,
) -> Affinity {
    let term = |(expressions, fields): (Vec<_>, Vec<_>)| NodeSelectorTerm {
        match_expressions: (!expressions.is_empty()).then_some(expressions),
        match_fields: (!fields.is_empty()).then_some(fields),
    };
    Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: alternatives.into_iter().map(term).collect(),
            }),
            ..NodeAffinity::default()
        }),
        ..Affinity::default()
    }
}
