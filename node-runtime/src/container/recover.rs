//! What became of containers whose keeper is gone, found out and cleaned up. Nothing is guessed.
//!
//! ```text
//!   record of another start of the host ─▶ nothing of it runs
//!   its keeper lives (number and start time) ─▶ held: ask it
//!   its job is gone ─▶ nothing of it runs: the last handle ended everything
//!   anything else, a damaged record too ─▶ unknown, with the reason
//! ```

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use serde::Serialize;

use super::create::job_name;
use super::{Error, chain};
use crate::id::Id;
use crate::record::{self, Exit, Phase, Record, Store};
use crate::state::KILLED;
use crate::storage;
use crate::sys::Host;

/// How long processes that were ended may need until they are gone, where the caller does not say.
const GONE: Duration = Duration::from_secs(10);

/// What is known about a container from outside of its keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// Its name.
    pub id: Id,
    /// Its record; none where that cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
    /// Whether it lives.
    pub standing: Standing,
}

/// Whether a container lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "standing")]
pub enum Standing {
    /// Its keeper lives: only that one knows how far it is.
    Held,
    /// Nothing of it runs.
    Stopped {
        /// How it ended; none where its keeper, or the host, ended before that was written down.
        #[serde(skip_serializing_if = "Option::is_none")]
        exit: Option<Exit>,
    },
    /// It is not certain whether anything of it runs.
    Unknown {
        /// Why.
        why: String,
    },
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    /// What was removed, in words.
    pub removed: Vec<String>,
    /// What could not be removed, and why.
    pub failed: Vec<String>,
}

/// Looks at a container. Changes nothing.
///
/// # Errors
/// [`super::Kind::NotFound`] where there is none of that name.
pub fn inspect(host: &dyn Host, store: &Store, id: &Id) -> Result<Found, Error> {
    match store.read(id) {
        Err(error @ record::Error::NotFound { .. }) => Err(error.into()),
        read => Ok(look(host, id.clone(), read)),
    }
}

/// Looks at all containers, in order of their names. Changes nothing.
pub fn inspect_all(host: &dyn Host, store: &Store) -> Result<Vec<Found>, Error> {
    let listed = store.list()?;
    let found = listed.into_iter().map(|(id, read)| look(host, id, read));
    Ok(found.collect())
}

fn look(host: &dyn Host, id: Id, read: Result<Record, record::Error>) -> Found {
    match read {
        Ok(record) => Found {
            id,
            standing: judge(host, &record),
            record: Some(record),
        },
        Err(error) => Found {
            id,
            standing: unknown(&error),
            record: None,
        },
    }
}

fn judge(host: &dyn Host, record: &Record) -> Standing {
    let stopped = Standing::Stopped {
        exit: record.exit.clone(),
    };
    match host.boot_id() {
        Ok(boot_id) if boot_id != record.boot_id => return stopped,
        Ok(_) => {}
        Err(error) => return unknown(&error),
    }
    if let Some(keeper) = record.keeper {
        match host.open_process(keeper) {
            Ok(Some(_)) => return Standing::Held,
            Ok(None) => {}
            Err(error) => return unknown(&error),
        }
    } else if record.phase == Phase::Creating {
        return Standing::Unknown {
            why: "it is being created by a process that did not say which one it is".to_owned(),
        };
    }
    match host.open_job(&record.job) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => stopped,
        Err(error) => unknown(&error),
        Ok(_) if record.keeper.is_none() => Standing::Held,
        Ok(_) => Standing::Unknown {
            why: "its keeper is gone, but its job is held open by another process".to_owned(),
        },
    }
}

fn unknown(error: &dyn std::error::Error) -> Standing {
    Standing::Unknown {
        why: error.to_string(),
    }
}

/// Removes what crashes left: processes without a keeper, halves of containers, mounts, accounts. What can be asked for its exit,
/// and what is unknown because its record cannot be read, stays. Can be repeated, and runs beside others.
pub fn sweep(host: &dyn Host, store: &Store) -> Result<Swept, Error> {
    let mut swept = Swept::default();
    match store.sweep() {
        Ok(removed) => swept.removed = removed,
        Err(error) => swept.failed.push(format!("records: {}", chain(&error))),
    }
    let mut live = BTreeSet::new();
    for found in inspect_all(host, store)? {
        let id = found.id.clone();
        let name = store.host_name(&id);
        if is_live(host, &found) {
            live.insert(name);
            continue;
        }
        let Some(record) = found.record else { continue };
        match settle(host, store, record) {
            Ok(Some(what)) => swept.removed.push(what),
            Ok(None) => {}
            Err(error) => {
                let why = chain(&error);
                swept.failed.push(format!("container {id}: {why}"));
                live.insert(name);
            }
        }
    }
    let lives = |id: &Id| live.contains(id) || may_have_job(host, id);
    let owner_lives = |owner: &str| Id::parse(owner).is_ok_and(|id| lives(&id));
    match host.sweep_identities(&owner_lives) {
        Ok(removed) => swept.removed.extend(removed),
        Err(error) => swept.failed.push(format!("temporary accounts: {error}")),
    }
    match storage::sweep(host.storage(), &host.places(), &lives) {
        Ok(removed) => {
            let roots = removed
                .iter()
                .map(|id| format!("the root of container {id}"));
            swept.removed.extend(roots);
        }
        Err(error) => swept.failed.push(format!("roots: {}", chain(&error))),
    }
    Ok(swept)
}

/// Whether a container of another store has this name: roots and accounts are those of the whole host, and each is there only
/// after its job.
fn may_have_job(host: &dyn Host, id: &Id) -> bool {
    let opened = host.open_job(&job_name(id));
    !matches!(opened, Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Whether nothing of it may be touched. A job whose keeper is gone is ended first: nobody can ask for it any more.
fn is_live(host: &dyn Host, found: &Found) -> bool {
    match (&found.standing, &found.record) {
        (Standing::Stopped { .. }, _) => false,
        (Standing::Held, _) | (Standing::Unknown { .. }, None) => true,
        (Standing::Unknown { .. }, Some(record)) => !is_ended(host, record, GONE),
    }
}

/// Ends the job of a container whose keeper is gone. Whether nothing of it runs then.
fn is_ended(host: &dyn Host, record: &Record, patience: Duration) -> bool {
    let keeper = record.keeper.map(|keeper| host.open_process(keeper));
    matches!(keeper, Some(Ok(None))) && end_job(host, &record.job, patience).is_ok()
}

fn end_job(host: &dyn Host, name: &str, patience: Duration) -> io::Result<()> {
    let job = match host.open_job(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    job.terminate(KILLED)?;
    if job.wait_empty(patience)? {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "processes do not end although they were killed",
    ))
}

/// Which start of the host this is.
pub(super) fn boot_id(host: &dyn Host) -> Result<String, Error> {
    let boot_id = host.boot_id();
    boot_id.map_err(Error::host("find out when the host was started"))
}

/// Undoes what was done for a container of which nothing runs. One that was never ready is removed; the others stay until
/// somebody asked how they ended. Of one from before the host was started again is not known whether it ever ran: a loss of power
/// can take back what was written last.
fn settle(host: &dyn Host, store: &Store, record: Record) -> Result<Option<String>, Error> {
    let id = record.id.clone();
    if record.phase == Phase::Creating && record.boot_id == boot_id(host)? {
        storage::undo(host.storage(), &record.undo)?;
        store.remove(&id)?;
        return Ok(Some(format!("container {id}, which was never ready")));
    }
    if record.phase == Phase::Stopped && record.undo.is_empty() {
        return Ok(None);
    }
    storage::undo(host.storage(), &record.undo)?;
    let settled = Record {
        phase: Phase::Stopped,
        undo: Vec::new(),
        ..record
    };
    store.write(&settled)?;
    Ok(Some(format!(
        "what was left of container {id}, which has stopped"
    )))
}

/// Deletes a container that has no keeper any more. `force`: also one whose record cannot be read.
///
/// # Errors
/// [`super::Kind::NotFound`] where there is none, [`super::Kind::FailedPrecondition`] while its keeper lives, or where that is
/// not certain.
pub fn discard(
    host: &dyn Host,
    store: &Store,
    id: &Id,
    force: bool,
) -> Result<Option<Exit>, Error> {
    discard_within(host, store, id, force, GONE)
}

/// The same, for a caller with little time: what was ended has no more than `patience` until it is gone. It can be repeated.
///
/// # Errors
/// Those of [`discard`].
pub fn discard_within(
    host: &dyn Host,
    store: &Store,
    id: &Id,
    force: bool,
    patience: Duration,
) -> Result<Option<Exit>, Error> {
    let record = match store.read(id) {
        Err(record::Error::Damaged { .. }) if force => {
            return discard_damaged(host, store, id, patience);
        }
        read => read?,
    };
    match judge(host, &record) {
        Standing::Stopped { .. } => {}
        Standing::Unknown { .. } if is_ended(host, &record, patience) => {}
        Standing::Held => {
            let why = "its keeper lives".to_owned();
            return Err(Error::MightRun {
                id: id.clone(),
                why,
            });
        }
        Standing::Unknown { why } => {
            return Err(Error::MightRun {
                id: id.clone(),
                why,
            });
        }
    }
    storage::undo(host.storage(), &record.undo)?;
    remove(host, store, id)?;
    Ok(record.exit)
}

/// Without a record, the job is known by its name, and what was attached by its marks.
fn discard_damaged(
    host: &dyn Host,
    store: &Store,
    id: &Id,
    patience: Duration,
) -> Result<Option<Exit>, Error> {
    let name = store.host_name(id);
    end_job(host, &job_name(&name), patience).map_err(Error::host("end the processes"))?;
    let lives = |other: &Id| *other != name;
    storage::sweep(host.storage(), &host.places(), &lives)?;
    remove(host, store, id)?;
    Ok(None)
}

fn remove(host: &dyn Host, store: &Store, id: &Id) -> Result<(), Error> {
    let name = store.host_name(id);
    let lives = |owner: &str| owner != name.as_str();
    let swept = host.sweep_identities(&lives);
    swept.map_err(Error::host("remove the temporary account of the container"))?;
    store.remove(id)?;
    Ok(())
}
