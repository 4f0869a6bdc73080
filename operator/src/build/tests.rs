//! What the built objects must look like.

use hosttask_crds::label::{
    APPLIED, ATTEMPT, DEPENDENCY_GATE, INHERIT_USER, LAYOUT, MACHINE, NODE, STEP, STEP_CHECK,
    TASK_UID, TICK, WAVE,
};
use serde_json::{Value, json};

use super::*;
use crate::desired::{Operator, Requirement, TaskKey, Wave};
use crate::observed::NodeView;
use crate::revision::{self, Run, Step};
use crate::validate::{InputsView, TaskInput, validate};

/// The alternatives of a pod's node affinity, from its spec.
const TERMS: &str =
    "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";

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
        json!({"matchLabels": {TASK_UID: "6f1c", WAVE: "default"}})
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
    assert_eq!(
        pod.pointer(TERMS).unwrap(),
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

/// The task of the other tests with a wave before the rest.
fn in_waves() -> Desired {
    let mut desired = desired("Daemon", &json!({"account": "System"}), &Value::Null);
    let requirement = |key: &str, value: &str| Requirement {
        key: key.into(),
        operator: Operator::In,
        values: vec![value.into()],
    };
    desired.waves = vec![
        Wave {
            name: "canary".into(),
            requirements: vec![requirement("ring", "0"), requirement("zone", "a")],
            ..Wave::rest()
        },
        Wave::rest(),
    ];
    desired
}

#[test]
fn each_wave_has_a_daemon_set_of_its_own_nodes_and_pods() {
    let desired = in_waves();
    let layout = revision::layout(&desired.waves);
    let build = |wave| {
        serde_json::to_value(daemon_set(&desired, wave, &desired.content, "agent-abc")).unwrap()
    };
    let sets = [build(0), build(1)];
    for (set, (name, wave)) in sets
        .iter()
        .zip([("agent-canary", "canary"), ("agent", "default")])
    {
        assert_eq!(set["metadata"]["name"], name);
        assert_eq!(set["metadata"]["annotations"][LAYOUT], layout);
        assert_eq!(
            set["spec"]["selector"],
            json!({"matchLabels": {TASK_UID: "6f1c", WAVE: wave}})
        );
        for labels in [
            &set["metadata"]["labels"],
            &set["spec"]["template"]["metadata"]["labels"],
        ] {
            assert_eq!(
                (&labels[WAVE], &labels[TASK_UID]),
                (&json!(wave), &json!("6f1c"))
            );
        }
    }
    let terms = |set: &Value| {
        set["spec"]["template"]["spec"]
            .pointer(TERMS)
            .cloned()
            .unwrap()
    };
    let common = [
        json!({"key": "kubernetes.io/os", "operator": "In", "values": ["windows"]}),
        json!({"key": label::WINDOWS_BUILD, "operator": "In", "values": ["10.0.20348"]}),
    ];
    let is = |key: &str, operator: &str, value: &str| json!({"key": key, "operator": operator, "values": [value]});
    assert_eq!(
        terms(&sets[0]),
        json!([{"matchExpressions": [common[0], common[1], is("ring", "In", "0"), is("zone", "In", "a")]}])
    );
    assert_eq!(
        terms(&sets[1]),
        json!([
            {"matchExpressions": [common[0], common[1], is("ring", "NotIn", "0")]},
            {"matchExpressions": [common[0], common[1], is("zone", "NotIn", "a")]},
        ])
    );
}

#[test]
fn the_layout_is_on_the_daemon_set_and_never_on_its_pods() {
    // Pods of one revision are made of one template, however the fleet was divided when they were made.
    let set = daemon();
    assert!(set["metadata"]["annotations"][LAYOUT].is_string());
    assert_eq!(
        set["spec"]["template"]["metadata"]["annotations"],
        Value::Null
    );
}

#[test]
fn only_pods_that_depend_on_other_tasks_are_held_by_the_gate() {
    let gates = |desired: &Desired| {
        let set = daemon_set(desired, 0, &desired.content, "agent-abc");
        serde_json::to_value(set).unwrap()["spec"]["template"]["spec"]["schedulingGates"].clone()
    };
    let mut desired = in_waves();
    assert_eq!(gates(&desired), Value::Null);
    desired.depends_on = vec!["csi".into()];
    assert_eq!(gates(&desired), json!([{"name": DEPENDENCY_GATE}]));
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
    assert_eq!(
        template["spec"].pointer(TERMS).unwrap(),
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
fn a_check_runs_in_place_of_the_first_containers_program_and_any_code_answers_it() {
    let mut desired = desired("RunOnce", &json!({"account": "System"}), &Value::Null);
    desired.job.check = Some(vec!["test.exe".into(), "-quiet".into()]);
    let containers = &mut desired.content.template.spec.as_mut().unwrap().containers;
    containers[0].args = Some(vec!["-install".into()]);
    containers.push(containers[0].clone());
    let build = |step| {
        let run = Run {
            tick: Some(jiff::Timestamp::from_second(600).unwrap()),
            attempt: 2,
            step,
        };
        serde_json::to_value(job(&desired, "agent-abc", &NodeView::default(), run)).unwrap()
    };
    let (check, program) = (build(Step::Check), build(Step::Program));
    assert_ne!(check["metadata"]["name"], program["metadata"]["name"]);
    for labels in ["/metadata/labels", "/spec/template/metadata/labels"] {
        let labels = |job: &Value| job.pointer(labels).unwrap().clone();
        assert_eq!(labels(&check)[STEP], STEP_CHECK);
        assert_eq!(labels(&check)[TICK], "600");
        assert_eq!(labels(&program)[STEP], Value::Null);
    }
    let containers = |job: &Value| job["spec"]["template"]["spec"]["containers"].clone();
    assert_eq!(
        containers(&check)[0]["command"],
        json!(["test.exe", "-quiet"])
    );
    assert_eq!(containers(&check)[0]["args"], Value::Null);
    assert_eq!(containers(&check)[1], containers(&program)[1]);
    assert_eq!(containers(&program)[0]["args"], json!(["-install"]));
    assert_eq!(
        check["spec"]["podFailurePolicy"]["rules"],
        json!([
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailJob", "onExitCodes": {"containerName": "agent", "operator": "NotIn", "values": [0]}},
        ])
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
