//! What the index tells a pass over a task or a node: the rows, own writes applied on top.
//!
//! Longer than 400 lines: one view of one task, put together from every table.

use std::collections::{BTreeMap, BTreeSet};

use hosttask_crds::node::LedgerEntry;
use jiff::Timestamp;

use super::expect::Expectation;
use super::fleet::takes;
use super::node::NodeRow;
use super::owner::task_text;
use super::state::State;
use super::symbol::Symbol;
use crate::desired::{Desired, TaskKey};
use crate::observed::{
    DaemonSetState, Exit, ForeignSet, Grants, JobView, NodeView, Observed, PodView, RevisionView,
};
use crate::placement::wave_of;
use crate::plan::node::{LedgerNode, LedgerView, NodeObserved, counts};
use crate::revision;

impl State {
    /// Everything the index knows about a task.
    pub(super) fn observed(&mut self, desired: &Desired, now: Timestamp) -> Observed {
        self.find_waves(desired);
        self.look(desired, now)
    }

    /// Finds the waves of the nodes of a task, once for each generation and set of labels: it takes all labels of a node.
    fn find_waves(&mut self, desired: &Desired) {
        let rows = self.tasks.get_mut(&desired.key);
        let Some(row) = rows.filter(|row| row.is_of(desired)) else {
            return;
        };
        if desired.waves.len() < 2 {
            return;
        }
        for name in &row.fleet {
            if !row.waves.contains_key(name)
                && let Some((node, _)) = self.nodes.get(name)
            {
                let wave = wave_of(&desired.waves, &node.labels(&self.symbols));
                row.waves.insert(*name, wave);
            }
        }
    }

    fn look(&self, desired: &Desired, now: Timestamp) -> Observed {
        let TaskKey { namespace, .. } = &desired.key;
        let task = task_text(namespace, &desired.uid);
        let symbol = self.symbols.find(&task);
        let snapshot = self
            .tasks
            .get(&desired.key)
            .map(super::fleet::TaskRow::snapshot);
        let (nodes, mut ledger) = self.fleet(desired);
        let jobs = self.jobs_of(&task, symbol);
        let left = self.left(desired, &nodes, &jobs);
        let (daemon_sets, foreign) = self.daemon_sets(desired, &task, symbol);
        self.add_entries(&left, &desired.uid, &mut ledger);
        Observed {
            status: snapshot
                .as_ref()
                .map(|task| task.status.clone())
                .unwrap_or_default(),
            created: snapshot.map(|task| task.created).unwrap_or_default(),
            dependencies: self.dependencies(desired, &nodes),
            requests: self
                .tasks
                .get(&desired.key)
                .map(|row| row.requests.clone())
                .unwrap_or_default(),
            nodes,
            daemon_sets,
            foreign,
            pods: self.pods_of(desired, &task, symbol, now),
            jobs,
            left,
            ledger,
            revisions: self.revisions_of(desired, &task, symbol),
            stable_content: None,
            pod_security: self
                .namespaces
                .get(namespace)
                .and_then(|(level, _)| level.clone()),
            failed_create: None,
            grants: Grants::default(),
        }
    }

    /// The nodes of a task in name order, and its valid ledger entry on each.
    fn fleet(&self, desired: &Desired) -> (Vec<NodeView>, BTreeMap<String, LedgerEntry>) {
        let cached = self.tasks.get(&desired.key);
        let cached = cached.filter(|row| row.is_of(desired));
        let members: Vec<(Symbol, &NodeRow)> = if let Some(row) = cached {
            let members = row.fleet.iter();
            members
                .filter_map(|&name| Some((name, &self.nodes.get(&name)?.0)))
                .collect()
        } else {
            // The task changed since this pass began: its own placement decides.
            let all = self.nodes.iter().map(|(&name, (row, _))| (name, row));
            all.filter(|(_, row)| takes(&desired.placement, row, &self.symbols))
                .collect()
        };
        let mut nodes: Vec<NodeView> = members
            .iter()
            .map(|(name, row)| {
                let wave = cached.and_then(|cached| cached.waves.get(name));
                self.node_view(desired, self.symbols.text(*name), row, wave.copied())
            })
            .collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        let mut ledger = BTreeMap::new();
        self.add_entries(&nodes, &desired.uid, &mut ledger);
        (nodes, ledger)
    }

    /// The nodes that have a Job and are not in the fleet.
    fn left(&self, desired: &Desired, fleet: &[NodeView], jobs: &[JobView]) -> Vec<NodeView> {
        let known: BTreeSet<&str> = fleet.iter().map(|node| node.name.as_str()).collect();
        let others: BTreeSet<&str> = jobs.iter().map(|job| job.node.as_str()).collect();
        others
            .difference(&known)
            .filter_map(|name| {
                let (row, _) = self.nodes.get(&self.symbols.find(name)?)?;
                Some(self.node_view(desired, name, row, None))
            })
            .collect()
    }

    /// A node as a task sees it. `wave`: the position of its wave, where that is known already.
    fn node_view(
        &self,
        desired: &Desired,
        name: &str,
        row: &NodeRow,
        wave: Option<usize>,
    ) -> NodeView {
        let find_wave = || match desired.waves.len() {
            0 | 1 => 0,
            _ => wave_of(&desired.waves, &row.labels(&self.symbols)),
        };
        let order = desired.order.iter();
        let conditions = desired.node_conditions.iter();
        NodeView {
            wave: wave.unwrap_or_else(find_wave),
            topology: order
                .map(|order| row.label(&order.key, &self.symbols))
                .collect(),
            conditions: row.conditions(conditions.map(|it| it.kind.as_str()), &self.symbols),
            ..row.view(name)
        }
    }

    /// The valid ledger entries of a task on these nodes.
    fn add_entries(
        &self,
        nodes: &[NodeView],
        task_uid: &str,
        ledger: &mut BTreeMap<String, LedgerEntry>,
    ) {
        for view in nodes {
            let pending = self.pending_entry(&view.name, task_uid);
            let entry = pending.or_else(|| self.ledger_entry(view, task_uid));
            if let Some(entry) = entry {
                ledger.insert(view.name.clone(), entry.clone());
            }
        }
    }

    pub(super) fn pending_entry(&self, node: &str, task_uid: &str) -> Option<&LedgerEntry> {
        self.pending
            .get(node)?
            .get(task_uid)
            .map(|pending| &pending.entry)
    }

    pub(super) fn ledger_entry(&self, node: &NodeView, task_uid: &str) -> Option<&LedgerEntry> {
        let (row, _) = self.ledgers.get(&node.name)?;
        let mut entries = row.status.tasks.iter();
        entries
            .find(|entry| entry.task_uid == task_uid)
            .filter(|entry| counts(entry, &row.status, node))
    }

    /// The task's own DaemonSets, and those of a name it needs that are somebody else's.
    fn daemon_sets(
        &self,
        desired: &Desired,
        task: &str,
        symbol: Option<Symbol>,
    ) -> (Vec<DaemonSetState>, Vec<ForeignSet>) {
        let namespace = &desired.key.namespace;
        let (mut ours, mut foreign) = (BTreeMap::new(), Vec::new());
        let labelled = symbol
            .into_iter()
            .flat_map(|symbol| self.daemon_sets.of_task(symbol));
        for (name, row) in labelled {
            if let Ok(state) = row.view_for(name, &desired.uid, &self.symbols) {
                ours.insert(name.to_owned(), state);
            }
        }
        for wave in &desired.waves {
            let name = revision::daemon_set_name(&desired.key.name, &wave.name);
            if let Some(row) = self.daemon_sets.get(namespace, &name) {
                match row.view_for(&name, &desired.uid, &self.symbols) {
                    Ok(state) => drop(ours.insert(name, state)),
                    Err(other) => foreign.push(other),
                }
            }
        }
        for expectation in self.expectations.of_task(task) {
            if let Expectation::DaemonSetOrphaned { name, uid } = expectation {
                let going = ours.get_mut(name).filter(|set| set.uid == *uid);
                if let Some(set) = going {
                    set.deleting = true;
                }
            }
            if let Expectation::DaemonSetApplied { state, .. } = expectation {
                match ours.get_mut(&state.name) {
                    Some(known) if known.uid == state.uid => {
                        let deleting = known.deleting;
                        *known = DaemonSetState {
                            deleting,
                            ..waiting(state)
                        };
                    }
                    Some(_) => {}
                    None if foreign.iter().any(|other| other.name == state.name) => {}
                    None => drop(ours.insert(state.name.clone(), waiting(state))),
                }
            }
        }
        foreign.sort_by(|one, other| one.name.cmp(&other.name));
        (ours.into_values().collect(), foreign)
    }

    fn pods_of(
        &self,
        desired: &Desired,
        task: &str,
        symbol: Option<Symbol>,
        now: Timestamp,
    ) -> Vec<PodView> {
        let writes = PodWrites::new(self.expectations.of_task(task));
        let rows = symbol
            .into_iter()
            .flat_map(|symbol| self.pods_of_symbol(symbol));
        let mut pods: Vec<PodView> = rows
            .map(|(uid, row)| {
                let mut view = row.view(uid, desired.restart_window, now, &self.symbols);
                writes.show_on(&mut view);
                view
            })
            .collect();
        pods.sort_by(|one, other| one.name.cmp(&other.name));
        pods
    }

    fn jobs_of(&self, task: &str, symbol: Option<Symbol>) -> Vec<JobView> {
        // Where a Job ended before we saw it, its pods still tell how.
        let mut exits: BTreeMap<Symbol, (Timestamp, &Exit)> = BTreeMap::new();
        for (_, pod) in symbol
            .into_iter()
            .flat_map(|symbol| self.pods_of_symbol(symbol))
        {
            if let Some(ended) = pod.ended() {
                let newest = exits.entry(pod.controller).or_insert(ended);
                if ended.0 > newest.0 {
                    *newest = ended;
                }
            }
        }
        let rows = symbol
            .into_iter()
            .flat_map(|symbol| self.jobs.of_task(symbol));
        let mut jobs: BTreeMap<String, JobView> = rows
            .map(|(name, row)| {
                let mut view = row.view(name, &self.symbols);
                if let Some(end) = view.end.as_mut().filter(|end| end.exit.is_none()) {
                    let controller = self.symbols.find(&row.uid);
                    end.exit = controller.and_then(|uid| Some(exits.get(&uid)?.1.clone()));
                }
                (name.to_owned(), view)
            })
            .collect();
        for expectation in self.expectations.of_task(task) {
            if let Expectation::JobDeleted { name, uid } = expectation {
                let deleted = jobs.get_mut(name).filter(|job| job.uid == *uid);
                if let Some(job) = deleted {
                    job.deleting = true;
                }
            }
            if let Expectation::JobCreated(job) = expectation {
                let view = JobView {
                    uid: String::new(),
                    ..(**job).clone()
                };
                jobs.entry(job.name.clone()).or_insert(view);
            }
        }
        jobs.into_values().collect()
    }

    fn revisions_of(
        &self,
        desired: &Desired,
        task: &str,
        symbol: Option<Symbol>,
    ) -> Vec<RevisionView> {
        let rows = symbol
            .into_iter()
            .flat_map(|symbol| self.revisions.of_task(symbol));
        let mut views: BTreeMap<String, RevisionView> = rows
            .map(|(name, row)| (name.to_owned(), row.view(name, &desired.uid, &self.symbols)))
            .collect();
        for expectation in self.expectations.of_task(task) {
            match expectation {
                Expectation::RevisionWritten(view) => {
                    views.insert(view.name.clone(), view.clone());
                }
                Expectation::RevisionDeleted { name, uid } => {
                    views.retain(|of, view| of != name || view.uid != *uid);
                }
                Expectation::PodDeleted { .. }
                | Expectation::PodMoved { .. }
                | Expectation::PodUngated { .. }
                | Expectation::DaemonSetOrphaned { .. }
                | Expectation::JobCreated(_)
                | Expectation::JobDeleted { .. }
                | Expectation::DaemonSetApplied { .. } => {}
            }
        }
        let mut views: Vec<RevisionView> = views.into_values().collect();
        views.sort_by(|one, other| (one.number, &one.name).cmp(&(other.number, &other.name)));
        views
    }

    /// Everything the index knows about the ledger of a node.
    pub(super) fn node_observed(&self, name: &str) -> NodeObserved {
        let row = self
            .symbols
            .find(name)
            .and_then(|symbol| self.nodes.get(&symbol));
        let node = row.map(|(row, _)| LedgerNode {
            view: row.view(name),
            windows_build: row.windows_build(&self.symbols),
        });
        let ledger: Option<LedgerView> = match self.ledger_writes.get(name) {
            Some(write) => Some(write.view.clone()),
            None => self.ledgers.get(name).map(|(row, _)| row.view()),
        };
        let pending = self
            .pending
            .get(name)
            .map(|entries| entries.values())
            .into_iter()
            .flatten();
        let mut live_tasks: BTreeSet<String> =
            self.tasks.values().map(|row| row.uid.clone()).collect();
        // A process that watches one namespace must not take the tasks of the others for deleted.
        if let Some(namespace) = &self.namespace {
            let entries = ledger.iter().flat_map(|ledger| ledger.status.tasks.iter());
            let others = entries.filter(|entry| {
                entry
                    .task
                    .split_once('/')
                    .is_some_and(|(of, _)| of != namespace)
            });
            live_tasks.extend(others.map(|entry| entry.task_uid.clone()));
        }
        NodeObserved {
            node,
            ledger,
            pending: pending.map(|pending| pending.entry.clone()).collect(),
            live_tasks,
        }
    }
}

/// What we wrote to pods and the watch has not shown yet.
#[derive(Default)]
pub(super) struct PodWrites<'a> {
    deleted: BTreeSet<&'a str>,
    moved: BTreeMap<&'a str, &'a str>,
    ungated: BTreeSet<&'a str>,
}

impl<'a> PodWrites<'a> {
    pub(super) fn new(expectations: impl Iterator<Item = &'a Expectation>) -> Self {
        let mut writes = Self::default();
        for expectation in expectations {
            match expectation {
                Expectation::PodDeleted { uid, .. } => drop(writes.deleted.insert(uid)),
                Expectation::PodMoved { uid, wave, .. } => drop(writes.moved.insert(uid, wave)),
                Expectation::PodUngated { uid, .. } => drop(writes.ungated.insert(uid)),
                Expectation::JobCreated(_)
                | Expectation::JobDeleted { .. }
                | Expectation::DaemonSetApplied { .. }
                | Expectation::DaemonSetOrphaned { .. }
                | Expectation::RevisionWritten(_)
                | Expectation::RevisionDeleted { .. } => {}
            }
        }
        writes
    }

    /// Whether the pod of this UID was deleted.
    pub(super) fn deletes(&self, uid: &str) -> bool {
        self.deleted.contains(uid)
    }

    fn show_on(&self, pod: &mut PodView) {
        let uid = pod.uid.as_str();
        pod.deleting |= self.deleted.contains(uid);
        pod.gated &= !self.ungated.contains(uid);
        if let Some(wave) = self.moved.get(uid) {
            pod.wave = (*wave).to_owned();
        }
    }
}

/// A DaemonSet that was just applied: its controller cannot have seen the template before we did.
fn waiting(state: &DaemonSetState) -> DaemonSetState {
    DaemonSetState {
        settled: false,
        ..state.clone()
    }
}
