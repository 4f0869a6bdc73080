//! The life of a task: create, start, end, delete, and what is refused in which state.

use std::sync::Arc;
use std::time::Duration;

use containerd_shim_protos::api::{
    CloseIORequest, ConnectRequest, Empty, PauseRequest, ResizePtyRequest, ResumeRequest,
    Status as Phase, WaitRequest, WaitResponse,
};
use hosttask_node_runtime::sys::fake::Operation;
use hosttask_node_runtime::ttrpc::{Call, Caller, Code, Service};
use protobuf::Message;

use crate::bench::{Bench, everywhere};

#[test]
fn a_task_is_created_started_waited_for_and_deleted_and_each_step_is_told_once_and_in_order() {
    everywhere(|bench| {
        bench.create("web", "exit 7");
        let state = bench.state("web", "").unwrap();
        assert_eq!(state.status, Phase::CREATED.into());
        assert_eq!(state.exit_status, 255);
        assert!(state.exited_at.is_none());
        let pid = bench.start("web", "").unwrap();
        assert_ne!(pid, 0);
        let exit = bench.wait("web", "").unwrap();
        assert_eq!(exit.exit_status, 7);
        assert!(exit.exited_at.seconds > 0 || bench.host.features().backend == "fake");
        let state = bench.state("web", "").unwrap();
        assert_eq!(state.status, Phase::STOPPED.into());
        assert_eq!((state.pid, state.exit_status), (pid, 7));
        let deleted = bench.delete("web", "").unwrap();
        assert_eq!((deleted.pid, deleted.exit_status), (pid, 7));
        assert_eq!(deleted.exited_at, exit.exited_at);
        assert_eq!(
            bench.told(),
            [
                "/tasks/create web",
                "/tasks/start web",
                "/tasks/exit web web 7",
                "/tasks/delete web 7"
            ]
        );
        assert_eq!(bench.state("web", "").unwrap_err().code, Code::NotFound);
        assert_eq!(bench.delete("web", "").unwrap_err().code, Code::NotFound);
        bench.is_clean();
    });
}

#[test]
fn an_exit_code_keeps_all_of_its_32_bits() {
    let bench = Bench::fake();
    bench.run("web", "exit 3010");
    assert_eq!(bench.wait("web", "").unwrap().exit_status, 3010);
    bench.delete("web", "").unwrap();
    bench.run("web", "exit 3221225786");
    assert_eq!(bench.wait("web", "").unwrap().exit_status, 0xc000_013a);
}

#[test]
fn both_versions_of_the_service_are_the_same_and_there_is_no_other() {
    let bench = Bench::fake();
    let connect = ConnectRequest::new();
    for service in ["containerd.task.v2.Task", "containerd.task.v3.Task"] {
        bench
            .ask_of::<Empty>(service, "Shutdown", &connect, None)
            .unwrap();
    }
    let service = "containerd.task.v1.Task";
    let refused = bench.ask_of::<Empty>(service, "Connect", &connect, None);
    assert_eq!(refused.unwrap_err().code, Code::Unimplemented);
    assert_eq!(bench.code("Restore", &connect), Some(Code::Unimplemented));
    assert_eq!(
        bench.code("Checkpoint", &connect),
        Some(Code::Unimplemented)
    );
}

#[test]
fn a_request_that_is_rubbish_is_refused() {
    let bench = Bench::fake();
    let answer = bench.shim.call(&Call {
        service: "containerd.task.v3.Task",
        method: "Create",
        payload: &[0xff; 9],
        timeout: None,
        caller: Caller::default(),
    });
    assert_eq!(answer.unwrap_err().code, Code::InvalidArgument);
}

#[test]
fn of_two_creations_of_one_name_the_second_is_refused_and_the_first_lives_on() {
    everywhere(|bench| {
        bench.run("web", "hang");
        let again = bench.request("web", &bench.config("web", "hang"));
        let refused = bench.create_with(&again).unwrap_err();
        assert_eq!(refused.code, Code::AlreadyExists, "{refused}");
        assert_eq!(
            bench.state("web", "").unwrap().status,
            Phase::RUNNING.into()
        );
        bench.kill("web", "", 9).unwrap();
        bench.wait("web", "").unwrap();
        bench.delete("web", "").unwrap();
    });
}

#[test]
fn a_creation_that_fails_leaves_nothing_and_can_be_tried_again() {
    let bench = Bench::fake();
    bench
        .faker()
        .fail(Operation::CreateJob, 1, std::io::ErrorKind::OutOfMemory);
    let request = bench.request("web", &bench.config("web", "exit 0"));
    let failed = bench.create_with(&request).unwrap_err();
    assert_eq!(failed.code, Code::Internal, "{failed}");
    assert_eq!(bench.state("web", "").unwrap_err().code, Code::NotFound);
    assert!(bench.told().is_empty(), "{:?}", bench.told());
    bench.is_clean();
    bench.create_with(&request).unwrap();
}

#[test]
fn what_a_state_does_not_allow_is_a_failed_precondition_and_changes_nothing() {
    let bench = Bench::fake();
    bench.create("web", "hang");
    let id = bench.id("web");
    let pause = PauseRequest {
        id: id.clone(),
        ..PauseRequest::default()
    };
    let resume = ResumeRequest {
        id: id.clone(),
        ..ResumeRequest::default()
    };
    let resize = ResizePtyRequest {
        id: id.clone(),
        width: 80,
        height: 25,
        ..ResizePtyRequest::default()
    };
    let refused = Some(Code::FailedPrecondition);
    assert_eq!(bench.code("Pause", &pause), refused);
    assert_eq!(bench.code("Resume", &resume), refused);
    assert_eq!(bench.code("ResizePty", &resize), refused);
    assert_eq!(
        bench.exec("web", "probe", "exit 0").unwrap_err().code,
        Code::FailedPrecondition
    );
    bench.start("web", "").unwrap();
    assert_eq!(
        bench.start("web", "").unwrap_err().code,
        Code::FailedPrecondition
    );
    assert_eq!(
        bench.delete("web", "").unwrap_err().code,
        Code::FailedPrecondition
    );
    assert_eq!(bench.code("Resume", &resume), refused);
    assert_eq!(bench.code("Pause", &pause), None);
    assert_eq!(bench.state("web", "").unwrap().status, Phase::PAUSED.into());
    assert_eq!(bench.code("Pause", &pause), refused);
    assert_eq!(bench.code("Resume", &resume), None);
    bench.kill("web", "", 9).unwrap();
    bench.wait("web", "").unwrap();
    assert_eq!(
        bench.start("web", "").unwrap_err().code,
        Code::FailedPrecondition
    );
    assert_eq!(bench.code("Pause", &pause), refused);
    assert_eq!(bench.kill("web", "", 9).unwrap_err().code, Code::NotFound);
    assert_eq!(
        bench.told(),
        [
            "/tasks/create web",
            "/tasks/start web",
            "/tasks/paused web",
            "/tasks/resumed web",
            "/tasks/exit web web 137"
        ]
    );
}

#[test]
fn every_method_says_not_found_of_a_task_that_is_none() {
    let bench = Bench::fake();
    let request = WaitRequest {
        id: "nobody".to_owned(),
        ..WaitRequest::default()
    };
    // The first field of each is the name of the task, which is all that these read of it.
    for method in [
        "State",
        "Start",
        "Delete",
        "Pids",
        "Pause",
        "Resume",
        "ResizePty",
        "CloseIO",
        "Update",
        "Wait",
        "Stats",
        "Exec",
    ] {
        assert_eq!(
            bench.code(method, &request),
            Some(Code::NotFound),
            "{method}"
        );
    }
    assert_eq!(
        bench.kill("nobody", "", 9).unwrap_err().code,
        Code::NotFound
    );
}

#[test]
fn a_task_that_was_never_started_is_deleted_or_killed_and_says_how_it_ended() {
    everywhere(|bench| {
        bench.create("web", "hang");
        assert_eq!(bench.delete("web", "").unwrap().exit_status, 137);
        bench.create("web", "hang");
        bench.kill("web", "", 15).unwrap();
        assert_eq!(bench.wait("web", "").unwrap().exit_status, 137);
        bench.delete("web", "").unwrap();
        let life = [
            "/tasks/create web",
            "/tasks/exit web web 137",
            "/tasks/delete web 137",
        ];
        assert_eq!(bench.told(), [life, life].concat());
        bench.is_clean();
    });
}

#[test]
fn a_program_that_is_missing_is_an_error_of_start_with_what_was_tried() {
    let bench = Bench::fake();
    let mut config = bench.config("web", "");
    config["process"]["args"] = serde_json::json!(["no-such-program"]);
    bench.create_with(&bench.request("web", &config)).unwrap();
    let missing = bench.start("web", "").unwrap_err();
    assert_eq!(missing.code, Code::InvalidArgument);
    assert!(missing.message.contains("no-such-program"), "{missing}");
    bench.delete("web", "").unwrap();
    bench.is_clean();
}

#[test]
fn ten_clients_wait_for_one_end_and_all_hear_it_although_the_first_deletes_the_task() {
    everywhere(|bench| {
        bench.run("web", "hang");
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..10)
                .map(|_| scope.spawn(|| bench.wait("web", "")))
                .collect();
            bench.kill("web", "", 9).unwrap();
            bench.wait("web", "").unwrap();
            bench.delete("web", "").unwrap();
            for client in waiting {
                match client.join().unwrap() {
                    Ok(exit) => assert_eq!(exit.exit_status, 137),
                    // It asked only when the task was gone.
                    Err(status) => assert_eq!(status.code, Code::NotFound),
                }
            }
        });
    });
}

#[test]
fn who_does_not_wait_any_longer_is_let_go() {
    let bench = Bench::fake();
    bench.run("web", "hang");
    let service: Arc<dyn Service> = bench.shim.clone();
    let address = bench.address("shim");
    let listener = bench.host.listen(&address).unwrap();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let is_over = || is_over.load(std::sync::atomic::Ordering::Acquire);
            hosttask_node_runtime::ttrpc::serve(listener, service, &is_over)
        });
        let client = hosttask_node_runtime::ttrpc::Client::connect(
            &bench.host,
            &address,
            crate::bench::SOON,
        )
        .unwrap();
        let request = WaitRequest {
            id: bench.id("web"),
            ..WaitRequest::default()
        };
        let payload = request.write_to_bytes().unwrap();
        let answer = client.call(
            "containerd.task.v3.Task",
            "Wait",
            &payload,
            Duration::from_millis(50),
        );
        assert!(answer.is_err());
        bench.kill("web", "", 9).unwrap();
        let answer = client
            .call(
                "containerd.task.v3.Task",
                "Wait",
                &payload,
                crate::bench::SOON,
            )
            .unwrap();
        assert_eq!(
            WaitResponse::parse_from_bytes(&answer).unwrap().exit_status,
            137
        );
        is_over.store(true, std::sync::atomic::Ordering::Release);
        drop(client);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn the_shim_leaves_only_when_it_is_meant_and_nothing_is_left() {
    let bench = Bench::fake();
    bench.create("web", "hang");
    bench.shutdown("web");
    assert!(!bench.shim.is_over());
    bench.delete("web", "").unwrap();
    assert!(!bench.shim.is_over());
    bench.shutdown("other");
    assert!(!bench.shim.is_over());
    bench.shutdown("web");
    assert!(bench.shim.is_over());
    let late = bench.request("web", &bench.config("web", "hang"));
    assert_eq!(
        bench.create_with(&late).unwrap_err().code,
        Code::Unavailable
    );
    bench.is_clean();
}

#[test]
fn an_input_that_is_closed_before_the_start_is_at_its_end_from_the_beginning() {
    everywhere(|bench| {
        bench.create("web", "exit 0");
        let close = CloseIORequest {
            id: bench.id("web"),
            stdin: true,
            ..CloseIORequest::default()
        };
        assert_eq!(bench.code("CloseIO", &close), None);
        bench.start("web", "").unwrap();
        bench.wait("web", "").unwrap();
        assert_eq!(
            bench.code("CloseIO", &close),
            None,
            "it has ended, and with it its input"
        );
        bench.delete("web", "").unwrap();
    });
}

#[test]
fn the_end_is_told_only_when_every_descendant_is_gone() {
    everywhere(|bench| {
        let ready = bench.text("ready-web");
        bench.run(
            "web",
            &format!("leave ready {ready} hang ; await {ready} exit 3"),
        );
        assert_eq!(bench.wait("web", "").unwrap().exit_status, 3);
        if bench.host.features().backend == "fake" {
            assert_eq!(bench.faker().running(), 0);
        }
        bench.delete("web", "").unwrap();
        bench.is_clean();
    });
}
