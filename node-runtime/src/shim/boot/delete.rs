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
use protobuf::well_known_types::timestamp::Timestamp as Stamp;
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

/// How long a shim may take for an answer.
const PATIENCE: Duration = Duration::from_millis(800);

/// How much of the time is gone at most when no more is asked of a shim than to leave, and when one that did not leave is
/// ended.
const ASKED: Duration = Duration::from_millis(1700);
const WAITED: Duration = Duration::from_millis(3500);

/// How long a shim may take to leave by itself, where there is so much time.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long all of it takes at most, but for removing files: containerd gives the whole command five seconds, and ends it then.
const WHOLE: Duration = Duration::from_millis(4500);

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
    let time = Time::begin();
    let bundle = Bundle::open(options.bundle.as_deref())?;
    start::leave(program)?;
    let own = bundle.known();
    let id = options.id.as_str();
    let shim = bundle
        .address()
        .and_then(|address| Client::connect(host, &address, time.left(ASKED, PATIENCE)).ok());
    let deleted = shim.as_ref().and_then(|shim| remove(shim, id, &time));
    let left = shim.as_ref().is_some_and(|shim| leave(shim, id));
    drop(shim);
    if let Some(known) = &own {
        end(host.as_ref(), known, left, &time);
        start::sweep(host.as_ref(), &known.address);
    }
    let state_root = match own.or_else(|| bundle.known_of_pod()) {
        Some(known) => known.state_root,
        None => state_root(host.as_ref())?,
    };
    let until = time.until(WHOLE);
    let namespace = options.namespace.as_str();
    let cleaned = clean(host.as_ref(), namespace, id, &state_root, until)?;
    let response = deleted.unwrap_or_else(|| response(&cleaned));
    Ok(Deleted {
        response: response
            .write_to_bytes()
            .map_err(|error| CommandError::Print(error.into()))?,
        panics: bundle.panics(),
    })
}

/// The time that the whole command has.
struct Time {
    begin: Instant,
}

impl Time {
    fn begin() -> Self {
        Self {
            begin: Instant::now(),
        }
    }

    /// When so much of it is gone.
    fn until(&self, part: Duration) -> Instant {
        self.begin + part
    }

    /// How long something may take that has to be done when so much of it is gone, and has no more than this in any case.
    fn left(&self, part: Duration, most: Duration) -> Duration {
        let left = self.until(part).saturating_duration_since(Instant::now());
        left.min(most)
    }
}

fn state_root(host: &dyn Host) -> Result<PathBuf, CommandError> {
    start::state_root(&host.places())
}

fn response(cleaned: &Cleaned) -> DeleteResponse {
    DeleteResponse {
        pid: cleaned.pid,
        exit_status: cleaned.exit_status,
        exited_at: MessageField::some(stamp(cleaned.exited_at)),
        ..DeleteResponse::default()
    }
}

fn stamp(at: Timestamp) -> Stamp {
    Stamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
        ..Stamp::default()
    }
}

/// Has the shim end and remove the container; none where it does not know it, or cannot.
fn remove(shim: &Client, id: &str, time: &Time) -> Option<DeleteResponse> {
    let kill = KillRequest {
        id: id.to_owned(),
        signal: KILL,
        all: true,
        ..KillRequest::default()
    };
    // One that ended already cannot be killed.
    if let Err(error) = ask(shim, "Kill", &kill, time.left(ASKED, PATIENCE))
        && !matches!(&error, Error::Status(_))
    {
        return None;
    }
    let request = DeleteRequest {
        id: id.to_owned(),
        ..DeleteRequest::default()
    };
    loop {
        match ask(shim, "Delete", &request, time.left(ASKED, PATIENCE)) {
            Ok(answer) => return DeleteResponse::parse_from_bytes(&answer).ok(),
            Err(Error::Status(status)) if status.code == Code::FailedPrecondition => {
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
        ask(shim, "Shutdown", &request, PATIENCE),
        Ok(_) | Err(Error::Status(_))
    )
}

fn ask(
    shim: &Client,
    method: &str,
    request: &impl Message,
    patience: Duration,
) -> Result<Vec<u8>, Error> {
    shim.call(SERVICE, method, &request.write_to_bytes()?, patience)
}

/// Waits until a shim has left. One that does not answer is ended then; one that does has other containers.
fn end(host: &dyn Host, known: &Known, answers: bool, time: &Time) {
    let Ok(Some(process)) = host.open_process(known.process) else {
        return;
    };
    let has_ended = matches!(process.wait(time.left(WAITED, FAREWELL)), Ok(Some(_)));
    if !has_ended && !answers {
        drop(process.terminate(1));
        // What ran in its containers ends with it; whatever is still there then is ended next.
        drop(process.wait(time.left(WHOLE, PATIENCE)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_own_patience_and_all_of_them_have_one_end() {
        let seconds = Duration::from_secs_f64;
        let after = |gone| Time {
            begin: Instant::now().checked_sub(seconds(gone)).unwrap(),
        };
        // No test waits here: what is left only gets less.
        assert_eq!(after(0.0).left(WHOLE, seconds(0.1)), seconds(0.1));
        assert!(after(1.5).left(ASKED, PATIENCE) <= seconds(0.2));
        assert_eq!(after(1.7).left(ASKED, PATIENCE), Duration::ZERO);
        assert!(after(2.5).left(WAITED, FAREWELL) <= seconds(1.0));
        assert_eq!(after(60.0).left(WHOLE, FAREWELL), Duration::ZERO);
    }
}
