//! More than one of something: shims for one name, containers of a pod.

use std::thread;

use containerd_shim_protos::api::Status;
use hosttask_node_runtime::ttrpc::Code;

use crate::node::{Dialect, Node, config, pod_config};
use crate::task::{KILL, code};

#[test]
fn two_shims_for_one_name_are_one() {
    let node = Node::new();
    let id = node.name("web");
    node.bundle(&id, &["hang"]);
    let shims: Vec<_> = thread::scope(|scope| {
        let starting: Vec<_> = [(); 4]
            .map(|()| scope.spawn(|| node.start(&id, Dialect::Message)))
            .into();
        starting.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let pids: Vec<_> = shims
        .iter()
        .map(|it| it.connect(&id).unwrap().shim_pid)
        .collect();
    assert!(pids.iter().all(|it| *it == pids[0]), "{pids:?}");
    // Nor do two that create at once make two tasks.
    let created: Vec<_> = thread::scope(|scope| {
        let creating: Vec<_> = shims
            .iter()
            .map(|it| scope.spawn(|| it.create(&node, &id)))
            .collect();
        creating.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let (made, refused): (Vec<_>, Vec<_>) = created.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (1, 3));
    for it in refused {
        assert_eq!(code(it), Code::AlreadyExists);
    }
    shims[0].delete(&id, "").unwrap();
    let mut shims = shims.into_iter();
    shims.next().unwrap().leave(&node);
}

#[test]
fn a_pod_is_one_shim_for_all_its_containers() {
    for dialect in [Dialect::Json2, Dialect::Message] {
        let node = Node::new();
        let pod = node.name("pod");
        node.bundle_of(&pod, &pod_config(&pod));
        let shim = node.start(&pod, dialect);
        shim.create(&node, &pod).unwrap();
        shim.start(&pod, "").unwrap();
        let names = ["one", "two", "three"].map(|it| node.name(it));
        for name in &names {
            node.bundle_of(name, &config(&["hang"], Some(&pod)));
            // Version 2 starts a shim for each container; ours answers with that of the pod.
            if dialect == Dialect::Json2 {
                assert_eq!(node.start(name, dialect).address, shim.address);
            }
            shim.run(&node, name);
        }
        let [one, two, three] = &names;
        shim.kill(one, "", KILL).unwrap();
        assert_eq!(shim.ended(one, ""), 137);
        for other in [two, three, &pod] {
            let state = shim.state(other, "").unwrap();
            assert_eq!(state.status.unwrap(), Status::RUNNING);
        }
        shim.delete(one, "").unwrap();
        assert_eq!(code(shim.state(one, "")), Code::NotFound);
        // A container of another pod, or of none, is not for this shim.
        let stranger = node.name("stranger");
        node.bundle_of(&stranger, &config(&["hang"], Some("another")));
        let refused = code(shim.create(&node, &stranger));
        assert_eq!(refused, Code::FailedPrecondition);
        shim.kill(&pod, "", KILL).unwrap();
        assert_eq!(shim.ended(&pod, ""), 0);
        for name in [two, three] {
            drop(shim.kill(name, "", KILL));
            shim.ended(name, "");
            shim.delete(name, "").unwrap();
        }
        shim.delete(&pod, "").unwrap();
        shim.leave(&node);
        assert_eq!(node.recorded(), [""; 0]);
    }
}

#[test]
fn a_start_that_cannot_succeed_says_why_and_leaves_nothing() {
    let node = Node::new();
    let id = node.name("lost");
    node.bundle_of(&id, &config(&["hang"], Some(&node.name("nobody"))));
    let output = node.start_output(&id, Dialect::Json2);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("nobody"), "{said}");
    assert!(!node.bundle_path(&id).join("hosttask-shim.json").exists());
    assert_eq!(node.recorded(), [""; 0]);
}
