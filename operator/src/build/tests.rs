//! What the built objects must look like.

use hosttask_crds::label::{APPLIED, ATTEMPT, INHERIT_USER, MACHINE, NODE, TASK_UID};
use serde_json::{Value, json};

use super::*;
use crate::desired::TaskKey;
use crate::observed::NodeView;
use crate::validate::{InputsView, TaskInput, validate};

fn desired(mode: &str, run_as: &Value, job: &Value) -> Desired {
    let spec = json!({
        "mode": mode,
        "runAs": run_as,
        "placement": {"tolerate": "WindowsPools", "windowsBuilds": ["10.0.20348"]},
        "job": job,
        "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{
            "name": "agent", "image": "example.com/agent:1", "ports": [{"containerPort": 9182}],
        }]}},
    });
    let key = TaskKey {
        namespace: "monitoring".into(),
        name: "agent".into(),
    };
    let task = TaskInput {
        key: &key,
        uid: "6f1c",
        generation: 1,
        spec: &spec,
    };
    validate(&task, &InputsView::default()).unwrap()
}

fn daemon() -> Value {
    let desired = desired("Daemon", &json!({"account": "LocalService"}), &Value::Null);
    serde_json::to_value(daemon_set(&desired, 0, &desired.content, "agent-abc")).unwrap()
}

fn run_once(policy: &Value) -> Value {
    let desired = desired("RunOnce", &json!({"account": "System"}), policy);
    let node = NodeView {
        name: "win-1".into(),
        uid: "n1".into(),
        ..NodeView::default()
    };
    serde_json::to_value(job(&desired, "agent-abc", &node, 2)).unwrap()
}

#[test]
fn a_daemon_set_is_replaced_by_us_and_selects_by_the_tasks_uid() {
    let set = daemon();
    assert_eq!(set["spec"]["updateStrategy"], json!({"type": "OnDelete"}));
    assert_eq!(
        set["spec"]["selector"],
        json!({"matchLabels": {TASK_UID: "6f1c"}})
    );
    let owner = &set["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["controller"], &owner["blockOwnerDeletion"]),
        (&json!(true), &json!(true))
    );
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    assert_eq!(
        (&labels["app"], &labels[label::REVISION]),
        (&json!("agent"), &json!("agent-abc"))
    );
}

#[test]
fn every_pod_gets_what_makes_it_a_host_process_pod() {
    let pod = &daemon()["spec"]["template"]["spec"];
    assert_eq!(pod["os"], json!({"name": "windows"}));
    assert_eq!(pod["hostNetwork"], true);
    assert_eq!(
        pod["securityContext"]["windowsOptions"],
        json!({"hostProcess": true, "runAsUserName": r"NT AUTHORITY\LocalService"})
    );
    assert_eq!(pod["restartPolicy"], "Always");
    assert_eq!(pod["containers"][0]["ports"][0]["hostPort"], 9182);
    assert_eq!(
        pod["containers"][0]["terminationMessagePolicy"],
        "FallbackToLogsOnError"
    );
    let terms =
        "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    assert_eq!(
        pod.pointer(terms).unwrap(),
        &json!([{"matchExpressions": [
            {"key": "kubernetes.io/os", "operator": "In", "values": ["windows"]},
            {"key": label::WINDOWS_BUILD, "operator": "In", "values": ["10.0.20348"]},
        ]}])
    );
}

#[test]
fn inherit_is_an_annotation_and_names_no_account() {
    let desired = desired("Daemon", &json!({"account": "Inherit"}), &Value::Null);
    let set = daemon_set(&desired, 0, &desired.content, "agent-abc");
    let annotations = set.spec.template.metadata.unwrap().annotations.unwrap();
    assert_eq!(
        annotations.get(INHERIT_USER).map(String::as_str),
        Some("true")
    );
    let options = set
        .spec
        .template
        .spec
        .unwrap()
        .security_context
        .unwrap()
        .windows_options
        .unwrap();
    assert_eq!(
        (options.host_process, options.run_as_user_name),
        (Some(true), None)
    );
}

#[test]
fn the_applied_hash_changes_with_anything_else_and_only_then() {
    let desired = desired("Daemon", &json!({"account": "System"}), &Value::Null);
    let set = daemon_set(&desired, 0, &desired.content, "agent-abc");
    assert_eq!(
        applied(&set),
        daemon_set(&desired, 0, &desired.content, "agent-abc")
            .metadata
            .annotations
            .unwrap()[APPLIED]
    );
    assert_ne!(
        applied(&set),
        applied(&daemon_set(&desired, 0, &desired.content, "agent-abd"))
    );
    let mut moved = desired.clone();
    moved.placement.tolerations.clear();
    assert_ne!(
        applied(&set),
        applied(&daemon_set(&moved, 0, &moved.content, "agent-abc"))
    );
}

#[test]
fn a_job_is_for_one_node_and_one_attempt() {
    let job = run_once(&json!({"activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 60}));
    let spec = &job["spec"];
    for (field, value) in [
        ("backoffLimit", 0),
        ("completions", 1),
        ("parallelism", 1),
        ("activeDeadlineSeconds", 60),
        ("ttlSecondsAfterFinished", 60),
    ] {
        assert_eq!(spec[field], value, "{field}");
    }
    assert_eq!(
        job["metadata"]["annotations"],
        json!({NODE: "win-1", MACHINE: "n1/"})
    );
    assert_eq!(job["metadata"]["labels"][ATTEMPT], "2");
    let template = &spec["template"];
    assert_eq!(template["metadata"]["annotations"], json!({NODE: "win-1"}));
    assert_eq!(template["metadata"]["labels"][ATTEMPT], "2");
    assert_eq!(template["spec"]["restartPolicy"], "Never");
    let terms = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    assert_eq!(
        template.pointer(terms).unwrap(),
        &json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["win-1"]}]}])
    );
}

#[test]
fn a_known_exit_code_ends_the_job_and_a_drain_does_not() {
    let disruption = json!({
        "action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    });
    let job = run_once(&json!({"exitCodes": {"success": [7, 0], "rebootRequired": [3010, 1641]}}));
    assert_eq!(
        job["spec"]["podFailurePolicy"]["rules"],
        json!([
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [7, 1641, 3010]}},
            disruption,
        ])
    );
    let job = run_once(&json!({"exitCodes": {"success": [0], "rebootRequired": []}}));
    assert_eq!(
        job["spec"]["podFailurePolicy"]["rules"],
        json!([disruption])
    );
}

#[test]
fn a_job_tolerates_what_daemon_pods_do_and_cordoned_nodes_only_where_it_may() {
    let mut desired = desired("RunOnce", &json!({"account": "System"}), &Value::Null);
    let cordoned = |desired: &Desired| {
        let job = job(desired, "r", &NodeView::default(), 1);
        let all = job
            .spec
            .unwrap()
            .template
            .spec
            .unwrap()
            .tolerations
            .unwrap();
        let has = |key: &str| all.iter().any(|it| it.key.as_deref() == Some(key));
        assert!(
            has("node.kubernetes.io/not-ready") && has("node.kubernetes.io/network-unavailable")
        );
        assert!(has("os") && has("node.kubernetes.io/os"));
        has("node.kubernetes.io/unschedulable")
    };
    assert!(cordoned(&desired));
    desired.placement.include_unschedulable = false;
    assert!(!cordoned(&desired));
}
