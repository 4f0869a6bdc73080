//! What `windows-sys` lacks of the binary interface, each layout checked by the compiler.

use std::mem::{offset_of, size_of};

use windows_sys::Win32::System::JobObjects::{
    JOBOBJECT_IO_ATTRIBUTION_INFORMATION, JOBOBJECTINFOCLASS,
};

/// The size of a type, as Win32 wants it.
pub(super) const fn size<T>() -> u32 {
    const { assert!(size_of::<T>() <= 0x7fff_ffff) };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::as_conversions,
        reason = "the line above keeps it small, and `try_from` is not const"
    )]
    let size = size_of::<T>() as u32;
    size
}

/// `JobObjectMemoryUsageInformation`. `windows-sys` has the number under a reserved name.
pub(super) const JOB_OBJECT_MEMORY_USAGE: JOBOBJECTINFOCLASS = 28;

/// What [`JOB_OBJECT_MEMORY_USAGE`] fills, in bytes of commit.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct JobMemoryUsage {
    pub(super) job_memory: u64,
    pub(super) peak_job_memory: u64,
}
const _: () = assert!(size_of::<JobMemoryUsage>() == 16);
const _: () = assert!(offset_of!(JobMemoryUsage, peak_job_memory) == 8);

/// `JobObjectFreezeInformation`: stops and continues all processes of a job at once.
pub(super) const JOB_OBJECT_FREEZE: JOBOBJECTINFOCLASS = 18;

/// What [`JOB_OBJECT_FREEZE`] takes.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct JobFreeze {
    /// Which of the next fields count: 1 is `freeze`.
    pub(super) operations: u32,
    pub(super) freeze: u8,
    pub(super) swap: u8,
    pub(super) reserved: [u8; 2],
    pub(super) wake_filter: [u32; 2],
}
const _: () = assert!(size_of::<JobFreeze>() == 16);
const _: () = assert!(offset_of!(JobFreeze, freeze) == 4);
const _: () = assert!(offset_of!(JobFreeze, wake_filter) == 8);

/// `VM_COUNTERS_EX2`, which `NtQueryInformationProcess(ProcessVmCounters)` fills; all in bytes.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct VmCounters {
    pub(super) peak_virtual_size: usize,
    pub(super) virtual_size: usize,
    pub(super) page_fault_count: u32,
    pub(super) peak_working_set_size: usize,
    pub(super) working_set_size: usize,
    pub(super) quotas: [usize; 4],
    pub(super) pagefile_usage: usize,
    pub(super) peak_pagefile_usage: usize,
    pub(super) private_usage: usize,
    pub(super) private_working_set_size: usize,
    pub(super) shared_commit_usage: u64,
}
const _: () = assert!(size_of::<VmCounters>() == 112);
const _: () = assert!(offset_of!(VmCounters, working_set_size) == 32);
const _: () = assert!(offset_of!(VmCounters, private_working_set_size) == 96);

/// The size of the same before Windows 10: without the last two fields.
pub(super) const VM_COUNTERS_BEFORE: u32 = 96;
const _: () = assert!(offset_of!(VmCounters, private_working_set_size) == 96);

/// `ProcessVmCounters`.
pub(super) const PROCESS_VM_COUNTERS: i32 = 3;

/// `ERROR_INTERNAL_ERROR`: what Wine says now and then when many processes are started at once.
pub(super) const INTERNAL_ERROR: i32 = 1359;

/// `JobObjectIoAttribution`: operations of the disks, as hcsshim reads them. Not in the public headers.
pub(super) const JOB_OBJECT_IO_ATTRIBUTION: JOBOBJECTINFOCLASS = 42;
const _: () = assert!(size_of::<JOBOBJECT_IO_ATTRIBUTION_INFORMATION>() == 72);
const _: () = assert!(offset_of!(JOBOBJECT_IO_ATTRIBUTION_INFORMATION, WriteStats) == 40);

/// `SILOOBJECT_BASIC_INFORMATION`, which `JobObjectSiloBasicInformation` fills. Only the kernel's headers have it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct SiloBasic {
    pub(super) silo: u32,
    pub(super) parent: u32,
    pub(super) processes: u32,
    pub(super) is_server: u8,
    pub(super) reserved: [u8; 3],
}
const _: () = assert!(size_of::<SiloBasic>() == 16);
const _: () = assert!(offset_of!(SiloBasic, is_server) == 12);

/// `JOB_OBJECT_ALL_ACCESS`.
pub(super) const JOB_OBJECT_ALL_ACCESS: u32 = 0x001f_003f;
