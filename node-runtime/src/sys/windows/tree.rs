//! Folders that are held while something is done in them, and the files of a tree, on Windows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::windows::fs::{MetadataExt, OpenOptionsExt, symlink_dir, symlink_file};
use std::path::{Path, PathBuf};

use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_ARCHIVE, FILE_ATTRIBUTE_HIDDEN, FILE_ATTRIBUTE_NOT_CONTENT_INDEXED,
    FILE_ATTRIBUTE_REPARSE_POINT, FILE_ATTRIBUTE_SYSTEM, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_FLAG_OPEN_REPARSE_POINT, FILE_LIST_DIRECTORY, FILE_SHARE_READ, FILE_SHARE_WRITE,
};

use super::Attributes;

/// The attributes of a file in an image that are given to the file on the disk. Read-only is not one of them: it would keep
/// the next layer and the removal from their work.
const KEPT: u32 = FILE_ATTRIBUTE_HIDDEN
    | FILE_ATTRIBUTE_SYSTEM
    | FILE_ATTRIBUTE_ARCHIVE
    | FILE_ATTRIBUTE_NOT_CONTENT_INDEXED;

/// A folder that nobody can rename or remove, and none above it, because it is open and its deletion is not shared.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    _handle: File,
}

impl Held {
    /// Holds a folder. A link in the last place of the path is not followed.
    ///
    /// # Errors
    /// `NotADirectory` where a link or a file is, `NotFound` where nothing is.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let handle = OpenOptions::new()
            .access_mode(FILE_LIST_DIRECTORY)
            .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
            .open(folder)?;
        let found = handle.metadata()?;
        if !found.is_dir() || found.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
            return Err(ErrorKind::NotADirectory.into());
        }
        let path = folder.to_path_buf();
        Ok(Self {
            path,
            _handle: handle,
        })
    }

    /// Holds the folder of that name in it. A link is not followed.
    ///
    /// # Errors
    /// As [`Held::open`].
    pub fn child(&self, name: &str) -> io::Result<Self> {
        Self::open(&self.path.join(name))
    }

    /// A path that leads to this folder while it is held.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a file or a folder has its content from a driver of the system, of container layers or of an image file: whoever
/// copies it has not got what it stands for. Links are none.
pub fn is_placeholder(found: &fs::Metadata) -> bool {
    found.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 && !found.is_symlink()
}

/// Makes a file that did not exist, with those attributes of the image that the file system takes at its creation.
///
/// # Errors
/// `AlreadyExists` where anything is, a link too.
pub fn create_file(path: &Path, attributes: Attributes) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .attributes(attributes.windows & KEPT)
        .open(path)
}

/// Makes a symbolic link with this text as its target.
///
/// # Errors
/// `AlreadyExists` where anything is; `Unsupported` on a Wine that says it made one and made none.
pub fn create_link(text: &str, path: &Path, is_folder: bool) -> io::Result<()> {
    let text = text.replace('/', "\\");
    if is_folder {
        symlink_dir(text, path)?;
    } else {
        symlink_file(text, path)?;
    }
    fs::symlink_metadata(path).map_err(|_| ErrorKind::Unsupported)?;
    Ok(())
}
