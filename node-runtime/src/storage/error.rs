//! `storage::error`: why a root could not be placed or a layer not be unpacked.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::storage::path::Unfit;
use crate::sys::Means;

/// Why a root could not be placed, a layer not be unpacked, or something not be undone.
#[derive(Debug, Error)]
#[expect(
    clippy::error_impl_error,
    reason = "one error per module, named by the module"
)]
pub enum Error {
    /// An operation on a file failed.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// What is about to be done could not be written down, so it was not done.
    #[error("failed to write down what is about to be done")]
    Note {
        /// Why it failed.
        source: io::Error,
    },
    /// Something stands where the tree or the root belongs.
    #[error("{} exists; remove it or give another place", path.display())]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// A link stands where only a folder may.
    #[error("{} is a link or no folder, and nothing is made behind it; remove it", path.display())]
    Planted {
        /// Where.
        path: PathBuf,
    },
    /// A layer could not be read.
    #[error("failed to read the layer {}", layer.display())]
    Layer {
        /// The layer.
        layer: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A layer is compressed in a way that is not read here.
    #[error("the layer {} is compressed with {name}; decompress it first", layer.display())]
    Compression {
        /// The layer.
        layer: PathBuf,
        /// The compression.
        name: &'static str,
    },
    /// A folder is a layer of another runtime, whose deletions stand in a file that only it reads.
    #[error("{} is a layer of another runtime; unpack the layers of the image instead", layer.display())]
    ForeignLayer {
        /// The layer.
        layer: PathBuf,
    },
    /// An entry of a layer is not taken.
    #[error("the layer {} has the entry {name:?}: {why}", layer.display())]
    Entry {
        /// The layer.
        layer: PathBuf,
        /// The entry as the layer names it.
        name: String,
        /// Why.
        why: EntryFault,
    },
    /// The layers together are larger than allowed.
    #[error("the layers have more than {most} {what}; give smaller ones")]
    TooMuch {
        /// How much is allowed.
        most: u64,
        /// Of what.
        what: &'static str,
    },
    /// The place of the root is no path for one.
    #[error("the location {path:?} of the root is not possible: {why}")]
    Location {
        /// The location.
        path: String,
        /// Why.
        why: Unfit,
    },
    /// A mount is not possible.
    #[error("the mount of {source_path:?} at {destination:?} is not possible: {why}")]
    Mount {
        /// What was to appear.
        source_path: String,
        /// Where.
        destination: String,
        /// Why.
        why: MountFault,
    },
    /// No means of this host does it.
    #[error("this host cannot make {what} appear at {}: {}", target.display(), list(tried))]
    NoMeans {
        /// What was to appear.
        what: &'static str,
        /// Where.
        target: PathBuf,
        /// What was tried, with why it failed.
        tried: Vec<Tried>,
    },
    /// Something could not be undone.
    #[error("failed to undo {} of {of} steps; the first: {}", failures.len(), failures.first().map_or("", String::as_str))]
    Undo {
        /// How many steps there were.
        of: usize,
        /// What failed and why, newest step first.
        failures: Vec<String>,
    },
}

/// A means that did not do.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Tried {
    /// The means.
    pub means: Means,
    /// Why not.
    pub why: String,
}

fn list(tried: &[Tried]) -> String {
    if tried.is_empty() {
        return "it has no means for that".to_owned();
    }
    let each = tried
        .iter()
        .map(|tried| format!("{:?}: {}", tried.means, tried.why));
    each.collect::<Vec<_>>().join("; ")
}

/// Why an entry of a layer is not taken.
#[derive(Debug, Error)]
pub enum EntryFault {
    /// Its name is none for a file of a root.
    #[error("{0}")]
    Unfit(Unfit),
    /// Its name leads through a link or a file.
    #[error("its path leads through a link or a file")]
    Through,
    /// Another entry of the layer has this name, in other letters or as something else.
    #[error("it is the same file on Windows as {0:?} of the same layer")]
    Twice(String),
    /// A hard link names no file that was unpacked.
    #[error("it is a hard link to {0:?}, which is no file of the image")]
    HardLink(String),
    /// It is nothing an image for Windows has.
    #[error("it is {0}, which no image for Windows has")]
    Kind(&'static str),
    /// A driver of Windows keeps its content.
    #[error(
        "it stands for content that a driver of Windows keeps, of container layers or of an image file, and that only the host compute service reads; unpack the layers of the image instead"
    )]
    Placeholder,
    /// It stands beside `Files` in a layer that has this folder for all files.
    #[error("it stands outside of 'Files' in a layer that starts with one of its folders")]
    Outside,
    /// Its two sizes differ.
    #[error("its extended header has another size than its header")]
    Size,
    /// Its extended header is malformed or larger than 1 MiB.
    #[error("its extended header is malformed or too large")]
    Extension,
    /// It could not be read or written.
    #[error("{0}")]
    Io(io::Error),
}

/// Why a mount is not possible.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MountFault {
    /// Its source is no path for one.
    #[error("of its source: {0}")]
    Source(Unfit),
    /// Its destination is no path for one.
    #[error("of its destination: {0}")]
    Destination(Unfit),
    /// It is a named pipe.
    #[error(
        "named pipes are not mounted; the program opens the pipe of the host under its own name"
    )]
    Pipe,
    /// Its source does not exist.
    #[error("its source does not exist; make it first")]
    Missing,
    /// Its destination is the root itself.
    #[error("its destination is the root itself; name a folder or a file below")]
    Root,
    /// Another mount has the same destination.
    #[error("another mount has the same destination; leave one out")]
    Twice,
    /// Its destination is inside another mount, where this host would have to write into that one's source.
    #[error(
        "its destination is inside the mount at {0:?}, which needs the bind filter; mount it beside"
    )]
    Nested(String),
    /// Something stands at its destination.
    #[error(
        "the root has a file or a folder with files there; remove it from the image or mount elsewhere"
    )]
    Taken,
    /// A link or a file stands on the way to its destination.
    #[error("a link or a file stands on the way to its destination; nothing is made behind it")]
    Planted,
}
