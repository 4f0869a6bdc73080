//! The limits of a job: what is asked for is set, and what is not asked for is lifted.

use std::io;

use windows_sys::Win32::System::JobObjects::{
    JOB_OBJECT_CPU_RATE_CONTROL_ENABLE, JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP,
    JOB_OBJECT_CPU_RATE_CONTROL_WEIGHT_BASED, JOB_OBJECT_LIMIT, JOB_OBJECT_LIMIT_ACTIVE_PROCESS,
    JOB_OBJECT_LIMIT_AFFINITY, JOB_OBJECT_LIMIT_JOB_MEMORY, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOB_OBJECT_LIMIT_PRIORITY_CLASS, JOB_OBJECT_LIMIT_PROCESS_MEMORY,
    JOB_OBJECT_NET_RATE_CONTROL_DSCP_TAG, JOB_OBJECT_NET_RATE_CONTROL_ENABLE,
    JOB_OBJECT_NET_RATE_CONTROL_MAX_BANDWIDTH, JOB_OBJECT_UILIMIT, JOB_OBJECT_UILIMIT_DESKTOP,
    JOB_OBJECT_UILIMIT_DISPLAYSETTINGS, JOB_OBJECT_UILIMIT_EXITWINDOWS,
    JOB_OBJECT_UILIMIT_GLOBALATOMS, JOB_OBJECT_UILIMIT_HANDLES, JOB_OBJECT_UILIMIT_READCLIPBOARD,
    JOB_OBJECT_UILIMIT_SYSTEMPARAMETERS, JOB_OBJECT_UILIMIT_WRITECLIPBOARD,
    JOBOBJECT_BASIC_UI_RESTRICTIONS, JOBOBJECT_CPU_RATE_CONTROL_INFORMATION,
    JOBOBJECT_CPU_RATE_CONTROL_INFORMATION_0, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
    JOBOBJECT_NET_RATE_CONTROL_INFORMATION,
};
use windows_sys::Win32::System::SystemInformation::GROUP_AFFINITY;
use windows_sys::Win32::System::Threading::{
    ABOVE_NORMAL_PRIORITY_CLASS, BELOW_NORMAL_PRIORITY_CLASS, HIGH_PRIORITY_CLASS,
    IDLE_PRIORITY_CLASS, NORMAL_PRIORITY_CLASS,
};

use super::handle::Handle;
use super::{job_info, processors};
use crate::limits::{Cpu, GroupAffinity, Limits, NetworkRate, Priority, UiRestriction};
use crate::sys::{Features, LimitKind};

/// Limits of the extended information that are ours to set and to lift.
const OURS: JOB_OBJECT_LIMIT = JOB_OBJECT_LIMIT_JOB_MEMORY
    | JOB_OBJECT_LIMIT_PROCESS_MEMORY
    | JOB_OBJECT_LIMIT_ACTIVE_PROCESS
    | JOB_OBJECT_LIMIT_AFFINITY
    | JOB_OBJECT_LIMIT_PRIORITY_CLASS;

/// Limits that stay with every process when they are only switched off: they are first set to what a process has without.
const STICKY: JOB_OBJECT_LIMIT = JOB_OBJECT_LIMIT_AFFINITY | JOB_OBJECT_LIMIT_PRIORITY_CLASS;

/// Sets the limits of a job. `Unsupported` names the first that the host lacks; nothing is changed then. `had_groups` says
/// whether its processes may be bound to groups of processors now.
pub(super) fn set(
    job: &Handle,
    limits: &Limits,
    features: &Features,
    had_groups: bool,
) -> io::Result<()> {
    let accepted = |kind: LimitKind| features.limits.contains(&kind);
    if let Some(lacking) = limits.kinds().into_iter().find(|kind| !accepted(*kind)) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("this system takes no limit of the kind {lacking:?}; remove it"),
        ));
    }
    // The call that is most likely refused is the first one. It is repeated at the end: nobody says what the calls in between
    // do to it.
    let bound = next_groups(&limits.affinity, had_groups)
        .map(|it| groups(&it))
        .transpose()?;
    if let Some(bound) = &bound {
        job_info::set_groups(job, bound)?;
    }
    let extended = extended(job_info::query(job)?, limits)?;
    lift_sticky(job, &extended)?;
    job_info::set(job, &extended)?;
    if accepted(LimitKind::UserInterface) {
        job_info::set(job, &ui(limits))?;
    }
    if accepted(LimitKind::CpuCap) {
        set_cpu(job, limits.cpu)?;
    }
    if accepted(LimitKind::NetworkRate) {
        job_info::set(job, &network(limits.network))?;
    }
    if let Some(bound) = &bound
        && needs_groups(&limits.affinity)
    {
        job_info::set_groups(job, bound)?;
    }
    Ok(())
}

/// Sets a cap or a weight. From one to the other, the system wants the first one lifted before.
fn set_cpu(job: &Handle, limit: Option<Cpu>) -> io::Result<()> {
    let next = cpu(limit);
    let now: JOBOBJECT_CPU_RATE_CONTROL_INFORMATION = job_info::query(job)?;
    if now.ControlFlags != next.ControlFlags {
        job_info::set(job, &cpu(None))?;
    }
    job_info::set(job, &next)
}

/// The groups of processors that a job is to be bound to; none where it was bound to none and is not to be. Where it is not to
/// be any more, all that there are: nothing else takes away what was said of groups.
fn next_groups(affinity: &[GroupAffinity], had_groups: bool) -> Option<Vec<GroupAffinity>> {
    if needs_groups(affinity) {
        return Some(affinity.to_vec());
    }
    had_groups.then(processors::groups)
}

/// Whether the affinity is more than the one mask that the extended information has.
pub(super) fn needs_groups(affinity: &[GroupAffinity]) -> bool {
    match affinity {
        [] => false,
        [only] => only.group != 0,
        _ => true,
    }
}

/// What the job has, with our limits in place of those it had.
fn extended(
    mut info: JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
    limits: &Limits,
) -> io::Result<JOBOBJECT_EXTENDED_LIMIT_INFORMATION> {
    let basic = &mut info.BasicLimitInformation;
    let mut flags = basic.LimitFlags & !OURS | JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    if let Some(bytes) = limits.job_memory_bytes {
        flags |= JOB_OBJECT_LIMIT_JOB_MEMORY;
        info.JobMemoryLimit = number(bytes)?;
    }
    if let Some(bytes) = limits.process_memory_bytes {
        flags |= JOB_OBJECT_LIMIT_PROCESS_MEMORY;
        info.ProcessMemoryLimit = number(bytes)?;
    }
    if let Some(count) = limits.active_processes {
        flags |= JOB_OBJECT_LIMIT_ACTIVE_PROCESS;
        basic.ActiveProcessLimit = count;
    }
    if let [only] = limits.affinity.as_slice()
        && !needs_groups(&limits.affinity)
    {
        flags |= JOB_OBJECT_LIMIT_AFFINITY;
        basic.Affinity = number(only.mask)?;
    }
    if let Some(priority) = limits.priority {
        flags |= JOB_OBJECT_LIMIT_PRIORITY_CLASS;
        basic.PriorityClass = class(priority);
    }
    basic.LimitFlags = flags;
    Ok(info)
}

/// Gives back to the processes what a limit that goes away took from them.
fn lift_sticky(job: &Handle, next: &JOBOBJECT_EXTENDED_LIMIT_INFORMATION) -> io::Result<()> {
    let mut now: JOBOBJECT_EXTENDED_LIMIT_INFORMATION = job_info::query(job)?;
    let basic = &mut now.BasicLimitInformation;
    let lifted = basic.LimitFlags & STICKY & !next.BasicLimitInformation.LimitFlags;
    if lifted == 0 {
        return Ok(());
    }
    basic.LimitFlags |= JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    if lifted & JOB_OBJECT_LIMIT_AFFINITY != 0 {
        basic.Affinity = processors::all_of_the_first_group()?;
    }
    if lifted & JOB_OBJECT_LIMIT_PRIORITY_CLASS != 0 {
        basic.PriorityClass = NORMAL_PRIORITY_CLASS;
    }
    job_info::set(job, &now)
}

fn number(value: u64) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the limit {value} is more than this system can count; lower it"),
        )
    })
}

fn class(priority: Priority) -> u32 {
    match priority {
        Priority::Idle => IDLE_PRIORITY_CLASS,
        Priority::BelowNormal => BELOW_NORMAL_PRIORITY_CLASS,
        Priority::Normal => NORMAL_PRIORITY_CLASS,
        Priority::AboveNormal => ABOVE_NORMAL_PRIORITY_CLASS,
        Priority::High => HIGH_PRIORITY_CLASS,
    }
}

fn ui(limits: &Limits) -> JOBOBJECT_BASIC_UI_RESTRICTIONS {
    let flag = |restriction: &UiRestriction| -> JOB_OBJECT_UILIMIT {
        match restriction {
            UiRestriction::Handles => JOB_OBJECT_UILIMIT_HANDLES,
            UiRestriction::ReadClipboard => JOB_OBJECT_UILIMIT_READCLIPBOARD,
            UiRestriction::WriteClipboard => JOB_OBJECT_UILIMIT_WRITECLIPBOARD,
            UiRestriction::SystemParameters => JOB_OBJECT_UILIMIT_SYSTEMPARAMETERS,
            UiRestriction::DisplaySettings => JOB_OBJECT_UILIMIT_DISPLAYSETTINGS,
            UiRestriction::GlobalAtoms => JOB_OBJECT_UILIMIT_GLOBALATOMS,
            UiRestriction::Desktop => JOB_OBJECT_UILIMIT_DESKTOP,
            UiRestriction::ExitWindows => JOB_OBJECT_UILIMIT_EXITWINDOWS,
        }
    };
    JOBOBJECT_BASIC_UI_RESTRICTIONS {
        UIRestrictionsClass: limits.ui.iter().map(flag).fold(0, |all, one| all | one),
    }
}

/// A cap or a weight; with no flags at all the system lifts both.
pub(super) fn cpu(cpu: Option<Cpu>) -> JOBOBJECT_CPU_RATE_CONTROL_INFORMATION {
    let (flags, value) = match cpu {
        None => (0, JOBOBJECT_CPU_RATE_CONTROL_INFORMATION_0 { CpuRate: 0 }),
        Some(Cpu::Cap(cap)) => (
            JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP,
            JOBOBJECT_CPU_RATE_CONTROL_INFORMATION_0 {
                CpuRate: cap.into(),
            },
        ),
        Some(Cpu::Weight(weight)) => (
            JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | JOB_OBJECT_CPU_RATE_CONTROL_WEIGHT_BASED,
            JOBOBJECT_CPU_RATE_CONTROL_INFORMATION_0 {
                Weight: weight.into(),
            },
        ),
    };
    JOBOBJECT_CPU_RATE_CONTROL_INFORMATION {
        ControlFlags: flags,
        Anonymous: value,
    }
}

/// A rate, a mark, or both; with no flags at all the system lifts both.
pub(super) fn network(rate: Option<NetworkRate>) -> JOBOBJECT_NET_RATE_CONTROL_INFORMATION {
    let mut info: JOBOBJECT_NET_RATE_CONTROL_INFORMATION = job_info::zeroed();
    let Some(rate) = rate else {
        return info;
    };
    info.ControlFlags = JOB_OBJECT_NET_RATE_CONTROL_ENABLE;
    if let Some(bytes) = rate.bytes_per_second {
        info.ControlFlags |= JOB_OBJECT_NET_RATE_CONTROL_MAX_BANDWIDTH;
        info.MaxBandwidth = bytes;
    }
    if let Some(dscp) = rate.dscp {
        info.ControlFlags |= JOB_OBJECT_NET_RATE_CONTROL_DSCP_TAG;
        info.DscpTag = dscp;
    }
    info
}

fn groups(affinity: &[GroupAffinity]) -> io::Result<Vec<GROUP_AFFINITY>> {
    let group = |it: &GroupAffinity| {
        Ok(GROUP_AFFINITY {
            Mask: number(it.mask)?,
            Group: it.group,
            Reserved: [0; 3],
        })
    };
    affinity.iter().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(limits: &Limits, before: JOB_OBJECT_LIMIT) -> JOB_OBJECT_LIMIT {
        let mut info: JOBOBJECT_EXTENDED_LIMIT_INFORMATION = job_info::zeroed();
        info.BasicLimitInformation.LimitFlags = before;
        let info = extended(info, limits).unwrap();
        info.BasicLimitInformation.LimitFlags
    }

    #[test]
    fn limits_that_are_none_are_lifted_and_the_job_still_ends_with_its_last_handle() {
        let foreign = 0x400;
        assert_eq!(
            flags(&Limits::default(), OURS | foreign),
            JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | foreign
        );
    }

    #[test]
    fn each_limit_sets_its_own_flag_and_value() {
        let limits = Limits {
            job_memory_bytes: Some(64 << 20),
            process_memory_bytes: Some(32 << 20),
            active_processes: Some(7),
            affinity: vec![GroupAffinity { group: 0, mask: 5 }],
            priority: Some(Priority::BelowNormal),
            ..Limits::default()
        };
        let info = extended(job_info::zeroed(), &limits).unwrap();
        assert_eq!(info.JobMemoryLimit, 64 << 20);
        assert_eq!(info.ProcessMemoryLimit, 32 << 20);
        let basic = info.BasicLimitInformation;
        assert_eq!(basic.ActiveProcessLimit, 7);
        assert_eq!(basic.Affinity, 5);
        assert_eq!(basic.PriorityClass, BELOW_NORMAL_PRIORITY_CLASS);
        assert_eq!(basic.LimitFlags, OURS | JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE);
    }

    #[test]
    fn processors_of_several_groups_take_the_newer_call() {
        let at = |group| GroupAffinity { group, mask: 1 };
        assert!(!needs_groups(&[]));
        assert!(!needs_groups(&[at(0)]));
        assert!(needs_groups(&[at(1)]));
        assert!(needs_groups(&[at(0), at(1)]));
        let limits = Limits {
            affinity: vec![at(1)],
            ..Limits::default()
        };
        assert_eq!(flags(&limits, 0), JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE);
    }

    #[test]
    fn groups_that_are_not_asked_for_any_more_give_way_to_all_that_there_are() {
        let of_group_1 = vec![GroupAffinity { group: 1, mask: 1 }];
        let of_group_0 = vec![GroupAffinity { group: 0, mask: 1 }];
        assert_eq!(next_groups(&of_group_1, false), Some(of_group_1.clone()));
        assert_eq!(next_groups(&of_group_1, true), Some(of_group_1));
        for affinity in [&[][..], &of_group_0] {
            assert_eq!(next_groups(affinity, false), None);
            assert_eq!(next_groups(affinity, true), Some(processors::groups()));
        }
    }

    #[test]
    fn a_cap_and_a_weight_never_mix() {
        assert_eq!(cpu(Some(Cpu::Cap(2500))).ControlFlags, 5);
        assert_eq!(cpu(Some(Cpu::Weight(9))).ControlFlags, 3);
        assert_eq!(cpu(None).ControlFlags, 0);
    }

    #[test]
    fn a_network_limit_may_be_a_rate_a_mark_or_both() {
        let rate = |bytes_per_second, dscp| {
            let rate = NetworkRate {
                bytes_per_second,
                dscp,
            };
            let info = network(Some(rate));
            (info.ControlFlags, info.MaxBandwidth, info.DscpTag)
        };
        assert_eq!(rate(Some(1000), None), (3, 1000, 0));
        assert_eq!(rate(None, Some(46)), (5, 0, 46));
        assert_eq!(rate(Some(1), Some(63)), (7, 1, 63));
        assert_eq!(network(None).ControlFlags, 0);
    }
}
