//! `record::store`: one folder per container, made by one creator only, removed as a whole.
//!
//! ```text
//!   ROOT/containers/ID/record   what is known, replaced as a whole or added to
//!                      lock     locked by whoever writes
//!                      …        the container's own files
//!   ROOT/trash/ID.N             what is being removed
//!   ROOT/namespace              the namespace of containerd whose containers these are, if they are of one
//! ```
//!
//! A folder without a record is no container: its creation or its removal was cut short, and nothing was done to the host
//! for it, since what is done is written down first. Longer than other files: what keeps a creator, a remover and a sweep apart is
//! the order of their steps, and that is read side by side.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::id::Id;
use crate::record::add::add;
use crate::record::format::{self, Damage};
use crate::record::replace::{Disk as _, RealDisk, replace};
use crate::record::{Error, Record};
use crate::sys::{Entry, Storage};

/// The file with the record.
const RECORD: &str = "record";

/// The file that is locked.
const LOCK: &str = "lock";

/// How long a creation begins anew when sweeps take the empty folder away from it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits for one of them to be done.
const BREATH: Duration = Duration::from_millis(1);

/// The file that names the namespace.
const NAMESPACE: &str = "namespace";

/// The most names that are tried for one container in the trash.
const MOST_TRASH: usize = 10_000;

/// How often a lock that is taken is tried again. A program that is being started holds every lock of ours for a moment.
const LOCK_TRIES: u32 = 20;

/// A container with its record, or with what is wrong with it.
pub type Listed = (Id, Result<Record, Error>);

/// The records of a host, in a folder that only administrators reach.
#[derive(Debug)]
pub struct Store {
    containers: PathBuf,
    trash: PathBuf,
    namespace: Option<Id>,
    held: Mutex<BTreeMap<Id, Weak<Lock>>>,
}

/// The folder of a container that was just made. While it lives, no other process writes or removes it.
#[derive(Debug)]
pub struct Folder {
    id: Id,
    path: PathBuf,
    lock: Arc<Lock>,
}

/// The open lock file; none once the folder is removed. The mutex lets one thread write at a time, the lock one process.
#[derive(Debug)]
struct Lock(Mutex<Option<File>>);

impl Lock {
    fn file(&self) -> MutexGuard<'_, Option<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, for whoever writes a record of a container that must not be removed.
    fn held(&self, record: &Record) -> Result<MutexGuard<'_, Option<File>>, Error> {
        let file = self.file();
        if file.is_some() {
            return Ok(file);
        }
        Err(Error::NotFound {
            id: record.id.clone(),
        })
    }
}

impl Folder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the record: afterwards, and after a crash at any moment, the old or the new one is there.
    ///
    /// Fails with [`Error::Other`] for the record of another container, and with [`Error::NotFound`] once it was removed.
    pub fn write(&self, record: &Record) -> Result<(), Error> {
        self.check(record)?;
        write(&self.path, &self.lock, record)
    }

    /// Writes a record without waiting for the disk: it is the one that is read from now on, also after a crash of this process. A
    /// loss of power can take it back; what was there before is there then.
    ///
    /// Fails as [`Folder::write`].
    pub fn add(&self, record: &Record) -> Result<(), Error> {
        self.check(record)?;
        let bytes = format::encode(record)?;
        let held = self.lock.held(record)?;
        let added = add(&RealDisk, &self.path.join(RECORD), &self.id, &bytes);
        drop(held);
        match added {
            Ok(true) => Ok(()),
            // Somebody may read it for whom Windows keeps writers out for a moment: replacing waits for him.
            Ok(false) | Err(_) => write(&self.path, &self.lock, record),
        }
    }

    fn check(&self, record: &Record) -> Result<(), Error> {
        if record.id == self.id {
            return Ok(());
        }
        Err(Error::Other {
            id: self.id.clone(),
            other: record.id.clone(),
        })
    }
}

impl Store {
    /// Opens the records in a folder; makes and protects it first.
    ///
    /// Fails with [`Error::Link`] where `root` is a link: whoever made it could exchange what it leads to; with
    /// [`Error::NoFolder`] where it is a file, or below one.
    pub fn open(root: &Path, storage: &dyn Storage) -> Result<Self, Error> {
        make_protected(root, storage)?;
        let folder = |name| {
            let path = root.join(name);
            fs::create_dir_all(&path).map_err(failed("make the folder", &path))?;
            Ok(path)
        };
        Ok(Self {
            containers: folder("containers")?,
            trash: folder("trash")?,
            namespace: read_namespace(root)?,
            held: Mutex::default(),
        })
    }

    /// Opens the records in a folder; none where there are none. Makes nothing.
    ///
    /// Fails as [`Store::open`].
    pub fn open_existing(root: &Path, storage: &dyn Storage) -> Result<Option<Self>, Error> {
        if is_there(&root.join("containers")) {
            return Self::open(root, storage).map(Some);
        }
        // Below a file Windows finds nothing, where Linux says that it is no folder.
        in_the_way(root).map_or(Ok(None), |path| Err(Error::NoFolder { path }))
    }

    /// Opens the records of a namespace of containerd, in a folder of that name below `root`, which is protected too.
    ///
    /// Fails as [`Store::open`].
    pub fn open_namespace(
        root: &Path,
        namespace: &Id,
        storage: &dyn Storage,
    ) -> Result<Self, Error> {
        make_protected(root, storage)?;
        let root = root.join(namespace.as_str());
        let store = Self::open(&root, storage)?;
        if store.namespace.is_none() {
            mark(&root, namespace).map_err(failed("write", &root.join(NAMESPACE)))?;
        }
        Ok(Self {
            namespace: Some(namespace.clone()),
            ..store
        })
    }

    /// Opens the records of every namespace of containerd below `root`; none where there is no such folder.
    ///
    /// Fails as [`Store::open`].
    pub fn open_namespaces(root: &Path, storage: &dyn Storage) -> Result<Vec<Self>, Error> {
        let entries = match fs::read_dir(root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed("read", root))?,
        };
        let opened = entries.map(|entry| {
            let entry = entry.map_err(failed("read", root))?;
            Self::open(&entry.path(), storage)
        });
        opened.collect()
    }

    /// The name of a container on the whole host: that of its job, its root and its account.
    pub fn host_name(&self, id: &Id) -> Id {
        match &self.namespace {
            Some(namespace) => id.within(namespace),
            None => id.clone(),
        }
    }

    /// The folder of a container, for its own files. All of it is removed with the record.
    pub fn path(&self, id: &Id) -> PathBuf {
        self.containers.join(id.as_str())
    }

    /// Makes the folder of a container. It is no container before its first record is written.
    ///
    /// Fails with [`Error::AlreadyExists`] for the second of two, however close they are.
    pub fn create(&self, id: &Id) -> Result<Folder, Error> {
        let path = self.path(id);
        let deadline = Instant::now() + PATIENCE;
        let mut was_ours = false;
        while Instant::now() < deadline {
            match fs::create_dir(&path) {
                // What we made and a sweep takes away now is nobody else's yet.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if !was_ours || is_there(&path.join(RECORD)) {
                        return Err(Error::AlreadyExists { id: id.clone() });
                    }
                    thread::sleep(BREATH);
                    continue;
                }
                made => made.map_err(failed("make the folder", &path))?,
            }
            was_ours = true;
            // A sweep of another process may take the empty folder for a leftover until it is locked.
            match self.lock(id) {
                Ok(lock) if is_there(&path.join(LOCK)) => {
                    let id = id.clone();
                    return Ok(Folder { id, path, lock });
                }
                Ok(_) | Err(Error::NotFound { .. } | Error::Busy { .. }) => {}
                Err(error) => {
                    // The folder is empty or nearly so; a sweep finds it if it cannot be removed now.
                    let _left_for_the_sweep = fs::remove_dir_all(&path);
                    return Err(error);
                }
            }
        }
        Err(Error::Busy { id: id.clone() })
    }

    /// Reads a record. Any bytes may stand there.
    ///
    /// Fails with [`Error::NotFound`], [`Error::Damaged`] and [`Error::Newer`].
    pub fn read(&self, id: &Id) -> Result<Record, Error> {
        let path = self.existing(id)?.join(RECORD);
        let found = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::NotFound { id: id.clone() });
            }
            found => found.map_err(failed("look at", &path))?,
        };
        if !found.is_file() {
            return Err(Error::Damaged {
                id: id.clone(),
                why: Damage::NoFile,
            });
        }
        let bytes = read_file(&path).map_err(failed("read", &path))?;
        format::decode(id, &bytes)
    }

    /// Replaces the record of a container whose folder exists, as [`Folder::write`] does.
    ///
    /// Fails with [`Error::Busy`] while another process holds the [`Folder`].
    pub fn write(&self, record: &Record) -> Result<(), Error> {
        let path = self.existing(&record.id)?;
        let lock = self.lock(&record.id)?;
        write(&path, &lock, record)
    }

    /// Every container, in order of the ids, with its record or what is wrong with it.
    ///
    /// Folders without a record are left out, and whatever is named unlike a container.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let ids = names(&self.containers)?;
        let ids = ids.iter().filter_map(|name| Id::parse(name).ok());
        let read = ids.map(|id| (id.clone(), self.read(&id)));
        Ok(read
            .filter(|(_, read)| !matches!(read, Err(Error::NotFound { .. })))
            .collect())
    }

    /// Removes a container's folder and all in it, a damaged record too. What is bound into it has to be undone before.
    ///
    /// A crash at any moment leaves the container, or something that [`Store::sweep`] removes.
    /// Fails with [`Error::NotFound`] where it does not exist and [`Error::Busy`] while another process holds it.
    pub fn remove(&self, id: &Id) -> Result<(), Error> {
        let path = self.existing(id)?;
        let lock = self.lock(id)?;
        self.discard(id, &path, &lock)
    }

    /// Finishes removals that a crash cut short, and removes what is left of creations. Returns the names of what it removed.
    pub fn sweep(&self) -> Result<Vec<String>, Error> {
        let mut removed = names(&self.trash)?;
        for name in &removed {
            remove_all(&self.trash.join(name))?;
        }
        for id in names(&self.containers)?
            .iter()
            .filter_map(|name| Id::parse(name).ok())
        {
            let path = self.path(&id);
            if is_there(&path.join(RECORD)) {
                continue;
            }
            // Its creator holds the lock from before the first record on.
            match self.lock_unheld(&id) {
                Ok(lock) if !is_there(&path.join(RECORD)) => {
                    self.discard(&id, &path, &lock)?;
                    removed.push(id.to_string());
                }
                Ok(_) | Err(Error::Busy { .. } | Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// The folder of a container that exists under exactly this name: Windows finds `Web` as `web` too.
    fn existing(&self, id: &Id) -> Result<PathBuf, Error> {
        let path = self.path(id);
        let not_found = || Error::NotFound { id: id.clone() };
        match fs::canonicalize(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(not_found()),
            Err(error) => Err(failed("look at", &path)(error)),
            Ok(real) if real.file_name() == Some(OsStr::new(id.as_str())) => Ok(path),
            Ok(_) => Err(not_found()),
        }
    }

    /// The lock of a container, also where this process holds it already.
    fn lock(&self, id: &Id) -> Result<Arc<Lock>, Error> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = held.get(id).and_then(Weak::upgrade) {
            return Ok(lock);
        }
        self.take(id, &mut held)
    }

    /// The lock of a container that nobody holds.
    fn lock_unheld(&self, id: &Id) -> Result<Arc<Lock>, Error> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.take(id, &mut held)
    }

    fn take(&self, id: &Id, held: &mut BTreeMap<Id, Weak<Lock>>) -> Result<Arc<Lock>, Error> {
        let path = self.path(id).join(LOCK);
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).read(true).write(true);
        let file = match options.open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::NotFound { id: id.clone() });
            }
            opened => opened.map_err(failed("open", &path))?,
        };
        let mut tries = 1;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => thread::sleep(BREATH),
                Err(TryLockError::WouldBlock) => return Err(Error::Busy { id: id.clone() }),
                Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
            }
            tries += 1;
        }
        let lock = Arc::new(Lock(Mutex::new(Some(file))));
        held.insert(id.clone(), Arc::downgrade(&lock));
        Ok(lock)
    }

    /// Moves a folder away at once, then removes it.
    fn discard(&self, id: &Id, path: &Path, lock: &Lock) -> Result<(), Error> {
        let mut file = lock.file();
        let trash = self.free_trash(id);
        if fs::rename(path, &trash).is_ok() {
            *file = None;
            return remove_all(&trash);
        }
        // Windows renames no folder in which a file is open: first without ours, then in place, the record first, so
        // that what a crash leaves is no container.
        *file = None;
        if fs::rename(path, &trash).is_ok() {
            return remove_all(&trash);
        }
        let record = path.join(RECORD);
        gone(fs::remove_file(&record)).map_err(failed("remove", &record))?;
        remove_all(path)
    }

    fn free_trash(&self, id: &Id) -> PathBuf {
        let path = |number: usize| self.trash.join(format!("{id}.{number}"));
        // Where trash cannot be looked into every name seems taken: then the renaming says why.
        let free = (0..MOST_TRASH).map(path).find(|path| !is_there(path));
        free.unwrap_or_else(|| path(MOST_TRASH))
    }
}

/// Makes a folder that only administrators reach.
fn make_protected(root: &Path, storage: &dyn Storage) -> Result<(), Error> {
    fs::create_dir_all(root).map_err(|error| match in_the_way(root) {
        Some(path) => Error::NoFolder { path },
        None => failed("make the folder", root)(error),
    })?;
    let entry = storage
        .entry(root)
        .map_err(failed("look at the folder", root))?;
    if entry == Some(Entry::Link) {
        return Err(Error::Link {
            path: root.to_path_buf(),
        });
    }
    storage
        .protect(root)
        .map_err(failed("protect the folder", root))
}

/// The namespace whose records these are. A file that names none is no reason to lose them.
fn read_namespace(root: &Path) -> Result<Option<Id>, Error> {
    let path = root.join(NAMESPACE);
    match fs::read_to_string(&path) {
        Ok(name) => Ok(Id::parse(&name).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

/// Writes down whose records these are. The shims of a new namespace's first pods all do so at once, each by way of a file of
/// its own: they write the same, and the last one stays.
fn mark(root: &Path, namespace: &Id) -> io::Result<()> {
    static MARKS: AtomicU64 = AtomicU64::new(0);
    let number = MARKS.fetch_add(1, Ordering::Relaxed);
    let own = root.join(format!("{NAMESPACE}.{}.{number}", std::process::id()));
    let written = RealDisk.store(&own, namespace.as_str().as_bytes());
    let renamed = written.and_then(|()| RealDisk.rename(&own, &root.join(NAMESPACE)));
    if renamed.is_err() {
        // The reason why it could not be written is the one to tell.
        drop(RealDisk.remove(&own));
    }
    renamed?;
    RealDisk.flush_names(root)
}

/// The bytes of the file of a record; of one that is too large so many that it is seen.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let most = u64::try_from(format::LARGEST).unwrap_or(u64::MAX) + 1;
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write(path: &Path, lock: &Lock, record: &Record) -> Result<(), Error> {
    let bytes = format::with_room(format::encode(record)?);
    let _held = lock.held(record)?;
    replace(&RealDisk, path, RECORD, &bytes).map_err(failed("write the record in", path))
}

/// The names in a folder, in order. Those that are no text are nobody's.
fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = fs::read_dir(folder).map_err(failed("list", folder))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("list", folder))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn remove_all(path: &Path) -> Result<(), Error> {
    gone(fs::remove_dir_all(path)).map_err(failed("remove", path))
}

/// Whether anything is there. What cannot be looked at is.
fn is_there(path: &Path) -> bool {
    !matches!(fs::symlink_metadata(path), Err(error) if error.kind() == ErrorKind::NotFound)
}

/// What is gone already need not be removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// What is there of a path that is no folder.
fn in_the_way(path: &Path) -> Option<PathBuf> {
    let found = path.ancestors().find(|it| it.exists())?;
    (!found.is_dir()).then(|| found.to_path_buf())
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + 'a {
    move |source| Error::Io {
        action,
        path: path.to_path_buf(),
        source,
    }
}
