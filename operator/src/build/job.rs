//! The Job of a RunOnce or Scheduled task: one node, one revision, one run.

use std::collections::{BTreeMap, BTreeSet};

use hosttask_crds::label::{ATTEMPT, MACHINE, NODE, STEP, STEP_CHECK, TICK};
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{Container, NodeSelectorRequirement, Toleration};

use super::{labels, metadata, pod};
use crate::desired::{Desired, JobPolicy, Placement};
use crate::observed::NodeView;
use crate::placement::{NODE_STATE, UNSCHEDULABLE, exists};
use crate::revision::{self, Run, Step};

/// Builds the Job of one run on one node. Its name is the same whenever the arguments are.
pub fn job(desired: &Desired, revision: &str, node: &NodeView, run: impl Into<Run>) -> Job {
    let run = run.into();
    let mut labels = labels(desired, revision);
    labels.insert(ATTEMPT.to_owned(), run.attempt.to_string());
    if let Some(tick) = run.tick {
        labels.insert(TICK.to_owned(), tick.as_second().to_string());
    }
    let check = match run.step {
        Step::Check => desired.job.check.as_deref(),
        Step::Program => None,
    };
    if check.is_some() {
        labels.insert(STEP.to_owned(), STEP_CHECK.to_owned());
    }
    let pod_annotations = BTreeMap::from([(NODE.to_owned(), node.name.clone())]);
    let mut annotations = pod_annotations.clone();
    annotations.insert(MACHINE.to_owned(), node.machine());

    let mut template = pod::inject(
        &desired.content.template,
        desired.mode,
        &desired.content.run_as,
    );
    pod::mark(&mut template, labels.clone(), pod_annotations);
    let spec = template.spec.get_or_insert_default();
    // By the node's name, not by its hostname label: that label need not be unique, nor equal the name.
    spec.affinity = Some(pod::node_affinity([(
        Vec::new(),
        vec![is_node(&node.name)],
    )]));
    spec.tolerations = Some(tolerations(&desired.placement));
    let first = spec.containers.first_mut();
    let checked = check
        .zip(first)
        .map(|(command, container)| replace_command(container, command));

    let name = revision::job_name(
        &desired.key.name,
        &desired.uid,
        revision,
        &node.machine(),
        run,
    );
    Job {
        metadata: metadata(desired, &name, labels, annotations),
        spec: Some(JobSpec {
            completions: Some(1),
            parallelism: Some(1),
            // A retry is a new attempt with a new Job: the operator decides when, and other nodes go on meanwhile.
            backoff_limit: Some(0),
            active_deadline_seconds: desired
                .job
                .active_deadline
                .map(|it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX)),
            ttl_seconds_after_finished: Some(
                i32::try_from(desired.job.ttl_after_finished.as_secs()).unwrap_or(i32::MAX),
            ),
            pod_failure_policy: Some(match checked {
                Some(container) => check_policy(container),
                None => failure_policy(&desired.job),
            }),
            template,
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

fn is_node(name: &str) -> NodeSelectorRequirement {
    NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![name.to_owned()]),
    }
}

/// What the user tolerates, and what the DaemonSet controller would add: the pods of Jobs get nothing by themselves.
fn tolerations(placement: &Placement) -> Vec<Toleration> {
    let mut all = placement.tolerations.clone();
    all.extend(
        NODE_STATE
            .iter()
            .map(|(key, effect)| exists(Some(key), Some(effect))),
    );
    if placement.include_unschedulable {
        all.push(exists(Some(UNSCHEDULABLE), Some("NoSchedule")));
    }
    all
}

/// A code that means something ends the Job at once and stays readable in its condition; a pod that Kubernetes takes
/// away (drain, reboot) is no failure of the program, and is started again.
fn failure_policy(job: &JobPolicy) -> PodFailurePolicy {
    let codes: BTreeSet<i32> = job
        .success
        .iter()
        .chain(&job.reboot_required)
        .copied()
        .filter(|code| *code != 0)
        .collect();
    let known = (!codes.is_empty()).then(|| PodFailurePolicyRule {
        action: "FailJob".to_owned(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: None,
            operator: "In".to_owned(),
            values: codes.into_iter().collect(),
        }),
        on_pod_conditions: None,
    });
    PodFailurePolicy {
        rules: known.into_iter().chain([taken_away()]).collect(),
    }
}

/// Any other code of the check than 0 is its answer. What Kubernetes stops leaves with some code too, and is no answer: that
/// is looked at first.
fn check_policy(container: String) -> PodFailurePolicy {
    let answer = PodFailurePolicyRule {
        action: "FailJob".to_owned(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(container),
            operator: "NotIn".to_owned(),
            values: vec![0],
        }),
        on_pod_conditions: None,
    };
    PodFailurePolicy {
        rules: vec![taken_away(), answer],
    }
}

fn taken_away() -> PodFailurePolicyRule {
    PodFailurePolicyRule {
        action: "Ignore".to_owned(),
        on_exit_codes: None,
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".to_owned(),
            status: Some("True".to_owned()),
        }]),
    }
}

/// Makes a container run the check in place of its program. Returns its name.
fn replace_command(container: &mut Container, command: &[String]) -> String {
    container.command = Some(command.to_vec());
    container.args = None;
    container.name.clone()
}
