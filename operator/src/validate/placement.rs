//! `spec.placement`: builds and tolerations; `selector` judges the labels.

use hosttask_crds::task::Placement;
use k8s_openapi::api::core::v1::Toleration;

use super::found::{Found, rules};
use super::{name, selector};

rules! {
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
        selector::node_selector(selector, "spec.placement.nodeSelector", found);
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
