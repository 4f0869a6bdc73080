//! `Action`: one write, as data; and `Note`, an event to publish.

use hosttask_crds::Reason;
use hosttask_crds::node::LedgerEntry;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::batch::v1::Job;
use serde::Serialize;

/// One write. `apply` is one `match` over this, without decisions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Action {
    /// Ask the API server whether it would accept this DaemonSet (server-side apply as dry run).
    CheckDaemonSet(Box<DaemonSet>),
    /// Ask the API server whether it would accept this Job (create as dry run).
    CheckJob(Box<Job>),
    /// Create a `ControllerRevision`.
    CreateRevision(Box<ControllerRevision>),
    /// Give an existing `ControllerRevision` the highest number: its content is wanted again.
    RenumberRevision {
        /// Its name.
        name: String,
        /// Its UID, as precondition.
        uid: String,
        /// The new number.
        number: i64,
    },
    /// Delete a `ControllerRevision` beyond the history limit.
    DeleteRevision {
        /// Its name.
        name: String,
        /// Its UID, as precondition.
        uid: String,
    },
    /// Server-side apply of the DaemonSet of a wave.
    ApplyDaemonSet(Box<DaemonSet>),
    /// Delete a DaemonSet and leave its pods running: they are handed over to DaemonSets of another division of the fleet.
    OrphanDaemonSet {
        /// Its name.
        name: String,
        /// Its UID, as precondition.
        uid: String,
    },
    /// Give an orphaned daemon pod to another wave, whose DaemonSet will adopt it.
    MovePod {
        /// Its name.
        name: String,
        /// Its UID, as precondition.
        uid: String,
        /// Its node.
        node: String,
        /// The wave.
        wave: String,
    },
    /// Lift the scheduling gate of a daemon pod: what it depends on is well on its node.
    UngatePod {
        /// Its name.
        name: String,
        /// Its UID, as precondition.
        uid: String,
        /// Its node.
        node: String,
    },
    /// Delete a pod, so that the DaemonSet controller starts its replacement.
    DeletePod {
        /// Its name.
        name: String,
        /// Its UID, as precondition.
        uid: String,
        /// Its resource version, as precondition.
        resource_version: String,
        /// Its node.
        node: String,
    },
    /// Create a Job under its deterministic name. That it exists already and is ours is success.
    CreateJob(Box<Job>),
    /// Delete a Job that is not to run any more, and its pod.
    DeleteJob {
        /// Its name.
        name: String,
        /// Its UID, as precondition.
        uid: String,
        /// Its node.
        node: String,
    },
    /// Write the result of a task into the node's ledger.
    RecordResult {
        /// The node.
        node: String,
        /// The entry; it replaces an older one of the same task.
        entry: Box<LedgerEntry>,
    },
    /// Publish an event on the task.
    Publish(Note),
}

/// An event to publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Normal or Warning.
    pub warning: bool,
    /// The reason.
    pub reason: Reason,
    /// The text, at most 1024 characters.
    pub note: String,
    /// The node it is about.
    pub node: Option<String>,
}

impl Action {
    /// Whether it sets a node or the template in motion.
    pub(super) fn is_start(&self) -> bool {
        match self {
            Self::ApplyDaemonSet(_) | Self::DeletePod { .. } | Self::CreateJob(_) => true,
            Self::CheckDaemonSet(_)
            | Self::CheckJob(_)
            | Self::CreateRevision(_)
            | Self::RenumberRevision { .. }
            | Self::DeleteRevision { .. }
            | Self::DeleteJob { .. }
            | Self::RecordResult { .. }
            | Self::OrphanDaemonSet { .. }
            | Self::MovePod { .. }
            | Self::UngatePod { .. }
            | Self::Publish(_) => false,
        }
    }

    /// Whether the API server, or an admission policy in it, may refuse it for what the task asks for.
    pub(super) fn is_child_write(&self) -> bool {
        match self {
            Self::CheckDaemonSet(_)
            | Self::CheckJob(_)
            | Self::ApplyDaemonSet(_)
            | Self::OrphanDaemonSet { .. }
            | Self::MovePod { .. }
            | Self::UngatePod { .. }
            | Self::DeletePod { .. }
            | Self::CreateJob(_)
            | Self::DeleteJob { .. } => true,
            Self::CreateRevision(_)
            | Self::RenumberRevision { .. }
            | Self::DeleteRevision { .. }
            | Self::RecordResult { .. }
            | Self::Publish(_) => false,
        }
    }
}
