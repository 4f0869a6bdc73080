//! How a container ends: by itself, by being asked, by force.

use std::time::{Duration, Instant};

use hosttask_node_runtime::container::{Kind, Phase, Signal, Stdio};

use crate::bench::{Bench, SOON, end, everywhere, exec, programs, story, until};

#[test]
fn the_end_of_the_first_process_ends_the_tree_at_once() {
    everywhere(|bench| {
        let begin = Instant::now();
        let container = bench.run("web", "leave ignore hang ; leave ignore hang ; exit 3");
        let exit = end(&container);
        assert_eq!(exit.code, 3);
        assert_eq!(container.processes().unwrap(), []);
        assert!(begin.elapsed() < SOON);
        container.delete(None).unwrap();
        bench.is_clean();
    });
}

#[test]
fn nobody_waits_until_the_tree_is_looked_at_again() {
    let bench = Bench::fake();
    let life = |round: u32| {
        let begin = Instant::now();
        let container = bench.run(&format!("c{round}"), "leave ignore hang ; exit 3");
        end(&container);
        begin.elapsed()
    };
    // The quickest of some, as others use this machine, too.
    let quickest = (0..5).map(life).min().unwrap();
    assert!(quickest < Duration::from_millis(900), "{quickest:?}");
}

#[test]
fn a_stop_reaches_every_process_and_lets_each_use_its_grace() {
    everywhere(|bench| {
        let slow = bench.text("slow-ready");
        let steps = format!(
            "leave linger 700 on-interrupt 0 ready {slow} hang ; on-interrupt 4 READY hang"
        );
        let container = bench.run("web", &steps);
        until("the other is ready", || std::fs::exists(&slow).unwrap());
        let begin = Instant::now();
        let exit = container.stop(SOON).unwrap();
        assert_eq!(exit.code, 4, "the first process ended as it wanted");
        let took = begin.elapsed();
        assert!(
            took >= Duration::from_millis(700),
            "the other was given its time: {took:?}"
        );
        assert!(took < SOON, "nobody waited longer than needed: {took:?}");
        assert_eq!(container.processes().unwrap(), []);
    });
}

#[test]
fn the_exit_is_told_only_when_nothing_runs_any_more() {
    everywhere(|bench| {
        let ready = bench.text("other-ready");
        let steps = format!("leave ignore ready {ready} hang ; on-interrupt 0 READY hang");
        let container = bench.run("web", &steps);
        until("the other is ready", || std::fs::exists(&ready).unwrap());
        container.kill(None, Signal::Terminate, false).unwrap();
        until("the first ended", || programs(&container) <= 1);
        assert_eq!(
            container.wait(None, Duration::from_millis(200)).unwrap(),
            None
        );
        assert_eq!(container.status(None).unwrap().phase, Phase::Stopping);
        let error = container.delete(None).unwrap_err();
        assert_eq!(error.kind(), Kind::FailedPrecondition);
        container.kill(None, Signal::Kill, false).unwrap();
        assert_eq!(
            end(&container).code,
            0,
            "it is the code of the first process"
        );
    });
}

#[test]
fn who_ignores_everything_is_ended_after_the_whole_grace() {
    everywhere(|bench| {
        let container = bench.run("web", "ignore READY hang");
        let grace = Duration::from_millis(400);
        let begin = Instant::now();
        let exit = container.stop(grace).unwrap();
        assert_eq!(exit.code, 137);
        assert!(begin.elapsed() >= grace);
        assert_eq!(
            container.stop(grace).unwrap(),
            exit,
            "a second stop finds it stopped"
        );
    });
}

#[test]
fn a_stop_without_grace_ends_at_once() {
    everywhere(|bench| {
        let container = bench.run("web", "ignore READY hang");
        assert_eq!(container.stop(Duration::ZERO).unwrap().code, 137);
    });
}

#[test]
fn a_grace_for_ever_is_no_overflow() {
    let bench = Bench::fake();
    let container = bench.run("web", "on-interrupt 6 READY hang");
    assert_eq!(container.stop(Duration::MAX).unwrap().code, 6);
}

#[test]
fn a_stop_of_a_paused_container_lets_it_go_on_first() {
    everywhere(|bench| {
        let container = bench.run("web", "on-interrupt 6 READY hang");
        let events = container.events();
        container.pause().unwrap();
        assert_eq!(container.status(None).unwrap().phase, Phase::Paused);
        let error = container.pause().unwrap_err();
        assert!(error.to_string().contains("resume it first"), "{error}");
        assert_eq!(container.stop(SOON).unwrap().code, 6);
        container.delete(None).unwrap();
        let expected = [
            "created", "started", "paused", "resumed", "exited 6", "deleted",
        ];
        assert_eq!(story(&events), expected);
    });
}

#[test]
fn a_paused_container_can_be_killed_and_takes_no_process_in() {
    everywhere(|bench| {
        let container = bench.run("web", "READY hang");
        exec(bench, &container, "probe", "hang");
        container.pause().unwrap();
        let process = bench.process("exit 0");
        container
            .exec(crate::bench::name("late"), process, Stdio::default())
            .unwrap();
        let error = container
            .start_exec(&crate::bench::name("late"))
            .unwrap_err();
        assert!(error.to_string().contains("resume it first"), "{error}");
        container.kill(None, Signal::Kill, false).unwrap();
        assert_eq!(end(&container).code, 137);
    });
}

#[test]
fn pausing_stops_time_until_it_is_resumed() {
    everywhere(|bench| {
        let go = bench.text("go");
        let container = bench.run("web", &format!("READY await {go} exit 8"));
        container.pause().unwrap();
        std::fs::write(&go, "").unwrap();
        assert_eq!(
            container.wait(None, Duration::from_millis(300)).unwrap(),
            None
        );
        container.resume().unwrap();
        assert_eq!(end(&container).code, 8);
        let error = container.resume().unwrap_err();
        assert_eq!(error.kind(), Kind::FailedPrecondition);
    });
}

#[test]
fn a_stop_cannot_be_paused_away() {
    everywhere(|bench| {
        let container = bench.run("web", "ignore READY hang");
        container.kill(None, Signal::Terminate, true).unwrap();
        let error = container.pause().unwrap_err();
        assert!(error.to_string().contains("being stopped"), "{error}");
        container.kill(None, Signal::Kill, true).unwrap();
        end(&container);
    });
}

#[test]
fn a_host_that_cannot_ask_is_no_reason_to_leave_it_running() {
    let bench = Bench::fake();
    let container = bench.run("web", "READY hang");
    let interrupt = hosttask_node_runtime::sys::fake::Operation::Interrupt;
    bench.faker().fail(interrupt, 1, std::io::ErrorKind::Other);
    assert_eq!(container.stop(Duration::from_millis(50)).unwrap().code, 137);
}

#[test]
fn a_tree_that_is_not_ended_at_the_first_attempt_is_ended_at_the_next() {
    let bench = Bench::fake();
    let terminate = hosttask_node_runtime::sys::fake::Operation::Terminate;
    bench.faker().fail(terminate, 1, std::io::ErrorKind::Other);
    let container = bench.run("web", "leave ignore hang ; exit 3");
    assert_eq!(end(&container).code, 3);
    assert!(bench.faker().calls(terminate) >= 2);
    assert_eq!(bench.faker().running(), 0);
}

#[test]
fn a_kill_that_the_host_refuses_is_an_error_and_can_be_repeated() {
    let bench = Bench::fake();
    let container = bench.run("web", "READY hang");
    let terminate = hosttask_node_runtime::sys::fake::Operation::Terminate;
    bench
        .faker()
        .fail(terminate, 1, std::io::ErrorKind::PermissionDenied);
    let error = container.kill(None, Signal::Kill, false).unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert_eq!(container.status(None).unwrap().phase, Phase::Running);
    container.kill(None, Signal::Kill, false).unwrap();
    assert_eq!(end(&container).code, 137);
}

#[test]
fn who_could_not_be_asked_is_named() {
    let bench = Bench::fake();
    let ready = bench.path("deaf-ready");
    let at = ready.clone();
    bench.faker().add_program("deaf", move |process| {
        let _ = process.react(hosttask_node_runtime::sys::fake::Reaction::Deaf);
        std::fs::write(&at, "").unwrap();
        let _ = process.sleep(SOON);
        0
    });
    let deaf = bench.text("deaf");
    std::fs::write(&deaf, "").unwrap();
    let container = bench.run("web", "READY hang");
    let mut process = bench.process("");
    process.command = hosttask_node_runtime::launch::Command::Arguments(vec![deaf]);
    let id = crate::bench::name("deaf");
    container
        .exec(id.clone(), process, Stdio::default())
        .unwrap();
    let pid = container.start_exec(&id).unwrap().pid;
    until("it cannot be asked", || ready.exists());
    let told = container.kill(Some(&id), Signal::Terminate, false);
    let error = told.unwrap_err();
    assert_eq!(error.kind(), Kind::FailedPrecondition);
    assert!(error.to_string().contains(&pid.to_string()), "{error}");
    container.kill(None, Signal::Terminate, false).unwrap();
    assert_eq!(container.status(None).unwrap().not_asked, [pid]);
    container.stop(Duration::ZERO).unwrap();
}
