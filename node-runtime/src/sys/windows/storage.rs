//! Ways to make a folder appear at another place: the bind filter, symbolic links, junctions, mount points of volumes.

use std::fs;
use std::io;
use std::os::windows::fs::{symlink_dir, symlink_file};
use std::path::Path;
use std::sync::OnceLock;
use std::{env, process};

use super::job::WindowsJob;
use super::library::unsupported;
use super::silo::Trials;
use super::{folder, reparse, volume};
use crate::sys::{Attachment, Entry, Means, Storage};

/// The storage of this machine.
#[derive(Debug, Default)]
pub(super) struct WindowsStorage {
    means: OnceLock<Vec<Means>>,
    trials: Trials,
}

impl WindowsStorage {
    /// Why no job of this host has a view of its own; none where each can have one.
    pub(super) fn view_refused(&self) -> Option<String> {
        self.trials.ask(false).err().map(|why| why.to_string())
    }

    /// Binds for the job that is named.
    fn bind(&self, attachment: &Attachment<'_>) -> io::Result<()> {
        let job = attachment.job.ok_or(io::ErrorKind::InvalidInput)?;
        WindowsJob::of(job)?.bind(attachment, &self.trials)
    }
}

impl Storage for WindowsStorage {
    fn means(&self) -> Vec<Means> {
        let found = || {
            let bind = self.trials.ask(false).ok().map(|()| Means::BindFilter);
            bind.into_iter().chain(find_means()).collect()
        };
        self.means.get_or_init(found).clone()
    }

    fn attach(&self, means: Means, attachment: &Attachment<'_>) -> io::Result<()> {
        if means == Means::BindFilter {
            return self.bind(attachment);
        }
        if attachment.read_only {
            return Err(unsupported(
                "way to place this read-only without a bind filter",
            ));
        }
        let (source, target) = (attachment.source, attachment.target);
        if self.entry(target)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let is_folder = fs::metadata(source)?.is_dir();
        match (means, is_folder) {
            (Means::Symlink, true) => really(symlink_dir(source, target), target),
            (Means::Symlink, false) => really(symlink_file(source, target), target),
            (Means::Junction, true) => junction(source, target),
            (Means::VolumeMountPoint, true) => mount(source, target),
            (Means::Junction | Means::VolumeMountPoint, false) => Err(unsupported(
                "way to place a file by a junction or a mount point",
            )),
            (Means::BindFilter | Means::BindMount, _) => Err(unsupported("bind mount")),
        }
    }

    fn detach(&self, means: Means, target: &Path) -> io::Result<()> {
        // It goes with its job. What stands there is the host's, and was hidden from that job alone.
        if means == Means::BindFilter {
            return Ok(());
        }
        match self.entry(target)? {
            None => return Ok(()),
            Some(Entry::Link) => {}
            Some(Entry::File | Entry::Folder) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "what is to be detached is no link but holds something; look at it and remove it by hand",
                ));
            }
        }
        match means {
            Means::VolumeMountPoint => {
                volume::unmount(target).and_then(|()| fs::remove_dir(target))
            }
            Means::Symlink | Means::Junction => remove_link(target),
            Means::BindFilter | Means::BindMount => Err(unsupported("bind mount")),
        }
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        reparse::entry(path)
    }

    fn drive_of(&self, volume: &str) -> Option<String> {
        let places = volume::places_of(volume).ok()?;
        places.into_iter().find(|place| place.len() == r"C:\".len())
    }

    fn protect(&self, folder: &Path) -> io::Result<()> {
        folder::protect(folder)
    }

    fn share(&self, folder: &Path, writable: bool) -> io::Result<()> {
        folder::share(folder, writable)
    }
}

/// Looks whether a link is there now: Wine says so and makes none.
fn really(made: io::Result<()>, target: &Path) -> io::Result<()> {
    made?;
    match reparse::entry(target)? {
        Some(_) => Ok(()),
        None => Err(unsupported("symbolic link")),
    }
}

/// Removes a link of either kind. Both calls remove the link and never follow it.
fn remove_link(target: &Path) -> io::Result<()> {
    let removed = fs::remove_dir(target).or_else(|_| fs::remove_file(target));
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes a folder into a junction; where that fails, the folder goes.
fn junction(source: &Path, target: &Path) -> io::Result<()> {
    fs::create_dir(target)?;
    reparse::make_junction(source, target).inspect_err(|_| drop(fs::remove_dir(target)))
}

/// Makes a folder into a mount point; where that fails, the folder goes.
fn mount(source: &Path, target: &Path) -> io::Result<()> {
    fs::create_dir(target)?;
    volume::mount(source, target).inspect_err(|_| drop(fs::remove_dir(target)))
}

/// Tries them out in the folder for temporary files, best first.
fn find_means() -> Vec<Means> {
    let place = env::temp_dir().join(format!("hosttask-means-{}", process::id()));
    let works = |link: fn(&Path, &Path) -> io::Result<()>| {
        let (source, target) = (place.join("source"), place.join("target"));
        let works = fs::create_dir_all(&source)
            .and_then(|()| link(&source, &target))
            .is_ok();
        if works {
            drop(remove_link(&target));
        }
        works
    };
    let mut means = Vec::new();
    if volume::can_mount() {
        means.push(Means::VolumeMountPoint);
    }
    if works(junction) {
        means.push(Means::Junction);
    }
    if works(|source, target| really(symlink_dir(source, target), target)) {
        means.push(Means::Symlink);
    }
    // The source and its parent, and nothing that is not ours.
    drop(fs::remove_dir(place.join("source")));
    drop(fs::remove_dir(&place));
    means
}
