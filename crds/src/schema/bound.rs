//! The sizes of what is embedded from Kubernetes. Our own types state theirs as attributes.

use serde_json::{Map, Value, json};

/// The longest command line and environment value that Windows can pass to a program, in characters.
const LONGEST_ARGUMENT: u64 = 32_767;
/// What a string may have that is not listed: names, keys and words.
const LONGEST_NAME: u64 = 253;

/// The longest text of a field by its name, in characters.
const STRINGS: &[(&str, u64)] = &[
    ("annotations", 262_144),
    ("args", LONGEST_ARGUMENT),
    ("command", LONGEST_ARGUMENT),
    ("fieldPath", 1024),
    ("image", 1024),
    ("key", 317),
    ("labels", 63),
    ("limits", 64),
    ("matchLabels", 63),
    ("message", 32_768),
    ("mountPath", 1024),
    ("path", 4096),
    ("reason", 1024),
    ("reference", 1024),
    ("requests", 64),
    ("runAsUserName", 360),
    ("subPath", 1024),
    ("subPathExpr", 1024),
    ("terminationMessagePath", 1024),
    ("type", 317),
    ("userAnnotations", 1024),
    ("value", LONGEST_ARGUMENT),
    ("values", 63),
    ("volumeAttributes", 4096),
    ("workingDir", 4096),
];

/// The words a field can have. The API server would refuse others in the pod; here it does so at once.
const WORDS: &[(&str, &[&str])] = &[
    ("effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"]),
    ("imagePullPolicy", &["Always", "IfNotPresent", "Never"]),
    ("preemptionPolicy", &["PreemptLowerPriority", "Never"]),
    ("protocol", &["TCP", "UDP", "SCTP"]),
    ("pullPolicy", &["Always", "IfNotPresent", "Never"]),
    ("scheme", &["HTTP", "HTTPS"]),
    ("status", &["True", "False", "Unknown"]),
    (
        "terminationMessagePolicy",
        &["File", "FallbackToLogsOnError"],
    ),
];

/// The range of a number by its name; other numbers are not negative.
const NUMBERS: &[(&str, i64, i64)] = &[
    ("containerPort", 1, 65_535),
    ("defaultMode", 0, 0o777),
    ("failureThreshold", 1, MOST),
    ("hostPort", 1, 65_535),
    ("mode", 0, 0o777),
    ("periodSeconds", 1, MOST),
    ("port", 1, 65_535),
    ("successThreshold", 1, MOST),
    ("timeoutSeconds", 1, MOST),
];

/// The largest number that is not listed.
const MOST: i64 = i32::MAX as i64;
/// The largest whole number that every JSON reader keeps exactly.
const MOST_EXACT: i64 = (1 << 53) - 1;

/// Bounds a node of an embedded type.
pub(super) fn embedded(name: &str, node: &mut Value) {
    let Some(object) = node.as_object_mut() else {
        return;
    };
    if object.contains_key("x-kubernetes-int-or-string") {
        int_or_string(name, object);
        return;
    }
    match object.get("type").and_then(Value::as_str) {
        Some("string") => string(name, object),
        Some("integer") => {
            let is_wide = object.get("format") == Some(&json!("int64"));
            let most = if is_wide { MOST_EXACT } else { MOST };
            let range = NUMBERS.iter().find(|(number, ..)| *number == name);
            let (least, most) = range.map_or((0, most), |(_, least, most)| (*least, *most));
            object.insert("minimum".into(), json!(least));
            object.insert("maximum".into(), json!(most));
        }
        Some("object") if object.contains_key("additionalProperties") => {
            object.insert("maxProperties".into(), json!(64));
        }
        _ => {}
    }
}

fn string(name: &str, object: &mut Map<String, Value>) {
    if object.get("format") == Some(&json!("date-time")) || object.contains_key("enum") {
        return;
    }
    if let Some((_, words)) = WORDS.iter().find(|(field, _)| *field == name) {
        object.insert("enum".into(), json!(words));
        return;
    }
    let most = STRINGS
        .iter()
        .find(|(field, _)| *field == name)
        .map_or(LONGEST_NAME, |(_, most)| *most);
    object.insert("maxLength".into(), json!(most));
}

/// A port number or name, or a quantity. A quantity written as a number has no bound of its own in Kubernetes.
fn int_or_string(name: &str, object: &mut Map<String, Value>) {
    if name == "port" {
        object.insert("minimum".into(), json!(1));
        object.insert("maximum".into(), json!(65_535));
        object.insert("maxLength".into(), json!(15));
    } else {
        object.insert("minimum".into(), json!(0));
        object.insert("maximum".into(), json!(MOST_EXACT));
        object.insert("maxLength".into(), json!(64));
    }
}
