//! Functions that not every Windows has, or that few programs of ours need: they are looked up when they are first asked for.
//!
//! A library that is named in a program's import table is loaded whenever that program starts. `user32`, `userenv` and
//! `netapi32` are needed for few containers, so they do not slow every start down.
#![expect(
    unsafe_code,
    reason = "a function is called at an address that was looked up"
)]

use std::ffi::CStr;
use std::io;
use std::mem;
use std::ptr;

use windows_sys::Win32::Foundation::HMODULE;
use windows_sys::Win32::System::LibraryLoader::{
    GetProcAddress, LOAD_LIBRARY_SEARCH_SYSTEM32, LoadLibraryExW,
};

use super::text::wide;

/// A library of the system's own folder. It stays loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Library(HMODULE);

impl Library {
    /// Loads it, from the folder of the system and nowhere else. `Unsupported` where it is not there.
    pub(super) fn system(name: &str) -> io::Result<Self> {
        let file = wide(name)?;
        // SAFETY: the name ends with a zero; the flag keeps every other folder out of the search.
        let module =
            unsafe { LoadLibraryExW(file.as_ptr(), ptr::null_mut(), LOAD_LIBRARY_SEARCH_SYSTEM32) };
        if module.is_null() {
            return Err(unsupported(name));
        }
        Ok(Self(module))
    }

    /// One of its functions. `Unsupported` where it has none of that name.
    ///
    /// # Safety
    /// `F` is the type of a function pointer, and the function of that name has exactly this signature.
    pub(super) unsafe fn function<F: Copy>(self, name: &CStr) -> io::Result<F> {
        const { assert!(size_of::<F>() == size_of::<usize>()) };
        // SAFETY: the module is never freed, and the name ends with a zero.
        let address = unsafe { GetProcAddress(self.0, name.as_ptr().cast()) };
        let address = address.ok_or_else(|| unsupported(&name.to_string_lossy()))?;
        // SAFETY: both are function pointers of one size, and the caller promises that this is the right type.
        Ok(unsafe { mem::transmute_copy(&address) })
    }
}

/// That this Windows lacks something.
pub(super) fn unsupported(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("this system has no {what}; use a newer windows, or do without"),
    )
}
