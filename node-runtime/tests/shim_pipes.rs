//! Who can open the pipes of a shim.
//!
//! The whole file is for Windows: on Linux they are sockets, which only their owner can open.
#![cfg(windows)]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use containerd_shim_protos::api::ShutdownRequest;
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use hosttask_node_runtime::sys;
use hosttask_node_runtime::ttrpc::Client;
use protobuf::Message as _;

const SHIM: &str = env!("CARGO_BIN_EXE_containerd-shim-hosttask-v1");

/// Whom a descriptor names, and whether it takes over what stands above.
fn for_whom(access: &str) -> (bool, Vec<&str>) {
    let (flags, entries) = access.split_once('(').unwrap();
    let entries = entries.split('(').map(|it| it.trim_end_matches(')'));
    let whom = entries.filter_map(|it| it.rsplit(';').next()).collect();
    (flags.contains('P'), whom)
}

#[test]
fn the_pipes_of_a_shim_let_in_administrators_and_the_system_alone() {
    let folder = tempfile::tempdir().unwrap();
    let namespace = format!("access{}", std::process::id());
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let mut start = Command::new(SHIM);
    start
        .args(["-namespace", &namespace, "-id", "web", "start"])
        .current_dir(folder.path())
        .env("HOSTTASK_STATE_ROOT", folder.path().join("records"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut start = start.spawn().unwrap();
    let params = BootstrapParams {
        instance_id: "web".to_owned(),
        namespace: namespace.clone(),
        ..BootstrapParams::default()
    };
    let params = params.write_to_bytes().unwrap();
    start.stdin.take().unwrap().write_all(&params).unwrap();
    let answer = start.wait_with_output().unwrap().stdout;
    let address = BootstrapResult::parse_from_bytes(&answer).unwrap().address;
    let log = format!(r"\\.\pipe\containerd-shim-{namespace}-web-log");
    for pipe in [&address, &log] {
        let access = sys::access_of(Path::new(pipe)).unwrap();
        assert_eq!(
            for_whom(&access),
            (true, vec!["BA", "SY"]),
            "{pipe}: {access}"
        );
    }
    let request = ShutdownRequest {
        id: "web".to_owned(),
        ..ShutdownRequest::default()
    };
    let patience = Duration::from_mins(2);
    let client = Client::connect(&sys::native().unwrap(), &address, patience).unwrap();
    let request = request.write_to_bytes().unwrap();
    client
        .call("containerd.task.v3.Task", "Shutdown", &request, patience)
        .unwrap();
}
