//! `spec.dependsOn`: names of other tasks. That they exist and form no circle is seen later, node by node.

use std::collections::BTreeSet;

use hosttask_crds::task::Dependency;

use super::found::{Found, rules};
use super::name;
use crate::desired::TaskKey;

rules! {
    NAME: Hosttask, "spec.dependsOn[*].name", "cannot be the name of a task; give one of the same namespace, without the namespace";
    SELF: Hosttask, "spec.dependsOn[*].name", "is this task itself, which would wait for ever; remove it";
    TWICE: ApiServer, "spec.dependsOn[*].name", "is listed twice; remove one";
}

/// Judges the tasks that `key` waits for.
pub(super) fn depends_on(
    dependencies: &[Dependency],
    key: &TaskKey,
    found: &mut Found,
) -> Vec<String> {
    let mut names = BTreeSet::new();
    for (index, it) in dependencies.iter().enumerate() {
        let rule = if !name::is_subdomain(&it.name) {
            &NAME
        } else if it.name == key.name {
            &SELF
        } else if !names.insert(&it.name) {
            &TWICE
        } else {
            continue;
        };
        let field = format!("spec.dependsOn[{index}].name");
        found.report(rule, field, Some(&it.name));
    }
    dependencies.iter().map(|it| it.name.clone()).collect()
}
