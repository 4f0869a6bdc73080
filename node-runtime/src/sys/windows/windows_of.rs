//! Asking programs with windows to close them.
#![expect(unsafe_code, reason = "windows are listed and asked by Win32 calls")]

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io;
use std::ptr;

use windows_sys::Win32::Foundation::{HWND, LPARAM, WPARAM};
use windows_sys::Win32::UI::WindowsAndMessaging::{self as system, WM_CLOSE, WNDENUMPROC};
use windows_sys::core::BOOL;

use super::library::Library;

type Enumerate = unsafe extern "system" fn(WNDENUMPROC, LPARAM) -> BOOL;
type ProcessOf = unsafe extern "system" fn(HWND, *mut u32) -> u32;
type Post = unsafe extern "system" fn(HWND, u32, WPARAM, LPARAM) -> BOOL;

// Lets the compiler compare the types with those of `windows-sys`; nothing is imported by it.
const _: Enumerate = system::EnumWindows;
const _: ProcessOf = system::GetWindowThreadProcessId;
const _: Post = system::PostMessageW;

/// What is known while the windows are gone through.
struct Search<'a> {
    of: &'a BTreeSet<u32>,
    asked: BTreeSet<u32>,
    process_of: ProcessOf,
    post: Post,
}

/// Posts `WM_CLOSE` to every top-level window of these processes; returns those that have one.
pub(super) fn close_windows(of: &BTreeSet<u32>) -> BTreeSet<u32> {
    if of.is_empty() {
        return BTreeSet::new();
    }
    search(of).unwrap_or_default()
}

fn search(of: &BTreeSet<u32>) -> io::Result<BTreeSet<u32>> {
    // SAFETY: the compiler compared this type with that of `windows-sys` above, and the name is of the same function.
    let enumerate: Enumerate = unsafe { function(c"EnumWindows") }?;
    let mut search = Search {
        of,
        asked: BTreeSet::new(),
        // SAFETY: the compiler compared this type with that of `windows-sys` above, and the name is of the same function.
        process_of: unsafe { function::<ProcessOf>(c"GetWindowThreadProcessId") }?,
        // SAFETY: as above.
        post: unsafe { function::<Post>(c"PostMessageW") }?,
    };
    let search_at: LPARAM = ptr::from_mut(&mut search).expose_provenance().cast_signed();
    // SAFETY: `visit` is called before this returns, with the address of `search`, which nobody else uses meanwhile.
    unsafe { enumerate(Some(visit), search_at) };
    Ok(search.asked)
}

/// A function of `user32`.
///
/// # Safety
/// As of [`Library::function`].
unsafe fn function<F: Copy>(name: &CStr) -> io::Result<F> {
    let library = Library::system("user32.dll")?;
    // SAFETY: the caller promises the same.
    unsafe { library.function(name) }
}

/// Called for every top-level window; 1 means go on.
unsafe extern "system" fn visit(window: HWND, search: LPARAM) -> BOOL {
    let search = ptr::with_exposed_provenance_mut::<Search<'_>>(search.cast_unsigned());
    // SAFETY: it is the address that was given in `search` above, where the value lives and is not touched meanwhile.
    let search = unsafe { &mut *search };
    let mut pid = 0;
    // SAFETY: the window was given to us; `pid` receives one value.
    unsafe { (search.process_of)(window, &raw mut pid) };
    if search.of.contains(&pid) {
        // SAFETY: posting to a window that is gone meanwhile only fails.
        if unsafe { (search.post)(window, WM_CLOSE, 0, 0) } != 0 {
            search.asked.insert(pid);
        }
    }
    1
}
