//! Which start of the system this is.
//!
//! Windows has no number for it that is there on every edition and that a change of the clock leaves alone. So a random text is
//! kept in a volatile key of the registry: such keys are gone after a restart, and only then.
#![expect(
    unsafe_code,
    reason = "the registry is read and written by Win32 calls"
)]

use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, ERROR_SUCCESS, WIN32_ERROR};
use windows_sys::Win32::System::Registry::{
    HKEY, HKEY_LOCAL_MACHINE, KEY_QUERY_VALUE, KEY_SET_VALUE, REG_CREATED_NEW_KEY,
    REG_OPTION_VOLATILE, REG_SZ, RRF_RT_REG_SZ, RegCloseKey, RegCreateKeyExW, RegGetValueW,
    RegSetValueExW,
};

use super::deadline::Deadline;
use super::pipe::random_text;
use super::text::{narrow, wide};

const KEY: &str = r"SOFTWARE\hosttask-boot";
const VALUE: &str = "id";

/// How long another process may take between making the key and writing the value.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often is looked whether it did.
const LOOK: Duration = Duration::from_millis(5);

/// A key of the registry.
pub(super) struct Key(pub(super) HKEY);

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: the key is open, and nothing else closes it.
        unsafe { RegCloseKey(self.0) };
    }
}

/// A text that changes with every start of the system, and only then. The first to ask makes it up.
pub(super) fn id() -> io::Result<String> {
    /// Whoever asks does not live longer than it stays the same.
    static KNOWN: OnceLock<String> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(known.clone());
    }
    let asked = ask()?;
    Ok(KNOWN.get_or_init(|| asked).clone())
}

fn ask() -> io::Result<String> {
    let (key, is_new) = open()?;
    if is_new {
        write(&key, &random_text(16)?)?;
    }
    let deadline = Deadline::after(PATIENCE);
    loop {
        match read(&key)? {
            Some(id) => return Ok(id),
            None if deadline.is_over() => {
                // Whoever made the key died before it wrote. If he lives after all, the last to write wins for all later.
                write(&key, &random_text(16)?)?;
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

fn open() -> io::Result<(Key, bool)> {
    let name = wide(KEY)?;
    let mut key = ptr::null_mut();
    let mut disposition = 0;
    // SAFETY: the name ends with a zero; no class and no attributes are given; both locals receive one value.
    let result = unsafe {
        RegCreateKeyExW(
            HKEY_LOCAL_MACHINE,
            name.as_ptr(),
            0,
            ptr::null(),
            REG_OPTION_VOLATILE,
            KEY_QUERY_VALUE | KEY_SET_VALUE,
            ptr::null(),
            &raw mut key,
            &raw mut disposition,
        )
    };
    done(result)?;
    Ok((Key(key), disposition == REG_CREATED_NEW_KEY))
}

fn write(key: &Key, id: &str) -> io::Result<()> {
    let (name, text) = (wide(VALUE)?, wide(id)?);
    let bytes = u32::try_from(size_of_val(text.as_slice())).map_err(io::Error::other)?;
    // SAFETY: the key is open; the name ends with a zero; the text has as many bytes as are named.
    let result =
        unsafe { RegSetValueExW(key.0, name.as_ptr(), 0, REG_SZ, text.as_ptr().cast(), bytes) };
    done(result)
}

/// The text; none where nobody wrote it yet.
fn read(key: &Key) -> io::Result<Option<String>> {
    let name = wide(VALUE)?;
    let mut text = [0_u16; 64];
    let mut bytes = u32::try_from(size_of_val(&text)).map_err(io::Error::other)?;
    // SAFETY: the key is open; the name ends with a zero; `text` has as many bytes as are named.
    let result = unsafe {
        RegGetValueW(
            key.0,
            ptr::null(),
            name.as_ptr(),
            RRF_RT_REG_SZ,
            ptr::null_mut(),
            text.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    match result {
        ERROR_FILE_NOT_FOUND => Ok(None),
        result => done(result).map(|()| Some(narrow(&text))),
    }
}

/// The error of a call of the registry.
pub(super) fn done(result: WIN32_ERROR) -> io::Result<()> {
    match result {
        ERROR_SUCCESS => Ok(()),
        error => Err(io::Error::from_raw_os_error(error.cast_signed())),
    }
}
