//! A storage for tests that makes real symbolic links, and fails when it is told to.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use hosttask_node_runtime::sys::{Attachment, Entry, Means, Storage};

/// Knows symbolic links, and junctions that are symbolic links to folders only.
#[derive(Debug)]
pub(crate) struct Links {
    means: Vec<Means>,
    calls_left: AtomicUsize,
}

impl Links {
    /// Has these means; every call that changes something after the n-th fails.
    pub(crate) fn with(means: Vec<Means>, calls: usize) -> Self {
        let calls_left = AtomicUsize::new(calls);
        Self { means, calls_left }
    }

    fn step(&self) -> io::Result<()> {
        let order = Ordering::SeqCst;
        let less = |left: usize| left.checked_sub(1);
        match self.calls_left.fetch_update(order, order, less) {
            Ok(_) => Ok(()),
            Err(_) => Err(ErrorKind::StorageFull.into()),
        }
    }
}

/// Has both means and never fails.
impl Default for Links {
    fn default() -> Self {
        Self::with(vec![Means::Junction, Means::Symlink], usize::MAX)
    }
}

impl Storage for Links {
    fn means(&self) -> Vec<Means> {
        self.means.clone()
    }

    fn attach(&self, means: Means, attachment: &Attachment<'_>) -> io::Result<()> {
        self.step()?;
        let is_folder = fs::metadata(attachment.source)?.is_dir();
        let can = match means {
            Means::Symlink => true,
            Means::Junction => is_folder,
            Means::BindFilter | Means::BindMount | Means::VolumeMountPoint => false,
        };
        if attachment.read_only || !can {
            return Err(ErrorKind::Unsupported.into());
        }
        link(attachment.source, attachment.target, is_folder)?;
        // Wine 8 says that it made one and makes none.
        fs::symlink_metadata(attachment.target).map_err(|_| ErrorKind::Unsupported)?;
        Ok(())
    }

    fn detach(&self, _means: Means, target: &Path) -> io::Result<()> {
        self.step()?;
        match fs::symlink_metadata(target) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(found) if !found.is_symlink() => Err(ErrorKind::InvalidInput.into()),
            Ok(_) => fs::remove_file(target).or_else(|_| fs::remove_dir(target)),
        }
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        match fs::symlink_metadata(path) {
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
            Ok(found) if found.is_symlink() => Ok(Some(Entry::Link)),
            Ok(found) if found.is_dir() => Ok(Some(Entry::Folder)),
            Ok(_) => Ok(Some(Entry::File)),
        }
    }

    fn protect(&self, folder: &Path) -> io::Result<()> {
        fs::metadata(folder).map(drop)
    }

    fn share(&self, folder: &Path, _writable: bool) -> io::Result<()> {
        self.step()?;
        fs::metadata(folder).map(drop)
    }
}

// Symbolic links have one call per system in the standard library, and these tests run on both.
#[cfg(unix)]
fn link(source: &Path, target: &Path, _is_folder: bool) -> io::Result<()> {
    std::os::unix::fs::symlink(source, target)
}

#[cfg(windows)]
fn link(source: &Path, target: &Path, is_folder: bool) -> io::Result<()> {
    if is_folder {
        std::os::windows::fs::symlink_dir(source, target)
    } else {
        std::os::windows::fs::symlink_file(source, target)
    }
}
