//! The laws of one container: probes, termination messages and scripted failures.

use serde_json::{Value, json};

use super::builder::{Bench, pod};

fn with(container: Value) -> Value {
    let mut main = json!({"name": "main", "image": "example.com/agent:1"});
    if let (Some(target), Value::Object(container)) = (main.as_object_mut(), container) {
        target.extend(container);
    }
    json!({"containers": [main]})
}

fn message(bench: &Bench) -> Option<String> {
    let end = bench.main().state.as_ref().unwrap().terminated.clone();
    end.unwrap().message
}

#[test]
fn a_failing_liveness_probe_restarts_the_container_and_only_where_the_pod_has_one() {
    let script = "rules: [{behaviour: {probes: {liveness: {failAfterSeconds: 20}}}}]";
    let probe = with(
        json!({"livenessProbe": {"tcpSocket": {}, "periodSeconds": 5, "failureThreshold": 2}}),
    );
    let mut probed = Bench::new(pod(probe), script);
    probed.run(29.0);
    assert_eq!(probed.main().restart_count, 0);
    probed.run(5.0);
    assert_eq!(probed.main().restart_count, 1);
    let mut plain = Bench::new(pod(json!({})), script);
    plain.run(200.0);
    assert_eq!(plain.main().restart_count, 0);
}

#[test]
fn a_startup_probe_holds_ready_back_and_kills_what_never_starts() {
    let probe = with(
        json!({"startupProbe": {"exec": {}, "initialDelaySeconds": 2, "periodSeconds": 10, "failureThreshold": 3}}),
    );
    let slow = "rules: [{behaviour: {probes: {startup: {passAfterSeconds: 15}}}}]";
    let mut bench = Bench::new(pod(probe.clone()), slow);
    bench.run(10.0);
    assert_eq!(
        (
            bench.doing().as_str(),
            bench.main().started,
            bench.main().ready
        ),
        ("running", Some(false), false)
    );
    bench.run(10.0);
    assert_eq!(
        (bench.main().started, bench.main().ready),
        (Some(true), true)
    );
    let mut dead = Bench::new(
        pod(probe),
        "rules: [{behaviour: {probes: {startup: fail}}}]",
    );
    dead.run(40.0);
    assert_eq!((dead.main().restart_count, dead.main().ready), (1, false));
}

#[test]
fn readiness_follows_the_probe_and_the_script() {
    let probe = || with(json!({"readinessProbe": {"exec": {}, "initialDelaySeconds": 4}}));
    for (script, spec, before, after) in [
        ("rules: []", probe(), false, true),
        (
            "rules: [{behaviour: {probes: {readiness: fail}}}]",
            probe(),
            false,
            false,
        ),
        (
            "rules: [{behaviour: {probes: {readiness: fail}}}]",
            json!({}),
            true,
            true,
        ),
        (
            "rules: [{behaviour: {probes: {readiness: {failAfterSeconds: 20}}}}]",
            probe(),
            false,
            false,
        ),
        (
            "rules: [{behaviour: {neverReady: true}}]",
            json!({}),
            false,
            false,
        ),
        (
            "rules: [{behaviour: {ready: {afterSeconds: 10}}}]",
            json!({}),
            false,
            true,
        ),
        (
            "rules: [{behaviour: {readyThenBroken: {afterSeconds: 10}}}]",
            json!({}),
            true,
            false,
        ),
    ] {
        let mut bench = Bench::new(pod(spec), script);
        bench.run(3.0);
        assert_eq!(
            (bench.doing().as_str(), bench.main().ready),
            ("running", before),
            "{script}"
        );
        bench.run(60.0);
        assert_eq!(
            (bench.doing().as_str(), bench.main().ready),
            ("running", after),
            "{script}"
        );
    }
}

#[test]
fn the_log_is_the_message_only_on_an_error_and_only_with_the_policy() {
    let fallback = || with(json!({"terminationMessagePolicy": "FallbackToLogsOnError"}));
    let run = |mut spec: Value, exit: &str| {
        spec["restartPolicy"] = json!("Never");
        let mut bench = Bench::new(
            pod(spec),
            &format!("rules: [{{behaviour: {{exit: {exit}}}}}]"),
        );
        bench.run(10.0);
        message(&bench)
    };
    assert_eq!(
        run(fallback(), "{code: 1603, log: 'fatal'}").as_deref(),
        Some("fatal")
    );
    assert_eq!(run(fallback(), "{code: 0, log: 'fine'}"), None);
    assert_eq!(run(with(json!({})), "{code: 1, log: 'fatal'}"), None);
    assert_eq!(
        run(fallback(), "{code: 1, log: 'l', message: 'own'}").as_deref(),
        Some("own")
    );
    assert_eq!(
        run(with(json!({})), "{code: 0, message: 'own'}").as_deref(),
        Some("own")
    );
}

#[test]
fn a_long_log_is_cut_to_its_last_lines_and_bytes_at_a_character() {
    let run = |log: &str| {
        let spec = json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "a:1",
            "terminationMessagePolicy": "FallbackToLogsOnError"}]});
        let mut bench = Bench::new(pod(spec), "rules: [{behaviour: {exit: {code: 1}}}]");
        if let Some(exit) = &mut bench.script.rules[0].behaviour.exit {
            log.clone_into(&mut exit.log);
        }
        bench.run(10.0);
        message(&bench).unwrap()
    };
    let lines: Vec<String> = (0..200).map(|n| format!("line {n}\n")).collect();
    let tail = run(&lines.concat());
    assert_eq!(
        (tail.lines().count(), tail.lines().next()),
        (80, Some("line 120"))
    );
    let wide = run(&"ä".repeat(3000));
    assert!(wide.len() <= 2048 && wide.chars().all(|c| c == 'ä'));
}

#[test]
fn a_scripted_create_error_waits_and_is_over_when_the_rule_is() {
    let script =
        "rules: [{behaviour: {createError: {reason: CreateContainerError, message: no space}}}]";
    let mut bench = Bench::new(pod(json!({})), script);
    bench.run(30.0);
    assert_eq!(
        (bench.phase(), bench.doing().as_str()),
        ("Pending", "CreateContainerError")
    );
    bench.script = super::script::Script::default();
    bench.run(30.0);
    assert_eq!(bench.doing(), "running");
}

#[test]
fn every_run_of_a_container_has_its_own_identifier() {
    let mut bench = Bench::new(
        pod(json!({})),
        "rules: [{behaviour: {exit: {code: 1, times: 1}}}]",
    );
    bench.run(60.0);
    let now = bench.main().container_id.clone().unwrap();
    let last = bench.main().last_state.clone().unwrap().terminated.unwrap();
    assert_ne!(Some(now), last.container_id);
    let first = bench.history.iter().find_map(|(_, status)| {
        let main = &status.container_statuses.as_ref().unwrap()[0];
        main.container_id
            .clone()
            .filter(|_| main.restart_count == 0)
    });
    assert_eq!(
        first, last.container_id,
        "the first run keeps its identifier as the last state"
    );
}

#[test]
fn a_container_that_a_probe_kills_ends_by_the_stop_and_within_the_pods_grace_period() {
    let mut spec =
        with(json!({"livenessProbe": {"exec": {}, "periodSeconds": 5, "failureThreshold": 2}}));
    spec["restartPolicy"] = json!("Never");
    spec["terminationGracePeriodSeconds"] = json!(3);
    let script = "rules: [{behaviour: {pullSeconds: 0, startSeconds: 0, probes: {liveness: fail},
        exit: {code: 9, afterSeconds: 100}, stop: {afterSeconds: 60}}}]";
    let mut bench = Bench::new(pod(spec), script);
    bench.run(200.0);
    assert_eq!(bench.doing(), "Error(1)");
    assert_eq!(bench.history.last().unwrap().0, 13_000);
}

#[test]
fn a_program_that_does_not_start_is_told_with_its_reason_and_then_backs_off() {
    let script = "rules: [{behaviour: {startError: no such program}}]";
    let mut once = Bench::new(pod(json!({"restartPolicy": "Never"})), script);
    once.run(10.0);
    assert_eq!(
        (once.phase(), once.doing().as_str()),
        ("Failed", "StartError(128)")
    );
    assert!(once.starts.is_empty());
    assert_eq!(message(&once).as_deref(), Some("no such program"));
    let mut daemon = Bench::new(pod(json!({})), script);
    daemon.run(1.2);
    assert_eq!(daemon.doing(), "RunContainerError");
    daemon.run(3.0);
    assert_eq!(
        (daemon.doing().as_str(), daemon.main().restart_count),
        ("CrashLoopBackOff", 1)
    );
}

#[test]
fn a_failing_hook_after_the_start_stops_the_container_before_anybody_sees_it_run() {
    let script = "rules: [{behaviour: {postStart: fail, stop: {afterSeconds: 2, code: 3}, exit: {code: 0, afterSeconds: 99}}}]";
    let hooked = |policy: &str| {
        let mut spec = with(json!({"lifecycle": {"postStart": {"exec": {"command": ["x"]}}}}));
        spec["restartPolicy"] = json!(policy);
        spec
    };
    let mut once = Bench::new(pod(hooked("Never")), script);
    once.run(1.5);
    assert_eq!(
        (once.doing().as_str(), once.starts.len()),
        ("ContainerCreating", 1)
    );
    once.run(2.0);
    assert_eq!(
        (once.phase(), once.doing().as_str()),
        ("Failed", "Error(3)")
    );
    let mut daemon = Bench::new(pod(hooked("Always")), script);
    daemon.run(3.0);
    assert_eq!(daemon.doing(), "PostStartHookError");
    let mut plain = Bench::new(pod(json!({})), script);
    plain.run(10.0);
    assert_eq!(plain.doing(), "running", "it has no hook");
}

#[test]
fn a_container_that_is_started_again_at_once_counts_as_ended_until_then() {
    let script = "rules: [{behaviour: {startSeconds: 4, exit: {code: 5, afterSeconds: 1}}}]";
    let mut bench = Bench::new(pod(json!({})), script);
    bench.run(7.0);
    assert_eq!(
        (bench.doing().as_str(), bench.main().restart_count),
        ("Error(5)", 0)
    );
    assert_eq!(
        (bench.phase(), &bench.main().last_state),
        ("Running", &None)
    );
    bench.run(3.0);
    let main = bench.main();
    assert_eq!((bench.doing().as_str(), main.restart_count), ("running", 1));
    let last = main.last_state.as_ref().unwrap().terminated.as_ref();
    assert_eq!(last.unwrap().exit_code, 5);
}

#[test]
fn an_image_that_is_not_there_and_must_not_be_pulled_is_never_pulled() {
    let never = with(json!({"imagePullPolicy": "Never"}));
    let mut bench = Bench::new(pod(never), "rules: [{behaviour: {image: Missing}}]");
    bench.run(60.0);
    let shown: Vec<String> = bench
        .history
        .iter()
        .map(|(_, status)| super::builder::doing(&status.container_statuses.as_ref().unwrap()[0]))
        .collect();
    assert_eq!(shown, ["ContainerCreating", "ErrImageNeverPull"]);
}
