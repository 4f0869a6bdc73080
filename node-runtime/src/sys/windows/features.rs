//! What this Windows can do: each is tried out, so that nothing depends on a version.
#![expect(unsafe_code, reason = "the version is asked by a native call")]

use std::collections::BTreeSet;
use std::io;
use std::process;

use windows_sys::Wdk::System::SystemServices::RtlGetVersion;
use windows_sys::Win32::System::JobObjects::{
    JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION, JOBOBJECT_BASIC_UI_RESTRICTIONS,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JOBOBJECT_NOTIFICATION_LIMIT_INFORMATION,
};
use windows_sys::Win32::System::SystemInformation::OSVERSIONINFOW;

use super::abi::{JobMemoryUsage, size};
use super::handle::Handle;
use super::pipe::random_text;
use super::process_list::check_status;
use super::{account, bind, job, job_info, limits, native, pseudo_console, token, usage};
use crate::limits::{Cpu, NetworkRate};
use crate::sys::{Features, LimitKind, Means};

/// Finds out what it can do, on a job that is made for that and has no process.
/// `view_refused` is why no job has a view of its own.
pub(super) fn find(means: Vec<Means>, view_refused: Option<String>) -> io::Result<Features> {
    let job = scratch()?;
    let wine = native::wine_version();
    let silo = bind::can_be_silo(&scratch()?);
    // Wine has one user, whom everybody is.
    let may_log_on = wine.is_some() || token::may_log_on_services()?;
    Ok(Features {
        backend: "windows".to_owned(),
        system: match &wine {
            Some(version) => format!("wine {version}"),
            None => version()?,
        },
        // Since Windows 8, which is older than everything this program starts on.
        nested_jobs: true,
        silo,
        bind_filter: means.contains(&Means::BindFilter),
        view_refused,
        pseudo_console: pseudo_console::is_there(),
        limits: accepted(&job),
        limit_notices: job_info::query::<JOBOBJECT_NOTIFICATION_LIMIT_INFORMATION>(&job).is_ok(),
        job_memory_usage: job_info::query::<JobMemoryUsage>(&job).is_ok(),
        job_io_usage: usage::count_io(&job)
            || job_info::query::<JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION>(&job).is_ok(),
        suspend: native::can_suspend(),
        service_accounts: may_log_on,
        group_accounts: may_log_on && account::can_make(),
        means,
    })
}

fn scratch() -> io::Result<Handle> {
    job::create(&format!(
        "hosttask-features-{}-{}",
        process::id(),
        random_text(8)?
    ))
}

/// The limits that a job takes.
fn accepted(job: &Handle) -> BTreeSet<LimitKind> {
    let mut kinds = BTreeSet::new();
    if job_info::query::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>(job).is_ok() {
        kinds.extend([
            LimitKind::JobMemory,
            LimitKind::ProcessMemory,
            LimitKind::Affinity,
            LimitKind::ActiveProcesses,
            LimitKind::Priority,
        ]);
    }
    let ui = JOBOBJECT_BASIC_UI_RESTRICTIONS {
        UIRestrictionsClass: 0,
    };
    if job_info::set(job, &ui).is_ok() {
        kinds.insert(LimitKind::UserInterface);
    }
    if job_info::set(job, &limits::cpu(Some(Cpu::Cap(10_000)))).is_ok() {
        kinds.insert(LimitKind::CpuCap);
    }
    let lifted = job_info::set(job, &limits::cpu(None)).is_ok();
    if lifted && job_info::set(job, &limits::cpu(Some(Cpu::Weight(5)))).is_ok() {
        kinds.insert(LimitKind::CpuWeight);
    }
    let rate = NetworkRate {
        bytes_per_second: Some(u64::MAX >> 1),
        dscp: None,
    };
    if job_info::set(job, &limits::network(Some(rate))).is_ok() {
        kinds.insert(LimitKind::NetworkRate);
    }
    kinds
}

/// The version as the kernel says it: the other calls answer what a program's manifest wants to hear.
fn version() -> io::Result<String> {
    let mut version = OSVERSIONINFOW {
        dwOSVersionInfoSize: size::<OSVERSIONINFOW>(),
        ..OSVERSIONINFOW::default()
    };
    // SAFETY: the struct says its size.
    check_status(unsafe { RtlGetVersion(&raw mut version) })?;
    let (major, minor) = (version.dwMajorVersion, version.dwMinorVersion);
    Ok(format!("windows {major}.{minor}.{}", version.dwBuildNumber))
}
