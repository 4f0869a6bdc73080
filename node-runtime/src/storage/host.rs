//! `storage::host`: the host while a root is placed on it: each change is written down first, then made.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::storage::error::{Error, Tried};
use crate::storage::{Undo, place::Request};
use crate::sys::{Attachment, Entry, Means, Storage};

/// Writes down what is about to be done, by what undoes it: the steps that come next, in their order.
pub(crate) type Note<'a> = dyn FnMut(Vec<Undo>) -> io::Result<()> + 'a;

/// What the steps of a placement share.
pub(crate) struct Host<'a> {
    pub(crate) storage: &'a dyn Storage,
    pub(crate) request: &'a Request<'a>,
    note: &'a mut Note<'a>,
}

impl<'a> Host<'a> {
    pub(crate) fn new(
        storage: &'a dyn Storage,
        request: &'a Request<'a>,
        note: &'a mut Note<'a>,
    ) -> Self {
        Self {
            storage,
            request,
            note,
        }
    }

    /// Writes down what is about to be done. Where that fails it must not be done.
    pub(crate) fn note(&mut self, undo: Undo) -> Result<(), Error> {
        self.note_all(vec![undo])
    }

    /// Writes several steps down at once: each time costs a flush of the disk.
    pub(crate) fn note_all(&mut self, undo: Vec<Undo>) -> Result<(), Error> {
        (self.note)(undo).map_err(|source| Error::Note { source })
    }

    /// What stands at a path.
    pub(crate) fn entry(&self, path: &Path) -> Result<Option<Entry>, Error> {
        self.storage.entry(path).map_err(failed("look at", path))
    }

    /// Makes the folders above a place that do not exist yet.
    pub(crate) fn make_above(&mut self, target: &Path) -> Result<(), Error> {
        let missing = missing_above(target);
        if missing.is_empty() {
            return Ok(());
        }
        self.note_all(
            missing
                .iter()
                .map(|it| removal(it))
                .collect::<Result<_, _>>()?,
        )?;
        missing.iter().try_for_each(|folder| make_folder(folder))
    }

    /// Makes `attachment` by the first of `means` that does it. `undo` says how it is undone.
    ///
    /// Returns the means and those that did not do before it; none where none did.
    pub(crate) fn attach(
        &mut self,
        means: &[Means],
        attachment: &Attachment<'_>,
        undo: &dyn Fn(Means) -> Result<Undo, Error>,
        tried: &mut Vec<Tried>,
    ) -> Result<Option<Means>, Error> {
        for means in means {
            self.note(undo(*means)?)?;
            if self.attach_noted(*means, attachment, tried) {
                return Ok(Some(*means));
            }
        }
        Ok(None)
    }

    /// Makes `attachment`, which was written down, by one means. Returns whether it does it.
    pub(crate) fn attach_noted(
        &self,
        means: Means,
        attachment: &Attachment<'_>,
        tried: &mut Vec<Tried>,
    ) -> bool {
        let attached = self.storage.attach(means, attachment);
        // A system may say that it did and have done nothing, as Wine 8 does.
        let seen = attached.and_then(|()| match self.storage.entry(attachment.target)? {
            None if means != Means::BindFilter => Err(ErrorKind::Unsupported.into()),
            _ => Ok(()),
        });
        if let Err(error) = seen {
            let why = error.to_string();
            tried.push(Tried { means, why });
            return false;
        }
        true
    }
}

/// The folders above a place that do not exist yet, the outermost first.
pub(crate) fn missing_above(target: &Path) -> Vec<PathBuf> {
    let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let above = target.ancestors().skip(1).take_while(missing);
    let mut above: Vec<PathBuf> = above.map(Path::to_path_buf).collect();
    above.reverse();
    above
}

/// What removes a folder that is made.
pub(crate) fn removal(folder: &Path) -> Result<Undo, Error> {
    let path = text(folder)?;
    Ok(Undo::RemoveIfEmpty { path })
}

/// Makes a folder. One that exists is as good.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Error> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(failed("make the folder", folder)),
    }
}

/// A path as it is written down.
pub(crate) fn text(path: &Path) -> Result<String, Error> {
    let text = path.to_str().map(str::to_owned);
    let refused = || io::Error::new(ErrorKind::InvalidInput, "it is not UTF-8");
    text.ok_or_else(|| failed("write down the path", path)(refused()))
}

pub(crate) fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io {
        action,
        path: path.to_path_buf(),
        source,
    }
}
