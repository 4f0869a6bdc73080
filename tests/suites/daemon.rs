//! Daemon tasks on the real control plane: first rollout, updates within the budget, pause, inputs, undo, deletion.
//!
//! Longer than 400 lines: every scenario of the mode shares one test bed, whose start takes longer than most of them.
#![expect(clippy::unwrap_used, reason = "a failed step fails the scenario")]

use std::time::Duration;

use hosttask_tests::bed::{
    BedOptions, History, OperatorOptions, TestBed, condition, daemon, image, scenario, shared, with,
};
use hosttask_tests::fleet::{FleetOptions, Script};
use hosttask_tests::poll;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Secret};
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::OnceCell;

/// How long a step of a scenario may take on a slow machine.
const SOON: Duration = Duration::from_mins(2);
/// How many nodes the fleet has.
const NODES: i32 = 12;

const SCRIPT: &str = r#"
rules:
- { image: "*:crash", behaviour: { crashLoop: { code: 1, log: "fatal: no such pipe" } } }
- { image: "*:never-ready", behaviour: { neverReady: true } }
- { image: "*:missing", behaviour: { image: Missing } }
"#;

async fn bed() -> &'static TestBed {
    static BED: OnceCell<TestBed> = OnceCell::const_new();
    shared(&BED, || {
        let fleet = FleetOptions {
            nodes: 12,
            script: Script::parse(SCRIPT).unwrap(),
            ..FleetOptions::default()
        };
        let operators = vec![OperatorOptions::default()];
        BedOptions {
            fleet,
            operators,
            ..BedOptions::default()
        }
    })
    .await
}

#[test]
fn one_apply_reaches_every_node_and_kubectl_wait_does_not_return_early() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("first-apply").await.unwrap();
        tasks.apply(&daemon("agent", "app:v1")).await.unwrap();
        let waited = bed
            .cluster
            .kubectl(&[
                "wait",
                "--for=condition=Ready",
                "wht/agent",
                "-n",
                "first-apply",
                "--timeout=120s",
            ])
            .await
            .unwrap();
        assert!(waited.is_success(), "{}", waited.stderr);
        let status = tasks.status("agent").await.unwrap();
        assert_eq!(
            (
                status.desired_nodes,
                status.updated_nodes,
                status.healthy_nodes
            ),
            (Some(NODES), Some(NODES), Some(NODES))
        );
        assert_eq!(status.stable_revision, status.update_revision);
        let pods = tasks.pods("agent").await.unwrap();
        assert_eq!(pods.len(), 12);
        let spec = pods[0].spec.as_ref().unwrap();
        assert_eq!(spec.host_network, Some(true));
        assert_eq!(spec.os.as_ref().unwrap().name, "windows");
        let windows = spec
            .security_context
            .as_ref()
            .unwrap()
            .windows_options
            .as_ref()
            .unwrap();
        assert_eq!(windows.host_process, Some(true));
        assert_eq!(
            windows.run_as_user_name.as_deref(),
            Some("NT AUTHORITY\\SYSTEM")
        );
    });
}

#[test]
fn an_update_replaces_every_pod_and_never_disturbs_more_nodes_than_the_budget() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("budget").await.unwrap();
        tasks
            .apply(&with(
                daemon("agent", "app:v1"),
                &json!({ "spec": { "rollout": { "maxUnavailable": 3 } } }),
            ))
            .await
            .unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        let history = History::start(bed.client(), "budget", "agent", 12);
        poll::until("the witness to see the whole fleet", SOON, || async {
            history
                .samples()
                .was_complete
                .then_some(())
                .ok_or_else(|| format!("{:?}", history.samples()))
        })
        .await
        .unwrap();
        tasks.change("agent", &image("app:v2")).await.unwrap();
        let status = tasks
            .wait("agent", "the update to complete", SOON, |s| {
                s.updated_nodes == Some(NODES)
                    && condition(s, "Ready").is_some_and(|c| c.status == "True")
            })
            .await
            .unwrap();
        assert_eq!(status.stable_revision, status.update_revision);
        let seen = history.samples();
        assert_eq!(seen.pods_seen, 24, "every pod is replaced once");
        assert!(seen.most_unavailable <= 3, "{seen:?}");
        assert!(seen.most_unavailable >= 2, "the budget is used: {seen:?}");
        assert_eq!(seen.most_live_pods_on_a_node, 1);
    });
}

/// kubernetes/kubernetes#123232: with a DaemonSet's own rolling update, three bad updates leave nothing running.
#[test]
fn three_bad_updates_in_a_row_leave_all_but_the_budget_serving() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("bad-updates").await.unwrap();
        tasks.apply(&daemon("agent", "app:v1")).await.unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        let history = History::start(bed.client(), "bad-updates", "agent", 12);
        for bad in ["one:crash", "two:never-ready", "three:crash"] {
            let before = tasks.status("agent").await.unwrap().update_revision;
            tasks.change("agent", &image(bad)).await.unwrap();
            let status = tasks
                .wait("agent", "the bad revision to reach a node", SOON, |s| {
                    s.update_revision != before
                        && s.updated_nodes == Some(1)
                        && s.pending_nodes == Some(NODES - 1)
                })
                .await
                .unwrap();
            assert!(
                condition(&status, "Ready").is_some_and(|c| c.status == "False"),
                "{status:?}"
            );
        }
        let status = tasks
            .wait("agent", "the crash loop to be reported", SOON, |s| {
                s.failed_nodes == Some(1)
            })
            .await
            .unwrap();
        assert_eq!(status.healthy_nodes, Some(NODES - 1));
        let failure = &status.failures[0];
        assert_eq!(failure.reason, "CrashLoop");
        assert!(
            history.samples().most_unavailable <= 1,
            "{:?}",
            history.samples()
        );
        let related = Api::<Event>::namespaced(bed.client(), "bad-updates")
            .list(&ListParams::default())
            .await
            .unwrap();
        assert!(
            related
                .items
                .iter()
                .any(|event| event.reason.as_deref() == Some("NodeFailed")),
            "an event names the node"
        );
        // The way out is a good spec: the broken node is mended first, then the others.
        tasks.change("agent", &image("app:v3")).await.unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        assert!(
            history.samples().most_unavailable <= 1,
            "{:?}",
            history.samples()
        );
    });
}

#[test]
fn changing_anything_but_the_content_restarts_nothing() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("no-restart").await.unwrap();
        tasks.apply(&daemon("agent", "app:v1")).await.unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        let uids = |pods: Vec<k8s_openapi::api::core::v1::Pod>| {
            let mut uids: Vec<_> = pods
                .into_iter()
                .filter_map(|pod| pod.metadata.uid)
                .collect();
            uids.sort();
            uids
        };
        let before = uids(tasks.pods("agent").await.unwrap());
        let patch = json!({ "spec": {
            "placement": { "tolerations": [{ "key": "maintenance", "operator": "Exists" }] },
            "rollout": { "maxUnavailable": "50%", "minReadySeconds": 1 },
            "health": { "minHealthy": "90%" },
        }});
        let changed = tasks.change("agent", &patch).await.unwrap();
        tasks
            .wait("agent", "the change to be observed", SOON, |s| {
                s.observed_generation == changed.metadata.generation
                    && condition(s, "Ready").is_some_and(|c| c.status == "True")
            })
            .await
            .unwrap();
        let daemon_sets = Api::<DaemonSet>::namespaced(bed.client(), "no-restart");
        poll::until("the DaemonSet to carry the toleration", SOON, || async {
            let found = daemon_sets
                .get("agent")
                .await
                .map_err(|error| error.to_string())?;
            let template = serde_json::to_string(&found.spec).unwrap_or_default();
            if template.contains("maintenance") {
                Ok(())
            } else {
                Err(template)
            }
        })
        .await
        .unwrap();
        assert_eq!(uids(tasks.pods("agent").await.unwrap()), before);
    });
}

#[test]
fn a_changed_config_map_rolls_the_task_out_again() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("inputs").await.unwrap();
        let config = with(
            daemon("agent", "app:v1"),
            &json!({ "spec": {
                "inputs": { "configMaps": [{ "name": "settings" }] },
                "rollout": { "maxUnavailable": "100%" },
            }}),
        );
        tasks.apply(&config).await.unwrap();
        let missing = tasks
            .wait_ready("agent", "False", "InputMissing", SOON)
            .await
            .unwrap();
        assert!(
            condition(&missing, "Ready")
                .unwrap()
                .message
                .contains("settings"),
            "{missing:?}"
        );
        assert!(condition(&missing, "Stalled").is_some());
        let maps = Api::<ConfigMap>::namespaced(bed.client(), "inputs");
        let map = |value: &str| ConfigMap {
            metadata: ObjectMeta {
                name: Some("settings".into()),
                ..ObjectMeta::default()
            },
            data: Some([("level".to_owned(), value.to_owned())].into()),
            ..ConfigMap::default()
        };
        maps.create(&PostParams::default(), &map("info"))
            .await
            .unwrap();
        let first = tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap()
            .update_revision;
        maps.patch(
            "settings",
            &PatchParams::default(),
            &Patch::Merge(map("debug")),
        )
        .await
        .unwrap();
        let second = tasks
            .wait("agent", "the second revision to complete", SOON, |s| {
                s.update_revision != first && s.stable_revision == s.update_revision
            })
            .await
            .unwrap();
        assert_eq!(second.updated_nodes, Some(NODES));
    });
}

#[test]
fn a_secret_input_without_permission_names_the_role_binding_and_works_once_it_exists() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("secret-inputs").await.unwrap();
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some("token".into()),
                ..ObjectMeta::default()
            },
            string_data: Some([("t".to_owned(), "1".to_owned())].into()),
            ..Secret::default()
        };
        Api::namespaced(bed.client(), "secret-inputs")
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
        let task = with(
            daemon("agent", "app:v1"),
            &json!({ "spec": { "inputs": { "secrets": [{ "name": "token" }] } } }),
        );
        tasks.apply(&task).await.unwrap();
        let denied = tasks
            .wait_ready("agent", "False", "SecretAccessDenied", SOON)
            .await
            .unwrap();
        let message = &condition(&denied, "Ready").unwrap().message;
        assert!(message.contains("kubectl create rolebinding"), "{message}");
        assert!(tasks.pods("agent").await.unwrap().is_empty());
        let bound = bed.allow_secrets("secret-inputs").await.unwrap();
        assert!(bound.is_success(), "{}", bound.stderr);
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
    });
}

#[test]
fn a_paused_task_keeps_the_stable_revision_until_it_is_resumed() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("paused").await.unwrap();
        tasks.apply(&daemon("agent", "app:v1")).await.unwrap();
        let stable = tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap()
            .stable_revision;
        let patch = with(
            image("app:v2"),
            &json!({ "spec": { "rollout": { "paused": true, "maxUnavailable": "100%" } } }),
        );
        tasks.change("agent", &patch).await.unwrap();
        let paused = tasks
            .wait_ready("agent", "Unknown", "Paused", SOON)
            .await
            .unwrap();
        assert_eq!(
            (paused.stable_revision.clone(), paused.updated_nodes),
            (stable.clone(), Some(0))
        );
        assert_ne!(paused.update_revision, stable);
        // A pod that goes away meanwhile comes back at the stable revision.
        let victim = tasks.pods("agent").await.unwrap()[0]
            .metadata
            .name
            .clone()
            .unwrap();
        let pods = Api::<k8s_openapi::api::core::v1::Pod>::namespaced(bed.client(), "paused");
        pods.delete(&victim, &kube::api::DeleteParams::default())
            .await
            .unwrap();
        poll::until("twelve ready pods of the stable revision", SOON, || async {
            let found = tasks
                .pods("agent")
                .await
                .map_err(|error| error.to_string())?;
            let at_stable = found.iter().filter(|pod| {
                pod.metadata
                    .labels
                    .as_ref()
                    .and_then(|l| l.get(hosttask_crds::label::REVISION))
                    == stable.as_ref()
            });
            let names: Vec<_> = at_stable
                .filter_map(|pod| pod.metadata.name.clone())
                .collect();
            if names.len() == 12 && !names.contains(&victim) {
                Ok(())
            } else {
                Err(format!("{names:?}"))
            }
        })
        .await
        .unwrap();
        tasks
            .change(
                "agent",
                &json!({ "spec": { "rollout": { "paused": false } } }),
            )
            .await
            .unwrap();
        let done = tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        assert_eq!(done.stable_revision, paused.update_revision);
    });
}

#[test]
fn a_suspended_task_is_reported_and_left_alone() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("suspended").await.unwrap();
        tasks
            .apply(&with(
                daemon("agent", "app:v1"),
                &json!({ "spec": { "suspend": true } }),
            ))
            .await
            .unwrap();
        tasks
            .wait_ready("agent", "Unknown", "Suspended", SOON)
            .await
            .unwrap();
        assert!(tasks.pods("agent").await.unwrap().is_empty());
        tasks
            .change("agent", &json!({ "spec": { "suspend": false } }))
            .await
            .unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
    });
}

#[test]
fn applying_an_old_spec_again_reuses_its_revision() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("undo").await.unwrap();
        let wide = json!({ "spec": { "rollout": { "maxUnavailable": "100%", "revisionHistoryLimit": 2 } } });
        tasks
            .apply(&with(daemon("agent", "app:v1"), &wide))
            .await
            .unwrap();
        let first = tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap()
            .stable_revision;
        for version in ["app:v2", "app:v1"] {
            let before = tasks.status("agent").await.unwrap().update_revision;
            tasks.change("agent", &image(version)).await.unwrap();
            tasks
                .wait("agent", "the next revision to complete", SOON, |s| {
                    s.update_revision != before && s.stable_revision == s.update_revision
                })
                .await
                .unwrap();
        }
        assert_eq!(tasks.status("agent").await.unwrap().stable_revision, first);
        let revisions = Api::<ControllerRevision>::namespaced(bed.client(), "undo");
        let selector =
            ListParams::default().labels(&format!("{}=agent", hosttask_crds::label::TASK));
        let mut found = revisions.list(&selector).await.unwrap().items;
        // The DaemonSet controller keeps a history of its own, under the labels of the template.
        found.retain(|revision| {
            revision
                .metadata
                .owner_references
                .iter()
                .flatten()
                .any(|owner| owner.kind == "WindowsHostTask")
        });
        assert_eq!(found.len(), 2, "{found:?}");
        let newest = found
            .iter()
            .max_by_key(|revision| revision.revision)
            .unwrap();
        assert_eq!(
            newest.metadata.name, first,
            "the revision that is wanted again is the newest"
        );
    });
}

#[test]
fn a_rollout_that_makes_no_progress_stalls_and_recovers_with_a_good_spec() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("deadline").await.unwrap();
        tasks
            .apply(&with(
                daemon("agent", "app:v1"),
                &json!({ "spec": { "rollout": { "progressDeadlineSeconds": 3 } } }),
            ))
            .await
            .unwrap();
        let stable = tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap()
            .stable_revision;
        tasks.change("agent", &image("app:missing")).await.unwrap();
        let stuck = tasks
            .wait_ready("agent", "False", "ProgressDeadlineExceeded", SOON)
            .await
            .unwrap();
        // Without a failure policy it is not given up: it goes on where it can.
        assert_eq!(stuck.failed_revision, None);
        assert_eq!(stuck.stable_revision, stable);
        assert!(condition(&stuck, "Stalled").is_some_and(|c| c.status == "True"));
        assert!(condition(&stuck, "Reconciling").is_none());
        tasks
            .change(
                "agent",
                &with(
                    image("app:v2"),
                    &json!({ "spec": { "rollout": { "maxUnavailable": "100%" } } }),
                ),
            )
            .await
            .unwrap();
        let mended = tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        assert_eq!(mended.failed_revision, None);
    });
}

#[test]
fn deleting_a_task_removes_its_children() {
    scenario(async {
        let bed = bed().await;
        let tasks = bed.namespace("deletion").await.unwrap();
        tasks.apply(&daemon("agent", "app:v1")).await.unwrap();
        tasks
            .wait_ready("agent", "True", "RolloutComplete", SOON)
            .await
            .unwrap();
        tasks.delete("agent").await.unwrap();
        poll::until("the children to be gone", SOON, || async {
            let pods = tasks
                .pods("agent")
                .await
                .map_err(|error| error.to_string())?
                .len();
            let sets = Api::<DaemonSet>::namespaced(bed.client(), "deletion")
                .list(&ListParams::default())
                .await
                .map_err(|error| error.to_string())?;
            let revisions = Api::<ControllerRevision>::namespaced(bed.client(), "deletion")
                .list(&ListParams::default())
                .await
                .map_err(|error| error.to_string())?;
            match (pods, sets.items.len(), revisions.items.len()) {
                (0, 0, 0) => Ok(()),
                left => Err(format!("pods, DaemonSets, revisions left: {left:?}")),
            }
        })
        .await
        .unwrap();
    });
}
