//! Who may reach what we make: security descriptors from their text.
#![expect(
    unsafe_code,
    reason = "the descriptor is memory that Win32 allocates and we free"
)]

use std::ffi::c_void;
use std::io;
use std::ptr;

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;

use super::abi::size;
use super::handle::check;
use super::text::wide;

/// Administrators and the system, and nobody by inheritance.
pub(super) const ADMINISTRATORS: &str = "D:P(A;;GA;;;BA)(A;;GA;;;SY)";

/// The same for a folder and all that will be in it.
pub(super) const ADMINISTRATORS_BELOW: &str = "D:P(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)";

/// The same and the owner (`S-1-3-4`), for what never leaves this process.
pub(super) const OWNER: &str = "D:P(A;;GA;;;BA)(A;;GA;;;SY)(A;;GA;;;S-1-3-4)";

/// A security descriptor.
#[derive(Debug)]
pub(super) struct Descriptor(*mut c_void);

impl Descriptor {
    /// From the security descriptor definition language.
    pub(super) fn parse(text: &str) -> io::Result<Self> {
        let text = wide(text)?;
        let mut descriptor = ptr::null_mut();
        // SAFETY: `text` ends with a zero; `descriptor` is a local that receives one allocation.
        let result = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        };
        check(result)?;
        Ok(Self(descriptor))
    }

    /// For calls that make something. It points to this descriptor, which has to live until the call is over.
    pub(super) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size::<SECURITY_ATTRIBUTES>(),
            lpSecurityDescriptor: self.0,
            bInheritHandle: 0,
        }
    }

    /// Where it is.
    pub(super) fn as_ptr(&self) -> *mut c_void {
        self.0
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the call in `parse`, which says to free it so, and only this value has it.
        unsafe { LocalFree(self.0) };
    }
}

// SAFETY: the descriptor is never changed after it was made, and freeing it may happen in any thread.
unsafe impl Send for Descriptor {}
