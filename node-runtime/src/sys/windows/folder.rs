//! Who may reach a folder, and where the system's own folders are.
#![expect(unsafe_code, reason = "they are asked and set by Win32 calls")]

use std::io;
use std::path::Path;
use std::ptr;

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    GetNamedSecurityInfoW, SE_FILE_OBJECT, SetNamedSecurityInfoW,
};
use windows_sys::Win32::Security::{
    ACL, DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, PROTECTED_DACL_SECURITY_INFORMATION,
};
use windows_sys::Win32::System::SystemInformation::{
    GetSystemDirectoryW, GetSystemWindowsDirectoryW,
};

use super::handle::check;
use super::security::{ADMINISTRATORS_BELOW, Descriptor, text_of};
use super::text::{narrow, wide};

/// Allows only administrators and the system to reach a folder and all in it.
pub(super) fn protect(folder: &Path) -> io::Result<()> {
    let path = wide(folder.to_str().ok_or(io::ErrorKind::InvalidFilename)?)?;
    let access = Descriptor::parse(ADMINISTRATORS_BELOW)?;
    let list = access_list(&access)?;
    // SAFETY: the path ends with a zero; `list` lies in `access`, which lives until the call is over; no owner or group is given.
    let result = unsafe {
        SetNamedSecurityInfoW(
            path.as_ptr(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION,
            ptr::null_mut(),
            ptr::null_mut(),
            list,
            ptr::null(),
        )
    };
    match result {
        ERROR_SUCCESS => Ok(()),
        error => Err(io::Error::from_raw_os_error(error.cast_signed())),
    }
}

/// The access list in a descriptor.
fn access_list(access: &Descriptor) -> io::Result<*const ACL> {
    let (mut is_there, mut is_default) = (0, 0);
    let mut list: *mut ACL = ptr::null_mut();
    // SAFETY: the descriptor is valid while it is borrowed; the three locals receive one value each.
    let result = unsafe {
        GetSecurityDescriptorDacl(
            access.as_ptr(),
            &raw mut is_there,
            &raw mut list,
            &raw mut is_default,
        )
    };
    check(result)?;
    Ok(list)
}

/// Who may reach a file or folder, in the security descriptor definition language.
pub fn access_of(path: &Path) -> io::Result<String> {
    let path = wide(path.to_str().ok_or(io::ErrorKind::InvalidFilename)?)?;
    let mut descriptor = ptr::null_mut();
    // SAFETY: the path ends with a zero; only the descriptor is asked for, and `descriptor` receives one allocation.
    let result = unsafe {
        GetNamedSecurityInfoW(
            path.as_ptr(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            &raw mut descriptor,
        )
    };
    if result != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(result.cast_signed()));
    }
    // SAFETY: the call succeeded, so it is a descriptor.
    let access = unsafe { text_of(descriptor) };
    // SAFETY: the descriptor came from a call that says to free it so, and is not used any more.
    unsafe { LocalFree(descriptor) };
    access
}

/// `C:\Windows`.
pub(super) fn windows() -> io::Result<String> {
    let mut path = [0_u16; 260];
    // SAFETY: `path` has as many units as are named.
    let length = unsafe { GetSystemWindowsDirectoryW(path.as_mut_ptr(), 260) };
    check(i32::from(length != 0))?;
    Ok(narrow(&path))
}

/// `C:\Windows\System32`.
pub(super) fn system() -> io::Result<String> {
    let mut path = [0_u16; 260];
    // SAFETY: `path` has as many units as are named.
    let length = unsafe { GetSystemDirectoryW(path.as_mut_ptr(), 260) };
    check(i32::from(length != 0))?;
    Ok(narrow(&path))
}
