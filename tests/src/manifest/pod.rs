//! Pod templates in a normal form: what means the same to Kubernetes looks the same, and every part has a path.

use hosttask_crds::label;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value, json};

/// Lists that Kubernetes takes for maps, with the field that is the key.
const KEYED: [(&str, &str); 6] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("env", "name"),
    ("volumes", "name"),
    ("volumeMounts", "mountPath"),
    ("ports", "containerPort"),
];
/// Labels by which the operator finds its pods. They say nothing of what runs.
const BOOKKEEPING: [&str; 5] = [
    label::MANAGED_BY,
    label::TASK,
    label::TASK_UID,
    label::REVISION,
    label::WAVE,
];

/// The template in its normal form.
///
/// - Lists with a key become objects by that key; the order of init containers, which matters, is kept beside them.
/// - `nodeSelector` and a required node affinity of one term become `nodeRequirements`: both must be met.
/// - The pod's `windowsOptions` are moved into the containers, which inherit them.
/// - The user part of `runAsUserName` is in capitals: Windows ignores its case, though not that of `NT AUTHORITY`.
/// - `fieldRef.apiVersion: v1`, `restartPolicy: Always` and `terminationMessagePath: /dev/termination-log` are defaults
///   and left out.
/// - The operator's own labels are left out.
pub fn normal(template: &PodTemplateSpec) -> Value {
    let mut value = serde_json::to_value(template).unwrap_or_default();
    if let Some(labels) = object(&mut value, "/metadata/labels") {
        labels.retain(|key, _| !BOOKKEEPING.contains(&key.as_str()));
    }
    if let Some(spec) = object(&mut value, "/spec") {
        inherit_windows_options(spec);
        gather_node_requirements(spec);
        gather_tolerations(spec);
        if let Some(order) = names(spec.get("initContainers")) {
            spec.insert("initContainerOrder".to_owned(), order);
        }
        if spec.get("restartPolicy") == Some(&json!("Always")) {
            spec.remove("restartPolicy");
        }
    }
    normalise(&mut value);
    value
}

fn object<'a>(value: &'a mut Value, pointer: &str) -> Option<&'a mut Map<String, Value>> {
    value.pointer_mut(pointer)?.as_object_mut()
}

fn names(list: Option<&Value>) -> Option<Value> {
    let names = list?.as_array()?.iter().map(|it| it.get("name").cloned());
    Some(Value::Array(names.map(Option::unwrap_or_default).collect()))
}

fn inherit_windows_options(spec: &mut Map<String, Value>) {
    let Some(context) = spec
        .get_mut("securityContext")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let options = context.remove("windowsOptions");
    if context.is_empty() {
        spec.remove("securityContext");
    }
    let Some(Value::Object(inherited)) = options else {
        return;
    };
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let own = container.pointer("/securityContext/windowsOptions");
            let mut merged = inherited.clone();
            merged.extend(own.and_then(Value::as_object).cloned().unwrap_or_default());
            if let Some(Value::String(user)) = merged.get_mut("runAsUserName") {
                *user = in_capitals(user);
            }
            let context = container
                .as_object_mut()
                .map(|it| it.entry("securityContext").or_insert_with(|| json!({})));
            if let Some(Value::Object(context)) = context {
                context.insert("windowsOptions".to_owned(), Value::Object(merged));
            }
        }
    }
}

fn in_capitals(user: &str) -> String {
    match user.split_once('\\') {
        Some((domain, name)) => format!("{domain}\\{}", name.to_uppercase()),
        None => user.to_uppercase(),
    }
}

fn gather_node_requirements(spec: &mut Map<String, Value>) {
    let mut requirements = Map::new();
    let mut require = |requirement: String| requirements.insert(requirement, Value::Bool(true));
    if let Some(Value::Object(selector)) = spec.remove("nodeSelector") {
        for (key, value) in selector {
            require(format!("{key} In {}", value.as_str().unwrap_or_default()));
        }
    }
    let terms = "/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let affinity = spec.get("affinity").cloned().unwrap_or_default();
    if let Some([term]) = affinity
        .pointer(terms)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        && let Some(expressions) = term["matchExpressions"].as_array()
        && term["matchFields"].is_null()
    {
        for expression in expressions {
            let words = expression["values"].as_array().into_iter().flatten();
            let mut words: Vec<_> = words.filter_map(Value::as_str).collect();
            words.sort_unstable();
            let key = expression["key"].as_str().unwrap_or_default();
            let operator = expression["operator"].as_str().unwrap_or_default();
            require(
                format!("{key} {operator} {}", words.join(","))
                    .trim_end()
                    .to_owned(),
            );
        }
        // Whatever else the affinity holds stays, to be compared as it stands.
        if let Some(Value::Object(rest)) = spec.get_mut("affinity") {
            let node = rest.get_mut("nodeAffinity").and_then(Value::as_object_mut);
            let is_empty = node.is_some_and(|node| {
                node.remove("requiredDuringSchedulingIgnoredDuringExecution");
                node.is_empty()
            });
            if is_empty {
                rest.remove("nodeAffinity");
            }
            if rest.is_empty() {
                spec.remove("affinity");
            }
        }
    }
    if !requirements.is_empty() {
        spec.insert("nodeRequirements".to_owned(), Value::Object(requirements));
    }
}

fn gather_tolerations(spec: &mut Map<String, Value>) {
    let Some(Value::Array(tolerations)) = spec.remove("tolerations") else {
        return;
    };
    let named = tolerations.into_iter().map(|toleration| {
        let word = |field: &str| toleration.get(field).and_then(Value::as_str);
        let value = word("value").map(|value| format!("={value}"));
        let seconds = toleration
            .get("tolerationSeconds")
            .map(|seconds| format!(" for {seconds} s"));
        let name = format!(
            "{}{} {} {}{}",
            word("key").unwrap_or("*"),
            value.unwrap_or_default(),
            word("operator").unwrap_or("Equal"),
            word("effect").unwrap_or("*"),
            seconds.unwrap_or_default()
        );
        (name, Value::Bool(true))
    });
    let named: Map<String, Value> = named.collect();
    if !named.is_empty() {
        spec.insert("tolerations".to_owned(), Value::Object(named));
    }
}

/// Turns keyed lists into objects and drops defaults, everywhere below `value`.
fn normalise(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (field, inner) in fields.iter_mut() {
                if let Some((_, key)) = KEYED.iter().find(|(list, _)| list == field) {
                    by_key(inner, key);
                }
                if field == "fieldRef" && inner["apiVersion"] == json!("v1") {
                    inner.as_object_mut().map(|it| it.remove("apiVersion"));
                }
                normalise(inner);
            }
            if fields.get("terminationMessagePath") == Some(&json!("/dev/termination-log")) {
                fields.remove("terminationMessagePath");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn by_key(list: &mut Value, key: &str) {
    let Value::Array(items) = list else {
        return;
    };
    let named = std::mem::take(items).into_iter().map(|mut item| {
        let name = item.as_object_mut().and_then(|it| it.remove(key));
        let name = name.unwrap_or_default();
        (
            name.as_str()
                .map_or_else(|| name.to_string(), str::to_owned),
            item,
        )
    });
    *list = Value::Object(named.collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(template: &Value) -> Value {
        normal(&serde_json::from_value(template.clone()).unwrap())
    }

    #[test]
    fn a_node_selector_equals_an_affinity_that_requires_the_same() {
        let selector = json!({ "spec": { "containers": [], "nodeSelector": { "kubernetes.io/os": "windows" } } });
        let affinity = json!({ "spec": { "containers": [], "affinity": { "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{ "matchExpressions": [
                { "key": "kubernetes.io/os", "operator": "In", "values": ["windows"] }
            ] }] }
        } } } });
        assert_eq!(of(&selector), of(&affinity));
        let mut two_terms = affinity;
        two_terms["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            ["nodeSelectorTerms"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "matchExpressions": [{ "key": "other", "operator": "Exists" }] }));
        assert_ne!(of(&selector), of(&two_terms));
    }

    #[test]
    fn options_of_the_pod_are_inherited_and_overridden_per_container() {
        let pod = json!({ "spec": {
            "securityContext": { "windowsOptions": { "hostProcess": true, "runAsUserName": "NT AUTHORITY\\system" } },
            "containers": [{ "name": "a" }],
            "initContainers": [{ "name": "b", "securityContext": { "windowsOptions": { "runAsUserName": "group" } } }]
        } });
        let found = of(&pod);
        let options = |list: &str, name: &str| {
            found["spec"][list][name]["securityContext"]["windowsOptions"].clone()
        };
        assert_eq!(
            options("containers", "a"),
            json!({ "hostProcess": true, "runAsUserName": "NT AUTHORITY\\SYSTEM" })
        );
        assert_eq!(
            options("initContainers", "b"),
            json!({ "hostProcess": true, "runAsUserName": "GROUP" })
        );
        assert!(found["spec"]["securityContext"].is_null());
    }

    #[test]
    fn the_order_of_env_is_ignored_and_that_of_init_containers_is_not() {
        let pod = |env: [&str; 2], init: [&str; 2]| {
            let env = env.map(|name| json!({ "name": name, "value": "x" }));
            let init = init.map(|name| json!({ "name": name }));
            of(
                &json!({ "spec": { "containers": [{ "name": "a", "env": env }], "initContainers": init } }),
            )
        };
        assert_eq!(pod(["A", "B"], ["c", "d"]), pod(["B", "A"], ["c", "d"]));
        assert_ne!(pod(["A", "B"], ["c", "d"]), pod(["A", "B"], ["d", "c"]));
    }

    #[test]
    fn tolerations_are_told_apart_by_every_field() {
        let pod = |toleration: Value| {
            of(&json!({ "spec": { "containers": [], "tolerations": [toleration] } }))
        };
        let all = [
            json!({ "operator": "Exists" }),
            json!({ "operator": "Exists", "effect": "NoExecute" }),
            json!({ "key": "os", "operator": "Exists" }),
            json!({ "key": "os", "value": "windows" }),
            json!({ "key": "os", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5 }),
        ];
        for (index, one) in all.iter().enumerate() {
            for other in &all[index + 1..] {
                assert_ne!(pod(one.clone()), pod(other.clone()));
            }
        }
    }
}
