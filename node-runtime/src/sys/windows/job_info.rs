//! Reading and setting what a job has: the struct chooses the class, so that the two cannot be confused.
#![expect(
    unsafe_code,
    reason = "job information is read and set through untyped pointers"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::windows::io::AsRawHandle;
use std::ptr;

use windows_sys::Win32::System::JobObjects::{
    JOBOBJECT_ASSOCIATE_COMPLETION_PORT, JOBOBJECT_BASIC_ACCOUNTING_INFORMATION,
    JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION, JOBOBJECT_BASIC_UI_RESTRICTIONS,
    JOBOBJECT_CPU_RATE_CONTROL_INFORMATION, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
    JOBOBJECT_IO_ATTRIBUTION_INFORMATION, JOBOBJECT_NET_RATE_CONTROL_INFORMATION,
    JOBOBJECT_NOTIFICATION_LIMIT_INFORMATION, JOBOBJECTINFOCLASS,
    JobObjectAssociateCompletionPortInformation, JobObjectBasicAccountingInformation,
    JobObjectBasicAndIoAccountingInformation, JobObjectBasicUIRestrictions,
    JobObjectCpuRateControlInformation, JobObjectExtendedLimitInformation,
    JobObjectGroupInformationEx, JobObjectNetRateControlInformation,
    JobObjectNotificationLimitInformation, JobObjectSiloBasicInformation,
    QueryInformationJobObject, SetInformationJobObject,
};
use windows_sys::Win32::System::SystemInformation::GROUP_AFFINITY;

use super::abi::{
    JOB_OBJECT_FREEZE, JOB_OBJECT_IO_ATTRIBUTION, JOB_OBJECT_MEMORY_USAGE, JobFreeze,
    JobMemoryUsage, SiloBasic, size,
};
use super::handle::{Handle, check};

/// Something that a job has.
///
/// # Safety
/// `CLASS` must be the class that Win32 documents for `Self`, and all-zero bytes must be a valid `Self`.
pub(super) unsafe trait JobInfo: Copy {
    /// The class.
    const CLASS: JOBOBJECTINFOCLASS;
}

macro_rules! job_info {
    ($($info:ty => $class:expr),* $(,)?) => {$(
        // SAFETY: the documentation of the class names this struct, and it has only numbers and pointers, for which zero is valid.
        unsafe impl JobInfo for $info {
            const CLASS: JOBOBJECTINFOCLASS = $class;
        }
    )*};
}

job_info! {
    JOBOBJECT_ASSOCIATE_COMPLETION_PORT => JobObjectAssociateCompletionPortInformation,
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION => JobObjectBasicAccountingInformation,
    JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION => JobObjectBasicAndIoAccountingInformation,
    JOBOBJECT_BASIC_UI_RESTRICTIONS => JobObjectBasicUIRestrictions,
    JOBOBJECT_CPU_RATE_CONTROL_INFORMATION => JobObjectCpuRateControlInformation,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION => JobObjectExtendedLimitInformation,
    JOBOBJECT_IO_ATTRIBUTION_INFORMATION => JOB_OBJECT_IO_ATTRIBUTION,
    JOBOBJECT_NET_RATE_CONTROL_INFORMATION => JobObjectNetRateControlInformation,
    JOBOBJECT_NOTIFICATION_LIMIT_INFORMATION => JobObjectNotificationLimitInformation,
    JobMemoryUsage => JOB_OBJECT_MEMORY_USAGE,
    JobFreeze => JOB_OBJECT_FREEZE,
    SiloBasic => JobObjectSiloBasicInformation,
}

/// Nothing set: what a struct is before its fields are filled in.
pub(super) fn zeroed<T: JobInfo>() -> T {
    let zeroed = MaybeUninit::<T>::zeroed();
    // SAFETY: `JobInfo` promises that all-zero bytes are a valid value.
    unsafe { zeroed.assume_init() }
}

/// Reads it.
pub(super) fn query<T: JobInfo>(job: &Handle) -> io::Result<T> {
    let mut info = zeroed::<T>();
    // SAFETY: the job is open while it is borrowed; `info` has the size that is named and the layout that the class fills.
    let result = unsafe {
        QueryInformationJobObject(
            job.as_raw_handle(),
            T::CLASS,
            (&raw mut info).cast(),
            size::<T>(),
            ptr::null_mut(),
        )
    };
    check(result).map(|()| info)
}

/// Sets it.
pub(super) fn set<T: JobInfo>(job: &Handle, info: &T) -> io::Result<()> {
    // SAFETY: the job is open while it is borrowed; `info` has the size that is named and the layout that the class reads.
    let result = unsafe {
        SetInformationJobObject(
            job.as_raw_handle(),
            T::CLASS,
            ptr::from_ref(info).cast(),
            size::<T>(),
        )
    };
    check(result)
}

/// Sets which processors of which groups the job may use.
pub(super) fn set_groups(job: &Handle, groups: &[GROUP_AFFINITY]) -> io::Result<()> {
    let bytes = u32::try_from(size_of_val(groups)).map_err(io::Error::other)?;
    // SAFETY: the job is open while it is borrowed; `groups` has as many bytes as are named, and the class reads whole structs.
    let result = unsafe {
        SetInformationJobObject(
            job.as_raw_handle(),
            JobObjectGroupInformationEx,
            groups.as_ptr().cast(),
            bytes,
        )
    };
    check(result)
}
