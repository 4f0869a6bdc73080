//! `fake`: a host in memory, for tests: it obeys the same contract as the real ones.
//!
//! Its processes are threads. A program is a closure that a test gave with [`FakeHost::add_program`], or `probe`, which does
//! the [`steps`] of its arguments. Tests read what happened, move the clock, and make the next calls fail.

mod actor;
mod faults;
mod job;
mod places;
mod process;
mod start;
mod state;
pub mod steps;
mod storage;
mod wire;

pub use faults::Operation;
pub use places::places_of;
pub use process::{FakeProcess, Reaction};

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use self::job::FakeJob;
use self::process::FakeHandle;
use self::state::Shared;
use self::storage::FakeStorage;
use super::{
    Connection, Features, Host, Identity, Job, Launch, LimitKind, Listener, Means, Places, Process,
    ProcessId, Storage, Streams, User,
};

/// A host in memory. Its clones are the same host.
#[derive(Clone)]
pub struct FakeHost {
    shared: Arc<Shared>,
    places: Places,
    features: Features,
    storage: FakeStorage,
}

impl FakeHost {
    /// A host that can do everything, whose paths follow the rules of the system the test runs on, so that a test can give
    /// it folders that exist. Its links are real symbolic links.
    pub fn new() -> Self {
        Self::with_places(places::own())
    }

    /// The same with other rules or places.
    pub fn with_places(places: Places) -> Self {
        let shared = Arc::new(Shared::default());
        Self {
            features: features(),
            storage: FakeStorage::new(Arc::clone(&shared)),
            shared,
            places,
        }
    }

    /// Tells callers of other features than those it has, except for the limits, which it then refuses.
    #[must_use]
    pub fn with_features(mut self, change: impl FnOnce(&mut Features)) -> Self {
        change(&mut self.features);
        self.storage.set_means(self.features.means.clone());
        self
    }

    /// Its links stand in a list only, and nothing appears on the disk.
    #[must_use]
    pub fn recording(mut self) -> Self {
        self.storage.record_only();
        self
    }

    /// Adds a program. `name` is its full path, or its file name without extension, wherever it is.
    pub fn add_program(
        &self,
        name: &str,
        program: impl Fn(&FakeProcess) -> u32 + Send + Sync + 'static,
    ) {
        let mut state = self.shared.lock();
        state.programs.insert(name.to_owned(), Arc::new(program));
    }

    /// Makes the n-th call of an operation from now on fail, the first being 1.
    pub fn fail(&self, operation: Operation, nth: u32, kind: io::ErrorKind) {
        self.shared.lock().faults.add(operation, nth, kind);
    }

    /// How often an operation was called.
    pub fn calls(&self, operation: Operation) -> u32 {
        self.shared.lock().faults.calls(operation)
    }

    /// Moves the clock, also backwards.
    pub fn move_clock(&self, to: Timestamp) {
        self.shared.lock().now = to;
    }

    /// Starts the system anew: nothing that ran is left, and the boot id is another. Records of jobs and links stay.
    pub fn reboot(&self) {
        let mut state = self.shared.lock();
        state.boots += 1;
        for pid in state.running() {
            state.end(pid, 0);
        }
        state.jobs.clear();
        drop(state);
        self.shared.changed.notify_all();
    }

    /// How many processes run on it.
    pub fn running(&self) -> usize {
        self.shared.lock().running().len()
    }

    /// What its processes do when they are asked to end, in order of their numbers.
    pub fn reactions(&self) -> Vec<Reaction> {
        let state = self.shared.lock();
        let running = state.running().into_iter();
        let running = running.filter_map(|pid| state.processes.get(&pid));
        running.map(|process| process.reaction).collect()
    }

    /// The names of the jobs that live.
    pub fn jobs(&self) -> Vec<String> {
        let state = self.shared.lock();
        state.jobs.values().map(|job| job.name.clone()).collect()
    }

    /// The limits of a job; none where it does not live.
    pub fn limits(&self, job: &str) -> Option<crate::limits::Limits> {
        let state = self.shared.lock();
        let job = state.jobs.values().find(|it| it.name == job);
        job.map(|job| job.limits.clone())
    }

    /// What is bound for a job of this name, by where it appears: its source, and whether it is read-only. Nothing is where no
    /// such job lives.
    pub fn bound(&self, job: &str) -> BTreeMap<std::path::PathBuf, (std::path::PathBuf, bool)> {
        let state = self.shared.lock();
        let found = state.jobs.values().find(|it| it.name == job);
        found.map(|it| it.bound.clone()).unwrap_or_default()
    }

    /// What stands where by its storage, and what leads there.
    pub fn attached(&self) -> BTreeMap<std::path::PathBuf, (Means, std::path::PathBuf)> {
        self.shared.lock().attached.clone()
    }

    /// The folders that were protected.
    pub fn protected(&self) -> Vec<std::path::PathBuf> {
        self.shared.lock().protected.clone()
    }

    /// The folders that were shared, and whether they may be written.
    pub fn shared(&self) -> Vec<(std::path::PathBuf, bool)> {
        self.shared.lock().shared.clone()
    }

    /// The temporary accounts that exist, by the owner they were made for.
    pub fn accounts(&self) -> Vec<String> {
        self.shared.lock().accounts.keys().cloned().collect()
    }

    /// Leaves a temporary account behind, as a crash does.
    pub fn leave_account(&self, owner: &str) {
        self.shared.lock().accounts.insert(owner.to_owned(), 1);
    }

    /// The number of an ended process is given to a new one that hangs, as Windows does it early and often.
    pub fn reuse(&self, pid: u32) -> io::Result<()> {
        self.shared.lock().reuse(pid)
    }
}

impl Default for FakeHost {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FakeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeHost").finish_non_exhaustive()
    }
}

impl Host for FakeHost {
    fn features(&self) -> Features {
        self.features.clone()
    }

    fn places(&self) -> Places {
        self.places.clone()
    }

    fn boot_id(&self) -> io::Result<String> {
        let state = self.shared.lock();
        Ok(format!("boot-{}", state.boots))
    }

    fn now(&self) -> Timestamp {
        self.shared.lock().now
    }

    fn create_job(&self, name: &str) -> io::Result<Arc<dyn Job>> {
        FakeJob::create(&self.shared, &self.features, name, None)
    }

    fn open_job(&self, name: &str) -> io::Result<Arc<dyn Job>> {
        FakeJob::open(&self.shared, &self.features, name)
    }

    fn log_on(&self, user: &User, owner: &str) -> io::Result<Arc<dyn Identity>> {
        let mut state = self.shared.lock();
        state.faults.check(Operation::LogOn)?;
        let account = match user {
            User::Inherit => "fake\\runtime".to_owned(),
            User::System => "NT AUTHORITY\\SYSTEM".to_owned(),
            User::LocalService => "NT AUTHORITY\\LocalService".to_owned(),
            User::NetworkService => "NT AUTHORITY\\NetworkService".to_owned(),
            User::Group(group) if group == "no-such-group" => {
                return Err(io::ErrorKind::NotFound.into());
            }
            User::Group(_) => format!("fake\\{owner}"),
        };
        let is_temporary = matches!(user, User::Group(_));
        if is_temporary {
            *state.accounts.entry(owner.to_owned()).or_default() += 1;
        }
        Ok(Arc::new(FakeIdentity {
            shared: Arc::clone(&self.shared),
            account,
            owner: is_temporary.then(|| owner.to_owned()),
        }))
    }

    fn sweep_identities(&self, lives: &dyn Fn(&str) -> bool) -> io::Result<Vec<String>> {
        let owners = self.accounts();
        let gone: Vec<_> = owners.into_iter().filter(|it| !lives(it)).collect();
        let mut state = self.shared.lock();
        state.faults.check(Operation::Sweep)?;
        let removed = gone.into_iter().filter_map(|owner| {
            state.accounts.remove(&owner)?;
            Some(format!("the account of {owner}"))
        });
        Ok(removed.collect())
    }

    fn open_process(&self, id: ProcessId) -> io::Result<Option<Arc<dyn Process>>> {
        let mut state = self.shared.lock();
        state.faults.check(Operation::OpenProcess)?;
        if !state.runs(id) {
            return Ok(None);
        }
        drop(state);
        Ok(Some(Arc::new(FakeHandle::new(&self.shared, id))))
    }

    fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        wire::listen(&self.shared, address)
    }

    fn connect(&self, address: &str, timeout: Duration) -> io::Result<Box<dyn Connection>> {
        wire::connect(&self.shared, address, timeout)
    }

    fn spawn_detached(
        &self,
        program: &Path,
        arguments: &[String],
        output: File,
    ) -> io::Result<ProcessId> {
        self.shared.lock().faults.check(Operation::SpawnDetached)?;
        let program = program.to_string_lossy().into_owned();
        let launch = Launch {
            arguments: [program.clone()]
                .into_iter()
                .chain(arguments.iter().cloned())
                .collect(),
            program,
            command_line: String::new(),
            directory: String::new(),
            environment: BTreeMap::new(),
            console: None,
            suspended: false,
            drop_privileges: std::collections::BTreeSet::new(),
        };
        let streams = Streams {
            stdout: Some(output),
            ..Streams::default()
        };
        start::spawn(&self.shared, &launch, streams, None, 0)
    }

    fn storage(&self) -> &dyn Storage {
        &self.storage
    }
}

/// A user of the fake.
#[derive(Debug)]
struct FakeIdentity {
    shared: Arc<Shared>,
    account: String,
    /// Whose temporary account it is.
    owner: Option<String>,
}

impl Identity for FakeIdentity {
    fn account(&self) -> &str {
        &self.account
    }

    fn environment(&self) -> io::Result<BTreeMap<String, String>> {
        let user = self.account.rsplit('\\').next().unwrap_or_default();
        Ok(BTreeMap::from([("USERNAME".to_owned(), user.to_owned())]))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for FakeIdentity {
    fn drop(&mut self) {
        let Some(owner) = &self.owner else { return };
        let mut state = self.shared.lock();
        if let Some(count) = state.accounts.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                state.accounts.remove(owner);
            }
        }
    }
}

/// Everything there is.
fn features() -> Features {
    Features {
        backend: "fake".to_owned(),
        system: "in memory".to_owned(),
        nested_jobs: true,
        silo: false,
        bind_filter: false,
        view_refused: None,
        pseudo_console: false,
        limits: [
            LimitKind::JobMemory,
            LimitKind::ProcessMemory,
            LimitKind::CpuCap,
            LimitKind::CpuWeight,
            LimitKind::Affinity,
            LimitKind::ActiveProcesses,
            LimitKind::Priority,
            LimitKind::UserInterface,
            LimitKind::NetworkRate,
        ]
        .into(),
        limit_notices: true,
        job_memory_usage: true,
        job_io_usage: false,
        suspend: true,
        service_accounts: true,
        group_accounts: true,
        means: vec![Means::Symlink],
    }
}
