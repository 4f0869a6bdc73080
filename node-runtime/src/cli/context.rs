//! What every command needs: the host, the folder with the records, and the way to a container's keeper.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::arguments::{Global, LogFormat, Output};
use super::error::CommandError;
use crate::container::{Standing, inspect};
use crate::id::Id;
use crate::install;
use crate::keeper::address;
use crate::keeper::client::Client;
use crate::keeper::protocol::Request;
use crate::log::Format;
use crate::record::{self, Record, Store};
use crate::sys::{self, Host, Job, Places, ProcessId};

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

    /// The records, for whoever only looks: none where no container was ever made, and no folder is made for them.
    pub(super) fn records(&self) -> Result<Option<Store>, CommandError> {
        Ok(Store::open_existing(&self.root, self.host.storage())?)
    }

    /// That a container is not there.
    pub(super) fn no_container(&self, id: &Id) -> CommandError {
        CommandError::NoContainer {
            id: id.clone(),
            root: self.root.clone(),
        }
    }

    /// The records.
    pub(super) fn store(&self) -> Result<Store, CommandError> {
        Ok(Store::open(&self.root, self.host.storage())?)
    }

    /// The record of a container.
    pub(super) fn record(&self, store: &Store, id: &Id) -> Result<Record, CommandError> {
        match store.read(id) {
            Ok(record) => Ok(record),
            Err(record::Error::NotFound { .. }) => Err(self.no_container(id)),
            Err(error) => Err(error.into()),
        }
    }

    /// The keeper of a container that exists.
    pub(super) fn keeper(&self, id: &Id) -> Result<Client, CommandError> {
        // Only a container that is not there, or whose keeper is gone, needs the record: the address is known.
        match Client::connect(self.host.as_ref(), &self.address(id)) {
            Err(error) if error.is_gone() => {
                let store = self.records()?.ok_or_else(|| self.no_container(id))?;
                self.record(&store, id)?;
                let found = inspect(self.host.as_ref(), &store, id)?;
                Err(match found.record {
                    // Only a shim holds a container without an address.
                    Some(record)
                        if record.address.is_none() && found.standing == Standing::Held =>
                    {
                        CommandError::HeldByShim(id.clone())
                    }
                    _ => CommandError::NoKeeper(id.clone()),
                })
            }
            connected => Ok(connected?),
        }
    }

    /// What its keeper says about a container that runs, or, where a shim holds it, its job: everybody may look at that.
    pub(super) fn ask_or_look<T: DeserializeOwned>(
        &self,
        id: &Id,
        request: &Request,
        look: impl FnOnce(&dyn Job) -> io::Result<T>,
    ) -> Result<T, CommandError> {
        match self.keeper(id) {
            Ok(mut keeper) => Ok(keeper.ask_now(request)?),
            Err(CommandError::HeldByShim(id)) => {
                let name = self.record(&self.store()?, &id)?.job;
                let looked = self.host.open_job(&name).and_then(|job| look(job.as_ref()));
                looked.map_err(|source| CommandError::Job { id, source })
            }
            Err(error) => Err(error),
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
        let mut count = 0;
        for store in Store::open_namespaces(&root, self.host.storage())? {
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
