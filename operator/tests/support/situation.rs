//! A situation as a golden file tells it, and the facts it stands for.
//!
//! Longer than 400 lines: one reader of one file format.

use std::collections::BTreeMap;
use std::time::Duration;

use hosttask_crds::label::DEFAULT_WAVE;
use hosttask_crds::node::{LedgerEntry, LedgerState};
use hosttask_crds::task::{
    Approval, ConcurrencyPolicy, ConditionStatus, FailureAction, Mode, NodeFailure, RerunOn,
    Waiting, WaveStatus, WindowsHostTaskStatus,
};
use hosttask_operator::desired::{
    self, Amount, Desired, FailurePolicy, NodeCondition, Operator, Requirement, Schedule,
    TopologyOrder, Wave, Window,
};
use hosttask_operator::observed::{
    ConditionView, DaemonSetState, DependencyView, ForeignSet, Grants, JobView, NodeView, Observed,
    PodView, Requests, RevisionView,
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
    /// Why a second look at the same facts need not give the same status.
    pub(crate) restless: Option<String>,
    /// What is wrong with the spec, where it is invalid.
    pub(crate) invalid: Option<String>,
    spec: Spec,
    previous: Option<Previous>,
    #[serde(default)]
    nodes: Vec<Node>,
    /// Nodes that placement does not select.
    #[serde(default)]
    left: Vec<Node>,
    /// The revision of the DaemonSet's template, where there are no waves.
    daemon_set: Option<String>,
    /// The revisions of the DaemonSets' templates, by wave.
    #[serde(default)]
    daemon_sets: BTreeMap<String, String>,
    /// Waves whose DaemonSet is of a former division of the fleet.
    #[serde(default)]
    former: Vec<String>,
    #[serde(default)]
    requests: Requests,
    #[serde(default)]
    dependencies: Vec<DependencyView>,
    #[serde(default)]
    grants: Grants,
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "as many as the spec has, each on its own"
)]
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
    #[serde(default)]
    waves: Vec<WaveSpec>,
    failure_policy: Option<Policy>,
    partition: Option<i32>,
    partition_percent: Option<i32>,
    /// Labels that order the nodes; one that ends with `!` is sequential.
    #[serde(default)]
    order: Vec<String>,
    approved_wave: Option<String>,
    unreachable_after_seconds: Option<u64>,
    max_unreachable: Option<i32>,
    max_unreachable_percent: Option<i32>,
    #[serde(default)]
    windows: Vec<WindowSpec>,
    /// Node conditions that must be True.
    #[serde(default)]
    node_conditions: Vec<String>,
    #[serde(default)]
    depends_on: Vec<String>,
    /// Whether nodes are checked first.
    #[serde(default)]
    check: bool,
    #[serde(default)]
    check_only: bool,
    rerun_on: Option<Vec<RerunOn>>,
    schedule: Option<ScheduleSpec>,
}

/// A schedule, in UTC.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScheduleSpec {
    cron: String,
    deadline_seconds: Option<u64>,
    #[serde(default)]
    replace: bool,
    #[serde(default)]
    jitter_seconds: u64,
}

/// A wave in few words; `default` is added after the last. Nodes name their wave themselves.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WaveSpec {
    name: String,
    max_unavailable: Option<i32>,
    #[serde(default)]
    soak_seconds: u64,
    #[serde(default)]
    manual: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Policy {
    max_failed: Option<i32>,
    max_failed_percent: Option<i32>,
    action: FailureAction,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WindowSpec {
    schedule: String,
    minutes: u64,
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
    /// Its wave, where there are waves and it is not the default one.
    wave: Option<String>,
    /// Its values of the labels of `order`.
    #[serde(default)]
    topology: Vec<Option<String>>,
    #[serde(default)]
    conditions: Vec<ConditionView>,
    /// Its boot, where it rebooted.
    boot: Option<String>,
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
    /// The wave; without it `default`.
    wave: Option<String>,
    /// Whether the waves were edited since.
    #[serde(default)]
    edited: bool,
    soak_end: Option<Timestamp>,
    /// Whether the update revision is latched as failed.
    #[serde(default)]
    failed: bool,
    handled_retry: Option<String>,
    waiting: Option<Waiting>,
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
    reason: Option<String>,
    started: Option<Timestamp>,
    earlier_attempts: Option<i32>,
    /// The time of the schedule.
    tick: Option<Timestamp>,
    boot: Option<String>,
}

fn first() -> i32 {
    1
}

impl Spec {
    /// When and how Jobs run.
    fn runs(&self, desired: &mut Desired) {
        let command = vec!["test.exe".to_owned()];
        desired.job.check = self.check.then_some(command);
        desired.job.check_only = self.check_only;
        if let Some(rerun) = &self.rerun_on {
            desired.job.rerun_on = desired::RerunOn {
                spec_change: rerun.contains(&RerunOn::SpecChange),
                node_reimage: rerun.contains(&RerunOn::NodeReimage),
                node_reboot: rerun.contains(&RerunOn::NodeReboot),
            };
        }
        desired.schedule = self.schedule.as_ref().map(|schedule| Schedule {
            cron: schedule.cron.clone(),
            time_zone: "UTC".into(),
            starting_deadline: schedule.deadline_seconds.map(Duration::from_secs),
            concurrency: if schedule.replace {
                ConcurrencyPolicy::Replace
            } else {
                ConcurrencyPolicy::Forbid
            },
            jitter: Duration::from_secs(schedule.jitter_seconds),
        });
    }
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
        spec.runs(&mut desired);
        spec.rollout(&mut desired);
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
        let daemon_sets = self.daemon_sets(&desired);
        let nodes: BTreeMap<&str, String> = self
            .nodes
            .iter()
            .filter_map(|node| Some((node.name.as_str(), node.wave.clone()?)))
            .collect();
        let stable = self
            .previous
            .as_ref()
            .and_then(|previous| previous.stable.as_ref());
        Observed {
            status: self
                .previous
                .as_ref()
                .map_or_else(WindowsHostTaskStatus::default, |previous| {
                    previous.status(&desired)
                }),
            created: start(),
            nodes: self.nodes.iter().map(|node| node.view(&desired)).collect(),
            left: self.left.iter().map(|node| node.view(&desired)).collect(),
            daemon_sets,
            foreign,
            pods: self
                .pods
                .iter()
                .cloned()
                .map(|pod| complete_pod(pod, &nodes))
                .collect(),
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
            requests: self.requests.clone(),
            dependencies: self.dependencies.clone(),
            grants: self.grants.clone(),
        }
    }
}

impl Situation {
    fn daemon_sets(&self, desired: &Desired) -> Vec<DaemonSetState> {
        let single = self
            .daemon_set
            .iter()
            .map(|content| (DEFAULT_WAVE, content));
        let several = self
            .daemon_sets
            .iter()
            .map(|(wave, content)| (wave.as_str(), content));
        let state = |(wave, content): (&str, &String)| {
            let position = desired.waves.iter().position(|it| it.name == wave);
            let applied = build::daemon_set(
                desired,
                position.unwrap_or_default(),
                &task::content(content),
                &name(content),
            );
            let former = self.former.iter().any(|it| it == wave);
            DaemonSetState {
                name: revision::daemon_set_name("agent", wave),
                uid: format!("ds-{wave}"),
                applied: build::applied(&applied).to_owned(),
                revision: name(content),
                settled: !self.unsettled,
                deleting: self.deleting,
                wave: wave.to_owned(),
                layout: if former {
                    "former".into()
                } else {
                    revision::layout(&desired.waves)
                },
            }
        };
        single.chain(several).map(state).collect()
    }
}

impl Spec {
    /// What the rollout is to do.
    fn rollout(&self, desired: &mut Desired) {
        let mut waves: Vec<Wave> = self.waves.iter().map(WaveSpec::wave).collect();
        waves.push(Wave::rest());
        desired.waves = waves;
        desired.failure_policy = self.failure_policy.as_ref().map(Policy::policy);
        let percent = self.partition_percent.map(Amount::Percent);
        desired.partition = self.partition.map(Amount::Count).or(percent);
        desired.order = self
            .order
            .iter()
            .map(|key| TopologyOrder {
                key: key.trim_end_matches('!').to_owned(),
                sequential: key.ends_with('!'),
            })
            .collect();
        desired.approved_wave.clone_from(&self.approved_wave);
        if let Some(seconds) = self.unreachable_after_seconds {
            desired.unreachable_after = Duration::from_secs(seconds);
        }
        let percent = self.max_unreachable_percent.map(Amount::Percent);
        desired.max_unreachable = self.max_unreachable.map(Amount::Count).or(percent);
        desired.windows = self
            .windows
            .iter()
            .map(|window| Window {
                schedule: window.schedule.clone(),
                duration: Duration::from_mins(window.minutes),
                time_zone: "UTC".into(),
            })
            .collect();
        desired.node_conditions = self
            .node_conditions
            .iter()
            .map(|kind| NodeCondition {
                kind: kind.clone(),
                status: ConditionStatus::True,
            })
            .collect();
        desired.depends_on.clone_from(&self.depends_on);
    }
}

impl WaveSpec {
    fn wave(&self) -> Wave {
        Wave {
            name: self.name.clone(),
            requirements: vec![Requirement {
                key: "wave".into(),
                operator: Operator::In,
                values: vec![self.name.clone()],
            }],
            max_unavailable: self.max_unavailable.map(Amount::Count),
            soak: Duration::from_secs(self.soak_seconds),
            approval: if self.manual {
                Approval::Manual
            } else {
                Approval::Auto
            },
        }
    }
}

impl Policy {
    fn policy(&self) -> FailurePolicy {
        let percent = self.max_failed_percent.map(Amount::Percent);
        FailurePolicy {
            max_failed: self
                .max_failed
                .map(Amount::Count)
                .or(percent)
                .unwrap_or(Amount::Count(1)),
            action: self.action,
        }
    }
}

/// The revision of a content.
pub(crate) fn name(content: &str) -> String {
    revision::name("agent", &task::content(content).raw, 0)
}

impl Node {
    fn view(&self, desired: &Desired) -> NodeView {
        let position = desired
            .waves
            .iter()
            .position(|it| Some(&it.name) == self.wave.as_ref());
        NodeView {
            wave: position.unwrap_or(desired.waves.len() - 1),
            topology: self.topology.clone(),
            conditions: self.conditions.clone(),
            name: self.name.clone(),
            uid: format!("uid-{}", self.name),
            ready: self.ready,
            ready_changed: Some(self.changed),
            unschedulable: self.cordoned,
            system_uuid: format!("machine-{}", self.name),
            boot_id: self.boot.as_deref().unwrap_or("boot-1").into(),
        }
    }
}

impl Previous {
    fn status(&self, desired: &Desired) -> WindowsHostTaskStatus {
        let wave = self.wave.as_deref().unwrap_or(DEFAULT_WAVE);
        let known = desired.waves.iter().position(|it| it.name == wave);
        let number = |place: usize| i32::try_from(place).unwrap();
        let layout = (desired.waves.len() > 1).then(|| revision::layout(&desired.waves));
        let former = || Some("former".to_owned());
        let kinds: &[(&str, &str)] = match task::by_table(&self.reason) {
            "Current" => &[("Ready", "True")],
            "Failed" => &[("Ready", "False"), ("Stalled", "True")],
            _ if matches!(
                self.reason.as_str(),
                "Paused" | "Suspended" | "Pending" | "AwaitingApproval"
            ) =>
            {
                &[("Ready", "Unknown")]
            }
            _ => &[("Ready", "False"), ("Reconciling", "True")],
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
                name: wave.to_owned(),
                index: number(known.unwrap_or_default()),
                total: number(desired.waves.len()),
                layout: if self.edited { former() } else { layout },
                start_time: Some(Time(self.since)),
                soak_end_time: self.soak_end.map(Time),
                waiting: self.waiting,
            }),
            failed_revision: self.failed.then(|| name(&self.update)),
            last_handled_retry: self.handled_retry.clone(),
            failures: self
                .failed_nodes
                .iter()
                .map(|node| NodeFailure {
                    node: node.clone(),
                    revision: name(&self.update),
                    reason: "CrashLoop".into(),
                    exit_code: Some(7),
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
            reason: Some(self.reason.as_deref().unwrap_or("ExitCode").into()),
            message: None,
            start_time: self.started.map(Time),
            completion_time: Some(Time(self.completed)),
            next_retry_time: self.next_retry_time.map(Time),
            boot_id: self.boot.clone(),
            earlier_attempts: self.earlier_attempts,
            scheduled_time: self.tick.map(Time),
            survives_reimage: None,
        }
    }
}

/// A pod is in the wave of its node, unless it says otherwise.
fn complete_pod(mut pod: PodView, waves: &BTreeMap<&str, String>) -> PodView {
    if pod.wave.is_empty() {
        let wave = waves.get(pod.node.as_str());
        pod.wave = wave.cloned().unwrap_or_else(|| DEFAULT_WAVE.to_owned());
    }
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
