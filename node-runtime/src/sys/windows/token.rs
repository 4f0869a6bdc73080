//! Tokens: who a program runs as, and which privileges it has no more.
#![expect(
    unsafe_code,
    reason = "tokens are opened, asked and changed by Win32 calls"
)]

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::ptr;
use std::sync::{Arc, OnceLock};

use windows_sys::Win32::Foundation::LUID;
use windows_sys::Win32::Security::{
    AdjustTokenPrivileges, DuplicateTokenEx, EqualSid, GetTokenInformation, LUID_AND_ATTRIBUTES,
    LookupAccountSidW, LookupPrivilegeValueW, PSID, SE_PRIVILEGE_REMOVED, SecurityImpersonation,
    TOKEN_ADJUST_DEFAULT, TOKEN_ADJUST_PRIVILEGES, TOKEN_ADJUST_SESSIONID, TOKEN_ASSIGN_PRIMARY,
    TOKEN_DUPLICATE, TOKEN_INFORMATION_CLASS, TOKEN_OWNER, TOKEN_PRIVILEGES, TOKEN_QUERY,
    TOKEN_USER, TokenOwner, TokenPrimary, TokenPrivileges, TokenUser,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::abi::size;
use super::account::TemporaryAccount;
use super::environment;
use super::handle::{Handle, check, own};
use super::profile::Profile;
use super::text::{narrow, wide};
use crate::sys::Identity;

/// What a token must allow so that a process can be started with it.
const FOR_A_PROCESS: u32 = TOKEN_QUERY
    | TOKEN_DUPLICATE
    | TOKEN_ASSIGN_PRIMARY
    | TOKEN_ADJUST_PRIVILEGES
    | TOKEN_ADJUST_DEFAULT
    | TOKEN_ADJUST_SESSIONID;

/// A user that is logged on.
#[derive(Debug)]
pub(super) struct WindowsIdentity {
    account: String,
    token: Arc<Handle>,
    /// Whether the token is our own, so that a process gets it without being told.
    is_ours: bool,
    environment: Environment,
    /// What was made for it. Fields are dropped in their order: a profile is unloaded before its account is removed.
    _profile: Option<Profile>,
    _temporary: Option<TemporaryAccount>,
}

/// What the system gives the user, asked once: it takes a hundred questions to the registry, and all processes of a container get
/// the same.
#[derive(Default)]
struct Environment(OnceLock<BTreeMap<String, String>>);

/// Values of variables are left out.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment(…)")
    }
}

impl WindowsIdentity {
    /// Whoever we are.
    pub(super) fn ours() -> io::Result<Self> {
        Self::new(own_token()?, true, None)
    }

    /// Whoever a token is for, and the account that was made for it.
    pub(super) fn of_token(token: Handle, temporary: Option<TemporaryAccount>) -> io::Result<Self> {
        Self::new(token, false, temporary)
    }

    fn new(token: Handle, is_ours: bool, temporary: Option<TemporaryAccount>) -> io::Result<Self> {
        let token = Arc::new(token);
        let load = |it: &TemporaryAccount| Profile::load(&token, it.name()).ok();
        Ok(Self {
            account: account(&token)?,
            is_ours,
            environment: Environment::default(),
            // It runs without one too: a host may have no room for it, or no such library.
            _profile: temporary.as_ref().and_then(load),
            _temporary: temporary,
            token,
        })
    }

    /// The backend's own type again. `InvalidInput` for the identity of another backend.
    pub(super) fn of(identity: &dyn Identity) -> io::Result<&Self> {
        let identity = identity.as_any().downcast_ref();
        identity.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// The token to start a process with, without these privileges; none where it would be ours as it is.
    pub(super) fn token_without(
        &self,
        privileges: &BTreeSet<String>,
    ) -> io::Result<Option<Arc<Handle>>> {
        if privileges.is_empty() {
            return Ok((!self.is_ours).then(|| Arc::clone(&self.token)));
        }
        let token = duplicate(&self.token)?;
        for privilege in privileges {
            remove(&token, privilege)?;
        }
        Ok(Some(Arc::new(token)))
    }
}

impl Identity for WindowsIdentity {
    fn account(&self) -> &str {
        &self.account
    }

    fn environment(&self) -> io::Result<BTreeMap<String, String>> {
        if let Some(known) = self.environment.0.get() {
            return Ok(known.clone());
        }
        let asked = if self.is_ours {
            environment::of_us(&self.token)?
        } else {
            environment::of_user(&self.token)?
        };
        Ok(self.environment.0.get_or_init(|| asked).clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The token of this process.
pub(super) fn own_token() -> io::Result<Handle> {
    // SAFETY: it takes nothing and returns a constant.
    let process = unsafe { GetCurrentProcess() };
    let mut raw = ptr::null_mut();
    // SAFETY: the constant stands for this process; `raw` receives one handle.
    check(unsafe { OpenProcessToken(process, FOR_A_PROCESS, &raw mut raw) })?;
    // SAFETY: the call succeeded, so `raw` is a new handle, and only this function knows it.
    unsafe { own(raw) }
}

/// A token of its own, so that a change of it changes no other.
fn duplicate(token: &Handle) -> io::Result<Handle> {
    let mut raw = ptr::null_mut();
    // SAFETY: the token is open while it is borrowed; no attributes are given; `raw` receives one handle.
    let result = unsafe {
        DuplicateTokenEx(
            token.as_raw_handle(),
            FOR_A_PROCESS,
            ptr::null(),
            SecurityImpersonation,
            TokenPrimary,
            &raw mut raw,
        )
    };
    check(result)?;
    // SAFETY: the call succeeded, so `raw` is a new handle, and only this function knows it.
    unsafe { own(raw) }
}

/// Removes a privilege for good. One that the token does not have is none to remove.
fn remove(token: &Handle, privilege: &str) -> io::Result<()> {
    let change = TOKEN_PRIVILEGES {
        PrivilegeCount: 1,
        Privileges: [LUID_AND_ATTRIBUTES {
            Luid: luid(privilege)?,
            Attributes: SE_PRIVILEGE_REMOVED,
        }],
    };
    // SAFETY: the token is open while it is borrowed; one privilege is named; the former state is not asked for.
    let result = unsafe {
        AdjustTokenPrivileges(
            token.as_raw_handle(),
            0,
            &raw const change,
            0,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    check(result)
}

/// The number of a privilege on this machine. `InvalidInput` where there is none of that name.
fn luid(privilege: &str) -> io::Result<LUID> {
    let mut luid = LUID::default();
    let name = wide(privilege)?;
    // SAFETY: the name ends with a zero; `luid` receives one value.
    let result = unsafe { LookupPrivilegeValueW(ptr::null(), name.as_ptr(), &raw mut luid) };
    check(result).map(|()| luid).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("windows has no privilege {privilege:?}; correct its name ({error})"),
        )
    })
}

/// Whether what we make belongs to this security identifier.
///
/// # Safety
/// `sid` points to one.
pub(super) unsafe fn owns_what_we_make(sid: PSID) -> io::Result<bool> {
    let token = own_token()?;
    let buffer = information(&token, TokenOwner)?;
    // SAFETY: this class begins with this struct.
    let ours = unsafe { buffer.as_ptr().cast::<TOKEN_OWNER>().read() };
    // SAFETY: the caller promises one; the other lies in `buffer`, which lives until the call is over.
    Ok(unsafe { EqualSid(sid, ours.Owner) } != 0)
}

/// What a token says of itself: a struct of the class, which may point further into the buffer.
fn information(token: &Handle, class: TOKEN_INFORMATION_CLASS) -> io::Result<Box<[u64; 64]>> {
    let mut buffer = Box::new([0_u64; 64]);
    let mut length = 0;
    let room = u32::try_from(size_of_val(&*buffer)).map_err(io::Error::other)?;
    // SAFETY: the token is open while it is borrowed; the buffer has as many bytes as are named and is aligned for pointers.
    let result = unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            class,
            buffer.as_mut_ptr().cast(),
            room,
            &raw mut length,
        )
    };
    check(result)?;
    // On the heap, so that it stays where it is, and what points into it stays right.
    Ok(buffer)
}

/// The user of a token as the system spells it: `NT AUTHORITY\SYSTEM`.
fn account(token: &Handle) -> io::Result<String> {
    let buffer = information(token, TokenUser)?;
    // SAFETY: this class begins with this struct.
    let user = unsafe { buffer.as_ptr().cast::<TOKEN_USER>().read() };
    // SAFETY: the user's id lies in `buffer`, which lives until the call is over.
    unsafe { account_of(user.User.Sid) }
}

/// The name of the account of a security identifier.
///
/// # Safety
/// `sid` points to one.
pub(super) unsafe fn account_of(sid: PSID) -> io::Result<String> {
    let (mut name, mut domain) = ([0_u16; 512], [0_u16; 512]);
    let (mut name_room, mut domain_room) = (512, 512);
    let mut kind = 0;
    // SAFETY: the caller promises the identifier; both buffers have as many units as are named; `kind` receives one value.
    let result = unsafe {
        LookupAccountSidW(
            ptr::null(),
            sid,
            name.as_mut_ptr(),
            &raw mut name_room,
            domain.as_mut_ptr(),
            &raw mut domain_room,
            &raw mut kind,
        )
    };
    check(result)?;
    Ok(format!("{}\\{}", narrow(&domain), narrow(&name)))
}

/// Whether we have the privileges that logging on an account of the system takes: those of `LocalSystem`.
pub(super) fn may_log_on_services() -> io::Result<bool> {
    let ours = privileges(&own_token()?)?;
    for needed in ["SeTcbPrivilege", "SeAssignPrimaryTokenPrivilege"] {
        let needed = luid(needed)?;
        let is_it = |it: &LUID| it.LowPart == needed.LowPart && it.HighPart == needed.HighPart;
        if !ours.iter().any(is_it) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The privileges of a token, enabled or not.
fn privileges(token: &Handle) -> io::Result<Vec<LUID>> {
    const ROOM: usize = 128;
    /// The layout of `TOKEN_PRIVILEGES` with room for more than one.
    #[repr(C)]
    struct Privileges {
        count: u32,
        list: [LUID_AND_ATTRIBUTES; ROOM],
    }
    const _: () = assert!(
        std::mem::offset_of!(Privileges, list)
            == std::mem::offset_of!(TOKEN_PRIVILEGES, Privileges)
    );
    let mut privileges = Privileges {
        count: 0,
        list: [LUID_AND_ATTRIBUTES::default(); ROOM],
    };
    let mut length = 0;
    // SAFETY: the token is open while it is borrowed; the struct has as many bytes as are named.
    let result = unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenPrivileges,
            (&raw mut privileges).cast(),
            size::<Privileges>(),
            &raw mut length,
        )
    };
    check(result)?;
    let count = usize::try_from(privileges.count).map_err(io::Error::other)?;
    Ok(privileges
        .list
        .iter()
        .take(count)
        .map(|it| it.Luid)
        .collect())
}
