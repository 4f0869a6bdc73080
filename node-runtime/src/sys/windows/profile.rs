//! The profile of a temporary account: its part of the registry and its folder.
#![expect(unsafe_code, reason = "profiles are loaded and deleted by Win32 calls")]

use std::ffi::CStr;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::ptr;
use std::sync::Arc;

use windows_sys::Win32::Foundation::{
    ERROR_CALL_NOT_IMPLEMENTED, ERROR_FILE_NOT_FOUND, ERROR_NONE_MAPPED, ERROR_PATH_NOT_FOUND,
    HANDLE, LocalFree,
};
use windows_sys::Win32::Security::Authorization::ConvertSidToStringSidW;
use windows_sys::Win32::Security::LookupAccountNameW;
use windows_sys::Win32::UI::Shell::{self as system, PROFILEINFOW};
use windows_sys::core::{BOOL, PCWSTR, PWSTR};

use super::abi::size;
use super::handle::{Handle, check};
use super::library::Library;
use super::process::is;
use super::text::{units, wide};

type Load = unsafe extern "system" fn(HANDLE, *mut PROFILEINFOW) -> BOOL;
type Unload = unsafe extern "system" fn(HANDLE, HANDLE) -> BOOL;
type Delete = unsafe extern "system" fn(PCWSTR, PCWSTR, PCWSTR) -> BOOL;

// Lets the compiler compare the types with those of `windows-sys`; nothing is imported by it.
const _: Load = system::LoadUserProfileW;
const _: Unload = system::UnloadUserProfile;
const _: Delete = system::DeleteProfileW;

/// A profile that is loaded as long as this exists.
#[derive(Debug)]
pub(super) struct Profile {
    token: Arc<Handle>,
    /// The user's part of the registry. It is closed by the call that unloads it and by nothing else, so it is no `OwnedHandle`.
    registry: usize,
    unload: Unload,
}

impl Profile {
    /// Loads it, making it where the user never had one.
    pub(super) fn load(token: &Arc<Handle>, user: &str) -> io::Result<Self> {
        const NO_MESSAGES: u32 = 1;
        // SAFETY: the compiler compared this type with that of `windows-sys` above, and the name is of the same function.
        let load: Load = unsafe { function(c"LoadUserProfileW") }?;
        // SAFETY: the compiler compared this type with that of `windows-sys` above, and the name is of the same function.
        let unload: Unload = unsafe { function(c"UnloadUserProfile") }?;
        let mut user = wide(user)?;
        let mut profile = PROFILEINFOW {
            dwSize: size::<PROFILEINFOW>(),
            dwFlags: NO_MESSAGES,
            lpUserName: user.as_mut_ptr(),
            ..PROFILEINFOW::default()
        };
        // SAFETY: the token is open while it is borrowed; the struct says its size, and the name ends with a zero.
        check(unsafe { load(token.as_raw_handle(), &raw mut profile) })?;
        Ok(Self {
            token: Arc::clone(token),
            registry: profile.hProfile.expose_provenance(),
            unload,
        })
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        let registry = ptr::with_exposed_provenance_mut(self.registry);
        // SAFETY: both come from the call that loaded it, and it is unloaded once.
        unsafe { (self.unload)(self.token.as_raw_handle(), registry) };
    }
}

/// Deletes the profile of an account. One that has none, as it never ran anything, is no error.
pub(super) fn delete(account: &str) -> io::Result<()> {
    let deleted = identifier(account).and_then(|identifier| {
        // SAFETY: the compiler compared this type with that of `windows-sys` above, and the name is of the same function.
        let delete: Delete = unsafe { function(c"DeleteProfileW") }?;
        // SAFETY: the text ends with a zero; no path and no computer is named.
        check(unsafe { delete(identifier.as_ptr(), ptr::null(), ptr::null()) })
    });
    match deleted {
        Err(error) if is_absent(&error) => Ok(()),
        deleted => deleted,
    }
}

/// Whether an error says that there is no profile, no such account, or nothing on this host that makes profiles.
fn is_absent(error: &io::Error) -> bool {
    let none = [
        ERROR_FILE_NOT_FOUND,
        ERROR_PATH_NOT_FOUND,
        ERROR_NONE_MAPPED,
        ERROR_CALL_NOT_IMPLEMENTED,
    ];
    error.kind() == io::ErrorKind::Unsupported || none.into_iter().any(|code| is(error, code))
}

/// The security identifier of an account as text, which ends with a zero.
fn identifier(account: &str) -> io::Result<Vec<u16>> {
    let account = wide(account)?;
    let (mut identifier, mut domain) = ([0_u64; 16], [0_u16; 512]);
    let mut room = u32::try_from(size_of_val(&identifier)).map_err(io::Error::other)?;
    let mut domain_room = 512;
    let mut kind = 0;
    // SAFETY: the name ends with a zero; both buffers have as much room as is named; `kind` receives one value.
    let result = unsafe {
        LookupAccountNameW(
            ptr::null(),
            account.as_ptr(),
            identifier.as_mut_ptr().cast(),
            &raw mut room,
            domain.as_mut_ptr(),
            &raw mut domain_room,
            &raw mut kind,
        )
    };
    check(result)?;
    let mut text: PWSTR = ptr::null_mut();
    // SAFETY: the call above succeeded, so the buffer holds an identifier; `text` receives one allocation.
    let result = unsafe { ConvertSidToStringSidW(identifier.as_mut_ptr().cast(), &raw mut text) };
    check(result)?;
    // SAFETY: the call succeeded, so the text ends with a zero.
    let units = unsafe { units(text) }.to_vec();
    // SAFETY: the text came from a call that says to free it so, and `units` is a copy.
    unsafe { LocalFree(text.cast()) };
    Ok(units.into_iter().chain([0]).collect())
}

/// A function of `userenv`.
///
/// # Safety
/// As of [`Library::function`].
unsafe fn function<F: Copy>(name: &CStr) -> io::Result<F> {
    let library = Library::system("userenv.dll")?;
    // SAFETY: the caller promises the same.
    unsafe { library.function(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_without_a_profile_is_told_from_a_profile_that_cannot_be_deleted() {
        let of = |code: u32| is_absent(&io::Error::from_raw_os_error(code.cast_signed()));
        assert!(of(ERROR_FILE_NOT_FOUND) && of(ERROR_NONE_MAPPED));
        // As while somebody still has a file of it open, or the registry.
        assert!(!of(5) && !of(32) && !of(145));
    }

    #[test]
    fn an_account_that_does_not_exist_has_no_profile() {
        delete("ht-no-such-account").unwrap();
    }
}
