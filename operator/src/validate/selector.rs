//! Node selectors: of the placement and of waves.

use std::fmt::Display;

use hosttask_crds::label::OS;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::found::{Found, rules};
use super::name;
use crate::desired::Operator;

rules! {
    KEY: ApiServer, "spec.{placement,rollout.waves[*]}.nodeSelector",
        "is no label key; use `name` or `domain/name`, letters, digits, dashes, dots and underscores";
    VALUE: ApiServer, "spec.{placement,rollout.waves[*]}.nodeSelector",
        "is no label value; use at most 63 letters, digits, dashes, dots and underscores";
    OPERATOR: ApiServer, "spec.{placement,rollout.waves[*]}.nodeSelector.matchExpressions[*].operator",
        "must be In, NotIn, Exists or DoesNotExist";
    VALUES: ApiServer, "spec.{placement,rollout.waves[*]}.nodeSelector.matchExpressions[*].values",
        "must have a value with In and NotIn, and none with Exists and DoesNotExist";
    NOT_WINDOWS: Hosttask, "spec.{placement,rollout.waves[*]}.nodeSelector",
        "asks for nodes that are not Windows, on which a HostProcess container cannot run; remove it: kubernetes.io/os=windows is always required";
}

/// Judges a selector; `at` is its path.
pub(super) fn node_selector(selector: &LabelSelector, at: &str, found: &mut Found) {
    for (key, value) in selector.match_labels.iter().flatten() {
        let field = format!("{at}.matchLabels[{key}]");
        if !name::is_qualified(key) {
            found.report(&KEY, field.clone(), Some(key));
        }
        if !name::is_label_value(value) {
            found.report(&VALUE, field.clone(), Some(value));
        }
        if key == OS && value != "windows" {
            found.report(&NOT_WINDOWS, field, Some(value));
        }
    }
    for (index, it) in selector.match_expressions.iter().flatten().enumerate() {
        expression(it, &format!("{at}.matchExpressions[{index}]"), found);
    }
}

fn expression(it: &LabelSelectorRequirement, at: &str, found: &mut Found) {
    let values = it.values.as_deref().unwrap_or_default();
    if !name::is_qualified(&it.key) {
        found.report(&KEY, format!("{at}.key"), Some(&it.key));
    }
    for (position, value) in values.iter().enumerate() {
        if !name::is_label_value(value) {
            found.report(&VALUE, format!("{at}.values[{position}]"), Some(value));
        }
    }
    let Some(operator) = Operator::parse(&it.operator) else {
        found.report(&OPERATOR, format!("{at}.operator"), Some(&it.operator));
        return;
    };
    let needs_values = matches!(operator, Operator::In | Operator::NotIn);
    if needs_values == values.is_empty() {
        let shown = values.join(", ");
        let value = (!values.is_empty()).then_some(&shown as &dyn Display);
        found.report(&VALUES, format!("{at}.values"), value);
    }
    let has_windows = values.iter().any(|value| value == "windows");
    let excludes_windows = match operator {
        Operator::In => !values.is_empty() && !has_windows,
        Operator::NotIn => has_windows,
        Operator::Exists => false,
        Operator::DoesNotExist => true,
    };
    if it.key == OS && excludes_windows {
        found.report(&NOT_WINDOWS, at.to_owned(), Some(&it.operator));
    }
}
