//! `delete`: what containerd has done for a container whose shim it lost.
//!
//! Mostly the shim is gone, and everything of its containers ended with it. Where it still answers, it removes the container
//! itself, so that it does not go on with one that is gone; and it is told to leave. Where it lives and does not answer, it is
//! ended, but only after it had the time that one needs to leave by itself: its last events may be on their way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use containerd_shim_protos::api::{DeleteRequest, DeleteResponse, KillRequest, ShutdownRequest};
use jiff::Timestamp;
use protobuf::well_known_types::timestamp::Timestamp as Time;
use protobuf::{Message, MessageField};

use super::arguments::Options;
use super::bundle::{Bundle, Known};
use super::error::CommandError;
use super::start;
use crate::shim::service::{Cleaned, clean};
use crate::sys::Host;
use crate::ttrpc::{Client, Code, Error};

/// The task service that is asked; the shim has both versions.
const SERVICE: &str = "containerd.task.v3.Task";

/// How long a shim may take for an answer. containerd gives the whole command five seconds.
const PATIENCE: Duration = Duration::from_millis(800);

/// How long a container may take to end once it was killed.
const END: Duration = Duration::from_millis(1500);

/// How long a shim may take to leave by itself.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often is looked.
const LOOK: Duration = Duration::from_millis(10);

/// The number of the signal that ends a program at once.
const KILL: u32 = 9;

/// What came of it.
pub(super) struct Deleted {
    /// The message for containerd.
    pub(super) response: Vec<u8>,
    /// What panics of the shim said; containerd logs it.
    pub(super) panics: Option<String>,
}

/// Ends and removes a container, and its shim where nobody needs it.
pub(super) fn delete(
    host: &Arc<dyn Host>,
    options: &Options,
    program: &Path,
) -> Result<Deleted, CommandError> {
    let bundle = Bundle::open(options.bundle.as_deref())?;
    start::leave(program)?;
    let own = bundle.known();
    let id = options.id.as_str();
    let shim = bundle
        .address()
        .and_then(|address| Client::connect(host, &address, PATIENCE).ok());
    let deleted = shim.as_ref().and_then(|shim| remove(shim, id));
    let left = shim.as_ref().is_some_and(|shim| leave(shim, id));
    drop(shim);
    if let Some(known) = &own {
        end(host.as_ref(), known, left);
        start::sweep(host.as_ref(), &known.address);
    }
    let state_root = match own.or_else(|| bundle.known_of_pod()) {
        Some(known) => known.state_root,
        None => state_root(host.as_ref())?,
    };
    let cleaned = clean(host.as_ref(), options.namespace.as_str(), id, &state_root)?;
    let response = deleted.unwrap_or_else(|| response(&cleaned));
    Ok(Deleted {
        response: response
            .write_to_bytes()
            .map_err(|error| CommandError::Print(error.into()))?,
        panics: bundle.panics(),
    })
}

fn state_root(host: &dyn Host) -> Result<PathBuf, CommandError> {
    start::state_root(&host.places())
}

fn response(cleaned: &Cleaned) -> DeleteResponse {
    DeleteResponse {
        pid: cleaned.pid,
        exit_status: cleaned.exit_status,
        exited_at: MessageField::some(time(cleaned.exited_at)),
        ..DeleteResponse::default()
    }
}

fn time(at: Timestamp) -> Time {
    Time {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
        ..Time::default()
    }
}

/// Has the shim end and remove the container; none where it does not know it, or cannot.
fn remove(shim: &Client, id: &str) -> Option<DeleteResponse> {
    let kill = KillRequest {
        id: id.to_owned(),
        signal: KILL,
        all: true,
        ..KillRequest::default()
    };
    // One that ended already cannot be killed.
    if let Err(error) = ask(shim, "Kill", &kill)
        && !matches!(&error, Error::Status(_))
    {
        return None;
    }
    let request = DeleteRequest {
        id: id.to_owned(),
        ..DeleteRequest::default()
    };
    let deadline = Instant::now() + END;
    loop {
        match ask(shim, "Delete", &request) {
            Ok(answer) => return DeleteResponse::parse_from_bytes(&answer).ok(),
            Err(Error::Status(status))
                if status.code == Code::FailedPrecondition && Instant::now() < deadline =>
            {
                thread::sleep(LOOK);
            }
            Err(_) => return None,
        }
    }
}

/// Tells the shim to leave, if it is of this container and has no other. Returns whether it answers.
fn leave(shim: &Client, id: &str) -> bool {
    let request = ShutdownRequest {
        id: id.to_owned(),
        ..ShutdownRequest::default()
    };
    matches!(
        ask(shim, "Shutdown", &request),
        Ok(_) | Err(Error::Status(_))
    )
}

fn ask(shim: &Client, method: &str, request: &impl Message) -> Result<Vec<u8>, Error> {
    shim.call(SERVICE, method, &request.write_to_bytes()?, PATIENCE)
}

/// Waits until a shim has left. One that does not answer is ended then; one that does has other containers.
fn end(host: &dyn Host, known: &Known, answers: bool) {
    let Ok(Some(process)) = host.open_process(known.process) else {
        return;
    };
    let has_ended = matches!(process.wait(FAREWELL), Ok(Some(_)));
    if !has_ended && !answers {
        drop(process.terminate(1));
        // What ran in its containers ends with it; whatever is still there then is ended next.
        drop(process.wait(PATIENCE));
    }
}
