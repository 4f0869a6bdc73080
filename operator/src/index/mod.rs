//! The index: what the watches showed, as compact rows, with our own writes applied on top until the watches show them.
//!
//! ```text
//!   watch ──Change──▶ apply ──▶ rows ──▶ keys of the tasks and nodes that are concerned
//!   own write ──▶ expect / record ──▶ pending ─┐
//!                                rows ─────────┴─▶ observed(task), node_observed(node)
//! ```
//!
//! Typed Kubernetes objects are never kept: 100,000 pods as typed objects are gigabytes, as rows they are a few megabytes.
//! One mutex guards everything; no method blocks or awaits while it is held.

mod change;
mod depend;
mod expect;
mod fleet;
mod flight;
mod inputs;
mod node;
mod observed;
mod owner;
mod pod;
mod shared;
mod state;
mod sweep;
mod symbol;
#[cfg(test)]
pub(crate) mod tests;
pub mod wire;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hosttask_crds::node::LedgerEntry;
use hosttask_crds::task::WindowsHostTaskStatus;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

pub use self::change::{Change, Kind, Object, Scope, Source};
pub use self::expect::{DEADLINE, Expectation, Overdue, Settled, Ticket};
pub(crate) use self::fleet::{MissingPods, StableContent};
pub use self::inputs::{InputKind, Wanted};
pub(crate) use self::owner::daemon_set_view;
use self::state::State;
use crate::desired::{Desired, TaskKey};
use crate::observed::Observed;
use crate::plan::node::{LedgerView, NodeObserved};
use crate::stray::Orphan;
use crate::validate::InputsView;

/// What has to be looked at again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A task.
    Task(TaskKey),
    /// The ledger of a node.
    Node(String),
    /// The daemon pods that nothing controls and whose task is gone.
    Strays,
}

/// A task as the watch last showed it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSnapshot {
    /// Its UID.
    pub uid: String,
    /// The generation of the spec.
    pub generation: i64,
    /// The spec as stored, never a typed struct: the revision is a hash of what the user wrote.
    pub spec: Arc<Value>,
    /// The status as last written; what does not fit the type counts as empty.
    pub status: WindowsHostTaskStatus,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its resource version.
    pub resource_version: String,
}

/// How much the index holds, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tasks.
    pub tasks: usize,
    /// Windows nodes.
    pub nodes: usize,
    /// DaemonSets.
    pub daemon_sets: usize,
    /// Jobs.
    pub jobs: usize,
    /// Pods.
    pub pods: usize,
    /// ControllerRevisions.
    pub revisions: usize,
    /// Ledger objects.
    pub ledgers: usize,
    /// ConfigMaps and Secrets that tasks name.
    pub inputs: usize,
    /// Own writes that the watches have not shown yet.
    pub expectations: usize,
    /// Ledger entries that are not written yet, or not seen yet.
    pub pending_entries: usize,
}

/// The index. Cheap to share as `Arc`; every method locks for the time of the call only.
#[derive(Debug)]
pub struct Index {
    state: Mutex<State>,
    /// Which inputs the tasks name, for the watches that live only while somebody needs them.
    wanted: watch::Sender<Wanted>,
}

impl Index {
    /// An empty index. `namespace`: the only one whose tasks are watched; none for all.
    pub fn new(namespace: Option<String>) -> Self {
        let state = State {
            namespace,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            wanted: watch::Sender::default(),
        }
    }

    /// No method leaves the rows half changed, so a panic elsewhere is no reason to stop serving them.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what a watch showed and returns what has to be looked at again. `now` is the local clock.
    pub fn apply(&self, change: Change, now: Timestamp) -> Vec<Key> {
        let mut keys = BTreeSet::new();
        let mut state = self.lock();
        let wishes = matches!(
            change,
            Change::Seen(Object::Task(_), _)
                | Change::Gone(Object::Task(_))
                | Change::Listed(Scope::Kind(Kind::Task))
        );
        match change {
            Change::Listing(scope) => state.begin(&scope),
            Change::Listed(scope) => state.end(&scope, &mut keys),
            Change::Seen(object, source) => state.seen(object, source, now, &mut keys),
            Change::Gone(object) => state.gone(&object, &mut keys),
            Change::Denied(kind, namespace, message) => {
                if state.inputs.denied(&(kind, namespace.clone()), &message) {
                    state.push_input(kind, &namespace, None, &mut keys);
                }
            }
        }
        if wishes {
            self.publish(&state);
        }
        state.concern(&mut keys, wishes);
        keys.into_iter().collect()
    }

    /// Tells the watches of ConfigMaps and Secrets what is wanted now.
    fn publish(&self, state: &State) {
        let now = state.inputs.wanted();
        self.wanted.send_if_modified(|wanted| {
            let differs = *wanted != now;
            if differs {
                *wanted = now;
            }
            differs
        });
    }

    /// Which watches of ConfigMaps and Secrets are needed, as it changes.
    pub fn wanted_inputs(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }

    /// Whether every kind was listed once. Before that nothing may be decided: a list that is missing would read as
    /// "there are none".
    pub fn synced(&self) -> bool {
        let state = self.lock();
        Kind::ALL
            .iter()
            .all(|kind| state.lists.get(kind).is_some_and(|list| list.complete))
    }

    /// A task.
    pub fn task(&self, key: &TaskKey) -> Option<TaskSnapshot> {
        self.lock().tasks.get(key).map(fleet::TaskRow::snapshot)
    }

    /// Every task and every node, to look at them all when this process begins to decide.
    pub fn keys(&self) -> Vec<Key> {
        let state = self.lock();
        let tasks = state.tasks.keys().cloned().map(Key::Task);
        let nodes = state
            .nodes
            .keys()
            .map(|name| Key::Node(state.symbols.text(*name).to_owned()));
        tasks.chain(nodes).chain([Key::Strays]).collect()
    }

    /// The ConfigMaps and Secrets a task names; none while one of them is not known yet (the task's key comes when it is).
    pub fn inputs(&self, key: &TaskKey) -> Option<InputsView> {
        let state = self.lock();
        let mut view = InputsView::default();
        for (kind, name) in &state.tasks.get(key)?.inputs {
            let input = state.inputs.state(*kind, &key.namespace, name)?;
            let of = match kind {
                InputKind::ConfigMap => &mut view.config_maps,
                InputKind::Secret => &mut view.secrets,
            };
            of.insert(name.clone(), input);
        }
        Some(view)
    }

    /// No input is known until it is listed anew: whoever begins to decide must not do so on what was seen before.
    pub fn doubt_inputs(&self) {
        self.lock().inputs.doubt();
    }

    /// What the index knows about a task. [`crate::observe::observe`] adds the few live reads.
    pub fn observed(&self, desired: &Desired, now: Timestamp) -> Observed {
        self.lock().observed(desired, now)
    }

    /// What the index knows about the ledger of a node.
    pub fn node_observed(&self, node: &str) -> NodeObserved {
        self.lock().node_observed(node)
    }

    /// Remembers a write until the watch shows it.
    ///
    /// Call it with the response of the write. Where the response was lost, call it with what was sent: the write may have
    /// happened. A write that the watch has already shown is not kept.
    pub fn expect(
        &self,
        task: &TaskKey,
        task_uid: &str,
        expectation: Expectation,
        now: Timestamp,
    ) -> Ticket {
        self.lock().expect(task, task_uid, expectation, now)
    }

    /// Takes an expectation back: the API server refused the write after all.
    pub fn withdraw(&self, ticket: &Ticket) {
        self.lock().withdraw(ticket);
    }

    /// The expectations of a task that the watch did not fulfil in time.
    pub fn overdue(&self, key: &TaskKey, now: Timestamp) -> Vec<Overdue> {
        let state = self.lock();
        let all = state
            .expectations
            .overdue(now)
            .filter(|(of, _, _)| *of == key);
        all.map(|(_, _, overdue)| overdue).collect()
    }

    /// The tasks that have to be looked at because time has passed: an expectation is overdue, pods are missing and the events
    /// that may say why are due to be read, or a pod that crashed again and again is calm.
    pub fn due(&self, now: Timestamp) -> Vec<Key> {
        self.lock().due(now)
    }

    /// Ends an overdue expectation by what a live read showed.
    pub fn settle(&self, overdue: &Overdue, settled: Settled, now: Timestamp) -> Vec<Key> {
        let mut keys = BTreeSet::new();
        let mut state = self.lock();
        state.settle(overdue, settled, now, &mut keys);
        state.concern(&mut keys, false);
        keys.into_iter().collect()
    }

    /// The daemon pods that nothing controls and whose task is not known; none before every task was listed.
    pub fn orphans_without_task(&self) -> Vec<Orphan> {
        if self.synced() {
            self.lock().orphans_without_task()
        } else {
            Vec::new()
        }
    }

    /// The nodes that each task is working on, own writes counted; tasks that work on none are left out.
    pub(crate) fn in_flight(&self, now: Timestamp) -> BTreeMap<TaskKey, BTreeSet<String>> {
        self.lock().in_flight(now)
    }

    /// Keeps a result until the node's ledger shows it. Look at [`Key::Node`] of the node afterwards.
    pub fn record(&self, node: &str, entry: LedgerEntry) {
        self.lock().record(node, entry);
    }

    /// Remembers a write to a ledger, as its response showed it, until the watch does.
    pub fn wrote_ledger(&self, node: &str, view: LedgerView) {
        self.lock().wrote_ledger(node, view);
    }

    /// Forgets a ledger write: the API server says that it is out of date.
    pub fn forget_ledger_write(&self, node: &str) {
        self.lock().ledger_writes.remove(node);
    }

    /// How much the index holds.
    pub fn counts(&self) -> Counts {
        let state = self.lock();
        Counts {
            tasks: state.tasks.len(),
            nodes: state.nodes.len(),
            daemon_sets: state.daemon_sets.len(),
            jobs: state.jobs.len(),
            pods: state.pods.len(),
            revisions: state.revisions.len(),
            ledgers: state.ledgers.len(),
            inputs: state.inputs.len(),
            expectations: state.expectations.len() + state.ledger_writes.len(),
            pending_entries: state.pending.values().map(BTreeMap::len).sum(),
        }
    }

    /// The names of DaemonSets of the task that a live read did not find.
    pub(crate) fn absent_sets(&self, key: &TaskKey) -> BTreeSet<String> {
        let state = self.lock();
        let row = state.tasks.get(key);
        row.map(|row| row.absent.clone()).unwrap_or_default()
    }

    /// Remembers that a live read did not find a DaemonSet, until the task has another generation.
    pub(crate) fn note_absent_set(&self, desired: &Desired, name: &str) {
        let mut state = self.lock();
        let row = state.tasks.get_mut(&desired.key);
        if let Some(row) = row.filter(|row| row.is_of(desired)) {
            row.absent.insert(name.to_owned());
        }
    }

    /// Forgets which DaemonSets a live read did not find: they are looked for again.
    pub(crate) fn doubt_absent_sets(&self, key: &TaskKey) {
        if let Some(row) = self.lock().tasks.get_mut(key) {
            row.absent.clear();
        }
    }

    /// The content of a stored revision of the task, where it was read before.
    pub(crate) fn stable_content(&self, key: &TaskKey) -> Option<StableContent> {
        self.lock().tasks.get(key)?.stable.clone()
    }

    /// Keeps the content of a stored revision of the task; none where it is needed no longer.
    pub(crate) fn keep_stable_content(&self, key: &TaskKey, stable: Option<StableContent>) {
        if let Some(row) = self.lock().tasks.get_mut(key) {
            row.stable = stable;
        }
    }

    /// Since when a child of the task has no pod where it should have one.
    pub(crate) fn missing_pods(&self, key: &TaskKey) -> Option<MissingPods> {
        self.lock().tasks.get(key)?.missing.clone()
    }

    /// Remembers since when a child of the task has no pod where it should have one.
    pub(crate) fn note_missing_pods(&self, key: &TaskKey, missing: Option<MissingPods>) {
        if let Some(row) = self.lock().tasks.get_mut(key) {
            row.missing = missing;
        }
    }
}
