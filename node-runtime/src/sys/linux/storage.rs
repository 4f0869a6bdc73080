//! Symbolic links.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::sys::{Attachment, Entry, Means, Storage, entry, symlink};

/// The storage of Linux.
#[derive(Debug)]
pub(super) struct LinuxStorage;

impl Storage for LinuxStorage {
    fn means(&self) -> Vec<Means> {
        vec![Means::Symlink]
    }

    fn attach(&self, means: Means, attachment: &Attachment<'_>) -> io::Result<()> {
        if means != Means::Symlink || attachment.read_only {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // A link that leads nowhere can be made, and is none of what was asked for.
        fs::metadata(attachment.source)?;
        symlink(attachment.source, attachment.target)
    }

    fn detach(&self, _means: Means, target: &Path) -> io::Result<()> {
        match entry(target)? {
            Some(Entry::Link) => fs::remove_file(target),
            Some(Entry::File | Entry::Folder) | None => Ok(()),
        }
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        entry(path)
    }

    fn protect(&self, folder: &Path) -> io::Result<()> {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
    }

    fn share(&self, folder: &Path, _writable: bool) -> io::Result<()> {
        // Every program runs as whoever we are, and that is the owner.
        fs::metadata(folder).map(drop)
    }
}
