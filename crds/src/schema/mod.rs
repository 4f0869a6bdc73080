//! The custom resource definitions as they are installed: the schema of the types, trimmed, bounded and with rules.
//!
//! The order of the steps: leave out what cannot work on Windows, bound what is embedded from Kubernetes and strip its
//! documentation, state how lists are merged, add the rules across fields.

mod bound;
mod list;
mod omit;
mod path;
mod rule;

use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

pub use omit::{OMITTED, Omitted};
pub use rule::{RULES, Rule};

use crate::{WindowsHostNode, WindowsHostTask};

/// Why a definition cannot be generated: the tables of this module do not fit the types.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A table names a field that the types do not have (any more).
    #[error("failed to find the field {0} in the schema")]
    NoSuchField(&'static str),
    /// A list is not in the table of list types.
    #[error("failed to find the list {0} in the table of list types")]
    UnknownList(String),
    /// The definition has no schema.
    #[error("failed to find a schema in the definition")]
    NoSchema,
    /// The definition cannot be written as JSON.
    #[error("failed to write the definition as JSON")]
    Json(#[from] serde_json::Error),
    /// The definition cannot be written as YAML.
    #[error("failed to write the definition as YAML")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

/// The fields whose types are Kubernetes' own.
pub const EMBEDDED: [&str; 5] = [
    "spec.template",
    "spec.placement.nodeSelector",
    "spec.placement.tolerations",
    "spec.rollout.waves[].nodeSelector",
    "status.conditions",
];

/// The only field without a schema of its own: every value is refused by a rule that says where to put it.
pub const UNTYPED: &str = "spec.template.spec.affinity";

/// Where the schema stands in a definition.
const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

/// Both custom resource definitions, ready to be applied, with their fields in a stable order.
pub fn manifests() -> Result<Vec<Value>, SchemaError> {
    Ok(vec![task()?, node()?])
}

/// The definitions by the name of their file, as YAML.
pub fn yaml() -> Result<Vec<(String, String)>, SchemaError> {
    let named = |it: Value| {
        let name = it
            .pointer("/spec/names/plural")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let file = format!("{}_{name}.yaml", crate::GROUP);
        Ok((file, serde_saphyr::to_string(&it)?))
    };
    manifests()?.into_iter().map(named).collect()
}

/// The schema of a definition.
pub fn schema_of(definition: &Value) -> Option<&Value> {
    definition.pointer(SCHEMA)
}

fn task() -> Result<Value, SchemaError> {
    let mut definition = serde_json::to_value(WindowsHostTask::crd())?;
    let schema = definition
        .pointer_mut(SCHEMA)
        .ok_or(SchemaError::NoSchema)?;
    leave_out(schema)?;
    for embedded in EMBEDDED {
        at(schema, embedded, &mut strip_descriptions)?;
        at(schema, embedded, &mut |it| {
            path::each_mut(it, "", &mut bound::embedded);
        })?;
    }
    at(schema, "spec.template", &mut |it| {
        insert(it, "required", json!(["spec"]));
    })?;
    at(schema, "spec.template.spec.containers", &mut |it| {
        insert(it, "minItems", json!(1));
    })?;
    at(schema, "status", &mut |it| {
        insert(it, "default", json!({"observedGeneration": -1}));
    })?;
    rule::add(schema)?;
    finish(definition)
}

fn node() -> Result<Value, SchemaError> {
    finish(serde_json::to_value(WindowsHostNode::crd())?)
}

/// Removes the fields of [`OMITTED`], and the schema of [`UNTYPED`].
fn leave_out(schema: &mut Value) -> Result<(), SchemaError> {
    for omitted in OMITTED {
        let mut missing = None;
        at(schema, omitted.at, &mut |node| {
            let node = if node.get("items").is_some() {
                node.get_mut("items")
            } else {
                Some(node)
            };
            let Some(properties) = node
                .and_then(|it| it.get_mut("properties"))
                .and_then(Value::as_object_mut)
            else {
                missing = Some(omitted.at);
                return;
            };
            for field in omitted.fields {
                if properties.remove(*field).is_none() {
                    missing = Some(field);
                }
            }
        })?;
        if let Some(missing) = missing {
            return Err(SchemaError::NoSuchField(missing));
        }
    }
    at(schema, UNTYPED, &mut |it| {
        *it = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    })
}

/// What both definitions have in common.
fn finish(mut definition: Value) -> Result<Value, SchemaError> {
    insert(
        definition
            .get_mut("metadata")
            .ok_or(SchemaError::NoSchema)?,
        "labels",
        json!({"app.kubernetes.io/name": "hosttask", "app.kubernetes.io/component": "api"}),
    );
    let schema = definition
        .pointer_mut(SCHEMA)
        .ok_or(SchemaError::NoSchema)?;
    describe(schema);
    let mut unknown = None;
    path::each_mut(schema, "", &mut |name, node| {
        tidy(node);
        if !list::merge(name, node) {
            unknown = Some(name.to_owned());
        }
    });
    match unknown {
        Some(list) => Err(SchemaError::UnknownList(list)),
        None => Ok(sorted(definition)),
    }
}

/// Removes what the API server warns of, and the line breaks of the source from the documentation.
fn tidy(node: &mut Value) {
    let Some(node) = node.as_object_mut() else {
        return;
    };
    node.remove("nullable");
    node.remove("title");
    if node.get("format") == Some(&json!("date-time")) {
        node.insert("maxLength".into(), json!(64));
    }
    let is_unknown =
        |format: &str| format.starts_with("uint") || ["int8", "int16"].contains(&format);
    if node
        .get("format")
        .and_then(Value::as_str)
        .is_some_and(is_unknown)
    {
        node.remove("format");
    }
    if let Some(Value::String(text)) = node.get_mut("description") {
        *text = text.split('\n').collect::<Vec<_>>().join(" ");
    }
}

/// Removes the documentation below a node: it would be three quarters of the definition and past the size that
/// client-side apply can store.
fn strip_descriptions(node: &mut Value) {
    let own = node.get("description").cloned();
    path::each_mut(node, "", &mut |_, it| {
        if let Some(it) = it.as_object_mut() {
            it.remove("description");
        }
    });
    if let Some(own) = own {
        insert(node, "description", own);
    }
}

/// Gives the kind the documentation of its type, which the derive puts on `spec`.
fn describe(schema: &mut Value) {
    let about = schema.pointer("/properties/spec/description").cloned();
    if let Some(about) = about {
        insert(schema, "description", about);
    }
    for (field, about) in [
        ("spec", "What is wanted."),
        ("status", "What the operator found and did."),
    ] {
        if let Some(node) = schema.pointer_mut(&format!("/properties/{field}")) {
            insert(node, "description", json!(about));
        }
    }
}

fn at(
    schema: &mut Value,
    path: &'static str,
    change: &mut dyn FnMut(&mut Value),
) -> Result<(), SchemaError> {
    match path::visit(schema, path, change) {
        0 => Err(SchemaError::NoSuchField(path)),
        _ => Ok(()),
    }
}

fn insert(node: &mut Value, key: &str, value: Value) {
    if let Some(node) = node.as_object_mut() {
        node.insert(key.to_owned(), value);
    }
}

/// The same value with the keys of all maps in order, whichever map `serde_json` was built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            let entries = entries.into_iter().map(|(key, it)| (key, sorted(it)));
            Value::Object(entries.collect::<Map<String, Value>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        // The bounds are floating-point in the Kubernetes type, and would be written as `1.0`.
        Value::Number(number) => Value::Number(whole(&number).unwrap_or(number)),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "compared with the original afterwards"
)]
#[expect(
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "only exact numbers are changed"
)]
fn whole(number: &serde_json::Number) -> Option<serde_json::Number> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    let whole = float as i64;
    (whole as f64 == float).then(|| whole.into())
}
