//! Bad input and trouble: every one ends in a clear condition or in convergence, and nothing of others is touched.
//!
//! Longer than 400 lines: every scenario shares one test bed, whose start takes longer than most of them.

use std::time::Duration;

use hosttask_tests::bed::{
    BedOptions, OperatorOptions, TestBed, condition, daemon, image, run_once, scenario, shared,
    with,
};
use hosttask_tests::fleet::FleetOptions;
use hosttask_tests::poll;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::OnceCell;

/// How long a step of a scenario may take on a slow machine.
const SOON: Duration = Duration::from_mins(6);

async fn bed() -> &'static TestBed {
    static BED: OnceCell<TestBed> = OnceCell::const_new();
    shared(&BED, || {
        let fleet = FleetOptions {
            nodes: 4,
            ..FleetOptions::default()
        };
        let operator = OperatorOptions::default().and(&["--qps=500", "--burst=1000"]);
        BedOptions {
            fleet,
            operators: vec![operator],
            ..BedOptions::default()
        }
    })
    .await
}

#[test]
fn a_namespace_that_forbids_host_process_pods_is_named_with_the_fix() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed
            .namespace_with_level("baseline", "baseline")
            .await
            .unwrap();
        tasks.apply(&daemon("agent", "app:v1")).await.unwrap();
        tasks.apply(&run_once("install", "setup:v1")).await.unwrap();
        for name in ["agent", "install"] {
            let denied = tasks
                .wait_ready(name, "False", "PodSecurityDenied", SOON)
                .await
                .unwrap();
            assert!(condition(&denied, "Stalled").is_some_and(|c| c.status == "True"));
            let message = &condition(&denied, "Ready").unwrap().message;
            assert!(
                message.contains("pod-security.kubernetes.io/enforce=privileged"),
                "{message}"
            );
            assert!(tasks.pods(name).await.unwrap().is_empty());
        }
        let label = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "privileged" } } });
        Api::<Namespace>::all(bed.client())
            .patch("baseline", &PatchParams::default(), &Patch::Merge(&label))
            .await
            .unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        tasks
            .wait_ready("install", "True", "AllNodesSucceeded", SOON)
            .await
            .unwrap();
    });
}

#[test]
fn pods_that_kubernetes_cannot_create_are_explained() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("quota").await.unwrap();
        let quota: ResourceQuota = serde_json::from_value(json!({
            "metadata": { "name": "none" }, "spec": { "hard": { "pods": "0" } },
        }))
        .unwrap();
        let quotas = Api::<ResourceQuota>::namespaced(bed.client(), "quota");
        quotas.create(&PostParams::default(), &quota).await.unwrap();
        tasks.apply(&daemon("agent", "app:v1")).await.unwrap();
        let stuck = tasks
            .wait_ready("agent", "False", "PodsNotCreated", SOON)
            .await
            .unwrap();
        let message = &condition(&stuck, "Ready").unwrap().message;
        assert!(message.contains("exceeded quota"), "{message}");
        quotas
            .delete("none", &DeleteParams::default())
            .await
            .unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", 2 * SOON)
            .await
            .unwrap();

        let template =
            json!({ "spec": { "template": { "spec": { "serviceAccountName": "nobody" } } } });
        tasks
            .apply(&with(daemon("without-account", "app:v1"), &template))
            .await
            .unwrap();
        let stuck = tasks
            .wait_ready("without-account", "False", "PodsNotCreated", SOON)
            .await
            .unwrap();
        let message = &condition(&stuck, "Ready").unwrap().message;
        assert!(message.contains("nobody"), "{message}");
        let account = ServiceAccount {
            metadata: ObjectMeta {
                name: Some("nobody".into()),
                ..ObjectMeta::default()
            },
            ..ServiceAccount::default()
        };
        Api::namespaced(bed.client(), "quota")
            .create(&PostParams::default(), &account)
            .await
            .unwrap();
        tasks
            .wait_ready("without-account", "True", "RolloutComplete", 2 * SOON)
            .await
            .unwrap();
    });
}

#[test]
fn an_invalid_change_names_every_problem_and_leaves_the_last_good_children() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("invalid").await.unwrap();
        tasks.apply(&daemon("agent", "app:v1")).await.unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        let before = Api::<DaemonSet>::namespaced(bed.client(), "invalid")
            .get("agent")
            .await
            .unwrap()
            .metadata
            .resource_version;
        let pods = tasks.pods("agent").await.unwrap().len();
        let bad = json!({ "spec": { "template": { "spec": {
            "containers": [{ "name": "main", "image": "app:v2", "volumeMounts": [{ "name": "nowhere", "mountPath": "/x" }] }],
            "runtimeClassName": "runhcs-wcow-hypervisor",
        }}}});
        tasks.change("agent", &bad).await.unwrap();
        let stalled = tasks
            .wait_ready("agent", "False", "InvalidSpec", SOON)
            .await
            .unwrap();
        let summary = &condition(&stalled, "Ready").unwrap().message;
        assert!(summary.starts_with("2 problems"), "{summary}");
        let message = &condition(&stalled, "Validated").unwrap().message;
        assert!(
            message.contains("volumeMounts[0]") && message.contains("nowhere"),
            "{message}"
        );
        assert!(
            message.contains("runtimeClassName") && message.contains("hypervisor"),
            "{message}"
        );
        assert!(condition(&stalled, "Validated").is_some_and(|c| c.status == "False"));
        let after = Api::<DaemonSet>::namespaced(bed.client(), "invalid")
            .get("agent")
            .await
            .unwrap()
            .metadata
            .resource_version;
        assert_eq!(
            (after, tasks.pods("agent").await.unwrap().len()),
            (before, pods)
        );
        tasks
            .change(
                "agent",
                &with(
                    image("app:v3"),
                    &json!({ "spec": { "template": { "spec": { "runtimeClassName": null } } } }),
                ),
            )
            .await
            .unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
    });
}

#[test]
fn a_child_that_admission_refuses_is_reported_and_nothing_is_half_applied() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("admission").await.unwrap();
        let policy = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: no-v2 }
spec:
  matchConstraints:
    resourceRules: [{ apiGroups: [apps, batch], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [daemonsets, jobs] }]
    namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: admission } }
  validations: [{ expression: "object.spec.template.spec.containers.all(c, c.image != 'app:v2')", message: "app:v2 is withdrawn" }]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: no-v2 }
spec: { policyName: no-v2, validationActions: [Deny] }
"#;
        let file = bed.cluster.dir().join("no-v2.yaml");
        std::fs::write(&file, policy).unwrap();
        let applied = bed
            .cluster
            .kubectl(&["apply", "-f", &file.to_string_lossy()])
            .await
            .unwrap();
        assert!(applied.is_success(), "{}", applied.stderr);
        tasks.apply(&daemon("agent", "app:v1")).await.unwrap();
        let stable = tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap()
            .stable_revision;
        // A policy takes effect a moment after it was created.
        poll::until("the policy to be enforced", SOON, || async {
            let dry = [
                "create",
                "job",
                "probe",
                "-n",
                "admission",
                "--image=app:v2",
                "--dry-run=server",
            ];
            let denied = bed
                .cluster
                .kubectl(&dry)
                .await
                .map_err(|error| error.to_string())?;
            if denied.is_success() {
                Err("still accepted".to_owned())
            } else {
                Ok(())
            }
        })
        .await
        .unwrap();
        tasks.change("agent", &image("app:v2")).await.unwrap();
        let refused = tasks
            .wait_ready("agent", "False", "ChildRejected", SOON)
            .await
            .unwrap();
        let message = &condition(&refused, "Ready").unwrap().message;
        assert!(message.contains("app:v2 is withdrawn"), "{message}");
        assert_eq!(refused.stable_revision, stable);
        assert!(
            tasks
                .pods("agent")
                .await
                .unwrap()
                .iter()
                .all(|pod| pod.metadata.deletion_timestamp.is_none())
        );
        tasks.change("agent", &image("app:v3")).await.unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
    });
}

#[test]
fn somebody_elses_daemon_set_of_the_same_name_is_neither_adopted_nor_touched() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("conflict").await.unwrap();
        let theirs: DaemonSet = serde_json::from_value(json!({
            "metadata": { "name": "agent" },
            "spec": {
                "selector": { "matchLabels": { "app": "theirs" } },
                "template": {
                    "metadata": { "labels": { "app": "theirs" } },
                    "spec": { "nodeSelector": { "none": "none" }, "containers": [{ "name": "main", "image": "theirs:v1" }] },
                },
            },
        }))
        .unwrap();
        let sets = Api::<DaemonSet>::namespaced(bed.client(), "conflict");
        sets.create(&PostParams::default(), &theirs).await.unwrap();
        // Wait until the DaemonSet controller has written its status, so that the versions below can be compared.
        let before = poll::until("their DaemonSet to settle", SOON, || async {
            let found = sets.get("agent").await.map_err(|error| error.to_string())?;
            let seen = found
                .status
                .as_ref()
                .and_then(|status| status.observed_generation);
            if seen == found.metadata.generation {
                Ok(found)
            } else {
                Err(format!("{seen:?}"))
            }
        })
        .await
        .unwrap();
        tasks.apply(&daemon("agent", "app:v1")).await.unwrap();
        let conflict = tasks
            .wait_ready("agent", "False", "NameConflict", SOON)
            .await
            .unwrap();
        assert!(
            condition(&conflict, "Ready")
                .unwrap()
                .message
                .contains("agent"),
            "{conflict:?}"
        );
        let after = sets.get("agent").await.unwrap();
        assert_eq!(
            after.metadata.resource_version,
            before.metadata.resource_version
        );
        sets.delete("agent", &DeleteParams::default())
            .await
            .unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", 3 * SOON)
            .await
            .unwrap();
    });
}

#[test]
fn the_longest_names_and_a_huge_template_work_or_are_refused_clearly() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("sizes").await.unwrap();
        let name = "n".repeat(253);
        tasks.apply(&daemon(&name, "app:v1")).await.unwrap();
        tasks
            .wait_ready(&name, "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        let once = "o".repeat(253);
        tasks.apply(&run_once(&once, "setup:v1")).await.unwrap();
        tasks
            .wait_ready(&once, "True", "AllNodesSucceeded", SOON)
            .await
            .unwrap();

        // A template of about 1 MB runs; one that etcd cannot hold is refused when it is applied, and nothing is stored.
        let sized = |name: &str, variables: usize| {
            let variable =
                |index| json!({ "name": format!("BLOB_{index}"), "value": "x".repeat(32_000) });
            let env: Vec<_> = (0..variables).map(variable).collect();
            with(
                daemon(name, "app:v1"),
                &json!({ "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": "app:v1", "env": env }] } } } }),
            )
        };
        tasks.apply(&sized("huge", 31)).await.unwrap();
        tasks
            .wait_ready("huge", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        assert!(tasks.apply(&sized("too-large", 60)).await.is_err());
        assert!(tasks.api().get_opt("too-large").await.unwrap().is_none());
    });
}

#[test]
fn a_thousand_tasks_at_once_all_settle() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("thousand").await.unwrap();
        let nowhere = json!({ "spec": { "placement": { "nodeSelector": { "matchLabels": { "pool": "none" } } } } });
        for index in 0..1000 {
            tasks
                .apply(&with(
                    daemon(&format!("task-{index:04}"), "app:v1"),
                    &nowhere,
                ))
                .await
                .unwrap();
        }
        poll::until(
            "a thousand settled tasks",
            Duration::from_mins(5),
            || async {
                let all = tasks
                    .api()
                    .list(&ListParams::default())
                    .await
                    .map_err(|error| error.to_string())?;
                let settled = all.items.iter().filter(|task| {
                    let status = task.status.clone().unwrap_or_default();
                    condition(&status, "Ready")
                        .is_some_and(|c| c.reason == "NoMatchingNodes" && c.status == "True")
                });
                let settled = settled.count();
                if settled == 1000 {
                    Ok(())
                } else {
                    Err(format!("{settled} of 1000"))
                }
            },
        )
        .await
        .unwrap();
    });
}

#[test]
fn deleting_a_namespace_with_tasks_hangs_nothing() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("leaving").await.unwrap();
        tasks.apply(&daemon("agent", "app:v1")).await.unwrap();
        tasks.apply(&run_once("install", "setup:v1")).await.unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        let namespaces = Api::<Namespace>::all(bed.client());
        namespaces
            .delete("leaving", &DeleteParams::default())
            .await
            .unwrap();
        poll::until("the namespace to be gone", SOON, || async {
            match namespaces
                .get_opt("leaving")
                .await
                .map_err(|error| error.to_string())?
            {
                None => Ok(()),
                Some(left) => Err(format!("{:?}", left.status)),
            }
        })
        .await
        .unwrap();
    });
}
