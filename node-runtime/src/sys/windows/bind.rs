//! Silos: jobs that can have their own view of the file system.
#![expect(
    unsafe_code,
    reason = "a job is made a silo and asked whether it is one by calls without a struct of ours"
)]

use std::io;
use std::os::windows::io::AsRawHandle;
use std::ptr;

use windows_sys::Win32::System::JobObjects::{JobObjectCreateSilo, SetInformationJobObject};

use super::abi::SiloBasic;
use super::handle::{Handle, check};
use super::job_info;

/// Whether jobs can be silos. The job is one afterwards, if they can.
pub(super) fn can_be_silo(job: &Handle) -> bool {
    make_silo(job).is_ok()
}

/// Whether a job is a silo: of any other the system does not say these things.
pub(super) fn is_silo(job: &Handle) -> bool {
    job_info::query::<SiloBasic>(job).is_ok()
}

/// Makes a job without processes a silo.
fn make_silo(job: &Handle) -> io::Result<()> {
    // SAFETY: the job is open while it is borrowed; this class takes no data.
    let result = unsafe {
        SetInformationJobObject(job.as_raw_handle(), JobObjectCreateSilo, ptr::null(), 0)
    };
    check(result)
}
