//! `record`: what is kept on disk about a container, so that a crash loses nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::storage::Undo;
use crate::sys::ProcessId;

/// What is known about a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its name.
    pub id: Id,
    /// The folder with its `config.json`.
    pub bundle: String,
    /// When it was created.
    pub created: Timestamp,
    /// [`crate::sys::Host::boot_id`] at that time: after another start of the host nothing of it runs.
    pub boot_id: String,
    /// The name of its job.
    pub job: String,
    /// How far it is.
    pub phase: Phase,
    /// The process that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keeper: Option<ProcessId>,
    /// Where the keeper is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its first process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<ProcessId>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// What was done to the host for it, oldest first; each was written down before it was done.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub undo: Vec<Undo>,
    /// The annotations of its config.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub annotations: BTreeMap<String, String>,
}

/// How far a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Its root and its job are being made.
    Creating,
    /// It can be started.
    Created,
    /// Its first process was started.
    Running,
    /// Its first process ended, and every other with it.
    Stopped,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// The whole 32-bit exit code.
    pub code: u32,
    /// When.
    pub at: Timestamp,
    /// Whether memory was refused to it before: `OOMKilled` for Kubernetes.
    #[serde(default)]
    pub memory_limit: bool,
}
