//! The processors of the host.
#![expect(unsafe_code, reason = "they are counted by Win32 calls")]

use std::io;

use windows_sys::Win32::System::Threading::{
    ALL_PROCESSOR_GROUPS, GetActiveProcessorCount, GetCurrentProcess, GetProcessAffinityMask,
};

use super::handle::check;

/// How many there are, in all groups; at least 1.
pub(super) fn count() -> u32 {
    // SAFETY: it takes a number only.
    let count = unsafe { GetActiveProcessorCount(ALL_PROCESSOR_GROUPS) };
    count.max(1)
}

/// One bit for each processor of the group of this process.
pub(super) fn all_of_the_first_group() -> io::Result<usize> {
    // SAFETY: it takes nothing and returns a constant.
    let process = unsafe { GetCurrentProcess() };
    let (mut ours, mut all) = (0, 0);
    // SAFETY: the constant stands for this process; the two locals receive one value each.
    check(unsafe { GetProcessAffinityMask(process, &raw mut ours, &raw mut all) })?;
    Ok(all)
}
