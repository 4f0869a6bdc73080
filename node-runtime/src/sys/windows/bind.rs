//! Silos, which are jobs with a view of the file system of their own, and the bind filter, which puts something into it.
//!
//! Neither is in the public documentation. The class of the job and the functions with their parameters are those that hcsshim
//! (`internal/jobobject`, `internal/winapi/bindflt.go`) and `BuildXL` (`NativeContainerUtilities`) use; what they say about them:
//!
//! - A job becomes a silo while no process is in it, and stays one.
//! - What is bound with the job's handle and [`OF_THE_SILO`] is seen by the processes in it alone.
//! - The folder in which it appears must exist, seen from outside. What stands there is hidden from the silo.
//! - It goes with the silo: hcsshim never takes a binding of a job back, also not after a crash, when the last handle of the job
//!   is closed by the kernel. `BuildXL` asks to take them back before, so that is done where nothing runs any more.
#![expect(
    unsafe_code,
    reason = "a job is made a silo, and bound to, by Win32 calls that are looked up"
)]

use std::ffi::CStr;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::ptr;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::JobObjects::{JobObjectCreateSilo, SetInformationJobObject};
use windows_sys::core::{HRESULT, PCWSTR};

use super::abi::SiloBasic;
use super::handle::{Handle, check};
use super::job_info;
use super::library::Library;
use super::text::wide;

type Setup = unsafe extern "system" fn(HANDLE, u32, PCWSTR, PCWSTR, *const PCWSTR, u32) -> HRESULT;
type Remove = unsafe extern "system" fn(HANDLE, PCWSTR) -> HRESULT;

/// `BINDFLT_FLAG_READ_ONLY_MAPPING`.
const READ_ONLY: u32 = 1;
/// `BINDFLT_FLAG_USE_CURRENT_SILO_MAPPING`: for the silo of the job, not for the whole host.
const OF_THE_SILO: u32 = 4;

/// Whether jobs can be silos. The job is one afterwards, if they can.
pub(super) fn can_be_silo(job: &Handle) -> bool {
    make_silo(job).is_ok()
}

/// Whether a job is a silo: of any other the system does not say these things.
pub(super) fn is_silo(job: &Handle) -> bool {
    job_info::query::<SiloBasic>(job).is_ok()
}

/// Makes a job without processes a silo.
pub(super) fn make_silo(job: &Handle) -> io::Result<()> {
    // SAFETY: the job is open while it is borrowed; this class takes no data.
    let result = unsafe {
        SetInformationJobObject(job.as_raw_handle(), JobObjectCreateSilo, ptr::null(), 0)
    };
    check(result)
}

/// Whether the system has the bind filter.
pub(super) fn is_there() -> io::Result<()> {
    setup()?;
    remove().map(drop)
}

/// Lets `source` appear at `target` to the processes of a silo alone.
pub(super) fn bind(job: &Handle, source: &Path, target: &Path, read_only: bool) -> io::Result<()> {
    let setup = setup()?;
    let (source, target) = (of_drive(source)?, of_drive(target)?);
    // SAFETY: the job is open while it is borrowed; both paths end with a zero; no exceptions are given.
    let result = unsafe {
        setup(
            job.as_raw_handle(),
            flags(read_only),
            target.as_ptr(),
            source.as_ptr(),
            ptr::null(),
            0,
        )
    };
    succeeded(result)
}

/// Takes back what [`bind`] did.
pub(super) fn unbind(job: &Handle, target: &Path) -> io::Result<()> {
    let remove = remove()?;
    let target = of_drive(target)?;
    // SAFETY: the job is open while it is borrowed; the path ends with a zero.
    succeeded(unsafe { remove(job.as_raw_handle(), target.as_ptr()) })
}

fn flags(read_only: bool) -> u32 {
    OF_THE_SILO | if read_only { READ_ONLY } else { 0 }
}

/// A path as the bind filter takes it: beginning with its drive or volume.
fn of_drive(path: &Path) -> io::Result<Vec<u16>> {
    let path = path.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    let bare = path.strip_prefix(r"\\?\").filter(|it| has_drive(it));
    let bare = bare.unwrap_or(path);
    if !has_drive(bare) && !bare.starts_with(r"\\?\Volume{") {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the bind filter takes folders and files of local drives only; use a local one",
        ));
    }
    wide(&bare.replace('/', "\\"))
}

/// Whether a path begins as `C:\` does.
fn has_drive(path: &str) -> bool {
    let mut letters = path.chars();
    let drive = letters.next().is_some_and(|it| it.is_ascii_alphabetic());
    drive && letters.next() == Some(':') && matches!(letters.next(), Some('\\' | '/'))
}

/// An error where the result is one: as Windows has it, where it is one of Win32.
fn succeeded(result: HRESULT) -> io::Result<()> {
    const OF_WIN32: u32 = 0x8007_0000;
    if result >= 0 {
        return Ok(());
    }
    let code = result.cast_unsigned();
    Err(if code & 0xffff_0000 == OF_WIN32 {
        io::Error::from_raw_os_error((code & 0xffff).cast_signed())
    } else {
        io::Error::other(format!("the bind filter refuses (error {code:#010x})"))
    })
}

fn setup() -> io::Result<Setup> {
    // SAFETY: hcsshim and BuildXL, of its own makers, declare it so.
    unsafe { function(c"BfSetupFilter") }
}

fn remove() -> io::Result<Remove> {
    // SAFETY: as above.
    unsafe { function(c"BfRemoveMapping") }
}

/// A function of `bindfltapi`.
///
/// # Safety
/// As of [`Library::function`].
unsafe fn function<F: Copy>(name: &CStr) -> io::Result<F> {
    let library = Library::system("bindfltapi.dll")?;
    // SAFETY: the caller promises the same.
    unsafe { library.function(name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::windows::text::narrow;

    #[test]
    fn a_path_is_given_to_the_bind_filter_from_its_drive_on() {
        let given = |path: &str| of_drive(Path::new(path)).map(|path| narrow(&path));
        assert_eq!(given(r"\\?\C:\a b\c").unwrap(), r"C:\a b\c");
        assert_eq!(given("C:/hpc").unwrap(), r"C:\hpc");
        let volume = r"\\?\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\";
        assert_eq!(given(volume).unwrap(), volume);
        for path in [
            r"\\server\share\x",
            r"\\?\UNC\server\share",
            r"\hpc",
            "C:hpc",
            "",
        ] {
            let error = given(path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{path}");
        }
    }

    #[test]
    fn a_binding_is_always_of_the_silo_and_read_only_where_it_is_asked_for() {
        assert_eq!((flags(false), flags(true)), (4, 5));
    }

    #[test]
    fn an_error_of_windows_keeps_its_number() {
        assert!(succeeded(0).is_ok());
        let denied = succeeded(0x8007_0005_u32.cast_signed()).unwrap_err();
        assert_eq!(denied.raw_os_error(), Some(5));
        let other = succeeded(0x8000_4005_u32.cast_signed()).unwrap_err();
        assert!(other.to_string().contains("0x80004005"), "{other}");
    }
}
