//! The reference pages of the API, written from the schema and the enums so that they cannot lag behind.

use std::fmt::Write;

use serde_json::Value;

use crate::condition::{ConditionType, Reason};
use crate::failure::WORDS;
use crate::schema::{self, EMBEDDED, OMITTED, RULES, SchemaError};

const NOTE: &str = "<!-- Generated from the types: UPDATE_GOLDEN=1 cargo test -p hosttask-crds --test golden -->\n";

/// Every field of both kinds: type, default, range and meaning; then the rules and what a template may hold.
pub fn api() -> Result<String, SchemaError> {
    let mut page = format!("# The API: {}/{}\n\n{NOTE}", crate::GROUP, crate::VERSION);
    for definition in schema::manifests()? {
        let root = schema::schema_of(&definition).ok_or(SchemaError::NoSchema)?;
        let kind = text(get(&definition, "/spec/names"), "kind");
        write(
            &mut page,
            &format!("\n## {kind}\n\n{}\n", text(root, "description")),
        );
        for section in ["spec", "status"] {
            let Some(node) = get(root, "/properties").get(section) else {
                continue;
            };
            if get(node, "/properties")
                .as_object()
                .is_none_or(serde_json::Map::is_empty)
            {
                continue;
            }
            write(&mut page, &format!("\n### {kind} `{section}`\n\n"));
            write(
                &mut page,
                "| field | type | default | bounds | meaning |\n| --- | --- | --- | --- | --- |\n",
            );
            fields(&mut page, node, section);
        }
        if kind == "WindowsHostTask" {
            rules(&mut page);
            template(&mut page, get(root, "/properties/spec/properties/template"));
        }
    }
    Ok(page)
}

/// The condition types and the reasons, with what they mean, where they come from and what to do.
pub fn reasons() -> String {
    let mut page = format!(
        "# Conditions and reasons\n\n{NOTE}\n\
         The status of a `WindowsHostTask` has these conditions. `Reconciling` and `Stalled` are present only while true, \
         and never both.\n\n| type | when it is true |\n| --- | --- |\n"
    );
    for it in ConditionType::ALL {
        write(
            &mut page,
            &format!("| `{}` | {} |\n", it.as_str(), it.meaning()),
        );
    }
    write(
        &mut page,
        "\nA reason says why. Its words are part of the API: scripts and alerts may rely on them. Where there is no fix, nothing \
         is wrong.\n\n## Reasons of conditions\n\nSome are the reason of an Event as well, published once.\n\n",
    );
    reasons_of(&mut page, |it| !it.meaning().trim().starts_with(EVENT));
    write(&mut page, "\n## Reasons of Events only\n\n");
    reasons_of(&mut page, |it| it.meaning().trim().starts_with(EVENT));
    write(
        &mut page,
        "\n## Reasons of nodes\n\nIn `status.failures[].reason` of a task and `status.tasks[].reason` of a node's ledger. Another word \
         is one of Kubernetes, such as `ErrImagePull`.\n\n| reason | meaning | fix |\n| --- | --- | --- |\n",
    );
    for it in WORDS {
        let line = format!(
            "| `{}` | {} | {} |\n",
            it.name,
            cell(it.meaning),
            cell(it.fix)
        );
        write(&mut page, &line);
    }
    page
}

/// What the meaning of a reason begins with that no condition has.
const EVENT: &str = "Event: ";

fn reasons_of(page: &mut String, is_listed: impl Fn(Reason) -> bool) {
    write(
        page,
        "| reason | meaning | cause | fix |\n| --- | --- | --- | --- |\n",
    );
    for it in Reason::ALL.iter().copied().filter(|it| is_listed(*it)) {
        let meaning = it.meaning().trim();
        let meaning = meaning.strip_prefix(EVENT).unwrap_or(meaning);
        let (cause, fix) = (cell(it.cause()), cell(it.fix()));
        let line = format!(
            "| `{}` | {} | {cause} | {fix} |\n",
            it.as_str(),
            cell(meaning)
        );
        write(page, &line);
    }
}

/// Rows for the fields below a node, parents first. What is embedded from Kubernetes is one row.
fn fields(page: &mut String, node: &Value, path: &str) {
    let object = node.get("items").unwrap_or(node);
    let required: Vec<&str> = get(object, "/required")
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, field) in get(object, "/properties").as_object().into_iter().flatten() {
        let at = format!("{path}.{name}");
        let (meaning, stated) = split_default(&text(field, "description"));
        let default = match field.get("default") {
            Some(value) => format!("`{value}`"),
            None if required.contains(&name.as_str()) => "required".to_owned(),
            None => stated,
        };
        let line = format!(
            "| `{at}` | {} | {} | {} | {} |\n",
            kind(field),
            cell(&default),
            bounds(field),
            cell(&meaning)
        );
        write(page, &line);
        if !EMBEDDED.contains(&at.as_str()) {
            let below = if field.get("items").is_some() {
                format!("{at}[]")
            } else {
                at
            };
            fields(page, field, &below);
        }
    }
}

fn rules(page: &mut String) {
    write(
        page,
        "\n### Rules across fields\n\nThe API server refuses a task that breaks one of them.\n\n",
    );
    write(page, "| field | it… |\n| --- | --- |\n");
    for rule in RULES {
        let places = rule.at.split(", ").map(|at| {
            let at = at.replace('|', ", ").replace(".[]", "[]");
            format!("`{at}{}`", rule.field)
        });
        let places = places.collect::<Vec<_>>().join(", ");
        write(page, &format!("| {places} | {} |\n", cell(rule.message)));
    }
}

fn template(page: &mut String, node: &Value) {
    write(
        page,
        "\n### The template\n\nA pod template with the fields below; they mean what they mean in every pod. \
         [template.md](template.md) says how to bring an existing DaemonSet.\n\n| object | fields |\n| --- | --- |\n",
    );
    objects(page, node, "template");
    write(
        page,
        "\nLeft out:\n\n| object | fields | why |\n| --- | --- | --- |\n",
    );
    for it in OMITTED {
        let at = it.at.trim_start_matches("spec.").replace('|', ", ");
        write(
            page,
            &format!(
                "| `{at}` | {} | {} |\n",
                names(it.fields.iter().copied()),
                cell(it.why)
            ),
        );
    }
}

/// A row for every object with fields. Init containers have the fields of containers and are not repeated.
fn objects(page: &mut String, node: &Value, path: &str) {
    let object = node.get("items").unwrap_or(node);
    let Some(properties) = get(object, "/properties").as_object() else {
        return;
    };
    write(
        page,
        &format!(
            "| `{path}` | {} |\n",
            names(properties.keys().map(String::as_str))
        ),
    );
    for (name, field) in properties {
        if name == "initContainers" {
            write(
                page,
                &format!("| `{path}.{name}[]` | as containers, and `restartPolicy` |\n"),
            );
            continue;
        }
        let list = if field.get("items").is_some() {
            "[]"
        } else {
            ""
        };
        objects(page, field, &format!("{path}.{name}{list}"));
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|it| format!("`{it}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn kind(field: &Value) -> String {
    if field.get("x-kubernetes-int-or-string").is_some() {
        return "integer or string".to_owned();
    }
    if let Some(words) = get(field, "/enum").as_array() {
        return names(words.iter().filter_map(Value::as_str));
    }
    if get(field, "/format") == "date-time" {
        return "time".to_owned();
    }
    match field.get("items") {
        Some(items) => format!("list of {}", kind(items)),
        None => text(field, "type"),
    }
}

fn bounds(field: &Value) -> String {
    let number = |key: &str| field.get(key).map(Value::to_string);
    let mut bounds = Vec::new();
    if let (Some(least), Some(most)) = (number("minimum"), number("maximum")) {
        bounds.push(format!("{least} to {most}"));
    }
    if get(field, "/format") != "date-time"
        && let Some(most) = number("maxLength")
    {
        bounds.push(format!("≤ {most} characters"));
    }
    if let Some(most) = number("maxItems") {
        bounds.push(format!("≤ {most} items"));
    }
    if let Some(items) = field
        .get("items")
        .filter(|it| it.get("properties").is_none())
    {
        bounds.push(self::bounds(items));
    }
    bounds.retain(|it| !it.is_empty());
    bounds.join(", ")
}

/// The documentation without its sentence about the default, and the default.
fn split_default(about: &str) -> (String, String) {
    let Some((before, after)) = about.split_once("Default") else {
        return (about.to_owned(), String::new());
    };
    let (default, rest) = after
        .split_once(". ")
        .unwrap_or_else(|| (after.trim_end_matches('.'), ""));
    let default = default.trim_start_matches(':').trim();
    (
        format!("{before}{rest}").trim().to_owned(),
        default.to_owned(),
    )
}

/// What stands at a JSON pointer; null where nothing does.
fn get<'a>(node: &'a Value, pointer: &str) -> &'a Value {
    node.pointer(pointer).unwrap_or(&Value::Null)
}

fn text(node: &Value, key: &str) -> String {
    node.get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Text for a cell of a table, in which a bar would end the cell.
fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('\n', " ")
}

fn write(page: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = page.write_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_taken_out_of_the_documentation() {
        let split = |it| split_default(it);
        assert_eq!(
            split("How long. Default 0."),
            ("How long.".into(), "0".into())
        );
        assert_eq!(
            split("A. Default true. B."),
            ("A. B.".into(), "true".into())
        );
        assert_eq!(split("A. Default: never."), ("A.".into(), "never".into()));
        assert_eq!(split("A."), ("A.".into(), String::new()));
    }
}
