//! Which processes are in a job, and what each of them uses.
#![expect(unsafe_code, reason = "processes are listed and asked by Win32 calls")]

use std::io;
use std::mem::{offset_of, size_of};
use std::os::windows::io::AsRawHandle;
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use windows_sys::Wdk::System::Threading::{NtQueryInformationProcess, ProcessBasicInformation};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE, ERROR_MORE_DATA, RtlNtStatusToDosError,
};
use windows_sys::Win32::System::JobObjects::{
    IsProcessInJob, JOBOBJECT_BASIC_PROCESS_ID_LIST, JobObjectBasicProcessIdList,
    QueryInformationJobObject,
};
use windows_sys::Win32::System::Threading::{
    PROCESS_ACCESS_RIGHTS, PROCESS_BASIC_INFORMATION, PROCESS_NAME_WIN32,
    PROCESS_QUERY_INFORMATION, PROCESS_SYNCHRONIZE, QueryFullProcessImageNameW,
};
use windows_sys::core::BOOL;

use super::abi::{PROCESS_VM_COUNTERS, VM_COUNTERS_BEFORE, VmCounters, size};
use super::folder;
use super::handle::{Handle, check};
use super::process::{is, open, times, wait};
use super::text::narrow;
use crate::sys::ProcessInfo;

/// How many numbers there is room for at first.
const FIRST_ROOM: usize = 64;

/// The numbers of the processes in a job, in order.
pub(super) fn numbers(job: &Handle) -> io::Result<Vec<u32>> {
    const HEADER: usize =
        offset_of!(JOBOBJECT_BASIC_PROCESS_ID_LIST, ProcessIdList) / size_of::<usize>();
    let mut room = FIRST_ROOM;
    loop {
        let mut list = vec![0_usize; HEADER + room];
        let bytes = u32::try_from(size_of_val(list.as_slice())).map_err(io::Error::other)?;
        // SAFETY: the job is open while it is borrowed; `list` has as many bytes as are named, aligned for the list.
        let result = unsafe {
            QueryInformationJobObject(
                job.as_raw_handle(),
                JobObjectBasicProcessIdList,
                list.as_mut_ptr().cast(),
                bytes,
                ptr::null_mut(),
            )
        };
        let result = check(result);
        // SAFETY: the list has room for more than the header and one number, and zero is valid for each field.
        let header: JOBOBJECT_BASIC_PROCESS_ID_LIST = unsafe {
            list.as_ptr()
                .cast::<JOBOBJECT_BASIC_PROCESS_ID_LIST>()
                .read()
        };
        match result {
            Err(error) if !is(&error, ERROR_MORE_DATA) => return Err(error),
            // A process that is being torn down may be counted and not listed: with room left, the list is whole.
            Ok(()) if is_whole(&header, room) => {
                let count =
                    usize::try_from(header.NumberOfProcessIdsInList).map_err(io::Error::other)?;
                let numbers = list.into_iter().skip(HEADER).take(count);
                let mut numbers: Vec<u32> =
                    numbers.filter_map(|it| u32::try_from(it).ok()).collect();
                numbers.sort_unstable();
                return Ok(numbers);
            }
            Ok(()) | Err(_) => room *= 2,
        }
    }
}

fn is_whole(list: &JOBOBJECT_BASIC_PROCESS_ID_LIST, room: usize) -> bool {
    list.NumberOfProcessIdsInList >= list.NumberOfAssignedProcesses
        || usize::try_from(list.NumberOfProcessIdsInList).is_ok_and(|count| count < room)
}

/// Opens a process of a job; none where the number is not in it any more.
pub(super) fn open_in(
    job: &Handle,
    pid: u32,
    rights: PROCESS_ACCESS_RIGHTS,
) -> io::Result<Option<Handle>> {
    // Wine asks for the full right where Windows is content with the limited one.
    let Some(process) = open(pid, rights | PROCESS_QUERY_INFORMATION)? else {
        return Ok(None);
    };
    Ok(is_in(&process, job)?.then_some(process))
}

/// Whether a process is in a job.
pub(super) fn is_in(process: &Handle, job: &Handle) -> io::Result<bool> {
    let mut is_in: BOOL = 0;
    // SAFETY: both handles are open while they are borrowed; `is_in` receives one value.
    check(unsafe { IsProcessInJob(process.as_raw_handle(), job.as_raw_handle(), &raw mut is_in) })?;
    Ok(is_in != 0)
}

/// What each process in a job uses, in order of their number. One that ends meanwhile is left out.
/// Those that `is_host` says so of are left out too.
pub(super) fn details(
    job: &Handle,
    is_host: &dyn Fn(u32, &Handle) -> bool,
) -> io::Result<Vec<ProcessInfo>> {
    let mut details = Vec::new();
    for pid in numbers(job)? {
        match open_in(job, pid, PROCESS_SYNCHRONIZE) {
            Ok(Some(process)) if is_host(pid, &process) => {}
            Ok(Some(process)) => details.extend(detail(pid, &process)?),
            Ok(None) => {}
            // So a process answers that is being torn down.
            Err(error) if is(&error, ERROR_ACCESS_DENIED) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(details)
}

/// What one process uses; none where it ended.
fn detail(pid: u32, process: &Handle) -> io::Result<Option<ProcessInfo>> {
    let answers = (|| {
        let times = times(process)?;
        let memory = memory(process)?;
        Ok(ProcessInfo {
            pid,
            parent: parent(process)?,
            name: name(process)?,
            created: timestamp(times.created)?,
            user_nanoseconds: times.user.saturating_mul(100),
            kernel_nanoseconds: times.kernel.saturating_mul(100),
            commit_bytes: memory.commit,
            private_working_set_bytes: memory.private_working_set,
            shared_working_set_bytes: memory
                .working_set
                .saturating_sub(memory.private_working_set),
        })
    })();
    match answers {
        Ok(detail) => Ok(Some(detail)),
        Err(_) if wait(process, Duration::ZERO)?.is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) commit: u64,
    pub(super) working_set: u64,
    /// 0 where the system does not say.
    pub(super) private_working_set: u64,
}

/// The memory of a process.
pub(super) fn memory(process: &Handle) -> io::Result<Memory> {
    let counters = vm_counters(process, size::<VmCounters>());
    let counters = counters.or_else(|_| vm_counters(process, VM_COUNTERS_BEFORE))?;
    let bytes = |it: usize| u64::try_from(it).map_err(io::Error::other);
    Ok(Memory {
        commit: bytes(counters.private_usage.max(counters.pagefile_usage))?,
        working_set: bytes(counters.working_set_size)?,
        private_working_set: bytes(counters.private_working_set_size)?,
    })
}

/// So many bytes of the counters; the rest stays 0.
fn vm_counters(process: &Handle, bytes: u32) -> io::Result<VmCounters> {
    let mut counters = VmCounters {
        peak_virtual_size: 0,
        virtual_size: 0,
        page_fault_count: 0,
        peak_working_set_size: 0,
        working_set_size: 0,
        quotas: [0; 4],
        pagefile_usage: 0,
        peak_pagefile_usage: 0,
        private_usage: 0,
        private_working_set_size: 0,
        shared_commit_usage: 0,
    };
    let bytes = bytes.min(size::<VmCounters>());
    // SAFETY: the process is open while it is borrowed; `counters` has at least as many bytes as are named.
    let status = unsafe {
        NtQueryInformationProcess(
            process.as_raw_handle(),
            PROCESS_VM_COUNTERS,
            (&raw mut counters).cast(),
            bytes,
            ptr::null_mut(),
        )
    };
    check_status(status).map(|()| counters)
}

/// The number of the process that started it; 0 where it does not say.
pub(super) fn parent(process: &Handle) -> io::Result<u32> {
    let mut basic = PROCESS_BASIC_INFORMATION::default();
    // SAFETY: the process is open while it is borrowed; `basic` has the size that is named and the layout the class fills.
    let status = unsafe {
        NtQueryInformationProcess(
            process.as_raw_handle(),
            ProcessBasicInformation,
            (&raw mut basic).cast(),
            size::<PROCESS_BASIC_INFORMATION>(),
            ptr::null_mut(),
        )
    };
    check_status(status)?;
    Ok(u32::try_from(basic.InheritedFromUniqueProcessId).unwrap_or(0))
}

/// Whether a process is the system's host of a console, which ends with the last program that uses the console.
pub(super) fn is_console_host(process: &Handle) -> bool {
    static PATH: OnceLock<String> = OnceLock::new();
    let host = PATH.get_or_init(|| {
        let system = folder::system().unwrap_or_default();
        format!(r"{system}\conhost.exe")
    });
    settled_path(process).is_ok_and(|path| path.eq_ignore_ascii_case(host))
}

/// The path of its program. Wine knows it only when the process has loaded it, some 30 ms after its birth.
fn settled_path(process: &Handle) -> io::Result<String> {
    const TRIES: u32 = 1000;
    const PAUSE: Duration = Duration::from_millis(1);
    for _ in 1..TRIES {
        match path(process) {
            Err(error) if is(&error, ERROR_INVALID_HANDLE) && wait(process, PAUSE)?.is_none() => {}
            known => return known,
        }
    }
    path(process)
}

/// The last part of the path of its program.
fn name(process: &Handle) -> io::Result<String> {
    let path = path(process)?;
    Ok(path.rsplit('\\').next().unwrap_or(&path).to_owned())
}

/// The path of its program.
fn path(process: &Handle) -> io::Result<String> {
    let mut path = vec![0_u16; 32_768];
    let mut length = u32::try_from(path.len()).map_err(io::Error::other)?;
    // SAFETY: the process is open while it is borrowed; `path` has as many units as `length` says.
    let result = unsafe {
        QueryFullProcessImageNameW(
            process.as_raw_handle(),
            PROCESS_NAME_WIN32,
            path.as_mut_ptr(),
            &raw mut length,
        )
    };
    check(result)?;
    Ok(narrow(&path))
}

/// From 100 ns since 1601. Of a process that is just being born, Wine says whatever was in its memory before, such as all
/// ones: what is later than any time can be is now.
fn timestamp(ticks: u64) -> io::Result<Timestamp> {
    const FROM_1601_TO_1970: u64 = 11_644_473_600 * 10_000_000;
    let since_1970 = ticks.saturating_sub(FROM_1601_TO_1970);
    let seconds = i64::try_from(since_1970 / 10_000_000).map_err(io::Error::other)?;
    let rest = i32::try_from(since_1970 % 10_000_000).map_err(io::Error::other)? * 100;
    let since = SignedDuration::new(seconds, rest);
    Ok(Timestamp::from_duration(since).unwrap_or_else(|_| Timestamp::now()))
}

/// An error where the status of the native interface is one.
pub(super) fn check_status(status: i32) -> io::Result<()> {
    if status >= 0 {
        return Ok(());
    }
    // SAFETY: it takes a number only.
    let code = unsafe { RtlNtStatusToDosError(status) };
    Err(io::Error::from_raw_os_error(code.cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_with_room_left_is_whole_also_where_more_are_counted() {
        let list = |assigned, listed| JOBOBJECT_BASIC_PROCESS_ID_LIST {
            NumberOfAssignedProcesses: assigned,
            NumberOfProcessIdsInList: listed,
            ProcessIdList: [0],
        };
        assert!(is_whole(&list(3, 3), 3));
        assert!(is_whole(&list(3, 2), 3));
        assert!(!is_whole(&list(4, 3), 3));
    }

    #[test]
    fn the_ticks_of_windows_are_years_of_ours() {
        let start = timestamp(132_539_328_000_000_000).unwrap();
        assert_eq!(start.to_string(), "2021-01-01T00:00:00Z");
        assert_eq!(timestamp(0).unwrap(), Timestamp::UNIX_EPOCH);
        for unborn in [u64::MAX, 0x5555_5555_5555_5555] {
            assert!(timestamp(unborn).unwrap() > start);
        }
    }
}
