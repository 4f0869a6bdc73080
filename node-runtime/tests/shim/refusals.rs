//! Requests that are wrong: each is refused with the code and the words for it, leaves nothing, and tells no secret.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};

use containerd_shim_protos::api::{
    CreateTaskRequest, Empty, ExecProcessRequest, ResizePtyRequest, Status, UpdateTaskRequest,
};
use hosttask_node_runtime::ttrpc::{Code, Error};
use protobuf::MessageField;
use protobuf::well_known_types::any::Any;
use serde_json::json;

use crate::node::{Dialect, LONG, Node, config};
use crate::task::Answer;

/// That a call is refused with a code and words.
#[track_caller]
fn assert_refused<T: std::fmt::Debug>(answer: Answer<T>, code: Code, words: &str) {
    match answer.unwrap_err() {
        Error::Status(status) => {
            assert_eq!(status.code, code, "{status}");
            assert!(status.message.contains(words), "{words:?}: {status}");
        }
        other @ (Error::Io(_) | Error::Answer(_)) => panic!("{other:?}"),
    }
}

fn request(node: &Node, id: &str) -> CreateTaskRequest {
    CreateTaskRequest {
        id: id.to_owned(),
        bundle: node.bundle_path(id).to_str().unwrap().to_owned(),
        ..CreateTaskRequest::default()
    }
}

#[test]
fn a_task_that_cannot_be_created_leaves_its_name_free() {
    let node = Node::new();
    let id = node.name("web");
    let shim = node.shim(&id, &["hang"]);
    let refused = |request: CreateTaskRequest, code, words| {
        assert_refused(shim.ask::<Empty>("Create", &request), code, words);
    };
    let good = || request(&node, &id);
    for name in [
        "",
        "..",
        r"..\x",
        "a/b",
        "a:b",
        "ａ",
        "a..b",
        &"x".repeat(300),
    ] {
        let wrong = CreateTaskRequest {
            id: name.to_owned(),
            ..good()
        };
        refused(wrong, Code::InvalidArgument, "id");
    }
    let nowhere = CreateTaskRequest {
        bundle: node.text("nowhere"),
        ..good()
    };
    refused(nowhere, Code::InvalidArgument, "config.json");
    let other = CreateTaskRequest {
        id: node.name("other"),
        ..good()
    };
    refused(other, Code::FailedPrecondition, &id);
    let checkpoint = CreateTaskRequest {
        checkpoint: node.text("checkpoint"),
        ..good()
    };
    refused(checkpoint, Code::FailedPrecondition, "checkpoint");
    let terminal = CreateTaskRequest {
        terminal: true,
        ..good()
    };
    refused(terminal, Code::InvalidArgument, "terminal");
    let streams = CreateTaskRequest {
        stdout: "nonsense://somewhere".to_owned(),
        ..good()
    };
    refused(streams, Code::InvalidArgument, "stdout");
    let written = fs::read(node.bundle_path(&id).join("config.json")).unwrap();
    let long = [b"[".repeat(10_000), b" ".repeat(17 << 20)].concat();
    for (config, words) in [
        (b"{\"args\": secret".to_vec(), "config.json"),
        (long, ""),
        (json!({"process": {}}).to_string().into_bytes(), ""),
    ] {
        fs::write(node.bundle_path(&id).join("config.json"), config).unwrap();
        refused(good(), Code::InvalidArgument, words);
    }
    fs::write(node.bundle_path(&id).join("config.json"), written).unwrap();
    assert_eq!(node.recorded(), [""; 0]);
    shim.create(&node, &id).unwrap();
    shim.delete(&id, "").unwrap();
    shim.leave(&node);
}

#[test]
fn a_program_that_is_none_is_named() {
    let node = Node::new();
    let id = node.name("web");
    let mut wrong = config(&["hang"], None);
    wrong["process"]["args"] = json!(["no-such-program.exe"]);
    node.bundle_of(&id, &wrong);
    let shim = node.start(&id, Dialect::Message);
    // Where it is looked for is a matter of the host: at the creation or at the start.
    let failed = match shim.create(&node, &id) {
        Ok(_) => shim.start(&id, "").map(drop),
        Err(error) => Err(error),
    };
    assert_refused(failed, Code::InvalidArgument, "no-such-program.exe");
    if shim.state(&id, "").is_ok() {
        shim.delete(&id, "").unwrap();
    }
    shim.leave(&node);
    assert_eq!(node.recorded(), [""; 0]);
}

fn any(type_name: &str, value: &str) -> MessageField<Any> {
    MessageField::some(Any {
        type_url: format!("types.containerd.io/opencontainers/runtime-spec/1/{type_name}"),
        value: value.as_bytes().to_vec(),
        ..Any::default()
    })
}

#[test]
fn what_is_wrong_with_a_call_is_said_and_changes_nothing() {
    let node = Node::new();
    let id = node.name("web");
    let shim = node.shim(&id, &["hang"]);
    shim.run(&node, &id);
    let exec = |exec_id: &str, spec| {
        let request = ExecProcessRequest {
            id: id.clone(),
            exec_id: exec_id.to_owned(),
            spec,
            ..ExecProcessRequest::default()
        };
        shim.ask::<Empty>("Exec", &request)
    };
    let spec = || any("Process", r#"{"args":["x"],"cwd":"/"}"#);
    let wrong = Code::InvalidArgument;
    assert_refused(exec("", spec()), wrong, "exec_id");
    assert_refused(exec(r"..\x", spec()), wrong, "exec");
    assert_refused(exec("new", MessageField::none()), wrong, "spec");
    assert_refused(exec("new", any("Spec", "{}")), wrong, "spec");
    assert_refused(exec("new", any("Process", "[")), wrong, "");
    assert_refused(exec("new", any("Process", "{}")), wrong, "args");
    let update = |resources| {
        let request = UpdateTaskRequest {
            id: id.clone(),
            resources,
            ..UpdateTaskRequest::default()
        };
        shim.ask::<Empty>("Update", &request)
    };
    assert_refused(update(MessageField::none()), wrong, "resources");
    assert_refused(
        update(any("LinuxResources", "{}")),
        wrong,
        "WindowsResources",
    );
    assert_refused(update(any("WindowsResources", "7")), wrong, "");
    let resize = ResizePtyRequest {
        id: id.clone(),
        ..ResizePtyRequest::default()
    };
    assert_refused(shim.ask::<Empty>("ResizePty", &resize), wrong, "width");
    let signal = shim.kill(&id, "", 77);
    assert_refused(signal, Code::FailedPrecondition, "77");
    for (service, method) in [
        ("containerd.task.v3.Task", "Explode"),
        ("containerd.task.v4.Task", "State"),
        ("", ""),
    ] {
        let called = shim.client.call(service, method, b"", LONG);
        assert_refused(called, Code::Unimplemented, method);
    }
    let called = shim
        .client
        .call("containerd.task.v3.Task", "State", b"\xff\xff", LONG);
    assert_refused(called, wrong, "State");
    let state = shim.state(&id, "").unwrap();
    assert_eq!(state.status.unwrap(), Status::RUNNING);
    shim.end(&node);
}

#[test]
fn neither_errors_nor_the_log_tell_a_secret() {
    const CANARY: &str = "canary-0815";
    let node = Node::new();
    let id = node.name("web");
    let mut secret = config(&["hang"], None);
    secret["process"]["env"] = json!([format!("TOKEN={CANARY}")]);
    node.bundle_of(&id, &secret);
    let log = node.log_before(&id);
    let shim = node.start(&id, Dialect::Message);
    let log = log.unwrap_or_else(|| node.log_of(&id));
    let lines = std::thread::spawn(move || last_lines(log));
    shim.run(&node, &id);
    shim.exec(&id, "one", &["print", CANARY]).unwrap();
    shim.start(&id, "one").unwrap();
    shim.ended(&id, "one");
    let errors = [
        format!("{:?}", shim.exec(&id, "one", &["print", CANARY])),
        format!("{:?}", shim.create(&node, &id)),
        {
            let spec = format!(r#"{{"args":["no-such-{id}","{CANARY}"],"env":["A={CANARY}"]"#);
            let request = ExecProcessRequest {
                id: id.clone(),
                exec_id: "two".to_owned(),
                spec: any("Process", &spec),
                ..ExecProcessRequest::default()
            };
            format!("{:?}", shim.ask::<Empty>("Exec", &request))
        },
    ];
    for error in &errors {
        assert!(error.starts_with("Err"), "{error}");
        assert!(!error.contains(CANARY), "{error}");
    }
    shim.end(&node);
    let lines = lines.join().unwrap();
    assert!(lines.contains("Exec: done"), "calls are logged: {lines}");
    assert!(!lines.contains(CANARY), "{lines}");
}

/// What a shim says until it was told to leave.
fn last_lines(log: Box<dyn Read + Send>) -> String {
    let mut said = String::new();
    let mut log = BufReader::new(log);
    while !said.contains("Shutdown: done") {
        let count = log.read_line(&mut said).unwrap();
        assert!(count > 0, "the log ends too early: {said}");
    }
    said
}
