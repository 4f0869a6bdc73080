//! What the operator makes of a task in a YAML file. Shared by the suites on manifests and recipes.

use hosttask_operator::desired::{Desired, TaskKey};
use hosttask_operator::validate::{InputState, InputsView, Problem, TaskInput, validate};
use hosttask_tests::manifest::Document;
use serde_json::Value;

/// Validates a task in a cluster that holds `cluster`, of which the operator sees the ConfigMaps.
pub(crate) fn desired(task: &Document, cluster: &[Document]) -> Result<Desired, Vec<Problem>> {
    let config_maps = cluster
        .iter()
        .filter(|it| it.kind() == "ConfigMap" && it.namespace() == task.namespace())
        .map(|it| {
            (
                it.name().to_owned(),
                InputState::Present("digest".to_owned()),
            )
        })
        .collect();
    let inputs = InputsView {
        config_maps,
        ..InputsView::default()
    };
    let key = TaskKey {
        namespace: task.namespace().to_owned(),
        name: task.name().to_owned(),
    };
    let input = TaskInput {
        key: &key,
        uid: "00000000-0000-4000-8000-000000000000",
        generation: 1,
        spec: task.value.get("spec").unwrap_or(&Value::Null),
    };
    validate(&input, &inputs)
}
