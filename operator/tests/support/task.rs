//! A small valid task, and how kstatus reads a status.

use std::time::Duration;

use hosttask_crds::task::{Account, Mode, Tolerate, WindowsHostTaskStatus};
use hosttask_operator::desired::{
    Amount, Content, Desired, Identity, JobPolicy, Placement, TaskKey, Wave,
};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use serde_json::json;

/// The content that is told apart by `text`.
pub(crate) fn content(text: &str) -> Content {
    let container = Container {
        name: "main".into(),
        image: Some(text.into()),
        ..Container::default()
    };
    let spec = PodSpec {
        containers: vec![container],
        ..PodSpec::default()
    };
    Content {
        raw: json!({ "template": text }),
        template: PodTemplateSpec {
            spec: Some(spec),
            ..PodTemplateSpec::default()
        },
        run_as: Identity::Account(Account::System),
    }
}

/// The task `ns/agent` with the defaults of the API.
pub(crate) fn desired(mode: Mode, text: &str) -> Desired {
    Desired {
        key: TaskKey {
            namespace: "ns".into(),
            name: "agent".into(),
        },
        uid: "task-uid".into(),
        generation: 1,
        mode,
        suspend: false,
        paused: false,
        placement: Placement {
            requirements: Vec::new(),
            tolerations: Vec::new(),
            tolerate: Tolerate::WindowsPools,
            include_unschedulable: true,
        },
        content: content(text),
        max_unavailable: Amount::Count(1),
        min_ready: Duration::ZERO,
        progress_deadline: Duration::from_mins(30),
        revision_history_limit: 10,
        min_healthy: Amount::Percent(100),
        max_restarts: 2,
        restart_window: Duration::from_mins(10),
        start_grace: Duration::from_mins(20),
        job: JobPolicy {
            active_deadline: None,
            ttl_after_finished: Duration::from_hours(1),
            success: vec![0],
            reboot_required: vec![1641, 3010],
            retry_limit: 3,
            retry_initial: Duration::from_mins(5),
            retry_max: Duration::from_hours(24),
            ..JobPolicy::default()
        },
        schedule: None,
        node_conditions: Vec::new(),
        waves: vec![Wave::rest()],
        partition: None,
        order: Vec::new(),
        approved_wave: None,
        failure_policy: None,
        unreachable_after: Duration::ZERO,
        max_unreachable: None,
        windows: Vec::new(),
        depends_on: Vec::new(),
    }
}

/// How kstatus, and with it Flux and Helm, reads an object of `generation` with this status.
pub(crate) fn kstatus(status: &WindowsHostTaskStatus, generation: i64) -> &'static str {
    if status
        .observed_generation
        .is_some_and(|observed| observed != generation)
    {
        return "InProgress";
    }
    for condition in &status.conditions {
        match (condition.type_.as_str(), condition.status.as_str()) {
            ("Reconciling", "True") => return "InProgress",
            ("Stalled", "True") => return "Failed",
            _ => {}
        }
    }
    match status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
    {
        Some(ready) if ready.status == "True" => "Current",
        Some(_) => "InProgress",
        None => "Current",
    }
}

/// What kstatus ought to read, by the documented table from the reason of Ready.
pub(crate) fn by_table(reason: &str) -> &'static str {
    match reason {
        "RolloutComplete"
        | "AllNodesSucceeded"
        | "EnoughNodesSucceeded"
        | "NoMatchingNodes"
        | "PartitionReached"
        | "NonCompliant"
        | "Scheduled" => "Current",
        "RollingOut"
        | "Paused"
        | "Suspended"
        | "Pending"
        | "Soaking"
        | "AwaitingApproval"
        | "WaitingForWindow"
        | "WaitingForDependency"
        | "TooManyUnreachable"
        | "RollingBack" => "InProgress",
        "Degraded"
        | "FailureThresholdExceeded"
        | "RolledBack"
        | "DependencyCycle"
        | "ProgressDeadlineExceeded"
        | "InvalidSpec"
        | "ChildRejected"
        | "PodSecurityDenied"
        | "PodsNotCreated"
        | "NameConflict"
        | "InputMissing"
        | "SecretAccessDenied" => "Failed",
        other => panic!("the table has no line for {other}"),
    }
}
