//! `storage::place`: the root of a container and its mounts, at their places by the best means the host has.
//!
//! With the bind filter every container sees its root at the same place and its mounts where they belong, and nobody else
//! sees either. Without it the root appears below that place under the container's name, for the whole host, and the mounts
//! below the root. Where the host can make neither links nor mounts, a root stays where it is.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::id::Id;
use crate::launch::{MountPlan, RootPlan};
use crate::storage::error::{Error, Tried};
use crate::storage::host::{Host, Note, text};
use crate::storage::{mounts, path::separator, root};
use crate::sys::{Job, Means, Places, Storage};

/// What is to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Whose root it is.
    pub id: &'a Id,
    /// The root.
    pub root: &'a RootPlan,
    /// What appears in it.
    pub mounts: &'a [MountPlan],
    /// The folder of the config: layers that are no full paths are in it.
    pub bundle: &'a Path,
    /// A folder of the container alone, in which a root is made.
    pub scratch: &'a Path,
    /// The job that sees what the bind filter binds.
    pub job: &'a dyn Job,
    /// Where roots appear.
    pub places: &'a Places,
}

/// A root at its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Placed {
    /// Where the program finds it, with a separator at the end.
    pub location: String,
    /// By which means; none where it stays where it is.
    pub means: Option<Means>,
    /// The folder itself, as the whole host finds it.
    pub source: PathBuf,
    /// Its mounts. One can be at two places.
    pub mounts: Vec<PlacedMount>,
    /// Better means that did not do, and why; and what is not as it was asked for.
    pub tried: Vec<Tried>,
}

/// A mount at its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlacedMount {
    /// What appears.
    pub source: PathBuf,
    /// Where.
    pub target: PathBuf,
    /// By which means.
    pub means: Means,
    /// Whether it cannot be written there.
    pub read_only: bool,
}

impl Placed {
    /// Where the host finds what the program finds at `path`. They differ with the bind filter, whose places only the job
    /// sees. A path that is none is answered as it is.
    pub fn on_host(&self, path: &str, places: &Places) -> String {
        if self.means != Some(Means::BindFilter) {
            return path.to_owned();
        }
        let bound = self
            .mounts
            .iter()
            .filter_map(|mount| Some((mount.target.to_str()?, &mount.source)));
        let all = bound.chain([(self.location.as_str(), &self.source)]);
        let found = all.filter_map(|(target, source)| {
            let names = mounts::below(path, target, places.rules).ok()??;
            Some((names, source))
        });
        // The innermost counts.
        let innermost = found.min_by_key(|(names, _)| names.len());
        let joined = innermost.map(|(names, source)| {
            let full = names
                .iter()
                .fold(source.clone(), |full, name| full.join(name));
            full.to_string_lossy().into_owned()
        });
        joined.unwrap_or_else(|| path.to_owned())
    }
}

/// Places a root and its mounts.
///
/// *Guarantees.* `note` is called before each step with what undoes it, and the step is left out where that fails. [`super::undo`]
/// of what was noted leaves the host as it was, whether this succeeded, failed or was cut short.
///
/// # Errors
/// Every mount and the location are checked before anything is changed. What the host cannot do, read-only without a means
/// for it for one, is [`Error::NoMeans`] with what was tried.
pub fn place(
    storage: &dyn Storage,
    request: &Request<'_>,
    note: &mut Note<'_>,
) -> Result<Placed, Error> {
    let mut host = Host::new(storage, request, note);
    let mounts = mounts::check(&host)?;
    let location = root::location(&host)?;
    let source = root::make(&mut host)?;
    let mut tried = Vec::new();
    let mut placed = Vec::new();
    if root::bind(&mut host, &source, &location, &mut tried)? {
        for mount in &mounts {
            placed.extend(mounts::bind(&mut host, mount, &location)?);
        }
        return Ok(Placed {
            location: ended(&location.bound, request.places)?,
            means: Some(Means::BindFilter),
            source,
            mounts: placed,
            tried,
        });
    }
    mounts::check_linked(&mounts)?;
    // Before anybody but us sees the root.
    for mount in &mounts {
        placed.push(mounts::link(&mut host, mount, &source, &mut tried)?);
    }
    let means = root::link(&mut host, &source, &location, &mut tried)?;
    if means.is_none() && (location.is_asked_for || request.root.read_only) {
        return Err(Error::NoMeans {
            what: if request.root.read_only {
                "a read-only root"
            } else {
                "a root"
            },
            target: location.linked,
            tried,
        });
    }
    let seen = if means.is_some() {
        &location.linked
    } else {
        &source
    };
    Ok(Placed {
        location: ended(seen, request.places)?,
        means,
        source,
        mounts: placed,
        tried,
    })
}

/// A path with a separator at its end.
fn ended(path: &Path, places: &Places) -> Result<String, Error> {
    let mut location = text(path)?;
    let separator = separator(places.rules);
    if !location.ends_with(separator) {
        location.push(separator);
    }
    Ok(location)
}
