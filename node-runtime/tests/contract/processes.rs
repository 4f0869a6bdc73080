//! What a process is started with, how it is waited for and found again.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use hosttask_node_runtime::launch;
use hosttask_node_runtime::sys::{Console, ProcessId};

use crate::bench::{Bench, LONG, SHORT, ended, is_locked, kind, probe, until, until_unlocked};

pub(crate) fn all_waiters_get_the_exit_code_however_often(bench: &Bench) {
    let job = bench.job();
    let file = bench.path("go");
    let process = bench.spawn(job.as_ref(), &["await", &file, "exit", "9"]);
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| process.wait(LONG).unwrap()))
            .collect();
        fs::write(&file, "").unwrap();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Some(9));
        }
    });
    assert_eq!(process.wait(Duration::ZERO).unwrap(), Some(9));
    drop(job);
    assert_eq!(process.wait(Duration::ZERO).unwrap(), Some(9));
}

pub(crate) fn a_wait_ends_with_its_time(bench: &Bench) {
    let job = bench.job();
    let process = bench.spawn(job.as_ref(), &["hang"]);
    let start = Instant::now();
    assert_eq!(process.wait(Duration::ZERO).unwrap(), None);
    assert_eq!(process.wait(SHORT).unwrap(), None);
    assert!(
        (SHORT..LONG).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
}

pub(crate) fn an_empty_job_is_waited_for(bench: &Bench) {
    let job = bench.job();
    assert!(
        job.wait_empty(Duration::ZERO).unwrap(),
        "it never had a process"
    );
    let file = bench.path("go");
    bench.spawn(job.as_ref(), &["leave", "await", &file, ";"]);
    assert!(!job.wait_empty(SHORT).unwrap());
    fs::write(&file, "").unwrap();
    assert!(job.wait_empty(LONG).unwrap());
}

pub(crate) fn arguments_arrive_as_they_are(bench: &Bench) {
    let job = bench.job();
    let strange = [
        "arguments",
        "",
        "a b",
        "\"",
        "\\",
        "a\\\\\"b\\",
        "ä→𝄞",
        "%PATH%",
        "^&|<>",
        "*",
        "--x=\"y z\"",
    ];
    let text = bench.printed(job.as_ref(), &strange);
    let arrived: Vec<String> = serde_json::from_str(&text).unwrap();
    assert_eq!(arrived[1..], strange);
    let mut launch = bench.launch(&["arguments"]);
    "another name".clone_into(&mut launch.arguments[0]);
    launch.command_line = launch::quote(&launch.arguments);
    let (reader, stdout) = hosttask_node_runtime::sys::pipe::output().unwrap();
    let streams = hosttask_node_runtime::sys::Streams {
        stdout: Some(stdout),
        ..Default::default()
    };
    let process = job
        .spawn(&launch, streams, bench.identity.as_ref())
        .unwrap();
    let arrived: Vec<String> = serde_json::from_str(&crate::bench::read(reader).unwrap()).unwrap();
    assert_eq!(arrived, ["another name", "arguments"]);
    assert_eq!(ended(process.as_ref()), 0);
}

pub(crate) fn the_environment_is_the_given_one_alone(bench: &Bench) {
    let job = bench.job();
    let text = bench.printed(job.as_ref(), &["environment"]);
    let mut arrived: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
    // Variables of drives, which Windows keeps by itself.
    arrived.retain(|name, _| !name.starts_with('='));
    if bench.is_wine() {
        // Wine tells its programs how it was started.
        arrived.retain(|name, _| !name.starts_with("WINE"));
    }
    let upper = |map: BTreeMap<String, String>| -> BTreeMap<String, String> {
        map.into_iter()
            .map(|(name, value)| (name.to_uppercase(), value))
            .collect()
    };
    assert_eq!(upper(arrived), upper(Bench::environment()));
}

pub(crate) fn the_folder_is_the_given_one(bench: &Bench) {
    let job = bench.job();
    let text = bench.printed(job.as_ref(), &["directory"]);
    let expected = fs::canonicalize(bench.folder.path()).unwrap();
    assert_eq!(fs::canonicalize(text.trim()).unwrap(), expected);
}

pub(crate) fn a_process_is_found_by_its_identity(bench: &Bench) {
    let job = bench.job();
    let process = bench.spawn(job.as_ref(), &["hang"]);
    let found = bench.host.open_process(process.id()).unwrap().unwrap();
    assert_eq!(found.id(), process.id());
    assert_eq!(found.wait(SHORT).unwrap(), None);
    found.terminate(137).unwrap();
    assert!(found.wait(LONG).unwrap().is_some());
    assert_eq!(ended(process.as_ref()), 137);
}

pub(crate) fn a_process_that_ended_is_not_found(bench: &Bench) {
    let job = bench.job();
    let process = bench.spawn(job.as_ref(), &["exit", "0"]);
    let id = process.id();
    ended(process.as_ref());
    // A handle keeps its number, and it has ended all the same.
    assert!(bench.host.open_process(id).unwrap().is_none());
    drop(process);
    assert!(bench.host.open_process(id).unwrap().is_none());
}

pub(crate) fn a_number_that_was_given_to_another_finds_nothing(bench: &Bench) {
    let job = bench.job();
    let process = bench.spawn(job.as_ref(), &["hang"]);
    let ProcessId { pid, started } = process.id();
    for started in [started - 1, started + 1, 0] {
        assert!(
            bench
                .host
                .open_process(ProcessId { pid, started })
                .unwrap()
                .is_none()
        );
    }
    let Some(fake) = &bench.fake else { return };
    process.terminate(0).unwrap();
    assert_eq!(
        kind(fake.reuse(pid)),
        ErrorKind::ResourceBusy,
        "a handle keeps the number"
    );
    let id = process.id();
    drop(process);
    fake.reuse(pid).unwrap();
    assert!(bench.host.open_process(id).unwrap().is_none());
}

pub(crate) fn a_process_without_a_console_has_no_size(bench: &Bench) {
    let job = bench.job();
    let process = bench.spawn(job.as_ref(), &["hang"]);
    let size = Console {
        columns: 100,
        rows: 30,
    };
    assert_eq!(kind(process.resize(size)), ErrorKind::Unsupported);
}

pub(crate) fn a_detached_program_runs_with_its_output(bench: &Bench) {
    let (lock, output) = (bench.path("lock"), bench.path("output"));
    let steps = ["print", "hello", "lock", &lock, "hang"].map(str::to_owned);
    let file = fs::File::create(&output).unwrap();
    let id = bench.host.spawn_detached(&probe(), &steps, file).unwrap();
    until("it runs", || is_locked(&lock));
    assert_eq!(fs::read_to_string(&output).unwrap(), "hello\n");
    let process = bench.host.open_process(id).unwrap().unwrap();
    assert_eq!(process.id(), id);
    process.terminate(1).unwrap();
    until_unlocked(&lock);
    assert!(process.wait(LONG).unwrap().is_some());
    until("it is not found", || {
        bench.host.open_process(id).unwrap().is_none()
    });
    let missing = bench.folder.path().join("missing");
    let file = fs::File::create(&output).unwrap();
    assert_eq!(
        kind(bench.host.spawn_detached(&missing, &[], file)),
        ErrorKind::NotFound
    );
}
