//! What is known about a container: from its keeper where that lives, from its record where not. Nothing is guessed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::OCI_VERSION;
use super::context::Context;
use super::error::CommandError;
use crate::container::{Found, Standing, inspect, inspect_all};
use crate::id::Id;
use crate::keeper::client::Client;
use crate::keeper::protocol::{Request, chain};
use crate::record::{Exit, Phase, Record};
use crate::sys::ProcessId;

/// The state of a container as OCI runtimes print it, and what is ours.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Known {
    oci_version: &'static str,
    /// Its name.
    pub(super) id: Id,
    /// `creating`, `created`, `running`, `paused`, `stopping`, `stopped`, or `unknown` where nobody can say.
    pub(super) status: String,
    /// The number of its first process, while that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pid: Option<u32>,
    /// The folder with its config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bundle: Option<String>,
    /// The annotations of its config.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<Timestamp>,
    /// When it was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started: Option<Timestamp>,
    /// How it ended, with all 32 bits of the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit: Option<Exit>,
    /// The number of the process that holds it, where that lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keeper: Option<u32>,
    /// Where its root appears.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) root: Option<String>,
    /// The names of the processes that were added by `exec` and not forgotten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) execs: Vec<Id>,
    /// What became of its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<Value>,
    /// What has to be said about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// What a keeper says about its container.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    phase: String,
    process: Option<ProcessId>,
    exit: Option<Exit>,
    created: Timestamp,
    started: Option<Timestamp>,
    root: Option<String>,
    #[serde(default)]
    execs: Vec<Id>,
    output: Option<Value>,
    record_error: Option<String>,
}

impl Told {
    /// The number of the process while it runs: later, another one may have it.
    fn pid(&self) -> Option<u32> {
        let runs = matches!(self.phase.as_str(), "running" | "paused" | "stopping");
        self.process.filter(|_| runs).map(|it| it.pid)
    }
}

/// A process that was added by `exec`, in the words of [`Known`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KnownAdded {
    /// Its container.
    pub(super) id: Id,
    /// Its own name.
    pub(super) exec: Id,
    /// `created`, `running`, `paused` or `stopped`.
    pub(super) status: String,
    /// Its number, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pid: Option<u32>,
    /// When it was added.
    pub(super) created: Timestamp,
    /// When it was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started: Option<Timestamp>,
    /// How it ended, with all 32 bits of the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit: Option<Exit>,
    /// What became of its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<Value>,
}

/// What is known about a process that was added to a container whose keeper lives.
pub(super) fn added(context: &Context, id: &Id, exec: &Id) -> Result<KnownAdded, CommandError> {
    let request = Request::Status {
        exec: Some(exec.clone()),
    };
    let told: Told = context.keeper(id)?.ask_now(&request)?;
    Ok(KnownAdded {
        id: id.clone(),
        exec: exec.clone(),
        pid: told.pid(),
        status: told.phase,
        created: told.created,
        started: told.started,
        exit: told.exit,
        output: told.output,
    })
}

/// What is known about a container that exists.
pub(super) fn known(context: &Context, id: &Id) -> Result<Known, CommandError> {
    let store = context.records()?;
    let store = store.ok_or_else(|| context.no_container(id))?;
    // Says in our words that there is none.
    if let Err(error @ CommandError::NoContainer { .. }) = context.record(&store, id) {
        return Err(error);
    }
    let found = inspect(context.host.as_ref(), &store, id)?;
    Ok(complete(context, found))
}

/// What is known about all containers, in order of their names.
pub(super) fn all(context: &Context) -> Result<Vec<Known>, CommandError> {
    let Some(store) = context.records()? else {
        return Ok(Vec::new());
    };
    let found = inspect_all(context.host.as_ref(), &store)?;
    let all = found.into_iter().map(|found| complete(context, found));
    Ok(all.collect())
}

/// Asks the keeper where there is one.
fn complete(context: &Context, found: Found) -> Known {
    if found.standing != Standing::Held {
        return of_found(found);
    }
    // Only a shim, which is asked by containerd, holds a container without an address.
    let of_shim = found.record.clone().filter(|it| it.address.is_none());
    let mut known = of_found(found);
    if let Some(record) = of_shim {
        tell_recorded(&mut known, record);
        return known;
    }
    let request = Request::Status { exec: None };
    let told = Client::connect(context.host.as_ref(), &context.address(&known.id))
        .and_then(|mut client| client.ask_now::<Told>(&request));
    match told {
        Ok(told) => tell(&mut known, told),
        // It is between two of its steps, or it hangs: what the record says is older, not wrong.
        Err(error) => known.note = Some(chain(&error)),
    }
    known
}

/// What the record alone says.
fn of_found(found: Found) -> Known {
    let (status, exit, note) = match found.standing {
        Standing::Held => ("unknown", None, None),
        Standing::Stopped { exit: Some(exit) } => ("stopped", Some(exit), None),
        Standing::Stopped { exit: None } => (
            "stopped",
            None,
            Some("it ended with its keeper or its host; how is not known".to_owned()),
        ),
        Standing::Unknown { why } => ("unknown", None, Some(why)),
    };
    let is_held = note.is_none() && exit.is_none();
    let record = found.record;
    let keeper = record.as_ref().and_then(|it| it.keeper);
    Known {
        oci_version: OCI_VERSION,
        id: found.id,
        status: status.to_owned(),
        pid: None,
        bundle: record.as_ref().map(|it| it.bundle.clone()),
        created: record.as_ref().map(|it| it.created),
        annotations: record.map(|it| it.annotations).unwrap_or_default(),
        started: None,
        exit,
        keeper: keeper.filter(|_| is_held).map(|it| it.pid),
        root: None,
        execs: Vec::new(),
        output: None,
        note,
    }
}

/// What the record of a container says that a shim holds: it is written at every step but a pause.
fn tell_recorded(known: &mut Known, record: Record) {
    let status = match record.phase {
        Phase::Creating => "creating",
        Phase::Created => "created",
        Phase::Running => "running",
        Phase::Stopped => "stopped",
    };
    status.clone_into(&mut known.status);
    let init = record.init.filter(|_| record.phase == Phase::Running);
    known.pid = init.map(|it| it.pid);
    known.exit = record.exit;
    known.note = Some("a shim holds it; containerd is asked for the rest".to_owned());
}

/// What the keeper says counts.
fn tell(known: &mut Known, told: Told) {
    known.pid = told.pid();
    known.status = told.phase;
    known.exit = told.exit;
    known.started = told.started;
    known.root = told.root;
    known.execs = told.execs;
    known.output = told.output;
    known.note = told.record_error;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(standing: Standing) -> Known {
        let id = Id::parse("web").unwrap();
        let record = None;
        of_found(Found {
            id,
            record,
            standing,
        })
    }

    #[test]
    fn nothing_is_made_up_about_a_container_whose_keeper_is_gone() {
        let lost = found(Standing::Stopped { exit: None });
        assert_eq!((lost.status.as_str(), lost.exit), ("stopped", None));
        assert!(lost.note.unwrap().contains("not known"));
        let why = "the record is damaged".to_owned();
        let unknown = found(Standing::Unknown { why: why.clone() });
        assert_eq!(
            (unknown.status.as_str(), unknown.note),
            ("unknown", Some(why))
        );
    }

    #[test]
    fn a_container_that_a_shim_holds_is_as_far_as_its_record_says() {
        let mut known = found(Standing::Held);
        let init = Some(ProcessId {
            pid: 77,
            started: 1,
        });
        let mut record = Record {
            id: known.id.clone(),
            bundle: String::new(),
            created: Timestamp::UNIX_EPOCH,
            boot_id: String::new(),
            job: String::new(),
            phase: Phase::Running,
            keeper: None,
            address: None,
            init,
            exit: None,
            undo: Vec::new(),
            annotations: BTreeMap::new(),
        };
        tell_recorded(&mut known, record.clone());
        assert_eq!((known.status.as_str(), known.pid), ("running", Some(77)));
        assert!(known.note.clone().unwrap().contains("containerd"));
        record.phase = Phase::Stopped;
        tell_recorded(&mut known, record);
        assert_eq!((known.status.as_str(), known.pid), ("stopped", None));
    }

    #[test]
    fn what_the_keeper_says_counts_and_the_number_of_a_process_that_ended_is_left_out() {
        let mut known = found(Standing::Held);
        assert_eq!(known.status, "unknown");
        let mut told = serde_json::json!({
            "phase": "running", "process": { "pid": 7, "started": 1 }, "created": "2026-11-22T08:59:59Z",
            "started": "2026-11-22T09:00:00Z", "output": { "lostBytes": 0, "wasCut": false },
        });
        tell(&mut known, serde_json::from_value(told.clone()).unwrap());
        assert_eq!((known.status.as_str(), known.pid), ("running", Some(7)));
        told["phase"] = "stopped".into();
        tell(&mut known, serde_json::from_value(told).unwrap());
        assert_eq!((known.status.as_str(), known.pid), ("stopped", None));
    }
}
