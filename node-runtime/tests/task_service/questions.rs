//! What is asked about a task that runs: its processes, what it used, its limits.

use containerd_shim_protos::api::{
    ConnectRequest, ConnectResponse, Empty, PidsRequest, PidsResponse, StatsRequest, StatsResponse,
    UpdateTaskRequest,
};
use containerd_shim_protos::cgroups_v2::metrics::Metrics;
use containerd_shim_protos::windows::stats::Statistics;
use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::ttrpc::Code;
use protobuf::Message;
use protobuf::well_known_types::any::Any;
use serde_json::{Value, json};

use crate::bench::{Bench, NAMESPACE, everywhere, until};

const IS_WINDOWS: bool = std::path::MAIN_SEPARATOR == '\\';

#[test]
fn the_processes_of_a_task_are_listed_with_the_name_of_the_exec_they_are() {
    everywhere(|bench| {
        let first = bench.run("web", "hang");
        bench.exec("web", "probe", "hang").unwrap();
        let added = bench.start("web", "probe").unwrap();
        let request = PidsRequest {
            id: bench.id("web"),
            ..PidsRequest::default()
        };
        let listed: PidsResponse = bench.ask("Pids", &request).unwrap();
        let mut pids: Vec<u32> = listed.processes.iter().map(|it| it.pid).collect();
        pids.sort_unstable();
        let mut both = vec![first, added];
        both.sort_unstable();
        assert_eq!(pids, both);
        let of = |pid| listed.processes.iter().find(|it| it.pid == pid).unwrap();
        let info = of(added).info.as_ref().unwrap();
        assert!(String::from_utf8_lossy(&info.value).contains("probe"));
        if IS_WINDOWS {
            assert_eq!(info.type_url, "containerd.runhcs.v1.ProcessDetails");
        } else {
            assert_eq!(info.type_url, "containerd.runc.v1.ProcessDetails");
            assert!(of(first).info.is_none());
        }
        bench.kill("web", "", 9).unwrap();
        bench.wait("web", "").unwrap();
        bench.delete("web", "").unwrap();
    });
}

#[test]
fn a_task_of_which_nothing_runs_names_a_process_all_the_same() {
    let bench = Bench::fake();
    let request = PidsRequest {
        id: bench.id("web"),
        ..PidsRequest::default()
    };
    let pids = || {
        let listed: PidsResponse = bench.ask("Pids", &request).unwrap();
        listed.processes.iter().map(|it| it.pid).collect::<Vec<_>>()
    };
    bench.create("web", "exit 4");
    assert_eq!(pids(), [std::process::id()]);
    let pid = bench.start("web", "").unwrap();
    bench.wait("web", "").unwrap();
    assert_eq!(pids(), [pid]);
}

#[test]
fn what_a_task_used_is_in_the_form_of_the_system() {
    everywhere(|bench| {
        bench.run("web", "burn 30 READY hang");
        let request = StatsRequest {
            id: bench.id("web"),
            ..StatsRequest::default()
        };
        let answer: StatsResponse = bench.ask("Stats", &request).unwrap();
        let stats = answer.stats.unwrap();
        if IS_WINDOWS {
            assert_eq!(stats.type_url, "containerd.runhcs.stats.v1.Statistics");
            let statistics = Statistics::parse_from_bytes(&stats.value).unwrap();
            assert!(statistics.windows().container_start_time.is_some());
            assert!(statistics.windows().timestamp.is_some());
        } else {
            assert_eq!(stats.type_url, "io.containerd.cgroups.v2.Metrics");
            let metrics = Metrics::parse_from_bytes(&stats.value).unwrap();
            assert_eq!(metrics.pids.current, 1);
        }
        bench.kill("web", "", 9).unwrap();
        bench.wait("web", "").unwrap();
        bench.ask::<StatsResponse>("Stats", &request).unwrap();
        bench.delete("web", "").unwrap();
        assert_eq!(bench.code("Stats", &request), Some(Code::NotFound));
    });
}

#[test]
fn who_finds_the_shim_again_is_told_its_number_and_that_of_the_task() {
    let bench = Bench::fake();
    let request = ConnectRequest {
        id: bench.id("web"),
        ..ConnectRequest::default()
    };
    let found: ConnectResponse = bench.ask("Connect", &request).unwrap();
    assert_eq!((found.shim_pid, found.task_pid), (std::process::id(), 0));
    let pid = bench.run("web", "hang");
    let found: ConnectResponse = bench.ask("Connect", &request).unwrap();
    assert_eq!(found.task_pid, pid);
}

fn update(bench: &Bench, kind: &str, resources: &Value) -> UpdateTaskRequest {
    let mut any = Any::new();
    any.type_url = format!("types.containerd.io/opencontainers/runtime-spec/1/{kind}");
    any.value = resources.to_string().into_bytes();
    UpdateTaskRequest {
        id: bench.id("web"),
        resources: Some(any).into(),
        ..UpdateTaskRequest::default()
    }
}

fn limits(bench: &Bench) -> hosttask_node_runtime::limits::Limits {
    let id = Id::parse(&bench.id("web"))
        .unwrap()
        .within(&Id::parse(NAMESPACE).unwrap());
    bench.faker().limits(&format!("hosttask-{id}")).unwrap()
}

#[test]
fn new_limits_hold_once_the_update_is_answered_and_the_others_stay() {
    let bench = Bench::fake();
    bench.run("web", "hang");
    let memory = update(
        &bench,
        "WindowsResources",
        &json!({ "memory": { "limit": 64 << 20 } }),
    );
    bench.ask::<Empty>("Update", &memory).unwrap();
    let cpu = update(
        &bench,
        "WindowsResources",
        &json!({ "cpu": { "maximum": 5000 } }),
    );
    bench.ask::<Empty>("Update", &cpu).unwrap();
    let now = limits(&bench);
    assert_eq!(now.job_memory_bytes, Some(64 << 20));
    assert!(now.cpu.is_some());
}

#[test]
fn limits_that_cannot_be_set_are_refused_by_name_and_change_nothing() {
    let bench = Bench::fake();
    bench.run("web", "hang");
    let memory = json!({ "memory": { "limit": 64 << 20 } });
    let linux = update(&bench, "LinuxResources", &memory);
    let mut annotated = update(&bench, "WindowsResources", &memory);
    annotated
        .annotations
        .insert("dev.hosttask/priority".to_owned(), "high".to_owned());
    let unknown = update(&bench, "WindowsResources", &json!({ "gpu": 1 }));
    let storage = update(
        &bench,
        "WindowsResources",
        &json!({ "storage": { "iops": 9 } }),
    );
    let mut none = update(&bench, "WindowsResources", &memory);
    none.resources = None.into();
    let cases = [
        (linux, "LinuxResources"),
        (annotated, "dev.hosttask/priority"),
        (unknown, "gpu"),
        (storage, "storage.iops"),
        (none, "resources"),
    ];
    for (request, name) in cases {
        let refused = bench.ask::<Empty>("Update", &request).unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument, "{refused}");
        assert!(refused.message.contains(name), "{refused}");
    }
    assert_eq!(
        limits(&bench),
        hosttask_node_runtime::limits::Limits::default()
    );
}

#[test]
fn memory_that_is_refused_is_told() {
    let bench = Bench::fake();
    let mut config = bench.config("web", "allocate 64 allocate 64");
    config["windows"] = json!({ "resources": { "memory": { "limit": 16 * 1024 * 1024 } } });
    bench.create_with(&bench.request("web", &config)).unwrap();
    bench.start("web", "").unwrap();
    bench.wait("web", "").unwrap();
    bench.delete("web", "").unwrap();
    let told = bench.told();
    let count = told
        .iter()
        .filter(|it| it.starts_with("/tasks/oom"))
        .count();
    assert_eq!(count, 1, "{told:?}");
    until("everything was told", || bench.told().len() == 5);
}
