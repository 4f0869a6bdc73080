//! Rows of the children of a task other than pods: DaemonSets, Jobs and ControllerRevisions, by name and by task.
//!
//! Longer than 400 lines: the rows of everything that a task owns, all of one shape.

use std::collections::{BTreeMap, BTreeSet};

use hosttask_crds::label;
use jiff::Timestamp;

use super::symbol::{Symbol, Symbols};
use super::wire;
use crate::observed::{DaemonSetState, Exit, ForeignSet, JobEnd, JobView, RevisionView};
use crate::revision;

/// The symbol of a task: its namespace and its UID. The namespace is part of it because whoever may create pods in another
/// namespace can copy the label, and must not be counted here.
pub(super) fn task_symbol(symbols: &mut Symbols, namespace: &str, uid: &str) -> Symbol {
    symbols.acquire(&task_text(namespace, uid))
}

/// The text of [`task_symbol`].
pub(super) fn task_text(namespace: &str, uid: &str) -> String {
    format!("{namespace}/{uid}")
}

/// A row that belongs to a task and is found by namespace and name.
pub(super) trait Row {
    /// The UID of the object.
    fn uid(&self) -> &str;
    /// The task.
    fn task(&self) -> Symbol;
    /// The list it was last seen in.
    fn mark(&self) -> u32;
    /// The resource version, 0 where it is not a number.
    fn version(&self) -> u64;
    /// Every interned string.
    fn symbols(&self) -> Vec<Symbol>;
}

/// Rows of one kind.
#[derive(Debug)]
pub(super) struct Table<R> {
    rows: BTreeMap<(Box<str>, Box<str>), R>,
    by_task: BTreeSet<(Symbol, Box<str>, Box<str>)>,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            by_task: BTreeSet::new(),
        }
    }
}

impl<R: Row> Table<R> {
    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The row of a name.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&R> {
        self.rows.get(&(Box::from(namespace), Box::from(name)))
    }

    /// The row of a name, to change what does not concern the lookups.
    pub(super) fn get_mut(&mut self, namespace: &str, name: &str) -> Option<&mut R> {
        self.rows.get_mut(&(Box::from(namespace), Box::from(name)))
    }

    /// Puts a row in and returns the one it replaces.
    pub(super) fn insert(&mut self, namespace: &str, name: &str, row: R) -> Option<R> {
        let task = row.task();
        let old = self
            .rows
            .insert((Box::from(namespace), Box::from(name)), row);
        if let Some(old) = old.as_ref().filter(|old| old.task() != task) {
            self.by_task
                .remove(&(old.task(), Box::from(namespace), Box::from(name)));
        }
        self.by_task
            .insert((task, Box::from(namespace), Box::from(name)));
        old
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, namespace: &str, name: &str) -> Option<R> {
        let row = self.rows.remove(&(Box::from(namespace), Box::from(name)))?;
        self.by_task
            .remove(&(row.task(), Box::from(namespace), Box::from(name)));
        Some(row)
    }

    /// The rows of a task, in name order.
    pub(super) fn of_task(&self, task: Symbol) -> impl Iterator<Item = (&str, &R)> {
        let first = (task, Box::from(""), Box::from(""));
        let keys = self
            .by_task
            .range(first..)
            .take_while(move |(of, _, _)| *of == task);
        keys.filter_map(|(_, namespace, name)| {
            let row = self.rows.get(&(namespace.clone(), name.clone()))?;
            Some((&**name, row))
        })
    }

    /// The names that the list of this mark did not show.
    pub(super) fn unseen(&self, mark: u32) -> Vec<(Box<str>, Box<str>)> {
        let stale = self
            .rows
            .iter()
            .filter(|(_, row)| row.mark() != mark)
            .map(|(key, _)| key);
        stale.cloned().collect()
    }
}

/// A resource version as a number, 0 where it is none.
pub(super) fn version(text: &str) -> u64 {
    text.parse().unwrap_or_default()
}

macro_rules! row {
    ($name:ident, [$($symbol:ident),+]) => {
        impl Row for $name {
            fn uid(&self) -> &str {
                &self.uid
            }
            fn task(&self) -> Symbol {
                self.task
            }
            fn mark(&self) -> u32 {
                self.mark
            }
            fn version(&self) -> u64 {
                self.version
            }
            fn symbols(&self) -> Vec<Symbol> {
                vec![self.task $(, self.$symbol)+]
            }
        }
    };
}

/// A DaemonSet.
#[derive(Debug, PartialEq)]
pub(super) struct DaemonSetRow {
    pub(super) uid: Box<str>,
    pub(super) task: Symbol,
    pub(super) revision: Symbol,
    /// What controls it, as `Kind name`, empty for nothing.
    pub(super) owner: Box<str>,
    pub(super) owner_uid: Box<str>,
    pub(super) applied: Box<str>,
    pub(super) layout: Box<str>,
    pub(super) wave: Symbol,
    pub(super) generation: i64,
    pub(super) observed_generation: i64,
    pub(super) deleting: bool,
    pub(super) version: u64,
    pub(super) mark: u32,
}
row!(DaemonSetRow, [revision, wave]);

impl DaemonSetRow {
    pub(super) fn new(set: &wire::DaemonSet, symbols: &mut Symbols) -> Self {
        let metadata = &set.metadata;
        let owner = metadata.controller();
        let template = &set.spec.template.metadata;
        Self {
            uid: metadata.uid.as_str().into(),
            task: task_symbol(
                symbols,
                &metadata.namespace,
                metadata.labels.get(label::TASK_UID),
            ),
            revision: symbols.acquire(template.labels.get(label::REVISION)),
            owner: owner
                .map(|owner| format!("{} {}", owner.kind, owner.name))
                .unwrap_or_default()
                .into(),
            owner_uid: owner
                .map(|owner| owner.uid.clone())
                .unwrap_or_default()
                .into(),
            applied: metadata.annotations.get(label::APPLIED).into(),
            layout: metadata.annotations.get(label::LAYOUT).into(),
            wave: symbols.acquire(metadata.labels.get(label::WAVE)),
            generation: metadata.generation,
            observed_generation: set.status.observed_generation,
            deleting: metadata.deleting,
            version: version(&metadata.resource_version),
            mark: 0,
        }
    }

    /// Whether decisions would see no difference: its controller writes the status for every pod.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        let face = |row: &Self| {
            (
                row.task,
                row.revision,
                row.wave,
                row.deleting,
                row.generation,
                row.observed_generation,
            )
        };
        face(self) == face(other)
            && (&self.uid, &self.owner_uid, &self.applied, &self.layout)
                == (&other.uid, &other.owner_uid, &other.applied, &other.layout)
    }

    /// The view for the task of this UID; who controls it, where that is somebody else.
    pub(super) fn view_for(
        &self,
        name: &str,
        task_uid: &str,
        symbols: &Symbols,
    ) -> Result<DaemonSetState, ForeignSet> {
        if *self.owner_uid == *task_uid {
            return Ok(self.view(name, symbols));
        }
        let owner = if self.owner.is_empty() {
            "nobody"
        } else {
            &*self.owner
        };
        Err(ForeignSet {
            name: name.to_owned(),
            owner: owner.to_owned(),
        })
    }

    fn view(&self, name: &str, symbols: &Symbols) -> DaemonSetState {
        DaemonSetState {
            name: name.to_owned(),
            uid: self.uid.to_string(),
            applied: self.applied.to_string(),
            revision: symbols.text(self.revision).to_owned(),
            settled: self.observed_generation >= self.generation,
            deleting: self.deleting,
            wave: symbols.text(self.wave).to_owned(),
            layout: self.layout.to_string(),
        }
    }
}

/// The view of a DaemonSet that a live read showed, for the task of this UID; who controls it, where that is somebody else.
pub(crate) fn daemon_set_view(
    set: &wire::DaemonSet,
    task_uid: &str,
) -> Result<DaemonSetState, ForeignSet> {
    let mut symbols = Symbols::default();
    let row = DaemonSetRow::new(set, &mut symbols);
    row.view_for(&set.metadata.name, task_uid, &symbols)
}

/// A Job.
#[derive(Debug, PartialEq)]
pub(super) struct JobRow {
    pub(super) uid: Box<str>,
    pub(super) task: Symbol,
    pub(super) node: Symbol,
    pub(super) machine: Symbol,
    pub(super) revision: Symbol,
    pub(super) attempt: i32,
    pub(super) check: bool,
    pub(super) tick: Option<Timestamp>,
    pub(super) created: Timestamp,
    pub(super) deleting: bool,
    pub(super) end: Option<Box<JobEnd>>,
    /// How its newest pod ended, kept because the Job controller may delete the pod before we see the Job end.
    pub(super) last: Option<Box<(Timestamp, Exit)>>,
    pub(super) version: u64,
    pub(super) mark: u32,
}
row!(JobRow, [node, machine, revision]);

impl JobRow {
    pub(super) fn new(
        job: &wire::Job,
        before: Option<&Self>,
        now: Timestamp,
        symbols: &mut Symbols,
    ) -> Self {
        let metadata = &job.metadata;
        let before = before.filter(|row| *row.uid == *metadata.uid);
        Self {
            uid: metadata.uid.as_str().into(),
            task: task_symbol(
                symbols,
                &metadata.namespace,
                metadata.labels.get(label::TASK_UID),
            ),
            node: symbols.acquire(metadata.annotations.get(label::NODE)),
            machine: symbols.acquire(metadata.annotations.get(label::MACHINE)),
            revision: symbols.acquire(metadata.labels.get(label::REVISION)),
            attempt: metadata
                .labels
                .get(label::ATTEMPT)
                .parse()
                .unwrap_or_default(),
            check: metadata.labels.get(label::STEP) == label::STEP_CHECK,
            tick: tick(metadata.labels.get(label::TICK)),
            created: metadata.creation_timestamp.unwrap_or(now),
            deleting: metadata.deleting,
            end: end(job, now).map(Box::new),
            last: before.and_then(|row| row.last.clone()),
            version: version(&metadata.resource_version),
            mark: 0,
        }
    }

    /// Whether decisions would see no difference: its controller counts pods in the status.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        let face = |row: &Self| {
            (
                row.task,
                row.node,
                row.machine,
                row.revision,
                row.attempt,
                row.check,
                row.tick,
                row.deleting,
            )
        };
        face(self) == face(other) && self.uid == other.uid && self.end == other.end
    }

    pub(super) fn view(&self, name: &str, symbols: &Symbols) -> JobView {
        let exit = self.last.as_ref().map(|last| last.1.clone());
        JobView {
            name: name.to_owned(),
            uid: self.uid.to_string(),
            node: symbols.text(self.node).to_owned(),
            machine: symbols.text(self.machine).to_owned(),
            revision: symbols.text(self.revision).to_owned(),
            attempt: self.attempt,
            check: self.check,
            tick: self.tick,
            created: self.created,
            deleting: self.deleting,
            end: self.end.as_deref().map(|end| JobEnd {
                exit,
                ..end.clone()
            }),
        }
    }
}

/// The time of the schedule in a label.
pub(super) fn tick(label: &str) -> Option<Timestamp> {
    Timestamp::from_second(label.parse().ok()?).ok()
}

/// How a Job ended. Its last condition counts only when the controller is done with its pods: `FailureTarget` and
/// `SuccessCriteriaMet` come earlier.
fn end(job: &wire::Job, now: Timestamp) -> Option<JobEnd> {
    let mut conditions = job.status.conditions.iter();
    let done = conditions.find(|condition| {
        matches!(condition.kind.as_str(), "Complete" | "Failed") && condition.status == "True"
    })?;
    Some(JobEnd {
        complete: done.kind == "Complete",
        reason: done.reason.clone(),
        message: done.message.clone(),
        time: done.last_transition_time.0.unwrap_or(now),
        exit: None,
    })
}

/// A ControllerRevision.
#[derive(Debug, PartialEq)]
pub(super) struct RevisionRow {
    pub(super) uid: Box<str>,
    pub(super) task: Symbol,
    /// The task that controls it.
    pub(super) owner: Symbol,
    pub(super) number: i64,
    pub(super) digest: Box<str>,
    pub(super) version: u64,
    pub(super) mark: u32,
}
row!(RevisionRow, [owner]);

impl RevisionRow {
    pub(super) fn new(object: &wire::Revision, symbols: &mut Symbols) -> Self {
        let metadata = &object.metadata;
        let owner = metadata.controller().map_or("", |owner| owner.uid.as_str());
        Self {
            uid: metadata.uid.as_str().into(),
            task: task_symbol(
                symbols,
                &metadata.namespace,
                metadata.labels.get(label::TASK_UID),
            ),
            owner: symbols.acquire(owner),
            number: object.revision,
            digest: revision::digest(&object.data).into(),
            version: version(&metadata.resource_version),
            mark: 0,
        }
    }

    pub(super) fn view(&self, name: &str, task_uid: &str, symbols: &Symbols) -> RevisionView {
        RevisionView {
            name: name.to_owned(),
            uid: self.uid.to_string(),
            number: self.number,
            digest: self.digest.to_string(),
            ours: symbols.text(self.owner) == task_uid,
        }
    }
}
