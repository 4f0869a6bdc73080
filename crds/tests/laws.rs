//! Laws of the definitions: what the API server or a tool would stumble over is nowhere in them.
#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

use hosttask_crds::schema::{self, EMBEDDED, RULES, UNTYPED};
use hosttask_crds::{WindowsHostNode, WindowsHostTask};
use serde_json::{Value, json};

/// Every schema node of both definitions with its path.
fn nodes() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for definition in schema::manifests().unwrap() {
        for section in ["spec", "status"] {
            let root = schema::schema_of(&definition).unwrap();
            collect(
                root.pointer(&format!("/properties/{section}")).unwrap(),
                section,
                &mut all,
            );
        }
    }
    assert!(
        all.len() > 300,
        "only {} nodes: the walk is broken",
        all.len()
    );
    all
}

fn collect(node: &Value, path: &str, all: &mut Vec<(String, Value)>) {
    all.push((path.to_owned(), node.clone()));
    for (name, it) in node["properties"].as_object().into_iter().flatten() {
        collect(it, &format!("{path}.{name}"), all);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(it) = node.get(key) {
            collect(it, &format!("{path}{mark}"), all);
        }
    }
}

/// The paths at which a node breaks a law.
fn breaches(is_legal: impl Fn(&Value) -> bool) -> Vec<String> {
    nodes()
        .into_iter()
        .filter(|(_, it)| !is_legal(it))
        .map(|(path, _)| path)
        .collect()
}

const NONE: Vec<String> = Vec::new();

#[test]
fn every_list_says_how_it_is_merged_and_how_long_it_may_be() {
    let is_legal = |it: &Value| {
        it["type"] != "array"
            || (it["maxItems"].is_u64()
                && match it["x-kubernetes-list-type"].as_str() {
                    Some("map") => !it["x-kubernetes-list-map-keys"]
                        .as_array()
                        .unwrap()
                        .is_empty(),
                    Some("set") => {
                        ["string", "integer"].contains(&it["items"]["type"].as_str().unwrap())
                    }
                    Some("atomic") => true,
                    _ => false,
                })
    };
    assert_eq!(breaches(is_legal), NONE);
}

#[test]
fn every_key_of_a_list_is_required_or_has_a_default_and_nothing_else_has_one() {
    let mut keys = Vec::new();
    for (path, node) in nodes() {
        for key in node["x-kubernetes-list-map-keys"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let key = key.as_str().unwrap();
            let item = &node["items"];
            let is_required = item["required"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|it| it == key);
            let field = &item["properties"][key];
            assert!(
                is_required || field.get("default").is_some(),
                "{path}[].{key}"
            );
            keys.push(format!("{path}[].{key}"));
        }
    }
    for (path, node) in nodes() {
        let may_have = keys.contains(&path) || path == "status";
        assert!(may_have || node.get("default").is_none(), "{path}");
    }
}

#[test]
fn every_string_has_a_longest_length_or_a_list_of_words() {
    let is_legal =
        |it: &Value| it["type"] != "string" || it["maxLength"].is_u64() || it["enum"].is_array();
    assert_eq!(breaches(is_legal), NONE);
}

#[test]
fn every_number_has_a_range() {
    let is_bounded = |it: &Value| it["minimum"].is_i64() && it["maximum"].is_i64();
    let is_legal = |it: &Value| {
        let is_either = it.get("x-kubernetes-int-or-string").is_some();
        match it["type"].as_str() {
            Some("integer") => is_bounded(it),
            Some("number") => false,
            _ => !is_either || (is_bounded(it) && it["maxLength"].is_u64()),
        }
    };
    assert_eq!(breaches(is_legal), NONE);
}

#[test]
fn every_map_has_a_largest_size() {
    let is_legal =
        |it: &Value| it.get("additionalProperties").is_none() || it["maxProperties"].is_u64();
    assert_eq!(breaches(is_legal), NONE);
}

#[test]
fn nothing_is_in_it_that_the_api_server_warns_of() {
    let known = ["int32", "int64", "date-time"];
    let is_legal = |it: &Value| {
        it.get("nullable").is_none()
            && it
                .get("format")
                .is_none_or(|it| known.contains(&it.as_str().unwrap()))
    };
    assert_eq!(breaches(is_legal), NONE);
}

#[test]
fn every_field_has_a_schema_but_the_one_that_is_always_refused() {
    let is_legal = |it: &Value| {
        it.get("x-kubernetes-preserve-unknown-fields").is_none()
            && (it.get("type").is_some() || it.get("x-kubernetes-int-or-string").is_some())
    };
    assert_eq!(breaches(is_legal), [UNTYPED]);
    assert!(RULES.iter().any(|it| it.rule == "!has(self.affinity)"));
}

#[test]
fn our_fields_are_documented_and_those_of_kubernetes_are_not() {
    for (path, node) in nodes() {
        let is_below = EMBEDDED
            .iter()
            .any(|it| path.starts_with(it) && path != *it);
        let is_scalar_item = path.ends_with("[]") && node.get("properties").is_none();
        assert!(
            is_below != node.get("description").is_some_and(Value::is_string) || is_scalar_item,
            "{path}"
        );
    }
}

#[test]
fn rules_have_names_of_their_own_and_a_message() {
    let mut names: Vec<&str> = RULES.iter().map(|it| it.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
    assert!(RULES.iter().all(|it| it.message.len() > 20));
}

#[test]
fn every_reason_but_those_of_success_says_where_it_comes_from() {
    use hosttask_crds::Reason;
    let silent = [
        Reason::RolloutComplete,
        Reason::AllNodesSucceeded,
        Reason::NodesHealthy,
        Reason::Valid,
        Reason::WaveCompleted,
    ];
    for reason in Reason::ALL {
        let is_explained = !reason.cause().is_empty();
        assert_eq!(is_explained, !silent.contains(reason), "{reason:?}");
        assert!(is_explained || reason.fix().is_empty(), "{reason:?}");
    }
}

#[test]
fn a_task_survives_its_type_unchanged() {
    let text = include_str!("../../tests/fixtures/crd/base.yaml");
    let written: Value = serde_saphyr::from_str(text).unwrap();
    let task: WindowsHostTask = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&task).unwrap(), written);
    assert_eq!(
        task.spec
            .template
            .typed()
            .unwrap()
            .spec
            .unwrap()
            .containers
            .len(),
        1
    );
}

#[test]
fn a_ledger_survives_its_type_unchanged() {
    let written = json!({
        "apiVersion": "hosttask.dev/v1alpha1", "kind": "WindowsHostNode", "metadata": {"name": "win-1"},
        "spec": {},
        "status": {"nodeUid": "u", "rebootRequired": true, "succeededTasks": 1, "tasks": [{
            "task": "a/b", "taskUid": "t", "revision": "b-1", "state": "RebootPending", "attempts": 1,
            "exitCode": 3010, "startTime": "2026-01-01T00:00:00Z", "bootId": "x",
        }]},
    });
    let node: WindowsHostNode = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&node).unwrap(), written);
}
