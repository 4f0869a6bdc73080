//! Logging users on.
#![expect(unsafe_code, reason = "users are logged on by a Win32 call")]

use std::io;
use std::ptr;

use windows_sys::Win32::Security::{
    LOGON32_LOGON, LOGON32_LOGON_INTERACTIVE, LOGON32_LOGON_SERVICE, LOGON32_PROVIDER_DEFAULT,
    LogonUserW,
};

use super::account::{Password, TemporaryAccount};
use super::handle::{Handle, check, own};
use super::native;
use super::text::wide;
use super::token::{WindowsIdentity, own_token};
use crate::sys::User;

/// Logs a user on.
pub(super) fn log_on(user: &User, owner: &str) -> io::Result<WindowsIdentity> {
    match user {
        User::Inherit => WindowsIdentity::ours(),
        User::System => service("SYSTEM"),
        User::LocalService => service("LocalService"),
        User::NetworkService => service("NetworkService"),
        User::Group(group) => member_of(group, owner),
    }
}

/// One of the three accounts of the system that have no password.
fn service(name: &str) -> io::Result<WindowsIdentity> {
    let token = token(name, "NT AUTHORITY", None, LOGON32_LOGON_SERVICE)?;
    WindowsIdentity::of_token(token, None)
}

/// A temporary account.
fn member_of(group: &str, owner: &str) -> io::Result<WindowsIdentity> {
    let (account, password) = TemporaryAccount::create(group, owner)?;
    // `.` is this machine's own list of accounts.
    let token = token(
        account.name(),
        ".",
        Some(&password),
        LOGON32_LOGON_INTERACTIVE,
    )?;
    WindowsIdentity::of_token(token, Some(account))
}

fn token(
    name: &str,
    domain: &str,
    password: Option<&Password>,
    kind: LOGON32_LOGON,
) -> io::Result<Handle> {
    // Wine has one user and answers with the number of a handle that there is not: who asks is told the truth by the account.
    if native::wine_version().is_some() {
        return own_token();
    }
    let (name, domain) = (wide(name)?, wide(domain)?);
    let password = password.map_or(ptr::null(), Password::as_ptr);
    let mut raw = ptr::null_mut();
    // SAFETY: the texts end with a zero, the password is null or does so too, and `raw` receives one handle.
    let result = unsafe {
        LogonUserW(
            name.as_ptr(),
            domain.as_ptr(),
            password,
            kind,
            LOGON32_PROVIDER_DEFAULT,
            &raw mut raw,
        )
    };
    check(result)?;
    // SAFETY: the call succeeded, so `raw` is a new handle, and only this function knows it.
    unsafe { own(raw) }
}
