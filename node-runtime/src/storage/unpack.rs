//! `storage::unpack`: puts the layers of an image on top of each other as a plain tree, without the host compute service.
//!
//! A layer is a tar archive, compressed with gzip or not, or a folder. One that starts with `Files`, `Hives` or `UtilityVM`
//! is laid out as Windows layers are: only what is in `Files` is taken. Every other is taken as it is.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::storage::archive::{self, Item, Kind};
use crate::storage::error::{EntryFault, Error};
use crate::storage::path::{DEEPEST, LONGEST, Unfit, check_name};
use crate::storage::tree::{Fault, Tree};
use crate::sys::Rules;
use crate::sys::tree::is_placeholder;

/// What marks a name as removed.
const WHITEOUT: &str = ".wh.";

/// What marks everything of lower layers in a folder as removed.
const OPAQUE: &str = ".wh..wh..opq";

/// The folders of a Windows layer.
const WINDOWS_FOLDERS: [&str; 3] = ["Files", "Hives", "UtilityVM"];

/// Bytes of an archive that are no bytes of files: headers, padding and extensions.
const OVERHEAD: u64 = 4 * 1024 * 1024 * 1024;

/// How much the layers of an image may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Entries of all layers.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Default for Bounds {
    /// A million entries and 64 GiB: the largest Windows base image has a tenth of both.
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            bytes: 64 * 1024 * 1024 * 1024,
        }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The layer, from 1.
    pub layer: usize,
    /// How many there are.
    pub layers: usize,
    /// Entries of all layers so far.
    pub entries: u64,
    /// Bytes written so far.
    pub bytes: u64,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Files that were written.
    pub files: u64,
    /// Folders that were made.
    pub folders: u64,
    /// Links that the layers have; upper layers may have removed some.
    pub links: u64,
    /// Second names of files.
    pub hard_links: u64,
    /// Marks of removed names.
    pub whiteouts: u64,
    /// Bytes written.
    pub bytes: u64,
    /// What plain trees do not keep, by name, with how many entries had it: `MSWINDOWS.rawsd` (security descriptors),
    /// `Hives` (changes to the registry), `UtilityVM`.
    pub ignored: BTreeMap<String, u64>,
}

/// Unpacks layers, lowest first, into a folder that is made.
///
/// *Guarantees.* Nothing outside of `destination` is touched, whatever the layers say. On failure it is gone again.
///
/// # Errors
/// [`Error::Taken`] where `destination` exists; [`Error::Entry`] names the layer, the entry and why it is refused.
pub fn unpack(
    layers: &[PathBuf],
    destination: &Path,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Summary, Error> {
    unpack_within(layers, destination, Bounds::default(), false, progress)
}

/// As [`unpack`], with other bounds. With `share`, files of folders get a second name instead of a copy where the file system
/// can: only for a root that nobody writes into.
pub fn unpack_within(
    layers: &[PathBuf],
    destination: &Path,
    bounds: Bounds,
    share: bool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Summary, Error> {
    match fs::create_dir(destination) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Error::Taken {
                path: destination.to_path_buf(),
            });
        }
        made => made.map_err(failed("make the folder", destination))?,
    }
    fill(layers, destination, bounds, share, progress)
}

/// As [`unpack_within`], into an empty folder that exists.
pub(crate) fn fill(
    layers: &[PathBuf],
    destination: &Path,
    bounds: Bounds,
    share: bool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Summary, Error> {
    let mut tree = Tree::new(destination, layers.len(), &bounds, progress);
    let mut all = || {
        for layer in layers {
            tree.next_layer();
            if layer.is_dir() {
                add_folder(&mut tree, layer, share)?;
            } else {
                add_archive(&mut tree, layer, &bounds)?;
            }
        }
        tree.finish()
    };
    let done = all();
    let summary = tree.summary;
    if let Err(error) = done {
        // The first failure is the one to tell; what is left is in a folder that the caller knows.
        let _left = fs::remove_dir_all(destination);
        return Err(error);
    }
    Ok(summary)
}

/// Which part of a layer is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Plain,
    Windows,
}

impl Layout {
    /// By the first name in a layer.
    fn of(first: &str) -> Self {
        if WINDOWS_FOLDERS.contains(&first) {
            Self::Windows
        } else {
            Self::Plain
        }
    }

    /// The path inside the root; none where it is left out.
    fn inside<'a, 'b>(self, parts: &'b [&'a str]) -> Result<Option<&'b [&'a str]>, EntryFault> {
        match (self, parts.split_first()) {
            (Self::Plain, _) | (_, None) => Ok(Some(parts)),
            (Self::Windows, Some((&"Files", inside))) => Ok(Some(inside)),
            (Self::Windows, Some((first, _))) if WINDOWS_FOLDERS.contains(first) => Ok(None),
            (Self::Windows, Some(_)) => Err(EntryFault::Outside),
        }
    }
}

fn add_archive(tree: &mut Tree<'_>, layer: &Path, bounds: &Bounds) -> Result<(), Error> {
    let mut layout = None;
    let most = bounds.bytes.saturating_add(OVERHEAD);
    archive::read(layer, most, &mut |item: Item, bytes: &mut dyn Read| {
        tree.count()?;
        let name = item.name.clone();
        add_item(tree, &mut layout, item, bytes).map_err(told(layer, &name))
    })
}

fn add_item(
    tree: &mut Tree<'_>,
    layout: &mut Option<Layout>,
    item: Item,
    bytes: &mut dyn Read,
) -> Result<(), Fault> {
    let parts = inside(&item.name)?;
    let Some(first) = parts.first() else {
        return Ok(()); // the root itself
    };
    let layout = *layout.get_or_insert_with(|| Layout::of(first));
    let Some(parts) = layout.inside(&parts)? else {
        ignore(tree, first);
        return Ok(());
    };
    for record in &item.ignored {
        ignore(tree, record);
    }
    let Some((name, folder)) = parts.split_last() else {
        return Ok(());
    };
    if *name == OPAQUE {
        return tree.hide(folder, false);
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        check_name(hidden, Rules::Windows).map_err(EntryFault::Unfit)?;
        return tree.hide(&[folder, &[hidden]].concat(), true);
    }
    match item.kind {
        Kind::Folder => tree.folder(parts),
        Kind::File => tree.file(parts, item.attributes, item.modified, bytes),
        Kind::Link(target, is_folder) => tree.link(parts, target, is_folder),
        Kind::HardLink(target) => {
            let none = || EntryFault::HardLink(target.clone());
            let found = inside(&target).map_err(|_| none())?;
            let found = layout.inside(&found).map_err(|_| none())?;
            tree.hard_link(parts, found.ok_or_else(none)?, &target)
        }
    }
}

/// The parts of a name in an archive. The rules of Windows hold: an image for it has no other names.
fn inside(name: &str) -> Result<Vec<&str>, EntryFault> {
    if name.len() > LONGEST {
        return Err(EntryFault::Unfit(Unfit::Long));
    }
    if name.starts_with('/') || name.starts_with('\\') {
        return Err(EntryFault::Unfit(Unfit::Absolute));
    }
    let parts = name.split('/').filter(|it| !it.is_empty() && *it != ".");
    let parts: Vec<_> = parts.collect();
    if parts.len() > DEEPEST {
        return Err(EntryFault::Unfit(Unfit::Long));
    }
    for part in &parts {
        check_name(part, Rules::Windows).map_err(EntryFault::Unfit)?;
    }
    Ok(parts)
}

/// The folder whose content is the root, in a layer that is a folder.
pub(crate) fn content(layer: &Path) -> Result<PathBuf, Error> {
    if layer.join("tombstones.txt").exists() {
        // Windows' own layers name their deletions there, which a plain tree would bring back.
        return Err(Error::ForeignLayer {
            layer: layer.to_path_buf(),
        });
    }
    let files = layer.join("Files");
    let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    if !is_folder(&files) {
        return Ok(layer.to_path_buf());
    }
    let entries = fs::read_dir(layer).map_err(failed("list", layer))?;
    for entry in entries {
        let entry = entry.map_err(failed("list", layer))?;
        let name = entry.file_name();
        if !WINDOWS_FOLDERS.iter().any(|folder| name == *folder) {
            return Ok(layer.to_path_buf());
        }
    }
    Ok(files)
}

fn add_folder(tree: &mut Tree<'_>, layer: &Path, share: bool) -> Result<(), Error> {
    let content = content(layer)?;
    for left_out in ["Hives", "UtilityVM"] {
        if content != layer && layer.join(left_out).exists() {
            ignore(tree, left_out);
        }
    }
    let mut open = vec![(content, Vec::<String>::new())];
    while let Some((folder, parts)) = open.pop() {
        let entries = fs::read_dir(&folder).map_err(failed("list", &folder))?;
        for entry in entries {
            let entry = entry.map_err(failed("list", &folder))?;
            tree.count()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let told = told(layer, &name);
            let parts = [parts.as_slice(), std::slice::from_ref(&name)].concat();
            let is_folder = add_outside(tree, &entry, &parts, share).map_err(told)?;
            if is_folder {
                open.push((entry.path(), parts));
            }
        }
    }
    Ok(())
}

/// Adds one name of a folder. Returns whether it is a folder, whose content is still to come.
fn add_outside(
    tree: &mut Tree<'_>,
    entry: &fs::DirEntry,
    parts: &[String],
    share: bool,
) -> Result<bool, Fault> {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if parts.len() > DEEPEST {
        return Err(EntryFault::Unfit(Unfit::Long).into());
    }
    let name = entry.file_name();
    let name = name.to_str().ok_or(EntryFault::Unfit(Unfit::NotText))?;
    let folder = parts.split_last().map_or(&[][..], |(_, folder)| folder);
    if name == OPAQUE {
        tree.hide(folder, false)?;
        return Ok(false);
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        check_name(hidden, Rules::Windows).map_err(EntryFault::Unfit)?;
        tree.hide(&[folder, &[hidden]].concat(), true)?;
        return Ok(false);
    }
    check_name(name, Rules::Windows).map_err(EntryFault::Unfit)?;
    let path = entry.path();
    // Of the entry itself, not of what a link leads to.
    let kind = entry.file_type()?;
    if is_placeholder(&entry.metadata()?) {
        return Err(EntryFault::Placeholder.into());
    }
    if kind.is_symlink() {
        let target = fs::read_link(&path)?;
        let target = target.to_str().ok_or(EntryFault::Unfit(Unfit::NotText))?;
        tree.link(&parts, target.to_owned(), None)?;
    } else if kind.is_dir() {
        tree.folder(&parts)?;
    } else if kind.is_file() {
        tree.outside_file(&parts, &path, share)?;
    } else {
        return Err(EntryFault::Kind("a device or a pipe").into());
    }
    Ok(kind.is_dir())
}

fn ignore(tree: &mut Tree<'_>, name: &str) {
    let count = tree.summary.ignored.entry(name.to_owned());
    *count.or_default() += 1;
}

/// Says which layer and which entry it was.
fn told<'a>(layer: &'a Path, name: &'a str) -> impl FnOnce(Fault) -> Error + 'a {
    move |fault| match fault {
        Fault::Entry(why) => Error::Entry {
            layer: layer.to_path_buf(),
            name: name.to_owned(),
            why,
        },
        Fault::TooMuch { most } => Error::TooMuch {
            most,
            what: "bytes",
        },
    }
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> Error + 'a {
    move |source| Error::Io {
        action,
        path: path.to_path_buf(),
        source,
    }
}
