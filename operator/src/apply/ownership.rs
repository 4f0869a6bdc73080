//! Whose an object is that already has the name we want to use.

use hosttask_crds::label::MACHINE;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;

/// Whether the Job that exists is the one we wanted: of the same task, and for the same machine. A node that was re-imaged
/// has the same name and is another machine, on which the program has not run.
pub(super) fn is_same_work(found: &Job, wanted: &Job) -> bool {
    found.annotations().get(MACHINE) == wanted.annotations().get(MACHINE)
        && controller(&found.metadata) == controller(&wanted.metadata)
}

/// The UID of what controls an object.
pub(super) fn controller(metadata: &ObjectMeta) -> Option<&str> {
    controlling(metadata).map(|owner| owner.uid.as_str())
}

/// Who controls an object, for people.
pub(super) fn owner(metadata: &ObjectMeta) -> String {
    controlling(metadata).map_or_else(
        || "nobody".to_owned(),
        |owner| format!("{} {}", owner.kind, owner.name),
    )
}

fn controlling(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(task_uid: &str, controls: bool, machine: &str) -> Job {
        let owner = json!({
            "apiVersion": "hosttask.dev/v1alpha1", "kind": "WindowsHostTask", "name": "t",
            "uid": task_uid, "controller": controls,
        });
        serde_json::from_value(json!({
            "metadata": { "name": "j", "annotations": { MACHINE: machine }, "ownerReferences": [owner] },
        }))
        .unwrap()
    }

    #[test]
    fn a_job_is_the_one_we_wanted_only_for_the_same_task_and_machine() {
        let wanted = job("task-1", true, "machine-1");
        assert!(is_same_work(&wanted, &wanted));
        for (found, why) in [
            (job("task-2", true, "machine-1"), "another task"),
            (job("task-1", true, "machine-2"), "a re-imaged node"),
            (job("task-1", false, "machine-1"), "owned, not controlled"),
            (Job::default(), "nobody's"),
        ] {
            assert!(!is_same_work(&found, &wanted), "{why}");
        }
    }

    #[test]
    fn the_controller_is_named_by_kind_and_name() {
        assert_eq!(owner(&job("u", true, "").metadata), "WindowsHostTask t");
        assert_eq!(owner(&job("u", false, "").metadata), "nobody");
    }
}
