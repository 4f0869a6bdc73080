//! The host fails at every call: nothing is left, or it can be tried again.

use std::io::ErrorKind;
use std::time::Duration;

use hosttask_node_runtime::container::{Kind, Phase, Sink, Stdio};
use hosttask_node_runtime::launch::MountPlan;
use hosttask_node_runtime::limits::Limits;
use hosttask_node_runtime::sys::User;
use hosttask_node_runtime::sys::fake::Operation;

use crate::bench::{Bench, HAS_LINKS, end, end_of, exec};

/// A container that needs everything there is.
fn greedy(bench: &Bench, address: &str) -> hosttask_node_runtime::container::Options {
    let mut options = bench.options("web", "exit 5");
    let source = bench.path("mounted");
    std::fs::create_dir_all(&source).unwrap();
    options.plan.process.user = User::Group("operators".to_owned());
    if HAS_LINKS {
        options.plan.mounts = vec![MountPlan {
            source: bench.text("mounted"),
            destination: "/data".to_owned(),
            read_only: false,
        }];
    }
    options.plan.limits = Limits {
        active_processes: Some(10),
        ..Limits::default()
    };
    options.stdio.stdout = Sink::Pipe(address.to_owned());
    options
}

#[test]
fn a_container_that_cannot_be_created_leaves_nothing_whichever_call_fails() {
    let steps = [
        Operation::Connect,
        Operation::CreateJob,
        Operation::SetLimits,
        Operation::Attach,
    ];
    for operation in steps {
        if operation == Operation::Attach && !HAS_LINKS {
            continue;
        }
        for nth in 1.. {
            let bench = Bench::fake();
            let address = bench.address("out");
            let _listener = bench.host.listen(&address).unwrap();
            bench
                .faker()
                .fail(operation, nth, ErrorKind::PermissionDenied);
            match bench.create_with(greedy(&bench, &address)) {
                Err(error) => {
                    assert_eq!(bench.faker().calls(operation), nth, "{error}");
                    bench.is_clean();
                    let again = bench.create_with(greedy(&bench, &address)).unwrap();
                    again.delete(None).unwrap();
                    bench.is_clean();
                }
                Ok(container) => {
                    assert!(nth > 1, "{operation:?} was never called");
                    container.delete(None).unwrap();
                    break;
                }
            }
        }
    }
}

#[test]
fn a_start_that_fails_leaves_a_container_that_can_be_started() {
    for operation in [Operation::LogOn, Operation::Spawn] {
        let bench = Bench::fake();
        let address = bench.address("out");
        let mut listener = bench.host.listen(&address).unwrap();
        let container = bench.create_with(greedy(&bench, &address)).unwrap();
        let _reader = listener.accept(Duration::from_secs(1)).unwrap();
        bench.faker().fail(operation, 1, ErrorKind::TimedOut);
        let error = container.start().unwrap_err();
        assert_eq!(error.kind(), Kind::Internal, "{error}");
        assert_eq!(container.status(None).unwrap().phase, Phase::Created);
        assert_eq!(bench.faker().running(), 0);
        container.start().unwrap();
        assert_eq!(end(&container).code, 5);
        container.delete(None).unwrap();
        bench.is_clean();
    }
}

#[test]
fn an_added_process_that_fails_to_start_can_be_started() {
    let bench = Bench::fake();
    let container = bench.run("web", "READY hang");
    bench.faker().fail(Operation::Spawn, 1, ErrorKind::TimedOut);
    let id = crate::bench::name("probe");
    container
        .exec(id.clone(), bench.process("exit 5"), Stdio::default())
        .unwrap();
    container.start_exec(&id).unwrap_err();
    assert_eq!(container.status(Some(&id)).unwrap().phase, Phase::Created);
    container.start_exec(&id).unwrap();
    assert_eq!(end_of(&container, "probe").code, 5);
}

#[test]
fn a_delete_that_fails_can_be_repeated() {
    if !HAS_LINKS {
        return;
    }
    let bench = Bench::fake();
    let container = bench.create("web", "exit 0");
    bench
        .faker()
        .fail(Operation::Detach, 1, ErrorKind::PermissionDenied);
    let error = container.delete(None).unwrap_err();
    assert_eq!(error.kind(), Kind::Internal, "{error}");
    assert_eq!(container.status(None).unwrap().phase, Phase::Stopped);
    container.delete(None).unwrap();
    bench.is_clean();
}

#[test]
fn a_signal_that_fails_changes_nothing() {
    let bench = Bench::fake();
    let container = bench.run("web", "READY hang");
    let fail = |operation| bench.faker().fail(operation, 1, ErrorKind::Other);
    fail(Operation::Suspend);
    container.pause().unwrap_err();
    fail(Operation::Usage);
    container.usage().unwrap_err();
    fail(Operation::Processes);
    container.processes().unwrap_err();
    assert_eq!(container.status(None).unwrap().phase, Phase::Running);
    container.pause().unwrap();
    bench.faker().fail(Operation::Resume, 1, ErrorKind::Other);
    container.resume().unwrap_err();
    assert_eq!(container.status(None).unwrap().phase, Phase::Paused);
    container.resume().unwrap();
    exec(&bench, &container, "probe", "exit 1");
    assert_eq!(end_of(&container, "probe").code, 1);
}
