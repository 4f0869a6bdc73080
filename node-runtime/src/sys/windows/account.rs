//! Temporary accounts: a local user that is made for one container, put into one group, and removed with it.
//!
//! Each is marked twice, by the beginning of its name and by its comment, which names the owner. Whatever does not have both
//! marks is never touched.
#![expect(
    unsafe_code,
    reason = "accounts are made, found and removed by Win32 calls"
)]

use std::fmt;
use std::hint;
use std::io;
use std::ptr;
use std::slice;

use windows_sys::Win32::Foundation::{ERROR_INVALID_LEVEL, ERROR_NO_SUCH_ALIAS, ERROR_SUCCESS};
use windows_sys::Win32::NetworkManagement::NetManagement::{
    self as system, FILTER_NORMAL_ACCOUNT, LOCALGROUP_MEMBERS_INFO_3, MAX_PREFERRED_LENGTH,
    NERR_GroupNotFound as NO_SUCH_GROUP, NERR_UserNotFound as NO_SUCH_USER, UF_DONT_EXPIRE_PASSWD,
    UF_NORMAL_ACCOUNT, USER_INFO_1, USER_PRIV_USER,
};
use windows_sys::core::{PCWSTR, PWSTR};

use super::library::Library;
use super::pipe::random_text;
use super::profile;
use super::text::{units, wide};

type GetGroup = unsafe extern "system" fn(PCWSTR, PCWSTR, u32, *mut *mut u8) -> u32;
type Add = unsafe extern "system" fn(PCWSTR, u32, *const u8, *mut u32) -> u32;
type AddMembers = unsafe extern "system" fn(PCWSTR, PCWSTR, u32, *const u8, u32) -> u32;
type Remove = unsafe extern "system" fn(PCWSTR, PCWSTR) -> u32;
type Free = unsafe extern "system" fn(*const std::ffi::c_void) -> u32;
type Enumerate = unsafe extern "system" fn(
    PCWSTR,
    u32,
    u32,
    *mut *mut u8,
    u32,
    *mut u32,
    *mut u32,
    *mut u32,
) -> u32;

// Lets the compiler compare the types with those of `windows-sys`; nothing is imported by it.
const _: GetGroup = system::NetLocalGroupGetInfo;
const _: Add = system::NetUserAdd;
const _: AddMembers = system::NetLocalGroupAddMembers;
const _: Remove = system::NetUserDel;
const _: Free = system::NetApiBufferFree;
const _: Enumerate = system::NetUserEnum;

/// How the names of all of them begin. With what follows it, a name has the 20 characters that Windows allows.
const PREFIX: &str = "ht-";

/// How their comments begin; the owner follows.
const COMMENT: &str = "hosttask: temporary account of container ";

/// A password, which is wiped when it is dropped.
pub(super) struct Password(Vec<u16>);

impl Password {
    /// Random, and of all kinds of characters that the rules of a domain may ask for.
    fn random() -> io::Result<Self> {
        wide(&format!("aZ7!{}", random_text(24)?)).map(Self)
    }

    /// Where it is; it ends with a zero.
    pub(super) fn as_ptr(&self) -> *const u16 {
        self.0.as_ptr()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the compiler from leaving out what nobody reads.
        hint::black_box(&self.0);
    }
}

/// An account that is removed when this is dropped.
#[derive(Debug)]
pub(super) struct TemporaryAccount {
    name: String,
}

impl TemporaryAccount {
    /// Makes it, as a member of a local group. `NotFound` where there is no such group.
    pub(super) fn create(group: &str, owner: &str) -> io::Result<(Self, Password)> {
        find_group(group)?;
        let name = format!("{PREFIX}{}", random_text(8)?);
        let password = Password::random()?;
        add(&name, &password, owner)?;
        // From here on it is removed, whatever happens.
        let account = Self { name };
        join(group, &account.name)?;
        Ok((account, password))
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TemporaryAccount {
    fn drop(&mut self) {
        // What cannot be removed now is found by the sweep: it is marked.
        drop(remove(&self.name));
    }
}

/// Removes the accounts of owners that `lives` does not know. Returns what was removed, in words.
pub(super) fn sweep(lives: &dyn Fn(&str) -> bool) -> io::Result<Vec<String>> {
    sweep_users(users()?, lives, &|name| remove(name))
}

/// The same with users that were listed. One that cannot be removed keeps no other from it, and is the error in the end.
fn sweep_users(
    users: Vec<(String, String)>,
    lives: &dyn Fn(&str) -> bool,
    remove: &dyn Fn(&str) -> io::Result<()>,
) -> io::Result<Vec<String>> {
    let (mut removed, mut failure) = (Vec::new(), None);
    for (name, comment) in users {
        let Some(owner) = owner(&name, &comment) else {
            continue;
        };
        if lives(owner) {
            continue;
        }
        match remove(&name) {
            Ok(()) => removed.push(format!("the account {name} of container {owner}")),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(removed), Err)
}

/// Whose account it is; none where it does not have both marks.
fn owner<'a>(name: &str, comment: &'a str) -> Option<&'a str> {
    name.strip_prefix(PREFIX)?;
    comment.strip_prefix(COMMENT)
}

/// Whether accounts can be made at all.
pub(super) fn can_make() -> bool {
    // SAFETY: the compiler compared this type with that of `windows-sys` above, and the name is of the same function.
    unsafe { function::<Add>(c"NetUserAdd") }.is_ok()
}

/// A function of `netapi32`.
///
/// # Safety
/// As of [`Library::function`].
unsafe fn function<F: Copy>(name: &std::ffi::CStr) -> io::Result<F> {
    let library = Library::system("netapi32.dll")?;
    // SAFETY: the caller promises the same.
    unsafe { library.function(name) }
}

fn find_group(group: &str) -> io::Result<()> {
    let name = wide(group)?;
    // SAFETY: the compiler compared this type with that of `windows-sys` above, and the name is of the same function.
    let get: GetGroup = unsafe { function(c"NetLocalGroupGetInfo") }?;
    let mut buffer = ptr::null_mut();
    // SAFETY: no server is named; the name ends with a zero; `buffer` receives one allocation.
    let result = unsafe { get(ptr::null(), name.as_ptr(), 1, &raw mut buffer) };
    free(buffer)?;
    match result {
        NO_SUCH_GROUP | ERROR_NO_SUCH_ALIAS => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("this host has no local group {group:?}; make it, or name another user"),
        )),
        result => done(result),
    }
}

fn add(name: &str, password: &Password, owner: &str) -> io::Result<()> {
    // SAFETY: the compiler compared this type with that of `windows-sys` above, and the name is of the same function.
    let add: Add = unsafe { function(c"NetUserAdd") }?;
    let (mut name, mut comment) = (wide(name)?, wide(&format!("{COMMENT}{owner}"))?);
    let user = USER_INFO_1 {
        usri1_name: name.as_mut_ptr(),
        usri1_password: password.as_ptr().cast_mut(),
        usri1_password_age: 0,
        usri1_priv: USER_PRIV_USER,
        usri1_home_dir: ptr::null_mut(),
        usri1_comment: comment.as_mut_ptr(),
        usri1_flags: UF_NORMAL_ACCOUNT | UF_DONT_EXPIRE_PASSWD,
        usri1_script_path: ptr::null_mut(),
    };
    // SAFETY: no server is named; level 1 is this struct, whose texts end with a zero and are only read.
    let result = unsafe { add(ptr::null(), 1, (&raw const user).cast(), ptr::null_mut()) };
    done(result)
}

fn join(group: &str, name: &str) -> io::Result<()> {
    // SAFETY: the compiler compared this type with that of `windows-sys` above, and the name is of the same function.
    let add: AddMembers = unsafe { function(c"NetLocalGroupAddMembers") }?;
    let (group, mut name) = (wide(group)?, wide(name)?);
    let member = LOCALGROUP_MEMBERS_INFO_3 {
        lgrmi3_domainandname: name.as_mut_ptr(),
    };
    // SAFETY: no server is named; the texts end with a zero; level 3 is this struct, and there is one.
    let result = unsafe {
        add(
            ptr::null(),
            group.as_ptr(),
            3,
            (&raw const member).cast(),
            1,
        )
    };
    done(result)
}

/// Removes an account and its profile. One that is gone already is no error.
///
/// Where the profile cannot be deleted, the account stays: without it no sweep would find the profile again.
fn remove(name: &str) -> io::Result<()> {
    profile::delete(name).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("the profile of the temporary account {name} is kept and tried again by the next sweep: {error}"),
        )
    })?;
    // SAFETY: the compiler compared this type with that of `windows-sys` above, and the name is of the same function.
    let remove: Remove = unsafe { function(c"NetUserDel") }?;
    let name = wide(name)?;
    // SAFETY: no server is named; the name ends with a zero.
    match unsafe { remove(ptr::null(), name.as_ptr()) } {
        NO_SUCH_USER => Ok(()),
        result => done(result),
    }
}

/// Names and comments of all local users.
fn users() -> io::Result<Vec<(String, String)>> {
    // SAFETY: the compiler compared this type with that of `windows-sys` above, and the name is of the same function.
    let enumerate: Enumerate = unsafe { function(c"NetUserEnum") }?;
    let mut buffer = ptr::null_mut();
    let (mut count, mut total, mut resume) = (0, 0, 0);
    // SAFETY: no server is named; `buffer` receives one allocation, and the other locals one value each.
    let result = unsafe {
        enumerate(
            ptr::null(),
            1,
            FILTER_NORMAL_ACCOUNT,
            &raw mut buffer,
            MAX_PREFERRED_LENGTH,
            &raw mut count,
            &raw mut total,
            &raw mut resume,
        )
    };
    // Wine lists users without their comments only. None can have ours: it makes no accounts.
    if result == ERROR_INVALID_LEVEL {
        free(buffer)?;
        return Ok(Vec::new());
    }
    let list = done(result).and_then(|()| {
        let count = usize::try_from(count).map_err(io::Error::other)?;
        if buffer.is_null() || count == 0 {
            return Ok(Vec::new());
        }
        #[expect(
            clippy::cast_ptr_alignment,
            reason = "the system aligns what it allocates"
        )]
        let first = buffer.cast::<USER_INFO_1>();
        // SAFETY: the call succeeded, so the buffer begins with so many structs of level 1.
        let users = unsafe { slice::from_raw_parts(first, count) };
        let text = |it: PWSTR| {
            // SAFETY: texts in the buffer are null or end with a zero, and the buffer is freed below only.
            unsafe { text(it) }
        };
        Ok(users
            .iter()
            .map(|it| (text(it.usri1_name), text(it.usri1_comment)))
            .collect())
    });
    free(buffer)?;
    list
}

/// A text of Windows; an empty one where it is null.
///
/// # Safety
/// It is null, or it ends with a zero and lives until this returns.
unsafe fn text(text: PWSTR) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: it is not null, so the caller promises the rest.
    String::from_utf16_lossy(unsafe { units(text) })
}

fn free(buffer: *mut u8) -> io::Result<()> {
    if buffer.is_null() {
        return Ok(());
    }
    // SAFETY: the compiler compared this type with that of `windows-sys` above, and the name is of the same function.
    let free: Free = unsafe { function(c"NetApiBufferFree") }?;
    // SAFETY: only called with what a call above allocated, once, and after its last use.
    done(unsafe { free(buffer.cast_const().cast()) })
}

fn done(result: u32) -> io::Result<()> {
    match result {
        ERROR_SUCCESS => Ok(()),
        error => Err(io::Error::from_raw_os_error(error.cast_signed())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_both_marks_is_ours() {
        let comment = format!("{COMMENT}web");
        assert_eq!(owner("ht-0011", &comment), Some("web"));
        assert_eq!(owner("Administrator", &comment), None);
        assert_eq!(owner("ht-0011", "somebody's account"), None);
        assert_eq!(owner("", ""), None);
    }

    #[test]
    fn an_account_that_cannot_be_removed_keeps_no_other_from_it_and_is_told_of() {
        let ours = |name: &str, owner: &str| (name.to_owned(), format!("{COMMENT}{owner}"));
        let users = || {
            vec![
                ours("ht-1", "kept"),
                ours("ht-2", "dead"),
                ours("ht-3", "lives"),
                ("guest".to_owned(), String::new()),
            ]
        };
        let tried = std::cell::RefCell::new(Vec::new());
        let remove = |name: &str| {
            tried.borrow_mut().push(name.to_owned());
            match name {
                "ht-1" => Err(io::ErrorKind::PermissionDenied.into()),
                _ => Ok(()),
            }
        };
        let lives = |owner: &str| owner == "lives";
        let error = sweep_users(users(), &lives, &remove).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(*tried.borrow(), ["ht-1", "ht-2"]);
        let removed = sweep_users(users(), &|owner| owner != "dead", &remove).unwrap();
        assert_eq!(removed, ["the account ht-2 of container dead"]);
    }

    #[test]
    fn a_name_has_the_characters_that_windows_allows() {
        assert!(PREFIX.len() + 16 <= 20);
    }

    #[test]
    fn a_password_is_never_shown_and_never_the_same() {
        let (one, other) = (Password::random().unwrap(), Password::random().unwrap());
        assert_ne!(one.0, other.0);
        assert_eq!(format!("{one:?}"), "Password");
    }
}
