//! Programs that cannot be started.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use hosttask_node_runtime::sys::pipe;
use hosttask_node_runtime::sys::{Notice, Streams};

use crate::bench::{Bench, LONG, SHORT, kind, probe, read};

/// The error of starting a program that is none.
fn refused(bench: &Bench, program: &std::path::Path) -> ErrorKind {
    let mut launch = bench.launch(&["exit", "0"]);
    program.to_str().unwrap().clone_into(&mut launch.program);
    kind(bench.start(bench.job().as_ref(), &launch))
}

/// A file that everybody may run, and that is no program.
fn no_program(bench: &Bench) -> PathBuf {
    let path = bench.folder.path().join("program.exe");
    fs::write(&path, "this is no program\n").unwrap();
    fs::set_permissions(&path, fs::metadata(probe()).unwrap().permissions()).unwrap();
    path
}

pub(crate) fn a_program_that_does_not_exist_is_not_found(bench: &Bench) {
    let folder = bench.folder.path();
    assert_eq!(
        refused(bench, &folder.join("missing.exe")),
        ErrorKind::NotFound
    );
    let below = folder.join("missing").join("missing.exe");
    assert_eq!(refused(bench, &below), ErrorKind::NotFound);
}

pub(crate) fn a_folder_may_not_be_run(bench: &Bench) {
    assert_eq!(
        refused(bench, bench.folder.path()),
        ErrorKind::PermissionDenied
    );
}

pub(crate) fn a_file_that_is_no_program_is_refused(bench: &Bench) {
    assert_eq!(refused(bench, &no_program(bench)), ErrorKind::InvalidInput);
}

pub(crate) fn nobody_hears_of_a_program_that_could_not_be_started(bench: &Bench) {
    let job = bench.job();
    let mut launch = bench.launch(&["hang"]);
    launch.program = bench.path("missing.exe");
    assert!(bench.start(job.as_ref(), &launch).is_err());
    assert_eq!(job.next_notice(SHORT).unwrap(), None);
    assert_eq!(job.usage().unwrap().total_processes, 0);
    let pid = bench.spawn(job.as_ref(), &["exit", "0"]).id().pid;
    let notice = job.next_notice(LONG).unwrap();
    assert_eq!(notice, Some(Notice::Started { pid }));
}

pub(crate) fn nothing_is_left_of_a_program_that_could_not_be_started(bench: &Bench) {
    let job = bench.job();
    for program in [bench.folder.path().join("missing.exe"), no_program(bench)] {
        let (reader, stdout) = pipe::output().unwrap();
        let mut launch = bench.launch(&["hang"]);
        program.to_str().unwrap().clone_into(&mut launch.program);
        let streams = Streams {
            stdout: Some(stdout),
            ..Streams::default()
        };
        assert!(
            job.spawn(&launch, streams, bench.identity.as_ref())
                .is_err()
        );
        assert_eq!(read(reader).unwrap(), "");
    }
    assert_eq!(job.usage().unwrap().active_processes, 0);
    assert!(job.wait_empty(Duration::ZERO).unwrap());
    assert_eq!(job.processes().unwrap(), []);
}
