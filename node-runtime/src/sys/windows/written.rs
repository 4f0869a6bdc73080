//! When somebody last changed the variables that the system and our user have: those that go into every environment.
#![expect(unsafe_code, reason = "the registry is read by Win32 calls")]

use std::io;
use std::ptr;

use jiff::Timestamp;
use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, ERROR_SUCCESS, FILETIME};
use windows_sys::Win32::System::Registry::{
    HKEY, HKEY_CURRENT_USER, HKEY_LOCAL_MACHINE, KEY_QUERY_VALUE, RegOpenKeyExW, RegQueryInfoKeyW,
};

use super::boot::{Key, done};
use super::text::wide;

/// The keys with the variables: of the system, of our user, and those that last until our user logs off.
const KEYS: [(HKEY, &str); 3] = [
    (
        HKEY_LOCAL_MACHINE,
        r"SYSTEM\CurrentControlSet\Control\Session Manager\Environment",
    ),
    (HKEY_CURRENT_USER, "Environment"),
    (HKEY_CURRENT_USER, "Volatile Environment"),
];

/// The time of the last change of each key, in units of 100 ns; none for a key that is not there.
pub(super) type Written = [Option<u64>; KEYS.len()];

/// From 1601, where the times of the registry begin, to 1970, in seconds.
const SINCE_1601: i64 = 11_644_473_600;

/// How long ago the last change has to be, in seconds: the clock of the registry ticks more slowly than a program writes, and two
/// changes in one tick have one time.
const SETTLED: i64 = 2;

/// Whether a change after `written` would be seen: the last one lies long enough back, and not in the future.
pub(super) fn is_settled(written: &Written, now: Timestamp) -> bool {
    written.iter().flatten().all(|time| {
        let seconds = i64::try_from(time / 10_000_000).unwrap_or(i64::MAX);
        let change = seconds.saturating_sub(SINCE_1601);
        now.as_second().saturating_sub(change) >= SETTLED
    })
}

/// When each was changed. Equal answers mean equal variables, where they were settled.
pub(super) fn last() -> io::Result<Written> {
    let mut written = Written::default();
    for (time, (root, name)) in written.iter_mut().zip(KEYS) {
        *time = open(root, name)?.map(|key| changed(&key)).transpose()?;
    }
    Ok(written)
}

fn open(root: HKEY, name: &str) -> io::Result<Option<Key>> {
    let name = wide(name)?;
    let mut key = ptr::null_mut();
    // SAFETY: the root is one of the system's own; the name ends with a zero; `key` receives one value.
    let result = unsafe { RegOpenKeyExW(root, name.as_ptr(), 0, KEY_QUERY_VALUE, &raw mut key) };
    match result {
        ERROR_SUCCESS => Ok(Some(Key(key))),
        ERROR_FILE_NOT_FOUND => Ok(None),
        error => Err(io::Error::from_raw_os_error(error.cast_signed())),
    }
}

fn changed(key: &Key) -> io::Result<u64> {
    let mut time = FILETIME::default();
    // SAFETY: the key is open; all that is not asked for is null; `time` receives one value.
    let result = unsafe {
        RegQueryInfoKeyW(
            key.0,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            &raw mut time,
        )
    };
    done(result)?;
    Ok(u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_in_the_tick_of_the_last_one_is_not_missed() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let before = |seconds: i64| {
            let time = u64::try_from(1_000_000 - seconds + SINCE_1601).unwrap() * 10_000_000;
            [Some(time), None, Some(1)]
        };
        assert!(is_settled(&before(SETTLED), now));
        assert!(!is_settled(&before(SETTLED - 1), now));
        assert!(!is_settled(&before(-1), now), "a clock that was set back");
        assert!(is_settled(&[None; 3], now));
    }
}
