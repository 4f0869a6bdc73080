//! The storage of the fake host: symbolic links on the disk, or a list only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::faults::Operation;
use super::job::FakeJob;
use super::state::Shared;
use crate::sys::{Attachment, Entry, Means, Storage, entry, symlink};

/// Makes links.
#[derive(Debug, Clone)]
pub(super) struct FakeStorage {
    shared: Arc<Shared>,
    means: Vec<Means>,
    is_real: bool,
}

impl FakeStorage {
    /// A storage that makes symbolic links.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            means: vec![Means::Symlink],
            is_real: true,
        }
    }

    /// Changes the means it has. Links of the disk stand for those that are none.
    pub(super) fn set_means(&mut self, means: Vec<Means>) {
        self.means = means;
    }

    /// Nothing appears on the disk.
    pub(super) fn record_only(&mut self) {
        self.is_real = false;
    }
}

impl Storage for FakeStorage {
    fn means(&self) -> Vec<Means> {
        self.means.clone()
    }

    fn attach(&self, means: Means, attachment: &Attachment<'_>) -> io::Result<()> {
        self.shared.lock().faults.check(Operation::Attach)?;
        let Attachment { source, target, .. } = *attachment;
        let source_entry = entry(source)?.ok_or(io::ErrorKind::NotFound)?;
        let can_files = matches!(means, Means::BindFilter | Means::BindMount | Means::Symlink);
        let can_read_only = matches!(means, Means::BindFilter | Means::BindMount);
        let is_possible = self.means.contains(&means)
            && (can_files || source_entry == Entry::Folder)
            && (can_read_only || !attachment.read_only);
        if !is_possible {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if means == Means::BindFilter {
            let job = attachment.job.ok_or(io::ErrorKind::InvalidInput)?;
            let job: Option<&FakeJob> = job.as_any().downcast_ref();
            return job.ok_or(io::ErrorKind::InvalidInput)?.bind(attachment);
        }
        if self.entry(target)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if self.is_real {
            symlink(source, target)?;
        }
        let mut state = self.shared.lock();
        state
            .attached
            .insert(key(target), (means, source.to_owned()));
        Ok(())
    }

    fn detach(&self, means: Means, target: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.faults.check(Operation::Detach)?;
        // It goes with its job.
        if means == Means::BindFilter {
            return Ok(());
        }
        state.attached.remove(&key(target));
        drop(state);
        if !self.is_real || entry(target)? != Some(Entry::Link) {
            return Ok(());
        }
        // A link to a folder is removed as a folder on Windows, and as a file elsewhere.
        fs::remove_file(target).or_else(|_| fs::remove_dir(target))
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        if self.shared.lock().attached.contains_key(&key(path)) {
            return Ok(Some(Entry::Link));
        }
        entry(path)
    }

    fn protect(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.faults.check(Operation::Protect)?;
        if self.is_real && entry(folder)? != Some(Entry::Folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.protected.push(folder.to_owned());
        Ok(())
    }

    fn share(&self, folder: &Path, writable: bool) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.faults.check(Operation::Share)?;
        if self.is_real && entry(folder)? != Some(Entry::Folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.shared.push((folder.to_owned(), writable));
        Ok(())
    }
}

/// One path for one place: a held folder is reached by another path each time.
fn key(path: &Path) -> PathBuf {
    let parent = path
        .parent()
        .and_then(|parent| fs::canonicalize(parent).ok());
    match (parent, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}
