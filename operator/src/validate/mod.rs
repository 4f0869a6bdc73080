//! `validate`: a task becomes a `Desired`, or the list of everything that is wrong with it. Pure.

use std::collections::BTreeMap;

use hosttask_crds::Reason;

pub mod name;

/// One thing that is wrong with a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The reason it is reported under: InvalidSpec, InputMissing or SecretAccessDenied.
    pub reason: Reason,
    /// The field path, such as `spec.template.spec.containers[0].image`.
    pub field: String,
    /// The offending value, shortened; none where the field is missing.
    pub value: Option<String>,
    /// What is wrong, and how to mend it.
    pub message: String,
}

/// What the operator knows of the ConfigMaps and Secrets a task names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputsView {
    /// ConfigMap name → its state.
    pub config_maps: BTreeMap<String, InputState>,
    /// Secret name → its state.
    pub secrets: BTreeMap<String, InputState>,
}

/// The state of one ConfigMap or Secret. A name that is not in the view counts as missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputState {
    /// It exists; the digest of its content.
    Present(String),
    /// It does not exist.
    Missing,
    /// The API server refuses to show it; its message.
    Denied(String),
}
