//! Task rows, and the fleet of each task: the nodes its placement selects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hosttask_crds::label::{APPROVED_WAVE, RETRY};
use hosttask_crds::task::{Placement as PlacementSpec, WindowsHostTaskStatus};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::TaskSnapshot;
use super::depend::depends_on;
use super::inputs::{InputKind, named};
use super::node::NodeRow;
use super::owner::task_symbol;
use super::symbol::{Symbol, Symbols};
use super::wire::{Ours, Pairs, Task};
use crate::desired::{Content, Desired, Placement};
use crate::observed::Requests;
use crate::placement;

/// How long pods may be missing before the events of their owner are read.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);
/// How long an answer holds at first, and at most.
const HOLDS: [SignedDuration; 2] = [SignedDuration::from_secs(30), SignedDuration::from_mins(10)];
/// The default of `health.startGraceSeconds`.
const START_GRACE: i64 = 1200;
/// How much of a request is kept, in characters: what `status.lastHandledRetry` has room for.
const REQUEST: usize = 253;

/// A child has no pod where it should have one.
///
/// No watch tells why: the DaemonSet and Job controllers only publish events. They are read now and then, less often the longer
/// it lasts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MissingPods {
    /// Since when.
    pub(crate) since: Timestamp,
    /// When the events were last read.
    pub(crate) read: Option<Timestamp>,
    /// What the newest of them said.
    pub(crate) message: Option<String>,
}

impl MissingPods {
    /// From now on.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            read: None,
            message: None,
        }
    }

    /// Whether the events are to be read now.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let Some(read) = self.read else {
            return now.duration_since(self.since) >= PATIENCE;
        };
        let [first, most] = HOLDS;
        let holds = read.duration_since(self.since).clamp(first, most);
        now.duration_since(read) >= holds
    }
}

/// The content of a stored revision, read once: Kubernetes lets nobody change it.
#[derive(Clone, Debug)]
pub(crate) struct StableContent {
    /// The name of the revision.
    pub(crate) name: String,
    /// Its UID.
    pub(crate) uid: String,
    /// The content; none where it cannot be read.
    pub(crate) content: Option<Content>,
}

/// What stays of a task.
#[derive(Debug)]
pub(super) struct TaskRow {
    pub(super) uid: String,
    pub(super) symbol: Symbol,
    pub(super) generation: i64,
    spec: Arc<Value>,
    status: WindowsHostTaskStatus,
    created: Timestamp,
    pub(super) deleting: bool,
    resource_version: String,
    pub(super) requests: Requests,
    /// The placement, compiled once per generation.
    pub(super) placement: Placement,
    /// The nodes it selects and whose taints it tolerates.
    pub(super) fleet: BTreeSet<Symbol>,
    pub(super) inputs: BTreeSet<(InputKind, String)>,
    /// The names of the tasks that it depends on.
    pub(super) depends_on: BTreeSet<String>,
    /// The types of node conditions that it looks at.
    pub(super) conditions: BTreeSet<String>,
    /// The positions of the waves of its nodes, as far as they were asked for. There are none where it has one wave.
    pub(super) waves: BTreeMap<Symbol, usize>,
    /// The names of DaemonSets that a live read did not find. Whoever is about to write one looks again.
    pub(super) absent: BTreeSet<String>,
    /// The content of the stable revision, while it is needed.
    pub(super) stable: Option<StableContent>,
    /// See [`MissingPods`].
    pub(super) missing: Option<MissingPods>,
    pub(super) mark: u32,
}

impl TaskRow {
    /// The row of a task. What was compiled for the row before is used again while the generation is the same.
    pub(super) fn new(
        task: Task,
        before: Option<Self>,
        now: Timestamp,
        symbols: &mut Symbols,
    ) -> Self {
        let metadata = task.metadata;
        let symbol = task_symbol(symbols, &metadata.namespace, &metadata.uid);
        let before = before.filter(|row| row.uid == metadata.uid);
        let compiled = match before {
            Some(row) if row.generation == metadata.generation => row,
            before => Self {
                stable: before.and_then(|row| row.stable),
                ..Self::compile(task.spec, symbol, now)
            },
        };
        Self {
            uid: metadata.uid,
            symbol,
            generation: metadata.generation,
            requests: requests(&metadata.annotations),
            // A status that does not fit was not written by us, and is replaced by the next report.
            status: WindowsHostTaskStatus::deserialize(&task.status).unwrap_or_default(),
            created: metadata.creation_timestamp.unwrap_or(now),
            deleting: metadata.deleting,
            resource_version: metadata.resource_version,
            mark: 0,
            ..compiled
        }
    }

    /// The row of a spec, as far as it follows from the spec alone.
    fn compile(spec: Value, symbol: Symbol, now: Timestamp) -> Self {
        Self {
            uid: String::new(),
            symbol,
            generation: 0,
            status: WindowsHostTaskStatus::default(),
            created: now,
            deleting: false,
            resource_version: String::new(),
            requests: Requests::default(),
            placement: compile(&spec),
            fleet: BTreeSet::new(),
            inputs: named(&spec),
            depends_on: depends_on(&spec),
            conditions: conditions(&spec),
            waves: BTreeMap::new(),
            absent: BTreeSet::new(),
            stable: None,
            missing: None,
            spec: Arc::new(spec),
            mark: 0,
        }
    }

    /// Whether its pods are those of DaemonSets.
    pub(super) fn is_daemon(&self) -> bool {
        self.spec.get("mode").and_then(Value::as_str) == Some("Daemon")
    }

    /// Whether a node that has run another revision has to run the present one: `job.rerunOn` has `SpecChange`, or is not
    /// there.
    pub(super) fn reruns_on_change(&self) -> bool {
        let on = self.spec.pointer("/job/rerunOn").and_then(Value::as_array);
        on.is_none_or(|on| on.iter().any(|on| on == "SpecChange"))
    }

    /// The revision that it asks for; none until somebody has looked at its present spec.
    pub(super) fn update_revision(&self) -> Option<&str> {
        let is_current = self.status.observed_generation == Some(self.generation);
        self.status
            .update_revision
            .as_deref()
            .filter(|_| is_current)
    }

    /// Whether a rollout replaces the pods of another revision.
    pub(super) fn replaces_pods(&self) -> bool {
        let stable = &self.status.stable_revision;
        stable.is_some() && *stable != self.status.update_revision
    }

    /// `health.startGraceSeconds`: how long a pod may take to become ready.
    pub(super) fn start_grace(&self) -> SignedDuration {
        let written = self.spec.pointer("/health/startGraceSeconds");
        let seconds = written.and_then(Value::as_i64);
        SignedDuration::from_secs(seconds.unwrap_or(START_GRACE))
    }

    /// Whether what was compiled for this row is what this task asks for.
    pub(super) fn is_of(&self, desired: &Desired) -> bool {
        self.uid == desired.uid && self.generation == desired.generation
    }

    pub(super) fn snapshot(&self) -> TaskSnapshot {
        TaskSnapshot {
            uid: self.uid.clone(),
            generation: self.generation,
            spec: Arc::clone(&self.spec),
            status: self.status.clone(),
            created: self.created,
            deleting: self.deleting,
            resource_version: self.resource_version.clone(),
        }
    }

    /// What is compared to see whether the task has to be looked at again.
    pub(super) fn face(&self) -> (&str, i64, bool, &str) {
        (
            &self.uid,
            self.generation,
            self.deleting,
            &self.resource_version,
        )
    }
}

/// The placement of a spec. One that does not fit the type selects nothing: `validate` refuses it with a reason.
fn compile(spec: &Value) -> Placement {
    let written = spec.get("placement").filter(|value| !value.is_null());
    match written.map(PlacementSpec::deserialize) {
        None => placement::compile(None),
        Some(Ok(written)) => placement::compile(Some(&written)),
        Some(Err(_)) => nothing(),
    }
}

/// The types of node conditions that a spec names. The spec may be invalid: what has no type is left out.
fn conditions(spec: &Value) -> BTreeSet<String> {
    let all = spec
        .pointer("/health/nodeConditions")
        .and_then(Value::as_array);
    let types = all.into_iter().flatten().filter_map(|one| one.get("type"));
    types
        .filter_map(|of| of.as_str().map(str::to_owned))
        .collect()
}

/// What people ask for by annotations.
fn requests(annotations: &Pairs<Ours>) -> Requests {
    let text = |key: &str| {
        let value = annotations.0.get(key).filter(|value| !value.is_empty())?;
        Some(value.chars().take(REQUEST).collect())
    };
    Requests {
        retry: text(RETRY),
        approved_wave: text(APPROVED_WAVE),
    }
}

fn nothing() -> Placement {
    let mut placement = placement::compile(None);
    for requirement in &mut placement.requirements {
        requirement.values.clear();
    }
    placement
}

/// Whether a placement selects a node and tolerates its taints.
pub(super) fn takes(placement: &Placement, node: &NodeRow, symbols: &Symbols) -> bool {
    placement.tolerates(&node.taints) && placement.selects(&node.labels(symbols))
}
