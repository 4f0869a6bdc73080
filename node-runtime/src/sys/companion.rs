//! `companion`: the program that a backend starts to do a part of its work in a process of its own.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this program does such duties itself, under whatever name it was installed.
static IS_COMPANION: AtomicBool = AtomicBool::new(false);

/// Says that this program does such duties itself when it is started for them.
pub(super) fn is_this() {
    IS_COMPANION.store(true, Ordering::Relaxed);
}

/// This program, if it said [`is_this`] or has one of the names, or else one that stands beside it or, for a test, one folder
/// up.
///
/// # Errors
/// `NotFound` with the words of `missing`.
pub(super) fn find(names: [&str; 2], missing: &'static str) -> io::Result<PathBuf> {
    let this = env::current_exe()?;
    if IS_COMPANION.load(Ordering::Relaxed) {
        return Ok(this);
    }
    let is_named = |path: &Path| {
        names
            .iter()
            .any(|name| path.file_name() == Some(name.as_ref()))
    };
    if is_named(&this) {
        return Ok(this);
    }
    let folders = this.ancestors().skip(1).take(2);
    let mut others = folders.flat_map(|folder| names.map(|name| folder.join(name)));
    let found = others.find(|path| path.is_file());
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, missing))
}
