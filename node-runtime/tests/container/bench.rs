//! A host with a store and a folder, and containers whose programs do the steps they are told.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hosttask_node_runtime::container::{
    Container, Error, Event, EventKind, Events, Options, Stdio,
};
use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::launch::{Command, Plan, ProcessPlan, RootPlan};
use hosttask_node_runtime::limits::Limits;
use hosttask_node_runtime::record::{Exit, Store};
use hosttask_node_runtime::sys::fake::FakeHost;
use hosttask_node_runtime::sys::{self, Features, Host, User};
use tempfile::TempDir;

use crate::scene;

pub(crate) use crate::scene::{HAS_LINKS, SOON, until};

static BENCHES: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Bench {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) store: Arc<Store>,
    pub(crate) folder: TempDir,
    fake: Option<FakeHost>,
    /// What makes names of containers unique: jobs are those of the whole system.
    suffix: String,
}

/// Runs a test on the fake host and with real processes.
pub(crate) fn everywhere(test: impl Fn(&Bench)) {
    test(&Bench::fake());
    test(&Bench::native());
}

impl Bench {
    pub(crate) fn fake() -> Self {
        Self::faked(|_| ())
    }

    /// On a fake host with other features.
    pub(crate) fn faked(change: impl FnOnce(&mut Features)) -> Self {
        let mut fake = FakeHost::new().with_features(change);
        if !HAS_LINKS {
            fake = fake.with_features(|it| it.means.clear());
        }
        let mut bench = Self::on(Arc::new(fake.clone()));
        bench.fake = Some(fake);
        bench.suffix = String::new();
        bench
    }

    pub(crate) fn native() -> Self {
        Self::on(sys::native().unwrap())
    }

    pub(crate) fn on(host: Arc<dyn Host>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state"), host.storage()).unwrap();
        fs::create_dir(folder.path().join("bundle")).unwrap();
        Self {
            host,
            store: Arc::new(store),
            folder,
            fake: None,
            suffix: format!(
                "-{}-{}",
                std::process::id(),
                BENCHES.fetch_add(1, Ordering::Relaxed)
            ),
        }
    }

    /// The fake behind it.
    pub(crate) fn faker(&self) -> &FakeHost {
        self.fake.as_ref().unwrap()
    }

    /// The whole name of a container.
    pub(crate) fn id(&self, id: &str) -> Id {
        name(&format!("{id}{}", self.suffix))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// An address nobody else uses, by the rules of the system.
    pub(crate) fn address(&self, name: &str) -> String {
        scene::address(self.folder.path(), name)
    }

    /// A process that does these steps of `probe`, divided by spaces.
    pub(crate) fn process(&self, steps: &str) -> ProcessPlan {
        ProcessPlan {
            user: User::Inherit,
            command: Command::Arguments(scene::arguments(steps)),
            directory: String::new(),
            expected_root: self.host.places().container_root,
            environment: [].into(),
            console: None,
            drop_privileges: [].into(),
            allow_batch: false,
        }
    }

    pub(crate) fn plan(&self, id: &str, steps: &str) -> Plan {
        let place = self.text(&format!("root-{id}"));
        let location = format!("{place}{}", std::path::MAIN_SEPARATOR);
        Plan {
            process: self.process(steps),
            root: RootPlan {
                layers: Vec::new(),
                location: HAS_LINKS.then_some(location),
                read_only: false,
                is_shared: false,
            },
            mounts: Vec::new(),
            limits: Limits::default(),
            user_name: String::new(),
            annotations: [].into(),
        }
    }

    pub(crate) fn options(&self, id: &str, steps: &str) -> Options {
        Options {
            id: self.id(id),
            bundle: self.path("bundle"),
            plan: self.plan(id, steps),
            stdio: Stdio::default(),
            store: Arc::clone(&self.store),
            pod: None,
            keeper: None,
            address: None,
        }
    }

    pub(crate) fn create_with(&self, options: Options) -> Result<Container, Error> {
        Container::create(Arc::clone(&self.host), options)
    }

    pub(crate) fn create(&self, id: &str, steps: &str) -> Container {
        self.create_with(self.options(id, steps)).unwrap()
    }

    /// A container that runs, and said so by making the file `ready-ID` at the end of these steps.
    pub(crate) fn run(&self, id: &str, steps: &str) -> Container {
        self.run_with(id, steps, |_| ())
    }

    /// The same with other options.
    pub(crate) fn run_with(
        &self,
        id: &str,
        steps: &str,
        change: impl FnOnce(&mut Options),
    ) -> Container {
        let ready = self.text(&format!("ready-{id}"));
        let mut options = self.options(id, &steps.replace("READY", &format!("ready {ready}")));
        change(&mut options);
        let container = self.create_with(options).unwrap();
        container.start().unwrap();
        if steps.contains("READY") {
            until("the program is ready", || fs::exists(&ready).unwrap());
        }
        container
    }

    /// Nothing of any container is left: no record, no job, no link, no account.
    pub(crate) fn is_clean(&self) {
        assert!(self.store.list().unwrap().is_empty());
        scene::assert_no_files(&self.path("state"), self.folder.path());
        if let Some(fake) = &self.fake {
            scene::assert_unused(fake);
        }
    }
}

pub(crate) fn name(id: &str) -> Id {
    Id::parse(id).unwrap()
}

/// How many programs run in a container. Windows gives each console a process that serves it.
pub(crate) fn programs(container: &Container) -> usize {
    let processes = container.processes().unwrap();
    processes
        .iter()
        .filter(|it| !it.name.contains("conhost"))
        .count()
}

/// The end of a container.
pub(crate) fn end(container: &Container) -> Exit {
    let exit = container.wait(None, SOON).unwrap();
    exit.unwrap_or_else(|| {
        let (status, left) = (container.status(None), container.processes());
        panic!("it has not ended: {status:?}, in its job: {left:?}")
    })
}

/// The end of an added process.
pub(crate) fn end_of(container: &Container, exec: &str) -> Exit {
    let exit = container.wait(Some(&name(exec)), SOON).unwrap();
    exit.unwrap()
}

/// Adds a process, starts it, and waits until its program runs: Wine never forgets a host of a console whose process was ended while
/// it made it, and its job is never empty again.
pub(crate) fn exec(bench: &Bench, container: &Container, id: &str, steps: &str) {
    let runs = bench.text(&format!("runs-{id}"));
    let _ = fs::remove_file(&runs);
    let process = bench.process(&format!("ready {runs} {steps}"));
    container.exec(name(id), process, Stdio::default()).unwrap();
    container.start_exec(&name(id)).unwrap();
    until("the added program runs", || fs::exists(&runs).unwrap());
}

/// Everything up to an event.
pub(crate) fn heard_until(events: &Events, is_last: impl Fn(&EventKind) -> bool) -> Vec<EventKind> {
    let mut heard = Vec::new();
    loop {
        let next: Option<Event> = events.next(SOON);
        let kind = next.unwrap_or_else(|| panic!("only {heard:?}")).kind;
        heard.push(kind.clone());
        if is_last(&kind) {
            return heard;
        }
    }
}

/// An event in one word.
pub(crate) fn word(event: &EventKind) -> String {
    match event {
        EventKind::Created => "created".to_owned(),
        EventKind::Started { .. } => "started".to_owned(),
        EventKind::ExecAdded { exec } => format!("{exec} added"),
        EventKind::ExecStarted { exec, .. } => format!("{exec} started"),
        EventKind::Exited { exec: None, exit } => format!("exited {}", exit.code),
        EventKind::Exited {
            exec: Some(id),
            exit,
        } => format!("{id} exited {}", exit.code),
        EventKind::MemoryLimit => "memory limit".to_owned(),
        EventKind::ProcessLimit => "process limit".to_owned(),
        EventKind::Paused => "paused".to_owned(),
        EventKind::Resumed => "resumed".to_owned(),
        EventKind::Deleted => "deleted".to_owned(),
    }
}

/// All events of a life that is over, in words.
pub(crate) fn story(events: &Events) -> Vec<String> {
    let heard = heard_until(events, |it| *it == EventKind::Deleted);
    heard.iter().map(word).collect()
}
