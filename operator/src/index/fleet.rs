//! Task rows, and the fleet of each task: the nodes its placement selects.

use std::collections::BTreeSet;
use std::sync::Arc;

use hosttask_crds::task::{Placement as PlacementSpec, WindowsHostTaskStatus};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::TaskSnapshot;
use super::inputs::{InputKind, named};
use super::node::NodeRow;
use super::owner::task_symbol;
use super::symbol::{Symbol, Symbols};
use super::wire::Task;
use crate::desired::Placement;
use crate::placement;

/// How long pods may be missing before the events of their owner are read.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);
/// How long an answer holds at first, and at most.
const HOLDS: [SignedDuration; 2] = [SignedDuration::from_secs(30), SignedDuration::from_mins(10)];

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
    /// The placement, compiled once per generation.
    pub(super) placement: Placement,
    /// The nodes it selects and whose taints it tolerates.
    pub(super) fleet: BTreeSet<Symbol>,
    pub(super) inputs: BTreeSet<(InputKind, String)>,
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
        let (placement, fleet, inputs, spec, missing) = match before {
            Some(row) if row.uid == metadata.uid && row.generation == metadata.generation => {
                (row.placement, row.fleet, row.inputs, row.spec, row.missing)
            }
            _ => (
                compile(&task.spec),
                BTreeSet::new(),
                named(&task.spec),
                Arc::new(task.spec),
                None,
            ),
        };
        Self {
            uid: metadata.uid,
            symbol,
            generation: metadata.generation,
            spec,
            // A status that does not fit was not written by us, and is replaced by the next report.
            status: WindowsHostTaskStatus::deserialize(&task.status).unwrap_or_default(),
            created: metadata.creation_timestamp.unwrap_or(now),
            deleting: metadata.deleting,
            resource_version: metadata.resource_version,
            placement,
            fleet,
            inputs,
            missing,
            mark: 0,
        }
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
