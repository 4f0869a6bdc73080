//! A task from `Create` to `Delete`, and what is added to it.

use std::fs;
use std::thread;
use std::time::Duration;

use containerd_shim_protos::api::Status;
use hosttask_node_runtime::ttrpc::Client;
use hosttask_node_runtime::ttrpc::Code;

use crate::node::{Dialect, LONG, Node, until};
use crate::task::{KILL, TERMINATE, code};

#[test]
fn a_task_goes_from_create_to_delete_for_every_version_of_containerd() {
    for dialect in Dialect::ALL {
        let node = Node::new();
        let id = node.name("web");
        // More than eight bits where the system has them.
        let wanted = if node.is_windows() { 3010 } else { 7 };
        let gate = node.text("gate");
        node.bundle(&id, &["await", &gate, "exit", &wanted.to_string()]);
        let shim = node.start(&id, dialect);
        shim.create(&node, &id).unwrap();
        let state = shim.state(&id, "").unwrap();
        assert_eq!(state.status.unwrap(), Status::CREATED);
        assert_eq!(state.bundle, node.bundle_path(&id).to_str().unwrap());
        let pid = shim.start(&id, "").unwrap().pid;
        let state = shim.state(&id, "").unwrap();
        assert_eq!((state.status.unwrap(), state.pid), (Status::RUNNING, pid));
        let connected = shim.connect(&id).unwrap();
        assert_eq!(connected.task_pid, pid);
        assert_eq!(connected.shim_pid, node.process_of(&id).pid);
        let pids = shim.pids(&id).unwrap().processes;
        assert!(pids.iter().any(|it| it.pid == pid), "{pids:?}");
        assert!(shim.stats(&id).unwrap().stats.is_some());
        fs::write(&gate, "").unwrap();
        assert_eq!(shim.ended(&id, ""), wanted);
        let state = shim.state(&id, "").unwrap();
        assert_eq!(state.status.unwrap(), Status::STOPPED);
        assert_eq!(state.exit_status, wanted);
        assert!(state.exited_at.is_some());
        let deleted = shim.delete(&id, "").unwrap();
        assert_eq!((deleted.pid, deleted.exit_status), (pid, wanted));
        assert_eq!(code(shim.state(&id, "")), Code::NotFound);
        assert_eq!(code(shim.delete(&id, "")), Code::NotFound);
        let topics = node.until_topic(&id, "/tasks/delete");
        let order = ["create", "start", "exit", "delete"].map(|it| format!("/tasks/{it}"));
        assert_eq!(topics, order, "{dialect:?}");
        let address = shim.address.clone();
        shim.leave(&node);
        let gone = Client::connect(&node.host, &address, Duration::from_millis(50));
        assert_eq!(gone.unwrap_err().kind(), std::io::ErrorKind::NotFound);
        assert_eq!(node.recorded(), [""; 0]);
        // containerd always asks, and there is nothing to say.
        node.delete(&id);
    }
}

#[test]
fn a_process_is_added_waited_for_and_deleted() {
    let node = Node::new();
    let id = node.name("web");
    let shim = node.shim(&id, &["hang"]);
    shim.run(&node, &id);
    shim.exec(&id, "probe", &["exit", "5"]).unwrap();
    let state = shim.state(&id, "probe").unwrap();
    assert_eq!(state.status.unwrap(), Status::CREATED);
    assert_eq!(state.exec_id, "probe");
    assert_eq!(code(shim.exec(&id, "probe", &[])), Code::AlreadyExists);
    let pid = shim.start(&id, "probe").unwrap().pid;
    assert_eq!(shim.ended(&id, "probe"), 5);
    assert_eq!(
        shim.state(&id, "probe").unwrap().status.unwrap(),
        Status::STOPPED
    );
    assert_eq!(code(shim.start(&id, "probe")), Code::FailedPrecondition);
    let deleted = shim.delete(&id, "probe").unwrap();
    assert_eq!((deleted.pid, deleted.exit_status), (pid, 5));
    assert_eq!(code(shim.state(&id, "probe")), Code::NotFound);
    // Its name is free again, and one that never ran can be deleted too.
    shim.exec(&id, "probe", &["hang"]).unwrap();
    shim.delete(&id, "probe").unwrap();
    shim.exec(&id, "last", &["hang"]).unwrap();
    shim.start(&id, "last").unwrap();
    assert_eq!(code(shim.delete(&id, "last")), Code::FailedPrecondition);
    shim.kill(&id, "last", KILL).unwrap();
    assert_eq!(shim.ended(&id, "last"), 137);
    // The task goes on.
    assert_eq!(
        shim.state(&id, "").unwrap().status.unwrap(),
        Status::RUNNING
    );
    shim.kill(&id, "", KILL).unwrap();
    shim.ended(&id, "");
    shim.delete(&id, "").unwrap();
    let topics = node.until_topic(&id, "/tasks/delete");
    let of_exec = |topic: &str| topics.iter().filter(|it| *it == topic).count();
    assert_eq!(of_exec("/tasks/exec-added"), 3);
    assert_eq!(of_exec("/tasks/exec-started"), 2);
    // Of two processes that were started, and perhaps of the one that never was; and of the task, which comes last.
    assert!((3..=4).contains(&of_exec("/tasks/exit")), "{topics:?}");
    assert_eq!(topics[topics.len() - 2..], ["/tasks/exit", "/tasks/delete"]);
    shim.leave(&node);
}

#[test]
fn ten_clients_that_wait_are_all_told() {
    let node = Node::new();
    let id = node.name("web");
    let gate = node.text("gate");
    let shim = node.shim(&id, &["await", &gate, "exit", "3"]);
    shim.run(&node, &id);
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let own = node.connect(&id, &shim.address, 3);
                let id = &id;
                scope.spawn(move || own.ended(id, ""))
            })
            .collect();
        // One gives up, which is nothing to the others.
        assert!(shim.wait(&id, "", Duration::from_millis(50)).is_err());
        assert!(waiting.iter().all(|it| !it.is_finished()));
        fs::write(&gate, "").unwrap();
        for it in waiting {
            assert_eq!(it.join().unwrap(), 3);
        }
    });
    // Late ones too, however often.
    assert_eq!([shim.ended(&id, ""), shim.ended(&id, "")], [3, 3]);
    shim.delete(&id, "").unwrap();
    shim.leave(&node);
}

#[test]
fn a_running_task_is_not_deleted_and_an_ended_one_not_killed() {
    let node = Node::new();
    let id = node.name("web");
    let shim = node.shim(&id, &["hang"]);
    shim.run(&node, &id);
    assert_eq!(code(shim.delete(&id, "")), Code::FailedPrecondition);
    assert_eq!(
        shim.state(&id, "").unwrap().status.unwrap(),
        Status::RUNNING
    );
    shim.shutdown().unwrap();
    assert_eq!(
        shim.state(&id, "").unwrap().status.unwrap(),
        Status::RUNNING
    );
    shim.kill(&id, "", KILL).unwrap();
    assert_eq!(shim.ended(&id, ""), 137);
    // As containerd and kubelet expect it of what is gone already.
    assert_eq!(code(shim.kill(&id, "", KILL)), Code::NotFound);
    assert_eq!(code(shim.kill(&id, "", TERMINATE)), Code::NotFound);
    assert_eq!(shim.delete(&id, "").unwrap().exit_status, 137);
    shim.leave(&node);
}

#[test]
fn a_task_that_is_asked_to_end_may_choose_how() {
    let node = Node::new();
    let id = node.name("web");
    let ready = node.path("ready");
    let steps = [
        "on-interrupt",
        "5",
        "ready",
        ready.to_str().unwrap(),
        "hang",
    ];
    let shim = node.shim(&id, &steps);
    shim.run(&node, &id);
    until("the program is ready", || ready.exists());
    shim.kill(&id, "", TERMINATE).unwrap();
    assert_eq!(shim.ended(&id, ""), 5);
    shim.delete(&id, "").unwrap();
    shim.leave(&node);
}

#[test]
fn a_paused_task_does_nothing_until_it_is_resumed() {
    let node = Node::new();
    let id = node.name("web");
    let (gate, done) = (node.text("gate"), node.path("done"));
    let steps = ["await", &gate, "ready", done.to_str().unwrap(), "hang"];
    let shim = node.shim(&id, &steps);
    shim.run(&node, &id);
    shim.pause(&id).unwrap();
    assert_eq!(shim.state(&id, "").unwrap().status.unwrap(), Status::PAUSED);
    fs::write(&gate, "").unwrap();
    thread::park_timeout(Duration::from_millis(200));
    assert!(!done.exists());
    shim.resume(&id).unwrap();
    until("it goes on", || done.exists());
    shim.pause(&id).unwrap();
    // A paused one can be killed.
    shim.kill(&id, "", KILL).unwrap();
    assert_eq!(shim.wait(&id, "", LONG).unwrap().exit_status, 137);
    shim.delete(&id, "").unwrap();
    let topics = node.until_topic(&id, "/tasks/delete");
    assert!(topics.iter().any(|it| it == "/tasks/paused"));
    assert!(topics.iter().any(|it| it == "/tasks/resumed"));
    shim.leave(&node);
}

#[test]
fn a_bundle_that_is_removed_under_a_running_task_is_not_missed() {
    let node = Node::new();
    let id = node.name("web");
    let lock = node.path("lock");
    let shim = node.shim(&id, &["lock", lock.to_str().unwrap(), "hang"]);
    shim.run(&node, &id);
    let process = node.process_of(&id);
    // Nothing of ours keeps files of it open, not even on Windows.
    fs::remove_dir_all(node.bundle_path(&id)).unwrap();
    assert_eq!(
        shim.state(&id, "").unwrap().status.unwrap(),
        Status::RUNNING
    );
    shim.exec(&id, "probe", &["exit", "4"]).unwrap();
    shim.start(&id, "probe").unwrap();
    assert_eq!(shim.ended(&id, "probe"), 4);
    shim.kill(&id, "", KILL).unwrap();
    assert_eq!(shim.ended(&id, ""), 137);
    shim.delete(&id, "").unwrap();
    shim.shutdown().unwrap();
    drop(shim.client);
    until("the shim leaves", || !node.runs(process));
    assert_eq!(node.recorded(), [""; 0]);
    assert!(!crate::node::is_locked(&lock));
}
