//! Calls of the native interface that the Windows headers do not name.
#![expect(unsafe_code, reason = "they are looked up in ntdll and called")]

use std::ffi::{CStr, c_char};
use std::io;
use std::os::windows::io::AsRawHandle;
use std::time::Duration;

use windows_sys::Win32::Foundation::{HANDLE, NTSTATUS};

use super::handle::Handle;
use super::library::Library;
use super::process::wait;
use super::process_list::check_status;

type OnProcess = unsafe extern "system" fn(HANDLE) -> NTSTATUS;
type Version = unsafe extern "C" fn() -> *const c_char;

/// Suspends every thread of a process; false where it ended.
pub(super) fn suspend_process(process: &Handle) -> io::Result<bool> {
    on_process(c"NtSuspendProcess", process)
}

/// Undoes one suspension; a process that ended is no error.
pub(super) fn resume_process(process: &Handle) -> io::Result<()> {
    on_process(c"NtResumeProcess", process).map(drop)
}

/// Whether the system can suspend processes.
pub(super) fn can_suspend() -> bool {
    function(c"NtSuspendProcess").is_ok() && function(c"NtResumeProcess").is_ok()
}

fn function(name: &CStr) -> io::Result<OnProcess> {
    // SAFETY: both functions take a process handle and return a status; that is how everyone declares them.
    unsafe { Library::system("ntdll.dll")?.function(name) }
}

fn on_process(name: &CStr, process: &Handle) -> io::Result<bool> {
    let function = function(name)?;
    // SAFETY: the process is open while it is borrowed.
    let status = unsafe { function(process.as_raw_handle()) };
    match check_status(status) {
        Ok(()) => Ok(true),
        Err(_) if wait(process, Duration::ZERO)?.is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The version of Wine; none on a real Windows.
pub(super) fn wine_version() -> Option<String> {
    let library = Library::system("ntdll.dll").ok()?;
    // SAFETY: Wine documents that it takes nothing and returns a text.
    let version = unsafe { library.function::<Version>(c"wine_get_version") }.ok()?;
    // SAFETY: it takes nothing.
    let text = unsafe { version() };
    // SAFETY: the text is a constant of Wine that ends with a zero.
    let text = unsafe { CStr::from_ptr(text) };
    Some(text.to_string_lossy().into_owned())
}
