//! The DaemonSet of a Daemon task.

use std::collections::BTreeMap;

use hosttask_crds::label::{APPLIED, DEFAULT_WAVE, DEPENDENCY_GATE, LAYOUT, TASK_UID, WAVE};
use hosttask_crds::task::Mode;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy};
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, PodSchedulingGate};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{labels, metadata, pod};
use crate::desired::{Content, Desired, Requirement};
use crate::placement::scope;
use crate::revision;

/// Builds the DaemonSet of one wave at one revision. `wave` is its position in `desired.waves`.
///
/// The content is an argument of its own: nodes of later waves have the stable content with today's placement.
pub fn daemon_set(desired: &Desired, wave: usize, content: &Content, revision: &str) -> DaemonSet {
    let wave_name = desired
        .waves
        .get(wave)
        .map_or(DEFAULT_WAVE, |wave| wave.name.as_str());
    let mut labels = labels(desired, revision);
    labels.insert(WAVE.to_owned(), wave_name.to_owned());
    let mut template = pod::inject(&content.template, Mode::Daemon, &content.run_as);
    pod::mark(&mut template, labels.clone(), BTreeMap::new());
    let spec = template.spec.get_or_insert_default();
    let alternatives = scope(&desired.placement, &desired.waves, wave);
    spec.affinity = Some(pod::node_affinity(
        alternatives
            .iter()
            .map(|requirements| (expressions(requirements), Vec::new())),
    ));
    spec.tolerations = Some(desired.placement.tolerations.clone()).filter(|all| !all.is_empty());
    if !desired.depends_on.is_empty() {
        spec.scheduling_gates
            .get_or_insert_default()
            .push(PodSchedulingGate {
                name: DEPENDENCY_GATE.to_owned(),
            });
    }
    let name = revision::daemon_set_name(&desired.key.name, wave_name);
    let annotations = BTreeMap::from([(LAYOUT.to_owned(), revision::layout(&desired.waves))]);
    let mut set = DaemonSet {
        metadata: metadata(desired, &name, labels, annotations),
        spec: DaemonSetSpec {
            selector: LabelSelector {
                match_labels: Some(BTreeMap::from([
                    (TASK_UID.to_owned(), desired.uid.clone()),
                    (WAVE.to_owned(), wave_name.to_owned()),
                ])),
                match_expressions: None,
            },
            template,
            // The operator replaces the pods, in its order and within its budget; nothing moves while it is down.
            update_strategy: Some(DaemonSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..DaemonSetUpdateStrategy::default()
            }),
            // Our own ControllerRevisions are the history; the controller's own would only double it.
            revision_history_limit: Some(0),
            ..DaemonSetSpec::default()
        },
        ..DaemonSet::default()
    };
    // A DaemonSet always serializes; were it not so, an empty hash would only mean one apply too many.
    let hash = serde_json::to_value(&set)
        .map(|value| revision::digest(&value))
        .unwrap_or_default();
    set.metadata
        .annotations
        .get_or_insert_default()
        .insert(APPLIED.to_owned(), hash);
    set
}

/// The hash of what a DaemonSet was built as; empty on one that the operator did not build.
pub fn applied(set: &DaemonSet) -> &str {
    set.metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(APPLIED))
        .map_or("", String::as_str)
}

fn expressions(requirements: &[Requirement]) -> Vec<NodeSelectorRequirement> {
    requirements
        .iter()
        .map(|requirement| NodeSelectorRequirement {
            key: requirement.key.clone(),
            operator: requirement.operator.as_str().to_owned(),
            values: (!requirement.values.is_empty()).then(|| requirement.values.clone()),
        })
        .collect()
}
