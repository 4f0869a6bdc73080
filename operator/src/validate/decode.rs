//! Raw JSON into types, with the path of every field that does not fit.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::found::{Found, rules};

rules! {
    MALFORMED: ApiServer, "any field", "does not fit the schema; see `kubectl explain windowshosttask` for the field";
}

/// How many misfits of one section are reported; a template of a megabyte can hold very many.
const MOST: usize = 50;

/// Decodes a section of the spec. Each field that does not fit is reported and left out, so that the rest can be
/// judged as well; none is returned where nothing sensible is left.
pub(super) fn decode<T: DeserializeOwned>(value: &Value, at: &str, found: &mut Found) -> Option<T> {
    let mut value = value.clone();
    for _ in 0..MOST {
        let error = match serde_path_to_error::deserialize(&value) {
            Ok(decoded) => return Some(decoded),
            Err(error) => error,
        };
        let path: Vec<&Segment> = error.path().iter().collect();
        let misfit = lookup(&mut value, &path).cloned();
        found.report_unreadable(
            &MALFORMED,
            format!("{at}{}", text(&path)),
            misfit.as_ref().map(|it| it as &dyn std::fmt::Display),
            &error.inner().to_string(),
        );
        if !leave_out(&mut value, &path) {
            return None;
        }
    }
    None
}

fn text(path: &[&Segment]) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Map { key } => format!(".{key}"),
            Segment::Seq { index } => format!("[{index}]"),
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        })
        .collect()
}

fn lookup<'a>(value: &'a mut Value, path: &[&Segment]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Map { key } => value.get_mut(key),
        Segment::Seq { index } => value.get_mut(index),
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    })
}

/// Removes the innermost named field on the path; an item of a list goes with its list, as the others would move up and
/// be reported under wrong indices.
fn leave_out(value: &mut Value, path: &[&Segment]) -> bool {
    let Some(last) = path
        .iter()
        .rposition(|segment| matches!(segment, Segment::Map { .. }))
    else {
        return false;
    };
    let (parents, rest) = path.split_at(last);
    match (lookup(value, parents), rest.first()) {
        (Some(Value::Object(map)), Some(Segment::Map { key })) => map.remove(key).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::PodTemplateSpec;
    use serde_json::json;

    #[test]
    fn every_misfit_is_reported_with_its_path_and_the_rest_is_kept() {
        let mut found = Found::default();
        let template: PodTemplateSpec = decode(
            &json!({"spec": {
                "hostNetwork": "yes",
                "containers": [{"name": "a", "args": ["x", 5], "ports": [{"containerPort": 1_i64 << 40}]}],
            }}),
            "spec.template",
            &mut found,
        )
        .unwrap();
        assert_eq!(template.spec.unwrap().containers[0].name, "a");
        let fields: Vec<_> = found
            .into_problems()
            .into_iter()
            .map(|it| (it.field, it.value))
            .collect();
        assert_eq!(
            fields,
            [
                (
                    "spec.template.spec.containers[0].args[1]".into(),
                    Some("5".into())
                ),
                (
                    "spec.template.spec.containers[0].ports[0].containerPort".into(),
                    Some("1099511627776".into())
                ),
                (
                    "spec.template.spec.hostNetwork".into(),
                    Some("\"yes\"".into())
                ),
            ]
        );
    }

    #[test]
    fn a_number_is_as_good_as_a_quantity_in_quotes() {
        let mut found = Found::default();
        let raw =
            json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1}}}]}});
        assert!(decode::<PodTemplateSpec>(&raw, "spec.template", &mut found).is_some());
        assert!(found.is_empty());
    }
}
