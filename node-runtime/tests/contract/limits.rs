//! What a job may use.

use std::io::ErrorKind;

use hosttask_node_runtime::limits::{
    Cpu, GroupAffinity, Limits, NetworkRate, Priority, UiRestriction,
};

use crate::bench::{Bench, LONG, ended, kind};

/// Limits of one kind each.
fn each() -> Vec<Limits> {
    let none = Limits::default;
    let rate = NetworkRate {
        bytes_per_second: Some(1 << 20),
        dscp: Some(8),
    };
    vec![
        Limits {
            job_memory_bytes: Some(1 << 30),
            ..none()
        },
        Limits {
            process_memory_bytes: Some(1 << 30),
            ..none()
        },
        Limits {
            cpu: Some(Cpu::Cap(5000)),
            ..none()
        },
        Limits {
            cpu: Some(Cpu::Weight(5)),
            ..none()
        },
        Limits {
            affinity: vec![GroupAffinity { group: 0, mask: 1 }],
            ..none()
        },
        Limits {
            active_processes: Some(50),
            ..none()
        },
        Limits {
            priority: Some(Priority::BelowNormal),
            ..none()
        },
        Limits {
            ui: [UiRestriction::ExitWindows].into(),
            ..none()
        },
        Limits {
            network: Some(rate),
            ..none()
        },
    ]
}

pub(crate) fn limits_that_the_host_has_are_accepted_and_lifted(bench: &Bench) {
    let supported = bench.host.features().limits;
    let job = bench.job();
    for limits in each() {
        if limits.kinds().is_subset(&supported) {
            job.set_limits(&limits).unwrap();
            assert_eq!(ended(bench.spawn(job.as_ref(), &["exit", "3"]).as_ref()), 3);
        }
    }
    job.set_limits(&Limits::default()).unwrap();
    assert_eq!(ended(bench.spawn(job.as_ref(), &["exit", "4"]).as_ref()), 4);
}

pub(crate) fn a_limit_that_the_host_lacks_is_named_and_changes_nothing(bench: &Bench) {
    let supported = bench.host.features().limits;
    let job = bench.job();
    let lacking: Vec<Limits> = each()
        .into_iter()
        .filter(|it| !it.kinds().is_subset(&supported))
        .collect();
    if lacking.is_empty() {
        return bench.not_run("a limit that the host lacks", "it has all");
    }
    for limits in lacking {
        let with_one_more = Limits {
            active_processes: Some(1),
            ..limits
        };
        let error = job.set_limits(&with_one_more).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(!error.to_string().is_empty());
    }
    let one = bench.spawn(job.as_ref(), &["hang"]);
    let other = bench.spawn(job.as_ref(), &["exit", "2"]);
    assert_eq!(ended(other.as_ref()), 2, "the limit of processes was set");
    one.terminate(0).unwrap();
}

pub(crate) fn a_full_job_refuses_another_process(bench: &Bench) {
    let kinds = Limits {
        active_processes: Some(2),
        ..Limits::default()
    };
    if !kinds.kinds().is_subset(&bench.host.features().limits) {
        return bench.not_run("a limit of processes", "the host lacks it");
    }
    if bench.is_wine() {
        return bench.not_run("a limit of processes", "Wine does not enforce it");
    }
    let outer = bench.job();
    outer.set_limits(&kinds).unwrap();
    let inner = outer.nest(&Bench::name()).unwrap();
    let one = bench.spawn(inner.as_ref(), &["hang"]);
    bench.spawn(outer.as_ref(), &["hang"]);
    let refused = bench.start(inner.as_ref(), &bench.launch(&["hang"]));
    assert_eq!(kind(refused), ErrorKind::QuotaExceeded);
    assert_eq!(inner.usage().unwrap().active_processes, 1);
    one.terminate(0).unwrap();
    assert!(inner.wait_empty(LONG).unwrap());
    assert_eq!(
        ended(bench.spawn(inner.as_ref(), &["exit", "1"]).as_ref()),
        1
    );
    outer.set_limits(&Limits::default()).unwrap();
    bench.spawn(outer.as_ref(), &["hang"]);
    bench.spawn(outer.as_ref(), &["hang"]);
}
