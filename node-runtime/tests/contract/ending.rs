//! How processes end: by themselves, by us, and with those that held them.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bench::{
    Bench, LONG, SHORT, active, ended, is_locked, probe, read, until, until_file, until_unlocked,
};

pub(crate) fn exit_codes_of_eight_bits_arrive(bench: &Bench) {
    let job = bench.job();
    for code in ["0", "1", "137", "255"] {
        let process = bench.spawn(job.as_ref(), &["exit", code]);
        assert_eq!(ended(process.as_ref()).to_string(), code);
    }
}

pub(crate) fn exit_codes_of_32_bits_arrive(bench: &Bench) {
    if bench.host.features().backend == "linux" {
        return bench.not_run("exit codes of 32 bits", "Linux has eight");
    }
    let job = bench.job();
    for code in [259, 3010, 0xC000_013A, 0xC000_0005, u32::MAX] {
        let process = bench.spawn(job.as_ref(), &["exit", &code.to_string()]);
        assert_eq!(ended(process.as_ref()), code);
    }
}

pub(crate) fn a_job_is_ended_with_a_code_and_all_its_descendants(bench: &Bench) {
    let job = bench.job();
    let (process, reader) = bench.spawn_read(job.as_ref(), &["tree", "5", "hang"]);
    until("all run", || active(job.as_ref()) == 6);
    job.terminate(0xC000_0005).unwrap();
    assert_eq!(ended(process.as_ref()), 0xC000_0005);
    assert!(job.wait_empty(LONG).unwrap());
    assert_eq!(active(job.as_ref()), 0);
    // Each of them had the stream.
    assert_eq!(read(reader).unwrap(), "");
}

pub(crate) fn a_job_can_be_used_again_after_it_was_ended(bench: &Bench) {
    let job = bench.job();
    bench.spawn(job.as_ref(), &["hang"]);
    job.terminate(1).unwrap();
    assert!(job.wait_empty(LONG).unwrap());
    assert_eq!(ended(bench.spawn(job.as_ref(), &["exit", "5"]).as_ref()), 5);
}

pub(crate) fn closing_the_last_handle_ends_every_descendant(bench: &Bench) {
    let job = bench.job();
    let (process, reader) = bench.spawn_read(job.as_ref(), &["tree", "5", "hang"]);
    until("all run", || active(job.as_ref()) == 6);
    drop(job);
    ended(process.as_ref());
    assert_eq!(
        read(reader).unwrap(),
        "",
        "one of them still has the stream"
    );
}

pub(crate) fn every_descendant_ends_when_the_holder_of_the_job_is_killed(bench: &Bench) {
    if bench.fake.is_some() {
        return bench.not_run(
            "a holder that is killed",
            "nothing in memory outlives its holder",
        );
    }
    let name = Bench::name();
    let (parent, child) = (bench.path("parent"), bench.path("child"));
    let steps = [
        "hold", &name, "leave", "lock", &child, "hang", ";", "lock", &parent, "hang", ";",
    ];
    let mut holder = Command::new(probe());
    holder.args(steps).arg("hang").stdout(Stdio::null());
    let mut holder = holder.spawn().unwrap();
    until("both run", || is_locked(&parent) && is_locked(&child));
    assert_eq!(active(bench.host.open_job(&name).unwrap().as_ref()), 2);
    holder.kill().unwrap();
    holder.wait().unwrap();
    until_unlocked(&parent);
    until_unlocked(&child);
    until("the job is gone", || bench.host.open_job(&name).is_err());
}

pub(crate) fn one_process_is_ended_alone(bench: &Bench) {
    let job = bench.job();
    let one = bench.spawn(job.as_ref(), &["hang"]);
    let other = bench.spawn(job.as_ref(), &["hang"]);
    one.terminate(3010).unwrap();
    assert_eq!(ended(one.as_ref()), 3010);
    assert_eq!(other.wait(SHORT).unwrap(), None);
    assert_eq!(active(job.as_ref()), 1);
}

pub(crate) fn ending_what_has_ended_is_no_error(bench: &Bench) {
    let job = bench.job();
    let process = bench.spawn(job.as_ref(), &["exit", "7"]);
    assert_eq!(ended(process.as_ref()), 7);
    process.terminate(9).unwrap();
    assert!(!process.interrupt().unwrap());
    assert_eq!(ended(process.as_ref()), 7);
    job.terminate(9).unwrap();
    assert_eq!(job.interrupt().unwrap(), [0; 0]);
    drop(job);
    process.terminate(9).unwrap();
    assert_eq!(ended(process.as_ref()), 7);
}

pub(crate) fn being_asked_to_end_reaches_every_process(bench: &Bench) {
    let job = bench.job();
    let files = ["one", "two", "three"].map(|name| bench.path(name));
    let steps = [
        "on-interrupt",
        "7",
        "leave",
        "on-interrupt",
        "8",
        "leave",
        "on-interrupt",
        "9",
        "ready",
        &files[0],
        "hang",
        ";",
        "ready",
        &files[1],
        "hang",
        ";",
        "ready",
        &files[2],
        "hang",
    ];
    let process = bench.spawn(job.as_ref(), &steps);
    for file in &files {
        until_file(file);
    }
    assert_eq!(job.interrupt().unwrap(), [0; 0]);
    assert_eq!(ended(process.as_ref()), 7);
    assert!(job.wait_empty(LONG).unwrap());
}

pub(crate) fn one_process_is_asked_to_end_alone(bench: &Bench) {
    let job = bench.job();
    let files = ["one", "two"].map(|name| bench.path(name));
    let [one, other] = [&files[0], &files[1]]
        .map(|file| bench.spawn(job.as_ref(), &["on-interrupt", "7", "ready", file, "hang"]));
    for file in &files {
        until_file(file);
    }
    assert!(one.interrupt().unwrap());
    assert_eq!(ended(one.as_ref()), 7);
    assert_eq!(other.wait(SHORT).unwrap(), None);
}

pub(crate) fn whoever_ignores_being_asked_goes_on(bench: &Bench) {
    let job = bench.job();
    let file = bench.path("ready");
    let process = bench.spawn(job.as_ref(), &["ignore", "ready", &file, "hang"]);
    until_file(&file);
    job.interrupt().unwrap();
    assert_eq!(process.wait(SHORT).unwrap(), None);
    job.terminate(1).unwrap();
    assert_eq!(ended(process.as_ref()), 1);
}

pub(crate) fn a_tree_of_programs_that_know_nothing_ends_when_asked(bench: &Bench) {
    let job = bench.job();
    let process = bench.spawn(job.as_ref(), &["tree", "4", "hang"]);
    until("all run", || active(job.as_ref()) == 5);
    // One that is just being started may not have its console yet, and is asked again.
    until("it is empty", || {
        job.interrupt().unwrap();
        job.wait_empty(Duration::from_millis(200)).unwrap()
    });
    let code = ended(process.as_ref());
    // What Ctrl+C does where nobody handles it ends a program of Wine with 0.
    assert!(code != 0 || bench.is_wine(), "{code}");
}
