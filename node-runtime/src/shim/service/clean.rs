//! What the `delete` command of the shim does for a container whose shim is gone.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Error;
use super::look::UNKNOWN;
use crate::container::{self, Kind};
use crate::id::Id;
use crate::record::{Exit, Record, Store};
use crate::sys::Host;

/// How long what was ended may take until it is gone, where there is so much time.
const GONE: Duration = Duration::from_secs(2);

/// The annotations that say of which pod a container is.
const SANDBOX_ID: &str = "io.kubernetes.cri.sandbox-id";

/// What was cleaned up, for the answer to containerd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// The number of the first process; 0 where that is not known.
    pub pid: u32,
    /// How it ended: 255, now, where nobody wrote it down.
    pub exit_status: u32,
    /// When.
    pub exited_at: Timestamp,
}

/// Ends and removes all that is left of a container. It can be repeated, and needs no shim.
///
/// A shim of this container alone that still runs is ended: containerd asks for this when it does not answer. One that serves
/// a pod is left alone, as it has others. Nothing is waited for after `until`: what is left is removed by whoever comes next.
///
/// # Errors
/// Where something of it cannot be removed; it can be tried again.
pub fn clean(
    host: &dyn Host,
    namespace: &str,
    id: &str,
    state_root: &Path,
    until: Instant,
) -> Result<Cleaned, Error> {
    let id = super::name("id", id)?;
    let namespace = super::name("namespace", namespace)?;
    let store = super::open(host, &namespace, state_root)?;
    let record = store.read(&id).ok();
    let pid = record
        .as_ref()
        .and_then(|it| it.init)
        .map_or(0, |it| it.pid);
    let known = record.as_ref().and_then(|it| it.exit.clone());
    if let Some(record) = &record {
        end(host, record, until);
    }
    let exit = match container::discard_within(host, &store, &id, true, patience(until)) {
        Ok(exit) => exit.or(known),
        Err(error) if error.kind() == Kind::NotFound => known,
        // Its pod's shim lives, has seen its end, and removes it.
        Err(container::Error::MightRun { .. }) => last_word(&store, &id, until).or(known),
        Err(error) => return Err(Error::Left(error)),
    };
    Ok(match exit {
        Some(exit) => Cleaned {
            pid,
            exit_status: exit.code,
            exited_at: exit.at,
        },
        None => Cleaned {
            pid,
            exit_status: UNKNOWN,
            exited_at: host.now(),
        },
    })
}

/// Ends what runs in the container, and its shim where that has no other.
fn end(host: &dyn Host, record: &Record, until: Instant) {
    if let Ok(job) = host.open_job(&record.job) {
        // What does not work shows when the rest is removed.
        drop(job.terminate(container::KILLED));
        drop(job.wait_empty(patience(until)));
    }
    let pod = record.annotations.get(SANDBOX_ID);
    let is_own = pod.is_none_or(|pod| pod == record.id.as_str());
    let Some(keeper) = record.keeper.filter(|_| is_own) else {
        return;
    };
    if let Ok(Some(shim)) = host.open_process(keeper) {
        drop(shim.terminate(1));
        drop(shim.wait(patience(until)));
    }
}

fn patience(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).min(GONE)
}

/// How a container ended whose shim lives and is about to write that down.
fn last_word(store: &Store, id: &Id, until: Instant) -> Option<Exit> {
    let deadline = Instant::now() + patience(until);
    loop {
        let exit = store.read(id).ok()?.exit;
        if exit.is_some() || Instant::now() >= deadline {
            return exit;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
