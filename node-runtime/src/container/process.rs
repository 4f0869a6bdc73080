//! Starts processes: the first one, and those that are added later. Both are born in the job.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::inner::{Inner, Life};
use super::relay::{Relays, Story};
use super::stdio::{Prepared, Stdio};
use super::{Error, watch};
use crate::id::Id;
use crate::launch::{self, ProcessPlan, Surroundings};
use crate::record::Exit;
use crate::state::{Added, KILLED, Refused, Request, Signal};
use crate::sys::{Identity, Launch, Process, ProcessId, User};

/// The first process or an added one, before, while and after it runs.
#[derive(Debug)]
pub(super) struct Entry {
    plan: Arc<ProcessPlan>,
    prepared: Arc<Mutex<Prepared>>,
    pub(super) created: Timestamp,
    pub(super) started: Option<Timestamp>,
    pub(super) process: Option<ProcessId>,
    pub(super) story: Option<Arc<Story>>,
    /// Its handles; none once it ended.
    pub(super) running: Option<Arc<Running>>,
}

/// The handles of a process that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) process: Arc<dyn Process>,
    pub(super) relays: Relays,
    /// Held, because accounts that were made for it are gone when this is.
    _identity: Arc<dyn Identity>,
}

impl Entry {
    pub(super) fn new(plan: ProcessPlan, prepared: Prepared, created: Timestamp) -> Self {
        Self {
            plan: Arc::new(plan),
            prepared: Arc::new(Mutex::new(prepared)),
            created,
            started: None,
            process: None,
            story: None,
            running: None,
        }
    }

    fn parts(&self) -> (Arc<ProcessPlan>, Arc<Mutex<Prepared>>) {
        (Arc::clone(&self.plan), Arc::clone(&self.prepared))
    }

    fn runs(&mut self, running: &Arc<Running>, now: Timestamp) {
        self.started = Some(now);
        self.process = Some(running.process.id());
        self.story = Some(running.relays.story());
        self.running = Some(Arc::clone(running));
    }
}

/// Starts the first process.
pub(super) fn start(inner: &Arc<Inner>) -> Result<ProcessId, Error> {
    let parts = {
        let mut life = inner.lock();
        inner.apply_to(&mut life, Request::Start)?;
        life.init.parts()
    };
    // Whoever waits for it is there before it is, so that no process is ever without one.
    let watched = watch::first(inner).and_then(|it| Ok((it, spawn(inner, &parts)?)));
    let mut life = inner.lock();
    match watched {
        Ok((waiting, running)) => {
            let process = running.process.id();
            life.init.runs(&running, inner.host.now());
            inner.apply_to(&mut life, Request::Spawned(process))?;
            waiting.watch(running);
            Ok(process)
        }
        Err(error) => {
            inner.apply_to(&mut life, Request::NotSpawned)?;
            Err(error)
        }
    }
}

/// Adds a process.
pub(super) fn add(
    inner: &Arc<Inner>,
    id: Id,
    process: ProcessPlan,
    stdio: Stdio,
) -> Result<(), Error> {
    let now = inner.host.now();
    // Before somebody is connected who belongs to another process.
    inner.lock().state.apply(Request::Add(id.clone()), now)?;
    let prepared = Prepared::new(&inner.host, stdio, process.console.is_some())?;
    let mut life = inner.lock();
    inner.apply_to(&mut life, Request::Add(id.clone()))?;
    let Life { state, added, .. } = &mut *life;
    // Where there are many, the state forgot one for it.
    added.retain(|other, _| state.added.contains_key(other));
    added.insert(id, Entry::new(process, prepared, now));
    Ok(())
}

/// Starts a process that was added.
pub(super) fn start_added(inner: &Arc<Inner>, id: &Id) -> Result<ProcessId, Error> {
    let parts = {
        let mut life = inner.lock();
        inner.apply_to(&mut life, Request::StartAdded(id.clone()))?;
        life.entry(Some(id))?.parts()
    };
    let watched = watch::added(inner, id).and_then(|it| Ok((it, spawn(inner, &parts)?)));
    let mut life = inner.lock();
    match watched {
        Ok((waiting, running)) => {
            let process = running.process.id();
            if let Some(entry) = life.added.get_mut(id) {
                entry.runs(&running, inner.host.now());
            }
            inner.apply_to(&mut life, Request::AddedSpawned(id.clone(), process))?;
            waiting.watch(running);
            Ok(process)
        }
        Err(error) => {
            inner.apply_to(&mut life, Request::AddedNotSpawned(id.clone()))?;
            Err(error)
        }
    }
}

/// Forgets a process that was added.
pub(super) fn delete_added(inner: &Inner, id: &Id) -> Result<Exit, Error> {
    let mut life = inner.lock();
    if life.state.added.get(id) == Some(&Added::Created) {
        let kill = Request::SignalAdded(id.clone(), Signal::Kill);
        inner.apply_to(&mut life, kill)?;
    }
    let exit = life.exit(Some(id));
    inner.apply_to(&mut life, Request::DeleteAdded(id.clone()))?;
    life.added.remove(id);
    exit?.ok_or_else(|| Refused::AddedStillRuns(id.clone()).into())
}

/// Lets go of the handles of a process that ended.
pub(super) fn release(life: &mut Life, exec: Option<&Id>) -> Option<Arc<Running>> {
    let entry = match exec {
        None => Some(&mut life.init),
        Some(id) => life.added.get_mut(id),
    };
    entry.and_then(|it| it.running.take())
}

/// Finds the program, logs its user on, starts it in the job, and begins to pass its streams on.
fn spawn(
    inner: &Inner,
    (plan, prepared): &(Arc<ProcessPlan>, Arc<Mutex<Prepared>>),
) -> Result<Arc<Running>, Error> {
    let job = inner.job()?;
    let identity = identity(inner, &plan.user)?;
    let launch = resolve(inner, plan, identity.as_ref())?;
    make_directory(inner, &launch)?;
    let mut prepared = prepared.lock().unwrap_or_else(PoisonError::into_inner);
    let (streams, ends) = prepared.open()?;
    let process = job
        .spawn(&launch, streams, identity.as_ref())
        .map_err(|source| Error::Spawn {
            program: launch.program.clone(),
            source,
        })?;
    match prepared.relay(ends) {
        Ok(relays) => Ok(Arc::new(Running {
            process,
            relays,
            _identity: identity,
        })),
        Err(error) => Err(end(&*process, error)),
    }
}

/// Ends a process that cannot be kept.
fn end(process: &dyn Process, error: Error) -> Error {
    match process.terminate(KILLED) {
        Ok(()) => error,
        Err(source) => Error::Host {
            action: "end a process whose streams could not be passed on",
            source,
        },
    }
}

/// The user of a process. Processes of the container's own user share one logon.
fn identity(inner: &Inner, user: &User) -> Result<Arc<dyn Identity>, Error> {
    let log_on = || {
        let identity = inner
            .host
            .log_on(user, inner.store.host_name(&inner.id).as_str());
        identity.map_err(|source| Error::LogOn { source })
    };
    if *user != inner.plan.process.user {
        return log_on();
    }
    let mut shared = inner
        .identity
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(identity) = &*shared {
        return Ok(Arc::clone(identity));
    }
    let identity = log_on()?;
    *shared = Some(Arc::clone(&identity));
    Ok(identity)
}

fn resolve(inner: &Inner, plan: &ProcessPlan, identity: &dyn Identity) -> Result<Launch, Error> {
    let user_environment = identity
        .environment()
        .map_err(|source| Error::Environment {
            account: identity.account().to_owned(),
            source,
        })?;
    let places = inner.host.places();
    let on_host = |path: &str| inner.placed.on_host(path, &places);
    let surroundings = Surroundings {
        places: &places,
        root: &inner.placed.location,
        user_environment: &user_environment,
        is_file: &|path| Path::new(&on_host(path)).is_file(),
        is_folder: &|path| Path::new(&on_host(path)).is_dir(),
    };
    Ok(launch::resolve(plan, &surroundings)?)
}

/// Makes the folder that the process starts in: [`launch::resolve`] lets a missing one through only below the root.
fn make_directory(inner: &Inner, launch: &Launch) -> Result<(), Error> {
    let places = inner.host.places();
    let path = PathBuf::from(inner.placed.on_host(&launch.directory, &places));
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(&path).map_err(|source| Error::Directory { path, source })
}
