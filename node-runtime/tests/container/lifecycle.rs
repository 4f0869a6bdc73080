//! From create to delete.

use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use hosttask_node_runtime::container::{Container, Kind, Phase, Signal};
use hosttask_node_runtime::launch::Command;
use hosttask_node_runtime::record;

use crate::bench::{Bench, SOON, end, everywhere, story, until};
use crate::scene::probe;

#[test]
fn a_program_runs_from_create_to_delete_and_nothing_is_left() {
    everywhere(|bench| {
        let container = bench.create("web", "exit 42");
        let events = container.events();
        assert_eq!(container.status(None).unwrap().phase, Phase::Created);
        let record = bench.store.read(&bench.id("web")).unwrap();
        assert_eq!(record.phase, record::Phase::Created);
        let root = container.status(None).unwrap().root;
        assert!(Path::new(&root).is_dir());

        let process = container.start().unwrap();
        assert_eq!(end(&container).code, 42);
        let status = container.status(None).unwrap();
        assert_eq!(
            (status.phase, status.process),
            (Phase::Stopped, Some(process))
        );
        let record = bench.store.read(&bench.id("web")).unwrap();
        assert_eq!(record.phase, record::Phase::Stopped);
        assert_eq!((record.init, record.exit), (Some(process), status.exit));

        assert_eq!(container.delete(None).unwrap().code, 42);
        assert_eq!(
            story(&events),
            ["created", "started", "exited 42", "deleted"]
        );
        assert!(!Path::new(&root).exists());
        bench.is_clean();
    });
}

#[test]
fn the_name_is_free_again_while_somebody_still_holds_the_deleted_one() {
    everywhere(|bench| {
        let first = bench.create("web", "exit 1");
        first.delete(None).unwrap();
        let second = bench.create("web", "exit 2");
        second.start().unwrap();
        assert_eq!(end(&second).code, 2);
        assert_eq!(first.delete(None).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(first.usage().unwrap_err().kind(), Kind::NotFound);
        second.delete(None).unwrap();
        bench.is_clean();
    });
}

#[test]
fn the_whole_exit_code_is_kept() {
    let bench = Bench::fake();
    let container = bench.run("web", "exit 3221225477");
    assert_eq!(end(&container).code, 0xC000_0005);
}

#[test]
fn a_program_that_ends_before_start_returns_is_told_as_started_and_then_as_ended() {
    everywhere(|bench| {
        for round in 0..20 {
            let container = bench.create(&format!("c{round}"), "exit 7");
            let events = container.events();
            container.start().unwrap();
            assert_eq!(end(&container).code, 7);
            container.delete(None).unwrap();
            assert_eq!(
                story(&events),
                ["created", "started", "exited 7", "deleted"]
            );
        }
        bench.is_clean();
    });
}

#[test]
fn every_waiter_gets_the_same_exit() {
    everywhere(|bench| {
        let container = bench.run("web", "READY hang");
        assert_eq!(container.wait(None, Duration::ZERO).unwrap(), None);
        let exits: Vec<_> = std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..4).map(|_| scope.spawn(|| end(&container))).collect();
            container.kill(None, Signal::Kill, false).unwrap();
            waiters.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(exits.iter().all(|it| *it == exits[0]));
        assert_eq!(exits[0].code, 137);
        assert_eq!(end(&container), exits[0]);
    });
}

#[test]
fn a_program_that_is_missing_is_an_error_of_start_with_what_was_tried() {
    everywhere(|bench| {
        let mut options = bench.options("web", "");
        let program = probe().replace("probe", "probe-missing");
        options.plan.process.command = Command::Arguments(vec![program.clone()]);
        let container = bench.create_with(options).unwrap();
        let events = container.events();
        let error = container.start().unwrap_err();
        assert_eq!(error.kind(), Kind::ProgramNotFound);
        assert!(error.to_string().contains("probe"), "{error}");
        assert_eq!(container.status(None).unwrap().phase, Phase::Created);
        let record = bench.store.read(&bench.id("web")).unwrap();
        assert_eq!(record.phase, record::Phase::Created);
        assert_eq!(container.start().unwrap_err().kind(), Kind::ProgramNotFound);
        container.delete(None).unwrap();
        assert_eq!(story(&events), ["created", "exited 137", "deleted"]);
        bench.is_clean();
    });
}

#[test]
fn a_file_that_is_no_program_cannot_be_started() {
    everywhere(|bench| {
        let text = bench.text("text.exe");
        fs::write(&text, "this is no program").unwrap();
        let mut options = bench.options("web", "");
        options.plan.process.command = Command::Arguments(vec![text]);
        let container = bench.create_with(options).unwrap();
        assert_eq!(container.start().unwrap_err().kind(), Kind::NotExecutable);
        container.delete(None).unwrap();
        bench.is_clean();
    });
}

#[test]
fn of_two_creates_with_one_name_exactly_one_succeeds() {
    everywhere(|bench| {
        for round in 0..20 {
            let id = format!("c{round}");
            let barrier = Barrier::new(2);
            let create = || {
                barrier.wait();
                bench.create_with(bench.options(&id, "exit 3"))
            };
            let made: Vec<_> = std::thread::scope(|scope| {
                let threads = [scope.spawn(create), scope.spawn(create)];
                threads.map(|it| it.join().unwrap()).into()
            });
            let (good, bad): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
            assert_eq!((good.len(), bad.len()), (1, 1), "{bad:?}");
            let error = bad.into_iter().next().unwrap().unwrap_err();
            assert_eq!(error.kind(), Kind::AlreadyExists, "{error}");
            let container: Container = good.into_iter().next().unwrap().unwrap();
            container.start().unwrap();
            assert_eq!(end(&container).code, 3);
            container.delete(None).unwrap();
        }
        bench.is_clean();
    });
}

#[test]
fn a_container_that_runs_is_not_deleted() {
    everywhere(|bench| {
        let container = bench.run("web", "READY hang");
        let error = container.delete(None).unwrap_err();
        assert_eq!(error.kind(), Kind::FailedPrecondition);
        assert!(
            error.to_string().contains("stop or kill it first"),
            "{error}"
        );
        assert_eq!(container.status(None).unwrap().phase, Phase::Running);
        container.kill(None, Signal::Kill, true).unwrap();
        end(&container);
        container.delete(None).unwrap();
        bench.is_clean();
    });
}

#[test]
fn a_container_that_was_never_started_is_ended_by_any_signal() {
    everywhere(|bench| {
        for signal in [Signal::Terminate, Signal::Kill] {
            let container = bench.create("web", "exit 0");
            let events = container.events();
            container.kill(None, signal, false).unwrap();
            assert_eq!(end(&container).code, 137);
            let error = container.start().unwrap_err();
            assert_eq!(error.kind(), Kind::FailedPrecondition);
            let error = container.kill(None, signal, false).unwrap_err();
            assert_eq!(error.kind(), Kind::NotFound);
            container.delete(None).unwrap();
            assert_eq!(story(&events), ["created", "exited 137", "deleted"]);
        }
        bench.is_clean();
    });
}

#[test]
fn a_container_that_is_dropped_leaves_no_process() {
    everywhere(|bench| {
        let container = bench.run("web", "leave hang ; READY hang");
        assert!(container.processes().unwrap().len() >= 2);
        drop(container);
        let is_gone = || {
            bench
                .host
                .open_job(&format!("hosttask-{}", bench.id("web")))
                .is_err()
        };
        until("the job is gone", is_gone);
    });
}

#[test]
fn start_is_refused_the_second_time() {
    everywhere(|bench| {
        let container = bench.run("web", "READY hang");
        let error = container.start().unwrap_err();
        assert!(error.to_string().contains("started already"), "{error}");
        container.kill(None, Signal::Kill, false).unwrap();
        end(&container);
        assert!(container.start().unwrap_err().to_string().contains("ended"));
    });
}

#[test]
fn the_process_starts_in_a_folder_of_the_root_that_is_made_for_it() {
    let bench = Bench::native();
    let mut options = bench.options("web", "directory");
    let expected = options.plan.process.expected_root.clone();
    options.plan.process.directory = format!("{expected}sub");
    options.stdio.stdout = hosttask_node_runtime::container::Sink::File(bench.path("out"));
    let container = bench.create_with(options).unwrap();
    container.start().unwrap();
    assert_eq!(end(&container).code, 0);
    let printed = fs::read_to_string(bench.path("out")).unwrap();
    assert!(printed.trim_end().ends_with("sub"), "{printed}");
}

#[test]
fn when_the_record_cannot_be_written_nothing_is_started() {
    let bench = Bench::fake();
    let container = bench.create("web", "hang");
    // As a full disk: nothing can be put in the place of the record.
    let folder = bench.path("state").join("containers").join("web");
    fs::remove_file(folder.join("record")).unwrap();
    fs::create_dir_all(folder.join("record").join("in the way")).unwrap();
    assert_eq!(container.start().unwrap_err().kind(), Kind::Internal);
    assert_eq!(bench.faker().running(), 0);
    assert_eq!(container.status(None).unwrap().phase, Phase::Created);
}

#[test]
fn a_clock_that_jumps_changes_no_deadline() {
    let bench = Bench::fake();
    let container = bench.run("web", "ignore READY hang");
    let day = jiff::SignedDuration::from_hours(24);
    let begin = std::time::Instant::now();
    let exit = std::thread::scope(|scope| {
        let stop = scope.spawn(|| container.stop(Duration::from_millis(400)).unwrap());
        until("it is told", || {
            container.status(None).unwrap().phase == Phase::Stopping
        });
        for sign in [1, -1, -1] {
            bench.faker().move_clock(bench.host.now() + day * sign);
            assert_eq!(container.status(None).unwrap().phase, Phase::Stopping);
        }
        stop.join().unwrap()
    });
    assert_eq!(exit.code, 137);
    assert!(begin.elapsed() >= Duration::from_millis(400));
    assert!(begin.elapsed() < SOON);
}
