//! What becomes of pods when their machine restarts, or when another process plays it.

use serde_json::json;

use super::builder::{Bench, pod};

#[test]
fn a_reboot_starts_a_daemon_again_and_ends_a_run_once_pod() {
    let mut daemon = Bench::new(
        pod(json!({"initContainers": [{"name": "one", "image": "a:1"}]})),
        "rules: []",
    );
    daemon.run(10.0);
    daemon.lose(255, "Unknown");
    daemon.run(10.0);
    assert_eq!(daemon.starts, ["one", "main", "one", "main"]);
    assert_eq!(
        (daemon.doing().as_str(), daemon.main().restart_count),
        ("running", 1)
    );
    let last = daemon
        .main()
        .last_state
        .as_ref()
        .unwrap()
        .terminated
        .as_ref()
        .unwrap();
    assert_eq!(
        (last.exit_code, last.reason.as_deref()),
        (255, Some("Unknown"))
    );

    let script = "rules: [{behaviour: {exit: {code: 0, afterSeconds: 100}}}]";
    let mut once = Bench::new(pod(json!({"restartPolicy": "Never"})), script);
    once.run(10.0);
    once.lose(255, "Unknown");
    once.run(200.0);
    assert_eq!(
        (once.phase(), once.doing().as_str(), once.starts.len()),
        ("Failed", "Unknown(255)", 1)
    );
}

#[test]
fn a_pod_that_ended_is_not_touched_by_a_reboot_or_a_new_process() {
    let mut bench = Bench::new(pod(json!({"restartPolicy": "Never"})), "rules: []");
    bench.run(10.0);
    bench.lose(255, "Unknown");
    bench.run(10.0);
    assert_eq!((bench.phase(), bench.starts.len()), ("Succeeded", 1));

    let mut known = pod(json!({"restartPolicy": "Never"}));
    known.report.phase = Some("Failed".to_owned());
    let mut other = Bench::new(known, "rules: []");
    other.run(60.0);
    assert!(other.history.is_empty() && other.starts.is_empty() && !other.deleted);
}

#[test]
fn a_pod_that_another_process_ran_goes_on_counting_its_restarts() {
    let mut running = pod(json!({}));
    running.report = serde_json::from_value(json!({
        "phase": "Running", "startTime": "1970-01-01T00:00:00Z",
        "containerStatuses": [{"name": "main", "restartCount": 3}],
    }))
    .unwrap();
    let mut bench = Bench::new(running, "rules: []");
    bench.run(10.0);
    assert_eq!(
        (bench.doing().as_str(), bench.main().restart_count),
        ("running", 4)
    );
}

#[test]
fn a_condition_that_others_changed_while_the_node_was_silent_begins_anew() {
    let mut bench = Bench::new(pod(json!({})), "rules: []");
    bench.run(100.0);
    bench.pod.report.conditions = serde_json::from_value(json!([
        {"type": "Ready", "status": "False", "lastTransitionTime": "1970-01-01T00:01:00Z"},
        {"type": "Initialized", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z"},
    ]))
    .unwrap();
    let state = bench.state.as_mut().unwrap();
    super::machine::reassert(state, &bench.pod, bench.now);
    bench.step();
    assert_eq!(bench.condition("Ready"), ("True".to_owned(), 100));
    assert_eq!(bench.condition("Initialized"), ("True".to_owned(), 0));
}
