//! `record`: what is kept on disk about a container, so that a crash loses nothing, and a loss of power nothing that has to be undone.

mod add;
pub mod format;
pub(crate) mod replace;
mod store;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use format::Damage;
pub use store::{Folder, Listed, Store};

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
    /// Its root and its job are being made, or were when the host lost its power a moment later.
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

/// Why a record could not be read or written.
#[derive(Debug, Error)]
#[expect(
    clippy::error_impl_error,
    reason = "one error per module, named by the module"
)]
pub enum Error {
    /// Somebody made it before.
    #[error("the container {id} exists; delete it or choose another id")]
    AlreadyExists {
        /// Its name.
        id: Id,
    },
    /// Nobody made it, or it was removed.
    #[error("the container {id} does not exist")]
    NotFound {
        /// Its name.
        id: Id,
    },
    /// Another process holds it.
    #[error("the container {id} is held by another process; ask that one, or end it first")]
    Busy {
        /// Its name.
        id: Id,
    },
    /// What stands on the disk is not what was written.
    #[error(
        "the record of the container {id} is damaged: {why}; what it did is unknown, delete it with force"
    )]
    Damaged {
        /// Its name.
        id: Id,
        /// How it is damaged.
        why: Damage,
    },
    /// A newer program wrote it.
    #[error(
        "the record of the container {id} has version {version}, this program knows up to {}; use the newer program",
        format::VERSION
    )]
    Newer {
        /// Its name.
        id: Id,
        /// The version.
        version: u32,
    },
    /// It has more than [`format::LARGEST`] bytes.
    #[error(
        "the record of the container {id} would have {bytes} bytes, allowed are {}; give it fewer annotations or mounts",
        format::LARGEST
    )]
    TooLarge {
        /// Its name.
        id: Id,
        /// How many it would have.
        bytes: usize,
    },
    /// It is the record of another container.
    #[error("the folder of the container {id} takes no record of {other}")]
    Other {
        /// Whose folder it is.
        id: Id,
        /// Whose record it is.
        other: Id,
    },
    /// It cannot be written as JSON.
    #[error("failed to encode the record of the container {id}")]
    Encode {
        /// Its name.
        id: Id,
        /// Why.
        source: serde_json::Error,
    },
    /// The folder of all records is a link.
    #[error("{} is a link; give a folder that nobody else can exchange", path.display())]
    Link {
        /// The folder.
        path: PathBuf,
    },
    /// Something stands where the folder of all records belongs, or above it.
    #[error("{} is no folder, so that no records can be kept there; name a folder", path.display())]
    NoFolder {
        /// What stands there.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}
