//! The config of a container, as a test wants it.

use std::path::Path;

use serde_json::{Map, Value, json};

/// A config for the shim: the same that it gets on Windows.
#[derive(Debug, Clone)]
pub struct Spec {
    program: String,
    arguments: Vec<String>,
    variables: Vec<String>,
    annotations: Map<String, Value>,
    /// Fields that stand at the top or in `process`, over what this writes.
    others: Vec<(Part, String, Value)>,
}

/// Where a field of a config stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// At its top.
    Top,
    /// In `process`.
    Process,
}

impl Spec {
    /// A container that runs a program as whoever runs the shim.
    pub fn new(program: &Path, arguments: &[&str]) -> Self {
        let own = ["container", "inherit-user"];
        let annotations = own.map(|it| (format!("microsoft.com/hostprocess-{it}"), json!("true")));
        Self {
            program: program.to_string_lossy().into_owned(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            variables: Vec::new(),
            annotations: annotations.into_iter().collect(),
            others: Vec::new(),
        }
    }

    /// Sets a variable of its process.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push(format!("{name}={value}"));
        self
    }

    /// Makes it one of a pod, or the pod's sandbox itself where both ids are the same.
    #[must_use]
    pub fn in_pod(mut self, id: &str, sandbox: &str) -> Self {
        let kind = if id == sandbox {
            "sandbox"
        } else {
            "container"
        };
        let own = [("container-type", kind), ("sandbox-id", sandbox)];
        let own = own.map(|(name, value)| (format!("io.kubernetes.cri.{name}"), json!(value)));
        self.annotations.extend(own);
        self
    }

    /// Sets any other field, or one of these to something else.
    #[must_use]
    pub fn with(mut self, part: Part, field: &str, value: Value) -> Self {
        self.others.push((part, field.to_owned(), value));
        self
    }

    /// The config itself.
    pub fn json(&self) -> Value {
        let fields = [
            ("ociVersion", json!("1.2.0")),
            ("process", self.process_of(&self.arguments)),
            ("annotations", Value::Object(self.annotations.clone())),
            ("windows", json!({})),
        ];
        self.with_others(Part::Top, fields)
    }

    /// Its process with other arguments, for an exec.
    pub fn process(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        self.process_of(&arguments)
    }

    fn process_of(&self, arguments: &[String]) -> Value {
        let words = std::iter::once(&self.program).chain(arguments);
        let fields = [
            ("args", words.map(|word| json!(word)).collect()),
            ("cwd", json!("/")),
            ("env", json!(self.variables)),
        ];
        self.with_others(Part::Process, fields)
    }

    fn with_others<const N: usize>(&self, part: Part, fields: [(&str, Value); N]) -> Value {
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        let others = self.others.iter().filter(|(place, ..)| *place == part);
        let others = others.map(|(_, name, value)| (name.clone(), value.clone()));
        Value::Object(fields.into_iter().chain(others).collect())
    }
}
