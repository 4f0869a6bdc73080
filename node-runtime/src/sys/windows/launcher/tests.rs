//! The launcher is killed at each of its steps, and nothing is left.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::time::Instant;

use super::*;
use crate::sys::windows::{job, job_info};
use windows_sys::Win32::System::JobObjects::JOBOBJECT_BASIC_ACCOUNTING_INFORMATION;

const LONG: Duration = Duration::from_secs(30);

/// A job of this test alone.
fn make(name: &str) -> Handle {
    let name = format!("hosttask-launcher-{name}-{}", std::process::id());
    job::create(&name).unwrap()
}

/// A program that runs until it is ended.
fn hang() -> Launch {
    let program = helper().unwrap().to_str().unwrap().to_owned();
    let needed = ["PATH", "SystemRoot", "SystemDrive"].into_iter();
    let environment: BTreeMap<String, String> = needed
        .filter_map(|name| Some((name.to_owned(), env::var(name).ok()?)))
        .collect();
    Launch {
        command_line: format!("\"{program}\" hang"),
        arguments: Vec::new(),
        program,
        directory: r"C:\".to_owned(),
        environment,
        console: None,
        suspended: false,
        drop_privileges: BTreeSet::new(),
    }
}

fn errand<'a>(launch: &'a Launch, job: &'a Handle) -> Errand<'a> {
    Errand {
        launch,
        streams: Streams::default(),
        jobs: vec![job.as_handle()],
        job,
        token: None,
        console: None,
    }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

fn active(job: &Handle) -> u32 {
    let now: JOBOBJECT_BASIC_ACCOUNTING_INFORMATION = job_info::query(job).unwrap();
    now.ActiveProcesses
}

fn kill(launcher: &Launcher) {
    terminate(&launcher.born.process, 9).unwrap();
    wait(&launcher.born.process, LONG).unwrap().unwrap();
}

/// What [`start`] does after a failure, and that nothing is in the job then.
fn nothing_is_left(launcher: &Launcher, job: &Handle) {
    launcher.end().unwrap();
    end_children(job, &launcher.born).unwrap();
    until("the job is not empty", || active(job) == 0);
}

#[test]
fn a_launcher_that_dies_before_its_order_leaves_nothing() {
    let (job, launch) = (make("early"), hang());
    let (launcher, order) = Launcher::start(&helper().unwrap(), errand(&launch, &job)).unwrap();
    kill(&launcher);
    launcher.send(&order).unwrap();
    let error = launcher.answer().unwrap_err();
    assert!(error.to_string().contains("without an answer"), "{error}");
    nothing_is_left(&launcher, &job);
}

#[test]
fn a_launcher_that_dies_in_the_middle_of_its_order_leaves_nothing() {
    let (job, launch) = (make("half"), hang());
    let (launcher, order) = Launcher::start(&helper().unwrap(), errand(&launch, &job)).unwrap();
    launcher.send(&order[..order.len() / 2]).unwrap();
    kill(&launcher);
    assert!(launcher.answer().is_err());
    nothing_is_left(&launcher, &job);
}

#[test]
fn a_launcher_that_dies_once_its_program_is_born_takes_it_along() {
    let (job, launch) = (make("born"), hang());
    let (launcher, order) = Launcher::start(&helper().unwrap(), errand(&launch, &job)).unwrap();
    launcher.send(&order).unwrap();
    until("no program is born", || active(&job) > 1);
    kill(&launcher);
    // It may have told of it just before.
    let taken = launcher.answer().and_then(|told| launcher.take(told, &job));
    assert!(taken.is_err());
    assert!(active(&job) > 0, "there was nothing to be left");
    nothing_is_left(&launcher, &job);
}

#[test]
fn a_launcher_that_dies_after_its_answer_takes_its_program_along() {
    let (job, launch) = (make("told"), hang());
    let (launcher, order) = Launcher::start(&helper().unwrap(), errand(&launch, &job)).unwrap();
    launcher.send(&order).unwrap();
    let told = launcher.answer().unwrap();
    kill(&launcher);
    let error = launcher.take(told, &job).unwrap_err();
    assert!(error.to_string().contains("relieved"), "{error}");
    nothing_is_left(&launcher, &job);
}

#[test]
fn a_program_that_was_taken_over_outlives_its_launcher() {
    let (job, launch) = (make("taken"), hang());
    let (launcher, order) = Launcher::start(&helper().unwrap(), errand(&launch, &job)).unwrap();
    launcher.send(&order).unwrap();
    let told = launcher.answer().unwrap();
    let born = launcher.take(told, &job).unwrap();
    kill(&launcher);
    drop(launcher);
    assert_eq!(
        wait(&born.process, Duration::from_millis(50)).unwrap(),
        None
    );
    terminate(&born.process, 3_000_000_000).unwrap();
    assert_eq!(wait(&born.process, LONG).unwrap(), Some(3_000_000_000));
}

#[test]
fn a_launcher_that_nobody_relieves_ends_its_program_and_itself() {
    let (job, launch) = (make("alone"), hang());
    let (launcher, order) = Launcher::start(&helper().unwrap(), errand(&launch, &job)).unwrap();
    launcher.send(&order).unwrap();
    launcher.answer().unwrap();
    // As if we had died.
    drop(launcher);
    until("the job is not empty", || active(&job) == 0);
}

#[test]
fn what_a_launcher_tells_is_checked() {
    let (job, launch) = (make("false"), hang());
    let (launcher, order) = Launcher::start(&helper().unwrap(), errand(&launch, &job)).unwrap();
    launcher.send(&order).unwrap();
    let told = launcher.answer().unwrap();
    let lies = [
        Told {
            pid: launcher.born.pid,
            ..told
        },
        Told {
            started: told.started + 1,
            ..told
        },
        Told {
            process: told.thread,
            ..told
        },
        Told {
            thread: told.process,
            ..told
        },
        // The launcher itself, under its constant.
        Told {
            pid: launcher.born.pid,
            process: u64::MAX,
            ..told
        },
        Told {
            process: 0xfff0,
            ..told
        },
    ];
    for lie in lies {
        assert!(launcher.take(lie, &job).is_err(), "{lie:?}");
    }
    assert!(launcher.take(told, &make("other")).is_err());
    assert!(launcher.take(told, &job).is_ok());
    nothing_is_left(&launcher, &job);
}
