//! Who may reach a folder, and where the system's own folders are.
#![expect(unsafe_code, reason = "they are asked and set by Win32 calls")]

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::ptr;

use windows_sys::Win32::Foundation::ERROR_SUCCESS;
use windows_sys::Win32::Security::Authorization::{
    GetNamedSecurityInfoW, SE_FILE_OBJECT, SetNamedSecurityInfoW,
};
use windows_sys::Win32::Security::{
    ACL, DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, IsWellKnownSid,
    OBJECT_SECURITY_INFORMATION, OWNER_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION,
    PSID, WinBuiltinAdministratorsSid, WinLocalSystemSid,
};
use windows_sys::Win32::System::SystemInformation::{
    GetSystemDirectoryW, GetSystemWindowsDirectoryW,
};

use super::handle::check;
use super::security::{ADMINISTRATORS_BELOW, Descriptor, READABLE_BELOW, WRITABLE_BELOW, text_of};
use super::text::{narrow, wide};
use super::{native, reparse, token};
use crate::sys::Entry;

/// Allows only administrators and the system to reach a folder and all in it.
pub(super) fn protect(folder: &Path) -> io::Result<()> {
    // Under Wine everything belongs to its one user.
    let has_owners = native::wine_version().is_none();
    if has_owners {
        exposed(folder).try_for_each(refuse_others)?;
    }
    // Windows hands a new list on to everything in the folder: once is enough.
    if entries(&access_of(folder)?) == entries(ADMINISTRATORS_BELOW) {
        return Ok(());
    }
    // Who was let in until now may have put something there.
    if has_owners {
        for entry in fs::read_dir(folder)? {
            refuse_others(&entry?.path())?;
        }
    }
    let_in(folder, ADMINISTRATORS_BELOW)
}

/// Lets every user of the host read what will be in a folder, and change it where it is `writable`.
pub(super) fn share(folder: &Path, writable: bool) -> io::Result<()> {
    let access = if writable {
        WRITABLE_BELOW
    } else {
        READABLE_BELOW
    };
    let_in(folder, access)
}

/// A folder, and those above it up to `C:\ProgramData`, in which every user may make folders.
fn exposed(folder: &Path) -> impl Iterator<Item = &Path> {
    let is_data = |it: &Path| {
        let name = it.file_name().and_then(OsStr::to_str);
        it.components().count() == 3
            && name.is_some_and(|name| name.eq_ignore_ascii_case("ProgramData"))
    };
    let count = folder.ancestors().position(is_data).unwrap_or(1);
    folder.ancestors().take(count.max(1))
}

/// The part of an access that says who is let in, and whether it is protected from what the folders above say.
fn entries(access: &str) -> (bool, &str) {
    let (flags, entries) = access.split_at(access.find('(').unwrap_or(access.len()));
    (flags.contains('P'), entries)
}

/// Refuses a link, and what belongs neither to the administrators nor to the system nor to us: its owner decides who is let in.
fn refuse_others(path: &Path) -> io::Result<()> {
    let refuse = |why: String| {
        let why = format!(
            "{} {why}; remove it, or give another folder",
            path.display()
        );
        Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
    };
    if reparse::entry(path)? == Some(Entry::Link) {
        return refuse("is a link, which somebody may exchange".to_owned());
    }
    let (_descriptor, owner) = described(path, OWNER_SECURITY_INFORMATION)?;
    for known in [WinBuiltinAdministratorsSid, WinLocalSystemSid] {
        // SAFETY: the owner lies in the descriptor, which lives until the end of this function.
        if unsafe { IsWellKnownSid(owner, known) } != 0 {
            return Ok(());
        }
    }
    // SAFETY: as above.
    if unsafe { token::owns_what_we_make(owner) }? {
        return Ok(());
    }
    // SAFETY: as above.
    let name = unsafe { token::account_of(owner) };
    let name = name.unwrap_or_else(|_| "an unknown account".to_owned());
    refuse(format!("belongs to {name}, who decides who is let in"))
}

/// Sets who may reach a folder and what will be in it, whatever the folders above say.
fn let_in(folder: &Path, access: &str) -> io::Result<()> {
    let path = wide(folder.to_str().ok_or(io::ErrorKind::InvalidFilename)?)?;
    let access = Descriptor::parse(access)?;
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
    let (descriptor, _) = described(path, DACL_SECURITY_INFORMATION)?;
    // SAFETY: it is a descriptor while it is borrowed.
    unsafe { text_of(descriptor.as_ptr()) }
}

/// What a file or folder says about this, and the owner in it where that is asked for.
fn described(path: &Path, what: OBJECT_SECURITY_INFORMATION) -> io::Result<(Descriptor, PSID)> {
    let path = wide(path.to_str().ok_or(io::ErrorKind::InvalidFilename)?)?;
    let (mut descriptor, mut owner) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the path ends with a zero; `descriptor` receives one allocation, and `owner` a place in it.
    let result = unsafe {
        GetNamedSecurityInfoW(
            path.as_ptr(),
            SE_FILE_OBJECT,
            what,
            &raw mut owner,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            &raw mut descriptor,
        )
    };
    if result != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(result.cast_signed()));
    }
    // SAFETY: the call succeeded, so it is a descriptor that is to be freed as others are, and nobody else has it.
    Ok((unsafe { Descriptor::own(descriptor) }, owner))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_any_user_may_have_made_above_the_folder_is_looked_at_too() {
        let all = |path| exposed(Path::new(path)).collect::<Vec<_>>();
        assert_eq!(
            all(r"C:\programdata\hosttask\node"),
            [
                Path::new(r"C:\programdata\hosttask\node"),
                Path::new(r"C:\programdata\hosttask")
            ]
        );
        assert_eq!(all(r"D:\state\node"), [Path::new(r"D:\state\node")]);
        let other = r"D:\other\ProgramData\node";
        assert_eq!(all(other), [Path::new(other)]);
    }

    #[test]
    fn an_access_is_the_same_however_windows_writes_its_flags() {
        let read = "D:PAI(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)";
        assert_eq!(entries(read), entries(ADMINISTRATORS_BELOW));
        for other in [
            "D:AI(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)",
            "D:P(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;;FR;;;BU)",
            "D:P",
        ] {
            assert_ne!(entries(other), entries(ADMINISTRATORS_BELOW), "{other}");
        }
    }

    #[test]
    fn a_folder_of_another_owner_is_refused_by_its_name() {
        // That of the installer on Windows, that of the one user under Wine.
        let windows = windows().unwrap();
        let error = refuse_others(Path::new(&windows)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("{windows} belongs to ")),
            "{text}"
        );
        let folder = tempfile::tempdir().unwrap();
        if native::wine_version().is_some() {
            eprintln!("not run: what we make is ours (Wine tells another owner)");
            return;
        }
        refuse_others(folder.path()).unwrap();
    }
}
