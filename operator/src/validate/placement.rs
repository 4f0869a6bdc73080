//! `spec.placement`: label requirements, builds and tolerations.

use std::fmt::Display;

use hosttask_crds::label::OS;
use hosttask_crds::task::Placement;
use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::found::{Found, rules};
use super::name;
use crate::desired::Operator;

rules! {
    SELECTOR_KEY: ApiServer, "spec.placement.nodeSelector",
        "is no label key; use `name` or `domain/name`, letters, digits, dashes, dots and underscores";
    SELECTOR_VALUE: ApiServer, "spec.placement.nodeSelector",
        "is no label value; use at most 63 letters, digits, dashes, dots and underscores";
    SELECTOR_OPERATOR: ApiServer, "spec.placement.nodeSelector.matchExpressions[*].operator",
        "must be In, NotIn, Exists or DoesNotExist";
    SELECTOR_VALUES: ApiServer, "spec.placement.nodeSelector.matchExpressions[*].values",
        "must have a value with In and NotIn, and none with Exists and DoesNotExist";
    SELECTOR_OS: Hosttask, "spec.placement.nodeSelector",
        "asks for nodes that are not Windows, on which a HostProcess container cannot run; remove it: kubernetes.io/os=windows is always required";
    BUILD: Hosttask, "spec.placement.windowsBuilds[*]",
        "is no Windows build; give it as in the node label node.kubernetes.io/windows-build, such as 10.0.20348";
    TOLERATION_KEY: ApiServer, "spec.placement.tolerations[*].key",
        "must be a label key; only with operator Exists may it be empty, for every key";
    TOLERATION_OPERATOR: ApiServer, "spec.placement.tolerations[*].operator", "must be Exists or Equal";
    TOLERATION_VALUE: ApiServer, "spec.placement.tolerations[*].value",
        "must be a label value, and must be empty with operator Exists; use operator Equal";
    TOLERATION_EFFECT: ApiServer, "spec.placement.tolerations[*].effect",
        "must be NoSchedule, PreferNoSchedule or NoExecute, or be left out for all of them";
    TOLERATION_SECONDS: ApiServer, "spec.placement.tolerations[*].tolerationSeconds",
        "is only for effect NoExecute; remove it or set the effect";
}

/// Judges the placement. What it may say about nodes is all here: the template must say nothing about them.
pub(super) fn placement(placement: &Placement, found: &mut Found) {
    if let Some(selector) = &placement.node_selector {
        node_selector(selector, found);
    }
    for (index, build) in placement.windows_builds.iter().enumerate() {
        if !name::is_windows_build(build) {
            found.report(
                &BUILD,
                format!("spec.placement.windowsBuilds[{index}]"),
                Some(build),
            );
        }
    }
    for (index, it) in placement.tolerations.iter().enumerate() {
        toleration(it, &format!("spec.placement.tolerations[{index}]"), found);
    }
}

fn node_selector(selector: &LabelSelector, found: &mut Found) {
    const AT: &str = "spec.placement.nodeSelector";
    for (key, value) in selector.match_labels.iter().flatten() {
        let field = format!("{AT}.matchLabels[{key}]");
        if !name::is_qualified(key) {
            found.report(&SELECTOR_KEY, field.clone(), Some(key));
        }
        if !name::is_label_value(value) {
            found.report(&SELECTOR_VALUE, field.clone(), Some(value));
        }
        if key == OS && value != "windows" {
            found.report(&SELECTOR_OS, field, Some(value));
        }
    }
    for (index, it) in selector.match_expressions.iter().flatten().enumerate() {
        let at = format!("{AT}.matchExpressions[{index}]");
        let values = it.values.as_deref().unwrap_or_default();
        if !name::is_qualified(&it.key) {
            found.report(&SELECTOR_KEY, format!("{at}.key"), Some(&it.key));
        }
        for (position, value) in values.iter().enumerate() {
            if !name::is_label_value(value) {
                found.report(
                    &SELECTOR_VALUE,
                    format!("{at}.values[{position}]"),
                    Some(value),
                );
            }
        }
        let Some(operator) = Operator::parse(&it.operator) else {
            found.report(
                &SELECTOR_OPERATOR,
                format!("{at}.operator"),
                Some(&it.operator),
            );
            continue;
        };
        let needs_values = matches!(operator, Operator::In | Operator::NotIn);
        if needs_values == values.is_empty() {
            let shown = values.join(", ");
            let value = (!values.is_empty()).then_some(&shown as &dyn Display);
            found.report(&SELECTOR_VALUES, format!("{at}.values"), value);
        }
        let has_windows = values.iter().any(|value| value == "windows");
        let excludes_windows = match operator {
            Operator::In => !values.is_empty() && !has_windows,
            Operator::NotIn => has_windows,
            Operator::Exists => false,
            Operator::DoesNotExist => true,
        };
        if it.key == OS && excludes_windows {
            found.report(&SELECTOR_OS, at, Some(&it.operator));
        }
    }
}

fn toleration(it: &Toleration, at: &str, found: &mut Found) {
    let key = it.key.as_deref().unwrap_or_default();
    let value = it.value.as_deref().unwrap_or_default();
    let operator = it.operator.as_deref().unwrap_or_default();
    let effect = it.effect.as_deref().unwrap_or_default();
    let is_exists = operator == "Exists";
    if !["", "Exists", "Equal"].contains(&operator) {
        found.report(
            &TOLERATION_OPERATOR,
            format!("{at}.operator"),
            Some(&operator),
        );
    }
    if (key.is_empty() && !is_exists) || (!key.is_empty() && !name::is_qualified(key)) {
        found.report(&TOLERATION_KEY, format!("{at}.key"), Some(&key));
    }
    if (is_exists && !value.is_empty()) || !name::is_label_value(value) {
        found.report(&TOLERATION_VALUE, format!("{at}.value"), Some(&value));
    }
    if !["", "NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        found.report(&TOLERATION_EFFECT, format!("{at}.effect"), Some(&effect));
    }
    if let Some(seconds) = it.toleration_seconds
        && effect != "NoExecute"
    {
        found.report(
            &TOLERATION_SECONDS,
            format!("{at}.tolerationSeconds"),
            Some(&seconds),
        );
    }
}
