//! What a keeper does for its clients: each request is one call of the container it holds.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::failure::Refusal;
use super::limits::overlay;
use super::process::like;
use super::protocol::{Failure, LONGEST_WAIT_MS, Process, Request, Response};
use super::server::{Service, Session};
use crate::container::{Container, Events, Options, Stdio};
use crate::id::Id;
use crate::launch::{self, Context, Plan};
use crate::limits::Limits;
use crate::log::{Level, Log};
use crate::record::{Exit, Store};
use crate::sys::{Host, LimitKind, ProcessId};

/// How long a keeper waits for its container before it leaves.
const UNUSED: Duration = Duration::from_secs(30);

/// The name of a config in its bundle.
const CONFIG: &str = "config.json";

/// The most bytes of a config that are read: one more than the launch plan takes, so that it is the one to refuse it.
const LARGEST_CONFIG: u64 = 16 * 1024 * 1024;

/// One container, and what is needed to answer for it.
#[derive(Debug)]
pub struct Keeper {
    host: Arc<dyn Host>,
    store: Arc<Store>,
    id: Id,
    address: String,
    /// The bundle that was made for this container alone, if it was: it goes with it.
    own_bundle: PathBuf,
    log: Option<Log>,
    began: Instant,
    held: OnceLock<Held>,
    creating: Mutex<()>,
    is_over: AtomicBool,
}

/// The container.
#[derive(Debug)]
struct Held {
    container: Container,
    plan: Plan,
    /// The `process` of its config, for processes that are to be like it. Secret.
    process: Secret,
    bundle: PathBuf,
    limits: Mutex<Limits>,
}

/// A document that is not shown.
struct Secret(Value);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Keeper {
    /// A keeper without a container, at an address. `own_bundle` is where a bundle lies that was made for it alone.
    pub fn new(
        host: Arc<dyn Host>,
        store: Arc<Store>,
        id: Id,
        address: String,
        own_bundle: PathBuf,
        log: Option<Log>,
    ) -> Self {
        Self {
            host,
            store,
            id,
            address,
            own_bundle,
            log,
            began: Instant::now(),
            held: OnceLock::new(),
            creating: Mutex::new(()),
            is_over: AtomicBool::new(false),
        }
    }

    fn held(&self) -> Result<&Held, Refusal> {
        self.held.get().ok_or(Refusal::NoContainer)
    }

    fn create(&self, bundle: PathBuf, stdio: Stdio, keeper: ProcessId) -> Result<(), Refusal> {
        let _one_at_a_time = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_over.load(Ordering::Acquire) {
            return Err(Refusal::Leaves);
        }
        if self.held.get().is_some() {
            return Err(Refusal::Created);
        }
        let held = self.hold(bundle, stdio, keeper);
        // A keeper without a container is of no use: the next attempt has its own.
        let held = held.inspect_err(|_| self.is_over.store(true, Ordering::Release))?;
        self.held.set(held).map_err(|_| Refusal::Created)
    }

    /// Is over where nobody had a container created for that long. One that is being created may take longer.
    fn give_up_after(&self, span: Duration) {
        let creating = self.creating.try_lock();
        let is_creating = matches!(creating, Err(TryLockError::WouldBlock));
        if !is_creating && self.held.get().is_none() && self.began.elapsed() >= span {
            // Still locked: whoever wants to create one from now on is refused.
            self.is_over.store(true, Ordering::Release);
        }
    }

    fn hold(&self, bundle: PathBuf, stdio: Stdio, keeper: ProcessId) -> Result<Held, Refusal> {
        let config = read_config(&bundle)?;
        let refused = |problems| Refusal::Config {
            path: bundle.join(CONFIG),
            problems,
        };
        let plan = self.in_context(&bundle, |context| launch::plan(&config, context));
        let plan = plan.map_err(refused)?;
        let config: Value = serde_json::from_slice(&config).map_err(Refusal::Json)?;
        let look = launch::Look {
            exists: &|path| Path::new(path).exists(),
            is_folder: &|path| Path::new(path).is_dir(),
        };
        let missing = self.in_context(&bundle, |context| {
            launch::missing(&config, &plan, context, look)
        });
        missing.map_err(refused)?;
        let options = Options {
            id: self.id.clone(),
            bundle: bundle.clone(),
            plan: plan.clone(),
            stdio,
            store: Arc::clone(&self.store),
            pod: None,
            keeper: Some(keeper),
            address: Some(self.address.clone()),
        };
        Ok(Held {
            container: Container::create(Arc::clone(&self.host), options)?,
            limits: Mutex::new(plan.limits.clone()),
            plan,
            process: Secret(config.get("process").cloned().unwrap_or(Value::Null)),
            bundle,
        })
    }

    fn say(&self, level: Level, message: &str) {
        if let Some(log) = &self.log {
            let message = format!("container {}: {message}", self.id);
            log.say(level, &message, Some(self.host.now()));
        }
    }

    fn in_context<T>(&self, bundle: &Path, work: impl FnOnce(&Context<'_>) -> T) -> T {
        work(&Context {
            places: &self.host.places(),
            features: &self.host.features(),
            id: &self.id,
            bundle: &bundle.to_string_lossy(),
        })
    }

    fn exec(&self, held: &Held, id: Id, process: &Process, stdio: Stdio) -> Result<(), Refusal> {
        let document = match process {
            Process::Whole(document) => document.clone(),
            Process::Like { .. } => like(&held.process.0, process),
        };
        let document = serde_json::to_vec(&document).map_err(Refusal::Json)?;
        let plan = self.in_context(&held.bundle, |context| {
            launch::exec(&document, &held.plan, context)
        })?;
        Ok(held.container.exec(id, plan, stdio)?)
    }

    fn update(
        &self,
        held: &Held,
        resources: Option<&Value>,
        limits: Limits,
        lift: &BTreeSet<LimitKind>,
    ) -> Result<Limits, Refusal> {
        let mut current = held.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = current.clone();
        if let Some(resources) = resources {
            let document = serde_json::to_vec(resources).map_err(Refusal::Json)?;
            let processors = self.host.places().processors;
            let asked = launch::update(&document, &self.host.features(), processors)?;
            wanted = overlay(&wanted, asked, &BTreeSet::new());
        }
        wanted = overlay(&wanted, limits, lift);
        held.container.update(&wanted)?;
        current.clone_from(&wanted);
        Ok(wanted)
    }

    fn delete(&self, held: &Held, exec: Option<&Id>) -> Result<Exit, Refusal> {
        let exit = held.container.delete(exec)?;
        if exec.is_none() {
            if held.bundle == self.own_bundle {
                // What cannot be removed now is found by the sweep.
                drop(fs::remove_dir_all(&held.bundle));
            }
            self.is_over.store(true, Ordering::Release);
        }
        Ok(exit)
    }
}

impl Service for Keeper {
    fn session(self: Arc<Self>) -> Box<dyn Session> {
        Box::new(Conversation {
            keeper: self,
            events: None,
        })
    }

    fn is_over(&self) -> bool {
        self.give_up_after(UNUSED);
        self.is_over.load(Ordering::Acquire)
    }
}

/// One client: its events begin with its first question.
struct Conversation {
    keeper: Arc<Keeper>,
    events: Option<Events>,
}

impl Session for Conversation {
    fn answer(&mut self, request: Request) -> Response {
        let (name, is_change) = (request.name(), request.is_change());
        match self.done(request) {
            Ok(value) => {
                if is_change {
                    self.keeper.say(Level::Info, &format!("{name}: done"));
                }
                Response::Done(value)
            }
            Err(refusal) => {
                let failure = Failure::new(refusal.kind(), &refusal);
                let message = format!("{name}: {}", failure.message);
                self.keeper.say(Level::Error, &message);
                Response::Failed(failure)
            }
        }
    }
}

impl Conversation {
    /// Does what is asked.
    fn done(&mut self, request: Request) -> Result<Value, Refusal> {
        let keeper = Arc::clone(&self.keeper);
        if let Request::Create {
            bundle,
            stdio,
            keeper: process,
        } = request
        {
            return value(keeper.create(bundle, stdio, process)?);
        }
        let held = keeper.held()?;
        let container = &held.container;
        match request {
            Request::Create { .. } => Err(Refusal::Created),
            Request::Start => value(container.start()?),
            Request::Status { exec } => value(container.status(exec.as_ref())?),
            Request::Wait { exec, timeout_ms } => {
                value(container.wait(exec.as_ref(), at_most(timeout_ms))?)
            }
            Request::Exec { id, process, stdio } => value(keeper.exec(held, id, &process, stdio)?),
            Request::StartExec { id } => value(container.start_exec(&id)?),
            Request::Kill { exec, signal, all } => {
                value(container.kill(exec.as_ref(), signal, all)?)
            }
            Request::Stop { grace_ms } => value(container.stop(Duration::from_millis(grace_ms))?),
            Request::Pause => value(container.pause()?),
            Request::Resume => value(container.resume()?),
            Request::Update {
                resources,
                limits,
                lift,
            } => value(keeper.update(held, resources.as_ref(), *limits, &lift)?),
            Request::Usage => value(container.usage()?),
            Request::Processes => value(container.processes()?),
            Request::Resize { exec, console } => value(container.resize(exec.as_ref(), console)?),
            Request::CloseStdin { exec } => value(container.close_stdin(exec.as_ref())?),
            Request::Delete { exec } => value(keeper.delete(held, exec.as_ref())?),
            Request::NextEvent { timeout_ms } => {
                let events = self.events.get_or_insert_with(|| container.events());
                value(events.next(at_most(timeout_ms)))
            }
        }
    }
}

fn value<T: Serialize>(answer: T) -> Result<Value, Refusal> {
    serde_json::to_value(answer).map_err(Refusal::Json)
}

fn at_most(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds.min(LONGEST_WAIT_MS))
}

/// The config of a bundle, whatever it is.
fn read_config(bundle: &Path) -> Result<Vec<u8>, Refusal> {
    let path = bundle.join(CONFIG);
    let mut config = Vec::new();
    fs::File::open(&path)
        .and_then(|file| file.take(LARGEST_CONFIG).read_to_end(&mut config))
        .map_err(|source| Refusal::Read { path, source })?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeHost;

    fn keeper(folder: &Path) -> Keeper {
        let host = FakeHost::new();
        let store = Arc::new(Store::open(&folder.join("state"), host.storage()).unwrap());
        let id = Id::parse("web").unwrap();
        let bundles = folder.join("bundles");
        Keeper::new(
            Arc::new(host),
            store,
            id,
            "keeper".to_owned(),
            bundles,
            None,
        )
    }

    #[test]
    fn a_keeper_does_not_leave_while_its_container_is_being_created() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = keeper(folder.path());
        let creating = keeper.creating.lock().unwrap();
        keeper.give_up_after(Duration::ZERO);
        assert!(!keeper.is_over());
        drop(creating);
        keeper.give_up_after(Duration::ZERO);
        assert!(keeper.is_over());
    }

    #[test]
    fn a_keeper_that_leaves_creates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = keeper(folder.path());
        keeper.give_up_after(Duration::ZERO);
        let own = ProcessId { pid: 1, started: 1 };
        let nowhere = folder.path().join("bundle");
        let refused = keeper.create(nowhere, Stdio::default(), own);
        assert!(matches!(refused, Err(Refusal::Leaves)), "{refused:?}");
    }
}
