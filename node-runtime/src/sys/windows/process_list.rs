//! Which processes are in a job, and what each of them uses.
#![expect(unsafe_code, reason = "processes are listed and asked by Win32 calls")]

use std::collections::BTreeSet;
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
use super::deadline::Deadline;
use super::folder;
use super::handle::{Handle, check};
use super::process::{is, open, times, wait};
use super::text::narrow;
use crate::sys::ProcessInfo;

/// How long a process may take from its birth until it is known which program it is, where nothing hangs on it but what is shown.
pub(super) const BIRTH: Duration = Duration::from_secs(1);

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
            created: timestamp(times.created),
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
    /// Where the system does not say, the most that it can be.
    pub(super) private_working_set: u64,
}

/// The memory of a process.
pub(super) fn memory(process: &Handle) -> io::Result<Memory> {
    let counters = vm_counters(process, size::<VmCounters>());
    let counters = counters.or_else(|_| vm_counters(process, VM_COUNTERS_BEFORE))?;
    let bytes = |it: usize| u64::try_from(it).map_err(io::Error::other);
    let commit = counters.private_usage.max(counters.pagefile_usage);
    let working_set = counters.working_set_size;
    Ok(Memory {
        commit: bytes(commit)?,
        working_set: bytes(working_set)?,
        private_working_set: bytes(private(
            counters.private_working_set_size,
            commit,
            working_set,
        ))?,
    })
}

/// The private part of a working set. Windows before 1709 and Wine do not say it: what is private is committed, and what is
/// in memory is in the working set.
fn private(said: usize, commit: usize, working_set: usize) -> usize {
    if said > 0 {
        said
    } else {
        commit.min(working_set)
    }
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

/// Whether a process is the system's host of a console, which ends with the last program that uses the console. Where Wine does not
/// know that so soon, it is no host.
pub(super) fn is_console_host(process: &Handle, patience: Duration) -> bool {
    static PATH: OnceLock<String> = OnceLock::new();
    let host = PATH.get_or_init(|| {
        let system = folder::system().unwrap_or_default();
        format!(r"{system}\conhost.exe")
    });
    let path = settled_path(process, patience);
    path.is_ok_and(|path| path.eq_ignore_ascii_case(host))
}

/// The path of its program. Wine knows it only when the process has loaded it, some 30 ms after its birth, and a second or more
/// where the machine is busy.
fn settled_path(process: &Handle, patience: Duration) -> io::Result<String> {
    const PAUSE: Duration = Duration::from_millis(1);
    let deadline = Deadline::after(patience);
    loop {
        match path(process) {
            Err(error)
                if is(&error, ERROR_INVALID_HANDLE)
                    && !deadline.is_over()
                    && wait(process, PAUSE)?.is_none() => {}
            known => return known,
        }
    }
}

/// Waits until every process in a job has begun to run, where the system tells when that is.
///
/// The server of Wine 8 crashes where a process is ended before it has first spoken to the server. On Windows the path of a
/// program is known from its birth on, and nothing is waited for.
pub(super) fn settle(job: &Handle) {
    // Those that are just starting others are asked again; what starts them faster than this is ended all the same.
    const ROUNDS: usize = 5;
    let mut settled = BTreeSet::new();
    for _ in 0..ROUNDS {
        let all = numbers(job).unwrap_or_default();
        let news: Vec<u32> = all.into_iter().filter(|it| settled.insert(*it)).collect();
        if news.is_empty() {
            return;
        }
        for pid in news {
            if let Ok(Some(process)) = open_in(job, pid, PROCESS_SYNCHRONIZE) {
                // One that ends meanwhile has run.
                drop(settled_path(&process, BIRTH));
            }
        }
    }
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

/// From 1601 to 1970, in 100 ns.
const FROM_1601_TO_1970: u64 = 11_644_473_600 * 10_000_000;

/// Whether so many 100 ns since 1601 are some time between 1970 and `now`.
pub(super) fn is_past(ticks: u64, now: Timestamp) -> bool {
    let is_young = ticks > FROM_1601_TO_1970;
    is_young && time(ticks).is_some_and(|it| it <= now)
}

/// From 100 ns since 1601. Of a process that is just being born, Wine says whatever was in its memory before, such as all
/// ones: what is later than any time can be is now.
fn timestamp(ticks: u64) -> Timestamp {
    time(ticks).unwrap_or_else(Timestamp::now)
}

/// From 100 ns since 1601; none where it is later than any time can be.
fn time(ticks: u64) -> Option<Timestamp> {
    let since_1970 = ticks.saturating_sub(FROM_1601_TO_1970);
    let seconds = i64::try_from(since_1970 / 10_000_000).ok()?;
    let rest = i32::try_from(since_1970 % 10_000_000).ok()? * 100;
    Timestamp::from_duration(SignedDuration::new(seconds, rest)).ok()
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
    use super::super::process::own_process;
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
    fn a_private_working_set_that_nobody_says_is_no_more_than_what_is_committed_and_in_memory() {
        assert_eq!(private(5, 10, 20), 5);
        assert_eq!(private(0, 10, 20), 10);
        assert_eq!(private(0, 30, 20), 20);
    }

    #[test]
    fn what_wine_says_before_it_knows_when_a_process_was_started_is_no_time_of_the_past() {
        let own = own_process().unwrap().started;
        let now = Timestamp::now();
        assert!(is_past(own, now));
        let in_an_hour = own + 3600 * 10_000_000;
        for ticks in [
            0,
            FROM_1601_TO_1970 - 1,
            in_an_hour,
            0x5555_5555_5555_5555,
            u64::MAX,
        ] {
            assert!(!is_past(ticks, now), "{ticks}");
        }
    }

    #[test]
    fn the_ticks_of_windows_are_years_of_ours() {
        let start = timestamp(132_539_328_000_000_000);
        assert_eq!(start.to_string(), "2021-01-01T00:00:00Z");
        assert_eq!(timestamp(0), Timestamp::UNIX_EPOCH);
        for unborn in [u64::MAX, 0x5555_5555_5555_5555] {
            assert!(timestamp(unborn) > start);
        }
    }
}
