//! `storage`: the root of a container and its mounts, placed and undone.

mod archive;
mod error;
mod host;
mod kubelet;
mod mounts;
mod path;
mod place;
mod root;
mod sweep;
mod tree;
mod undo;
mod unpack;

use serde::{Deserialize, Serialize};

pub use error::{EntryFault, Error, MountFault, Tried};
pub use path::Unfit;
pub use place::{Placed, PlacedMount, Request, place};
pub use sweep::sweep;
pub use undo::undo;
pub use unpack::{Bounds, Progress, Summary, unpack, unpack_within};

use crate::id::Id;
use crate::sys::Means;

/// Something that was done to the host and has to be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Undo {
    /// A folder or file was made to appear at another place.
    Detach {
        /// How.
        means: Means,
        /// Where.
        target: String,
    },
    /// A folder was made, and everything in it is ours.
    RemoveTree {
        /// Where.
        path: String,
    },
    /// A folder was made; it is removed only if nobody put anything into it.
    RemoveIfEmpty {
        /// Where.
        path: String,
    },
    /// A file was made that says whose place this is; it is removed while it still says so.
    Unmark {
        /// Where.
        path: String,
        /// Whose place.
        id: Id,
    },
    /// Something was done inside a folder in which others may have exchanged anything since: no link in it is followed.
    Inside {
        /// The folder.
        root: String,
        /// The names below it.
        path: Vec<String>,
        /// What was done.
        change: Change,
    },
}

/// What was done inside a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// A folder or file was made to appear there.
    Attached(Means),
    /// A folder was made; it is removed only if nobody put anything into it.
    MadeFolder,
    /// An empty folder was removed to make room; it is made again.
    RemovedFolder,
}
