//! Strays: daemon pods that nothing controls and whose task is gone.
//!
//! A task that is deleted while its pods are handed over from one DaemonSet to another leaves pods that no controller knows.
//! Kubernetes never collects them, so the operator does.

use std::collections::BTreeSet;

use hosttask_crds::task::WindowsHostTask;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Preconditions};
use kube::{Client, ResourceExt};

/// How many tasks one page of a list shows.
const PAGE: u32 = 500;

/// A daemon pod that nothing controls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Orphan {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The UID of its task.
    pub task_uid: String,
}

/// Which of these pods belong to no task. `tasks`: the UIDs of all tasks of their namespaces.
pub fn strays(orphans: Vec<Orphan>, tasks: &BTreeSet<String>) -> Vec<Orphan> {
    let is_stray = |orphan: &Orphan| !tasks.contains(&orphan.task_uid);
    orphans.into_iter().filter(is_stray).collect()
}

/// The UIDs of the tasks of a namespace, asked of the API server: a task that the watch cannot decode exists all the same.
pub async fn task_uids(client: &Client, namespace: &str) -> Result<BTreeSet<String>, kube::Error> {
    let api: Api<WindowsHostTask> = Api::namespaced(client.clone(), namespace);
    let (mut uids, mut params) = (BTreeSet::new(), ListParams::default().limit(PAGE));
    loop {
        let page = api.list_metadata(&params).await?;
        let token = page.metadata.continue_.clone().unwrap_or_default();
        uids.extend(page.items.iter().filter_map(ResourceExt::uid));
        if token.is_empty() {
            return Ok(uids);
        }
        params = params.continue_token(&token);
    }
}

/// Deletes a pod, and no other of its name. That it is gone already is success.
pub async fn delete(client: &Client, stray: &Orphan) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &stray.namespace);
    let only = DeleteParams::default().preconditions(Preconditions {
        uid: Some(stray.uid.clone()),
        resource_version: None,
    });
    match api.delete(&stray.name, &only).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        result => result.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pod_whose_task_does_not_exist_is_a_stray() {
        let orphan = |name: &str, task: &str| Orphan {
            namespace: "a".into(),
            name: name.into(),
            uid: format!("uid-{name}"),
            task_uid: task.into(),
        };
        let all = vec![orphan("kept", "t1"), orphan("left", "t2")];
        let found = strays(all, &BTreeSet::from(["t1".to_owned()]));
        assert_eq!(found, [orphan("left", "t2")]);
    }
}
