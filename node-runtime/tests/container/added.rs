//! Processes that are added to a container that runs.

use std::fs;

use hosttask_node_runtime::container::{Kind, Phase, Signal, Sink, Stdio};
use hosttask_node_runtime::launch::Command;
use hosttask_node_runtime::sys::User;

use crate::bench::{Bench, end, end_of, everywhere, exec, name, story};

#[test]
fn an_added_process_runs_in_the_job_and_tells_its_own_end() {
    everywhere(|bench| {
        let container = bench.run("web", "READY hang");
        let events = container.events();
        let stdio = Stdio {
            stdout: Sink::File(bench.path("out")),
            ..Stdio::default()
        };
        let id = name("probe");
        let process = bench.process("print hello exit 9");
        container.exec(id.clone(), process, stdio).unwrap();
        assert_eq!(container.status(Some(&id)).unwrap().phase, Phase::Created);
        container.start_exec(&id).unwrap();
        assert_eq!(end_of(&container, "probe").code, 9);
        assert_eq!(fs::read_to_string(bench.path("out")).unwrap(), "hello\n");
        assert_eq!(container.status(Some(&id)).unwrap().phase, Phase::Stopped);
        assert_eq!(container.status(None).unwrap().phase, Phase::Running);
        assert_eq!(container.delete(Some(&id)).unwrap().code, 9);
        let error = container.status(Some(&id)).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);

        exec(bench, &container, "other", "hang");
        assert!(container.processes().unwrap().len() >= 2);
        container.kill(None, Signal::Kill, false).unwrap();
        end(&container);
        container.delete(None).unwrap();
        let expected = [
            "created",
            "started",
            "probe added",
            "probe started",
            "probe exited 9",
            "other added",
            "other started",
            "other exited 137",
            "exited 137",
            "deleted",
        ];
        assert_eq!(story(&events), expected);
        bench.is_clean();
    });
}

#[test]
fn nothing_is_added_to_a_container_that_does_not_run() {
    everywhere(|bench| {
        let container = bench.create("web", "exit 0");
        let add = || {
            let process = bench.process("exit 0");
            container.exec(name("probe"), process, Stdio::default())
        };
        let error = add().unwrap_err();
        assert_eq!(error.kind(), Kind::FailedPrecondition);
        assert!(error.to_string().contains("start it first"), "{error}");
        container.start().unwrap();
        end(&container);
        let error = add().unwrap_err();
        assert_eq!(error.kind(), Kind::FailedPrecondition);
        assert!(error.to_string().contains("ended"), "{error}");
        container.delete(None).unwrap();
        assert_eq!(add().unwrap_err().kind(), Kind::NotFound);
    });
}

#[test]
fn a_process_of_another_container_is_not_found() {
    everywhere(|bench| {
        let web = bench.run("web", "READY hang");
        let other = bench.run("other", "READY hang");
        exec(bench, &web, "probe", "hang");
        let id = name("probe");
        let kinds = [
            other.start_exec(&id).unwrap_err().kind(),
            other
                .kill(Some(&id), Signal::Kill, false)
                .unwrap_err()
                .kind(),
            other.delete(Some(&id)).unwrap_err().kind(),
            other.close_stdin(Some(&id)).unwrap_err().kind(),
        ];
        assert_eq!(kinds, [Kind::NotFound; 4]);
        assert_eq!(web.status(Some(&id)).unwrap().phase, Phase::Running);
    });
}

#[test]
fn one_name_is_added_once() {
    let bench = Bench::fake();
    let container = bench.run("web", "READY hang");
    exec(&bench, &container, "probe", "exit 0");
    let again = container.exec(name("probe"), bench.process("exit 0"), Stdio::default());
    assert_eq!(again.unwrap_err().kind(), Kind::AlreadyExists);
    let error = container.start_exec(&name("probe")).unwrap_err();
    assert_eq!(error.kind(), Kind::FailedPrecondition);
}

#[test]
fn a_signal_for_an_added_process_reaches_it_alone() {
    everywhere(|bench| {
        let container = bench.run("web", "READY hang");
        exec(bench, &container, "stays", "hang");
        let ready = bench.text("asked-ready");
        exec(
            bench,
            &container,
            "asked",
            &format!("on-interrupt 5 ready {ready} hang"),
        );
        crate::bench::until("it is ready", || fs::exists(&ready).unwrap());
        let id = name("asked");
        container.kill(Some(&id), Signal::Terminate, false).unwrap();
        assert_eq!(end_of(&container, "asked").code, 5);
        let stays = name("stays");
        assert_eq!(
            container.status(Some(&stays)).unwrap().phase,
            Phase::Running
        );
        let error = container
            .kill(Some(&stays), Signal::Kill, true)
            .unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        container.kill(Some(&stays), Signal::Kill, false).unwrap();
        assert_eq!(end_of(&container, "stays").code, 137);
        let error = container
            .kill(Some(&stays), Signal::Kill, false)
            .unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(container.status(None).unwrap().phase, Phase::Running);
    });
}

#[test]
fn one_that_could_not_be_started_can_be_deleted_and_told_its_end_once() {
    let bench = Bench::fake();
    let container = bench.run("web", "READY hang");
    let events = container.events();
    let mut process = bench.process("exit 0");
    process.command = Command::Arguments(vec!["no-such-program".to_owned()]);
    container
        .exec(name("probe"), process, Stdio::default())
        .unwrap();
    let error = container.start_exec(&name("probe")).unwrap_err();
    assert_eq!(error.kind(), Kind::ProgramNotFound);
    assert_eq!(container.delete(Some(&name("probe"))).unwrap().code, 137);
    container.stop(std::time::Duration::ZERO).unwrap();
    container.delete(None).unwrap();
    let told = story(&events);
    assert_eq!(
        told.iter().filter(|it| **it == "probe exited 137").count(),
        1
    );
}

#[test]
fn one_that_was_never_started_ends_with_its_container() {
    let bench = Bench::fake();
    let container = bench.run("web", "READY hang");
    container
        .exec(name("late"), bench.process("exit 0"), Stdio::default())
        .unwrap();
    container.kill(None, Signal::Kill, false).unwrap();
    end(&container);
    assert_eq!(end_of(&container, "late").code, 137);
    let error = container.start_exec(&name("late")).unwrap_err();
    assert_eq!(error.kind(), Kind::FailedPrecondition);
}

#[test]
fn another_user_is_logged_on_for_its_process_alone() {
    let bench = Bench::fake();
    let mut options = bench.options("web", "hang");
    options.plan.process.user = User::Group("operators".to_owned());
    let container = bench.create_with(options).unwrap();
    container.start().unwrap();
    assert_eq!(bench.faker().accounts(), ["web"]);
    let log_ons = || {
        bench
            .faker()
            .calls(hosttask_node_runtime::sys::fake::Operation::LogOn)
    };
    assert_eq!(log_ons(), 1);
    let mut same = bench.process("exit 0");
    same.user = User::Group("operators".to_owned());
    container
        .exec(name("same"), same, Stdio::default())
        .unwrap();
    container.start_exec(&name("same")).unwrap();
    end_of(&container, "same");
    assert_eq!(
        log_ons(),
        1,
        "one logon for all processes of the container's user"
    );
    let mut less = bench.process("exit 0");
    less.user = User::LocalService;
    container
        .exec(name("less"), less, Stdio::default())
        .unwrap();
    container.start_exec(&name("less")).unwrap();
    end_of(&container, "less");
    assert_eq!(log_ons(), 2);
    container.stop(std::time::Duration::ZERO).unwrap();
    container.delete(None).unwrap();
    bench.is_clean();
}

#[test]
fn the_account_of_an_added_process_is_gone_with_its_end_and_not_only_when_it_is_deleted() {
    let bench = Bench::fake();
    let container = bench.run("web", "READY hang");
    let mut process = bench.process("exit 0");
    process.user = User::Group("operators".to_owned());
    let id = name("probe");
    container
        .exec(id.clone(), process, Stdio::default())
        .unwrap();
    container.start_exec(&id).unwrap();
    end_of(&container, "probe");
    assert_eq!(bench.faker().accounts(), [""; 0]);
    assert_eq!(container.status(Some(&id)).unwrap().phase, Phase::Stopped);
}
