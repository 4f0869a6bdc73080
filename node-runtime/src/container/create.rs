//! Makes a container step by step, each written down before it is done, and removes it again.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::events::Hub;
use super::inner::{Inner, Life};
use super::process::{Entry, release};
use super::recover::boot_id;
use super::stdio::Prepared;
use super::{Error, Options, stop};
use crate::id::Id;
use crate::launch::Plan;
use crate::limits::Limits;
use crate::record::{self, Exit, Folder, Phase, Record, Store};
use crate::state::{EventKind, Request, State};
use crate::storage::{self, Placed};
use crate::sys::{Host, Job};

/// How long the name of a job may stay taken after everything in it ended.
const LEFTOVER: Duration = Duration::from_secs(3);

/// How often is looked whether it is free.
const BREATH: Duration = Duration::from_millis(5);

/// The name of the job of a container with this name on the host.
pub(super) fn job_name(id: &Id) -> String {
    format!("hosttask-{id}")
}

/// Makes a container.
pub(super) fn create(host: Arc<dyn Host>, options: Options) -> Result<Arc<Inner>, Error> {
    let mut record = first_record(host.as_ref(), &options)?;
    let folder = options.store.create(&options.id)?;
    let making = Making {
        host: &host,
        folder: &folder,
        store: &options.store,
        plan: &options.plan,
        bundle: &options.bundle,
        pod: options.pod.as_deref(),
    };
    let made = making
        .prepare(options.stdio)
        .and_then(|prepared| Ok((prepared, making.make(&mut record)?)));
    match made {
        Ok((prepared, (job, placed))) => {
            let now = record.created;
            let process = options.plan.process.clone();
            let mut hub = Hub::default();
            hub.tell(now, EventKind::Created);
            let life = Life {
                state: State::created(),
                record,
                record_error: None,
                limits: options.plan.limits.clone(),
                hub,
                init: Entry::new(process, prepared, now),
                added: BTreeMap::new(),
                not_asked: Vec::new(),
            };
            Ok(Arc::new(Inner {
                host,
                id: options.id,
                plan: options.plan,
                placed,
                store: options.store,
                folder: Mutex::new(Some(folder)),
                job: Mutex::new(Some(job)),
                identity: Mutex::new(None),
                life: Mutex::new(life),
                changed: Condvar::new(),
            }))
        }
        Err(error) => {
            unmake(host.as_ref(), &options.store, &record);
            Err(error)
        }
    }
}

fn first_record(host: &dyn Host, options: &Options) -> Result<Record, Error> {
    let boot_id = boot_id(host)?;
    Ok(Record {
        id: options.id.clone(),
        bundle: options.bundle.to_string_lossy().into_owned(),
        created: host.now(),
        boot_id,
        job: job_name(&options.store.host_name(&options.id)),
        phase: Phase::Creating,
        keeper: options.keeper,
        address: options.address.clone(),
        init: None,
        exit: None,
        undo: Vec::new(),
        annotations: options.plan.annotations.clone(),
    })
}

/// Whether a job could not be made because the one of a dead container is still being taken apart by the system: nothing runs
/// in it. The name itself is ours, as the record is.
fn is_leftover(host: &dyn Host, name: &str, error: &io::Error) -> bool {
    let is_empty = |job: Arc<dyn Job>| job.processes().is_ok_and(|found| found.is_empty());
    error.kind() == io::ErrorKind::AlreadyExists && host.open_job(name).map_or(true, is_empty)
}

/// Makes the job of a container, inside that of its pod where it has one.
fn make_job(
    host: &dyn Host,
    pod: Option<&dyn Job>,
    name: &str,
    id: &Id,
) -> Result<Arc<dyn Job>, Error> {
    let deadline = Instant::now() + LEFTOVER;
    let made = loop {
        let made = match pod {
            Some(pod) => pod.nest(name),
            None => host.create_job(name),
        };
        match made {
            Err(error) if is_leftover(host, name, &error) && Instant::now() < deadline => {
                thread::sleep(BREATH);
            }
            made => break made,
        }
    };
    made.map_err(|source| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            return Error::NameTaken(id.clone());
        }
        let name = name.to_owned();
        Error::CreateJob { name, source }
    })
}

/// Makes the job of a pod, for [`Options::pod`] of its containers. The pod itself has no process and no record.
///
/// # Errors
/// [`super::Kind::AlreadyExists`] where a job of that name lives and has processes.
pub fn pod_job(host: &dyn Host, store: &Store, id: &Id) -> Result<Arc<dyn Job>, Error> {
    make_job(host, None, &job_name(&store.host_name(id)), id)
}

/// What a container is made with.
struct Making<'a> {
    host: &'a Arc<dyn Host>,
    folder: &'a Folder,
    store: &'a Store,
    plan: &'a Plan,
    bundle: &'a Path,
    pod: Option<&'a dyn Job>,
}

impl Making<'_> {
    fn prepare(&self, stdio: super::Stdio) -> Result<Prepared, Error> {
        Prepared::new(self.host, stdio, self.plan.process.console.is_some())
    }

    fn make(&self, record: &mut Record) -> Result<(Arc<dyn Job>, Placed), Error> {
        // A creator that dies before this leaves a folder that nobody knows, and a name that is taken until a sweep.
        self.folder.write(record)?;
        let job = self.job(record)?;
        if self.plan.limits != Limits::default() {
            let set = job.set_limits(&self.plan.limits);
            set.map_err(Error::host("set the limits of the container"))?;
        }
        let placed = self.place(record, job.as_ref())?;
        record.phase = Phase::Created;
        // What a loss of power takes back with it is not needed: what was done for it is written down, and is undone.
        self.folder.add(record)?;
        Ok((job, placed))
    }

    fn job(&self, record: &Record) -> Result<Arc<dyn Job>, Error> {
        make_job(self.host.as_ref(), self.pod, &record.job, &record.id)
    }

    fn place(&self, record: &mut Record, job: &dyn Job) -> Result<Placed, Error> {
        let id = record.id.clone();
        let request = storage::Request {
            id: &self.store.host_name(&id),
            root: &self.plan.root,
            mounts: &self.plan.mounts,
            bundle: self.bundle,
            scratch: &self.store.path(&id),
            job,
            places: &self.host.places(),
        };
        let mut note = |undo| {
            record.undo.extend(undo);
            self.folder.write(record).map_err(io::Error::other)
        };
        Ok(storage::place(self.host.storage(), &request, &mut note)?)
    }
}

/// Removes what was made of a container that could not be made. Its job is gone already.
fn unmake(host: &dyn Host, store: &Store, record: &Record) {
    if storage::undo(host.storage(), &record.undo).is_ok() {
        // What cannot be removed is found by the next sweep, as is everything else that is written down.
        let _left_for_the_sweep = store.remove(&record.id);
    }
}

/// Removes a container that has stopped, or was not started.
pub(super) fn delete(inner: &Inner) -> Result<Exit, Error> {
    stop::once_started(inner, &Request::Delete)?;
    let cleaned = clean_up(inner);
    let mut life = inner.lock();
    let request = match cleaned {
        Ok(()) => Request::CleanedUp,
        Err(_) => Request::NotCleanedUp,
    };
    inner.apply_to(&mut life, request)?;
    cleaned?;
    life.exit(None)?.ok_or_else(Error::deleted)
}

/// Newest first: who was logged on, what was placed, the job, the record.
fn clean_up(inner: &Inner) -> Result<(), Error> {
    let (handles, undo) = {
        let mut life = inner.lock();
        let handles = release(&mut life, None);
        life.added.clear();
        (handles, life.record.undo.clone())
    };
    drop(handles);
    let identity = inner.identity.lock();
    drop(identity.unwrap_or_else(PoisonError::into_inner).take());
    storage::undo(inner.host.storage(), &undo)?;
    let job = inner.job.lock();
    drop(job.unwrap_or_else(PoisonError::into_inner).take());
    match inner.store.remove(&inner.id) {
        Ok(()) | Err(record::Error::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // Let go of the name, too: the next container may have it.
    let folder = inner.folder.lock();
    drop(folder.unwrap_or_else(PoisonError::into_inner).take());
    Ok(())
}
