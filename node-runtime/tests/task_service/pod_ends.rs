//! A pod that is deleted while something else happens in it: nothing of it is left, whatever was under way.
//!
//! Calls are held where a test wants them by FIFOs and by a log driver that is not ready yet, so these cases are for systems
//! that have them.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::MAIN_SEPARATOR;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use containerd_shim_protos::api::{CreateTaskRequest, Status as Phase};
use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::record;
use hosttask_node_runtime::sys::fake::Operation;
use hosttask_node_runtime::ttrpc::Code;

use crate::bench::{Bench, everywhere, until};
use crate::pods::{member, pod};

const IS_WINDOWS: bool = MAIN_SEPARATOR == '\\';

/// Whether a test cannot be run for want of this, which is said then.
fn lacks(what: &str) -> bool {
    if IS_WINDOWS {
        println!("not run: this system has no {what}");
    }
    IS_WINDOWS
}

/// That the shim has nothing left, and leaves.
fn assert_leaves(bench: &Bench) {
    bench.shutdown("web");
    assert!(bench.shim.is_over(), "{:?}", bench.told());
    bench.is_clean();
}

/// How often something was told.
fn count(bench: &Bench, line: &str) -> usize {
    bench.told().iter().filter(|it| *it == line).count()
}

#[test]
fn a_pod_whose_container_cannot_be_removed_is_there_until_it_can() {
    if lacks("attachments that could be busy") {
        return;
    }
    let bench = Bench::fake();
    pod(&bench);
    bench.create_with(&member(&bench, "one", "hang")).unwrap();
    bench.create_with(&member(&bench, "two", "hang")).unwrap();
    bench.kill("web", "", 9).unwrap();
    bench
        .faker()
        .fail(Operation::Detach, 1, ErrorKind::ResourceBusy);
    let failed = bench.delete("web", "").unwrap_err();
    assert_eq!(failed.code, Code::Internal, "{failed}");
    assert_eq!(
        bench.state("web", "").unwrap().status,
        Phase::STOPPED.into()
    );
    assert_eq!(count(&bench, "/tasks/delete web 0"), 0);
    assert_eq!(count(&bench, "/tasks/delete two 137"), 1, "it goes on");
    bench.shutdown("web");
    assert!(!bench.shim.is_over());
    assert_eq!(bench.delete("web", "").unwrap().exit_status, 0);
    assert_eq!(bench.delete("web", "").unwrap_err().code, Code::NotFound);
    assert_eq!(bench.told().last().unwrap(), "/tasks/delete web 0");
    assert_eq!(count(&bench, "/tasks/exit web web 0"), 1);
    assert_leaves(&bench);
}

#[test]
fn a_pod_waits_for_a_container_that_is_being_started_and_takes_it_along() {
    if lacks("FIFOs") {
        return;
    }
    everywhere(|bench| {
        let log = bench.text("log");
        assert!(Command::new("mkfifo").arg(&log).status().unwrap().success());
        // Not started, so that its state says when it is being deleted.
        let config = bench.pod_config("web", "sandbox", "hang");
        bench.create_with(&bench.request("web", &config)).unwrap();
        let mut request = member(bench, "one", "hang");
        request.stdout = format!("file://{log}");
        bench.create_with(&request).unwrap();
        let (store, id) = (bench.store(), Id::parse(&bench.id("one")).unwrap());
        let is_starting = || {
            let record = store.read(&id);
            record.is_ok_and(|it| it.phase == record::Phase::Running)
        };
        thread::scope(|scope| {
            let starting = scope.spawn(|| bench.start("one", ""));
            until("the start waits for a reader of its log", is_starting);
            let deleting = scope.spawn(|| bench.delete("web", ""));
            until("the pod is being deleted", || {
                bench.state("web", "").unwrap().status == Phase::STOPPED.into()
            });
            let again = bench.delete("web", "").unwrap_err();
            assert_eq!(again.code, Code::FailedPrecondition, "{again}");
            bench.shutdown("web");
            let reader = File::open(&log).unwrap();
            assert_ne!(starting.join().unwrap().unwrap(), 0);
            // On a slow machine its time may be over.
            let deleted = deleting.join().unwrap();
            let deleted = deleted.or_else(|_| bench.delete("web", ""));
            assert_eq!(deleted.unwrap().exit_status, 0);
            drop(reader);
        });
        assert_eq!(count(bench, "/tasks/delete one 137"), 1);
        assert_eq!(bench.told().last().unwrap(), "/tasks/delete web 0");
        assert!(bench.shim.is_over(), "it was told to leave meanwhile");
        bench.is_clean();
    });
}

#[test]
fn the_deletion_of_a_pod_does_not_wait_longer_than_containerd_does_for_a_start_that_hangs() {
    if lacks("FIFOs") {
        return;
    }
    let bench = Bench::fake();
    let log = bench.text("log");
    assert!(Command::new("mkfifo").arg(&log).status().unwrap().success());
    pod(&bench);
    let mut request = member(&bench, "one", "hang");
    request.stdout = format!("file://{log}");
    bench.create_with(&request).unwrap();
    bench.create_with(&member(&bench, "two", "hang")).unwrap();
    bench.start("two", "").unwrap();
    let (store, id) = (bench.store(), Id::parse(&bench.id("one")).unwrap());
    thread::scope(|scope| {
        let starting = scope.spawn(|| bench.start("one", ""));
        until("the start waits for a reader of its log", || {
            let record = store.read(&id);
            record.is_ok_and(|it| it.phase == record::Phase::Running)
        });
        bench.kill("web", "", 9).unwrap();
        let begin = Instant::now();
        let deleted = bench.delete("web", "");
        let waited = begin.elapsed();
        // Before anything is judged: a start that hangs would be waited for in vain.
        let reader = File::open(&log).unwrap();
        let failed = deleted.unwrap_err();
        assert_eq!(failed.code, Code::FailedPrecondition, "{failed}");
        // A start is waited for half a minute by everybody else.
        assert!(waited < Duration::from_secs(30));
        assert_eq!(count(&bench, "/tasks/delete two 137"), 1, "it goes on");
        assert_ne!(starting.join().unwrap().unwrap(), 0);
        assert_eq!(bench.delete("web", "").unwrap().exit_status, 0);
        drop(reader);
    });
    assert_leaves(&bench);
}

/// A log driver that is ready once there is a file `go` in its folder.
const SLOW_LOGGER: &str = r#"#!/bin/sh
: > "$2/asked"
until [ -e "$2/go" ]; do sleep 0.05; done
cat <&3 >/dev/null 5>&- &
cat <&4 >/dev/null 5>&- &
exec 5>&-
wait
"#;

/// Has a task log to it.
fn log_slowly(bench: &Bench, request: &mut CreateTaskRequest) {
    let logger = bench.path("logger");
    fs::write(&logger, SLOW_LOGGER).unwrap();
    let runs = Command::new("chmod").arg("+x").arg(&logger).status();
    assert!(runs.unwrap().success());
    request.stdout = format!(
        "binary://{}?folder={}",
        logger.display(),
        bench.folder.path().display()
    );
}

#[test]
fn a_container_that_somebody_wants_away_while_it_is_made_is_not_left_over() {
    if lacks("log drivers that are scripts") {
        return;
    }
    for is_deleted in [true, false] {
        let bench = Bench::fake();
        let mut request = bench.request("web", &bench.config("web", "hang"));
        log_slowly(&bench, &mut request);
        thread::scope(|scope| {
            let making = scope.spawn(|| bench.create_with(&request));
            until("its log driver is asked", || bench.path("asked").exists());
            if is_deleted {
                let none = bench.delete("web", "").unwrap_err();
                assert_eq!(none.code, Code::NotFound, "{none}");
            } else {
                bench.shutdown("web");
            }
            fs::write(bench.path("go"), "").unwrap();
            let late = making.join().unwrap().unwrap_err();
            assert_eq!(late.code, Code::DeadlineExceeded, "{late}");
        });
        assert_eq!(bench.state("web", "").unwrap_err().code, Code::NotFound);
        assert_eq!(bench.shim.is_over(), !is_deleted);
        assert_leaves(&bench);
    }
}

#[test]
fn a_container_that_is_being_made_while_its_pod_is_deleted_is_not_left_over() {
    if lacks("log drivers that are scripts") {
        return;
    }
    let bench = Bench::fake();
    pod(&bench);
    let mut request = member(&bench, "one", "hang");
    log_slowly(&bench, &mut request);
    thread::scope(|scope| {
        let making = scope.spawn(|| bench.create_with(&request));
        until("its log driver is asked", || bench.path("asked").exists());
        bench.kill("web", "", 9).unwrap();
        assert_eq!(bench.delete("web", "").unwrap().exit_status, 0);
        fs::write(bench.path("go"), "").unwrap();
        let late = making.join().unwrap().unwrap_err();
        assert_eq!(late.code, Code::FailedPrecondition, "{late}");
    });
    assert_eq!(bench.state("one", "").unwrap_err().code, Code::NotFound);
    assert_leaves(&bench);
}

#[test]
fn nothing_is_started_in_a_pod_that_has_ended() {
    everywhere(|bench| {
        pod(bench);
        bench.create_with(&member(bench, "one", "hang")).unwrap();
        bench.kill("web", "", 9).unwrap();
        let late = bench.start("one", "").unwrap_err();
        assert_eq!(late.code, Code::FailedPrecondition, "{late}");
        assert!(late.message.contains("has ended"), "{late}");
        bench.delete("web", "").unwrap();
        assert_leaves(bench);
    });
}
