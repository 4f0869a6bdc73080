//! Least privilege: the operator runs with exactly the shipped rules. A verb too few fails here, and so does a verb never used.
//!
//! Longer than 400 lines: every scenario shares one test bed, whose start takes longer than most of them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the scenario"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use hosttask_crds::WindowsHostNode;
use hosttask_operator::revision::job_name;
use hosttask_tests::bed::{
    BedOptions, OperatorOptions, Tasks, TestBed, daemon, image, run_once, scenario, with,
};
use hosttask_tests::cluster::AuditEvent;
use hosttask_tests::fleet::{FleetOptions, Script};
use hosttask_tests::poll;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, ResourceQuota, Secret};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

/// How long a step of a scenario may take on a slow machine.
const SOON: Duration = Duration::from_mins(2);
const OPERATOR: &str = "system:serviceaccount:hosttask-system:hosttask-operator";

/// What is granted although no request of this suite shows it.
const UNSEEN: [(&str, &str, &str); 3] = [
    // The OwnerReferencesPermissionEnforcement admission plugin asks for it because of our owner references.
    ("hosttask.dev", "windowshosttasks/finalizers", "update"),
    // An apply (PATCH) that creates the object is authorized as a create as well; without it every first apply fails.
    ("apps", "daemonsets", "create"),
    // Asked only when a watch is silent for 30 s about a pod that was deleted; `observe`'s own tests show the request.
    ("", "pods", "get"),
];
/// An image that no registry knows.
const SCRIPT: &str = r#"
rules:
- { image: "*:missing", behaviour: { image: Missing } }
"#;

/// A permission: group, resource (with its subresource) and verb.
type Permission = (String, String, String);

fn granted(rules: &[PolicyRule]) -> BTreeSet<Permission> {
    let mut all = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    all.insert((group.clone(), resource.clone(), verb.clone()));
                }
            }
        }
    }
    all
}

fn asked(event: &AuditEvent) -> Permission {
    let part = if event.subresource.is_empty() {
        String::new()
    } else {
        format!("/{}", event.subresource)
    };
    (
        event.group.clone(),
        format!("{}{part}", event.resource),
        event.verb.clone(),
    )
}

/// Everything the operator can do, once.
async fn everything(bed: &TestBed) {
    let tasks = bed.namespace("rbac").await.unwrap();
    inputs(bed, &tasks).await;
    revisions(&tasks).await;
    waves(bed, &tasks).await;
    stuck(bed, &tasks).await;
    refusals(bed, &tasks).await;
    squatted(bed, &tasks).await;
    ledgers(bed, &tasks).await;
}

/// Inputs, with and without access to Secrets.
async fn inputs(bed: &TestBed, tasks: &Tasks) {
    let maps = Api::<ConfigMap>::namespaced(bed.client(), "rbac");
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some("settings".into()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    maps.create(&PostParams::default(), &map).await.unwrap();
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some("token".into()),
            ..ObjectMeta::default()
        },
        ..Secret::default()
    };
    Api::namespaced(bed.client(), "rbac")
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let inputs = json!({ "spec": {
        "inputs": { "configMaps": [{ "name": "settings" }], "secrets": [{ "name": "token" }] },
        "rollout": { "maxUnavailable": "100%", "revisionHistoryLimit": 1 },
    }});
    tasks
        .apply(&with(daemon("agent", "app:v0"), &inputs))
        .await
        .unwrap();
    tasks
        .wait_ready("agent", "False", "SecretAccessDenied", SOON)
        .await
        .unwrap();
    let bound = bed.allow_secrets("rbac").await.unwrap();
    assert!(bound.is_success(), "{}", bound.stderr);
    tasks
        .wait_ready("agent", "True", "RolloutComplete", SOON)
        .await
        .unwrap();
}

/// Revisions: new ones, an old one again, one beyond the history limit, and a pause that reads the stable one back.
async fn revisions(tasks: &Tasks) {
    // New revisions, an old one again (its number changes), one beyond the history limit (it is deleted).
    for version in ["app:v1", "app:v0", "app:v2"] {
        let before = tasks.status("agent").await.unwrap().update_revision;
        tasks.change("agent", &image(version)).await.unwrap();
        tasks
            .wait("agent", version, SOON, |s| {
                s.update_revision != before && s.stable_revision == s.update_revision
            })
            .await
            .unwrap();
    }
    // A pause with another content: the stable revision's content is read back.
    tasks
        .change(
            "agent",
            &with(
                image("app:v3"),
                &json!({ "spec": { "rollout": { "paused": true } } }),
            ),
        )
        .await
        .unwrap();
    tasks
        .wait_ready("agent", "Unknown", "Paused", SOON)
        .await
        .unwrap();
}

/// Waves that are taken back: their DaemonSets go, and their pods are handed over. A task that depends on another: its pods
/// wait behind a gate until it is lifted.
async fn waves(bed: &TestBed, tasks: &Tasks) {
    bed.label_node(&bed.fleet.nodes()[0], &json!({ "ring": "canary" }))
        .await
        .unwrap();
    let canary =
        json!([{ "name": "canary", "nodeSelector": { "matchLabels": { "ring": "canary" } } }]);
    let waved = json!({ "spec": { "rollout": { "maxUnavailable": "100%", "waves": canary } } });
    tasks
        .apply(&with(daemon("waved", "app:v1"), &waved))
        .await
        .unwrap();
    tasks
        .wait_ready("waved", "True", "RolloutComplete", SOON)
        .await
        .unwrap();
    let mut before = uids(tasks, "waved").await;
    tasks
        .change(
            "waved",
            &json!({ "spec": { "rollout": { "waves": null } } }),
        )
        .await
        .unwrap();
    let sets = Api::<DaemonSet>::namespaced(bed.client(), "rbac");
    poll::until("one DaemonSet with all the pods", SOON, || async {
        let canary = sets.get_opt("waved-canary").await;
        let all = sets.get_opt("waved").await;
        let (canary, all) = (
            canary.map_err(|e| e.to_string())?,
            all.map_err(|e| e.to_string())?,
        );
        let scheduled = all
            .and_then(|set| set.status)
            .map_or(0, |status| status.current_number_scheduled);
        if canary.is_none() && scheduled == 3 {
            Ok(())
        } else {
            Err(format!("{scheduled} scheduled, canary: {canary:?}"))
        }
    })
    .await
    .unwrap();
    let mut after = uids(tasks, "waved").await;
    before.sort();
    after.sort();
    assert_eq!(after, before, "no pod was started anew");

    let dependent = json!({ "spec": { "dependsOn": [{ "name": "waved" }] } });
    tasks
        .apply(&with(daemon("dependent", "app:v1"), &dependent))
        .await
        .unwrap();
    tasks
        .wait_ready("dependent", "True", "RolloutComplete", SOON)
        .await
        .unwrap();
}

async fn uids(tasks: &Tasks, name: &str) -> Vec<Option<String>> {
    let pods = tasks.pods(name).await.unwrap();
    pods.into_iter().map(|pod| pod.metadata.uid).collect()
}

/// Jobs that cannot start are deleted when there is something better to run.
async fn stuck(bed: &TestBed, tasks: &Tasks) {
    let every = json!({ "spec": { "rollout": { "maxUnavailable": "100%" } } });
    tasks
        .apply(&with(run_once("stuck", "setup:missing"), &every))
        .await
        .unwrap();
    let pods = Api::<Pod>::namespaced(bed.client(), "rbac");
    let selector = ListParams::default().labels("hosttask.dev/task=stuck");
    poll::until("pods whose image cannot be pulled", SOON, || async {
        let pods = pods
            .list(&selector)
            .await
            .map_err(|error| error.to_string())?;
        let text = serde_json::to_string(&pods.items).unwrap_or_default();
        if text.matches("ImagePull").count() >= 3 {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await
    .unwrap();
    tasks.change("stuck", &image("setup:v1")).await.unwrap();
    tasks
        .wait_ready("stuck", "True", "AllNodesSucceeded", SOON)
        .await
        .unwrap();
}

/// Run-once work, then what Kubernetes or somebody else refuses.
async fn refusals(bed: &TestBed, tasks: &Tasks) {
    // Run-once work and the ledger.
    tasks.apply(&run_once("install", "setup:v1")).await.unwrap();
    tasks
        .wait_ready("install", "True", "AllNodesSucceeded", SOON)
        .await
        .unwrap();
    // A quota: the events of the child are read.
    let quota: ResourceQuota = serde_json::from_value(
        json!({ "metadata": { "name": "none" }, "spec": { "hard": { "pods": "0" } } }),
    )
    .unwrap();
    Api::namespaced(bed.client(), "rbac")
        .create(&PostParams::default(), &quota)
        .await
        .unwrap();
    tasks.apply(&daemon("refused", "app:v1")).await.unwrap();
    tasks
        .wait_ready("refused", "False", "PodsNotCreated", SOON)
        .await
        .unwrap();
    Api::<ResourceQuota>::namespaced(bed.client(), "rbac")
        .delete("none", &DeleteParams::default())
        .await
        .unwrap();
    // A Job of ours that exists already under its name, and a DaemonSet of somebody else.
    let theirs: DaemonSet = serde_json::from_value(json!({
        "metadata": { "name": "taken" },
        "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "nodeSelector": { "none": "none" }, "containers": [{ "name": "c", "image": "i" }] } } },
    }))
    .unwrap();
    Api::namespaced(bed.client(), "rbac")
        .create(&PostParams::default(), &theirs)
        .await
        .unwrap();
    tasks.apply(&daemon("taken", "app:v1")).await.unwrap();
    tasks
        .wait_ready("taken", "False", "NameConflict", SOON)
        .await
        .unwrap();
}

/// A Job of somebody else under the name that ours will have: it is looked at and left alone.
async fn squatted(bed: &TestBed, tasks: &Tasks) {
    let suspended = json!({ "spec": { "suspend": true } });
    tasks
        .apply(&with(run_once("squatted", "setup:v1"), &suspended))
        .await
        .unwrap();
    let revision = tasks
        .wait_ready("squatted", "Unknown", "Suspended", SOON)
        .await
        .unwrap()
        .update_revision
        .unwrap();
    let uid = tasks
        .api()
        .get("squatted")
        .await
        .unwrap()
        .metadata
        .uid
        .unwrap();
    let node = Api::<Node>::all(bed.client())
        .get(&bed.fleet.nodes()[1])
        .await
        .unwrap();
    let machine = format!(
        "{}/{}",
        node.metadata.uid.unwrap(),
        node.status.unwrap().node_info.unwrap().system_uuid
    );
    let job: Job = serde_json::from_value(json!({
        "metadata": { "name": job_name("squatted", &uid, &revision, &machine, 1) },
        "spec": { "suspend": true, "template": { "spec": { "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }] } } },
    }))
    .unwrap();
    Api::namespaced(bed.client(), "rbac")
        .create(&PostParams::default(), &job)
        .await
        .unwrap();
    tasks
        .change(
            "squatted",
            &json!({ "spec": { "suspend": false, "rollout": { "maxUnavailable": "100%" } } }),
        )
        .await
        .unwrap();
    tasks
        .wait_ready("squatted", "False", "NameConflict", SOON)
        .await
        .unwrap();
}

/// Ledger objects that lose their owner, and a node that is re-imaged.
async fn ledgers(bed: &TestBed, tasks: &Tasks) {
    // A ledger object that lost its owner gets it again.
    let ledgers = Api::<WindowsHostNode>::all(bed.client());
    let name = &bed.fleet.nodes()[2];
    ledgers
        .patch(
            name,
            &PatchParams::default(),
            &Patch::Merge(json!({ "metadata": { "ownerReferences": null } })),
        )
        .await
        .unwrap();
    poll::until(
        "the ledger object to have its owner again",
        SOON,
        || async {
            let owners = ledgers
                .get(name)
                .await
                .map_err(|error| error.to_string())?
                .metadata
                .owner_references
                .unwrap_or_default();
            if owners.len() == 1 {
                Ok(())
            } else {
                Err(format!("{owners:?}"))
            }
        },
    )
    .await
    .unwrap();
    // A node that is re-imaged with a new Node object: the ledger object gets its new owner.
    let node = bed.fleet.nodes()[0].clone();
    bed.fleet
        .reimage_node(&node, Duration::ZERO, true)
        .await
        .unwrap();
    tasks
        .wait(
            "install",
            "the re-imaged node to be served again",
            SOON,
            |s| s.healthy_nodes == Some(3) && s.pending_nodes == Some(0),
        )
        .await
        .unwrap();
    let label =
        json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "baseline" } } });
    Api::<k8s_openapi::api::core::v1::Namespace>::all(bed.client())
        .patch("rbac", &PatchParams::default(), &Patch::Merge(&label))
        .await
        .unwrap();
    tasks.delete("agent").await.unwrap();
}
#[test]
fn the_shipped_rules_are_exactly_what_the_operator_uses() {
    scenario(async {
        let fleet = FleetOptions {
            nodes: 3,
            script: Script::parse(SCRIPT).unwrap(),
            ..FleetOptions::default()
        };
        let bed = TestBed::start(BedOptions {
            fleet,
            operators: vec![OperatorOptions::default()],
            ..BedOptions::default()
        })
        .await
        .unwrap();
        everything(&bed).await;
        let cluster = Api::<ClusterRole>::all(bed.client());
        let mut rules = granted(
            &cluster
                .get("hosttask-operator")
                .await
                .unwrap()
                .rules
                .unwrap_or_default(),
        );
        rules.extend(granted(
            &cluster
                .get("hosttask-secret-reader")
                .await
                .unwrap()
                .rules
                .unwrap_or_default(),
        ));
        let role = Api::<Role>::namespaced(bed.client(), "hosttask-system")
            .get("hosttask-operator")
            .await
            .unwrap();
        rules.extend(granted(&role.rules.unwrap_or_default()));

        let events: Vec<_> = bed
            .cluster
            .audit()
            .unwrap()
            .into_iter()
            .filter(|e| e.user == OPERATOR && !e.resource.is_empty())
            .collect();
        let refused: BTreeSet<_> = events
            .iter()
            .filter(|e| e.code == 403 && e.resource != "secrets" && !e.dry_run)
            .map(asked)
            .collect();
        assert!(refused.is_empty(), "a verb too few: {refused:?}");
        let used: BTreeSet<_> = events.iter().filter(|e| e.code != 403).map(asked).collect();
        let never: BTreeSet<_> = rules
            .difference(&used)
            .filter(|(group, resource, verb)| !UNSEEN.contains(&(group, resource, verb)))
            .collect();
        assert!(
            never.is_empty(),
            "verbs that are granted and never used: {never:#?}"
        );
        assert!(
            used.is_subset(&rules),
            "{:?}",
            used.difference(&rules).collect::<Vec<_>>()
        );
    });
}
