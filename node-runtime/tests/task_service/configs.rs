//! What a config and a request may say.

use containerd_shim_protos::api::CreateTaskRequest;
use hosttask_node_runtime::ttrpc::{Code, Status};
use protobuf::well_known_types::any::Any;
use serde_json::{Value, json};

use crate::bench::Bench;

fn refused(bench: &Bench, request: &CreateTaskRequest) -> Status {
    let refused = bench.create_with(request).unwrap_err();
    assert!(bench.told().is_empty(), "{:?}", bench.told());
    bench.is_clean();
    refused
}

#[test]
fn a_request_that_makes_no_task_is_refused_and_leaves_nothing() {
    let bench = Bench::fake();
    let good = bench.request("web", &bench.config("web", "exit 0"));
    let with = |change: &dyn Fn(&mut CreateTaskRequest)| {
        let mut request = good.clone();
        change(&mut request);
        refused(&bench, &request)
    };
    assert_eq!(
        with(&|it| it.id = "../up".to_owned()).code,
        Code::InvalidArgument
    );
    assert_eq!(
        with(&|it| it.bundle = bench.text("none")).code,
        Code::InvalidArgument
    );
    assert_eq!(
        with(&|it| it.checkpoint = "x".to_owned()).code,
        Code::FailedPrecondition
    );
    assert_eq!(with(&|it| it.terminal = true).code, Code::InvalidArgument);
    let options = |kind: &str| {
        let mut any = Any::new();
        any.type_url = kind.to_owned();
        any.value = vec![17 << 3, 1, 30];
        any.value[0] = 0x88;
        any
    };
    let other = with(&|it| it.options = Some(options("runtimeoptions.v1.Options")).into());
    assert_eq!(other.code, Code::InvalidArgument);
    assert!(
        other.message.contains("runtimeoptions.v1.Options"),
        "{other}"
    );
    let mut known = good.clone();
    known.options = Some(options("containerd.runhcs.v1.Options")).into();
    bench.create_with(&known).unwrap();
}

#[test]
fn every_problem_of_a_config_is_named_with_its_field() {
    let bench = Bench::fake();
    let mut config = bench.config("web", "exit 0");
    config["process"]["args"] = json!([]);
    config["hooks"] = json!({ "prestart": [{ "path": "x" }] });
    config["annotations"]["dev.hosttask/prio"] = json!("high");
    let refused = refused(&bench, &bench.request("web", &config));
    assert_eq!(refused.code, Code::InvalidArgument);
    for field in ["process.args", "hooks", "annotations[dev.hosttask/prio]"] {
        assert!(refused.message.contains(field), "{refused}");
    }
}

#[test]
fn a_config_that_is_no_json_is_refused_without_a_word_of_it() {
    let bench = Bench::fake();
    let request = bench.request("web", &Value::Null);
    let path = bench.path("bundle-web").join("config.json");
    for text in ["", "{\"process\": hunter2}", "[]", "null", "\u{feff}"] {
        std::fs::write(&path, text).unwrap();
        let refused = refused(&bench, &request);
        assert_eq!(refused.code, Code::InvalidArgument, "{text:?}: {refused}");
        assert!(!refused.message.contains("hunter2"), "{refused}");
    }
}

/// What `ctr run` writes for Linux into every config.
fn of_ctr(bench: &Bench) -> Value {
    let mut config = bench.config("web", "exit 0");
    config["process"]["user"] = json!({ "uid": 0, "gid": 0, "additionalGids": [0, 10] });
    config["process"]["noNewPrivileges"] = json!(true);
    config["process"]["capabilities"] =
        json!({ "bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"] });
    config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }]);
    config["mounts"] = json!([
        { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"] },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"] },
        { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"] },
    ]);
    config["linux"] = json!({
        "resources": { "devices": [{ "allow": false, "access": "rwm" }], "cpu": { "shares": 1024 } },
        "cgroupsPath": "/default/web",
        "namespaces": [{ "type": "pid" }, { "type": "mount" }],
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
    });
    config
}

#[test]
fn what_containerd_writes_for_linux_by_itself_is_let_through_there_and_nothing_else() {
    if std::path::MAIN_SEPARATOR == '\\' {
        return;
    }
    let bench = Bench::fake();
    let cases = [
        (
            "linux.resources.memory",
            json!({ "resources": { "memory": { "limit": 1 << 20 } } }),
        ),
        (
            "linux.resources.cpu",
            json!({ "resources": { "cpu": { "shares": 512 } } }),
        ),
        (
            "linux.seccomp",
            json!({ "seccomp": { "defaultAction": "SCMP_ACT_ALLOW" } }),
        ),
        (
            "linux.sysctl",
            json!({ "sysctl": { "net.core.somaxconn": "9" } }),
        ),
    ];
    for (field, linux) in cases {
        let mut config = of_ctr(&bench);
        config["linux"] = linux;
        let refused = refused(&bench, &bench.request("web", &config));
        assert!(refused.message.starts_with(field), "{refused}");
    }
    bench
        .create_with(&bench.request("web", &of_ctr(&bench)))
        .unwrap();
    let mut exec = bench.exec_request("web", "probe", "exit 0");
    bench.start("web", "").unwrap();
    exec.spec.as_mut().unwrap().value = of_ctr(&bench)["process"].to_string().into_bytes();
    // It may have ended, which is no mistake of the process.
    assert_ne!(bench.code("Exec", &exec), Some(Code::InvalidArgument));
}
