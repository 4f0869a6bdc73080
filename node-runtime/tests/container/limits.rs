//! Limits, and what is told when they are reached.

use std::time::Duration;

use hosttask_node_runtime::container::{EventKind, Kind};
use hosttask_node_runtime::limits::{Cpu, Limits};
use hosttask_node_runtime::sys::fake::Operation;

use crate::bench::{Bench, end, end_of, everywhere, exec, heard_until, programs};

fn memory(mib: u64) -> Limits {
    Limits {
        job_memory_bytes: Some(mib << 20),
        ..Limits::default()
    }
}

#[test]
fn limits_hold_from_the_first_instruction_and_can_be_changed() {
    let bench = Bench::fake();
    let mut options = bench.options("web", "hang");
    options.plan.limits = memory(64);
    let container = bench.create_with(options).unwrap();
    let held = || bench.faker().limits("hosttask-web");
    assert_eq!(held(), Some(memory(64)));
    container.start().unwrap();
    let other = Limits {
        cpu: Some(Cpu::Cap(2500)),
        active_processes: Some(3),
        ..Limits::default()
    };
    container.update(&other).unwrap();
    assert_eq!(
        held(),
        Some(other.clone()),
        "those that are none are lifted"
    );
    bench
        .faker()
        .fail(Operation::SetLimits, 1, std::io::ErrorKind::Unsupported);
    assert_eq!(
        container.update(&memory(1)).unwrap_err().kind(),
        Kind::Unsupported
    );
    assert_eq!((held(), container.limits()), (Some(other.clone()), other));
    container.stop(Duration::ZERO).unwrap();
    assert_eq!(
        container.update(&memory(1)).unwrap_err().kind(),
        Kind::FailedPrecondition
    );
}

#[test]
fn a_limit_the_host_lacks_is_refused_and_nothing_is_left() {
    let bench = Bench::native();
    let lacks = |limits: &Limits| {
        let kinds = limits.kinds();
        !kinds.is_subset(&bench.host.features().limits)
    };
    let limits = Limits {
        job_memory_bytes: Some(1 << 30),
        ..Limits::default()
    };
    if !lacks(&limits) {
        return;
    }
    let mut options = bench.options("web", "hang");
    options.plan.limits = limits;
    let error = bench.create_with(options).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    bench.is_clean();
}

#[test]
fn refused_memory_is_told_and_stands_in_the_exit() {
    let bench = Bench::fake();
    let mut options = bench.options("web", "allocate 100 hang");
    options.plan.limits = memory(64);
    let container = bench.create_with(options).unwrap();
    let events = container.events();
    container.start().unwrap();
    let exit = end(&container);
    assert!(exit.memory_limit);
    let heard = heard_until(&events, |it| matches!(it, EventKind::Exited { .. }));
    assert!(heard.contains(&EventKind::MemoryLimit), "{heard:?}");
    let record = bench.store.read(&crate::bench::name("web")).unwrap();
    assert_eq!(record.exit, Some(exit));
}

#[test]
fn memory_refused_to_an_added_process_stands_in_its_exit_alone_until_the_container_ends() {
    let bench = Bench::fake();
    let mut options = bench.options("web", "hang");
    options.plan.limits = memory(64);
    let container = bench.create_with(options).unwrap();
    container.start().unwrap();
    exec(&bench, &container, "good", "exit 0");
    assert!(!end_of(&container, "good").memory_limit);
    let events = container.events();
    let steps = format!("await {} allocate 100", bench.text("go"));
    exec(&bench, &container, "greedy", &steps);
    std::fs::write(bench.path("go"), "").unwrap();
    heard_until(&events, |it| *it == EventKind::MemoryLimit);
    end_of(&container, "greedy");
}

#[test]
fn a_refused_process_is_told() {
    let bench = Bench::fake();
    let mut options = bench.options("web", "leave hang ; hang");
    options.plan.limits.active_processes = Some(1);
    let container = bench.create_with(options).unwrap();
    let events = container.events();
    container.start().unwrap();
    heard_until(&events, |it| *it == EventKind::ProcessLimit);
}

#[test]
fn a_container_in_a_pod_is_in_both_jobs() {
    everywhere(|bench| {
        let pod = bench
            .host
            .create_job(&format!("hosttask-{}", bench.id("pod")))
            .unwrap();
        let container = bench.run_with("web", "READY hang", |options| {
            options.pod = Some(pod.clone());
        });
        let processes = pod.processes().unwrap();
        assert_eq!(processes.len(), container.processes().unwrap().len());
        assert_eq!(programs(&container), 1);
        let active = pod.usage().unwrap().active_processes;
        assert_eq!(active, container.usage().unwrap().active_processes);
        pod.terminate(9).unwrap();
        assert_eq!(end(&container).code, 9);
        container.delete(None).unwrap();
    });
}

#[test]
fn usage_and_processes_are_those_of_the_whole_job() {
    everywhere(|bench| {
        let container = bench.run("web", "leave hang ; READY hang");
        assert_eq!(programs(&container), 2);
        let processes = container.processes().unwrap();
        assert!(processes.is_sorted_by_key(|it| it.pid));
        let running = container.usage().unwrap();
        assert_eq!(
            usize::try_from(running.active_processes).unwrap(),
            processes.len()
        );
        container.stop(Duration::ZERO).unwrap();
        let usage = container.usage().unwrap();
        assert_eq!(usage.active_processes, 0);
        assert!(
            usage.total_processes >= running.active_processes,
            "those that ended count"
        );
    });
}
