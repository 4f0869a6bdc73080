//! The streams of programs, and our ends of them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::mpsc;
use std::thread;

use hosttask_node_runtime::sys::Streams;
use hosttask_node_runtime::sys::pipe;

use crate::bench::{Bench, LONG, ended, read, until_file};

pub(crate) fn each_stream_is_its_own(bench: &Bench) {
    let job = bench.job();
    let (out, stdout) = pipe::output().unwrap();
    let (err, stderr) = pipe::output().unwrap();
    let streams = Streams {
        stdin: None,
        stdout: Some(stdout),
        stderr: Some(stderr),
    };
    let launch = bench.launch(&["print", "yes", "complain", "no"]);
    let process = job
        .spawn(&launch, streams, bench.identity.as_ref())
        .unwrap();
    assert_eq!(read(out).unwrap(), "yes\n");
    assert_eq!(read(err).unwrap(), "no\n");
    assert_eq!(ended(process.as_ref()), 0);
}

pub(crate) fn what_is_written_is_read_and_its_end_too(bench: &Bench) {
    let job = bench.job();
    let (stdin, mut input) = pipe::input().unwrap();
    let (output, stdout) = pipe::output().unwrap();
    let streams = Streams {
        stdin: Some(stdin),
        stdout: Some(stdout),
        stderr: None,
    };
    let process = job
        .spawn(&bench.launch(&["echo"]), streams, bench.identity.as_ref())
        .unwrap();
    // More than any pipe holds.
    let text = "0123456789abcde\n".repeat(1 << 16);
    let expected = text.clone();
    let writer = thread::spawn(move || input.write_all(text.as_bytes()));
    assert!(read(output).unwrap() == expected);
    writer.join().unwrap().unwrap();
    assert_eq!(ended(process.as_ref()), 0);
}

pub(crate) fn streams_that_are_none_lead_nowhere(bench: &Bench) {
    let job = bench.job();
    let steps = ["echo", "print", "lost", "complain", "lost", "exit", "3"];
    assert_eq!(ended(bench.spawn(job.as_ref(), &steps).as_ref()), 3);
}

pub(crate) fn a_child_has_no_handle_but_its_streams(bench: &Bench) {
    let job = bench.job();
    let text = bench.printed(job.as_ref(), &["handles"]);
    if text == "null\n" {
        return bench.not_run("the list of open handles", "the system does not tell them");
    }
    let handles: Vec<u32> = serde_json::from_str(&text).unwrap();
    let strange: Vec<_> = handles
        .into_iter()
        .filter(|it| !given().contains(it))
        .collect();
    assert_eq!(strange, [0, 1, 2]);
}

/// The descriptors beside the streams that the test itself was started with, and that every child of it inherits: safe code
/// cannot close them.
fn given() -> Vec<u32> {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let folder = std::fs::read_dir("/proc/self/fdinfo").unwrap();
    let is_inherited = |path: &std::path::Path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|it| u32::from_str_radix(it.trim(), 8).ok());
        flags.is_some_and(|flags| flags & CLOSE_ON_EXEC == 0)
    };
    let paths = folder
        .map(|entry| entry.unwrap().path())
        .filter(|path| is_inherited(path));
    let numbers = paths.map(|path| path.file_name().unwrap().to_str().unwrap().parse().unwrap());
    numbers.filter(|number| *number > 2).collect()
}

pub(crate) fn programs_started_at_once_do_not_hold_the_streams_of_each_other(bench: &Bench) {
    let job = bench.job();
    thread::scope(|scope| {
        for number in 0..8 {
            let (bench, job) = (&bench, &job);
            scope.spawn(move || {
                let (reader, stdout) = pipe::output().unwrap();
                bench.spawn(job.as_ref(), &["hang"]);
                let streams = Streams {
                    stdout: Some(stdout),
                    ..Streams::default()
                };
                let text = number.to_string();
                let launch = bench.launch(&["print", &text]);
                let process = job
                    .spawn(&launch, streams, bench.identity.as_ref())
                    .unwrap();
                assert_eq!(read(reader).unwrap(), format!("{text}\n"));
                assert_eq!(ended(process.as_ref()), 0);
            });
        }
    });
}

pub(crate) fn a_grandchild_holds_the_stream(bench: &Bench) {
    let job = bench.job();
    let file = bench.path("go");
    let steps = [
        "leave", "await", &file, "print", "late", ";", "print", "early",
    ];
    let (process, mut reader) = bench.spawn_read(job.as_ref(), &steps);
    assert_eq!(ended(process.as_ref()), 0);
    let mut first = [0; 6];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"early\n");
    std::fs::write(&file, "").unwrap();
    assert_eq!(read(reader).unwrap(), "late\n");
}

pub(crate) fn reading_can_be_cancelled(bench: &Bench) {
    let job = bench.job();
    let (_process, mut reader) = bench.spawn_read(job.as_ref(), &["hang"]);
    let canceller = reader.canceller();
    let (is_read, result) = mpsc::channel();
    thread::spawn(move || is_read.send(reader.read(&mut [0; 10])));
    canceller.clone().cancel();
    let result = result.recv_timeout(LONG).unwrap();
    assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionAborted);
}

pub(crate) fn writing_can_be_cancelled(bench: &Bench) {
    let job = bench.job();
    let (stdin, mut input) = pipe::input().unwrap();
    let streams = Streams {
        stdin: Some(stdin),
        ..Streams::default()
    };
    let file = bench.path("ready");
    let launch = bench.launch(&["ready", &file, "hang"]);
    job.spawn(&launch, streams, bench.identity.as_ref())
        .unwrap();
    until_file(&file);
    let canceller = input.canceller();
    let (is_written, result) = mpsc::channel();
    thread::spawn(move || is_written.send(input.write_all(&vec![0; 1 << 24])));
    assert!(
        result.recv_timeout(crate::bench::SHORT).is_err(),
        "nobody reads, and it was written"
    );
    canceller.cancel();
    let result = result.recv_timeout(LONG).unwrap();
    assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionAborted);
}

pub(crate) fn a_cancelled_end_stays_cancelled(_bench: &Bench) {
    let (mut reader, stdout) = pipe::output().unwrap();
    (&stdout).write_all(b"there").unwrap();
    reader.canceller().cancel();
    reader.canceller().cancel();
    for _ in 0..2 {
        let error = reader.read(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    }
}
