//! Folders that are held while something is done in them, and the files of a tree, on Linux.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::Attributes;

/// A folder that is reached by its handle, whatever its path leads to by now.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    handle: File,
}

impl Held {
    /// Holds a folder. A link in the last place of the path is not followed.
    ///
    /// # Errors
    /// `NotADirectory` where a link or a file is, `NotFound` where nothing is.
    pub fn open(folder: &Path) -> io::Result<Self> {
        Self::from_handle(openat(CWD, folder, flags(), Mode::empty())?.into())
    }

    /// Holds the folder of that name in it. A link is not followed.
    ///
    /// # Errors
    /// As [`Held::open`].
    pub fn child(&self, name: &str) -> io::Result<Self> {
        Self::from_handle(openat(&self.handle, name, flags(), Mode::empty())?.into())
    }

    fn from_handle(handle: File) -> io::Result<Self> {
        let path = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()));
        // Without /proc there is no such path, and nothing would be reached by it.
        fs::metadata(&path)?;
        Ok(Self { path, handle })
    }

    /// A path that leads to this folder while it is held.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn flags() -> OFlags {
    OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC
}

/// Whether a file or a folder has its content from a driver of the system. Linux has none of these.
pub fn is_placeholder(_found: &fs::Metadata) -> bool {
    false
}

/// Makes a file that did not exist, with the permission bits of `attributes`.
///
/// # Errors
/// `AlreadyExists` where anything is, a link too.
pub fn create_file(path: &Path, attributes: Attributes) -> io::Result<File> {
    let mode = attributes.mode & 0o777;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode).open(path)
}

/// Makes a symbolic link with this text as its target.
///
/// # Errors
/// `AlreadyExists` where anything is.
pub fn create_link(text: &str, path: &Path, _is_folder: bool) -> io::Result<()> {
    std::os::unix::fs::symlink(text, path)
}
