//! Intended differences between two pods, as a list that must be complete and true.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The list that stands beside a recipe.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// What the recipe is compared with.
    pub upstream: Upstream,
    /// Where they differ. Wildcards are not allowed here.
    pub differences: Vec<Difference>,
}

/// A manifest of somebody else.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upstream {
    /// Where it was published.
    pub source: String,
    /// The file's name in the folder of manifests.
    pub file: String,
    /// The name of the DaemonSet in it.
    pub daemon_set: String,
}

/// One intended difference.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The field, such as `spec.containers[felix].env[KUBECONFIG].value`, in the normal form of [`super::pod`].
    /// `[*]` stands for every member.
    pub path: String,
    /// Their value; none where the field is absent.
    #[serde(default)]
    pub upstream: Option<Value>,
    /// Our value; none where the field is absent.
    #[serde(default)]
    pub ours: Option<Value>,
    /// Why it differs.
    pub why: String,
}

/// Compares two pods in their normal form. The answer names every difference that is not listed, and every listed one
/// that is not there; it is empty if the list is complete and true.
///
/// A listed field is compared as a whole, with everything below it. An entry with `[*]` that fits nothing is not a
/// finding: whether it is used anywhere is for the caller to check with [`Difference::fits`].
pub fn findings(upstream: &Value, ours: &Value, listed: &[Difference]) -> Vec<String> {
    let (mut upstream, mut ours) = (upstream.clone(), ours.clone());
    let mut found = Vec::new();
    for difference in listed {
        for path in difference.paths(&upstream, &ours) {
            let theirs = take(&mut upstream, &path);
            let own = take(&mut ours, &path);
            let place = written(&path);
            if theirs == own {
                found.push(format!(
                    "{place}: listed, but both are {}",
                    shown(own.as_ref())
                ));
            } else if theirs != difference.upstream {
                let (listed, is) = (shown(difference.upstream.as_ref()), shown(theirs.as_ref()));
                found.push(format!(
                    "{place}: upstream is listed as {listed} and is {is}"
                ));
            } else if own != difference.ours {
                let (listed, is) = (shown(difference.ours.as_ref()), shown(own.as_ref()));
                found.push(format!("{place}: ours is listed as {listed} and is {is}"));
            }
        }
    }
    unlisted(Some(&upstream), Some(&ours), &mut Vec::new(), &mut found);
    found
}

impl Difference {
    /// Whether the entry says something of these two pods.
    pub fn fits(&self, upstream: &Value, ours: &Value) -> bool {
        !self.paths(upstream, ours).is_empty()
    }

    /// The places the entry means, with `[*]` replaced by the members of both sides.
    fn paths(&self, upstream: &Value, ours: &Value) -> Vec<Vec<String>> {
        let mut paths = vec![Vec::new()];
        for segment in segments(&self.path) {
            paths = paths
                .into_iter()
                .flat_map(|path: Vec<String>| {
                    let members = if segment == "*" {
                        let both = [at(upstream, &path), at(ours, &path)];
                        let maps = both.into_iter().flatten().filter_map(Value::as_object);
                        let mut members: Vec<_> = maps.flat_map(Map::keys).cloned().collect();
                        members.sort();
                        members.dedup();
                        members
                    } else {
                        vec![segment.clone()]
                    };
                    members.into_iter().map(move |member| {
                        let mut longer = path.clone();
                        longer.push(member);
                        longer
                    })
                })
                .collect();
        }
        paths
    }
}

/// `a.b[c.d]` → `a`, `b`, `c.d`.
fn segments(path: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut is_bracketed = false;
    for letter in path.chars() {
        match letter {
            '[' if !is_bracketed => {
                is_bracketed = true;
                found.push(String::new());
            }
            ']' if is_bracketed => is_bracketed = false,
            '.' if !is_bracketed => found.push(String::new()),
            _ => {
                if let Some(last) = found.last_mut() {
                    last.push(letter);
                }
            }
        }
    }
    found
}

fn written(path: &[String]) -> String {
    let mut text = String::new();
    for segment in path {
        if !segment.chars().all(|letter| letter.is_ascii_alphanumeric()) {
            text.extend(["[", segment, "]"]);
        } else if text.is_empty() {
            text.push_str(segment);
        } else {
            text.extend([".", segment]);
        }
    }
    text
}

fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter()
        .try_fold(value, |inner, segment| inner.get(segment))
}

fn take(value: &mut Value, path: &[String]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let parent = parents
        .iter()
        .try_fold(value, |inner, segment| inner.get_mut(segment))?;
    parent.as_object_mut()?.remove(last)
}

fn unlisted(
    upstream: Option<&Value>,
    ours: Option<&Value>,
    path: &mut Vec<String>,
    found: &mut Vec<String>,
) {
    let (left, right) = (
        upstream.and_then(Value::as_object),
        ours.and_then(Value::as_object),
    );
    let is_leaf =
        |side: Option<&Value>, map: Option<&Map<String, Value>>| side.is_some() && map.is_none();
    if is_leaf(upstream, left) || is_leaf(ours, right) {
        if upstream != ours {
            let (theirs, own) = (shown(upstream), shown(ours));
            found.push(format!(
                "{}: not listed: upstream {theirs}, ours {own}",
                written(path)
            ));
        }
        return;
    }
    let mut keys: Vec<_> = [left, right]
        .into_iter()
        .flatten()
        .flat_map(Map::keys)
        .collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        path.push(key.clone());
        let inner =
            |side: Option<&'_ Map<String, Value>>| side.and_then(|map| map.get(key)).cloned();
        unlisted(inner(left).as_ref(), inner(right).as_ref(), path, found);
        path.pop();
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn difference(path: &str, upstream: Option<Value>, ours: Option<Value>) -> Difference {
        Difference {
            path: path.to_owned(),
            upstream,
            ours,
            why: String::new(),
        }
    }

    #[test]
    fn equal_pods_need_no_list() {
        let pod = json!({ "spec": { "containers": { "a": { "image": "x" } } } });
        assert!(findings(&pod, &pod, &[]).is_empty());
    }

    #[test]
    fn a_difference_that_is_not_listed_is_found_with_its_path() {
        let upstream = json!({ "spec": { "containers": { "a-b": { "image": "x" } } } });
        let ours = json!({ "spec": { "containers": { "a-b": { "image": "y" } } } });
        assert_eq!(
            findings(&upstream, &ours, &[]),
            [r#"spec.containers[a-b].image: not listed: upstream "x", ours "y""#]
        );
    }

    #[test]
    fn an_absent_subtree_is_a_difference() {
        let upstream = json!({ "spec": {} });
        let ours = json!({ "spec": { "os": { "name": "windows" } } });
        assert_eq!(findings(&upstream, &ours, &[]).len(), 1);
        assert_eq!(findings(&ours, &upstream, &[]).len(), 1);
        let whole = difference("spec.os", None, Some(json!({ "name": "windows" })));
        assert!(findings(&upstream, &ours, &[whole]).is_empty());
    }

    #[test]
    fn a_listed_difference_must_be_there_with_both_values() {
        let upstream = json!({ "image": "x" });
        let ours = json!({ "image": "y" });
        let found = |theirs, own| findings(&upstream, &ours, &[difference("image", theirs, own)]);
        assert!(found(Some(json!("x")), Some(json!("y"))).is_empty());
        assert_eq!(found(Some(json!("z")), Some(json!("y"))).len(), 1);
        assert_eq!(found(Some(json!("x")), Some(json!("z"))).len(), 1);
        assert_eq!(found(None, Some(json!("y"))).len(), 1);
        let stale = difference("image", Some(json!("x")), Some(json!("x")));
        assert_eq!(findings(&upstream, &upstream, &[stale]).len(), 1);
        let nowhere = difference("other", None, None);
        assert_eq!(findings(&upstream, &upstream, &[nowhere]).len(), 1);
    }

    #[test]
    fn a_wildcard_means_every_member_of_both_sides() {
        let upstream = json!({ "c": { "a": {}, "b": {} } });
        let ours = json!({ "c": { "a": { "p": 1 }, "b": { "p": 1 } } });
        let every = difference("c[*].p", None, Some(json!(1)));
        assert!(findings(&upstream, &ours, std::slice::from_ref(&every)).is_empty());
        let partly = json!({ "c": { "a": { "p": 1 }, "b": {} } });
        assert_eq!(
            findings(&upstream, &partly, std::slice::from_ref(&every)).len(),
            1
        );
        assert!(!every.fits(&json!({}), &json!({})));
    }
}
