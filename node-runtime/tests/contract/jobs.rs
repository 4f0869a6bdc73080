//! What is in a job, and how long it lives.

use std::io::ErrorKind;

use crate::bench::{
    Bench, LONG, SHORT, active, ended, is_locked, kind, until, until_file, until_unlocked,
};

pub(crate) fn a_process_is_in_its_job_from_the_start(bench: &Bench) {
    let job = bench.job();
    let process = bench.spawn(job.as_ref(), &["hang"]);
    let list = job.processes().unwrap();
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!(list[0].pid, process.id().pid);
    let usage = job.usage().unwrap();
    assert_eq!((usage.active_processes, usage.total_processes), (1, 1));
}

pub(crate) fn whatever_a_process_starts_is_in_its_job(bench: &Bench) {
    let job = bench.job();
    bench.spawn(job.as_ref(), &["tree", "6", "hang"]);
    until("all seven are in it", || active(job.as_ref()) == 7);
    assert_eq!(job.processes().unwrap().len(), 7);
    assert_eq!(job.usage().unwrap().total_processes, 7);
}

pub(crate) fn what_left_its_parents_and_tried_to_break_away_is_still_in_the_job(bench: &Bench) {
    let job = bench.job();
    let lock = bench.path("lock");
    let ready = bench.path("ready");
    let steps = [
        "leave", "detach", "lock", &lock, "ready", &ready, "hang", ";", ";", "exit", "0",
    ];
    let process = bench.spawn(job.as_ref(), &steps);
    assert_eq!(ended(process.as_ref()), 0);
    until_file(&ready);
    until("those between are gone", || active(job.as_ref()) == 1);
    assert!(is_locked(&lock));
    job.terminate(1).unwrap();
    assert!(job.wait_empty(LONG).unwrap());
    until_unlocked(&lock);
}

pub(crate) fn a_job_that_is_open_twice_ends_with_the_last_handle(bench: &Bench) {
    let first = bench.job();
    let second = bench.host.open_job(first.name()).unwrap();
    let name = first.name().to_owned();
    assert_eq!(second.name(), name);
    let process = bench.spawn(first.as_ref(), &["hang"]);
    assert_eq!(second.processes().unwrap()[0].pid, process.id().pid);
    drop(second);
    assert_eq!(process.wait(SHORT).unwrap(), None, "by a handle of another");
    let third = bench.host.open_job(&name).unwrap();
    drop(first);
    assert_eq!(
        process.wait(SHORT).unwrap(),
        None,
        "by the handle of its maker"
    );
    assert_eq!(active(third.as_ref()), 1);
    drop(third);
    ended(process.as_ref());
    // Wine keeps the name for as long as a handle of a process in it is open.
    drop(process);
    until("its name is free", || bench.host.open_job(&name).is_err());
    assert_eq!(kind(bench.host.open_job(&name)), ErrorKind::NotFound);
}

pub(crate) fn a_second_job_of_the_same_name_is_refused_while_one_lives(bench: &Bench) {
    let job = bench.job();
    let name = job.name().to_owned();
    assert_eq!(kind(bench.host.create_job(&name)), ErrorKind::AlreadyExists);
    drop(job);
    until("the name can be used again", || {
        bench.host.create_job(&name).is_ok()
    });
}

pub(crate) fn a_job_that_does_not_live_cannot_be_opened(bench: &Bench) {
    assert_eq!(
        kind(bench.host.open_job(&Bench::name())),
        ErrorKind::NotFound
    );
}

pub(crate) fn a_process_of_an_inner_job_is_in_both(bench: &Bench) {
    let outer = bench.job();
    let inner = outer.nest(&Bench::name()).unwrap();
    bench.spawn(inner.as_ref(), &["tree", "2", "hang"]);
    let other = bench.spawn(outer.as_ref(), &["hang"]);
    until("all are in the outer one", || active(outer.as_ref()) == 4);
    assert_eq!(active(inner.as_ref()), 3);
    let pids: Vec<u32> = inner.processes().unwrap().iter().map(|it| it.pid).collect();
    assert!(!pids.contains(&other.id().pid));
    assert!(!inner.wait_empty(std::time::Duration::ZERO).unwrap());
    assert_eq!(
        kind(outer.nest(inner.name())),
        ErrorKind::AlreadyExists,
        "two of one name"
    );
}

pub(crate) fn closing_an_inner_job_leaves_the_outer_one_alone(bench: &Bench) {
    let outer = bench.job();
    let inner = outer.nest(&Bench::name()).unwrap();
    let inside = bench.spawn(inner.as_ref(), &["hang"]);
    let other = bench.spawn(outer.as_ref(), &["hang"]);
    drop(inner);
    ended(inside.as_ref());
    until("one is left", || active(outer.as_ref()) == 1);
    assert_eq!(other.wait(std::time::Duration::ZERO).unwrap(), None);
}

pub(crate) fn ending_the_outer_job_ends_the_inner_one_with_the_same_code(bench: &Bench) {
    let outer = bench.job();
    let inner = outer.nest(&Bench::name()).unwrap();
    let inside = bench.spawn(inner.as_ref(), &["hang"]);
    outer.terminate(3010).unwrap();
    assert_eq!(ended(inside.as_ref()), 3010);
    assert!(inner.wait_empty(LONG).unwrap());
}

pub(crate) fn closing_the_outer_job_ends_the_inner_one(bench: &Bench) {
    let outer = bench.job();
    let inner = outer.nest(&Bench::name()).unwrap();
    let lock = bench.path("lock");
    let inside = bench.spawn(inner.as_ref(), &["lock", &lock, "hang"]);
    until("it runs", || is_locked(&lock));
    drop(outer);
    ended(inside.as_ref());
    until_unlocked(&lock);
}

pub(crate) fn the_list_of_processes_is_in_order_and_names_parents(bench: &Bench) {
    let job = bench.job();
    let before = bench.host.now();
    let first = bench.spawn(job.as_ref(), &["child", "hang", ";"]);
    bench.spawn(job.as_ref(), &["hang"]);
    until("all three run", || active(job.as_ref()) == 3);
    let list = job.processes().unwrap();
    assert!(list.is_sorted_by_key(|process| process.pid), "{list:?}");
    assert!(
        list.iter().all(|it| it.name.starts_with("probe")),
        "{list:?}"
    );
    assert!(
        list.iter().any(|it| it.parent == first.id().pid),
        "{list:?}"
    );
    let slack = std::time::Duration::from_secs(3);
    let (early, late) = (before - slack, bench.host.now() + slack);
    assert!(
        list.iter()
            .all(|it| early <= it.created && it.created <= late),
        "{list:?}"
    );
}

pub(crate) fn memory_that_a_process_keeps_is_counted(bench: &Bench) {
    const KEPT: u64 = 32 << 20;
    let job = bench.job();
    bench.spawn(job.as_ref(), &["allocate", "32", "hang"]);
    let private = || job.usage().unwrap().private_working_set_bytes;
    until("the job has it", || private().is_some_and(|it| it >= KEPT));
    let list = job.processes().unwrap();
    let of_process = list[0].private_working_set_bytes;
    assert!((KEPT..4 * KEPT).contains(&of_process), "{list:?}");
    assert!(private().is_some_and(|it| it < 4 * KEPT));
}

pub(crate) fn what_ended_processes_used_is_counted(bench: &Bench) {
    let job = bench.job();
    let process = bench.spawn(job.as_ref(), &["child", "burn", "300", ";"]);
    assert_eq!(ended(process.as_ref()), 0);
    assert!(job.wait_empty(LONG).unwrap());
    let usage = job.usage().unwrap();
    assert_eq!(usage.active_processes, 0);
    if bench.host.features().backend == "linux" {
        bench.not_run(
            "the number of ended descendants",
            "it is not told of each of them",
        );
    } else {
        assert_eq!(usage.total_processes, 2);
    }
    if bench.is_wine() {
        return bench.not_run("processor time of a job", "Wine counts none");
    }
    let used = usage.user_nanoseconds + usage.kernel_nanoseconds;
    assert!((10_000_000..10_000_000_000).contains(&used), "{usage:?}");
}

pub(crate) fn what_a_host_says_of_itself_does_not_change(bench: &Bench) {
    let host = &bench.host;
    assert_eq!(host.features(), host.features());
    assert_eq!(host.places(), host.places());
    assert_eq!(host.boot_id().unwrap(), host.boot_id().unwrap());
    assert!(!host.boot_id().unwrap().is_empty());
    assert!(host.places().container_root.ends_with(['/', '\\']));
    assert_eq!(host.features().means, host.storage().means());
    assert!(host.now() <= host.now());
}
