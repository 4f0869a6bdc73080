//! One pod of the comparison: what is created, what the simulated program does, and how far it is followed.

use hosttask_tests::windows_node::WindowsNode;
use serde_json::{Value, json};

/// Whether a pod's status, as JSON, is what somebody waits for.
pub(crate) type Wanted = Box<dyn Fn(&Value) -> bool + Send + Sync>;

/// A pod that runs on both nodes.
pub(crate) struct Case {
    /// Its name, without the node.
    pub(crate) name: &'static str,
    /// Its labels.
    pub(crate) labels: Value,
    /// What is special about its spec.
    pub(crate) spec: Value,
    /// What the simulated program of a container does; the real one does what its command says.
    pub(crate) does: Vec<(&'static str, Value)>,
    /// What changes on the way.
    pub(crate) gate: Option<Gate>,
    /// The pod is deleted once its status is so.
    pub(crate) until: Wanted,
}

/// A change on the way: a file for the real programs, other behaviours for the simulated ones.
pub(crate) struct Gate {
    /// The status that opens it.
    pub(crate) when: Wanted,
    /// Whether the file is there before, and is removed; else it is made.
    pub(crate) removes: bool,
    /// What the simulated programs do from then on.
    pub(crate) then: Vec<(&'static str, Value)>,
}

impl Case {
    /// A pod whose containers run for ever on the simulated node unless [`Case::does`] says otherwise.
    pub(crate) fn new(
        name: &'static str,
        spec: Value,
        until: impl Fn(&Value) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            labels: json!({}),
            spec,
            does: Vec::new(),
            gate: None,
            until: Box::new(until),
        }
    }

    /// Says what the simulated program of a container does.
    pub(crate) fn does(mut self, container: &'static str, behaviour: Value) -> Self {
        self.does.push((container, behaviour));
        self
    }

    /// Gives the pod a label.
    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.labels[key] = json!(value);
        self
    }

    /// Makes the pod's file once its status is `when`.
    pub(crate) fn opens(
        self,
        when: impl Fn(&Value) -> bool + Send + Sync + 'static,
        then: &[(&'static str, Value)],
    ) -> Self {
        self.gated(Box::new(when), false, then)
    }

    /// Removes the pod's file once its status is `when`.
    pub(crate) fn closes(
        self,
        when: impl Fn(&Value) -> bool + Send + Sync + 'static,
        then: &[(&'static str, Value)],
    ) -> Self {
        self.gated(Box::new(when), true, then)
    }

    fn gated(mut self, when: Wanted, removes: bool, then: &[(&'static str, Value)]) -> Self {
        self.gate = Some(Gate {
            when,
            removes,
            then: then.to_vec(),
        });
        self
    }
}

/// The name of a pod's file below the node's folder.
pub(crate) fn file_name(pod: &str) -> String {
    format!("same-{pod}")
}

/// The path of a pod's file, as the programs of the real node see it.
pub(crate) fn file(pod: &str) -> String {
    format!("C:\\node\\{}", file_name(pod))
}

/// A container that runs `probe` on the node with these steps.
pub(crate) fn probe(name: &str, steps: &[&str]) -> Value {
    let mut command = vec![WindowsNode::PROBE];
    command.extend(steps);
    json!({ "name": name, "image": WindowsNode::IMAGE, "imagePullPolicy": "Never", "command": command })
}

/// The same container with more fields.
pub(crate) fn with(mut container: Value, fields: &Value) -> Value {
    let all = container.as_object_mut().unwrap();
    for (key, value) in fields.as_object().unwrap() {
        all.insert(key.clone(), value.clone());
    }
    container
}

/// A check that runs `probe` in the container. Every check under Wine costs a process, so they are not frequent.
pub(crate) fn check(steps: &[&str]) -> Value {
    let mut command = vec![WindowsNode::PROBE];
    command.extend(steps);
    json!({ "exec": { "command": command }, "periodSeconds": 3, "failureThreshold": 1, "timeoutSeconds": 30 })
}

/// A check that nobody sees the result of: whether a program that ends at once was ready is a matter of time.
pub(crate) fn never_asked() -> Value {
    with(
        check(&["exit", "0"]),
        &json!({ "initialDelaySeconds": 3600 }),
    )
}

/// A container that waits until it is told to stop, and then ends with 0.
pub(crate) fn waits(name: &str) -> Value {
    probe(name, &["on-interrupt", "0", "hang"])
}

/// A simulated program that ends soon.
pub(crate) fn exits(code: i32) -> Value {
    json!({ "exit": { "code": code, "afterSeconds": 0.3 } })
}

/// A simulated program that does not end by itself.
pub(crate) fn hangs() -> Value {
    json!({ "exit": { "code": 0, "afterSeconds": 100_000 } })
}

/// The same simulated program with more fields.
pub(crate) fn and(behaviour: Value, fields: &Value) -> Value {
    with(behaviour, fields)
}

/// The pod has ended.
pub(crate) fn ended(status: &Value) -> bool {
    status["phase"] == "Succeeded" || status["phase"] == "Failed"
}

/// The pod is ready.
pub(crate) fn ready(status: &Value) -> bool {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut conditions = conditions.filter(|it| it["type"] == "Ready");
    conditions.any(|it| it["status"] == "True")
}

/// All regular containers run.
pub(crate) fn running(status: &Value) -> bool {
    let mut all = status["containerStatuses"].as_array().into_iter().flatten();
    status["phase"] == "Running" && all.all(|it| it["state"]["running"].is_object())
}

/// One container, an init container too, is as `wanted` says.
pub(crate) fn container(
    name: &'static str,
    wanted: impl Fn(&Value) -> bool + Send + Sync + 'static,
) -> impl Fn(&Value) -> bool + Send + Sync + 'static {
    move |status| {
        let lists = ["containerStatuses", "initContainerStatuses"];
        let mut all = lists.iter().filter_map(|list| status[list].as_array());
        all.any(|list| list.iter().any(|it| it["name"] == name && wanted(it)))
    }
}

/// A container waits for this reason, after so many restarts at least.
pub(crate) fn waits_for(
    name: &'static str,
    reason: &'static str,
    restarts: i64,
) -> impl Fn(&Value) -> bool + Send + Sync + 'static {
    container(name, move |it| {
        it["state"]["waiting"]["reason"] == reason
            && it["restartCount"]
                .as_i64()
                .is_some_and(|count| count >= restarts)
    })
}
