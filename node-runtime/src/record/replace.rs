//! `record::replace`: puts a file in the place of another so that a crash or a full disk leaves one of the two, whole.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::sys;

/// How long a rename is tried: Windows refuses one over a file that somebody has open, which a reader of a record, an indexer
/// or a virus scanner has for a moment.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long it rests between two tries.
const BREATH: Duration = Duration::from_millis(1);

/// What is done to the disk, step by step, so that a test can fail each.
pub(crate) trait Disk {
    /// Makes a file with these bytes, in the place of one that a crash left, and waits until they are on the disk.
    fn store(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Renames a file over another.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Waits until the names in a folder are on the disk.
    fn flush_names(&self, folder: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Writes bytes into a file, from so many of its bytes on, without waiting for the disk.
    fn write_into(&self, path: &Path, from: usize, bytes: &[u8]) -> io::Result<()>;
}

/// The disk of the host.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn store(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match fs::rename(from, to) {
                Err(error)
                    if error.kind() == ErrorKind::PermissionDenied && Instant::now() < deadline =>
                {
                    thread::sleep(BREATH);
                }
                result => return result,
            }
        }
    }

    fn flush_names(&self, folder: &Path) -> io::Result<()> {
        sys::flush_names(folder)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn write_into(&self, path: &Path, from: usize, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::options().write(true).open(path)?;
        let from = u64::try_from(from).map_err(io::Error::other)?;
        file.seek(SeekFrom::Start(from))?;
        file.write_all(bytes)
    }
}

/// Gives `folder/name` these bytes, by way of `folder/name.new`.
///
/// Whatever fails, `folder/name` has its old bytes or the new ones. One writer at a time.
pub(crate) fn replace(disk: &dyn Disk, folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let stored = disk.store(&new, bytes);
    let renamed = stored.and_then(|()| disk.rename(&new, &folder.join(name)));
    if renamed.is_err() {
        // A full disk gets its space back. The next writer replaces it anyway, so a failure here loses nothing.
        let _left_for_the_next = disk.remove(&new);
    }
    renamed?;
    disk.flush_names(folder)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Fails at the n-th step. A disk that crashed fails at every later one too.
    struct Failing {
        left: Cell<usize>,
        crashes: bool,
        part: usize,
    }

    impl Failing {
        fn step(&self) -> io::Result<()> {
            match self.left.get() {
                0 if self.crashes => Err(ErrorKind::Other.into()),
                0 => {
                    self.left.set(usize::MAX);
                    Err(ErrorKind::StorageFull.into())
                }
                left => {
                    self.left.set(left - 1);
                    Ok(())
                }
            }
        }
    }

    impl Disk for Failing {
        fn store(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            let part = &bytes[..self.part.min(bytes.len())];
            self.step()
                .inspect_err(|_| fs::write(path, part).unwrap())?;
            RealDisk.store(path, bytes)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.step()?;
            RealDisk.rename(from, to)
        }
        fn flush_names(&self, folder: &Path) -> io::Result<()> {
            self.step()?;
            RealDisk.flush_names(folder)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            self.step()?;
            RealDisk.remove(path)
        }
        fn write_into(&self, path: &Path, from: usize, bytes: &[u8]) -> io::Result<()> {
            self.step()?;
            RealDisk.write_into(path, from, bytes)
        }
    }

    #[test]
    fn whatever_step_fails_the_file_is_the_old_or_the_new_one() {
        for crashes in [false, true] {
            for (step, part) in (0..3).flat_map(|step| (0..4).map(move |part| (step, part))) {
                let folder = tempfile::tempdir().unwrap();
                replace(&RealDisk, folder.path(), "record", b"old").unwrap();
                let left = Cell::new(step);
                let disk = Failing {
                    left,
                    crashes,
                    part,
                };
                replace(&disk, folder.path(), "record", b"new").unwrap_err();
                let found = fs::read(folder.path().join("record")).unwrap();
                let expected: &[u8] = if step < 2 { b"old" } else { b"new" };
                assert_eq!(found, expected, "step {step}, crash {crashes}");
                let is_left = folder.path().join("record.new").exists();
                assert_eq!(is_left, crashes && step < 2, "step {step}");

                replace(&RealDisk, folder.path(), "record", b"again").unwrap();
                assert_eq!(fs::read(folder.path().join("record")).unwrap(), b"again");
                assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            }
        }
    }
}
