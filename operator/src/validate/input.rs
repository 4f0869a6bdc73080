//! `spec.inputs`: the ConfigMaps and Secrets whose content is part of the revision.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use hosttask_crds::Reason;
use hosttask_crds::task::Inputs;
use serde_json::{Value, json};

use super::found::{Found, Rule, Source};
use super::{InputState, InputsView, name};
use crate::desired::TaskKey;

pub(super) const NAME: Rule = Rule {
    field: "spec.inputs.{configMaps,secrets}[*].name",
    source: Source::ApiServer,
    message: "is no name of a ConfigMap or Secret; use lower-case letters, digits, dashes and dots",
    reason: Reason::InvalidSpec,
};
pub(super) const TWICE: Rule = Rule {
    field: "spec.inputs.{configMaps,secrets}[*].name",
    source: Source::Hosttask,
    message: "is listed twice; remove one",
    reason: Reason::InvalidSpec,
};
pub(super) const MISSING: Rule = Rule {
    field: "spec.inputs.{configMaps,secrets}[*].name",
    source: Source::Hosttask,
    message: "does not exist in the task's namespace; create it, or remove it from the inputs",
    reason: Reason::InputMissing,
};
pub(super) const CONFIG_MAP_DENIED: Rule = Rule {
    field: "spec.inputs.configMaps[*].name",
    source: Source::Hosttask,
    message: "cannot be read by the operator; bind its ClusterRole as config/rbac does",
    reason: Reason::InputMissing,
};
pub(super) const SECRET_DENIED: Rule = Rule {
    field: "spec.inputs.secrets[*].name",
    source: Source::Hosttask,
    message: "cannot be read by the operator, which has no access to Secrets unless a namespace grants it; run the command",
    reason: Reason::SecretAccessDenied,
};
pub(super) const RULES: &[Rule] = &[NAME, TWICE, MISSING, CONFIG_MAP_DENIED, SECRET_DENIED];

/// Judges the inputs and returns what the revision knows of them: the digest of each, except of Secrets whose changes
/// are ignored.
pub(super) fn inputs(
    inputs: &Inputs,
    view: &InputsView,
    task: &TaskKey,
    found: &mut Found,
) -> Value {
    let maps = section(
        "configMaps",
        inputs.config_maps.iter().map(|it| (it.name.as_str(), true)),
        &view.config_maps,
        found,
        |message| (&CONFIG_MAP_DENIED, message.to_owned()),
    );
    let secrets = section(
        "secrets",
        inputs
            .secrets
            .iter()
            .map(|it| (it.name.as_str(), !it.ignore_changes.unwrap_or(false))),
        &view.secrets,
        found,
        |_| (&SECRET_DENIED, grant_command(&task.namespace)),
    );
    json!({"configMaps": maps, "secrets": secrets})
}

/// The command that lets the operator read the Secrets of a namespace.
fn grant_command(namespace: &str) -> String {
    format!(
        "kubectl create rolebinding hosttask-secret-reader --namespace {namespace} \
         --clusterrole=hosttask-secret-reader --serviceaccount=hosttask-system:hosttask-operator"
    )
}

fn section<'a>(
    kind: &str,
    names: impl Iterator<Item = (&'a str, bool)>,
    states: &BTreeMap<String, InputState>,
    found: &mut Found,
    denied: impl Fn(&str) -> (&'static Rule, String),
) -> BTreeMap<String, String> {
    let mut seen = BTreeSet::new();
    let mut digests = BTreeMap::new();
    for (index, (input, counts)) in names.enumerate() {
        let field = format!("spec.inputs.{kind}[{index}].name");
        let value: Option<&dyn Display> = Some(&input);
        if !name::is_subdomain(input) {
            found.report(&NAME, field, value);
        } else if !seen.insert(input) {
            found.report(&TWICE, field, value);
        } else {
            match states.get(input) {
                Some(InputState::Present(digest)) if counts => {
                    digests.insert(input.to_owned(), digest.clone());
                }
                Some(InputState::Present(_)) => {}
                Some(InputState::Missing) | None => found.report(&MISSING, field, value),
                Some(InputState::Denied(message)) => {
                    let (rule, detail) = denied(message);
                    found.report_with(rule, field, value, &detail);
                }
            }
        }
    }
    digests
}
