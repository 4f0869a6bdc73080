//! What tests can do with the host in memory, beyond the contract that it shares with the real ones.

#![expect(
    clippy::unwrap_used,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hosttask_node_runtime::limits::{Limits, Priority};
use hosttask_node_runtime::sys::fake::{FakeHost, Operation, Reaction};
use hosttask_node_runtime::sys::{
    Attachment, Host, Job, Launch, LimitKind, Means, Process, Streams, User,
};

const LONG: Duration = Duration::from_secs(20);

fn spawn(host: &FakeHost, job: &dyn Job, program: &str) -> std::io::Result<Arc<dyn Process>> {
    let launch = Launch {
        program: program.to_owned(),
        arguments: vec![program.to_owned(), "hang".to_owned()],
        command_line: String::new(),
        directory: String::new(),
        environment: BTreeMap::new(),
        console: None,
        suspended: false,
        drop_privileges: BTreeSet::new(),
    };
    let identity = host.log_on(&User::Inherit, "test").unwrap();
    job.spawn(&launch, Streams::default(), identity.as_ref())
}

#[test]
fn the_planned_call_fails_and_no_other() {
    let host = FakeHost::new();
    let job = host.create_job("job").unwrap();
    spawn(&host, job.as_ref(), "probe").unwrap();
    host.fail(Operation::Spawn, 2, ErrorKind::StorageFull);
    spawn(&host, job.as_ref(), "probe").unwrap();
    let refused = spawn(&host, job.as_ref(), "probe").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    spawn(&host, job.as_ref(), "probe").unwrap();
    assert_eq!((host.calls(Operation::Spawn), host.running()), (4, 3));
}

#[test]
fn the_clock_stands_until_it_is_moved() {
    let host = FakeHost::new();
    let before = host.now();
    assert_eq!(host.now(), before);
    let past = before - Duration::from_hours(1);
    host.move_clock(past);
    assert_eq!(host.now(), past);
}

#[test]
fn nothing_runs_after_the_system_was_started_anew() {
    let host = FakeHost::new();
    let job = host.create_job("job").unwrap();
    let process = spawn(&host, job.as_ref(), "probe").unwrap();
    let boot = host.boot_id().unwrap();
    host.reboot();
    assert_ne!(host.boot_id().unwrap(), boot);
    assert_eq!((host.running(), host.jobs().len()), (0, 0));
    assert!(host.open_process(process.id()).unwrap().is_none());
    assert_eq!(job.usage().unwrap_err().kind(), ErrorKind::NotFound);
    drop(job);
    host.create_job("job").unwrap();
}

#[test]
fn a_program_of_a_test_ends_as_it_says_or_aborted() {
    let host = FakeHost::new();
    host.add_program("/bin/nine", |_| 9);
    host.add_program("broken", |_| panic!("this is meant to be"));
    let job = host.create_job("job").unwrap();
    let nine = spawn(&host, job.as_ref(), "/bin/nine").unwrap();
    assert_eq!(nine.wait(LONG).unwrap(), Some(9));
    let broken = spawn(&host, job.as_ref(), "/any/where/broken.exe").unwrap();
    assert_eq!(broken.wait(LONG).unwrap(), Some(0xC000_0409));
    let missing = spawn(&host, job.as_ref(), "/bin/ten").unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn a_program_whose_job_is_suspended_on_its_last_step_ends_when_it_is_resumed() {
    let host = FakeHost::new();
    let job = host.create_job("job").unwrap();
    let (tell, told) = channel();
    let (go, gone) = channel();
    let gone = Mutex::new(gone);
    host.add_program("nine", move |_| {
        tell.send(()).unwrap();
        gone.lock().unwrap().recv().unwrap();
        9
    });
    let nine = spawn(&host, job.as_ref(), "nine").unwrap();
    told.recv_timeout(LONG).unwrap();
    job.suspend().unwrap();
    go.send(()).unwrap();
    assert_eq!(nine.wait(Duration::from_millis(50)).unwrap(), None);
    job.resume().unwrap();
    assert_eq!(nine.wait(LONG).unwrap(), Some(9));
}

#[test]
fn a_program_decides_what_it_does_when_it_is_asked_to_end() {
    let host = FakeHost::new();
    host.add_program("deaf", |process| {
        process.react(Reaction::Deaf).unwrap();
        process.sleep(LONG).map_or(0, |()| 1)
    });
    host.add_program("told", |process| {
        process.react(Reaction::Tell).unwrap();
        u32::from(process.wait_interrupt(LONG).unwrap())
    });
    let job = host.create_job("job").unwrap();
    let deaf = spawn(&host, job.as_ref(), "deaf").unwrap();
    let told = spawn(&host, job.as_ref(), "told").unwrap();
    // Until they have decided, they would end by it.
    let deadline = std::time::Instant::now() + LONG;
    while host.reactions() != [Reaction::Deaf, Reaction::Tell] {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert_eq!(job.interrupt().unwrap(), [deaf.id().pid]);
    assert_eq!(told.wait(LONG).unwrap(), Some(1));
    assert_eq!(deaf.wait(Duration::ZERO).unwrap(), None);
}

#[test]
fn what_a_host_is_made_to_lack_is_refused() {
    let host = FakeHost::new().with_features(|features| {
        features.limits.remove(&LimitKind::Priority);
        features.means = vec![Means::Junction];
    });
    assert_eq!(host.storage().means(), [Means::Junction]);
    let job = host.create_job("job").unwrap();
    let limits = Limits {
        priority: Some(Priority::High),
        ..Limits::default()
    };
    assert_eq!(
        job.set_limits(&limits).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(host.limits("job"), Some(Limits::default()));
}

#[test]
fn a_host_that_only_records_leaves_the_disk_alone() {
    let host = FakeHost::new().recording();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    let attachment = Attachment {
        source: folder.path(),
        target: &target,
        read_only: false,
        job: None,
    };
    host.storage().attach(Means::Symlink, &attachment).unwrap();
    assert_eq!(host.attached().len(), 1);
    assert!(!target.exists());
    host.storage().detach(Means::Symlink, &target).unwrap();
    assert!(host.attached().is_empty());
    host.storage().protect(Path::new("/any/where")).unwrap();
    assert_eq!(host.protected(), [Path::new("/any/where")]);
}
