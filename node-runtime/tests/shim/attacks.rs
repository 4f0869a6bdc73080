//! Others on the node who are in the way of a shim, on purpose or not.

use std::io::{ErrorKind, Write as _};
use std::thread;
use std::time::Duration;

use containerd_shim_protos::api::{CreateTaskRequest, CreateTaskResponse, Status};
use hosttask_node_runtime::sys::Connection;

use crate::node::{Dialect, LONG, Node, fifo, until};

#[test]
fn an_address_that_somebody_else_serves_is_not_a_shims() {
    let node = Node::new();
    let id = node.name("web");
    let shim = node.shim(&id, &["hang"]);
    let address = shim.address.clone();
    if node.is_windows() {
        // Only administrators can make a pipe there.
        assert!(address.starts_with(r"\\.\pipe\ProtectedPrefix\Administrators\"));
    }
    // While it lives nobody serves its address beside it. Wine lets a second server share the first one's.
    if !node.is_wine() {
        let second = node.host.listen(&address).unwrap_err();
        assert_eq!(second.kind(), ErrorKind::AlreadyExists);
    }
    shim.leave(&node);
    // Somebody who was there first does not become the shim: the start fails, and says where.
    let squatter = node.host.listen(&address).unwrap();
    let output = node.start_output(&id, Dialect::Message);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("containerd-shim"), "{said}");
    drop(squatter);
    let shim = node.start(&id, Dialect::Message);
    shim.shutdown().unwrap();
}

#[test]
fn rubbish_at_the_address_of_a_shim_hurts_nobody_else() {
    let node = Node::new();
    let id = node.name("web");
    let shim = node.shim(&id, &["hang"]);
    shim.run(&node, &id);
    let mut connections: Vec<Box<dyn Connection>> = Vec::new();
    let rubbish: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0; 10],
        &[255; 10],
        &[0, 0, 0, 4, 0, 0, 0, 1, 1, 0, 255, 255, 255, 255],
        &[0, 64, 0, 1, 0, 0, 0, 1, 1, 0],
        &[0, 0],
    ];
    for bytes in rubbish.into_iter().cycle().take(60) {
        let mut connection = node.host.connect(&shim.address, LONG).unwrap();
        connection.set_timeout(Some(LONG)).unwrap();
        connection.write_all(bytes).unwrap();
        connections.push(connection);
    }
    for _ in 0..20 {
        let state = shim.state(&id, "").unwrap();
        assert_eq!(state.status.unwrap(), Status::RUNNING);
    }
    drop(connections);
    shim.end(&node);
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let node = Node::new();
    let id = node.name("web");
    node.bundle(&id, &["hang"]);
    let log = node.log_before(&id);
    let shim = node.start(&id, Dialect::Message);
    let log = log.unwrap_or_else(|| node.log_of(&id));
    shim.run(&node, &id);
    // Each call that fails is a line of the log: more than any pipe holds.
    let unknown = "x".repeat(200);
    for _ in 0..2_000 {
        shim.state(&id, &unknown).unwrap_err();
    }
    assert_eq!(
        shim.state(&id, "").unwrap().status.unwrap(),
        Status::RUNNING
    );
    shim.end(&node);
    drop(log);
}

#[test]
fn output_that_nobody_reads_stops_its_program_alone() {
    let node = Node::new();
    let id = node.name("web");
    // More than the shim may keep for a reader that does not read.
    node.bundle(&id, &["flood", "512", "exit", "0"]);
    let shim = node.start(&id, Dialect::Message);
    let stdout = if node.is_windows() {
        node.address("stdout")
    } else {
        node.text("stdout")
    };
    let pipe = (!node.is_windows()).then(|| fifo(&stdout));
    let listener = node
        .is_windows()
        .then(|| node.host.listen(&stdout).unwrap());
    // containerd accepts, and then does not read.
    let deaf = listener
        .map(|mut listener| thread::spawn(move || (listener.accept(LONG).unwrap(), listener)));
    let request = CreateTaskRequest {
        id: id.clone(),
        bundle: node.bundle_path(&id).to_str().unwrap().to_owned(),
        stdout,
        ..CreateTaskRequest::default()
    };
    shim.ask::<CreateTaskResponse>("Create", &request).unwrap();
    let pid = shim.start(&id, "").unwrap().pid;
    until("the pipe is full", || {
        // A program that floods has used some processor time and then stands still.
        thread::park_timeout(Duration::from_millis(100));
        shim.pids(&id)
            .unwrap()
            .processes
            .iter()
            .any(|it| it.pid == pid)
    });
    // Others are served meanwhile.
    shim.exec(&id, "probe", &["exit", "4"]).unwrap();
    shim.start(&id, "probe").unwrap();
    assert_eq!(shim.ended(&id, "probe"), 4);
    assert_eq!(
        shim.state(&id, "").unwrap().status.unwrap(),
        Status::RUNNING
    );
    if let Some(resident) = resident_kib(node.process_of(&id).pid) {
        assert!(resident < 64 * 1024, "{resident} KiB");
    }
    shim.end(&node);
    drop(pipe);
    drop(deaf.map(|it| it.join().unwrap()));
}

/// How much memory a process has, in KiB, where the system tells.
fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|it| it.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
