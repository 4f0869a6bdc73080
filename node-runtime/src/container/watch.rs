//! Watches processes: one thread for each, there before its process, gone after its end.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::Error;
use super::inner::Inner;
use super::process::{Running, release};
use crate::id::Id;
use crate::state::{Added, KILLED, Request, Stage};
use crate::sys::{Notice, Process};

/// How long output that is left is passed on after the end of a process: a descendant may hold the stream for ever.
const DRAIN: Duration = Duration::from_secs(1);

/// How long nothing has to be told by the host until one looks: Windows does not promise to tell.
const LOOK: Duration = Duration::from_secs(1);

/// How long a process needs to be seen as ended, once the host told of its end.
const SETTLE: Duration = Duration::from_millis(100);

/// How long one waits before asking a host again that could not answer.
const RETRY: Duration = Duration::from_millis(100);

/// A thread that waits for a process.
pub(super) struct Watcher {
    process: Sender<Arc<Running>>,
}

impl Watcher {
    /// Gives it the process. Without one, it ends when this is dropped.
    pub(super) fn watch(self, running: Arc<Running>) {
        // It waits for nothing else, so it is there.
        let _taken = self.process.send(running);
    }
}

/// A watcher for the first process: at its end, it sees to it that the container ends.
pub(super) fn first(inner: &Arc<Inner>) -> Result<Watcher, Error> {
    let inner = Arc::clone(inner);
    watcher(move |running| watch_first(&inner, running))
}

/// A watcher for an added process.
pub(super) fn added(inner: &Arc<Inner>, id: &Id) -> Result<Watcher, Error> {
    let (inner, id) = (Arc::clone(inner), id.clone());
    watcher(move |running| watch_added(&inner, &id, running))
}

fn watcher(watch: impl FnOnce(Arc<Running>) + Send + 'static) -> Result<Watcher, Error> {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::Builder::new().name("watcher".to_owned());
    let spawned = thread.spawn(move || {
        if let Ok(running) = receiver.recv() {
            watch(running);
        }
    });
    spawned.map_err(|source| Error::Thread {
        what: "waiting for a process",
        source,
    })?;
    Ok(Watcher { process: sender })
}

fn watch_added(inner: &Inner, id: &Id, running: Arc<Running>) {
    let code = loop {
        match running.process.wait(Duration::from_hours(1)) {
            Ok(Some(code)) => break code,
            Ok(None) => {}
            Err(_) => thread::sleep(RETRY),
        }
    };
    running.relays.finish(Instant::now() + DRAIN);
    // Its handles and its account are gone before anybody hears of its end.
    drop(release(&mut inner.lock(), Some(id)));
    drop(running);
    // It ran, so its end is no surprise to the state.
    let _told = inner.apply(Request::AddedEnded(id.clone(), code));
}

fn watch_first(inner: &Inner, running: Arc<Running>) {
    let code = first_end(inner, running.process.as_ref());
    let _told = inner.apply(Request::InitEnded(code));
    let mut running = Some(running);
    loop {
        if !is_empty(inner) {
            continue;
        }
        if let Some(running) = running.take() {
            running.relays.finish(Instant::now() + DRAIN);
            drop(release(&mut inner.lock(), None));
        }
        let _told = inner.apply(Request::Empty);
        if has_stopped(inner) {
            return;
        }
    }
}

/// Waits for the end of the first process, and tells what the host says meanwhile.
fn first_end(inner: &Inner, process: &dyn Process) -> u32 {
    let pid = process.id().pid;
    let mut patience = Duration::ZERO;
    loop {
        if let Ok(Some(code)) = process.wait(patience) {
            return code;
        }
        let notice = inner.job().map(|job| job.next_notice(LOOK));
        patience = match notice {
            Ok(Ok(Some(notice))) => {
                tell(inner, notice);
                let is_its_end = match notice {
                    Notice::Empty => true,
                    Notice::Ended { pid: ended, .. } => ended == pid,
                    Notice::Started { .. } | Notice::MemoryLimit { .. } | Notice::ProcessLimit => {
                        false
                    }
                };
                if is_its_end { SETTLE } else { Duration::ZERO }
            }
            Ok(Ok(None)) => Duration::ZERO,
            // A host that tells nothing: the process alone is waited for.
            Ok(Err(_)) | Err(_) => LOOK,
        };
    }
}

/// Waits a while for the end of every process of the job, and ends them where they have to end. Whether none is left.
fn is_empty(inner: &Inner) -> bool {
    let Ok(job) = inner.job() else {
        return true;
    };
    let must_end = matches!(
        inner.lock().state.stage,
        Stage::Ending {
            graceful: false,
            ..
        }
    );
    let empty = job.wait_empty(LOOK);
    if must_end && !matches!(empty, Ok(true)) {
        let _again_later = job.terminate(KILLED);
    }
    let Ok(is_empty) = empty else {
        thread::sleep(RETRY);
        return false;
    };
    // What it ran into is known before its end is told.
    while let Ok(Some(notice)) = job.next_notice(Duration::ZERO) {
        tell(inner, notice);
    }
    is_empty
}

fn tell(inner: &Inner, notice: Notice) {
    let request = match notice {
        Notice::MemoryLimit { pid } => Request::MemoryLimit(pid),
        Notice::ProcessLimit => Request::ProcessLimit,
        Notice::Started { .. } | Notice::Ended { .. } | Notice::Empty => return,
    };
    let _told = inner.apply(request);
}

/// Whether the container has stopped; waits a while for an added process that has not told its end yet.
fn has_stopped(inner: &Inner) -> bool {
    let begin = Instant::now();
    let mut life = inner.lock();
    loop {
        if life.state.exit().is_some() {
            return true;
        }
        let lives = |it: &Added| matches!(it, Added::Starting | Added::Running { .. });
        let left = LOOK.saturating_sub(begin.elapsed());
        if left.is_zero() || !life.state.added.values().any(lives) {
            return false;
        }
        life = inner.wait_changed(life, left);
    }
}
