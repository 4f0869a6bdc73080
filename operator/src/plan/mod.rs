//! `plan`: what one pass over a task will do, in order, and what it will report. Pure and infallible.

use hosttask_crds::Reason;
use hosttask_crds::node::LedgerEntry;
use hosttask_crds::task::WindowsHostTaskStatus;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::batch::v1::Job;
use serde::Serialize;
use std::time::Duration;

/// Everything one pass will do, in order, and what it will report. Plain data: no client, no clock, no randomness.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The writes, in order. The first one that fails ends the pass.
    pub actions: Vec<Action>,
    /// The status to report. Written only when it differs from the one stored.
    pub status: WindowsHostTaskStatus,
    /// After which time to look again even if nothing changes; none: only when something changes.
    pub requeue: Option<Duration>,
}

/// One write. `apply` is one `match` over this, without decisions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Action {
    /// Ask the API server whether it would accept this DaemonSet (server-side apply as dry run).
    CheckDaemonSet(Box<DaemonSet>),
    /// Ask the API server whether it would accept this Job (create as dry run).
    CheckJob(Box<Job>),
    /// Create a ControllerRevision.
    CreateRevision(Box<ControllerRevision>),
    /// Give an existing ControllerRevision the highest number: its content is wanted again.
    RenumberRevision {
        /// Its name.
        name: String,
        /// Its UID, as precondition.
        uid: String,
        /// The new number.
        number: i64,
    },
    /// Delete a ControllerRevision beyond the history limit.
    DeleteRevision {
        /// Its name.
        name: String,
        /// Its UID, as precondition.
        uid: String,
    },
    /// Server-side apply of the task's DaemonSet.
    ApplyDaemonSet(Box<DaemonSet>),
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
