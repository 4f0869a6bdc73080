//! Making the ends of named pipes.
#![expect(unsafe_code, reason = "they are made by Win32 calls")]

use std::io;
use std::ptr;

use windows_sys::Win32::Foundation::{GENERIC_READ, GENERIC_WRITE};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, FILE_FLAGS_AND_ATTRIBUTES,
    OPEN_EXISTING, PIPE_ACCESS_DUPLEX, PIPE_ACCESS_INBOUND, PIPE_ACCESS_OUTBOUND,
    SECURITY_IDENTIFICATION, SECURITY_SQOS_PRESENT,
};
use windows_sys::Win32::System::Pipes::{
    CreateNamedPipeW, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE,
    PIPE_UNLIMITED_INSTANCES, PIPE_WAIT, WaitNamedPipeW,
};

use super::handle::{Handle, check, own_file};
use super::security::Descriptor;
use super::text::wide;

/// How many bytes wait in a pipe before its writer has to wait.
const BUFFER: u32 = 64 * 1024;

/// Which way the server of a pipe uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Reads,
    Writes,
    Both,
}

impl Direction {
    fn of_server(self) -> FILE_FLAGS_AND_ATTRIBUTES {
        match self {
            Self::Reads => PIPE_ACCESS_INBOUND,
            Self::Writes => PIPE_ACCESS_OUTBOUND,
            Self::Both => PIPE_ACCESS_DUPLEX,
        }
    }

    fn of_client(self) -> u32 {
        match self {
            Self::Reads => GENERIC_WRITE,
            Self::Writes => GENERIC_READ,
            Self::Both => GENERIC_READ | GENERIC_WRITE,
        }
    }
}

/// How many servers' ends a pipe may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instance {
    /// This one alone.
    Only,
    /// The first of many; refused where there is one already.
    First,
    /// One more.
    Another,
}

/// Makes a server's end, for clients of this machine that `access` lets in.
pub(super) fn serve(
    address: &str,
    direction: Direction,
    instance: Instance,
    access: &Descriptor,
) -> io::Result<Handle> {
    let address = wide(address)?;
    let (first, most) = match instance {
        Instance::Only => (FILE_FLAG_FIRST_PIPE_INSTANCE, 1),
        Instance::First => (FILE_FLAG_FIRST_PIPE_INSTANCE, PIPE_UNLIMITED_INSTANCES),
        Instance::Another => (0, PIPE_UNLIMITED_INSTANCES),
    };
    let attributes: SECURITY_ATTRIBUTES = access.attributes();
    // SAFETY: the address ends with a zero, and `access` is borrowed until the call is over.
    let raw = unsafe {
        CreateNamedPipeW(
            address.as_ptr(),
            direction.of_server() | first | FILE_FLAG_OVERLAPPED,
            PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
            most,
            BUFFER,
            BUFFER,
            0,
            &raw const attributes,
        )
    };
    // SAFETY: `raw` is what the call just returned: invalid, or a handle that only this function knows.
    unsafe { own_file(raw) }
}

/// Opens a client's end. The server may learn who we are, but not act in our name.
pub(super) fn open(address: &str, direction: Direction, overlapped: bool) -> io::Result<Handle> {
    let address = wide(address)?;
    let overlapped = if overlapped { FILE_FLAG_OVERLAPPED } else { 0 };
    // SAFETY: the address ends with a zero; no attributes and no template are given.
    let raw = unsafe {
        CreateFileW(
            address.as_ptr(),
            direction.of_client(),
            0,
            ptr::null(),
            OPEN_EXISTING,
            SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION | overlapped,
            ptr::null_mut(),
        )
    };
    // SAFETY: `raw` is what the call just returned: invalid, or a handle that only this function knows.
    unsafe { own_file(raw) }
}

/// Waits until a server's end is free. 0 would mean the server's own patience, so it is 1 at least.
pub(super) fn wait_for_free(address: &str, milliseconds: u32) -> io::Result<()> {
    let address = wide(address)?;
    // SAFETY: the address ends with a zero.
    check(unsafe { WaitNamedPipeW(address.as_ptr(), milliseconds.max(1)) })
}
