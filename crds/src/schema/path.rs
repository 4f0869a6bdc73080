//! Finds schema nodes by the path of the field they describe.

use serde_json::Value;

/// Calls `found` with every node at `path` and returns how many there were.
///
/// A path is a list of property names with dots between them. `a|b` stands for two properties, `[]` for the items of a
/// list and `{}` for the values of a map; lists inside a path are passed through without `[]`, and `a[].b` is the same as
/// `a.b`. The empty path is the node itself.
pub(super) fn visit(node: &mut Value, path: &str, found: &mut dyn FnMut(&mut Value)) -> usize {
    if path.is_empty() {
        found(node);
        return 1;
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    match first {
        "[]" => return child(node, "items", rest, found),
        "{}" => return child(node, "additionalProperties", rest, found),
        _ => {}
    }
    let object = if node.get("items").is_some() {
        node.get_mut("items")
    } else {
        Some(node)
    };
    let Some(properties) = object.and_then(|it| it.get_mut("properties")) else {
        return 0;
    };
    first
        .split('|')
        .map(|name| child(properties, name.trim_end_matches("[]"), rest, found))
        .sum()
}

fn child(node: &mut Value, key: &str, rest: &str, found: &mut dyn FnMut(&mut Value)) -> usize {
    node.get_mut(key).map_or(0, |it| visit(it, rest, found))
}

/// Calls `change` with every node below and including `node`, parents first, and the name of the nearest property.
pub(super) fn each_mut(node: &mut Value, name: &str, change: &mut dyn FnMut(&str, &mut Value)) {
    change(name, node);
    for (key, it) in node
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
    {
        each_mut(it, key, change);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = node.get_mut(key) {
            each_mut(inner, name, change);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_finds_alternatives_items_and_values() {
        let mut node = json!({"properties": {
            "a": {"type": "array", "items": {"properties": {"x": {"type": "string"}}}},
            "b": {"properties": {"x": {"additionalProperties": {"type": "string"}}}},
        }});
        assert_eq!(visit(&mut node, "a|b.x", &mut |_| {}), 2);
        assert_eq!(visit(&mut node, "a.[].x", &mut |_| {}), 1);
        assert_eq!(visit(&mut node, "a[].x", &mut |_| {}), 1);
        assert_eq!(visit(&mut node, "b.x.{}", &mut |_| {}), 1);
        assert_eq!(visit(&mut node, "a.y", &mut |_| {}), 0);
        assert_eq!(visit(&mut node, "", &mut |_| {}), 1);
    }
}
