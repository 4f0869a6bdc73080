//! Programs and jobs that are stopped for a while.

use std::fs;
use std::path::Path;

use crate::bench::{Bench, SHORT, active, ended};

pub(crate) fn a_suspended_program_does_nothing_until_it_is_resumed(bench: &Bench) {
    let job = bench.job();
    let file = bench.path("ready");
    let mut launch = bench.launch(&["ready", &file, "exit", "4"]);
    launch.suspended = true;
    let process = bench.start(job.as_ref(), &launch).unwrap();
    assert_eq!(process.wait(SHORT).unwrap(), None);
    assert!(!Path::new(&file).exists());
    assert_eq!(job.processes().unwrap()[0].pid, process.id().pid);
    assert_eq!(
        bench.host.open_process(process.id()).unwrap().unwrap().id(),
        process.id()
    );
    process.resume().unwrap();
    assert_eq!(ended(process.as_ref()), 4);
    assert!(Path::new(&file).exists());
}

pub(crate) fn a_suspended_job_does_nothing_until_it_is_resumed(bench: &Bench) {
    if !bench.host.features().suspend {
        return bench.not_run("a job that is suspended", "the host cannot suspend");
    }
    let job = bench.job();
    let file = bench.path("go");
    let process = bench.spawn(job.as_ref(), &["child", "await", &file, "exit", "5", ";"]);
    crate::bench::until("both run", || active(job.as_ref()) == 2);
    job.suspend().unwrap();
    fs::write(&file, "").unwrap();
    assert_eq!(process.wait(SHORT).unwrap(), None);
    assert_eq!(active(job.as_ref()), 2);
    job.resume().unwrap();
    assert_eq!(ended(process.as_ref()), 5);
}

pub(crate) fn what_is_started_in_a_suspended_job_waits_too(bench: &Bench) {
    if !bench.host.features().suspend {
        return bench.not_run("a program in a suspended job", "the host cannot suspend");
    }
    let job = bench.job();
    job.suspend().unwrap();
    let process = bench.spawn(job.as_ref(), &["exit", "6"]);
    let mut launch = bench.launch(&["exit", "7"]);
    launch.suspended = true;
    let twice = bench.start(job.as_ref(), &launch).unwrap();
    assert_eq!(process.wait(SHORT).unwrap(), None);
    job.resume().unwrap();
    assert_eq!(ended(process.as_ref()), 6);
    assert_eq!(
        twice.wait(SHORT).unwrap(),
        None,
        "its own suspension is over, too"
    );
    twice.resume().unwrap();
    assert_eq!(ended(twice.as_ref()), 7);
}

pub(crate) fn a_suspended_program_can_be_ended(bench: &Bench) {
    let job = bench.job();
    let mut launch = bench.launch(&["exit", "0"]);
    launch.suspended = true;
    let one = bench.start(job.as_ref(), &launch).unwrap();
    one.terminate(8).unwrap();
    assert_eq!(ended(one.as_ref()), 8);
    let other = bench.start(job.as_ref(), &launch).unwrap();
    job.terminate(9).unwrap();
    assert_eq!(ended(other.as_ref()), 9);
}
