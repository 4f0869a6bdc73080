//! The laws of the pod state machine, in virtual time.

use serde_json::json;

use super::builder::{Bench, doing, pod};

#[test]
fn a_healthy_daemon_pod_is_pending_then_ready_and_stays() {
    let mut bench = Bench::new(pod(json!({})), "rules: []");
    bench.step();
    assert_eq!(
        (bench.phase(), bench.doing().as_str()),
        ("Pending", "ContainerCreating")
    );
    assert_eq!(bench.condition("Ready").0, "False");
    bench.run(3600.0);
    assert_eq!(
        (bench.phase(), bench.doing().as_str()),
        ("Running", "running")
    );
    assert!(bench.main().ready && bench.main().started == Some(true));
    assert_eq!(bench.status.pod_ip.as_deref(), Some("10.64.0.1"));
    assert_eq!(bench.status.host_ip, bench.status.pod_ip);
    assert_eq!(
        (bench.starts.as_slice(), bench.history.len()),
        (["main".to_owned()].as_slice(), 2)
    );
    assert!(
        bench
            .main()
            .container_id
            .as_deref()
            .unwrap()
            .starts_with("containerd://")
    );
    assert!(
        bench
            .main()
            .image_id
            .starts_with("example.com/agent@sha256:")
    );
}

#[test]
fn a_condition_keeps_its_time_until_it_changes() {
    let script = "rules: [{behaviour: {pullSeconds: 3, startSeconds: 1, readyThenBroken: {afterSeconds: 20}}}]";
    let mut bench = Bench::new(pod(json!({})), script);
    bench.run(10.0);
    assert_eq!(bench.condition("Ready"), ("True".to_owned(), 4));
    assert_eq!(bench.condition("Initialized"), ("True".to_owned(), 0));
    bench.run(20.0);
    assert_eq!(bench.condition("Ready"), ("False".to_owned(), 24));
    assert_eq!(bench.condition("Initialized"), ("True".to_owned(), 0));
    assert_eq!(
        (bench.doing().as_str(), bench.main().restart_count),
        ("running", 0)
    );
}

#[test]
fn the_schedulers_condition_is_left_as_it_is() {
    let mut agent = pod(json!({}));
    agent.report = serde_json::from_value(json!({
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "1969-12-31T23:59:00Z"}],
    }))
    .unwrap();
    let mut bench = Bench::new(agent, "rules: []");
    bench.run(5.0);
    assert_eq!(bench.condition("PodScheduled"), ("True".to_owned(), -60));
}

#[test]
fn a_pod_that_is_not_restarted_ends_with_the_exit_code_of_its_container() {
    for (code, phase, reason) in [
        (0, "Succeeded", "Completed"),
        (3010, "Failed", "Error"),
        (1603, "Failed", "Error"),
        (-1_073_741_510, "Failed", "Error"),
    ] {
        let script = format!(
            "rules: [{{task: agent, behaviour: {{exit: {{code: {code}, afterSeconds: 2}}}}}}]"
        );
        let mut bench = Bench::new(pod(json!({"restartPolicy": "Never"})), &script);
        bench.run(60.0);
        assert_eq!(
            (bench.phase(), bench.doing()),
            (phase, format!("{reason}({code})"))
        );
        assert_eq!(bench.starts.len(), 1);
        assert_eq!(bench.condition("Ready").0, "False");
        let before = bench.history.len();
        bench.run(60.0);
        assert_eq!(bench.history.len(), before, "an ended pod is reported once");
    }
}

#[test]
fn a_run_once_pod_ends_well_without_a_script_and_a_daemon_pod_does_not_end() {
    for (policy, phase) in [
        ("Never", "Succeeded"),
        ("OnFailure", "Succeeded"),
        ("Always", "Running"),
    ] {
        let mut bench = Bench::new(pod(json!({"restartPolicy": policy})), "rules: []");
        bench.run(10.0);
        assert_eq!(bench.phase(), phase, "{policy}");
    }
}

#[test]
fn on_failure_starts_again_until_the_program_succeeds() {
    let script = "rules: [{behaviour: {exit: {code: 1, times: 2}}}]";
    let mut bench = Bench::new(pod(json!({"restartPolicy": "OnFailure"})), script);
    bench.run(60.0);
    assert_eq!(
        (bench.phase(), bench.doing().as_str()),
        ("Succeeded", "Completed(0)")
    );
    assert_eq!((bench.starts.len(), bench.main().restart_count), (3, 2));
}

#[test]
fn a_crash_loop_backs_off_from_ten_seconds_doubling_to_three_hundred() {
    let script = "rules: [{behaviour: {pullSeconds: 0, startSeconds: 0, crashLoop: {code: 5, afterSeconds: 1}}}]";
    let mut bench = Bench::new(pod(json!({})), script);
    bench.run(3000.0);
    let mut starts = Vec::new();
    for (at, status) in &bench.history {
        let main = &status.container_statuses.as_ref().unwrap()[0];
        if doing(main) == "running"
            && starts
                .last()
                .is_none_or(|(_, count)| *count != main.restart_count)
        {
            starts.push((*at / 1000, main.restart_count));
        }
    }
    let pauses: Vec<i64> = starts
        .windows(2)
        .map(|pair| pair[1].0 - pair[0].0 - 1)
        .collect();
    assert_eq!(
        pauses[..8],
        [0, 10, 20, 40, 80, 160, 300, 300],
        "starts at {starts:?}"
    );
    assert_eq!(bench.doing(), "CrashLoopBackOff");
    let last = bench
        .main()
        .last_state
        .as_ref()
        .unwrap()
        .terminated
        .as_ref()
        .unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (5, Some("Error")));
    assert_eq!(bench.phase(), "Running");
}

#[test]
fn speed_shortens_the_kubelets_delays_and_nothing_of_the_script() {
    let script =
        "rules: [{behaviour: {pullSeconds: 4, startSeconds: 0, crashLoop: {afterSeconds: 1}}}]";
    let mut bench = Bench::new(pod(json!({})), script);
    bench.speed = 100.0;
    bench.run(3.9);
    assert_eq!(bench.starts.len(), 0);
    bench.run(4.5);
    assert_eq!(
        bench.starts.len(),
        4,
        "pauses of 0, 0.1, 0.2 and 0.4 s between runs of 1 s"
    );
}

#[test]
fn a_long_run_makes_the_kubelet_forget_earlier_crashes() {
    let script = "rules: [{behaviour: {pullSeconds: 0, startSeconds: 0, exit: {code: 1, afterSeconds: 700}}}]";
    let mut bench = Bench::new(pod(json!({})), script);
    bench.run(7100.0);
    assert_eq!(
        bench.main().restart_count,
        10,
        "every restart is the immediate first one"
    );
}

#[test]
fn init_containers_run_in_order_and_each_to_its_end() {
    let containers = json!({"initContainers": [
        {"name": "one", "image": "a:1"}, {"name": "two", "image": "b:1"},
    ]});
    let mut bench = Bench::new(
        pod(containers),
        "rules: [{container: one, behaviour: {exit: {code: 0, afterSeconds: 5}}}]",
    );
    bench.run(3.0);
    assert_eq!(
        (bench.starts.as_slice(), bench.phase()),
        (["one".to_owned()].as_slice(), "Pending")
    );
    assert_eq!(bench.doing(), "PodInitializing");
    assert_eq!(bench.condition("Initialized").0, "False");
    bench.run(60.0);
    assert_eq!(bench.starts, ["one", "two", "main"]);
    assert_eq!(
        (bench.phase(), bench.condition("Ready").0.as_str()),
        ("Running", "True")
    );
    let init = bench.status.init_container_statuses.as_ref().unwrap();
    assert!(
        init.iter()
            .all(|status| status.ready && doing(status) == "Completed(0)")
    );
}

#[test]
fn a_failing_init_container_keeps_the_others_from_starting() {
    let spec = |policy: &str| json!({"restartPolicy": policy, "initContainers": [{"name": "one", "image": "a:1"}, {"name": "two", "image": "b:1"}]});
    let script = "rules: [{container: one, behaviour: {exit: {code: 7}}}]";
    let mut once = Bench::new(pod(spec("Never")), script);
    once.run(60.0);
    assert_eq!(
        (once.phase(), once.starts.as_slice()),
        ("Failed", ["one".to_owned()].as_slice())
    );
    let mut daemon = Bench::new(pod(spec("Always")), script);
    daemon.run(60.0);
    assert_eq!(daemon.phase(), "Pending");
    assert!(
        daemon.starts.len() > 2 && daemon.starts.iter().all(|name| name == "one"),
        "{:?}",
        daemon.starts
    );
}

#[test]
fn a_sidecar_lets_the_others_begin_and_stops_after_them() {
    let spec = json!({"restartPolicy": "Never", "initContainers": [
        {"name": "side", "image": "a:1", "restartPolicy": "Always"},
    ]});
    let mut bench = Bench::new(pod(spec), "rules: []");
    bench.run(1.1);
    assert_eq!(bench.starts, ["side", "main"]);
    bench.run(10.0);
    assert_eq!(bench.phase(), "Succeeded");
    let side = &bench.status.init_container_statuses.as_ref().unwrap()[0];
    assert_eq!(doing(side), "Completed(0)");
}

#[test]
fn an_active_deadline_ends_the_pod_with_its_reason() {
    let spec = json!({"restartPolicy": "Never", "activeDeadlineSeconds": 5});
    let mut bench = Bench::new(
        pod(spec),
        "rules: [{behaviour: {exit: {code: 0, afterSeconds: 100}, stop: {afterSeconds: 1}}}]",
    );
    bench.run(4.9);
    assert_eq!(bench.phase(), "Running");
    bench.run(10.0);
    assert_eq!(
        (bench.phase(), bench.status.reason.as_deref()),
        ("Failed", Some("DeadlineExceeded"))
    );
    assert_eq!(bench.history.last().unwrap().0, 6000);
}

#[test]
fn a_deleted_pod_stops_within_its_grace_period_and_only_then_goes() {
    for (needs, grace, ends, code) in [(2, 30, 2000, 4), (60, 10, 10_000, 1)] {
        let script =
            format!("rules: [{{behaviour: {{stop: {{afterSeconds: {needs}, code: 4}}}}}}]");
        let mut bench = Bench::new(pod(json!({})), &script);
        bench.run(5.0);
        bench.pod.deleted = true;
        bench.pod.grace_seconds = grace;
        let from = bench.now.as_millisecond();
        bench.step();
        assert!(!bench.deleted && bench.condition("Ready").0 == "True");
        bench.run(120.0);
        assert!(bench.deleted);
        assert_eq!(bench.doing(), format!("Error({code})"));
        assert_eq!(bench.history.last().unwrap().0 - from, ends);
    }
}

#[test]
fn a_pod_that_is_deleted_before_its_container_ran_goes_at_once() {
    let mut bench = Bench::new(pod(json!({})), "rules: [{behaviour: {image: Missing}}]");
    bench.run(5.0);
    bench.pod.deleted = true;
    bench.step();
    assert!(bench.deleted && bench.starts.is_empty());
}

#[test]
fn the_same_seed_gives_the_same_timeline_and_another_seed_another() {
    let timeline = |seed: u64| {
        let spec = json!({"initContainers": [{"name": "one", "image": "a:1"}]});
        let script = "rules: [{container: main, behaviour: {pullSeconds: [1, 9], exit: {code: 2, afterSeconds: [1, 5]}}}]";
        let mut bench = Bench::new(pod(spec), script);
        bench.seed = seed;
        bench.run(600.0);
        serde_json::to_string(&bench.history).unwrap()
    };
    assert_eq!(timeline(7), timeline(7));
    assert_ne!(timeline(7), timeline(8));
}

#[test]
fn a_late_look_sees_the_same_ends_as_a_punctual_one() {
    let script = "rules: [{behaviour: {exit: {code: 3, afterSeconds: 20}}}]";
    let mut punctual = Bench::new(pod(json!({"restartPolicy": "Never"})), script);
    punctual.run(600.0);
    let mut late = Bench::new(pod(json!({"restartPolicy": "Never"})), script);
    late.step();
    late.now = punctual.now;
    late.step();
    assert_eq!(late.main(), punctual.main());
}

#[test]
fn a_new_rule_ends_a_running_container_now_and_not_in_the_past() {
    let mut bench = Bench::new(pod(json!({})), "rules: []");
    bench.run(100.0);
    bench.step();
    bench.script = super::script::Script::parse("rules: [{behaviour: {crashLoop: {}}}]").unwrap();
    bench.step();
    let state = bench.main().state.as_ref().unwrap();
    let last = state.terminated.as_ref().unwrap();
    assert_eq!(last.finished_at.as_ref().unwrap().0, bench.now);
}

#[test]
fn a_pod_has_no_sandbox_before_its_first_report_of_a_container_and_after_its_end() {
    let script = "rules: [{behaviour: {pullSeconds: 0}}]";
    let mut bench = Bench::new(pod(json!({"restartPolicy": "Never"})), script);
    bench.step();
    assert_eq!(bench.condition("PodReadyToStartContainers").0, "False");
    bench.run(0.3);
    assert_eq!(bench.doing(), "running");
    assert_eq!(bench.condition("PodReadyToStartContainers").0, "True");
    bench.run(10.0);
    assert_eq!(bench.condition("PodReadyToStartContainers").0, "False");
}

#[test]
fn a_sidecar_that_is_not_ready_keeps_its_pod_from_being_ready_and_leaves_it_initialized() {
    let spec =
        json!({"initContainers": [{"name": "side", "image": "a:1", "restartPolicy": "Always"}]});
    let script = "rules: [{container: side, behaviour: {exit: {code: 1, afterSeconds: 3}}}]";
    let mut bench = Bench::new(pod(spec), script);
    bench.run(2.0);
    assert_eq!(bench.condition("Ready").0, "True");
    bench.run(10.0);
    assert!(bench.main().ready);
    let side = &bench.status.init_container_statuses.as_ref().unwrap()[0];
    assert_eq!(doing(side), "CrashLoopBackOff");
    assert_eq!(
        (bench.condition("Ready").0, bench.condition("Initialized").0),
        ("False".to_owned(), "True".to_owned())
    );
}

#[test]
fn containers_whose_turn_never_came_still_wait_when_their_pod_is_gone() {
    let spec = json!({"initContainers": [{"name": "one", "image": "a:1"}, {"name": "two", "image": "a:1"}]});
    let script = "rules: [{container: one, behaviour: {crashLoop: {code: 7}}}]";
    let mut bench = Bench::new(pod(spec), script);
    bench.run(5.0);
    bench.pod.deleted = true;
    bench.run(5.0);
    assert!(bench.deleted);
    let init = bench.status.init_container_statuses.as_ref().unwrap();
    let shown: Vec<String> = init.iter().map(doing).collect();
    assert_eq!(shown, ["Error(7)", "PodInitializing"]);
    assert_eq!(
        (bench.phase(), bench.doing().as_str()),
        ("Failed", "PodInitializing")
    );
}
