//! The rows, and how a change of each kind alters them.
//!
//! Longer than 400 lines: the tables and what ties them together are one invariant.

use std::collections::{BTreeMap, BTreeSet};

use hosttask_crds::node::LedgerEntry;
use jiff::Timestamp;

use super::Key;
use super::change::{Kind, Object, Source};
use super::depend::Dependents;
use super::expect::{Expectation, Expectations, Identity, LedgerWrite};
use super::fleet::TaskRow;
use super::flight::Flight;
use super::inputs::Inputs;
use super::node::{LedgerRow, NodeRow};
use super::owner::{DaemonSetRow, JobRow, RevisionRow, Row, Table, version};
use super::pod::PodRow;
use super::symbol::{Symbol, Symbols, Uid};
use super::wire::pod::Pod;
use super::wire::{self, POD_SECURITY};
use crate::desired::TaskKey;
use crate::observed::NodeView;
use crate::stray::Orphan;

/// A result that is not in the ledger yet, and the node it was recorded on.
#[derive(Debug)]
pub(super) struct PendingEntry {
    pub(super) entry: LedgerEntry,
    pub(super) node: NodeView,
}

/// The state of the list of a kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listing {
    /// How many lists began.
    pub(super) epoch: u32,
    /// Whether one ended.
    pub(super) complete: bool,
}

/// Everything the index holds. The second part of a row's pair is the list that last showed it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) namespace: Option<String>,
    pub(super) symbols: Symbols,
    pub(super) lists: BTreeMap<Kind, Listing>,
    pub(super) tasks: BTreeMap<TaskKey, TaskRow>,
    pub(super) dependents: Dependents,
    pub(super) flights: BTreeMap<TaskKey, Flight>,
    pub(super) task_keys: BTreeMap<Symbol, TaskKey>,
    pub(super) nodes: BTreeMap<Symbol, (NodeRow, u32)>,
    pub(super) pods: BTreeMap<Uid, PodRow>,
    pub(super) pods_by_task: BTreeSet<(Symbol, Uid)>,
    /// Pods that crash again and again.
    pub(super) crashing: BTreeSet<Uid>,
    pub(super) jobs: Table<JobRow>,
    pub(super) daemon_sets: Table<DaemonSetRow>,
    pub(super) revisions: Table<RevisionRow>,
    pub(super) ledgers: BTreeMap<String, (LedgerRow, u32)>,
    pub(super) ledger_writes: BTreeMap<String, LedgerWrite>,
    pub(super) pending: BTreeMap<String, BTreeMap<String, PendingEntry>>,
    pub(super) namespaces: BTreeMap<String, (Option<String>, u32)>,
    pub(super) inputs: Inputs,
    pub(super) expectations: Expectations,
}

pub(super) type Keys = BTreeSet<Key>;

impl State {
    pub(super) fn epoch(&self, kind: Kind) -> u32 {
        self.lists.get(&kind).map_or(0, |list| list.epoch)
    }

    fn push_task(&self, task: Symbol, keys: &mut Keys) {
        if let Some(key) = self.task_keys.get(&task) {
            keys.insert(Key::Task(key.clone()));
        }
    }

    pub(super) fn pods_of_symbol(&self, task: Symbol) -> impl Iterator<Item = (Uid, &PodRow)> {
        let keys = self
            .pods_by_task
            .range((task, Uid::MIN)..)
            .take_while(move |(of, _)| *of == task);
        keys.filter_map(|(_, uid)| Some((*uid, self.pods.get(uid)?)))
    }

    pub(super) fn seen(&mut self, object: Object, source: Source, now: Timestamp, keys: &mut Keys) {
        match object {
            Object::Task(task) => self.see_task(*task, now, keys),
            Object::Node(node) => self.see_node(&node, source, now, keys),
            Object::DaemonSet(set) => self.see_daemon_set(&set, source, keys),
            Object::Job(job) => self.see_job(&job, source, now, keys),
            Object::Pod(pod) => self.see_pod(&pod, source, now, keys),
            Object::Revision(revision) => self.see_revision(&revision, source, keys),
            Object::Ledger(ledger) => self.see_ledger(&ledger, keys),
            Object::Namespace(namespace) => self.see_namespace(&namespace, keys),
            Object::Input(kind, input) => {
                if self.inputs.seen(kind, &input) {
                    self.push_input(
                        kind,
                        &input.metadata.namespace,
                        Some(&input.metadata.name),
                        keys,
                    );
                }
            }
        }
    }

    pub(super) fn gone(&mut self, object: &Object, keys: &mut Keys) {
        match object {
            Object::Task(task) => self.drop_task(&key(&task.metadata), keys),
            Object::Node(node) => {
                if let Some(symbol) = self.symbols.find(&node.metadata.name) {
                    self.drop_node(symbol, keys);
                }
            }
            Object::DaemonSet(set) => {
                self.drop_daemon_set(&set.metadata.namespace, &set.metadata.name, keys);
            }
            Object::Job(job) => self.drop_job(&job.metadata.namespace, &job.metadata.name, keys),
            Object::Pod(pod) => {
                self.note_exit(pod);
                self.drop_pod(Uid::of(&pod.metadata.uid).0, keys);
                self.expectations.remove_pod(&pod.metadata.uid);
            }
            Object::Revision(revision) => {
                self.drop_revision(&revision.metadata.namespace, &revision.metadata.name, keys);
            }
            Object::Ledger(ledger) => self.drop_ledger(&ledger.metadata.name, keys),
            Object::Namespace(namespace) => {
                self.namespaces.remove(&namespace.metadata.name);
                self.push_namespace(&namespace.metadata.name, keys);
            }
            Object::Input(kind, input) => {
                let metadata = &input.metadata;
                if self.inputs.gone(*kind, &metadata.namespace, &metadata.name) {
                    self.push_input(*kind, &metadata.namespace, Some(&metadata.name), keys);
                }
            }
        }
    }

    fn see_pod(&mut self, pod: &Pod, source: Source, now: Timestamp, keys: &mut Keys) {
        let (uid, _) = Uid::of(&pod.metadata.uid);
        let before = self.pods.get(&uid);
        let stale = |row: &PodRow| row.is_newer_than(&pod.metadata.resource_version);
        if source == Source::Watch && before.is_some_and(stale) {
            return;
        }
        let Some((uid, mut row)) = PodRow::new(pod, before, source, now, &mut self.symbols) else {
            self.drop_pod(uid, keys);
            return;
        };
        row.mark = self.epoch(Kind::Pod);
        let (task, changed) = (row.task, before.is_none_or(|before| row.differs(before)));
        self.pod_shows(&pod.metadata.uid, &row);
        self.pods_by_task.insert((task, uid));
        if row.is_crashing() {
            self.crashing.insert(uid);
        } else {
            self.crashing.remove(&uid);
        }
        if let Some(before) = self.pods.insert(uid, row) {
            if before.task != task {
                self.pods_by_task.remove(&(before.task, uid));
                self.push_task(before.task, keys);
            }
            before.release(&mut self.symbols);
        }
        if changed {
            self.note_exit(pod);
            self.push_task(task, keys);
            self.push_stray(uid, keys);
        }
    }

    /// A pod may be one that nobody looks after any more.
    fn push_stray(&self, uid: Uid, keys: &mut Keys) {
        let row = self
            .pods
            .get(&uid)
            .filter(|row| row.orphan && !row.deleting);
        if row.is_some_and(|row| !self.task_keys.contains_key(&row.task)) {
            keys.insert(Key::Strays);
        }
    }

    /// The pods that nothing controls and whose task is not known.
    pub(super) fn orphans_without_task(&self) -> Vec<Orphan> {
        let rows = self.pods.iter();
        let orphans = rows.filter(|(_, row)| {
            row.orphan && !row.deleting && !self.task_keys.contains_key(&row.task)
        });
        let orphans = orphans.filter_map(|(uid, row)| {
            let (namespace, task_uid) = self.symbols.text(row.task).split_once('/')?;
            Some(Orphan {
                namespace: namespace.to_owned(),
                name: row.name.to_string(),
                uid: row.uid_text(*uid),
                task_uid: task_uid.to_owned(),
            })
        });
        orphans.collect()
    }

    /// Forgets that pods crashed again and again, once they are calm.
    pub(super) fn calm_down(&mut self, now: Timestamp, keys: &mut Keys) {
        let mut calm = Vec::new();
        self.crashing.retain(|uid| {
            let row = self.pods.get_mut(uid);
            let calmed = row.filter(|row| row.is_crashing());
            let calmed = calmed.and_then(|row| row.calm_down(now).then_some(row.task));
            calm.extend(calmed);
            calmed.is_none()
        });
        for task in calm {
            self.push_task(task, keys);
        }
    }

    /// Ends the expectations that a pod fulfils.
    fn pod_shows(&mut self, uid: &str, row: &PodRow) {
        if row.deleting {
            self.expectations.remove_pod(uid);
            return;
        }
        let wave = Identity::PodWave(uid.to_owned());
        if let Some(Expectation::PodMoved { wave: wanted, .. }) = self.expectations.get(&wave)
            && self.symbols.text(row.wave) == wanted
        {
            self.expectations.remove(&wave);
        }
        if !row.gated {
            self.expectations.remove(&Identity::PodGate(uid.to_owned()));
        }
    }

    /// Keeps with the Job how its newest pod ended: the Job controller may delete the pod before the Job's end is seen.
    fn note_exit(&mut self, pod: &Pod) {
        let row = self.pods.get(&Uid::of(&pod.metadata.uid).0);
        let Some((created, exit)) = row.and_then(PodRow::ended) else {
            return;
        };
        let Some(owner) = pod.metadata.controller() else {
            return;
        };
        let Some(job) = self.jobs.get_mut(&pod.metadata.namespace, &owner.name) else {
            return;
        };
        if *job.uid == *owner.uid && job.last.as_ref().is_none_or(|last| last.0 <= created) {
            job.last = Some(Box::new((created, exit.clone())));
        }
    }

    pub(super) fn drop_pod(&mut self, uid: Uid, keys: &mut Keys) {
        self.crashing.remove(&uid);
        if let Some(row) = self.pods.remove(&uid) {
            self.pods_by_task.remove(&(row.task, uid));
            self.push_task(row.task, keys);
            row.release(&mut self.symbols);
        }
    }

    fn see_job(&mut self, job: &wire::Job, source: Source, now: Timestamp, keys: &mut Keys) {
        let metadata = &job.metadata;
        let (namespace, name) = (&metadata.namespace, &metadata.name);
        let before = self.jobs.get(namespace, name);
        if is_stale(before, &metadata.uid, &metadata.resource_version, source) {
            return;
        }
        let mut row = JobRow::new(job, before, now, &mut self.symbols);
        row.mark = self.epoch(Kind::Job);
        let identity = Identity::Job(namespace.clone(), name.clone());
        let shown = match self.expectations.get(&identity) {
            Some(Expectation::JobCreated(expected)) => {
                expected.uid.is_empty() || *expected.uid == *row.uid
            }
            Some(Expectation::JobDeleted { uid, .. }) => row.deleting || **uid != *row.uid,
            _ => false,
        };
        if shown {
            self.expectations.remove(&identity);
        }
        let same = self
            .jobs
            .get(namespace, name)
            .is_some_and(|before| row.says_the_same_as(before));
        let task = row.task;
        let old = self.jobs.insert(namespace, name, row);
        let mut unchanged = Keys::new();
        self.replaced(task, old, if same { &mut unchanged } else { keys });
    }

    pub(super) fn drop_job(&mut self, namespace: &str, name: &str, keys: &mut Keys) {
        self.expectations
            .remove(&Identity::Job(namespace.to_owned(), name.to_owned()));
        let row = self.jobs.remove(namespace, name);
        self.dropped(row, keys);
    }

    fn see_daemon_set(&mut self, set: &wire::DaemonSet, source: Source, keys: &mut Keys) {
        let metadata = &set.metadata;
        let (namespace, name) = (&metadata.namespace, &metadata.name);
        let before = self.daemon_sets.get(namespace, name);
        if is_stale(before, &metadata.uid, &metadata.resource_version, source) {
            return;
        }
        let mut row = DaemonSetRow::new(set, &mut self.symbols);
        row.mark = self.epoch(Kind::DaemonSet);
        let same = self
            .daemon_sets
            .get(namespace, name)
            .is_some_and(|before| row.says_the_same_as(before));
        let identity = Identity::DaemonSet(namespace.clone(), name.clone());
        let shown = match self.expectations.get(&identity) {
            Some(Expectation::DaemonSetApplied { state, generation }) => {
                *state.uid != *row.uid || row.generation >= *generation
            }
            Some(Expectation::DaemonSetOrphaned { uid, .. }) => row.deleting || **uid != *row.uid,
            _ => false,
        };
        if shown {
            self.expectations.remove(&identity);
        }
        let task = row.task;
        let old = self.daemon_sets.insert(namespace, name, row);
        let mut unchanged = Keys::new();
        self.replaced(task, old, if same { &mut unchanged } else { keys });
    }

    pub(super) fn drop_daemon_set(&mut self, namespace: &str, name: &str, keys: &mut Keys) {
        self.expectations
            .remove(&Identity::DaemonSet(namespace.to_owned(), name.to_owned()));
        let row = self.daemon_sets.remove(namespace, name);
        self.dropped(row, keys);
    }

    fn see_revision(&mut self, object: &wire::Revision, source: Source, keys: &mut Keys) {
        let metadata = &object.metadata;
        let (namespace, name) = (&metadata.namespace, &metadata.name);
        if is_stale(
            self.revisions.get(namespace, name),
            &metadata.uid,
            &metadata.resource_version,
            source,
        ) {
            return;
        }
        let mut row = RevisionRow::new(object, &mut self.symbols);
        row.mark = self.epoch(Kind::Revision);
        let identity = Identity::Revision(namespace.clone(), name.clone());
        let shown = match self.expectations.get(&identity) {
            Some(Expectation::RevisionWritten(view)) => {
                *view.uid != *row.uid || row.number >= view.number
            }
            Some(Expectation::RevisionDeleted { uid, .. }) => **uid != *row.uid,
            _ => false,
        };
        if shown {
            self.expectations.remove(&identity);
        }
        let task = row.task;
        let old = self.revisions.insert(namespace, name, row);
        self.replaced(task, old, keys);
    }

    pub(super) fn drop_revision(&mut self, namespace: &str, name: &str, keys: &mut Keys) {
        self.expectations
            .remove(&Identity::Revision(namespace.to_owned(), name.to_owned()));
        let row = self.revisions.remove(namespace, name);
        self.dropped(row, keys);
    }

    fn replaced<R: Row>(&mut self, task: Symbol, old: Option<R>, keys: &mut Keys) {
        self.push_task(task, keys);
        self.dropped(old, keys);
    }

    fn dropped<R: Row>(&mut self, row: Option<R>, keys: &mut Keys) {
        let Some(row) = row else { return };
        self.push_task(row.task(), keys);
        for symbol in row.symbols() {
            self.symbols.release(symbol);
        }
    }

    fn see_namespace(&mut self, namespace: &wire::Namespace, keys: &mut Keys) {
        let metadata = &namespace.metadata;
        let level = metadata.labels.0.get(POD_SECURITY).cloned();
        let row = (level.clone(), self.epoch(Kind::Namespace));
        let before = self.namespaces.insert(metadata.name.clone(), row);
        if before.is_none_or(|(before, _)| before != level) {
            self.push_namespace(&metadata.name, keys);
        }
    }

    pub(super) fn push_namespace(&self, namespace: &str, keys: &mut Keys) {
        let tasks = self.tasks.keys().filter(|key| key.namespace == namespace);
        keys.extend(tasks.cloned().map(Key::Task));
    }
}

/// Whether a watch event is older than what a live read already showed of the same object.
fn is_stale<R: Row>(before: Option<&R>, uid: &str, resource_version: &str, source: Source) -> bool {
    source == Source::Watch
        && before.is_some_and(|row| row.uid() == uid && version(resource_version) < row.version())
}

pub(super) fn key(metadata: &wire::Meta) -> TaskKey {
    TaskKey {
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
    }
}
