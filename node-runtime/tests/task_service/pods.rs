//! A pod: a task without a process, and its containers in one job.

use containerd_shim_protos::api::{
    CreateTaskRequest, Empty, PauseRequest, PidsRequest, PidsResponse, StatsRequest, StatsResponse,
    Status as Phase,
};
use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::limits::Limits;
use hosttask_node_runtime::ttrpc::Code;
use serde_json::json;

use crate::bench::{Bench, NAMESPACE, everywhere};

/// A pod that runs: the one of the shim.
pub(crate) fn pod(bench: &Bench) {
    let request = bench.request("web", &bench.pod_config("web", "sandbox", "hang"));
    assert_ne!(bench.create_with(&request).unwrap(), 0);
    bench.start("web", "").unwrap();
}

/// The request for a container of it.
pub(crate) fn member(bench: &Bench, id: &str, steps: &str) -> CreateTaskRequest {
    bench.request(id, &bench.pod_config(id, "container", steps))
}

#[test]
fn a_pod_has_no_process_runs_until_it_is_killed_and_ends_with_0() {
    everywhere(|bench| {
        let request = bench.request("web", &bench.pod_config("web", "sandbox", "hang"));
        let pid = bench.create_with(&request).unwrap();
        assert_eq!(pid, std::process::id());
        assert_eq!(
            bench.state("web", "").unwrap().status,
            Phase::CREATED.into()
        );
        assert_eq!(bench.start("web", "").unwrap(), pid);
        assert_eq!(
            bench.start("web", "").unwrap_err().code,
            Code::FailedPrecondition
        );
        assert_eq!(
            bench.state("web", "").unwrap().status,
            Phase::RUNNING.into()
        );
        let ask = PidsRequest {
            id: bench.id("web"),
            ..PidsRequest::default()
        };
        let pids: PidsResponse = bench.ask("Pids", &ask).unwrap();
        assert_eq!(pids.processes[0].pid, pid);
        assert_eq!(
            bench.delete("web", "").unwrap_err().code,
            Code::FailedPrecondition
        );
        bench.kill("web", "", 15).unwrap();
        assert_eq!(bench.wait("web", "").unwrap().exit_status, 0);
        assert_eq!(bench.kill("web", "", 9).unwrap_err().code, Code::NotFound);
        assert_eq!(bench.state("web", "").unwrap().exit_status, 0);
        assert_eq!(bench.delete("web", "").unwrap().exit_status, 0);
        assert_eq!(bench.delete("web", "").unwrap_err().code, Code::NotFound);
        assert_eq!(
            bench.told(),
            [
                "/tasks/create web",
                "/tasks/start web",
                "/tasks/exit web web 0",
                "/tasks/delete web 0"
            ]
        );
        bench.shutdown("web");
        assert!(bench.shim.is_over());
        bench.is_clean();
    });
}

#[test]
fn what_needs_a_process_cannot_be_done_with_a_pod() {
    let bench = Bench::fake();
    pod(&bench);
    let pause = PauseRequest {
        id: bench.id("web"),
        ..PauseRequest::default()
    };
    for method in ["Pause", "Resume", "ResizePty", "CloseIO", "Update"] {
        assert_eq!(
            bench.code(method, &pause),
            Some(Code::Unimplemented),
            "{method}"
        );
    }
    assert_eq!(
        bench.exec("web", "probe", "exit 0").unwrap_err().code,
        Code::Unimplemented
    );
}

#[test]
fn the_containers_of_a_pod_are_in_its_job_and_each_has_its_own_life() {
    everywhere(|bench| {
        pod(bench);
        for id in ["one", "two"] {
            bench.create_with(&member(bench, id, "hang")).unwrap();
            bench.start(id, "").unwrap();
        }
        let name = |id: &str| {
            let id = Id::parse(&bench.id(id)).unwrap();
            format!("hosttask-{}", id.within(&Id::parse(NAMESPACE).unwrap()))
        };
        let of_pod = bench.host.open_job(&name("web")).unwrap();
        let in_pod = of_pod.processes().unwrap().len();
        let in_one = bench
            .host
            .open_job(&name("one"))
            .unwrap()
            .processes()
            .unwrap()
            .len();
        assert_eq!((in_pod, in_one), (2, 1));
        bench.kill("one", "", 9).unwrap();
        assert_eq!(bench.wait("one", "").unwrap().exit_status, 137);
        bench.delete("one", "").unwrap();
        assert_eq!(
            bench.state("two", "").unwrap().status,
            Phase::RUNNING.into()
        );
        bench.shutdown("one");
        bench.shutdown("web");
        assert!(!bench.shim.is_over());
        bench.kill("two", "", 9).unwrap();
        bench.wait("two", "").unwrap();
        bench.delete("two", "").unwrap();
        bench.kill("web", "", 9).unwrap();
        bench.delete("web", "").unwrap();
        drop(of_pod);
        bench.is_clean();
    });
}

#[test]
fn a_pod_that_is_deleted_takes_containers_along_that_were_forgotten() {
    everywhere(|bench| {
        pod(bench);
        bench.create_with(&member(bench, "one", "hang")).unwrap();
        bench.start("one", "").unwrap();
        bench.create_with(&member(bench, "two", "hang")).unwrap();
        bench.kill("web", "", 9).unwrap();
        bench.delete("web", "").unwrap();
        let told = bench.told();
        assert!(
            told.contains(&"/tasks/delete one 137".to_owned()),
            "{told:?}"
        );
        assert!(
            told.contains(&"/tasks/delete two 137".to_owned()),
            "{told:?}"
        );
        bench.shutdown("web");
        assert!(bench.shim.is_over());
        bench.is_clean();
    });
}

#[test]
fn what_belongs_to_another_pod_or_to_none_is_refused() {
    let bench = Bench::fake();
    let early = bench
        .create_with(&member(&bench, "one", "hang"))
        .unwrap_err();
    assert_eq!(early.code, Code::FailedPrecondition, "{early}");
    let alone = bench.request("one", &bench.config("one", "hang"));
    assert_eq!(
        bench.create_with(&alone).unwrap_err().code,
        Code::FailedPrecondition
    );
    let mut config = bench.pod_config("one", "sandbox", "hang");
    config["annotations"]["io.kubernetes.cri.sandbox-id"] = json!("one");
    let second = bench.request("one", &config);
    assert_eq!(
        bench.create_with(&second).unwrap_err().code,
        Code::FailedPrecondition
    );
    pod(&bench);
    config["annotations"]["io.kubernetes.cri.container-type"] = json!("container");
    config["annotations"]["io.kubernetes.cri.sandbox-id"] = json!("other");
    let other = bench.request("one", &config);
    assert_eq!(
        bench.create_with(&other).unwrap_err().code,
        Code::FailedPrecondition
    );
    bench.kill("web", "", 9).unwrap();
    let late = bench
        .create_with(&member(&bench, "one", "hang"))
        .unwrap_err();
    assert_eq!(late.code, Code::FailedPrecondition, "{late}");
}

#[test]
fn annotations_that_contradict_each_other_are_refused_by_name() {
    let bench = Bench::fake();
    let mut config = bench.pod_config("web", "sandbox", "hang");
    config["annotations"]["io.kubernetes.cri.sandbox-id"] = json!("other");
    let cases = [config.clone(), {
        config["annotations"]["io.kubernetes.cri.container-type"] = json!("cluster");
        config
    }];
    for config in cases {
        let refused = bench
            .create_with(&bench.request("web", &config))
            .unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument);
        assert!(
            refused
                .message
                .starts_with("annotations[io.kubernetes.cri."),
            "{refused}"
        );
    }
}

#[test]
fn a_pod_says_for_its_containers_who_they_run_as() {
    let bench = Bench::faked(|it| {
        it.service_accounts = false;
        it.group_accounts = false;
    });
    pod(&bench);
    let mut config = bench.pod_config("one", "container", "hang");
    let annotations = config["annotations"].as_object_mut().unwrap();
    annotations.remove("microsoft.com/hostprocess-inherit-user");
    config["process"]["user"] = json!({ "username": "NT AUTHORITY\\SYSTEM" });
    bench.create_with(&bench.request("one", &config)).unwrap();
    annotations_of_its_own(&bench, config);
}

/// What a container says itself counts.
fn annotations_of_its_own(bench: &Bench, mut config: serde_json::Value) {
    config["annotations"]["microsoft.com/hostprocess-inherit-user"] = json!("false");
    let refused = bench
        .create_with(&bench.request("two", &config))
        .unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument, "{refused}");
    assert!(
        refused.message.contains("process.user.username"),
        "{refused}"
    );
}

#[test]
fn the_limits_of_a_pod_are_those_of_the_job_around_its_containers() {
    let bench = Bench::fake();
    let mut config = bench.pod_config("web", "sandbox", "hang");
    // The weight is that of containerd for the process of a pod.
    let limit = 32 << 20;
    config["windows"] =
        json!({ "resources": { "memory": { "limit": limit }, "cpu": { "shares": 2 } } });
    bench.create_with(&bench.request("web", &config)).unwrap();
    let jobs = bench.faker().jobs();
    let expected = Limits {
        job_memory_bytes: Some(limit),
        ..Limits::default()
    };
    assert_eq!(bench.faker().limits(&jobs[0]), Some(expected));
    bench.delete("web", "").unwrap();
    config["windows"] = json!({ "resources": { "storage": { "iops": 9 } } });
    let refused = bench
        .create_with(&bench.request("web", &config))
        .unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument, "{refused}");
    let named = "windows.resources of the pod cannot be had: storage.iops";
    assert!(refused.message.contains(named), "{refused}");
    bench.is_clean();
}

#[test]
fn what_a_pod_used_is_in_the_form_of_the_system() {
    let bench = Bench::fake();
    pod(&bench);
    let request = StatsRequest {
        id: bench.id("web"),
        ..StatsRequest::default()
    };
    let answer: StatsResponse = bench.ask("Stats", &request).unwrap();
    let stats = answer.stats.unwrap();
    match std::path::MAIN_SEPARATOR {
        '/' => assert_eq!(stats.type_url, "io.containerd.cgroups.v2.Metrics"),
        // containerd adds up the containers of such a pod only where this is empty.
        _ => assert!(stats.value.is_empty()),
    }
    bench.kill("web", "", 9).unwrap();
    bench.ask::<StatsResponse>("Stats", &request).unwrap();
    bench.ask::<Empty>("Connect", &request).unwrap();
}
