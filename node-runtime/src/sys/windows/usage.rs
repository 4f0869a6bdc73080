//! What a job used so far.

use std::io;

use windows_sys::Win32::System::JobObjects::{
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION, JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION,
    JOBOBJECT_IO_ATTRIBUTION_CONTROL_ENABLE, JOBOBJECT_IO_ATTRIBUTION_INFORMATION,
};

use windows_sys::Win32::System::Threading::PROCESS_SYNCHRONIZE;

use super::abi::JobMemoryUsage;
use super::handle::Handle;
use super::process_list::{memory, numbers, open_in};
use super::{job_info, process};
use crate::sys::{Features, IoUsage, Usage};

/// What it used so far, ended processes included. Those that `is_host` says so of are not counted, nor `hosts_ended` others.
pub(super) fn of(
    job: &Handle,
    features: &Features,
    is_host: &dyn Fn(u32, &Handle) -> bool,
    hosts_ended: u32,
) -> io::Result<Usage> {
    let account: JOBOBJECT_BASIC_ACCOUNTING_INFORMATION = job_info::query(job)?;
    let memory = if features.job_memory_usage {
        Some(job_info::query::<JobMemoryUsage>(job)?)
    } else {
        None
    };
    let running = running(job, is_host)?;
    let nanoseconds = |ticks: i64| u64::try_from(ticks).unwrap_or(0).saturating_mul(100);
    Ok(Usage {
        // Wine counts no time for a job; what runs has used at least its own.
        user_nanoseconds: nanoseconds(account.TotalUserTime).max(running.user),
        kernel_nanoseconds: nanoseconds(account.TotalKernelTime).max(running.kernel),
        active_processes: running.programs,
        total_processes: account
            .TotalProcesses
            .saturating_sub(running.hosts + hosts_ended),
        page_faults: Some(account.TotalPageFaultCount.into()),
        commit_bytes: memory.map(|memory| memory.job_memory),
        commit_peak_bytes: memory.map(|memory| memory.peak_job_memory),
        private_working_set_bytes: Some(running.private_working_set),
        io: io(job, features)?,
    })
}

/// What the processes that run use together.
#[derive(Debug, Default)]
struct Running {
    programs: u32,
    hosts: u32,
    user: u64,
    kernel: u64,
    private_working_set: u64,
}

fn running(job: &Handle, is_host: &dyn Fn(u32, &Handle) -> bool) -> io::Result<Running> {
    let mut sum = Running::default();
    for pid in numbers(job)? {
        // One that ends meanwhile, or is being torn down, is left out.
        let Ok(Some(process)) = open_in(job, pid, PROCESS_SYNCHRONIZE) else {
            continue;
        };
        if is_host(pid, &process) {
            sum.hosts += 1;
            continue;
        }
        sum.programs += 1;
        let (Ok(times), Ok(memory)) = (process::times(&process), memory(&process)) else {
            continue;
        };
        sum.user += times.user.saturating_mul(100);
        sum.kernel += times.kernel.saturating_mul(100);
        sum.private_working_set += memory.private_working_set;
    }
    Ok(sum)
}

/// Operations of the disks; where they are not counted, all reads and writes.
fn io(job: &Handle, features: &Features) -> io::Result<Option<IoUsage>> {
    if !features.job_io_usage {
        return Ok(None);
    }
    if let Ok(disks) = job_info::query::<JOBOBJECT_IO_ATTRIBUTION_INFORMATION>(job) {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        return Ok(Some(IoUsage {
            read_operations: count(disks.ReadStats.IoCount),
            read_bytes: disks.ReadStats.TotalSize,
            write_operations: count(disks.WriteStats.IoCount),
            write_bytes: disks.WriteStats.TotalSize,
        }));
    }
    let all = job_info::query::<JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION>(job)?.IoInfo;
    Ok(Some(IoUsage {
        read_operations: all.ReadOperationCount,
        read_bytes: all.ReadTransferCount,
        write_operations: all.WriteOperationCount,
        write_bytes: all.WriteTransferCount,
    }))
}

/// Lets the system count what a job does with the disks; false where it cannot.
pub(super) fn count_io(job: &Handle) -> bool {
    let mut info: JOBOBJECT_IO_ATTRIBUTION_INFORMATION = job_info::zeroed();
    info.ControlFlags = JOBOBJECT_IO_ATTRIBUTION_CONTROL_ENABLE.cast_unsigned();
    job_info::set(job, &info).is_ok()
}
