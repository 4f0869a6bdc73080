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
    ConvertSecurityDescriptorToStringSecurityDescriptorW,
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{DACL_SECURITY_INFORMATION, SECURITY_ATTRIBUTES};

use super::abi::size;
use super::handle::check;
use super::text::{units, wide};

/// Administrators and the system, and nobody by inheritance.
pub(super) const ADMINISTRATORS: &str = "D:P(A;;GA;;;BA)(A;;GA;;;SY)";

/// The same for a folder and all that will be in it.
pub(super) const ADMINISTRATORS_BELOW: &str = "D:P(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)";

/// The same for a folder from which everybody who is logged on may read and run programs.
pub(super) const READABLE_BELOW: &str = "D:P(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;OICI;0x1200a9;;;AU)";

/// The same for one that they may change too.
pub(super) const WRITABLE_BELOW: &str = "D:P(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;OICI;0x1301bf;;;AU)";

/// As [`ADMINISTRATORS`], and the owner (`S-1-3-4`), for what never leaves this process.
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

    /// From a call that allocated it.
    ///
    /// # Safety
    /// It is a security descriptor that is to be freed by `LocalFree`, and nobody else has it.
    pub(super) unsafe fn own(descriptor: *mut c_void) -> Self {
        Self(descriptor)
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
        // SAFETY: the pointer came from a call that says to free it so, and only this value has it.
        unsafe { LocalFree(self.0) };
    }
}

// SAFETY: the descriptor is never changed after it was made, and freeing it may happen in any thread.
unsafe impl Send for Descriptor {}

/// Who a descriptor lets in, in the security descriptor definition language.
///
/// # Safety
/// It points to a security descriptor.
pub(super) unsafe fn text_of(descriptor: *mut c_void) -> io::Result<String> {
    let mut text = ptr::null_mut();
    // SAFETY: the caller promises the descriptor; `text` receives one allocation, and its length is not asked for.
    let result = unsafe {
        ConvertSecurityDescriptorToStringSecurityDescriptorW(
            descriptor,
            SDDL_REVISION_1,
            DACL_SECURITY_INFORMATION,
            &raw mut text,
            ptr::null_mut(),
        )
    };
    check(result)?;
    // SAFETY: the call succeeded, so the text ends with a zero.
    let access = String::from_utf16_lossy(unsafe { units(text) });
    // SAFETY: the text came from a call that says to free it so, and `access` is a copy.
    unsafe { LocalFree(text.cast()) };
    Ok(access)
}

#[cfg(test)]
mod tests {
    use std::os::windows::io::AsRawHandle;

    use windows_sys::Win32::Security::GetKernelObjectSecurity;

    use super::*;
    use crate::sys::windows::handle::Handle;
    use crate::sys::windows::job;
    use crate::sys::windows::named_pipe::{Direction, Instance, serve};
    use crate::sys::windows::pipe::random_text;

    /// Who the kernel lets in.
    fn access_of(object: &Handle) -> String {
        let mut descriptor = [0_u64; 128];
        let mut needed = 0;
        // SAFETY: the handle is open while it is borrowed; the buffer has as many bytes as are named.
        let result = unsafe {
            GetKernelObjectSecurity(
                object.as_raw_handle(),
                DACL_SECURITY_INFORMATION,
                descriptor.as_mut_ptr().cast(),
                1024,
                &raw mut needed,
            )
        };
        check(result).unwrap();
        // SAFETY: the call succeeded, so the buffer begins with a descriptor.
        unsafe { text_of(descriptor.as_mut_ptr().cast()) }.unwrap()
    }

    #[test]
    fn what_we_say_is_what_windows_reads() {
        for text in [
            ADMINISTRATORS,
            ADMINISTRATORS_BELOW,
            READABLE_BELOW,
            WRITABLE_BELOW,
            OWNER,
        ] {
            let descriptor = Descriptor::parse(text).unwrap();
            // SAFETY: it is one while it is borrowed.
            let read = unsafe { text_of(descriptor.as_ptr()) }.unwrap();
            assert_eq!(read.replace("OW", "S-1-3-4"), text);
        }
    }

    #[test]
    fn jobs_and_pipes_let_in_administrators_and_the_system_alone() {
        let name = format!("hosttask-test-{}", random_text(8).unwrap());
        let access = Descriptor::parse(ADMINISTRATORS).unwrap();
        let address = format!(r"\\.\pipe\{name}");
        let pipe = serve(&address, Direction::Both, Instance::First, &access).unwrap();
        for object in [job::create(&name).unwrap(), pipe] {
            let access = access_of(&object);
            let (flags, entries) = access.split_once('(').unwrap();
            assert_eq!(flags, "D:P", "{access}");
            let for_whom: Vec<_> = entries
                .split('(')
                .map(|it| it.trim_end_matches(')'))
                .collect();
            let for_whom: Vec<_> = for_whom
                .iter()
                .filter_map(|it| it.rsplit(';').next())
                .collect();
            assert_eq!(for_whom, ["BA", "SY"], "{access}");
        }
    }
}
