//! Handles: the one place where they are owned, and the one where the result of a call is judged.
#![expect(unsafe_code, reason = "takes over handles that Win32 has just made")]

use std::fs::File;
use std::io;
use std::os::windows::io::{
    AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle, RawHandle,
};
use std::ptr;
use std::sync::atomic::{AtomicI64, Ordering};

use windows_sys::Win32::Foundation::{
    DUPLICATE_SAME_ACCESS, DuplicateHandle, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;
use windows_sys::core::BOOL;

/// How many handles are owned by this module now.
static LIVE: AtomicI64 = AtomicI64::new(0);

/// How many kernel handles the backend owns at this moment. A bench that sees it grow has found a leak.
///
/// It is counted here because Wine's `GetProcessHandleCount` always says 0.
pub fn live_handles() -> i64 {
    LIVE.load(Ordering::Relaxed)
}

/// A kernel handle that is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Handle {
    owned: OwnedHandle,
    _counted: Counted,
}

/// Counts itself as long as it exists.
#[derive(Debug)]
struct Counted;

impl Counted {
    fn new() -> Self {
        LIVE.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Handle {
    /// The handle as a file, for streams that the standard library can read and write.
    pub(super) fn into_file(self) -> File {
        File::from(self.owned)
    }
}

impl From<OwnedHandle> for Handle {
    fn from(owned: OwnedHandle) -> Self {
        Self {
            owned,
            _counted: Counted::new(),
        }
    }
}

impl AsRawHandle for Handle {
    fn as_raw_handle(&self) -> RawHandle {
        self.owned.as_raw_handle()
    }
}

impl AsHandle for Handle {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.owned.as_handle()
    }
}

/// Owns what a call returned that says null when it fails.
///
/// # Errors
/// The last error of this thread where it is null, so nothing may be called in between.
///
/// # Safety
/// `raw` is null, or an open handle that nothing else owns.
pub(super) unsafe fn own(raw: HANDLE) -> io::Result<Handle> {
    if raw.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is not null, so by the contract of this function it is open and nothing else owns it.
    let owned = unsafe { OwnedHandle::from_raw_handle(raw) };
    Ok(owned.into())
}

/// Owns what a call returned that says `INVALID_HANDLE_VALUE` when it fails: those that make files and pipes.
///
/// # Errors
/// The last error of this thread where it is that, so nothing may be called in between.
///
/// # Safety
/// `raw` is `INVALID_HANDLE_VALUE`, or an open handle that nothing else owns.
pub(super) unsafe fn own_file(raw: HANDLE) -> io::Result<Handle> {
    if raw == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is not the value of a failure, so the promise of this function's caller is that of `own`.
    unsafe { own(raw) }
}

/// The last error of this thread where a call said that it failed.
pub(super) fn check(result: BOOL) -> io::Result<()> {
    if result == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A second handle of the same thing that a child can inherit.
pub(super) fn inheritable(original: BorrowedHandle<'_>) -> io::Result<Handle> {
    // SAFETY: it takes nothing and returns a constant.
    let process = unsafe { GetCurrentProcess() };
    let mut raw = ptr::null_mut();
    // SAFETY: `original` is borrowed, so it is open; `raw` is a local that receives one handle.
    let result = unsafe {
        DuplicateHandle(
            process,
            original.as_raw_handle(),
            process,
            &raw mut raw,
            0,
            1,
            DUPLICATE_SAME_ACCESS,
        )
    };
    check(result)?;
    // SAFETY: the call succeeded, so `raw` is a new handle, and only this function knows it.
    unsafe { own(raw) }
}
