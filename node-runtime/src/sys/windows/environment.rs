//! Environments: the block that a process is born with, and the one that the system gives a user.
#![expect(
    unsafe_code,
    reason = "the system's block is memory of its own, read up to its two zeros"
)]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Environment as system;
use windows_sys::core::BOOL;

use super::handle::{Handle, check};
use super::library::Library;
use super::text::{units, wide};
use super::written::{self, Written};

/// What the system gave us last, and when its variables had been changed.
type Known = Option<(Written, BTreeMap<String, String>)>;

type Create = unsafe extern "system" fn(*mut *mut c_void, HANDLE, BOOL) -> BOOL;
type Destroy = unsafe extern "system" fn(*const c_void) -> BOOL;

// Lets the compiler compare the types with those of `windows-sys`; nothing is imported by it.
const _: Create = system::CreateEnvironmentBlock;
const _: Destroy = system::DestroyEnvironmentBlock;

/// What the system gives us, by our own token. It takes a hundred questions to the registry, so they are asked again only
/// when somebody changed a variable.
pub(super) fn of_us(token: &Handle) -> io::Result<BTreeMap<String, String>> {
    static KNOWN: Mutex<Known> = Mutex::new(None);
    // Asked first: a change in between is seen the next time.
    let Ok(written) = written::last() else {
        return of_user(token);
    };
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, variables)) = known.as_ref().filter(|(then, _)| *then == written) {
        return Ok(variables.clone());
    }
    let asked = of_user(token)?;
    *known = written::is_settled(&written, Timestamp::now()).then(|| (written, asked.clone()));
    Ok(asked)
}

/// What the system gives the user of a token: nothing of our own environment.
pub(super) fn of_user(token: &Handle) -> io::Result<BTreeMap<String, String>> {
    let library = Library::system("userenv.dll")?;
    // SAFETY: the type is that of `windows-sys`, as the lines above check.
    let create = unsafe { library.function::<Create>(c"CreateEnvironmentBlock") }?;
    // SAFETY: as above.
    let destroy = unsafe { library.function::<Destroy>(c"DestroyEnvironmentBlock") }?;
    let mut block = ptr::null_mut();
    // SAFETY: the token is open while it is borrowed; `block` receives one allocation.
    check(unsafe { create(&raw mut block, token.as_raw_handle(), 0) })?;
    // SAFETY: the call succeeded, so `block` is a block of texts whose end is two zeros.
    let variables = unsafe { read(block.cast()) };
    // SAFETY: `block` came from the call above, and `variables` are copies.
    check(unsafe { destroy(block) })?;
    Ok(variables)
}

/// The variables of a block.
///
/// # Safety
/// `block` points to texts that each end with a zero, the last followed by another zero.
unsafe fn read(block: *const u16) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let mut rest = block;
    loop {
        // SAFETY: `rest` is at the beginning of a text or at the last zero, so a zero follows.
        let units = unsafe { units(rest) };
        if units.is_empty() {
            return variables;
        }
        // SAFETY: the text and its zero are within the block.
        rest = unsafe { rest.add(units.len() + 1) };
        let entry = String::from_utf16_lossy(units);
        if let Some((name, value)) = split(&entry) {
            variables.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Name and value. A name may begin with `=`: so `cmd` remembers the folder of each drive. Those are of no use to others.
fn split(entry: &str) -> Option<(&str, &str)> {
    let (name, value) = entry.split_once('=')?;
    (!name.is_empty()).then_some((name, value))
}

/// The block for a new process: sorted without regard to case, as Windows asks for it.
///
/// # Errors
/// `InvalidInput` for a name that is empty or has `=` in it, for a zero anywhere, and for two names that differ in case alone.
/// Only the name is ever named.
pub(super) fn block(variables: &BTreeMap<String, String>) -> io::Result<Vec<u16>> {
    let mut sorted: Vec<_> = variables.iter().collect();
    sorted.sort_by_cached_key(|(name, _)| name.to_uppercase());
    let twice = sorted.windows(2).find_map(|pair| match pair {
        [(one, _), (other, _)] if one.to_uppercase() == other.to_uppercase() => Some(one),
        _ => None,
    });
    if let Some(name) = twice {
        return Err(bad(name, "is there twice, in another case"));
    }
    let mut block = Vec::new();
    for (name, value) in sorted {
        if name.is_empty() || name.contains('=') {
            return Err(bad(name, "is no name of a variable"));
        }
        let entry = wide(&format!("{name}={value}"));
        block.extend(entry.map_err(|_| bad(name, "has a zero character in it"))?);
    }
    if block.is_empty() {
        block.push(0);
    }
    block.push(0);
    Ok(block)
}

fn bad(name: &str, why: &str) -> io::Error {
    let name = name.escape_debug();
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("the environment variable \"{name}\" {why}; correct it"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        list.iter().map(owned).collect()
    }

    /// Changes a variable of our user as a person would; none removes it.
    fn change(name: &str, value: Option<&str>) {
        let key = r"HKCU\Environment";
        let arguments = match value {
            Some(value) => vec!["add", key, "/v", name, "/d", value, "/f"],
            None => vec!["delete", key, "/v", name, "/f"],
        };
        let mut reg = std::process::Command::new("reg.exe");
        let done = reg.args(arguments).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    #[test]
    fn a_variable_that_is_changed_while_we_run_is_seen_by_the_next_who_asks() {
        let token = super::super::token::own_token().unwrap();
        let name = format!("HOSTTASK_TEST_{}", std::process::id());
        let seen = || of_us(&token).unwrap().get(&name).cloned();
        assert_eq!(seen(), None);
        for value in [Some("one"), Some("two"), None] {
            change(&name, value);
            assert_eq!(seen().as_deref(), value);
            // What is known is what would be asked.
            assert_eq!(of_us(&token).unwrap(), of_user(&token).unwrap());
        }
    }

    #[test]
    fn a_block_is_sorted_without_regard_to_case_and_comes_back() {
        let given = variables(&[("b", "2"), ("A", "1=x"), ("_", ""), ("Path", "C:\\x")]);
        let block = block(&given).unwrap();
        let text = String::from_utf16(&block).unwrap();
        assert_eq!(text, "A=1=x\0b=2\0Path=C:\\x\0_=\0\0");
        // SAFETY: a block of ours ends with two zeros.
        assert_eq!(unsafe { read(block.as_ptr()) }, given);
        assert_eq!(super::block(&BTreeMap::new()).unwrap(), [0, 0]);
    }

    #[test]
    fn a_variable_that_windows_would_misread_is_refused_without_its_value() {
        for list in [
            &[("", "canary")][..],
            &[("=C:", "canary")],
            &[("A=B", "canary")],
            &[("A\0", "canary")],
            &[("A", "canary\0B=1")],
            &[("a", "canary"), ("A", "canary")],
        ] {
            let error = block(&variables(list)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
