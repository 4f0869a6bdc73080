//! What a job tells.

use std::io::ErrorKind;
use std::time::Duration;

use hosttask_node_runtime::limits::Limits;
use hosttask_node_runtime::sys::{Job, Notice};

use crate::bench::{Bench, LONG, SHORT, ended, kind};

/// All notices that come, until it is one of those.
fn until_notice(job: &dyn Job, is_last: impl Fn(&Notice) -> bool) -> Vec<Notice> {
    let mut notices = Vec::new();
    loop {
        let notice = job.next_notice(LONG).unwrap();
        notices.push(notice.unwrap_or_else(|| panic!("nothing comes after {notices:?}")));
        if notices.last().is_some_and(&is_last) {
            return notices;
        }
    }
}

pub(crate) fn a_process_is_noticed_from_start_to_end(bench: &Bench) {
    let job = bench.job();
    for _ in 0..2 {
        let process = bench.spawn(job.as_ref(), &["exit", "0"]);
        let pid = process.id().pid;
        ended(process.as_ref());
        let notices = until_notice(job.as_ref(), |notice| *notice == Notice::Empty);
        let started = Notice::Started { pid };
        let finished = Notice::Ended {
            pid,
            abnormal: false,
        };
        assert_eq!(notices, [started, finished, Notice::Empty]);
    }
}

pub(crate) fn nothing_is_noticed_when_nothing_happens(bench: &Bench) {
    let job = bench.job();
    assert_eq!(job.next_notice(Duration::ZERO).unwrap(), None);
    let process = bench.spawn(job.as_ref(), &["hang"]);
    let notice = job.next_notice(LONG).unwrap();
    assert_eq!(
        notice,
        Some(Notice::Started {
            pid: process.id().pid
        })
    );
    assert_eq!(job.next_notice(SHORT).unwrap(), None);
}

pub(crate) fn a_notice_of_a_limit_is_never_lost(bench: &Bench) {
    if !bench.host.features().limit_notices {
        return bench.not_run("notices of limits", "the host tells none");
    }
    let job = bench.job();
    let one = Limits {
        active_processes: Some(1),
        ..Limits::default()
    };
    job.set_limits(&one).unwrap();
    let process = bench.spawn(job.as_ref(), &["hang"]);
    let refused = bench.start(job.as_ref(), &bench.launch(&["hang"]));
    assert_eq!(kind(refused), ErrorKind::QuotaExceeded);
    process.terminate(0).unwrap();
    assert!(job.wait_empty(LONG).unwrap());
    for _ in 0..1500 {
        ended(bench.spawn(job.as_ref(), &["exit", "0"]).as_ref());
    }
    let notices = until_notice(job.as_ref(), |notice| *notice == Notice::ProcessLimit);
    assert!(notices.len() < 3000, "{} were kept", notices.len());
}

pub(crate) fn memory_that_is_refused_is_noticed(bench: &Bench) {
    if !bench.host.features().limit_notices {
        return bench.not_run("notices of limits", "the host tells none");
    }
    for limits in [
        Limits {
            job_memory_bytes: Some(64 << 20),
            ..Limits::default()
        },
        Limits {
            process_memory_bytes: Some(64 << 20),
            ..Limits::default()
        },
    ] {
        let job = bench.job();
        job.set_limits(&limits).unwrap();
        let process = bench.spawn(job.as_ref(), &["allocate", "8", "allocate", "100"]);
        let code = ended(process.as_ref());
        assert_eq!(code, hosttask_node_runtime::sys::fake::steps::NO_MEMORY);
        until_notice(job.as_ref(), |notice| {
            matches!(notice, Notice::MemoryLimit { .. })
        });
    }
}
