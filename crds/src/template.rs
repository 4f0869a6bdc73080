//! `Template`: the pod template exactly as the user wrote it.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A pod template as raw JSON.
///
/// It is kept raw because the revision is a hash of what the user wrote. Hashing a typed struct would change the hash, and
/// so restart every pod, whenever an operator release adds a field or a default.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(transparent)]
pub struct Template(pub Map<String, Value>);

impl Template {
    /// The template as the Kubernetes type. The schema has already refused what does not fit, unless the object was
    /// stored before the schema.
    pub fn typed(&self) -> Result<PodTemplateSpec, serde_json::Error> {
        serde_json::from_value(Value::Object(self.0.clone()))
    }
}

impl JsonSchema for Template {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Template")
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        PodTemplateSpec::json_schema(generator)
    }
}
