//! What a task used, as the clients of each system read it: the statistics of runhcs on Windows, those of a cgroup on Linux.

use containerd_shim_protos::cgroups_v2::metrics::{CPUStat, MemoryStat, Metrics, PidsStat};
use containerd_shim_protos::windows::stats::{
    Statistics, WindowsContainerMemoryStatistics, WindowsContainerProcessorStatistics,
    WindowsContainerStatistics, WindowsContainerStorageStatistics,
};
use jiff::Timestamp;
use protobuf::MessageField;
use protobuf::well_known_types::any::Any;

use super::events::{any, stamp};
use super::failure::Failure;
use super::held::Held;
use super::sandbox::Sandbox;
use crate::container;
use crate::sys::{Rules, Usage};

/// What a container used.
pub(super) fn of_container(held: &Held, rules: Rules, now: Timestamp) -> Result<Any, Failure> {
    let usage = held.container.usage()?;
    let limits = held.container.limits();
    match rules {
        Rules::Windows => {
            let started = held.container.status(None)?.started;
            let mut statistics = Statistics::new();
            statistics.set_windows(windows(&usage, started, now));
            packed(any(&statistics))
        }
        Rules::Posix => packed(any(&cgroup(
            &usage,
            limits.job_memory_bytes,
            limits.active_processes,
        ))),
    }
}

/// What a pod used. On Windows that is empty: kubelet's side of containerd adds up the containers of a pod that runs on the
/// host, and takes what has anything else for a pod with a network of its own.
pub(super) fn of_pod(pod: &Sandbox, rules: Rules, _now: Timestamp) -> Result<Any, Failure> {
    if rules == Rules::Windows {
        return packed(any(&Statistics::new()));
    }
    let usage = match pod.job() {
        Ok(job) => job.usage().map_err(usage_failed)?,
        // It ended, and nothing is left to be read.
        Err(_) => Usage::default(),
    };
    packed(any(&cgroup(&usage, None, None)))
}

fn usage_failed(source: std::io::Error) -> Failure {
    let action = "read what the pod used";
    container::Error::Host { action, source }.into()
}

fn packed(any: protobuf::Result<Any>) -> Result<Any, Failure> {
    any.map_err(|source| Failure::Encode {
        what: "statistics".to_owned(),
        source,
    })
}

pub(super) fn windows(
    usage: &Usage,
    started: Option<Timestamp>,
    now: Timestamp,
) -> WindowsContainerStatistics {
    let kernel = usage.kernel_nanoseconds;
    let user = usage.user_nanoseconds;
    let up = started.map_or(0, |started| now.duration_since(started).as_nanos());
    let io = usage.io.unwrap_or_default();
    WindowsContainerStatistics {
        timestamp: MessageField::some(stamp(now)),
        container_start_time: started.map(stamp).into(),
        // A clock that was put back says nothing.
        uptime_ns: u64::try_from(up).unwrap_or_default(),
        processor: MessageField::some(WindowsContainerProcessorStatistics {
            total_runtime_ns: kernel.saturating_add(user),
            runtime_user_ns: user,
            runtime_kernel_ns: kernel,
            ..WindowsContainerProcessorStatistics::default()
        }),
        memory: MessageField::some(WindowsContainerMemoryStatistics {
            memory_usage_commit_bytes: usage.commit_bytes.unwrap_or_default(),
            memory_usage_commit_peak_bytes: usage.commit_peak_bytes.unwrap_or_default(),
            memory_usage_private_working_set_bytes: usage
                .private_working_set_bytes
                .unwrap_or_default(),
            ..WindowsContainerMemoryStatistics::default()
        }),
        storage: MessageField::some(WindowsContainerStorageStatistics {
            read_count_normalized: io.read_operations,
            read_size_bytes: io.read_bytes,
            write_count_normalized: io.write_operations,
            write_size_bytes: io.write_bytes,
            ..WindowsContainerStorageStatistics::default()
        }),
        ..WindowsContainerStatistics::default()
    }
}

/// What is known of it in the fields that tools for Linux print.
fn cgroup(usage: &Usage, memory_limit: Option<u64>, process_limit: Option<u32>) -> Metrics {
    let micro = |nanoseconds: u64| nanoseconds / 1000;
    let total = usage
        .user_nanoseconds
        .saturating_add(usage.kernel_nanoseconds);
    Metrics {
        pids: MessageField::some(PidsStat {
            current: usage.active_processes.into(),
            limit: process_limit.unwrap_or_default().into(),
            ..PidsStat::default()
        }),
        cpu: MessageField::some(CPUStat {
            usage_usec: micro(total),
            user_usec: micro(usage.user_nanoseconds),
            system_usec: micro(usage.kernel_nanoseconds),
            ..CPUStat::default()
        }),
        memory: MessageField::some(MemoryStat {
            usage: usage
                .private_working_set_bytes
                .or(usage.commit_bytes)
                .unwrap_or_default(),
            usage_limit: memory_limit.unwrap_or_default(),
            max_usage: usage.commit_peak_bytes.unwrap_or_default(),
            pgfault: usage.page_faults.unwrap_or_default(),
            ..MemoryStat::default()
        }),
        ..Metrics::default()
    }
}
