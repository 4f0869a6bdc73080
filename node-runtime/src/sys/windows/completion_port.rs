//! One completion port and one thread that hear from all jobs.
//!
//! Its key is a number we mint, because the number of a handle is given again after it was closed. Windows does not promise
//! that a message arrives, so nothing waits for a message alone: it only shortens a wait that asks again.
#![expect(unsafe_code, reason = "the port is made, fed and read by Win32 calls")]

use std::collections::BTreeMap;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::System::IO::{
    CreateIoCompletionPort, GetQueuedCompletionStatus, OVERLAPPED, PostQueuedCompletionStatus,
};
use windows_sys::Win32::System::JobObjects::JOBOBJECT_ASSOCIATE_COMPLETION_PORT;
use windows_sys::Win32::System::SystemServices::{
    JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS, JOB_OBJECT_MSG_ACTIVE_PROCESS_LIMIT,
    JOB_OBJECT_MSG_ACTIVE_PROCESS_ZERO, JOB_OBJECT_MSG_EXIT_PROCESS,
    JOB_OBJECT_MSG_JOB_MEMORY_LIMIT, JOB_OBJECT_MSG_NEW_PROCESS,
    JOB_OBJECT_MSG_PROCESS_MEMORY_LIMIT,
};
use windows_sys::Win32::System::Threading::INFINITE;

use super::handle::{Handle, check, own};
use super::job_info;
use super::notices::Notices;
use crate::sys::Notice;

/// The key of the message that ends the thread. Jobs have keys from 1.
const STOP: usize = 0;

type Readers = Arc<Mutex<BTreeMap<usize, Arc<Notices>>>>;

/// The port. Its thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct CompletionPort {
    port: Arc<Handle>,
    readers: Readers,
    next_key: AtomicUsize,
}

impl CompletionPort {
    /// Makes the port and its thread.
    pub(super) fn open() -> io::Result<Self> {
        // SAFETY: `INVALID_HANDLE_VALUE` without a port asks for a new port.
        let raw = unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, ptr::null_mut(), STOP, 1) };
        // SAFETY: `raw` is what the call just returned: null, or a handle that only this function knows.
        let port = Arc::new(unsafe { own(raw) }?);
        let readers = Readers::default();
        let listener = (Arc::clone(&port), Arc::clone(&readers));
        thread::Builder::new()
            .name("job notices".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || deliver(&listener.0, &listener.1))?;
        Ok(Self {
            port,
            readers,
            next_key: AtomicUsize::new(STOP + 1),
        })
    }

    /// Lets a job that was just made report here, as long as the subscription lives.
    pub(super) fn watch(self: &Arc<Self>, job: &Handle) -> io::Result<Subscription> {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let notices = Arc::new(Notices::default());
        lock(&self.readers).insert(key, Arc::clone(&notices));
        let subscription = Subscription {
            port: Arc::clone(self),
            key,
            notices,
        };
        let association = JOBOBJECT_ASSOCIATE_COMPLETION_PORT {
            CompletionKey: ptr::without_provenance_mut(key),
            CompletionPort: self.port.as_raw_handle(),
        };
        job_info::set(job, &association)?;
        Ok(subscription)
    }
}

impl Drop for CompletionPort {
    fn drop(&mut self) {
        // Fails only where the port is gone, and with it the thread.
        // SAFETY: the port is open while `self` has it; key and size are numbers, and no overlapped operation is named.
        unsafe { PostQueuedCompletionStatus(self.port.as_raw_handle(), 0, STOP, ptr::null()) };
    }
}

/// That a job reports here.
#[derive(Debug)]
pub(super) struct Subscription {
    port: Arc<CompletionPort>,
    key: usize,
    notices: Arc<Notices>,
}

impl Subscription {
    /// What the job reported.
    pub(super) fn notices(&self) -> &Notices {
        &self.notices
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&self.port.readers).remove(&self.key);
    }
}

/// Hands every message to the reader of its job, until the port is dropped.
fn deliver(port: &Handle, readers: &Readers) {
    loop {
        let Ok((key, message, process)) = receive(port) else {
            return;
        };
        if key == STOP {
            return;
        }
        let reader = lock(readers).get(&key).cloned();
        if let (Some(reader), Some(notice)) = (reader, notice(message, process)) {
            reader.push(notice);
        }
    }
}

/// The next message: its key, what it says, and the process it is about.
fn receive(port: &Handle) -> io::Result<(usize, u32, u32)> {
    let (mut message, mut key) = (0, STOP);
    let mut process: *mut OVERLAPPED = ptr::null_mut();
    // SAFETY: the port is open while it is borrowed, and the three locals receive one value each.
    let result = unsafe {
        GetQueuedCompletionStatus(
            port.as_raw_handle(),
            &raw mut message,
            &raw mut key,
            &raw mut process,
            INFINITE,
        )
    };
    check(result)?;
    // What looks like a pointer is the number of the process: job messages carry no overlapped operation.
    let process = u32::try_from(process.addr()).map_err(io::Error::other)?;
    Ok((key, message, process))
}

/// What a message of a job means; none where it says nothing that is asked for.
fn notice(message: u32, pid: u32) -> Option<Notice> {
    match message {
        JOB_OBJECT_MSG_NEW_PROCESS => Some(Notice::Started { pid }),
        JOB_OBJECT_MSG_EXIT_PROCESS => Some(Notice::Ended {
            pid,
            abnormal: false,
        }),
        JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS => Some(Notice::Ended {
            pid,
            abnormal: true,
        }),
        JOB_OBJECT_MSG_ACTIVE_PROCESS_ZERO => Some(Notice::Empty),
        JOB_OBJECT_MSG_PROCESS_MEMORY_LIMIT | JOB_OBJECT_MSG_JOB_MEMORY_LIMIT => {
            Some(Notice::MemoryLimit {
                pid: (pid != 0).then_some(pid),
            })
        }
        JOB_OBJECT_MSG_ACTIVE_PROCESS_LIMIT => Some(Notice::ProcessLimit),
        _ => None,
    }
}

fn lock(readers: &Readers) -> std::sync::MutexGuard<'_, BTreeMap<usize, Arc<Notices>>> {
    readers.lock().unwrap_or_else(PoisonError::into_inner)
}
