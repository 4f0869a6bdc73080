//! Many tasks side by side: pods with one shim each, and one name in two namespaces.

use std::thread;

use super::bench::{Bench, PATIENCE, RUNNING, eventually};

/// How many pods run at once.
const PODS: usize = 50;

#[test]
fn fifty_pods_run_side_by_side_with_one_shim_each_and_leave_nothing() {
    let bench = Bench::new();
    let names: Vec<(String, String)> = (0..PODS)
        .map(|number| (format!("pod-{number}"), format!("app-{number}")))
        .collect();
    let for_all = |work: &(dyn Fn(&str, &str) + Sync)| {
        thread::scope(|scope| {
            for (pod, app) in &names {
                scope.spawn(|| work(pod, app));
            }
        });
    };
    for_all(&|pod, app| {
        for id in [pod, app] {
            let spec = bench.spec(id, &["hang"]).in_pod(id, pod);
            bench.create_with(id, &spec).unwrap();
            bench.client.call("start", id, "").unwrap();
        }
    });
    for (pod, app) in &names {
        assert_eq!(bench.status(pod, ""), Ok(RUNNING), "{pod}");
        assert_eq!(bench.status(app, ""), Ok(RUNNING), "{app}");
        assert_eq!(bench.processes(app).len(), 1, "{app}");
    }
    let shims = bench.shims();
    assert_eq!(shims.len(), PODS, "{shims:#?}");
    for_all(&|pod, app| {
        for id in [app, pod] {
            bench.client.kill(id, "", 9).unwrap();
            let code = bench.code(id, "");
            // A sandbox has no process that could be killed.
            assert_eq!(code, if id == pod { 0 } else { 137 }, "{id}");
            bench.client.call("delete", id, "").unwrap();
            bench.client.call("remove", id, "").unwrap();
        }
    });
    bench.is_empty();
}

#[test]
fn a_container_of_a_pod_ends_alone_and_another_can_follow_it() {
    let bench = Bench::new();
    let start = |id: &str, steps: &[&str]| {
        let spec = bench.spec(id, steps).in_pod(id, "pod");
        bench.create_with(id, &spec).unwrap();
        bench.client.call("start", id, "").unwrap();
    };
    start("pod", &["hang"]);
    for code in [3, 0, 200] {
        start("app", &["exit", &code.to_string()]);
        assert_eq!(bench.code("app", ""), code);
        bench.client.call("delete", "app", "").unwrap();
        bench.client.call("remove", "app", "").unwrap();
        assert_eq!(bench.status("pod", ""), Ok(RUNNING));
        assert_eq!(bench.shims().len(), 1);
    }
    bench.remove("pod");
    bench.is_empty();
}

#[test]
fn one_name_in_two_namespaces_is_two_containers() {
    let bench = Bench::new();
    let namespace = format!("{}-other", bench.namespace);
    let other = bench.containerd.client(&namespace).unwrap();
    bench.started("web", &["hang"]);
    let spec = bench.spec("of-other", &["exit", "8"]);
    other.create("web", bench.containerd.shim(), &spec).unwrap();
    other.call("start", "web", "").unwrap();
    let ended = other.call("wait", "web", "").unwrap();
    assert_eq!(ended["exit_status"], 8);
    other.call("delete", "web", "").unwrap();
    other.call("remove", "web", "").unwrap();
    assert_eq!(bench.status("web", ""), Ok(RUNNING));
    assert_eq!(bench.processes("web").len(), 1);
    eventually("its shim is gone", PATIENCE, || {
        let shims = bench.shims();
        if shims.len() == 1 { Ok(()) } else { Err(shims) }
    });
    bench.remove("web");
    bench.is_empty();
}
