//! Pseudo consoles, where the system has them.
#![expect(
    unsafe_code,
    reason = "pseudo consoles are made, sized and closed by Win32 calls"
)]

use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Console::{self as system, COORD, HPCON};
use windows_sys::core::HRESULT;

use super::library::{Library, unsupported};
use crate::sys::Console;

type Create = unsafe extern "system" fn(COORD, HANDLE, HANDLE, u32, *mut HPCON) -> HRESULT;
type Resize = unsafe extern "system" fn(HPCON, COORD) -> HRESULT;
type Close = unsafe extern "system" fn(HPCON);

// Lets the compiler compare the types with those of `windows-sys`; nothing is imported by it.
const _: Create = system::CreatePseudoConsole;
const _: Resize = system::ResizePseudoConsole;
const _: Close = system::ClosePseudoConsole;

/// A console that a program writes to and that we read as text.
#[derive(Debug)]
pub(super) struct PseudoConsole {
    console: HPCON,
    close: Close,
}

/// Whether the system has them.
pub(super) fn is_there() -> bool {
    functions().is_ok()
}

fn functions() -> io::Result<(Create, Resize, Close)> {
    let library = Library::system("kernel32.dll")?;
    // SAFETY: the type is that of `windows-sys`, as the line above checks.
    let create = unsafe { library.function::<Create>(c"CreatePseudoConsole") }?;
    // SAFETY: as above.
    let resize = unsafe { library.function::<Resize>(c"ResizePseudoConsole") }?;
    // SAFETY: as above.
    let close = unsafe { library.function::<Close>(c"ClosePseudoConsole") }?;
    Ok((create, resize, close))
}

impl PseudoConsole {
    /// Makes one that reads `input` and writes `output`. It has its own handles of them afterwards.
    pub(super) fn open(
        size: Console,
        input: BorrowedHandle<'_>,
        output: BorrowedHandle<'_>,
    ) -> io::Result<Self> {
        let (create, _, close) = functions()?;
        let mut console = 0;
        // SAFETY: both streams are open while they are borrowed, and the call duplicates them; `console` receives one value.
        let result = unsafe {
            create(
                coordinates(size)?,
                input.as_raw_handle(),
                output.as_raw_handle(),
                0,
                &raw mut console,
            )
        };
        succeeded(result)?;
        Ok(Self { console, close })
    }

    /// Sets its size.
    pub(super) fn resize(&self, size: Console) -> io::Result<()> {
        let (_, resize, _) = functions()?;
        // SAFETY: the console is open until this value is dropped.
        succeeded(unsafe { resize(self.console, coordinates(size)?) })
    }

    /// What the attribute of a process takes.
    pub(super) fn value(&self) -> HPCON {
        self.console
    }
}

impl Drop for PseudoConsole {
    fn drop(&mut self) {
        // SAFETY: the console is open, and nothing else closes it.
        unsafe { (self.close)(self.console) };
    }
}

/// A size as Windows has it: signed, so that larger ones are refused.
fn coordinates(size: Console) -> io::Result<COORD> {
    let invalid = |_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "a console has 1 to 32767 columns and rows; choose a smaller size",
        )
    };
    Ok(COORD {
        X: i16::try_from(size.columns).map_err(invalid)?,
        Y: i16::try_from(size.rows).map_err(invalid)?,
    })
}

/// An error where the result is one; `E_NOTIMPL` is `Unsupported`.
fn succeeded(result: HRESULT) -> io::Result<()> {
    const E_NOTIMPL: HRESULT = 0x8000_4001_u32.cast_signed();
    match result {
        0.. => Ok(()),
        E_NOTIMPL => Err(unsupported("pseudo console that can be resized")),
        other => Err(io::Error::from_raw_os_error(other & 0xffff)),
    }
}
