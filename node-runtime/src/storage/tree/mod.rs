//! `storage::tree`: a root while its layers are put on top of each other.
//!
//! Every name that was made is known here, as Windows compares names, and nothing is made over a name that is not. Links
//! are made last, when everything else is done, so that no step can be led through one.

mod removal;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::storage::error::{EntryFault, Error};
use crate::storage::path::key;
use crate::storage::unpack::{Bounds, Progress, Summary};
use crate::sys::Attributes;
use crate::sys::tree::{create_file, create_link};

/// How often a long file tells how far it is, in bytes.
const STEP: usize = 1024 * 1024;

/// A name in the tree.
#[derive(Debug)]
struct Node {
    /// Its path from the root, as it was spelled first.
    path: PathBuf,
    kind: NodeKind,
    /// The layer that brought it.
    layer: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum NodeKind {
    Folder,
    File,
    Link {
        target: String,
        is_folder: Option<bool>,
    },
}

/// A root that is being made.
pub(crate) struct Tree<'a> {
    root: &'a Path,
    /// By their parts, as Windows compares them, with `/` between.
    nodes: BTreeMap<String, Node>,
    layer: usize,
    layers: usize,
    /// What of lower layers the current one hid already.
    hidden: BTreeSet<String>,
    bounds: &'a Bounds,
    entries: u64,
    buffer: Vec<u8>,
    pub(crate) summary: Summary,
    progress: &'a mut dyn FnMut(&Progress),
}

impl<'a> Tree<'a> {
    /// In an empty folder that nobody else writes into.
    pub(crate) fn new(
        root: &'a Path,
        layers: usize,
        bounds: &'a Bounds,
        progress: &'a mut dyn FnMut(&Progress),
    ) -> Self {
        Self {
            root,
            nodes: BTreeMap::new(),
            layer: 0,
            layers,
            hidden: BTreeSet::new(),
            bounds,
            entries: 0,
            buffer: vec![0; STEP],
            summary: Summary::default(),
            progress,
        }
    }

    /// What follows is of the next layer, counted from 1.
    pub(crate) fn next_layer(&mut self) {
        self.layer += 1;
        self.hidden.clear();
    }

    /// Counts an entry, whatever becomes of it.
    pub(crate) fn count(&mut self) -> Result<(), Error> {
        self.entries += 1;
        if self.entries > self.bounds.entries {
            return Err(Error::TooMuch {
                most: self.bounds.entries,
                what: "entries",
            });
        }
        self.tell();
        Ok(())
    }

    fn tell(&mut self) {
        (self.progress)(&Progress {
            layer: self.layer,
            layers: self.layers,
            entries: self.entries,
            bytes: self.summary.bytes,
        });
    }

    /// A folder. One of a lower layer stays, with what is in it.
    pub(crate) fn folder(&mut self, parts: &[&str]) -> Result<(), Fault> {
        let Some((key, path)) = self.parents(parts)? else {
            return Ok(());
        };
        if let Some(node) = self.nodes.get_mut(&key) {
            if node.kind == NodeKind::Folder {
                node.layer = self.layer;
                return Ok(());
            }
            self.clear(&key, &path)?;
        }
        self.make_folder(key, path)
    }

    /// A file with these bytes.
    pub(crate) fn file(
        &mut self,
        parts: &[&str],
        attributes: Attributes,
        modified: u64,
        bytes: &mut dyn Read,
    ) -> Result<(), Fault> {
        let (key, path) = self.vacant(parts)?;
        let full = self.root.join(&path);
        let mut file = create_file(&full, attributes)?;
        self.add(key, path, NodeKind::File);
        self.summary.files += 1;
        self.copy(bytes, &mut file)?;
        if let Some(time) = UNIX_EPOCH.checked_add(Duration::from_secs(modified)) {
            // A file system may not know the year; the bytes matter more.
            let _time_is_not_kept = file.set_modified(time);
        }
        Ok(())
    }

    /// A file that exists outside, copied, or under a second name where that is allowed and possible.
    pub(crate) fn outside_file(
        &mut self,
        parts: &[&str],
        source: &Path,
        share: bool,
    ) -> Result<(), Fault> {
        let (key, path) = self.vacant(parts)?;
        let full = self.root.join(&path);
        if fs::symlink_metadata(&full).is_ok() {
            // A short name of Windows can be another's long name.
            return Err(io::Error::from(ErrorKind::AlreadyExists).into());
        }
        if share && fs::hard_link(source, &full).is_ok() {
            self.summary.hard_links += 1;
        } else {
            let bytes = fs::copy(source, &full)?;
            self.claim(bytes)?;
            self.summary.files += 1;
        }
        self.add(key, path, NodeKind::File);
        Ok(())
    }

    /// Another name of a file or a link that is there.
    pub(crate) fn hard_link(
        &mut self,
        parts: &[&str],
        target: &[&str],
        told: &str,
    ) -> Result<(), Fault> {
        let none = || EntryFault::HardLink(told.to_owned());
        let target = self.nodes.get(&joined(target)).ok_or_else(none)?;
        let (from, kind) = (self.root.join(&target.path), target.kind.clone());
        if kind == NodeKind::Folder {
            return Err(none().into());
        }
        let (key, path) = self.vacant(parts)?;
        let to = self.root.join(&path);
        if kind == NodeKind::File {
            // The name itself may have replaced its target.
            fs::symlink_metadata(&from).map_err(|_| none())?;
            if fs::hard_link(&from, &to).is_err() {
                // A file system without hard links, or too many of them.
                let bytes = fs::copy(&from, &to)?;
                self.claim(bytes)?;
            }
        }
        self.add(key, path, kind);
        self.summary.hard_links += 1;
        Ok(())
    }

    /// A link. It is made by [`Tree::finish`].
    pub(crate) fn link(
        &mut self,
        parts: &[&str],
        target: String,
        is_folder: Option<bool>,
    ) -> Result<(), Fault> {
        let (key, path) = self.vacant(parts)?;
        self.add(key, path, NodeKind::Link { target, is_folder });
        self.summary.links += 1;
        Ok(())
    }

    /// Makes the links. Nothing may be added afterwards.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        for (name, node) in &self.nodes {
            let NodeKind::Link { target, is_folder } = &node.kind else {
                continue;
            };
            let is_folder = is_folder.unwrap_or_else(|| self.leads_to_folder(name, target));
            let path = self.root.join(&node.path);
            create_link(target, &path, is_folder).map_err(|source| Error::Io {
                action: "make the link",
                path,
                source,
            })?;
        }
        Ok(())
    }

    /// Whether a relative link leads to a folder of the tree. Links on its way are not followed.
    fn leads_to_folder(&self, link: &str, target: &str) -> bool {
        let mut parts: Vec<String> = link.split('/').map(str::to_owned).collect();
        parts.pop();
        for part in target.split(['/', '\\']) {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                name => parts.push(key(name)),
            }
        }
        let node = self.nodes.get(&parts.join("/"));
        node.is_some_and(|node| node.kind == NodeKind::Folder)
    }

    /// Makes the folders above a name, and tells its key and its path; none for the root itself.
    fn parents(&mut self, parts: &[&str]) -> Result<Option<(String, PathBuf)>, Fault> {
        let Some((name, above)) = parts.split_last() else {
            return Ok(None);
        };
        let mut path = PathBuf::new();
        let mut known = String::new();
        for part in above {
            known = child(&known, part);
            let existing = self.nodes.get(&known).map(|node| {
                let is_old_file = node.kind == NodeKind::File && node.layer < self.layer;
                (node.kind.clone(), node.path.clone(), is_old_file)
            });
            match existing {
                Some((NodeKind::Folder, spelled, _)) => path = spelled,
                Some((_, spelled, true)) => {
                    self.clear(&known, &spelled)?;
                    path.push(part);
                    self.make_folder(known.clone(), path.clone())?;
                }
                Some(_) => return Err(EntryFault::Through.into()),
                None => {
                    path.push(part);
                    self.make_folder(known.clone(), path.clone())?;
                }
            }
        }
        path.push(name);
        Ok(Some((child(&known, name), path)))
    }

    /// A name at which nothing is any more.
    fn vacant(&mut self, parts: &[&str]) -> Result<(String, PathBuf), Fault> {
        let name = self.parents(parts)?;
        let (key, path) = name.ok_or(EntryFault::Through)?;
        self.clear(&key, &path)?;
        Ok((key, path))
    }

    fn make_folder(&mut self, key: String, path: PathBuf) -> Result<(), Fault> {
        fs::create_dir(self.root.join(&path))?;
        self.add(key, path, NodeKind::Folder);
        self.summary.folders += 1;
        Ok(())
    }

    fn add(&mut self, key: String, path: PathBuf, kind: NodeKind) {
        let layer = self.layer;
        self.nodes.insert(key, Node { path, kind, layer });
    }

    fn copy(&mut self, from: &mut dyn Read, to: &mut dyn Write) -> Result<(), Fault> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = loop {
            match from.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(Fault::from(error)),
                Ok(length) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    let claimed = self.claim(u64::try_from(length).unwrap_or(u64::MAX));
                    if let Err(fault) = claimed.and_then(|()| Ok(to.write_all(bytes)?)) {
                        break Err(fault);
                    }
                    self.tell();
                }
            }
        };
        self.buffer = buffer;
        result
    }

    fn claim(&mut self, bytes: u64) -> Result<(), Fault> {
        self.summary.bytes = self.summary.bytes.saturating_add(bytes);
        if self.summary.bytes > self.bounds.bytes {
            return Err(Fault::TooMuch {
                most: self.bounds.bytes,
            });
        }
        Ok(())
    }
}

/// Why a name could not be added.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Because of the entry.
    Entry(EntryFault),
    /// All layers together are too large.
    TooMuch {
        /// How many bytes are allowed.
        most: u64,
    },
}

impl From<EntryFault> for Fault {
    fn from(fault: EntryFault) -> Self {
        Self::Entry(fault)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Entry(EntryFault::Io(error))
    }
}

fn child(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        key(name)
    } else {
        format!("{parent}/{}", key(name))
    }
}

fn joined(parts: &[&str]) -> String {
    let keys: Vec<_> = parts.iter().map(|part| key(part)).collect();
    keys.join("/")
}
