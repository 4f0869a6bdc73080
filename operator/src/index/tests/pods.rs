//! Pod rows: clocks, restarts, troubles and ends.

use super::*;

#[test]
fn readiness_seen_live_counts_from_our_clock_whatever_the_kubelet_says() {
    for skew in [-90, 0, 90] {
        let bench = Bench::new();
        bench.see(Kind::Pod, &pod("agent-1", 10), 0);
        assert_eq!(bench.pod(0).ready_since, None);
        bench.see(
            Kind::Pod,
            &with_ready(pod("agent-1", 11), "True", at(20 + skew)),
            20,
        );
        assert_eq!(bench.pod(20).ready_since, Some(at(20)), "skew {skew}");
        // The next event of the same readiness does not start it over.
        bench.see(
            Kind::Pod,
            &with_ready(pod("agent-1", 12), "True", at(20 + skew)),
            50,
        );
        assert_eq!(bench.pod(50).ready_since, Some(at(20)), "skew {skew}");
    }
}

#[test]
fn readiness_found_in_a_list_is_never_in_the_future_and_never_before_the_pod() {
    for (there, expected) in [(40, 40), (190, 100), (-500, 0)] {
        let bench = Bench::new();
        bench.list(
            Kind::Pod,
            &[with_ready(pod("agent-1", 10), "True", at(there))],
            100,
        );
        assert_eq!(
            bench.pod(100).ready_since,
            Some(at(expected)),
            "kubelet says {there}"
        );
    }
}

#[test]
fn readiness_lost_and_regained_while_we_were_away_starts_over() {
    let bench = Bench::new();
    bench.see(Kind::Pod, &with_ready(pod("agent-1", 10), "True", at(5)), 5);
    bench.list(
        Kind::Pod,
        &[with_ready(pod("agent-1", 10), "True", at(5))],
        50,
    );
    assert_eq!(
        bench.pod(50).ready_since,
        Some(at(5)),
        "a list changes nothing by itself"
    );
    bench.list(
        Kind::Pod,
        &[with_ready(pod("agent-1", 12), "True", at(60))],
        70,
    );
    assert_eq!(bench.pod(70).ready_since, Some(at(60)));
}

#[test]
fn lost_readiness_counts_from_the_loss_and_a_pod_that_was_never_ready_has_none() {
    let bench = Bench::new();
    bench.see(
        Kind::Pod,
        &with_ready(pod("agent-1", 10), "False", at(1)),
        1,
    );
    assert_eq!(bench.pod(1).unready_since, None);
    bench.see(Kind::Pod, &with_ready(pod("agent-1", 11), "True", at(9)), 9);
    bench.see(
        Kind::Pod,
        &with_ready(pod("agent-1", 12), "False", at(-80)),
        30,
    );
    let view = bench.pod(30);
    assert_eq!((view.ready_since, view.unready_since), (None, Some(at(30))));
}

#[test]
fn restarts_count_only_when_seen_and_only_within_the_window() {
    let with = |version, count: u32| {
        let mut pod = pod("agent-1", version);
        pod["status"]["containerStatuses"] =
            json!([{"restartCount": count, "state": {"running": {}}}]);
        pod
    };
    let bench = Bench::new();
    bench.list(Kind::Pod, &[with(10, 7)], 0);
    assert_eq!(
        bench.pod(0).recent_restarts,
        0,
        "they happened before we looked"
    );
    bench.see(Kind::Pod, &with(11, 8), 100);
    bench.see(Kind::Pod, &with(12, 10), 500);
    assert_eq!(bench.pod(500).recent_restarts, 3);
    assert_eq!(
        bench.pod(701).recent_restarts,
        2,
        "the first is out of the window"
    );
    assert_eq!(bench.pod(1101).recent_restarts, 0);
}

#[test]
fn a_heartbeat_of_a_pod_wakes_nobody_but_its_resource_version_is_kept() {
    let bench = Bench::new();
    assert_eq!(bench.see(Kind::Pod, &pod("agent-1", 10), 0), [task_key()]);
    assert_eq!(bench.see(Kind::Pod, &pod("agent-1", 11), 1), []);
    assert_eq!(bench.pod(1).resource_version, "11");
}

#[test]
fn an_event_older_than_what_a_live_read_showed_is_ignored() {
    let bench = Bench::new();
    let mut deleting = pod("agent-1", 20);
    deleting["metadata"]["deletionTimestamp"] = json!("2026-05-01T12:00:00Z");
    bench.list(Kind::Pod, &[deleting], 0);
    bench.see(Kind::Pod, &pod("agent-1", 19), 1);
    assert!(bench.pod(1).deleting);
    bench.list(Kind::Pod, &[pod("agent-1", 5)], 2);
    assert!(
        !bench.pod(2).deleting,
        "a list is right even where versions went back (restored etcd)"
    );
}

#[test]
fn a_pod_that_is_not_bound_yet_is_on_the_node_its_affinity_names() {
    let mut pod = pod("agent-1", 10);
    pod["spec"] = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["win-9"]}]}]
    }}}});
    let bench = Bench::new();
    bench.see(Kind::Pod, &pod, 0);
    assert_eq!(bench.pod(0).node, "win-9");
}

#[test]
fn what_keeps_a_container_from_running_is_told_and_starting_is_no_trouble() {
    let with = |version, status: Value| {
        let mut pod = pod("agent-1", version);
        pod["status"] = status;
        pod
    };
    let bench = Bench::new();
    bench.see(
        Kind::Pod,
        &with(
            10,
            json!({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}),
        ),
        0,
    );
    assert_eq!(bench.pod(0).trouble, None);
    let crash = json!({"containerStatuses": [{
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {"terminated": {"exitCode": 1603, "reason": "Error", "message": "no disk"}}
    }]});
    bench.see(Kind::Pod, &with(11, crash), 1);
    let view = bench.pod(1);
    assert_eq!(
        view.trouble.map(|trouble| trouble.reason).as_deref(),
        Some("CrashLoopBackOff")
    );
    assert_eq!(
        view.exit.map(|exit| (exit.code, exit.message)),
        Some((1603, "no disk".to_owned()))
    );
    bench.see(
        Kind::Pod,
        &with(
            12,
            json!({"phase": "Failed", "reason": "Evicted", "message": "disk"}),
        ),
        2,
    );
    let view = bench.pod(2);
    assert!(view.finished);
    assert_eq!(
        view.trouble.map(|trouble| trouble.reason).as_deref(),
        Some("Evicted")
    );
}

#[test]
fn a_pod_has_started_once_any_of_its_containers_ran() {
    let waiting = || json!({"state": {"waiting": {"reason": "ImagePullBackOff"}}});
    let ended = json!({"state": {"terminated": {"exitCode": 0}}});
    let again = json!({"restartCount": 1, "state": {"waiting": {"reason": "ImagePullBackOff"}}});
    for (version, status, started) in [
        (10, json!({"phase": "Pending"}), false),
        (
            11,
            json!({"containerStatuses": [waiting(), waiting()]}),
            false,
        ),
        (
            12,
            json!({"initContainerStatuses": [ended], "containerStatuses": [waiting()]}),
            true,
        ),
        (
            13,
            json!({"containerStatuses": [waiting(), {"state": {"running": {}}}]}),
            true,
        ),
        (14, json!({"containerStatuses": [again]}), true),
    ] {
        let mut pod = pod("agent-1", version);
        pod["status"] = status;
        let bench = Bench::new();
        bench.see(Kind::Pod, &pod, 0);
        assert_eq!(bench.pod(0).started, started, "{version}");
    }
}

#[test]
fn the_exit_is_that_of_the_container_that_failed_else_of_the_last_main_container() {
    let exit = |init: i32, first: i32, second: i32| {
        let ended = |code: i32, time: &str| json!({"state": {"terminated": {"exitCode": code, "reason": "X", "finishedAt": time}}});
        let mut pod = pod("agent-1", 10);
        pod["status"] = json!({
            "phase": "Failed",
            "initContainerStatuses": [ended(init, "2026-05-01T12:00:01Z")],
            "containerStatuses": [ended(first, "2026-05-01T12:00:09Z"), ended(second, "2026-05-01T12:00:05Z")]
        });
        let bench = Bench::new();
        bench.see(Kind::Pod, &pod, 0);
        bench.pod(0).exit.map(|exit| exit.code)
    };
    assert_eq!(exit(0, 0, 3010), Some(3010));
    assert_eq!(exit(5, 0, 0), Some(5));
    assert_eq!(exit(0, 0, 0), Some(0));
}

#[test]
fn a_pod_with_our_labels_that_nobody_controls_or_in_another_namespace_is_not_ours() {
    let bench = Bench::new();
    let mut forged = pod("forged", 10);
    forged["metadata"]["ownerReferences"] = json!([]);
    assert_eq!(bench.see(Kind::Pod, &forged, 0), []);
    let mut elsewhere = pod("elsewhere", 10);
    elsewhere["metadata"]["namespace"] = json!("attacker");
    assert_eq!(bench.see(Kind::Pod, &elsewhere, 0), []);
    assert_eq!(bench.observed(0).pods, []);
}

#[test]
fn a_pod_that_loses_its_labels_leaves_its_task_and_one_that_changes_them_moves() {
    let bench = Bench::new();
    let mut other = task("44444444-4444-4444-8444-444444444444", 1, &json!({}));
    other["metadata"]["name"] = json!("other");
    bench.see(Kind::Task, &other, 0);
    bench.see(Kind::Pod, &pod("agent-1", 10), 0);
    let mut moved = pod("agent-1", 11);
    moved["metadata"]["labels"]["hosttask.dev/task-uid"] =
        json!("44444444-4444-4444-8444-444444444444");
    assert_eq!(
        bench.see(Kind::Pod, &moved, 1),
        [task_key(), Key::Task(key("other"))]
    );
    assert_eq!(bench.observed(1).pods, []);
    let mut bare = pod("agent-1", 12);
    bare["metadata"]["labels"] = json!(null);
    assert_eq!(bench.see(Kind::Pod, &bare, 2), [Key::Task(key("other"))]);
    assert_eq!(bench.index.counts().pods, 0);
}

#[test]
fn a_uid_and_a_version_of_an_unusual_form_come_back_as_they_were() {
    let mut odd = pod("agent-1", 0);
    odd["metadata"]["uid"] = json!("not-a-uuid");
    odd["metadata"]["resourceVersion"] = json!("0x1f");
    let bench = Bench::new();
    bench.see(Kind::Pod, &odd, 0);
    let view = bench.pod(0);
    assert_eq!(
        (view.uid.as_str(), view.resource_version.as_str()),
        ("not-a-uuid", "0x1f")
    );
    bench.lose(Kind::Pod, &odd, 1);
    assert_eq!(bench.index.counts().pods, 0);
}

#[test]
fn how_the_last_run_ended_is_told_while_a_restart_counts_and_the_container_runs_again() {
    let bench = Bench::new();
    let running = json!({"running": {}});
    let code = |second| bench.pod(second).last_run.map(|last| last.code);
    bench.list(Kind::Pod, &[crash_round(10, 1, &running, "True", 0)], 0);
    assert_eq!(code(0), None, "it happened before we looked");
    bench.see(Kind::Pod, &crash_round(11, 2, &running, "True", 0), 100);
    let view = bench.pod(100);
    assert_eq!((view.trouble, view.exit), (None, None), "nothing is wrong");
    let last = view.last_run.unwrap();
    assert_eq!((last.code, last.reason.as_str()), (7, "Error"));
    assert_eq!(last.message, "no disk");
    assert_eq!(code(700), None, "the restart is out of the window");
    let ended = json!({"terminated": {"exitCode": 8}});
    bench.see(Kind::Pod, &crash_round(12, 2, &ended, "False", 800), 800);
    bench.see(Kind::Pod, &crash_round(13, 3, &ended, "False", 801), 801);
    assert_eq!(code(801), Some(8), "the newest of two that failed");
}

#[test]
fn the_last_run_is_the_newest_of_a_container_that_was_restarted_and_of_two_the_one_that_failed() {
    let last =
        |code: i32, time: &str| json!({"terminated": {"exitCode": code, "finishedAt": time}});
    let once = json!({"restartCount": 0, "state": last(5, "2026-05-01T12:00:09Z")});
    let failed = json!({"restartCount": 1, "state": {"running": {}}, "lastState": last(3, "2026-05-01T12:00:05Z")});
    let done = json!({"restartCount": 1, "state": last(0, "2026-05-01T12:00:05Z"), "lastState": last(4, "2026-05-01T12:00:01Z")});
    let mut again = pod("agent-1", 11);
    again["status"]["containerStatuses"] = json!([once, failed, done]);
    let log = format!("{}cause", "x".repeat(2000));
    again["status"]["containerStatuses"][1]["lastState"]["terminated"]["message"] = json!(log);
    let bench = Bench::new();
    bench.see(Kind::Pod, &pod("agent-1", 10), 0);
    bench.see(Kind::Pod, &again, 1);
    let last = bench.pod(1).last_run.unwrap();
    assert_eq!(last.code, 3);
    assert!(last.message.len() < 256 && last.message.ends_with("cause"));
}

/// A pod in a round of a crash loop: waiting, then running (and ready, without a probe), then ended.
fn crash_round(version: u64, restarts: u32, state: &Value, ready: &str, second: i64) -> Value {
    let mut pod = with_ready(pod("agent-1", version), ready, at(second));
    let last = json!({"terminated": {"exitCode": 7, "reason": "Error", "message": "no disk"}});
    pod["status"]["containerStatuses"] =
        json!([{"restartCount": restarts, "state": state, "lastState": last}]);
    pod
}

#[test]
fn a_round_of_a_crash_loop_changes_neither_the_trouble_nor_the_exit() {
    let bench = Bench::new();
    let (mut version, mut restarts) = (10, 1);
    let mut told = Vec::new();
    for (second, delay) in [(0, "10s"), (40, "20s"), (100, "40s"), (500, "5m0s")] {
        let message = format!("back-off {delay} restarting failed container=main");
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}});
        let ended = json!({"terminated": {"exitCode": 7, "reason": "Error", "message": "no disk"}});
        for (state, ready) in [
            (waiting, "False"),
            (json!({"running": {}}), "True"),
            (ended, "False"),
        ] {
            version += 1;
            restarts += u32::from(ready == "True");
            let round = crash_round(version, restarts, &state, ready, second);
            bench.see(Kind::Pod, &round, second);
            let view = bench.pod(second);
            told.push((view.trouble, view.exit));
        }
    }
    let (trouble, exit) = told[0].clone();
    assert_eq!(
        trouble.map(|trouble| (trouble.reason, trouble.message)),
        Some((
            "CrashLoopBackOff".to_owned(),
            "restarting failed container=main".to_owned()
        ))
    );
    assert_eq!(exit.map(|exit| exit.code), Some(7));
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
}

#[test]
fn a_crash_loop_is_over_when_the_pod_was_ready_for_a_minute_or_has_not_restarted_for_ten() {
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "x"}});
    for (ready, over) in [("True", 60), ("False", 600)] {
        let bench = Bench::new();
        bench.see(Kind::Pod, &crash_round(10, 3, &waiting, "False", 0), 0);
        let running = crash_round(11, 3, &json!({"running": {}}), ready, 0);
        bench.see(Kind::Pod, &running, 0);
        assert_eq!(bench.index.due(at(over - 1)), []);
        assert!(bench.pod(over).trouble.is_some());
        assert_eq!(bench.index.due(at(over)), [task_key()]);
        let view = bench.pod(over);
        assert_eq!((view.trouble, view.exit), (None, None), "{ready}");
        assert_eq!(bench.index.due(at(over + 5)), [], "told once");
    }
}
