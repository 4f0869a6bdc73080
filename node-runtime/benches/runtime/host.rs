//! The two contenders: bare processes of the standard library, and containers of ours.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio as Standard};
use std::sync::Arc;
use std::time::Duration;

use hosttask_node_runtime::container::{Container, Options, Stdio};
use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::launch::{self, Context};
use hosttask_node_runtime::record::Store;
use hosttask_node_runtime::state::Signal;
use hosttask_node_runtime::sys::{self, Features, Host, Places};
use serde_json::json;

/// How long anything may take.
const LONG: Duration = Duration::from_mins(1);

/// What both contenders use.
pub(crate) struct Bench {
    host: Arc<dyn Host>,
    features: Features,
    places: Places,
    store: Arc<Store>,
    /// The program that both start.
    probe: PathBuf,
    /// A folder of this run, removed at the end.
    pub(crate) folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn open() -> Self {
        let host = sys::native().expect("a host");
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state"), host.storage()).unwrap();
        Self {
            features: host.features(),
            places: host.places(),
            store: Arc::new(store),
            probe: std::path::absolute(env!("CARGO_BIN_EXE_probe")).unwrap(),
            host,
            folder,
        }
    }

    /// Which host this is.
    pub(crate) fn title(&self) -> String {
        let Features {
            backend, system, ..
        } = &self.features;
        format!("backend {backend}, system {system}")
    }

    fn arguments<'a>(&'a self, steps: &'a [&str]) -> impl Iterator<Item = String> + 'a {
        let program = self.probe.display().to_string();
        std::iter::once(program).chain(steps.iter().map(ToString::to_string))
    }

    /// Starts the program with nothing around it.
    pub(crate) fn bare(&self, steps: &[&str]) -> Child {
        self.spawn(steps, |_| {})
    }

    /// Starts the program with a console of its own: on Windows that is a second process, which every program of a container has.
    pub(crate) fn bare_with_console(&self, steps: &[&str]) -> Child {
        self.spawn(steps, sys::own_console)
    }

    fn spawn(&self, steps: &[&str], asks: fn(&mut Command)) -> Child {
        let mut command = Command::new(&self.probe);
        asks(&mut command);
        command.args(steps).stdin(Standard::null());
        command.stdout(Standard::null()).stderr(Standard::null());
        // Wine refuses a start now and then while it is busy; so it does for ours, which tries again as well.
        let started = (0..5).find_map(|_| command.spawn().ok());
        started.expect("the program starts")
    }

    /// Makes a container around the program.
    pub(crate) fn create(&self, id: &str, steps: &[&str]) -> Container {
        let bundle = self.folder.path().to_path_buf();
        let config = json!({
            "ociVersion": "1.2.0",
            "process": { "args": self.arguments(steps).collect::<Vec<_>>(), "cwd": "" },
            "annotations": { "microsoft.com/hostprocess-inherit-user": "true" },
        });
        let id = Id::parse(id).unwrap();
        let plan = launch::plan(config.to_string().as_bytes(), &self.context(&id, &bundle));
        let options = Options {
            plan: plan.unwrap_or_else(|problems| unreachable!("{problems}")),
            id,
            bundle,
            stdio: Stdio::default(),
            store: Arc::clone(&self.store),
            pod: None,
            keeper: None,
            address: None,
        };
        Container::create(Arc::clone(&self.host), options).expect("a container")
    }

    fn context<'a>(&'a self, id: &'a Id, bundle: &'a Path) -> Context<'a> {
        Context {
            places: &self.places,
            features: &self.features,
            id,
            bundle: bundle.to_str().unwrap(),
        }
    }

    /// Starts a process in a container, waits for its end and removes it. Returns its exit code; none where it was killed
    /// because it did not end within `patience`.
    pub(crate) fn exec_for(
        &self,
        container: &Container,
        name: &str,
        steps: &[&str],
        patience: Duration,
    ) -> Option<u32> {
        let process = json!({ "args": self.arguments(steps).collect::<Vec<_>>(), "cwd": "" });
        let config = json!({
            "ociVersion": "1.2.0",
            "process": process,
            "annotations": { "microsoft.com/hostprocess-inherit-user": "true" },
        });
        let context = self.context(container.id(), self.folder.path());
        let plan = launch::plan(config.to_string().as_bytes(), &context).expect("a plan");
        let name = Id::parse(name).unwrap();
        container
            .exec(name.clone(), plan.process, Stdio::default())
            .unwrap();
        container.start_exec(&name).unwrap();
        let exit = container.wait(Some(&name), patience).unwrap();
        if exit.is_none() {
            container.kill(Some(&name), Signal::Kill, false).unwrap();
            container.wait(Some(&name), LONG).unwrap().unwrap();
        }
        container.delete(Some(&name)).unwrap();
        exit.map(|exit| exit.code)
    }

    /// The same for one that ends by itself.
    pub(crate) fn exec(&self, container: &Container, name: &str, steps: &[&str]) {
        self.exec_for(container, name, steps, LONG)
            .expect("it ends");
    }

    /// Ends a container and removes it.
    pub(crate) fn end(container: &Container) {
        container.kill(None, Signal::Kill, true).unwrap();
        container.wait(None, LONG).unwrap().unwrap();
        container.delete(None).unwrap();
    }
}
