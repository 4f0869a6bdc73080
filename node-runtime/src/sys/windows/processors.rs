//! The processors of the host.
#![expect(unsafe_code, reason = "they are counted by Win32 calls")]

use std::io;

use windows_sys::Win32::System::Threading::{
    ALL_PROCESSOR_GROUPS, GetActiveProcessorCount, GetActiveProcessorGroupCount, GetCurrentProcess,
    GetProcessAffinityMask,
};

use super::handle::check;
use crate::limits::GroupAffinity;

/// How many there are, in all groups; at least 1.
pub(super) fn count() -> u32 {
    // SAFETY: it takes a number only.
    let count = unsafe { GetActiveProcessorCount(ALL_PROCESSOR_GROUPS) };
    count.max(1)
}

/// Every processor of every group.
pub(super) fn groups() -> Vec<GroupAffinity> {
    // SAFETY: it takes nothing.
    let count = unsafe { GetActiveProcessorGroupCount() };
    let group = |group| GroupAffinity {
        group,
        mask: mask(count_in(group)),
    };
    (0..count).map(group).collect()
}

/// How many processors a group has.
fn count_in(group: u16) -> u32 {
    // SAFETY: it takes a number only.
    unsafe { GetActiveProcessorCount(group) }
}

/// One bit for each of so many processors. A group has at most 64.
fn mask(count: u32) -> u64 {
    1_u64.checked_shl(count).map_or(u64::MAX, |end| end - 1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_groups_together_have_all_processors() {
        let bits: u32 = groups().iter().map(|it| it.mask.count_ones()).sum();
        assert_eq!(bits, count());
        assert_eq!(
            [0, 1, 2, 63, 64].map(mask),
            [0, 1, 3, u64::MAX >> 1, u64::MAX]
        );
    }
}
