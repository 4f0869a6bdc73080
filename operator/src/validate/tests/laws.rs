//! What holds for every task, valid or not.
//!
//! Longer than 400 lines: the laws share one generator of specs.

use super::*;
use crate::build::{controller_revision, daemon_set, job};
use crate::desired::{Amount, RerunOn, Wave};
use crate::observed::NodeView;
use crate::revision;
use hosttask_crds::task::{Approval, ConcurrencyPolicy, FailureAction};
use proptest::prelude::*;

/// Words that lead deep into the types; anything else would be skipped as unknown.
const WORDS: [&str; 40] = [
    "mode",
    "runAs",
    "account",
    "localGroup",
    "template",
    "metadata",
    "labels",
    "spec",
    "containers",
    "initContainers",
    "name",
    "image",
    "env",
    "valueFrom",
    "ports",
    "containerPort",
    "hostPort",
    "securityContext",
    "windowsOptions",
    "runAsUserName",
    "volumes",
    "hostPath",
    "volumeMounts",
    "placement",
    "nodeSelector",
    "inputs",
    "secrets",
    "rollout",
    "job",
    "exitCodes",
    "check",
    "dependsOn",
    "failurePolicy",
    "maintenanceWindows",
    "matchLabels",
    "nodeConditions",
    "order",
    "schedule",
    "topologyKey",
    "waves",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2..70_000_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        proptest::sample::select(&["System", "Daemon", "RunOnce", "a", "10%", r"\\.\pipe\a"][..])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let word = proptest::sample::select(&WORDS[..]).prop_map(str::to_owned);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(prop_oneof![word, "\\PC{0,4}"], inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The JSON pointers of all values of a document, the document itself left out.
fn pointers(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, it)| (key.replace('/', "~1"), it))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(i, it)| (i.to_string(), it))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let below = |(key, it): (String, &Value)| {
        let deeper: Vec<String> = pointers(it)
            .into_iter()
            .map(|it| format!("/{key}{it}"))
            .collect();
        std::iter::once(format!("/{key}"))
            .chain(deeper)
            .collect::<Vec<_>>()
    };
    children.into_iter().flat_map(below).collect()
}

fn is_leaf(document: &Value, pointer: &str) -> bool {
    !matches!(
        document.pointer(pointer),
        Some(Value::Object(_) | Value::Array(_))
    )
}

/// A valid task, varied in everything that reaches the children.
fn any_task() -> impl Strategy<Value = (Value, String)> {
    let account = prop_oneof![
        proptest::sample::select(&["System", "LocalService", "NetworkService", "Inherit"][..])
            .prop_map(|it| json!({"account": it})),
        Just(json!({"localGroup": "Operators"})),
    ];
    let tolerate = proptest::sample::select(&["All", "WindowsPools", "None"][..]);
    let codes = proptest::collection::btree_set(0..5000_i32, 1..5);
    let name = "[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?){0,3}";
    let name = name.prop_filter("253 characters", |it: &String| it.len() <= 253);
    (
        any::<bool>(),
        account,
        tolerate,
        any::<bool>(),
        1..65_535_i32,
        codes,
        name,
    )
        .prop_map(
            |(is_daemon, account, tolerate, unschedulable, port, codes, name)| {
                let mut spec = if is_daemon { daemon() } else { run_once() };
                set(&mut spec, "/runAs", account);
                set(&mut spec, "/placement/tolerate", json!(tolerate));
                set(
                    &mut spec,
                    "/placement/includeUnschedulable",
                    json!(unschedulable),
                );
                set(
                    &mut spec,
                    "/template/spec/containers/0/ports/0/containerPort",
                    json!(port),
                );
                if !is_daemon {
                    set(
                        &mut spec,
                        "/job/exitCodes",
                        json!({"success": codes, "rebootRequired": []}),
                    );
                }
                (spec, name)
            },
        )
}

fn desired(spec: &Value, name: &str) -> Desired {
    let key = TaskKey {
        namespace: "monitoring".into(),
        name: name.into(),
    };
    validate(
        &TaskInput {
            key: &key,
            uid: "6f1c",
            generation: 3,
            spec,
        },
        &inputs(),
    )
    .unwrap()
}

fn node() -> NodeView {
    NodeView {
        name: "win-1".into(),
        uid: "n-uid".into(),
        ..NodeView::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_json_is_too_strange_to_be_judged(spec in any_json()) {
        let _ = check(&spec, &InputsView::default());
        let _ = stored_content(spec);
    }

    #[test]
    fn one_strange_value_anywhere_is_judged_or_named(
        position in any::<proptest::sample::Index>(),
        value in any_json(),
    ) {
        let mut spec = run_once();
        let pointers = pointers(&spec);
        let pointer = position.get(&pointers);
        set(&mut spec, pointer, value);
        if let Err(problems) = check(&spec, &inputs()) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(problem.field.starts_with("spec"), "{problem:?}");
                prop_assert!(!problem.message.is_empty());
            }
        }
    }

    #[test]
    fn what_is_built_from_a_valid_task_keeps_the_rules_of_pods((spec, name) in any_task()) {
        let desired = desired(&spec, &name);
        let revision = revision::name(&name, &desired.content.raw, 0);
        let set = daemon_set(&desired, 0, &desired.content, &revision);
        let job = job(&desired, &revision, &node(), 1);
        for template in [set.spec.template.clone(), job.spec.clone().unwrap().template] {
            prop_assert_eq!(pod(&template.spec.unwrap(), "spec"), []);
            for value in template.metadata.unwrap().labels.unwrap().values() {
                prop_assert!(name::is_label_value(value), "{value}");
            }
        }
        prop_assert_eq!(&daemon_set(&desired, 0, &desired.content, &revision), &set);
        prop_assert_eq!(&build::job(&desired, &revision, &node(), 1), &job);
    }

    #[test]
    fn every_wave_of_a_valid_task_has_a_daemon_set_name_of_its_own(
        (_, task) in any_task(),
        names in proptest::collection::btree_set("[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", 1..16),
    ) {
        let wave = |name: &String| json!({"name": name, "nodeSelector": {"matchLabels": {"ring": name}}});
        let mut spec = daemon();
        set(&mut spec, "/rollout/waves", names.iter().filter(|it| *it != "default").map(wave).collect());
        let desired = desired(&spec, &task);
        let sets: std::collections::BTreeSet<String> = desired
            .waves
            .iter()
            .map(|it| revision::daemon_set_name(&task, &it.name))
            .collect();
        prop_assert_eq!(sets.len(), desired.waves.len());
        // The DaemonSet controller appends a dash and up to ten characters to make a label value.
        prop_assert!(sets.iter().all(|it| name::is_subdomain(it) && it.len() <= 52), "{sets:?}");
    }

    #[test]
    fn the_content_survives_its_revision((spec, name) in any_task()) {
        let desired = desired(&spec, &name);
        let kept = controller_revision(&desired, "r", 4);
        prop_assert_eq!(stored_content(kept.data.0), Ok(desired.content));
    }

    #[test]
    fn the_order_of_keys_does_not_change_the_revision(value in any_json()) {
        let text = value.to_string();
        let reversed: Value = serde_json::from_str(&reverse_keys(&value)).unwrap();
        let same: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(revision::digest(&same), revision::digest(&reversed));
    }
}

/// The document as text with the keys of every object in falling order.
fn reverse_keys(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_by(|a, b| b.cmp(a));
            let fields: Vec<String> = keys
                .into_iter()
                .map(|key| format!("{}:{}", Value::from(key.as_str()), reverse_keys(&map[key])))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(reverse_keys).collect::<Vec<_>>().join(",")
            )
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// Another value that keeps the task valid, for the leaf at this place.
fn other(pointer: &str, value: &Value) -> Value {
    let last = pointer.rsplit('/').next().unwrap_or_default();
    match last {
        "mode" => json!(if value == "Daemon" {
            "RunOnce"
        } else {
            "Daemon"
        }),
        "account" => json!("LocalService"),
        "operator" if pointer.contains("tolerations") => json!(null),
        "operator" => json!("In"),
        "effect" => json!("NoExecute"),
        "windowsBuilds" => json!(["10.0.26100"]),
        "fieldPath" => json!("metadata.name"),
        "mountPath" => json!("/etc/other"),
        "approval" => json!("Auto"),
        "action" => json!("Continue"),
        "schedule" | "cron" => json!("0 4 * * *"),
        "concurrencyPolicy" => json!("Forbid"),
        "timeZone" => json!("America/New_York"),
        "status" => json!("True"),
        _ => match value {
            Value::Bool(it) => json!(!it),
            Value::Number(it) => json!(it.as_i64().unwrap_or_default() + 1),
            Value::String(it) if it.ends_with('%') => json!("20%"),
            Value::String(it) if it.starts_with("10.0.") => json!("10.0.26100"),
            Value::String(it) if last == "cpu" || last == "memory" => {
                json!(if it == "100m" { "99m" } else { "300Mi" })
            }
            Value::String(it) => json!(format!("{it}x")),
            Value::Null | Value::Array(_) | Value::Object(_) => json!(null),
        },
    }
}

fn revision_of(spec: &Value) -> Option<String> {
    check(spec, &inputs())
        .ok()
        .map(|it| revision::name("agent", &it.content.raw, 0))
}

#[test]
fn every_leaf_of_the_content_changes_the_revision_and_nothing_else_does() {
    for (spec, least_inside, least_outside) in [
        (run_once(), 12, 8),
        (steered(), 12, 25),
        (scheduled(), 12, 12),
    ] {
        leaves_change_the_revision(&spec, least_inside, least_outside);
    }
}

fn leaves_change_the_revision(spec: &Value, least_inside: usize, least_outside: usize) {
    let before = revision_of(spec).unwrap();
    let (mut inside, mut outside) = (0, 0);
    for pointer in pointers(spec).iter().filter(|it| is_leaf(spec, it)) {
        let mut changed = spec.clone();
        set(
            &mut changed,
            pointer,
            other(pointer, spec.pointer(pointer).unwrap()),
        );
        let is_content = ["/template", "/runAs", "/job/exitCodes", "/inputs", "/mode"]
            .iter()
            .any(|it| pointer.starts_with(it));
        // What a change makes invalid (a mount without its volume, say) has no revision at all.
        let Some(after) = revision_of(&changed) else {
            assert!(is_content, "{pointer} must stay valid to prove anything");
            continue;
        };
        assert_eq!(after != before, is_content, "{pointer}");
        *(if is_content {
            &mut inside
        } else {
            &mut outside
        }) += 1;
    }
    assert!(
        inside >= least_inside && outside >= least_outside,
        "too few leaves were tried: {inside} and {outside}"
    );
}

#[test]
fn only_the_content_of_inputs_that_count_changes_the_revision() {
    let mut spec = daemon();
    let with = |map: &str, secret: &str| InputsView {
        config_maps: BTreeMap::from([("agent".into(), InputState::Present(map.into()))]),
        secrets: BTreeMap::from([("token".into(), InputState::Present(secret.into()))]),
    };
    let of = |spec: &Value, view: &InputsView| check(spec, view).unwrap().content.raw;
    let before = of(&spec, &with("m1", "s1"));
    assert_ne!(before, of(&spec, &with("m2", "s1")));
    assert_ne!(before, of(&spec, &with("m1", "s2")));
    set(&mut spec, "/inputs/secrets/0/ignoreChanges", json!(true));
    assert_eq!(of(&spec, &with("m1", "s1")), of(&spec, &with("m1", "s2")));
}

#[test]
fn defaults_are_those_of_the_reference() {
    let spec = json!({
        "mode": "RunOnce",
        "runAs": {"account": "System"},
        "template": {"spec": {"containers": [{"name": "a", "image": "a"}]}},
    });
    let desired = check(&spec, &InputsView::default()).unwrap();
    assert_eq!(desired.max_unavailable, Amount::Count(1));
    assert_eq!(desired.min_healthy, Amount::Percent(100));
    assert_eq!(desired.progress_deadline.as_secs(), 1800);
    assert_eq!(desired.start_grace.as_secs(), 1200);
    assert_eq!(
        (desired.job.success, desired.job.reboot_required),
        (vec![0], vec![1641, 3010])
    );
    assert_eq!(desired.job.retry_max.as_secs(), 86_400);
}

#[test]
fn what_steers_a_rollout_is_compiled_with_its_defaults() {
    let desired = check(&steered(), &inputs()).unwrap();
    let [canary, early, rest] = desired.waves.as_slice() else {
        panic!("{:?}", desired.waves);
    };
    assert_eq!(canary.max_unavailable, Some(Amount::Percent(100)));
    assert_eq!(
        (canary.soak.as_secs(), canary.approval),
        (600, Approval::Manual)
    );
    assert_eq!(early.name, "early");
    assert_eq!((early.requirements.len(), early.soak.as_secs()), (1, 0));
    assert_eq!(
        (early.max_unavailable, early.approval),
        (None, Approval::Auto)
    );
    assert_eq!(rest, &Wave::rest());
    // Ready is looked at in any case, with more patience than a condition of the list.
    let kinds = desired.node_conditions.iter().map(|it| it.kind.as_str());
    assert_eq!(kinds.collect::<Vec<_>>(), ["DiskPressure"]);
    assert_eq!(desired.windows[0].time_zone, "Europe/Berlin");
    assert_eq!(desired.depends_on, ["network"]);

    let mut spec = daemon();
    set(
        &mut spec,
        "/rollout",
        json!({"failurePolicy": {}, "partition": "0%", "unreachableNodes": {}}),
    );
    set(
        &mut spec,
        "/rollout/maintenanceWindows",
        json!([{"schedule": "0 2 * * *", "durationSeconds": 60}]),
    );
    let desired = check(&spec, &inputs()).unwrap();
    let policy = desired.failure_policy.unwrap();
    assert_eq!(
        (policy.max_failed, policy.action),
        (Amount::Count(1), FailureAction::Pause)
    );
    assert_eq!((desired.partition, desired.max_unreachable), (None, None));
    assert_eq!(desired.unreachable_after.as_secs(), 60);
    assert_eq!(desired.windows[0].time_zone, "Etc/UTC");
}

#[test]
fn a_schedule_and_a_check_are_compiled_with_their_defaults() {
    let schedule = check(&scheduled(), &inputs()).unwrap().schedule.unwrap();
    assert_eq!(
        (schedule.cron.as_str(), schedule.jitter.as_secs()),
        ("0 3 * * *", 600)
    );
    assert_eq!(
        schedule.starting_deadline.map(|it| it.as_secs()),
        Some(3600)
    );
    assert_eq!(schedule.concurrency, ConcurrencyPolicy::Replace);

    let mut spec = scheduled();
    set(&mut spec, "/schedule", json!({"cron": "0 3 * * *"}));
    let schedule = check(&spec, &inputs()).unwrap().schedule.unwrap();
    assert_eq!(
        (schedule.time_zone.as_str(), schedule.jitter.as_secs()),
        ("Etc/UTC", 0)
    );
    assert_eq!(
        (schedule.starting_deadline, schedule.concurrency),
        (None, ConcurrencyPolicy::Forbid)
    );

    let job = |part: Value| {
        let mut spec = run_once();
        set(&mut spec, "/job", part);
        check(&spec, &inputs()).unwrap().job
    };
    assert_eq!(job(json!({})).rerun_on, RerunOn::default());
    let never = RerunOn {
        spec_change: false,
        node_reimage: false,
        node_reboot: false,
    };
    assert_eq!(job(json!({"rerunOn": []})).rerun_on, never);
    let reboot = job(json!({"rerunOn": ["NodeReboot"]})).rerun_on;
    assert_eq!(
        reboot,
        RerunOn {
            node_reboot: true,
            ..never
        }
    );
    let checked = job(json!({"check": {"command": ["a", "b"]}, "checkOnly": true}));
    assert_eq!(
        (checked.check.unwrap().len(), checked.check_only),
        (2, true)
    );
}

#[test]
fn check_and_nonce_are_content_and_what_is_not_set_is_not() {
    let with = |pointer: &str, value: Value| {
        let mut spec = run_once();
        set(&mut spec, pointer, value);
        check(&spec, &inputs()).unwrap().content.raw
    };
    let plain = check(&run_once(), &inputs()).unwrap().content.raw;
    for (pointer, value) in [
        ("/job/rerunNonce", json!("")),
        ("/job/rerunNonce", Value::Null),
        ("/job/check", Value::Null),
        ("/job/rerunOn", json!(["SpecChange", "NodeReboot"])),
    ] {
        assert_eq!(with(pointer, value), plain, "{pointer}");
    }
    assert_ne!(with("/job/rerunNonce", json!("2")), plain);
    let checked = with("/job/check", json!({"command": ["a"]}));
    assert_ne!(checked, plain);
    let mut spec = run_once();
    set(&mut spec, "/job/check", json!({"command": ["a"]}));
    set(&mut spec, "/job/checkOnly", json!(true));
    assert_eq!(check(&spec, &inputs()).unwrap().content.raw, checked);
}

/// Names of revisions as the first release gave them. Where one of them changes, an upgrade of the operator restarts the
/// pods of every task.
#[test]
fn revisions_have_the_names_of_the_first_release() {
    let name = |spec: &Value| revision_of(spec).unwrap();
    assert_eq!(name(&daemon()), "agent-uyiyft4cus");
    assert_eq!(name(&steered()), name(&daemon()));
    assert_eq!(name(&run_once()), "agent-q7hq25bpi4");
}

#[test]
fn a_code_the_user_calls_a_success_is_no_longer_a_reboot_by_default() {
    let mut spec = run_once();
    set(&mut spec, "/job/exitCodes", json!({"success": [3010, 0]}));
    let job = check(&spec, &inputs()).unwrap().job;
    assert_eq!(
        (job.success, job.reboot_required),
        (vec![0, 3010], vec![1641])
    );
}

#[test]
fn a_field_that_cannot_be_read_is_not_called_missing_as_well() {
    let mut spec = daemon();
    set(&mut spec, "/template/spec/containers", json!([5]));
    let problems = check(&spec, &inputs()).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(fields, ["spec.template.spec.containers[0]"]);
}
