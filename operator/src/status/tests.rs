//! Tests of the statuses that no plan makes: of invalid tasks and refused children.

use super::*;

fn problem(reason: Reason, field: &str) -> Problem {
    Problem {
        reason,
        field: field.into(),
        value: Some("x".into()),
        message: "write y instead".into(),
    }
}

fn types(status: &WindowsHostTaskStatus) -> Vec<(&str, &str, &str)> {
    status
        .conditions
        .iter()
        .map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str()))
        .collect()
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A task that is rolling out.
fn rolling() -> WindowsHostTaskStatus {
    let mut set = Conditions::new(&[], 4, second(10));
    set.rolling(Reason::RollingOut, "1/2");
    set.set(ConditionType::Healthy, "True", Reason::NodesHealthy, "");
    set.set(ConditionType::Validated, "True", Reason::Valid, "");
    WindowsHostTaskStatus {
        observed_generation: Some(4),
        conditions: set.done(),
        ..Default::default()
    }
}

#[test]
fn an_invalid_task_names_every_problem_under_the_weightiest_reason() {
    let problems = [
        problem(Reason::InputMissing, "spec.inputs"),
        problem(Reason::InvalidSpec, "spec.runAs"),
    ];
    let status = invalid(5, &WindowsHostTaskStatus::default(), &problems, second(20));
    assert_eq!(
        types(&status),
        [
            ("Ready", "False", "InvalidSpec"),
            ("Stalled", "True", "InvalidSpec"),
            ("Healthy", "Unknown", "Pending"),
            ("Validated", "False", "InvalidSpec"),
        ]
    );
    let text = r#"spec.inputs: "x": write y instead; spec.runAs: "x": write y instead"#;
    assert_eq!(message(&status, ConditionType::Validated), text);
    for kind in [ConditionType::Ready, ConditionType::Stalled] {
        assert_eq!(
            message(&status, kind),
            r#"2 problems (all of them in the condition Validated), first: spec.runAs: "x": write y instead"#
        );
    }
    assert_eq!(
        (status.observed_generation, status.desired_nodes),
        (Some(5), Some(0))
    );
    assert!(
        status
            .conditions
            .iter()
            .all(|condition| condition.observed_generation == Some(5))
    );
}

#[test]
fn an_invalid_task_keeps_what_is_known_of_its_last_good_children_and_rests() {
    let before = WindowsHostTaskStatus {
        healthy_nodes: Some(7),
        stable_revision: Some("r1".into()),
        ..rolling()
    };
    let problems = [problem(Reason::InvalidSpec, "spec.runAs")];
    let status = invalid(5, &before, &problems, second(20));
    assert_eq!(
        (status.healthy_nodes, status.stable_revision.as_deref()),
        (Some(7), Some("r1"))
    );
    assert_eq!(
        reason(&status, ConditionType::Healthy),
        Some(Reason::NodesHealthy)
    );
    assert_eq!(invalid(5, &status, &problems, second(99)), status);
}

#[test]
fn a_refused_child_stalls_and_leaves_no_reconciling() {
    let refused = Rejection {
        reason: Reason::ChildRejected,
        message: "no".into(),
    };
    let status = rejected(rolling(), &rolling(), &refused, second(20));
    assert_eq!(
        types(&status),
        [
            ("Ready", "False", "ChildRejected"),
            ("Stalled", "True", "ChildRejected"),
            ("Healthy", "True", "NodesHealthy"),
            ("Validated", "False", "ChildRejected"),
        ]
    );
    let since: Vec<i64> = status
        .conditions
        .iter()
        .map(|c| c.last_transition_time.0.as_second())
        .collect();
    assert_eq!(since, [10, 20, 10, 20], "Ready was False before");
    assert_eq!(
        rejected(status.clone(), &status, &refused, second(99)),
        status,
        "the same refusal says nothing new"
    );
}

#[test]
fn a_quota_is_no_fault_of_the_spec() {
    let refused = Rejection {
        reason: Reason::PodsNotCreated,
        message: "quota".into(),
    };
    let status = rejected(rolling(), &rolling(), &refused, second(20));
    assert_eq!(
        reason(&status, ConditionType::Validated),
        Some(Reason::Valid)
    );
    assert_eq!(
        reason(&status, ConditionType::Stalled),
        Some(Reason::PodsNotCreated)
    );
}

#[test]
fn a_passing_failure_is_reconciling_and_does_not_undo_ready() {
    let refused = Rejection {
        reason: Reason::ProgressingWithRetry,
        message: "503".into(),
    };
    let status = rejected(rolling(), &rolling(), &refused, second(20));
    assert_eq!(
        types(&status)[..2],
        [
            ("Ready", "False", "ProgressingWithRetry"),
            ("Reconciling", "True", "ProgressingWithRetry"),
        ]
    );
    let mut set = Conditions::new(&[], 4, second(10));
    set.ready("True", Reason::RolloutComplete, "2/2");
    let done = WindowsHostTaskStatus {
        conditions: set.done(),
        ..rolling()
    };
    assert_eq!(rejected(done.clone(), &done, &refused, second(20)), done);
}

#[test]
fn a_refusal_is_remembered_only_for_the_same_generation_revision_and_write() {
    let refused = Rejection {
        reason: Reason::ChildRejected,
        message: "no".into(),
    };
    let mut status = rejected(rolling(), &rolling(), &refused, second(20));
    status.update_revision = Some("r2".into());
    let kept = Phase::Stalled {
        reason: Reason::ChildRejected,
        message: "no".into(),
    };
    assert_eq!(still_rejected(&status, 4, "r2", true), Some(kept));
    assert_eq!(
        still_rejected(&status, 5, "r2", true),
        None,
        "the spec changed"
    );
    assert_eq!(
        still_rejected(&status, 4, "r3", true),
        None,
        "the content changed"
    );
    assert_eq!(
        still_rejected(&status, 4, "r2", false),
        None,
        "nothing is left to refuse"
    );
}

#[test]
fn what_was_refused_is_no_progress() {
    let refused = |reason| Rejection {
        reason,
        message: "no".into(),
    };
    let stored = WindowsHostTaskStatus {
        last_progress_time: Some(Time(second(10))),
        ..rolling()
    };
    let planned = WindowsHostTaskStatus {
        last_progress_time: Some(Time(second(20))),
        ..rolling()
    };
    for reason in [Reason::ChildRejected, Reason::ProgressingWithRetry] {
        let status = rejected(planned.clone(), &stored, &refused(reason), second(20));
        assert_eq!(status.last_progress_time, stored.last_progress_time);
    }
}
