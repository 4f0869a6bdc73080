//! What every command needs: the host, the folder with the records, and the way to a container's keeper.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::arguments::{Global, LogFormat, Output};
use super::error::CommandError;
use crate::id::Id;
use crate::install;
use crate::keeper::address;
use crate::keeper::client::Client;
use crate::log::Format;
use crate::record::{self, Record, Store};
use crate::sys::{self, Host, Places, ProcessId};

/// How long a keeper that has nothing to hold any more may take to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// How often is looked whether its job is gone.
const LOOK: Duration = Duration::from_millis(5);

/// The host and the folder with the records.
#[derive(Debug)]
pub(super) struct Context {
    /// The host.
    pub(super) host: Arc<dyn Host>,
    /// Its places.
    pub(super) places: Places,
    /// Where the records are: a full path.
    pub(super) root: PathBuf,
    /// What was written on the command line.
    pub(super) global: Global,
}

impl Context {
    /// Opens the host.
    pub(super) fn open(global: Global) -> Result<Self, CommandError> {
        let host = sys::native().map_err(CommandError::Host)?;
        let places = host.places();
        let root = match &global.root {
            Some(root) => absolute(root)?,
            None => PathBuf::from(&places.state_root),
        };
        Ok(Self {
            host,
            places,
            root,
            global,
        })
    }

    /// The records.
    pub(super) fn store(&self) -> Result<Store, CommandError> {
        Ok(Store::open(&self.root, self.host.storage())?)
    }

    /// The record of a container.
    pub(super) fn record(&self, store: &Store, id: &Id) -> Result<Record, CommandError> {
        match store.read(id) {
            Ok(record) => Ok(record),
            Err(record::Error::NotFound { .. }) => Err(CommandError::NoContainer {
                id: id.clone(),
                root: self.root.clone(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// The keeper of a container that exists.
    pub(super) fn keeper(&self, id: &Id) -> Result<Client, CommandError> {
        // Only a container that is not there, or whose keeper is gone, needs the record: the address is known.
        match Client::connect(self.host.as_ref(), &self.address(id)) {
            Err(error) if error.is_gone() => {
                self.record(&self.store()?, id)?;
                Err(CommandError::NoKeeper(id.clone()))
            }
            connected => Ok(connected?),
        }
    }

    /// Waits until the keeper of a container that was deleted is gone, and its job with it: then the next container can have
    /// the name. Neither is waited for when it hangs: everything that they held is gone.
    pub(super) fn wait_end(&self, keeper: ProcessId, job: Option<&str>) {
        let deadline = Instant::now() + FAREWELL;
        if let Ok(Some(keeper)) = self.host.open_process(keeper) {
            drop(keeper.wait(FAREWELL));
        }
        let Some(job) = job else { return };
        // Wine knows the name of a job a little longer than anything of it lives.
        while self.host.open_job(job).is_ok() && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
    }

    /// How many containers that containerd started are on this node, in all of its namespaces.
    pub(super) fn shim_containers(&self) -> Result<usize, CommandError> {
        let root = install::shim_root(&self.places);
        let entries = match std::fs::read_dir(&root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(CommandError::file("read", root)(error)),
        };
        let mut count = 0;
        for entry in entries {
            let entry = entry.map_err(CommandError::file("read", &root))?;
            let store = Store::open(&entry.path(), self.host.storage())?;
            count += store.list()?.len();
        }
        Ok(count)
    }

    /// Where the keeper of a container is reached.
    pub(super) fn address(&self, id: &Id) -> String {
        address::of_keeper(&self.places, &self.root, id)
    }

    /// How results are written, where the command itself would write them in `default`.
    pub(super) fn output(&self, default: Output) -> Output {
        self.global.output.unwrap_or(default)
    }

    /// How errors are written.
    pub(super) fn log_format(&self) -> Format {
        log_format(&self.global)
    }
}

/// How errors are written.
pub(super) fn log_format(global: &Global) -> Format {
    match global.log_format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    }
}

/// A full path: a keeper does not start in the current folder of the command.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, CommandError> {
    std::path::absolute(path).map_err(CommandError::file("find the full path of", path))
}
