//! `validate`: a task becomes a `Desired`, or the list of everything that is wrong with it. Pure.

mod amount;
mod container;
mod decode;
mod dependency;
mod found;
mod identity;
mod input;
mod job;
mod limits;
pub mod name;
mod placement;
mod pod;
mod probe;
mod quantity;
mod results;
mod rollout;
mod selector;
mod template;
mod volume;
mod wave;
mod window;

use std::collections::BTreeMap;

use hosttask_crds::Reason;
use hosttask_crds::task::{
    Account, Dependency, Health, Inputs, Job, Mode, Placement, Rollout, RunAs, Schedule,
};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use serde_json::{Value, json};

use crate::build;
use crate::desired::{Content, Desired, Identity, TaskKey};
use crate::placement::compile;
use decode::decode;
use found::{Found, rules};
pub use found::{Rule, Source};
pub use results::for_results;

rules! {
    REQUIRED: ApiServer, "spec.{mode,runAs,template}", "is required";
}

/// One thing that is wrong with a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The reason it is reported under: `InvalidSpec`, `InputMissing` or `SecretAccessDenied`.
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

/// A task as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct TaskInput<'a> {
    /// Namespace and name.
    pub key: &'a TaskKey,
    /// The UID.
    pub uid: &'a str,
    /// The generation of the spec.
    pub generation: i64,
    /// The spec, as the API server holds it.
    pub spec: &'a Value,
}

/// The content stored in a `ControllerRevision` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to decode the stored content at {field}: {message}")]
pub struct ContentError {
    /// The path of the first field that does not fit.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// Turns a task into what it asks for.
///
/// Every rule that the schema checks is checked again: an object may have been stored before the rule was.
///
/// # Errors
/// Everything that is wrong with the task, in the order of its fields; never an empty list.
pub fn validate(task: &TaskInput<'_>, inputs: &InputsView) -> Result<Desired, Vec<Problem>> {
    let mut found = Found::default();
    let found = &mut found;
    let section = Sections { spec: task.spec };
    let mode: Option<Mode> = section.required("mode", found);
    let suspend: Option<bool> = section.optional("suspend", found);
    let run_as: Option<RunAs> = section.required("runAs", found);
    let run_as = run_as.and_then(|it| identity::identity(&it, found));
    let placement: Option<Placement> = section.optional("placement", found);
    if let Some(it) = &placement {
        placement::placement(it, found);
    }
    let template: Option<PodTemplateSpec> = section.required("template", found);
    if let Some(it) = &template {
        judge_template(it, mode, run_as.as_ref(), found);
    }
    let wanted: Inputs = section.optional("inputs", found).unwrap_or_default();
    let digests = input::inputs(&wanted, inputs, task.key, found);
    let dependencies: Vec<Dependency> = section.optional("dependsOn", found).unwrap_or_default();
    let depends_on = dependency::depends_on(&dependencies, task.key, found);
    let rollout: Rollout = section.optional("rollout", found).unwrap_or_default();
    let pace = rollout::rollout(&rollout, mode, found);
    let health: Health = section.optional("health", found).unwrap_or_default();
    let verdict = limits::health(&health, found);
    let job: Option<Job> = section.optional("job", found);
    let job = job::job(job.as_ref(), mode, found);
    let schedule: Option<Schedule> = section.optional("schedule", found);
    let schedule = job::schedule(schedule.as_ref(), mode, found);
    let (Some(mode), Some(run_as), Some(template), true) =
        (mode, run_as, template, found.is_empty())
    else {
        return Err(std::mem::take(found).into_problems());
    };
    Ok(Desired {
        key: task.key.clone(),
        uid: task.uid.to_owned(),
        generation: task.generation,
        mode,
        suspend: suspend.unwrap_or(false),
        paused: pace.paused,
        placement: compile(placement.as_ref()),
        content: Content {
            raw: content(task.spec, &digests),
            template,
            run_as,
        },
        max_unavailable: pace.max_unavailable,
        min_ready: pace.min_ready,
        progress_deadline: pace.progress_deadline,
        revision_history_limit: pace.revision_history_limit,
        min_healthy: verdict.min_healthy,
        max_restarts: verdict.max_restarts,
        restart_window: verdict.restart_window,
        start_grace: verdict.start_grace,
        node_conditions: verdict.node_conditions,
        job,
        schedule,
        waves: pace.waves,
        partition: pace.partition,
        order: pace.order,
        approved_wave: pace.approved_wave,
        failure_policy: pace.failure_policy,
        unreachable_after: pace.unreachable_after,
        max_unreachable: pace.max_unreachable,
        windows: pace.windows,
        depends_on,
    })
}

/// Turns the data of a `ControllerRevision` back into the content it keeps.
///
/// # Errors
/// The first field that does not fit. The data were valid when they were written; somebody else changed them.
pub fn stored_content(raw: Value) -> Result<Content, ContentError> {
    let mut found = Found::default();
    let section = Sections { spec: &raw };
    let run_as: Option<RunAs> = section.required("runAs", &mut found);
    let run_as = run_as.and_then(|it| identity::identity(&it, &mut found));
    let template: Option<PodTemplateSpec> = section.required("template", &mut found);
    if let (Some(run_as), Some(template), true) = (run_as, template, found.is_empty()) {
        return Ok(Content {
            raw,
            template,
            run_as,
        });
    }
    let first = found.into_problems().into_iter().next();
    let (field, message) = first.map(|it| (it.field, it.message)).unwrap_or_default();
    Err(ContentError { field, message })
}

/// Judges a finished pod spec by the rules of HostProcess pods; `at` is the path of the spec.
///
/// A task's own template is judged by the same rules, completed with what the operator adds.
pub fn pod(spec: &PodSpec, at: &str) -> Vec<Problem> {
    let mut found = Found::default();
    pod::pod(spec, at, &mut found);
    found.into_problems()
}

/// Every rule, in the order of the reference page.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    [
        RULES,
        decode::RULES,
        identity::RULES,
        placement::RULES,
        selector::RULES,
        template::RULES,
        pod::RULES,
        container::RULES,
        probe::RULES,
        volume::RULES,
        input::RULES,
        dependency::RULES,
        rollout::RULES,
        wave::RULES,
        window::RULES,
        limits::RULES,
        job::RULES,
    ]
    .into_iter()
    .flatten()
}

/// Judges the template: the user's words, and the pod they would become.
fn judge_template(
    template: &PodTemplateSpec,
    mode: Option<Mode>,
    run_as: Option<&Identity>,
    found: &mut Found,
) {
    template::template(template, mode, run_as, found);
    // Where mode or account are wrong themselves, any will do to judge the rest.
    let stand_in = Identity::Account(Account::System);
    let finished = build::inject(
        template,
        mode.unwrap_or(Mode::Daemon),
        run_as.unwrap_or(&stand_in),
    );
    pod::pod(
        &finished.spec.unwrap_or_default(),
        "spec.template.spec",
        found,
    );
}

/// What the revision is a hash of. `mode` is part of it because one content needs another pod in each mode.
fn content(spec: &Value, inputs: &Value) -> Value {
    let mut content = json!({
        "mode": spec.get("mode"),
        "runAs": spec.get("runAs"),
        "template": spec.get("template"),
        "inputs": inputs,
    });
    // What is left out is left out here too: a field that is new must not change the revision of a task without it.
    let optional = ["exitCodes", "check", "rerunNonce"]
        .into_iter()
        .filter_map(|field| {
            let value = spec.get("job")?.get(field)?;
            let is_set = !value.is_null() && value != "";
            is_set.then(|| (field.to_owned(), value.clone()))
        });
    if let Value::Object(map) = &mut content {
        map.extend(optional);
    }
    content
}

/// The fields of a raw spec.
struct Sections<'a> {
    spec: &'a Value,
}

impl Sections<'_> {
    /// A field that may be left out; an explicit null is as good as none.
    fn optional<T: serde::de::DeserializeOwned>(
        &self,
        field: &str,
        found: &mut Found,
    ) -> Option<T> {
        let value = self.spec.get(field).filter(|it| !it.is_null())?;
        decode(value, &format!("spec.{field}"), found)
    }

    fn required<T: serde::de::DeserializeOwned>(
        &self,
        field: &str,
        found: &mut Found,
    ) -> Option<T> {
        if self.spec.get(field).is_none_or(Value::is_null) {
            found.report(&REQUIRED, format!("spec.{field}"), None);
        }
        self.optional(field, found)
    }
}

#[cfg(test)]
mod tests;
