//! `build`: a valid task becomes Kubernetes objects. Pure and infallible; everything the operator adds stands here.
//!
//! Nothing is copied from the task's own labels and annotations: tools such as Flux, Argo CD and kubectl track objects by
//! them, and would take a child for an object of theirs and prune it.

mod daemon_set;
mod job;
mod pod;

use std::collections::BTreeMap;

use hosttask_crds::{GROUP, VERSION, label};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;

use crate::desired::Desired;
use crate::revision::label_value;

pub use daemon_set::{applied, daemon_set};
pub use job::job;
pub(crate) use pod::{account_name, inject};

/// Builds the `ControllerRevision` that keeps the task's content. Its name is the revision, see
/// [`crate::revision::name`]; the number orders the history, the newest highest.
pub fn controller_revision(desired: &Desired, name: &str, number: i64) -> ControllerRevision {
    ControllerRevision {
        metadata: metadata(desired, name, labels(desired, name), BTreeMap::new()),
        data: RawExtension(desired.content.raw.clone()),
        revision: Some(number),
    }
}

fn labels(desired: &Desired, revision: &str) -> BTreeMap<String, String> {
    [
        (label::MANAGED_BY, label::MANAGED_BY_HOSTTASK.to_owned()),
        (label::TASK, label_value(&desired.key.name)),
        (label::TASK_UID, desired.uid.clone()),
        (label::REVISION, revision.to_owned()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

fn metadata(
    desired: &Desired,
    name: &str,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(desired.key.namespace.clone()),
        labels: Some(labels),
        annotations: (!annotations.is_empty()).then_some(annotations),
        owner_references: Some(vec![OwnerReference {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: "WindowsHostTask".to_owned(),
            name: desired.key.name.clone(),
            uid: desired.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests;
