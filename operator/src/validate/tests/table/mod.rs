//! One case per rule, at least: the task that breaks it and nothing else, and the field that is named.

mod container;
mod rollout;
mod task;
mod template;

use std::fmt::Write as _;

use super::*;

pub(super) struct Case {
    rule: &'static Rule,
    spec: Value,
    inputs: InputsView,
    field: String,
}

/// Where the only container and the only init container stand.
const C: &str = "/template/spec/containers/0";
const I: &str = "/template/spec/initContainers/0";
const OPTIONS: &str = "securityContext/windowsOptions";

/// A case whose problem is named by the field that was changed.
fn case(rule: &'static Rule, pointer: &str, value: Value) -> Case {
    at(rule, pointer, value, &field(pointer))
}

/// A case whose problem is at another field than the one that was changed.
fn at(rule: &'static Rule, pointer: &str, value: Value, field: &str) -> Case {
    of(daemon(), rule, pointer, value, field)
}

fn job(rule: &'static Rule, pointer: &str, value: Value) -> Case {
    of(run_once(), rule, pointer, value, &field(pointer))
}

fn of(mut spec: Value, rule: &'static Rule, pointer: &str, value: Value, field: &str) -> Case {
    set(&mut spec, pointer, value);
    Case {
        rule,
        spec,
        inputs: inputs(),
        field: field.into(),
    }
}

/// `/a/0/b` as `spec.a[0].b`; keys of maps are in brackets.
fn field(pointer: &str) -> String {
    let mut field = "spec".to_owned();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/");
        let is_key = ["matchLabels", "labels", "annotations"]
            .iter()
            .any(|it| field.ends_with(it));
        if is_key || part.parse::<usize>().is_ok() {
            write!(field, "[{part}]").unwrap();
        } else {
            write!(field, ".{part}").unwrap();
        }
    }
    field
}

impl Case {
    /// The problem is at a field below the one that was changed.
    fn named(self, below: &str) -> Self {
        self.named_at(&format!(".{below}"))
    }

    /// The problem is at this field.
    fn at(mut self, field: &str) -> Self {
        field.clone_into(&mut self.field);
        self
    }

    fn named_at(mut self, suffix: &str) -> Self {
        self.field.push_str(suffix);
        self
    }
}

fn cases() -> Vec<Case> {
    let all = [
        task::task_cases(),
        task::placement_cases(),
        task::input_cases(),
        task::limit_cases(),
        task::job_cases(),
        rollout::rollout_cases(),
        rollout::wave_cases(),
        rollout::order_cases(),
        template::template_cases(),
        container::container_cases(),
        container::volume_cases(),
    ];
    all.into_iter().flatten().collect()
}

#[test]
fn a_task_with_something_of_everything_is_valid() {
    for spec in [daemon(), steered(), run_once(), scheduled()] {
        assert_eq!(check(&spec, &inputs()).err(), None);
    }
}

#[test]
fn breaking_a_rule_is_reported_once_with_its_field_and_nothing_else_is() {
    for case in cases() {
        let problems = check(&case.spec, &case.inputs).expect_err(case.rule.message);
        let [problem] = problems.as_slice() else {
            panic!("{} ({}): {problems:#?}", case.rule.message, case.field);
        };
        assert_eq!(problem.field, case.field, "{}", case.rule.message);
        assert!(
            problem.message.starts_with(case.rule.message),
            "{problem:#?}"
        );
        assert_eq!(problem.reason, case.rule.reason);
    }
}

#[test]
fn no_rule_is_without_a_case() {
    let cases = cases();
    for rule in rules() {
        assert!(
            cases
                .iter()
                .any(|case| case.rule.message == rule.message && case.rule.field == rule.field),
            "no case breaks the rule of {}: {}",
            rule.field,
            rule.message
        );
    }
}

#[test]
fn all_broken_rules_are_reported_together() {
    let mut spec = run_once();
    set(&mut spec, "/runAs", json!({}));
    set(&mut spec, "/template/spec/hostNetwork", json!(false));
    set(&mut spec, "/template/spec/hostPID", json!(true));
    set(&mut spec, "/health/minHealthy", json!("many"));
    set(&mut spec, "/job/retry/limit", json!(-1));
    let problems = check(&spec, &InputsView::default()).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.runAs",
            "spec.template.spec.hostNetwork",
            "spec.template.spec.hostPID",
            "spec.inputs.configMaps[0].name",
            "spec.inputs.secrets[0].name",
            "spec.health.minHealthy",
            "spec.job.retry.limit",
        ]
    );
}

#[test]
fn a_denied_secret_names_the_command_that_grants_it() {
    let view = InputsView {
        secrets: BTreeMap::from([("token".into(), InputState::Denied("forbidden".into()))]),
        ..inputs()
    };
    let problems = check(&daemon(), &view).unwrap_err();
    assert_eq!(problems[0].reason, Reason::SecretAccessDenied);
    assert!(problems[0].message.contains(
        "kubectl create rolebinding hosttask-secret-reader --namespace monitoring \
         --clusterrole=hosttask-secret-reader \
         --serviceaccount=hosttask-system:hosttask-operator"
    ));
}
