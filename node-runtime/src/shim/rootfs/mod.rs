//! `rootfs`: the root that containerd's snapshotter gives a container, as the root of its plan.
//!
//! | mount of the request | root |
//! | --- | --- |
//! | none | what the config says; without a word, an empty one |
//! | `bind` | that folder, written in place: the snapshot is the container's own |
//! | `windows-layer` | the layers of `parentLayerPaths` put together in the runtime's own folder |
//!
//! The task service asks for it when a task is created, between the plan and the container:
//!
//! ```ignore
//! let mut plan = launch::plan(&config, &context)?;
//! rootfs::prepare(&mounts, host.places().rules, &mut plan)?;
//! let container = Container::create(host, container::Options { plan, .. })?;   // places it, writes down how it is undone
//! ```

mod layer;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::container::Kind;
use crate::launch::path::{self, PathError};
use crate::launch::{Plan, RootPlan};
use crate::sys::Rules;

pub use self::layer::NeedsHcs;

/// The most layers: containerd's snapshotters have at most 128.
const MOST_LAYERS: usize = 256;

/// A mount of the request, as containerd sends it.
#[derive(Debug, Clone, Copy)]
pub struct Mount<'a> {
    /// `type`.
    pub kind: &'a str,
    /// `source`.
    pub source: &'a str,
    /// `target`, below the root; empty for the root itself.
    pub target: &'a str,
    /// `options`.
    pub options: &'a [String],
}

/// Why a root cannot be had.
#[derive(Debug, Error)]
#[expect(
    clippy::error_impl_error,
    reason = "one error per module, named by the module"
)]
pub enum Error {
    /// A root of several mounts.
    #[error(
        "the snapshotter gives {0} mounts for the root; use one that gives a single one: windows or native"
    )]
    Several(usize),
    /// A mount below the root.
    #[error(
        "the snapshotter mounts at {0:?} below the root; use one that gives a single mount: windows or native"
    )]
    Target(String),
    /// A kind of mount that nobody can do without the host compute service, or not at all.
    #[error(
        "the snapshotter gives a root of type {0:?}, which this runtime cannot mount; use the windows or the native snapshotter"
    )]
    Type(String),
    /// A path that is none.
    #[error("the root has the {what} {path:?}: {why}")]
    Path {
        /// The source or a layer.
        what: &'static str,
        /// As the request has it.
        path: String,
        /// Why.
        why: PathError,
    },
    /// An option that is unknown, or contradicts another.
    #[error("the root has the option {option:?}: {why}")]
    Option {
        /// As the request has it.
        option: String,
        /// Why not.
        why: &'static str,
    },
    /// The list of layers cannot be read.
    #[error("the root has parentLayerPaths that are no JSON list of paths")]
    Layers {
        /// Why.
        source: serde_json::Error,
    },
    /// There is nothing to make a root of.
    #[error("the root is a scratch folder without layers; give parentLayerPaths")]
    NoLayers,
    /// There are too many.
    #[error("the root has {0} layers; give at most {MOST_LAYERS}")]
    TooManyLayers(usize),
    /// The config names another root.
    #[error(
        "the config names the root {0:?}, and the request another; leave root.path and windows.layerFolders out of the config"
    )]
    TwoRoots(String),
    /// A layer is no plain tree.
    #[error("the layer {} cannot be used without the host compute service: {why}", layer.display())]
    NeedsHcs {
        /// The layer.
        layer: PathBuf,
        /// Why.
        why: NeedsHcs,
    },
    /// A layer cannot be looked at.
    #[error("failed to read the layer {}", layer.display())]
    Layer {
        /// The layer.
        layer: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Of which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Several(_) | Self::Target(_) | Self::Type(_) | Self::NeedsHcs { .. } => {
                Kind::Unsupported
            }
            Self::Path { .. }
            | Self::Option { .. }
            | Self::Layers { .. }
            | Self::NoLayers
            | Self::TooManyLayers(_)
            | Self::TwoRoots(_) => Kind::InvalidArgument,
            Self::Layer { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Kind::NotFound
            }
            Self::Layer { .. } => Kind::Internal,
        }
    }
}

/// Puts the root of a request into a plan. Layers are looked at, and nothing is changed: that is done, and undone, with the
/// container.
///
/// # Errors
/// [`Error::NeedsHcs`] names the layer that is no plain tree and why; every other names what the snapshotter gave.
pub fn prepare(mounts: &[Mount<'_>], rules: Rules, plan: &mut Plan) -> Result<(), Error> {
    let mount = match mounts {
        [] => return Ok(()),
        [mount] => mount,
        several => return Err(Error::Several(several.len())),
    };
    let root = read(mount, rules)?;
    // `rootfs` of the bundle is where other runtimes mount it.
    let is_other = |layer: &&String| path::canonical(rules, layer).is_ok();
    if let Some(other) = plan.root.layers.iter().find(is_other)
        && plan.root.layers != root.layers
    {
        return Err(Error::TwoRoots(other.clone()));
    }
    let layers: Result<Vec<_>, _> = root
        .layers
        .iter()
        .map(|it| layer::folder(it, &root))
        .collect();
    plan.root.layers = layers?;
    plan.root.is_shared = root.is_shared;
    plan.root.read_only |= root.read_only;
    Ok(())
}

/// What a mount says. Pure.
fn read(mount: &Mount<'_>, rules: Rules) -> Result<RootPlan, Error> {
    if !matches!(mount.target, "" | "/" | "\\") {
        return Err(Error::Target(mount.target.to_owned()));
    }
    let source = full(rules, "source", mount.source)?;
    let options = Options::read(mount.options)?;
    let (layers, is_shared) = match (mount.kind, options.parents) {
        ("bind" | "rbind", None) => (vec![source], false),
        ("bind" | "rbind", Some(_)) => {
            return Err(Error::Option {
                option: PARENTS.to_owned(),
                why: "only a root of type windows-layer has layers; leave it out",
            });
        }
        ("windows-layer", parents) => {
            let parents = parents.unwrap_or_default();
            let layers = of_windows(rules, source, &parents, options.read_only)?;
            (layers, true)
        }
        (other, _) => return Err(Error::Type(other.to_owned())),
    };
    Ok(RootPlan {
        layers,
        location: None,
        read_only: options.read_only,
        is_shared,
    })
}

/// The layers, lowest first. containerd has the topmost first.
///
/// The source is the folder to write to, in whose disk nothing is yet: it stays as it is, and what is written goes to the
/// runtime's own folder. Read-only, it is the topmost layer itself.
fn of_windows(
    rules: Rules,
    source: String,
    parents: &[String],
    read_only: bool,
) -> Result<Vec<String>, Error> {
    if parents.len() >= MOST_LAYERS {
        return Err(Error::TooManyLayers(parents.len()));
    }
    let layers = parents.iter().rev().map(|it| full(rules, "layer", it));
    let mut layers = layers.collect::<Result<Vec<_>, _>>()?;
    if read_only {
        layers.push(source);
    }
    if layers.is_empty() {
        return Err(Error::NoLayers);
    }
    Ok(layers)
}

fn full(rules: Rules, what: &'static str, text: &str) -> Result<String, Error> {
    path::canonical(rules, text).map_err(|why| Error::Path {
        what,
        path: text.chars().take(256).collect(),
        why,
    })
}

/// The start of the option with the layers, before its JSON.
const PARENTS: &str = "parentLayerPaths=";

/// What the options of a mount say.
#[derive(Debug, Default)]
struct Options {
    read_only: bool,
    parents: Option<Vec<String>>,
}

impl Options {
    fn read(options: &[String]) -> Result<Self, Error> {
        let mut read = Self::default();
        let mut writable = false;
        for option in options {
            let refuse = |why| Error::Option {
                option: option.chars().take(256).collect(),
                why,
            };
            match (option.as_str(), option.strip_prefix(PARENTS)) {
                (_, Some(_)) if read.parents.is_some() => {
                    return Err(refuse("it is given twice; leave one out"));
                }
                (_, Some(list)) => {
                    let parents = serde_json::from_str(list);
                    read.parents = Some(parents.map_err(|source| Error::Layers { source })?);
                }
                ("ro", _) => read.read_only = true,
                ("rw", _) => writable = true,
                // What every mount here is.
                ("bind" | "rbind" | "", _) => {}
                _ => return Err(refuse("it is unknown here; use ro, rw or parentLayerPaths")),
            }
            if read.read_only && writable {
                return Err(refuse("ro and rw are both given; leave one out"));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
