//! `storage::sweep`: finds the roots that a crash left, by the marks beside them.
//!
//! Records tell what has to be undone. This is for records that were lost. A mark is a file beside the place of a root,
//! with the container's name and the means. Its name has a `~`, which no container's has.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::storage::error::Error;
use crate::storage::host::{failed, make_folder};
use crate::sys::{Entry, Means, Places, Storage};

/// How the name of a mark ends.
const ENDING: &str = "~hosttask";

/// The most bytes of a mark.
const LARGEST: u64 = 1024;

/// How often a mark is tried whose folder another container removes.
const ATTEMPTS: usize = 8;

/// Whose place it is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    id: Id,
    means: Means,
}

/// Where the mark of a place is.
pub(crate) fn mark(place: &Path) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(ENDING);
    PathBuf::from(name)
}

/// Claims a place. One that is claimed already by this container is claimed anew.
///
/// Fails with [`Error::Taken`] where another container has it.
pub(crate) fn write_mark(mark: &Path, id: &Id, means: Means) -> Result<(), Error> {
    let content = Mark {
        id: id.clone(),
        means,
    };
    let content = serde_json::to_vec(&content)
        .map_err(std::io::Error::from)
        .map_err(failed("write", mark))?;
    for _ in 0..ATTEMPTS {
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).open(mark) {
            Ok(mut file) => {
                return file.write_all(&content).map_err(|error| {
                    // Half a mark is nobody's. A sweep removes it if this cannot.
                    let _left_for_the_sweep = fs::remove_file(mark);
                    failed("write", mark)(error)
                });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                mark.parent().map_or(Ok(()), make_folder)?;
            }
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(failed("make", mark)(error));
            }
            Err(_) if !is_of(mark, id) => {
                return Err(Error::Taken {
                    path: mark.to_path_buf(),
                });
            }
            Err(_) => fs::remove_file(mark).map_err(failed("replace", mark))?,
        }
    }
    Err(Error::Taken {
        path: mark.to_path_buf(),
    })
}

/// Whether a mark says that a place is this container's.
pub(crate) fn is_of(mark: &Path, id: &Id) -> bool {
    read(mark).is_some_and(|found| found.id == *id)
}

/// What a mark says; none where it is no mark. Anybody may have put anything there.
fn read(mark: &Path) -> Option<Mark> {
    if !fs::symlink_metadata(mark).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    let file = File::open(mark).ok()?;
    file.take(LARGEST).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Removes the roots in [`Places::container_root`] that are marked as those of containers that `lives` does not know.
///
/// Only what stands beside its own mark and is a link or a mount is removed: nothing that has its own files. Returns the names
/// of the containers. What cannot be removed stays for the next time, and is the error when all others are done.
pub fn sweep(
    storage: &dyn Storage,
    places: &Places,
    lives: &dyn Fn(&Id) -> bool,
) -> Result<Vec<String>, Error> {
    let home = Path::new(&places.container_root);
    let entries = match fs::read_dir(home) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("list", home))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed("list", home))?.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(ENDING));
        names.extend(name.and_then(|name| Id::parse(name).ok()));
    }
    names.sort();
    let (mut removed, mut failure) = (Vec::new(), None);
    for id in names.into_iter().filter(|id| !lives(id)) {
        match sweep_one(storage, home, &id) {
            Ok(true) => removed.push(id.to_string()),
            Ok(false) => {}
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(removed), Err)
}

fn sweep_one(storage: &dyn Storage, home: &Path, id: &Id) -> Result<bool, Error> {
    let place = home.join(id.as_str());
    let path = mark(&place);
    // An empty mark is of a container that was being placed: nothing was attached yet.
    let is_empty = fs::symlink_metadata(&path).is_ok_and(|it| it.is_file() && it.len() == 0);
    let found = read(&path).filter(|mark| mark.id == *id);
    if found.is_none() && !is_empty {
        return Ok(false);
    }
    if let Some(found) = found {
        let entry = storage.entry(&place).map_err(failed("look at", &place))?;
        let is_mount = found.means == Means::BindMount && entry == Some(Entry::Folder);
        if entry == Some(Entry::Link) || is_mount {
            storage
                .detach(found.means, &place)
                .map_err(failed("remove", &place))?;
        }
    }
    fs::remove_file(&path).map_err(failed("remove", &path))?;
    Ok(true)
}
