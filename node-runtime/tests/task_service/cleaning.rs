//! What is cleaned up where the shim is gone.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hosttask_node_runtime::container::{Container, Options, Stdio};
use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::launch::{self, Context};
use hosttask_node_runtime::record::{Phase, Record};
use hosttask_node_runtime::shim::service::{Cleaned, clean};
use hosttask_node_runtime::sys::ProcessId;
use hosttask_node_runtime::sys::fake::Operation;

use crate::bench::{Bench, NAMESPACE, SOON, until};

fn cleaned(bench: &Bench, id: &str) -> Cleaned {
    cleaned_until(bench, id, Instant::now() + SOON)
}

fn cleaned_until(bench: &Bench, id: &str, until: Instant) -> Cleaned {
    let (host, root) = (bench.host.as_ref(), bench.path("state"));
    clean(host, NAMESPACE, &bench.id(id), &root, until).unwrap()
}

/// A container of a shim that is another process.
fn of_another(bench: &Bench, id: &str, steps: &str, keeper: ProcessId) -> Container {
    let name = Id::parse(id).unwrap();
    let bundle = bench.path("bundle");
    let config = bench.config(id, steps).to_string();
    let (places, features) = (bench.host.places(), bench.host.features());
    let context = Context {
        places: &places,
        features: &features,
        id: &name,
        bundle: bundle.to_str().unwrap(),
    };
    let options = Options {
        id: name.clone(),
        plan: launch::plan(config.as_bytes(), &context).unwrap(),
        bundle,
        stdio: Stdio::default(),
        store: Arc::new(bench.store()),
        pod: None,
        keeper: Some(keeper),
        address: None,
    };
    Container::create(Arc::clone(&bench.host), options).unwrap()
}

#[test]
fn of_a_container_that_nobody_knows_the_end_is_unknown_however_often_one_asks() {
    let bench = Bench::fake();
    for _ in 0..2 {
        let cleaned = cleaned(&bench, "web");
        assert_eq!((cleaned.pid, cleaned.exit_status), (0, 255));
        assert_eq!(cleaned.exited_at, bench.host.now());
    }
    bench.is_clean();
}

#[test]
fn a_shim_that_is_gone_left_an_exit_and_that_is_told_once() {
    let bench = Bench::fake();
    let gone = ProcessId {
        pid: 4242,
        started: 1,
    };
    let container = of_another(&bench, "web", "exit 9", gone);
    let process = container.start().unwrap();
    container.wait(None, SOON).unwrap().unwrap();
    drop(container);
    until("the shim is gone", || bench.faker().jobs().is_empty());
    let first = cleaned(&bench, "web");
    assert_eq!((first.pid, first.exit_status), (process.pid, 9));
    assert_eq!(cleaned(&bench, "web").exit_status, 255);
    bench.is_clean();
}

/// What a shim wrote down of the container `web`, which runs.
fn record(bench: &Bench, keeper: ProcessId) -> Record {
    let (id, namespace) = (Id::parse("web").unwrap(), Id::parse(NAMESPACE).unwrap());
    Record {
        job: format!("hosttask-{}", id.within(&namespace)),
        id,
        bundle: bench.text("bundle"),
        created: bench.host.now(),
        boot_id: bench.host.boot_id().unwrap(),
        phase: Phase::Running,
        keeper: Some(keeper),
        address: None,
        init: Some(ProcessId {
            pid: 77,
            started: 1,
        }),
        exit: None,
        undo: Vec::new(),
        annotations: [].into(),
    }
}

/// A shim that is gone.
const GONE: ProcessId = ProcessId {
    pid: 4242,
    started: 1,
};

/// Writes the record that a shim left.
fn leave(bench: &Bench, record: &Record) {
    let folder = bench.store().create(&record.id).unwrap();
    folder.write(record).unwrap();
}

#[test]
fn what_a_shim_that_is_gone_left_running_is_ended_and_its_end_is_not_guessed() {
    let bench = Bench::fake();
    let record = record(&bench, GONE);
    // Somebody else holds it open still.
    let job = bench.host.create_job(&record.job).unwrap();
    leave(&bench, &record);
    let terminated = bench.faker().calls(Operation::Terminate);
    let cleaned = cleaned(&bench, "web");
    assert_eq!((cleaned.pid, cleaned.exit_status), (77, 255));
    assert!(bench.faker().calls(Operation::Terminate) > terminated);
    drop(job);
    bench.is_clean();
}

#[test]
fn a_clean_up_whose_time_is_over_waits_for_nothing_and_can_be_done_again() {
    let bench = Bench::fake();
    // The shim of its pod lives, and does not write down how it ended.
    let output = File::create(bench.path("output")).unwrap();
    let (program, steps) = (Path::new("probe"), ["hang".to_owned()]);
    let keeper = bench.host.spawn_detached(program, &steps, output).unwrap();
    let mut record = record(&bench, keeper);
    let pod = "io.kubernetes.cri.sandbox-id".to_owned();
    record.annotations.insert(pod, "pod".to_owned());
    leave(&bench, &record);
    let late = cleaned_until(&bench, "web", Instant::now());
    assert_eq!((late.pid, late.exit_status), (77, 255));
    assert_eq!(bench.store().list().unwrap().len(), 1);
    let shim = bench.host.open_process(keeper).unwrap().unwrap();
    shim.terminate(1).unwrap();
    assert_eq!(shim.wait(SOON).unwrap(), Some(1));
    assert_eq!(cleaned(&bench, "web").exit_status, 255);
    bench.is_clean();
}

#[test]
fn what_cannot_be_ended_is_left_when_the_time_is_over_and_removed_by_who_comes_next() {
    let bench = Bench::fake();
    let record = record(&bench, GONE);
    let job = bench.host.create_job(&record.job).unwrap();
    leave(&bench, &record);
    for nth in [1, 2] {
        let faker = bench.faker();
        faker.fail(Operation::WaitEmpty, nth, ErrorKind::TimedOut);
    }
    let begin = Instant::now();
    assert_eq!(cleaned_until(&bench, "web", begin).exit_status, 255);
    // So long is waited by who has the time.
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(bench.store().list().unwrap().len(), 1);
    assert_eq!(cleaned(&bench, "web").exit_status, 255);
    drop(job);
    bench.is_clean();
}

#[test]
fn the_next_task_of_a_name_finds_nothing_of_one_whose_shim_is_gone() {
    let bench = Bench::fake();
    let gone = ProcessId {
        pid: 4242,
        started: 1,
    };
    let container = of_another(&bench, "web", "exit 0", gone);
    container.start().unwrap();
    container.wait(None, SOON).unwrap().unwrap();
    drop(container);
    until("the shim is gone", || bench.faker().jobs().is_empty());
    bench.run("web", "exit 3");
    assert_eq!(bench.wait("web", "").unwrap().exit_status, 3);
    bench.delete("web", "").unwrap();
    bench.is_clean();
}

#[test]
fn the_same_name_in_two_namespaces_and_on_the_command_line_is_three_containers() {
    let bench = Bench::fake();
    bench.run("web", "hang");
    let jobs = bench.faker().jobs();
    assert_eq!(jobs.len(), 1);
    assert_ne!(jobs[0], "hosttask-web");
    let (host, root) = (bench.host.as_ref(), bench.path("state"));
    let cleaned = clean(host, "moby", "web", &root, Instant::now() + SOON).unwrap();
    assert_eq!(cleaned.exit_status, 255);
    assert_eq!(
        bench.faker().jobs(),
        jobs,
        "the one of another namespace lives on"
    );
}

#[test]
fn names_that_are_none_are_refused() {
    let bench = Bench::fake();
    let root = bench.path("state");
    for (namespace, id) in [
        ("../x", "web"),
        (NAMESPACE, "../x"),
        ("", "web"),
        (NAMESPACE, ""),
    ] {
        assert!(
            clean(bench.host.as_ref(), namespace, id, &root, Instant::now()).is_err(),
            "{namespace}/{id}"
        );
    }
}
