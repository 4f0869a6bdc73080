//! `storage::undo`: takes back what was done to the host, newest first, however often.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::id::Id;
use crate::storage::error::Error;
use crate::storage::{Change, Undo, sweep};
use crate::sys::tree::Held;
use crate::sys::{Entry, Means, Storage};

/// Takes back each step, newest first. What is gone already is no error, so it can be called again after a crash or a
/// failure.
///
/// *Guarantees.* Nothing behind a link is touched, nor the root of another container at the same place. A folder is removed with what is in it only when everything that was
/// done before is undone, so that nothing that is mounted in it is removed.
///
/// # Errors
/// [`Error::Undo`] with every step that failed; the others were done.
pub fn undo(storage: &dyn Storage, undo: &[Undo]) -> Result<(), Error> {
    let mut failures: Vec<String> = Vec::new();
    for step in undo.iter().rev() {
        if is_anothers(step, undo) {
            continue;
        }
        if let Err(error) = one(storage, step, failures.is_empty()) {
            failures.push(format!("{}: {error}", words(step)));
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    let of = undo.len();
    Err(Error::Undo { of, failures })
}

/// Whether a root that is to be taken away is that of another container: its place was to be claimed first, and another did.
fn is_anothers(step: &Undo, all: &[Undo]) -> bool {
    let Undo::Detach { target, .. } = step else {
        return false;
    };
    let mark = sweep::mark(Path::new(target));
    all.iter().any(|claim| {
        let Undo::Unmark { path, id } = claim else {
            return false;
        };
        Path::new(path) == mark && !sweep::is_of(&mark, id)
    })
}

fn one(storage: &dyn Storage, step: &Undo, is_clean: bool) -> io::Result<()> {
    match step {
        Undo::Detach { means, target } => detach(storage, *means, Path::new(target)),
        Undo::RemoveTree { path } => remove_tree(storage, Path::new(path), is_clean),
        Undo::RemoveIfEmpty { path } => remove_if_empty(storage, Path::new(path)),
        // It tells whose the place is until nothing of it is left there.
        Undo::Unmark { .. } if !is_clean => Err(io::Error::other(
            "kept, since what it marks may still be there",
        )),
        Undo::Unmark { path, id } => unmark(Path::new(path), id),
        Undo::Inside { root, path, change } => inside(storage, root, path, *change),
    }
}

/// Takes an attachment back. A folder or a file where a link was made is somebody's, or was there before. What the bind
/// filter lets one job see ends with that job, and what it hid from the job stays.
fn detach(storage: &dyn Storage, means: Means, target: &Path) -> io::Result<()> {
    if means != Means::BindMount && storage.entry(target)? != Some(Entry::Link) {
        return Ok(());
    }
    storage.detach(means, target)
}

/// What a step is, for a message.
fn words(step: &Undo) -> String {
    match step {
        Undo::Detach { means, target } => format!("detach {target} ({means:?})"),
        Undo::RemoveTree { path } => format!("remove the tree {path}"),
        Undo::RemoveIfEmpty { path } => format!("remove the empty folder {path}"),
        Undo::Unmark { path, .. } => format!("remove the mark {path}"),
        Undo::Inside { root, path, change } => {
            format!("{change:?} at {} in {root}", path.join("/"))
        }
    }
}

fn remove_tree(storage: &dyn Storage, path: &Path, is_clean: bool) -> io::Result<()> {
    match storage.entry(path)? {
        None => Ok(()),
        Some(Entry::Folder) if is_clean => gone(fs::remove_dir_all(path)),
        Some(Entry::Folder) => Err(io::Error::other(
            "kept, since something may still be mounted in it",
        )),
        Some(Entry::File | Entry::Link) => Err(ErrorKind::NotADirectory.into()),
    }
}

fn remove_if_empty(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    // Windows removes a link to a folder as if it were one.
    if storage.entry(path)? != Some(Entry::Folder) {
        return Ok(());
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => gone(removed),
    }
}

fn unmark(path: &Path, id: &Id) -> io::Result<()> {
    if sweep::is_of(path, id) {
        gone(fs::remove_file(path))
    } else {
        Ok(())
    }
}

/// Undoes a change inside a root. Where a link or nothing stands on the way, what was made is not there any more.
fn inside(storage: &dyn Storage, root: &str, path: &[String], change: Change) -> io::Result<()> {
    let Some((name, above)) = path.split_last() else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let mut held = match Held::open(Path::new(root)) {
        Err(error) if is_elsewhere(&error) => return Ok(()),
        held => held?,
    };
    for name in above {
        held = match held.child(name) {
            Err(error) if is_elsewhere(&error) => return Ok(()),
            held => held?,
        };
    }
    let target = held.path().join(name);
    match change {
        Change::Attached(means) => detach(storage, means, &target),
        Change::MadeFolder => remove_if_empty(storage, &target),
        Change::RemovedFolder => match fs::create_dir(&target) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made,
        },
    }
}

fn is_elsewhere(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
