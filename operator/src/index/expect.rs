//! Expectations: our own writes, until the watches show them.
//!
//! A decision on the rows alone would repeat a write that was just made, or count a pod as serving that was just deleted.
//! An expectation ends when the watch shows the write (or the deletion of the object), when a list that was started
//! after the write ends, or when a live read settles it after [`DEADLINE`]. It never ends by guessing.

use std::collections::BTreeMap;

use hosttask_crds::label;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::change::{Kind, Object};
use super::owner::{task_text, tick};
use crate::desired::TaskKey;
use crate::observed::{DaemonSetState, JobView, RevisionView};
use crate::plan::node::LedgerView;
use crate::revision;

/// How long the watch may take to show a write before a live read settles it.
pub const DEADLINE: SignedDuration = SignedDuration::from_secs(30);

/// A write of ours, as its response showed it.
#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    /// A pod was deleted.
    PodDeleted {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// A pod was given to another wave.
    PodMoved {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
        /// The wave.
        wave: String,
    },
    /// The scheduling gate of a pod was lifted.
    PodUngated {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// A Job was deleted.
    JobDeleted {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// A Job was created. An empty UID means that the response was lost: any Job of that name will do.
    JobCreated(Box<JobView>),
    /// The DaemonSet was applied, with this resulting generation.
    DaemonSetApplied {
        /// The state it has now; `settled` is ignored.
        state: DaemonSetState,
        /// The generation in the response.
        generation: i64,
    },
    /// A DaemonSet was deleted, and its pods were left.
    DaemonSetOrphaned {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// A ControllerRevision was created or got another number.
    RevisionWritten(RevisionView),
    /// A ControllerRevision was deleted.
    RevisionDeleted {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
}

impl Expectation {
    /// That this Job, as the response showed it, was created.
    pub fn job(job: &Job) -> Self {
        let metadata = &job.metadata;
        Self::JobCreated(Box::new(JobView {
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            node: annotation(metadata, label::NODE),
            machine: annotation(metadata, label::MACHINE),
            revision: label_of(metadata, label::REVISION),
            attempt: label_of(metadata, label::ATTEMPT)
                .parse()
                .unwrap_or_default(),
            check: label_of(metadata, label::STEP) == label::STEP_CHECK,
            tick: tick(&label_of(metadata, label::TICK)),
            created: metadata
                .creation_timestamp
                .as_ref()
                .map(|time| time.0)
                .unwrap_or_default(),
            deleting: false,
            end: None,
        }))
    }

    /// That this DaemonSet, as the response showed it, was applied.
    pub fn daemon_set(set: &DaemonSet) -> Self {
        let metadata = &set.metadata;
        let template = set.spec.template.metadata.as_ref();
        Self::DaemonSetApplied {
            state: DaemonSetState {
                name: metadata.name.clone().unwrap_or_default(),
                uid: metadata.uid.clone().unwrap_or_default(),
                applied: annotation(metadata, label::APPLIED),
                revision: template
                    .map(|metadata| label_of(metadata, label::REVISION))
                    .unwrap_or_default(),
                settled: false,
                deleting: metadata.deletion_timestamp.is_some(),
                wave: label_of(metadata, label::WAVE),
                layout: annotation(metadata, label::LAYOUT),
            },
            generation: metadata.generation.unwrap_or_default(),
        }
    }

    /// That this ControllerRevision, as the response showed it, was created or renumbered.
    pub fn revision(object: &ControllerRevision) -> Self {
        Self::RevisionWritten(RevisionView {
            name: object.metadata.name.clone().unwrap_or_default(),
            uid: object.metadata.uid.clone().unwrap_or_default(),
            number: object.revision.unwrap_or_default(),
            digest: revision::digest(&object.data.0),
            ours: true,
        })
    }

    pub(super) fn identity(&self, namespace: &str) -> Identity {
        match self {
            Self::PodDeleted { uid, .. } => Identity::Pod(uid.clone()),
            Self::PodMoved { uid, .. } => Identity::PodWave(uid.clone()),
            Self::PodUngated { uid, .. } => Identity::PodGate(uid.clone()),
            Self::JobCreated(job) => Identity::Job(namespace.to_owned(), job.name.clone()),
            Self::JobDeleted { name, .. } => Identity::Job(namespace.to_owned(), name.clone()),
            Self::DaemonSetApplied { state, .. } => {
                Identity::DaemonSet(namespace.to_owned(), state.name.clone())
            }
            Self::DaemonSetOrphaned { name, .. } => {
                Identity::DaemonSet(namespace.to_owned(), name.clone())
            }
            Self::RevisionWritten(RevisionView { name, .. })
            | Self::RevisionDeleted { name, .. } => {
                Identity::Revision(namespace.to_owned(), name.clone())
            }
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::PodDeleted { .. } | Self::PodMoved { .. } | Self::PodUngated { .. } => Kind::Pod,
            Self::JobCreated(_) | Self::JobDeleted { .. } => Kind::Job,
            Self::DaemonSetApplied { .. } | Self::DaemonSetOrphaned { .. } => Kind::DaemonSet,
            Self::RevisionWritten(_) | Self::RevisionDeleted { .. } => Kind::Revision,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::JobCreated(job) => &job.name,
            Self::DaemonSetApplied { state, .. } => &state.name,
            Self::RevisionWritten(RevisionView { name, .. })
            | Self::PodDeleted { name, .. }
            | Self::PodMoved { name, .. }
            | Self::PodUngated { name, .. }
            | Self::DaemonSetOrphaned { name, .. }
            | Self::JobDeleted { name, .. }
            | Self::RevisionDeleted { name, .. } => name,
        }
    }
}

fn annotation(metadata: &ObjectMeta, key: &str) -> String {
    metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(key))
        .cloned()
        .unwrap_or_default()
}

fn label_of(metadata: &ObjectMeta, key: &str) -> String {
    metadata
        .labels
        .as_ref()
        .and_then(|all| all.get(key))
        .cloned()
        .unwrap_or_default()
}

/// Which object an expectation is about. One object has at most one: the newest write. A pod has one for each part of it
/// that we write, as one pass may write them all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identity {
    /// The life of a pod.
    Pod(String),
    /// The label with its wave.
    PodWave(String),
    /// Its scheduling gate.
    PodGate(String),
    Job(String, String),
    DaemonSet(String, String),
    Revision(String, String),
}

/// A handle on an expectation, to take it back or to settle it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(super) identity: Identity,
    number: u64,
}

/// An expectation past its deadline, to be settled by a live read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// What to settle.
    pub ticket: Ticket,
    /// The kind of object to read.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What a live read showed.
#[derive(Debug)]
pub enum Settled {
    /// The object exists.
    Found(Object),
    /// There is no such object.
    Absent,
}

/// One expectation that is open.
#[derive(Debug)]
pub(super) struct Open {
    number: u64,
    pub(super) task: String,
    pub(super) key: TaskKey,
    pub(super) expectation: Expectation,
    /// How many lists of the kind had begun at the write.
    epoch: u32,
    deadline: Timestamp,
}

/// The open expectations.
#[derive(Debug, Default)]
pub(super) struct Expectations {
    open: BTreeMap<Identity, Open>,
    numbers: u64,
}

impl Expectations {
    pub(super) fn insert(
        &mut self,
        key: &TaskKey,
        task_uid: &str,
        expectation: Expectation,
        epoch: impl Fn(Kind) -> u32,
        now: Timestamp,
    ) -> Ticket {
        self.numbers += 1;
        let identity = expectation.identity(&key.namespace);
        let open = Open {
            number: self.numbers,
            task: task_text(&key.namespace, task_uid),
            key: key.clone(),
            epoch: epoch(expectation.kind()),
            expectation,
            deadline: now.checked_add(DEADLINE).unwrap_or(Timestamp::MAX),
        };
        self.open.insert(identity.clone(), open);
        Ticket {
            identity,
            number: self.numbers,
        }
    }

    pub(super) fn get(&self, identity: &Identity) -> Option<&Expectation> {
        self.open.get(identity).map(|open| &open.expectation)
    }

    pub(super) fn remove(&mut self, identity: &Identity) {
        self.open.remove(identity);
    }

    /// A pod is gone or going: nothing that was written to it matters any more.
    pub(super) fn remove_pod(&mut self, uid: &str) {
        for identity in [Identity::Pod, Identity::PodWave, Identity::PodGate] {
            self.open.remove(&identity(uid.to_owned()));
        }
    }

    /// Takes back the expectation of a ticket, unless a newer write replaced it.
    pub(super) fn withdraw(&mut self, ticket: &Ticket) -> Option<Open> {
        let current = self.open.get(&ticket.identity)?;
        (current.number == ticket.number)
            .then(|| self.open.remove(&ticket.identity))
            .flatten()
    }

    /// A task is no more: nobody waits for what was written for it.
    pub(super) fn forget(&mut self, task: &str) {
        self.open.retain(|_, open| open.task != task);
    }

    /// A list that was started after the write shows its result: nothing is left to expect.
    pub(super) fn listed(&mut self, kind: Kind, epoch: u32) {
        self.open
            .retain(|_, open| open.expectation.kind() != kind || open.epoch >= epoch);
    }

    pub(super) fn of_task<'a>(&'a self, task: &'a str) -> impl Iterator<Item = &'a Expectation> {
        self.open
            .values()
            .filter(move |open| open.task == task)
            .map(|open| &open.expectation)
    }

    /// What is past its deadline, with the task it belongs to.
    pub(super) fn overdue(
        &self,
        now: Timestamp,
    ) -> impl Iterator<Item = (&TaskKey, &str, Overdue)> {
        self.open
            .iter()
            .filter(move |(_, open)| open.deadline <= now)
            .map(|(identity, open)| {
                let overdue = Overdue {
                    ticket: Ticket {
                        identity: identity.clone(),
                        number: open.number,
                    },
                    kind: open.expectation.kind(),
                    namespace: open.key.namespace.clone(),
                    name: open.expectation.name().to_owned(),
                };
                (&open.key, open.task.as_str(), overdue)
            })
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

/// A ledger write that the watch has not shown yet. It needs no deadline: the next write carries its resource version, and
/// the API server refuses it where this view is stale.
#[derive(Debug)]
pub(super) struct LedgerWrite {
    pub(super) view: LedgerView,
    pub(super) epoch: u32,
}
