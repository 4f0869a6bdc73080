//! Reads and writes that can be cut short: by a deadline, or from another thread.
#![expect(
    unsafe_code,
    reason = "the system writes to our memory until an operation is over"
)]

use std::io;
use std::os::windows::io::AsRawHandle;
use std::ptr;
use std::sync::Arc;

use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_HANDLE_EOF, ERROR_IO_PENDING, ERROR_NO_DATA, ERROR_PIPE_NOT_CONNECTED,
    WAIT_FAILED, WAIT_OBJECT_0,
};
use windows_sys::Win32::Storage::FileSystem::{ReadFile, WriteFile};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Pipes::ConnectNamedPipe;
use windows_sys::Win32::System::Threading::{
    CreateEventW, SetEvent, WaitForMultipleObjects, WaitForSingleObject,
};
use windows_sys::core::BOOL;

use super::deadline::Deadline;
use super::handle::{Handle, check, own};
use super::process::is;

/// Something that is either set or not, and that a thread can wait for. Once set it stays so.
#[derive(Debug)]
pub(super) struct Event(Handle);

impl Event {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: it takes numbers only; no name and no attributes are given.
        let raw = unsafe { CreateEventW(ptr::null(), 1, 0, ptr::null()) };
        // SAFETY: `raw` is what the call just returned: null, or a handle that only this function knows.
        unsafe { own(raw) }.map(Self)
    }

    /// Whether it is set.
    fn is_set(&self) -> bool {
        // SAFETY: the event is open while `self` has it.
        unsafe { WaitForSingleObject(self.0.as_raw_handle(), 0) == WAIT_OBJECT_0 }
    }

    /// Sets it. Nothing can be done where that fails, as the handle is open.
    pub(super) fn set(&self) {
        // SAFETY: the event is open while `self` has it.
        unsafe { SetEvent(self.0.as_raw_handle()) };
    }
}

/// One end of a pipe that was opened for overlapped operations. One operation runs at a time.
#[derive(Debug)]
pub(super) struct Channel {
    file: Arc<Handle>,
    done: Event,
    cancelled: Arc<Event>,
}

/// Why an operation did not end by itself.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Cancelled,
    TooLate,
}

impl Channel {
    /// Around an end that was opened with `FILE_FLAG_OVERLAPPED`.
    pub(super) fn new(file: Handle) -> io::Result<Self> {
        Self::beside(&Arc::new(file), Arc::new(Event::new()?))
    }

    /// One that `cancelled` ends too.
    pub(super) fn cancelled_by(file: Handle, cancelled: &Arc<Event>) -> io::Result<Self> {
        Self::beside(&Arc::new(file), Arc::clone(cancelled))
    }

    /// Another for the same end that nobody cancelled yet, so that two operations can run at once.
    pub(super) fn again(&self) -> io::Result<Self> {
        Self::beside(&self.file, Arc::new(Event::new()?))
    }

    fn beside(file: &Arc<Handle>, cancelled: Arc<Event>) -> io::Result<Self> {
        Ok(Self {
            file: Arc::clone(file),
            done: Event::new()?,
            cancelled,
        })
    }

    /// What ends every operation, now and later.
    pub(super) fn cancelled(&self) -> Arc<Event> {
        Arc::clone(&self.cancelled)
    }

    /// Reads some bytes; 0 at the end.
    pub(super) fn read(&self, buffer: &mut [u8], deadline: Deadline) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        loop {
            let read = self.complete(deadline, |overlapped| {
                // SAFETY: the file is open, the buffer has at least `length` bytes, and `complete` waits until neither it nor `overlapped` is used any more.
                unsafe {
                    ReadFile(
                        self.file.as_raw_handle(),
                        buffer.as_mut_ptr(),
                        length,
                        ptr::null_mut(),
                        overlapped,
                    )
                }
            });
            match read {
                // Somebody wrote nothing. The end is an error on Windows.
                Ok(0) => {}
                Err(error) if is_end(&error) => return Ok(0),
                result => return result,
            }
        }
    }

    /// Writes some bytes.
    pub(super) fn write(&self, buffer: &[u8], deadline: Deadline) -> io::Result<usize> {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let written = self.complete(deadline, |overlapped| {
            // SAFETY: the file is open, the buffer has at least `length` bytes, and `complete` waits until neither it nor `overlapped` is used any more.
            unsafe {
                WriteFile(
                    self.file.as_raw_handle(),
                    buffer.as_ptr(),
                    length,
                    ptr::null_mut(),
                    overlapped,
                )
            }
        });
        written.map_err(|error| match error {
            gone if is_end(&gone) => io::ErrorKind::BrokenPipe.into(),
            other => other,
        })
    }

    /// Waits for a client of this server's end.
    pub(super) fn connect(&self, deadline: Deadline) -> io::Result<()> {
        let connected = self.complete(deadline, |overlapped| {
            // SAFETY: the file is open, and `complete` waits until `overlapped` is not used any more.
            unsafe { ConnectNamedPipe(self.file.as_raw_handle(), overlapped) }
        });
        connected.map(drop)
    }

    /// Starts an operation and waits for its end; where it is cut short, until the system has let go of all memory.
    fn complete(
        &self,
        deadline: Deadline,
        start: impl FnOnce(*mut OVERLAPPED) -> BOOL,
    ) -> io::Result<usize> {
        if self.cancelled.is_set() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let mut overlapped = OVERLAPPED {
            hEvent: self.done.0.as_raw_handle(),
            ..OVERLAPPED::default()
        };
        let cut = match check(start(&raw mut overlapped)) {
            Ok(()) => None,
            Err(error) if is(&error, ERROR_IO_PENDING) => self.wait(deadline),
            Err(error) => return Err(error),
        };
        if cut.is_some() {
            // It may have ended meanwhile; the result below tells.
            // SAFETY: file and operation are those of above.
            unsafe { CancelIoEx(self.file.as_raw_handle(), &raw const overlapped) };
        }
        let mut count = 0;
        // SAFETY: file and operation are those of above; the call waits for its end, and `count` receives one value.
        let result = unsafe {
            GetOverlappedResult(
                self.file.as_raw_handle(),
                &raw const overlapped,
                &raw mut count,
                1,
            )
        };
        match (check(result), cut) {
            (Ok(()), _) => usize::try_from(count).map_err(io::Error::other),
            (Err(error), None) => Err(error),
            (Err(_), Some(Cut::Cancelled)) => Err(io::ErrorKind::ConnectionAborted.into()),
            (Err(_), Some(Cut::TooLate)) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Waits for the end of the operation; says what came before it.
    fn wait(&self, deadline: Deadline) -> Option<Cut> {
        // Where both are set, the lower number is reported: a cancelled channel stays so.
        const CANCELLED: u32 = WAIT_OBJECT_0;
        const DONE: u32 = WAIT_OBJECT_0 + 1;
        let events = [
            self.cancelled.0.as_raw_handle(),
            self.done.0.as_raw_handle(),
        ];
        loop {
            // SAFETY: both events are open while `self` has them, and two are named.
            let woken =
                unsafe { WaitForMultipleObjects(2, events.as_ptr(), 0, deadline.milliseconds()) };
            match woken {
                CANCELLED => return Some(Cut::Cancelled),
                // The result tells what is wrong where the wait itself failed.
                DONE | WAIT_FAILED => return None,
                _ if deadline.is_over() => return Some(Cut::TooLate),
                _ => {}
            }
        }
    }
}

/// Whether an error says that the other side is gone.
fn is_end(error: &io::Error) -> bool {
    [
        ERROR_BROKEN_PIPE,
        ERROR_PIPE_NOT_CONNECTED,
        ERROR_HANDLE_EOF,
        ERROR_NO_DATA,
    ]
    .into_iter()
    .any(|code| is(error, code))
}
