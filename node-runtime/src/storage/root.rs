//! `storage::root`: makes the folder that is a container's root, and lets it appear at its place.

use std::fs;
use std::mem;
use std::path::{Path, PathBuf};

use crate::storage::error::{Error, Tried};
use crate::storage::host::{Host, failed, make_folder, missing_above, removal, text};
use crate::storage::path::{is_separator, parts};
use crate::storage::unpack::{Bounds, content, fill};
use crate::storage::{Undo, sweep};
use crate::sys::{Attachment, Entry, Means};

/// Makes the folder that is the root: the one folder it was given, or all layers together in the scratch of the container.
pub(crate) fn make(host: &mut Host<'_>) -> Result<PathBuf, Error> {
    let request = host.request;
    let layers = request.root.layers.iter();
    let layers: Vec<PathBuf> = layers.map(|layer| request.bundle.join(layer)).collect();
    if let [layer] = layers.as_slice()
        && !request.root.is_shared
    {
        let found = fs::metadata(layer).map_err(|source| Error::Layer {
            layer: layer.clone(),
            source,
        })?;
        if found.is_dir() {
            return content(layer);
        }
    }
    let root = request.scratch.join("root");
    if host.entry(&root)?.is_some() {
        return Err(Error::Taken { path: root });
    }
    host.note(Undo::RemoveTree { path: text(&root)? })?;
    fs::create_dir(&root).map_err(failed("make the folder", &root))?;
    // While it is empty: a file that is a second name of a layer's file keeps the rights that it has there.
    let read_only = request.root.read_only;
    host.storage
        .share(&root, !read_only)
        .map_err(failed("share the folder", &root))?;
    fill(&layers, &root, Bounds::default(), read_only, &mut |_| {})?;
    Ok(root)
}

/// Where the root is to appear, without a separator at the end.
#[derive(Debug)]
pub(crate) struct Location {
    /// As every container sees it through the bind filter.
    pub(crate) bound: PathBuf,
    /// As the whole host sees it.
    pub(crate) linked: PathBuf,
    /// Whether the config names it.
    pub(crate) is_asked_for: bool,
}

/// Checks the place of the root.
pub(crate) fn location(host: &Host<'_>) -> Result<Location, Error> {
    let places = host.request.places;
    let asked = host.request.root.location.as_ref();
    let text = asked.unwrap_or(&places.container_root);
    let found = parts(text, places.rules);
    found.map_err(|why| Error::Location {
        path: text.clone(),
        why,
    })?;
    let bound = PathBuf::from(text.trim_end_matches(|it| is_separator(it, places.rules)));
    let linked = match asked {
        Some(_) => bound.clone(),
        None => bound.join(host.request.id.as_str()),
    };
    Ok(Location {
        bound,
        linked,
        is_asked_for: asked.is_some(),
    })
}

/// Lets the root appear in the view of its job alone. Returns whether the host can.
pub(crate) fn bind(
    host: &mut Host<'_>,
    source: &Path,
    location: &Location,
    tried: &mut Vec<Tried>,
) -> Result<bool, Error> {
    if !host.storage.means().contains(&Means::BindFilter) {
        return Ok(false);
    }
    let target = &location.bound;
    host.make_above(target)?;
    let attachment = Attachment {
        source,
        target,
        read_only: host.request.root.read_only,
        job: Some(host.request.job),
    };
    let undo = |means| detach(means, target);
    let bound = host.attach(&[Means::BindFilter], &attachment, &undo, tried)?;
    Ok(bound.is_some())
}

/// Lets the root appear on the whole host. Returns by which means; none where the host has none.
pub(crate) fn link(
    host: &mut Host<'_>,
    source: &Path,
    location: &Location,
    tried: &mut Vec<Tried>,
) -> Result<Option<Means>, Error> {
    let target = &location.linked;
    let means = links(&host.storage.means());
    if means.is_empty() {
        return Ok(None);
    }
    // Before anything is written down: what undoes our link must not undo that of another.
    check(host, location)?;
    let mut folders = missing_above(target);
    if !location.is_asked_for && !folders.contains(&location.bound) {
        folders.push(location.bound.clone());
    }
    let id = host.request.id.clone();
    let mark = sweep::mark(target);
    let path = text(&mark)?;
    let unmark = Undo::Unmark {
        path,
        id: id.clone(),
    };
    let removals = folders.iter().map(|folder| removal(folder));
    let mut steps = removals.collect::<Result<Vec<_>, _>>()?;
    steps.push(unmark);
    for (index, means) in means.into_iter().enumerate() {
        steps.push(detach(means, target)?);
        host.note_all(mem::take(&mut steps))?;
        if index == 0 {
            folders.iter().try_for_each(|folder| make_folder(folder))?;
            check(host, location)?;
        }
        sweep::write_mark(&mark, &id, means)?;
        let attachment = Attachment {
            source,
            target,
            read_only: host.request.root.read_only,
            job: Some(host.request.job),
        };
        if host.attach_noted(means, &attachment, tried) {
            return Ok(Some(means));
        }
    }
    Ok(None)
}

/// Checks that nothing stands where the root is to appear, nor a link where the folder of all roots is.
fn check(host: &Host<'_>, location: &Location) -> Result<(), Error> {
    let home = &location.bound;
    if !location.is_asked_for && !matches!(host.entry(home)?, None | Some(Entry::Folder)) {
        return Err(Error::Planted { path: home.clone() });
    }
    let path = location.linked.clone();
    match host.entry(&path)? {
        Some(_) => Err(Error::Taken { path }),
        None => Ok(()),
    }
}

fn detach(means: Means, target: &Path) -> Result<Undo, Error> {
    let target = text(target)?;
    Ok(Undo::Detach { means, target })
}

/// The means by which the whole host sees something.
pub(crate) fn links(means: &[Means]) -> Vec<Means> {
    let links = means.iter().filter(|means| **means != Means::BindFilter);
    links.copied().collect()
}
