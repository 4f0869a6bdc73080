//! A situation as a golden file tells it, and the facts it stands for.

use std::collections::BTreeMap;
use std::time::Duration;

use hosttask_crds::node::{LedgerEntry, LedgerState};
use hosttask_crds::task::{Mode, NodeFailure, WaveStatus, WindowsHostTaskStatus};
use hosttask_operator::desired::{Amount, Desired};
use hosttask_operator::observed::{
    DaemonSetState, ForeignSet, JobView, NodeView, Observed, PodView, RevisionView,
};
use hosttask_operator::{build, revision};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Deserialize;

use crate::task;

/// The contents that situations speak of. `rev:A` in a file is the revision of content A.
pub(crate) const CONTENTS: [&str; 5] = ["A", "B", "C", "D", "E"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Situation {
    pub(crate) about: String,
    pub(crate) now: Timestamp,
    spec: Spec,
    previous: Option<Previous>,
    #[serde(default)]
    nodes: Vec<Node>,
    /// Nodes that placement does not select.
    #[serde(default)]
    left: Vec<Node>,
    /// The revision of the DaemonSet's template.
    daemon_set: Option<String>,
    #[serde(default)]
    unsettled: bool,
    #[serde(default)]
    deleting: bool,
    /// Who owns the DaemonSet of our name.
    foreign: Option<String>,
    #[serde(default)]
    pods: Vec<PodView>,
    #[serde(default)]
    jobs: Vec<JobView>,
    #[serde(default)]
    ledger: BTreeMap<String, Recorded>,
    /// Contents, oldest first.
    #[serde(default)]
    revisions: Vec<String>,
    /// `ControllerRevision`s of others.
    #[serde(default)]
    taken: Vec<String>,
    pod_security: Option<String>,
    failed_create: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    mode: Mode,
    content: String,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    suspend: bool,
    max_unavailable: Option<i32>,
    max_unavailable_percent: Option<i32>,
    min_healthy_percent: Option<i32>,
    min_ready_seconds: Option<u64>,
    history: Option<usize>,
    success: Option<Vec<i32>>,
    #[serde(default)]
    leave_cordoned: bool,
    #[serde(default = "one")]
    generation: i64,
}

fn one() -> i64 {
    1
}

fn yes() -> bool {
    true
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Node {
    name: String,
    #[serde(default = "yes")]
    ready: bool,
    #[serde(default = "start")]
    changed: Timestamp,
    #[serde(default)]
    cordoned: bool,
}

/// The status before, in few words.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Previous {
    update: String,
    stable: Option<String>,
    /// The reason of Ready.
    reason: String,
    #[serde(default = "one")]
    generation: i64,
    /// Whether the rollout was over: no wave.
    #[serde(default)]
    finished: bool,
    #[serde(default = "start")]
    since: Timestamp,
    /// updated, healthy, failed, in progress.
    #[serde(default)]
    counters: [i32; 4],
    #[serde(default)]
    failed_nodes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Recorded {
    revision: String,
    state: LedgerState,
    #[serde(default = "first")]
    attempts: i32,
    exit_code: Option<i32>,
    #[serde(default = "start")]
    completed: Timestamp,
    next_retry_time: Option<Timestamp>,
}

fn first() -> i32 {
    1
}

impl Situation {
    /// Reads a file, with the names that only the operator can compute filled in.
    pub(crate) fn parse(text: &str) -> Self {
        let mut text = text.to_owned();
        for content in CONTENTS {
            text = text.replace(&format!("rev:{content}"), &name(content));
        }
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    pub(crate) fn desired(&self) -> Desired {
        let spec = &self.spec;
        let mut desired = task::desired(spec.mode, &spec.content);
        desired.generation = spec.generation;
        desired.paused = spec.paused;
        desired.suspend = spec.suspend;
        desired.placement.include_unschedulable = !spec.leave_cordoned;
        if let Some(count) = spec.max_unavailable {
            desired.max_unavailable = Amount::Count(count);
        }
        if let Some(percent) = spec.max_unavailable_percent {
            desired.max_unavailable = Amount::Percent(percent);
        }
        if let Some(percent) = spec.min_healthy_percent {
            desired.min_healthy = Amount::Percent(percent);
        }
        if let Some(limit) = spec.history {
            desired.revision_history_limit = limit;
        }
        if let Some(codes) = &spec.success {
            desired.job.success.clone_from(codes);
        }
        desired.min_ready = Duration::from_secs(spec.min_ready_seconds.unwrap_or(0));
        desired
    }

    pub(crate) fn observed(&self) -> Observed {
        let desired = self.desired();
        let known = |content: &str| RevisionView {
            name: name(content),
            uid: format!("rev-{content}"),
            number: 0,
            digest: revision::digest(&task::content(content).raw),
            ours: true,
        };
        let mut revisions: Vec<RevisionView> = self
            .revisions
            .iter()
            .map(|content| known(content))
            .collect();
        (1..)
            .zip(&mut revisions)
            .for_each(|(number, revision)| revision.number = number);
        revisions.extend(self.taken.iter().map(|name| RevisionView {
            name: name.clone(),
            digest: "other".into(),
            ..RevisionView::default()
        }));
        let foreign = self.foreign.iter().map(|owner| ForeignSet {
            name: "agent".into(),
            owner: owner.clone(),
        });
        let foreign: Vec<_> = foreign.collect();
        let daemon_set = match &self.daemon_set {
            None => None,
            Some(_) if !foreign.is_empty() => None,
            Some(content) => {
                let applied =
                    build::daemon_set(&desired, 0, &task::content(content), &name(content));
                Some(DaemonSetState {
                    name: "agent".into(),
                    uid: "ds".into(),
                    applied: build::applied(&applied).to_owned(),
                    revision: name(content),
                    settled: !self.unsettled,
                    deleting: self.deleting,
                    wave: "default".into(),
                    layout: revision::layout(&desired.waves),
                })
            }
        };
        let stable = self
            .previous
            .as_ref()
            .and_then(|previous| previous.stable.as_ref());
        Observed {
            status: self
                .previous
                .as_ref()
                .map_or_else(WindowsHostTaskStatus::default, Previous::status),
            created: start(),
            nodes: self.nodes.iter().map(Node::view).collect(),
            left: self.left.iter().map(Node::view).collect(),
            daemon_sets: daemon_set.into_iter().collect(),
            foreign,
            pods: self.pods.iter().cloned().map(complete_pod).collect(),
            jobs: self.jobs.iter().cloned().map(complete_job).collect(),
            ledger: self
                .ledger
                .iter()
                .map(|(node, recorded)| (node.clone(), recorded.entry()))
                .collect(),
            revisions,
            stable_content: stable.map(|content| task::content(content)),
            pod_security: self.pod_security.clone(),
            failed_create: self.failed_create.clone(),
            ..Observed::default()
        }
    }
}

/// The revision of a content.
pub(crate) fn name(content: &str) -> String {
    revision::name("agent", &task::content(content).raw, 0)
}

impl Node {
    fn view(&self) -> NodeView {
        NodeView {
            name: self.name.clone(),
            uid: format!("uid-{}", self.name),
            ready: self.ready,
            ready_changed: Some(self.changed),
            unschedulable: self.cordoned,
            system_uuid: format!("machine-{}", self.name),
            boot_id: "boot-1".into(),
            ..NodeView::default()
        }
    }
}

impl Previous {
    fn status(&self) -> WindowsHostTaskStatus {
        let kinds: &[(&str, &str)] = match task::by_table(&self.reason) {
            "Current" => &[("Ready", "True")],
            "Failed" => &[("Ready", "False"), ("Stalled", "True")],
            _ if self.reason == "RollingOut" => &[("Ready", "False"), ("Reconciling", "True")],
            _ => &[("Ready", "Unknown")],
        };
        let condition = |(kind, status): &(&str, &str)| Condition {
            type_: (*kind).to_owned(),
            status: (*status).to_owned(),
            reason: self.reason.clone(),
            message: "as before".into(),
            observed_generation: Some(self.generation),
            last_transition_time: Time(self.since),
        };
        let [updated, healthy, failed, in_progress] = self.counters;
        WindowsHostTaskStatus {
            observed_generation: Some(self.generation),
            stable_revision: self.stable.as_deref().map(name),
            update_revision: Some(name(&self.update)),
            updated_nodes: Some(updated),
            healthy_nodes: Some(healthy),
            failed_nodes: Some(failed),
            in_progress_nodes: Some(in_progress),
            last_progress_time: Some(Time(self.since)),
            wave: (!self.finished).then(|| WaveStatus {
                name: "default".into(),
                total: 1,
                start_time: Some(Time(self.since)),
                ..WaveStatus::default()
            }),
            failures: self
                .failed_nodes
                .iter()
                .map(|node| NodeFailure {
                    node: node.clone(),
                    revision: name(&self.update),
                    ..NodeFailure::default()
                })
                .collect(),
            conditions: kinds.iter().map(condition).collect(),
            ..WindowsHostTaskStatus::default()
        }
    }
}

impl Recorded {
    fn entry(&self) -> LedgerEntry {
        LedgerEntry {
            task: "ns/agent".into(),
            task_uid: "task-uid".into(),
            revision: self.revision.clone(),
            state: self.state,
            attempts: self.attempts,
            exit_code: self.exit_code,
            reason: Some("ExitCode".into()),
            message: None,
            start_time: None,
            completion_time: Some(Time(self.completed)),
            next_retry_time: self.next_retry_time.map(Time),
            boot_id: None,
        }
    }
}

fn complete_pod(mut pod: PodView) -> PodView {
    pod.name = format!("agent-{}{}", pod.node, pod.name);
    pod.uid = format!("uid-{}", pod.name);
    pod.resource_version = "1".into();
    pod.created = pod.created.max(start());
    pod
}

fn complete_job(mut job: JobView) -> JobView {
    job.name = format!("agent-{}-{}", job.node, job.attempt);
    job.uid = format!("uid-{}", job.name);
    if job.machine.is_empty() {
        job.machine = format!("uid-{0}/machine-{0}", job.node);
    }
    job.created = job.created.max(start());
    job
}
