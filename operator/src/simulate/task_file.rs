//! A task out of a YAML file: judged as the API server and the operator would, before anything is simulated.

use std::collections::BTreeMap;

use hosttask_crds::schema::{SchemaError, manifests, schema_of};
use hosttask_crds::{GROUP, Reason};
use serde_json::Value;

use super::text::shown;
use crate::desired::{Desired, TaskKey};
use crate::validate::{InputState, InputsView, Problem, TaskInput, validate};

/// The kind of a task.
const KIND: &str = "WindowsHostTask";

/// A file with a valid task.
#[derive(Clone, Debug)]
pub struct TaskFile {
    /// What the task asks for.
    pub desired: Desired,
}

/// Why a file cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum TaskFileError {
    /// It is no YAML.
    #[error("failed to read it as YAML: {0}")]
    Yaml(String),
    /// There is no task in it.
    #[error("failed to find a {KIND} in it; write `kind: {KIND}`")]
    NoTask,
    /// There are several, and nothing says which one is meant.
    #[error("failed to choose one of {}; name it with --task", .0.join(", "))]
    Several(Vec<String>),
    /// The schema of the fields cannot be made, which is a defect.
    #[error("failed to make the schema of the fields")]
    Schema(#[from] SchemaError),
    /// The task is wrong.
    #[error("{} problems in {task}", .problems.len())]
    Problems {
        /// `namespace/name`.
        task: String,
        /// All of them, in the order of the fields.
        problems: Vec<Problem>,
    },
}

impl TaskFile {
    /// Reads the task out of the documents of a file. `wanted` chooses one by its name.
    ///
    /// # Errors
    /// There is no such task, or it has problems: then all of them.
    pub fn read(text: &str, wanted: Option<&str>) -> Result<Self, TaskFileError> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text)
            .map_err(|error| TaskFileError::Yaml(error.to_string()))?;
        let mut tasks: Vec<Value> = documents
            .into_iter()
            .flat_map(listed)
            .filter(|it| it.get("kind").and_then(Value::as_str) == Some(KIND))
            .filter(|it| wanted.is_none_or(|wanted| name(it) == wanted))
            .collect();
        if tasks.len() > 1 {
            let names = tasks.iter().map(|it| name(it).to_owned()).collect();
            return Err(TaskFileError::Several(names));
        }
        let task = tasks.pop().ok_or(TaskFileError::NoTask)?;
        judge(&task)
    }
}

/// The items of a list, or the document itself.
fn listed(document: Value) -> Vec<Value> {
    match document.get("items").and_then(Value::as_array) {
        Some(items) => items.clone(),
        None => vec![document],
    }
}

fn name(task: &Value) -> &str {
    task.pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn judge(task: &Value) -> Result<TaskFile, TaskFileError> {
    let namespace = task.pointer("/metadata/namespace").and_then(Value::as_str);
    let key = TaskKey {
        namespace: namespace.unwrap_or("default").to_owned(),
        name: name(task).to_owned(),
    };
    let mut problems = Vec::new();
    let version = task
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let right = format!("{GROUP}/{}", hosttask_crds::VERSION);
    if version != right {
        problems.push(problem(
            "apiVersion",
            Some(version),
            &format!("is not known; write {right}"),
        ));
    }
    if key.name.is_empty() {
        problems.push(problem("metadata.name", None, "is required"));
    }
    let spec = task.get("spec").cloned().unwrap_or_default();
    let definitions = manifests()?;
    let schema = definitions
        .iter()
        .find(|it| it.pointer("/spec/names/kind").and_then(Value::as_str) == Some(KIND))
        .and_then(schema_of)
        .and_then(|schema| schema.pointer("/properties/spec"));
    if let Some(schema) = schema {
        unknown(&spec, schema, "spec", &mut problems);
    }
    let input = TaskInput {
        key: &key,
        uid: "simulated",
        generation: 1,
        spec: &spec,
    };
    match validate(&input, &inputs(&spec)) {
        Ok(desired) if problems.is_empty() => Ok(TaskFile { desired }),
        Ok(_) => Err(TaskFileError::Problems {
            task: key.to_string(),
            problems,
        }),
        Err(found) => {
            problems.extend(found);
            Err(TaskFileError::Problems {
                task: key.to_string(),
                problems,
            })
        }
    }
}

fn problem(field: &str, value: Option<&str>, message: &str) -> Problem {
    Problem {
        reason: Reason::InvalidSpec,
        field: field.to_owned(),
        value: value.map(str::to_owned),
        message: message.to_owned(),
    }
}

/// Every ConfigMap and Secret that the task names exists, as far as a simulation can know.
fn inputs(spec: &Value) -> InputsView {
    let names = |list: &str| -> BTreeMap<String, InputState> {
        let items = spec
            .pointer(&format!("/inputs/{list}"))
            .and_then(Value::as_array);
        let names = items
            .into_iter()
            .flatten()
            .filter_map(|it| it.get("name")?.as_str());
        names
            .map(|name| (name.to_owned(), InputState::Present("simulated".to_owned())))
            .collect()
    };
    InputsView {
        config_maps: names("configMaps"),
        secrets: names("secrets"),
    }
}

/// Fields that the schema does not have: kubectl refuses them, and without it they would be dropped in silence.
fn unknown(value: &Value, schema: &Value, at: &str, problems: &mut Vec<Problem>) {
    let flag = |key: &str| schema.get(key).and_then(Value::as_bool) == Some(true);
    if flag("x-kubernetes-preserve-unknown-fields") {
        return;
    }
    match value {
        Value::Object(fields) => {
            let known = schema.get("properties").and_then(Value::as_object);
            let any = schema.get("additionalProperties");
            for (field, value) in fields {
                let at = format!("{at}.{field}");
                match known.and_then(|known| known.get(field)).or(any) {
                    Some(schema) => unknown(value, schema, &at, problems),
                    None if known.is_none() => {}
                    None => problems.push(problem(
                        &at,
                        Some(&shown(value)),
                        &format!("no such field; {}", fix(field, known)),
                    )),
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = schema.get("items") else {
                return;
            };
            for (index, item) in items.iter().enumerate() {
                unknown(item, schema, &format!("{at}[{index}]"), problems);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The field that was probably meant, or all there are.
fn fix(field: &str, known: Option<&serde_json::Map<String, Value>>) -> String {
    let names: Vec<&str> = known
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    let nearest = names
        .iter()
        .map(|name| (distance(field, name), *name))
        .min();
    match nearest {
        Some((distance, name)) if distance <= 2 => format!("write {name}"),
        _ if names.len() <= 20 => format!("write one of {}", names.join(", ")),
        _ => "remove it".to_owned(),
    }
}

/// How many letters must be changed, added or removed to make one word the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut next = vec![index + 1];
        for (pair, candidate) in row.windows(2).zip(&other) {
            let [corner, above] = pair else { continue };
            let left = next.last().copied().unwrap_or(0);
            let changed = corner + usize::from(letter != *candidate);
            next.push(changed.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "
apiVersion: hosttask.dev/v1alpha1
kind: WindowsHostTask
metadata: { name: agent, namespace: ops }
spec:
  mode: Daemon
  runAs: { account: System }
  template: { spec: { containers: [{ name: main, image: 'app:v1' }] } }
";

    #[test]
    fn the_task_is_found_among_other_documents() {
        let text = format!("kind: Namespace\n---{TASK}---\nkind: ConfigMap\n");
        let found = TaskFile::read(&text, None).unwrap();
        assert_eq!(found.desired.key.to_string(), "ops/agent");
        assert!(matches!(
            TaskFile::read("kind: Namespace", None),
            Err(TaskFileError::NoTask)
        ));
        let two = format!("{TASK}---{TASK}");
        assert!(matches!(
            TaskFile::read(&two, None),
            Err(TaskFileError::Several(_))
        ));
        assert!(matches!(
            TaskFile::read("a: [", None),
            Err(TaskFileError::Yaml(_))
        ));
    }

    #[test]
    fn every_problem_is_told_with_field_value_and_fix() {
        let text = format!(
            "{}  rollout: {{ maxUnavailble: 2, maxUnavailable: many }}\n",
            TASK.replace("v1alpha1", "v1")
                .replace("account: System", "account: Nobody")
        );
        let Err(TaskFileError::Problems { problems, task }) = TaskFile::read(&text, None) else {
            panic!("the task is wrong");
        };
        assert_eq!(task, "ops/agent");
        let of = |field: &str| {
            let found = problems.iter().find(|it| it.field == field);
            found.unwrap_or_else(|| panic!("{field} in {problems:#?}"))
        };
        assert_eq!(
            of("apiVersion").message,
            "is not known; write hosttask.dev/v1alpha1"
        );
        assert_eq!(
            of("spec.rollout.maxUnavailble").message,
            "no such field; write maxUnavailable"
        );
        assert_eq!(
            of("spec.rollout.maxUnavailable").value.as_deref(),
            Some("many")
        );
        assert_eq!(
            of("spec.runAs.account").value.as_deref(),
            Some("\"Nobody\"")
        );
    }

    #[test]
    fn words_that_differ_little_are_near() {
        assert_eq!(distance("maxUnavailble", "maxUnavailable"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("soak", "soakSeconds"), 7);
    }
}
