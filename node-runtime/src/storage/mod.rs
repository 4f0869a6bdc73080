//! `storage`: the root of a container and its mounts, placed and undone.

mod archive;
mod error;
mod path;
mod tree;
mod unpack;

use serde::{Deserialize, Serialize};

pub use error::{EntryFault, Error, MountFault, Tried};
pub use path::Unfit;
pub use unpack::{Bounds, Progress, Summary, unpack, unpack_within};

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
}
