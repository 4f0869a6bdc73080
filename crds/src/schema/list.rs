//! How lists and maps are merged by server-side apply: their list types, keys and sizes.
//!
//! The Rust types of Kubernetes do not carry the merge rules of the Go types. They are stated here by the name of the
//! field, because Kubernetes uses a name for one kind of list only.

use serde_json::{Value, json};

/// How the items of a list belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merge {
    /// One manager owns the whole list.
    Atomic,
    /// Items are distinct scalars with an owner each.
    Set,
    /// Items are objects with an owner each, told apart by these fields.
    Map(&'static [&'static str]),
}

use Merge::{Atomic, Map, Set};

/// Every list of both kinds: its name, how it is merged, and the most items it can hold.
const LISTS: &[(&str, Merge, u32)] = &[
    ("accessModes", Atomic, 4),
    ("args", Atomic, 512),
    ("command", Atomic, 512),
    ("conditions", Map(&["type"]), 16),
    ("configMaps", Map(&["name"]), 32),
    ("containers", Map(&["name"]), 32),
    ("dependsOn", Map(&["name"]), 16),
    ("env", Map(&["name"]), 256),
    ("envFrom", Atomic, 32),
    ("failures", Atomic, 10),
    ("httpHeaders", Atomic, 32),
    ("imagePullSecrets", Map(&["name"]), 16),
    ("initContainers", Map(&["name"]), 32),
    ("items", Atomic, 256),
    // The windows of one task belong together: half of a merged list would open at times nobody meant.
    ("maintenanceWindows", Atomic, 16),
    ("matchExpressions", Atomic, 32),
    ("nodeConditions", Map(&["type"]), 8),
    ("order", Map(&["topologyKey"]), 3),
    ("ports", Map(&["containerPort", "protocol"]), 64),
    ("readinessGates", Atomic, 16),
    ("rebootRequired", Set, 100),
    ("rerunOn", Set, 3),
    ("secrets", Map(&["name"]), 32),
    ("sources", Atomic, 32),
    ("success", Set, 100),
    ("tasks", Map(&["taskUid"]), 4096),
    ("tolerations", Atomic, 64),
    ("values", Atomic, 64),
    ("volumeMounts", Map(&["mountPath"]), 64),
    ("volumes", Map(&["name"]), 64),
    ("waves", Map(&["name"]), 16),
    ("windowsBuilds", Set, 32),
];

/// Objects and maps that are replaced as a whole.
const ATOMIC_OBJECTS: &[&str] = &[
    "configMapKeyRef",
    "dataSource",
    "fieldRef",
    "fileKeyRef",
    "labelSelector",
    "nodePublishSecretRef",
    "nodeSelector",
    "resourceFieldRef",
    "secretKeyRef",
    "selector",
];

/// Map keys that may be left out, with the value they then have. Nothing else has a default: a default inside the
/// template would be written into stored objects and so become part of the revision.
const KEY_DEFAULTS: &[(&str, &str, &str)] = &[
    ("ports", "protocol", "TCP"),
    ("imagePullSecrets", "name", ""),
];

/// States how a list or an object is merged. False for a list that is not in the table.
pub(super) fn merge(name: &str, node: &mut Value) -> bool {
    let is_list = node.get("items").is_some();
    let Some(object) = node.as_object_mut() else {
        return true;
    };
    if !is_list {
        if ATOMIC_OBJECTS.contains(&name) && object.get("type") == Some(&json!("object")) {
            object.insert("x-kubernetes-map-type".into(), json!("atomic"));
        }
        return true;
    }
    let Some((_, merge, most)) = LISTS.iter().find(|(list, ..)| *list == name) else {
        return false;
    };
    object.insert("maxItems".into(), json!(most));
    let kind = match merge {
        Atomic => "atomic",
        Set => "set",
        Map(keys) => {
            object.insert("x-kubernetes-list-map-keys".into(), json!(keys));
            "map"
        }
    };
    object.insert("x-kubernetes-list-type".into(), json!(kind));
    for (_, key, default) in KEY_DEFAULTS.iter().filter(|(list, ..)| *list == name) {
        let pointer = format!("/items/properties/{key}");
        if let Some(it) = node.pointer_mut(&pointer).and_then(Value::as_object_mut) {
            it.insert("default".into(), json!(default));
        }
    }
    true
}
