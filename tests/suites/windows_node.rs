//! A real Windows node: kubelet and containerd for Windows, unpatched, start our shim under Wine.
//!
//! Longer than 400 lines: all scenarios share one node, whose start takes longer than most of them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed step fails the scenario"
)]

#[path = "windows_node/bench.rs"]
mod bench;
#[path = "windows_node/volumes.rs"]
mod volumes;

use std::time::Instant;

use bench::{SOON, bench, codes, containers, probe, restarts, scenario, with};
use hosttask_tests::poll;
use hosttask_tests::windows_node::WindowsNode;
use serde_json::{Value, json};

#[test]
fn kubelet_joins_the_cluster_as_the_machine_that_its_registry_describes() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        // A kubelet that was just started asks containerd for its version a little later.
        let info = poll::until("the version of containerd", SOON, || async {
            let info = bench.read_node().await.status.unwrap().node_info.unwrap();
            if info
                .container_runtime_version
                .starts_with("containerd://2.")
            {
                Ok(info)
            } else {
                Err(info.container_runtime_version)
            }
        })
        .await
        .unwrap();
        let machine = bench.node.machine();
        assert_eq!(info.operating_system, "windows");
        assert_eq!(info.boot_id, machine.boot.to_string());
        assert_eq!(
            format!("{{{}}}", info.system_uuid.to_lowercase()),
            machine.hardware
        );
        assert_eq!(info.kernel_version, "10.0.20348.2700");
    });
}

#[test]
fn the_whole_exit_code_and_both_streams_of_every_container_of_a_pod_arrive() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let all = [
            probe(
                "installer",
                &["print", "out", "complain", "err", "exit", "3010"],
            ),
            probe("failed", &["exit", "1603"]),
            probe("fine", &["print", "fine"]),
        ];
        bench.create("codes", &json!({ "containers": all })).await;
        let status = bench.ended("codes").await;
        assert_eq!(status["phase"], "Failed");
        let mut codes = codes(&status);
        codes.sort_unstable();
        assert_eq!(codes, [0, 1603, 3010]);
        let log = bench.logs("codes", "installer").await;
        assert!(log.contains("out") && log.contains("err"), "{log}");
        assert!(bench.logs("codes", "fine").await.contains("fine"));
        bench.delete("codes").await;
    });
}

#[test]
fn init_containers_run_one_after_the_other_and_before_all_others() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let first = "C:\\node\\init-first";
        let second = "C:\\node\\init-second";
        let spec = json!({
            "initContainers": [
                probe("first", &["sleep", "700", "write", first, "1"]),
                probe("second", &["show", first, "sleep", "700", "write", second, "2"]),
            ],
            "containers": [probe("main", &["show", second])],
        });
        bench.create("ordered", &spec).await;
        let status = bench.ended("ordered").await;
        assert_eq!(status["phase"], "Succeeded", "{status}");
        assert!(bench.logs("ordered", "main").await.contains('2'));
        bench.delete("ordered").await;
    });
}

#[test]
fn an_init_container_that_fails_fails_the_pod_and_nothing_else_of_it_starts() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let started = "C:\\node\\after-failure";
        let spec = json!({
            "initContainers": [probe("fails", &["exit", "9"])],
            "containers": [probe("main", &["write", started, "x"])],
        });
        bench.create("init-fails", &spec).await;
        let status = bench.ended("init-fails").await;
        assert_eq!(status["phase"], "Failed");
        let init = &status["initContainerStatuses"][0]["state"]["terminated"];
        assert_eq!(init["exitCode"], 9);
        assert!(!bench.node.drive().join("node/after-failure").exists());
        bench.delete("init-fails").await;
    });
}

#[test]
fn a_container_that_fails_is_started_again_with_growing_pauses() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let spec = json!({
            "restartPolicy": "OnFailure",
            "containers": [probe("main", &["exit", "3"])],
        });
        bench.create("crashes", &spec).await;
        let status = bench
            .wait("crashes", "in back-off after a second start", |status| {
                restarts(status) >= 1
                    && status["containerStatuses"][0]["state"]["waiting"]["reason"]
                        == "CrashLoopBackOff"
            })
            .await;
        let last = &containers(&status)[0]["lastState"]["terminated"];
        assert_eq!(last["exitCode"], 3, "{status}");
        bench.delete("crashes").await;
    });
}

#[test]
fn with_restart_policy_always_a_container_that_succeeds_is_started_again_too() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let spec = json!({
            "restartPolicy": "Always",
            "containers": [probe("main", &["exit", "0"])],
        });
        bench.create("always", &spec).await;
        bench
            .wait("always", "started again", |status| restarts(status) >= 1)
            .await;
        bench.delete("always").await;
    });
}

#[test]
fn a_command_in_a_running_container_gets_input_and_gives_output_errors_and_its_code() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        bench
            .create(
                "target",
                &json!({ "containers": [probe("main", &["hang"])] }),
            )
            .await;
        bench.running("target").await;
        let code = bench
            .exec(
                "target",
                &["print", "out", "complain", "err", "exit", "7"],
                "",
            )
            .await;
        assert_eq!(code.code, Some(7), "{code:?}");
        assert!(
            code.stdout.contains("out") && !code.stdout.contains("err"),
            "{code:?}"
        );
        assert!(code.stderr.contains("err"), "{code:?}");
        let echo = bench.exec("target", &["echo"], "one line\n").await;
        assert_eq!(
            (echo.code, echo.stdout.as_str()),
            (Some(0), "one line\n"),
            "{echo:?}"
        );
        bench.delete("target").await;
    });
}

#[test]
fn a_pod_is_ready_by_commands_requests_and_connections_and_a_failing_check_restarts_it() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let file = "C:\\node\\ready-now";
        let health = bench.node.health_port();
        let every = |check: Value| {
            let mut check = check;
            check["periodSeconds"] = json!(1);
            check["timeoutSeconds"] = json!(20);
            check
        };
        let local = "127.0.0.1";
        let spec = json!({ "containers": [
            with(probe("command", &["hang"]), &json!({ "readinessProbe":
                every(json!({ "exec": { "command": [WindowsNode::PROBE, "show", file] } })) })),
            with(probe("request", &["hang"]), &json!({ "readinessProbe":
                every(json!({ "httpGet": { "host": local, "port": health, "path": "/healthz" } })) })),
            with(probe("connection", &["hang"]), &json!({ "readinessProbe":
                every(json!({ "tcpSocket": { "host": local, "port": health } })) })),
        ]});
        bench.create("checked", &spec).await;
        let ready = |status: &Value, name: &str| {
            let all = containers(status);
            all.iter()
                .any(|one| one["name"] == name && one["ready"] == true)
        };
        let status = bench
            .wait("checked", "two of three ready", |status| {
                ready(status, "request") && ready(status, "connection")
            })
            .await;
        assert!(!ready(&status, "command"), "{status}");
        std::fs::write(bench.node.drive().join("node/ready-now"), "x").unwrap();
        bench
            .wait("checked", "ready", |status| ready(status, "command"))
            .await;
        bench.delete("checked").await;
    });
}

#[test]
fn a_container_that_is_found_dead_is_ended_and_started_again() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let check = json!({ "exec": { "command": [WindowsNode::PROBE, "exit", "1"] },
            "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 20 });
        let main = with(
            probe("main", &["tree", "4", "hang"]),
            &json!({ "livenessProbe": check }),
        );
        let spec = json!({ "restartPolicy": "Always", "containers": [main] });
        bench.create("found-dead", &spec).await;
        bench
            .wait("found-dead", "started again", |status| {
                restarts(status) >= 1
            })
            .await;
        bench.delete("found-dead").await;
    });
}

#[test]
fn hooks_run_after_the_start_and_before_the_stop() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let hook =
            |file: &str| json!({ "exec": { "command": [WindowsNode::PROBE, "write", file, "x"] } });
        let lifecycle = json!({ "lifecycle": {
            "postStart": hook("C:\\node\\post-start"), "preStop": hook("C:\\node\\pre-stop"),
        }});
        let main = with(probe("main", &["hang"]), &lifecycle);
        bench
            .create(
                "hooks",
                &json!({ "containers": [main], "terminationGracePeriodSeconds": 20 }),
            )
            .await;
        bench.running("hooks").await;
        let file = |name: &str| bench.node.drive().join("node").join(name);
        assert!(file("post-start").exists());
        assert!(!file("pre-stop").exists());
        bench.delete("hooks").await;
        assert!(file("pre-stop").exists());
    });
}

#[test]
fn a_program_that_ignores_being_asked_has_its_whole_grace_period_and_then_its_tree_ends() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let spec = json!({
            "containers": [probe("main", &["ignore", "tree", "3", "hang"])],
            "terminationGracePeriodSeconds": 6,
        });
        bench.create("stubborn", &spec).await;
        bench.running("stubborn").await;
        let asked = Instant::now();
        bench.delete("stubborn").await;
        assert!(asked.elapsed().as_secs() >= 6, "{:?}", asked.elapsed());
    });
}

#[test]
fn a_program_that_ends_when_asked_does_not_wait_for_the_end_of_its_grace_period() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let done = "C:\\node\\polite-done";
        let spec = json!({
            "containers": [probe("main", &["on-interrupt", "0", "ready", done, "hang"])],
            "terminationGracePeriodSeconds": 600,
        });
        bench.create("polite", &spec).await;
        bench.running("polite").await;
        // Gone within the limit of a step, which is shorter than the grace period.
        bench.delete("polite").await;
    });
}

#[test]
fn the_statistics_of_the_node_have_the_processor_time_and_the_memory_of_each_container() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let main = probe("main", &["burn", "3000", "hang"]);
        bench
            .create("measured", &json!({ "containers": [main] }))
            .await;
        bench.running("measured").await;
        let path = format!("/api/v1/nodes/{}/proxy/stats/summary", bench.node.name());
        poll::until("the numbers of the container", SOON, || async {
            let answer = bench
                .cluster
                .kubectl(&["get", "--raw", &path])
                .await
                .unwrap();
            let summary: Value =
                serde_json::from_str(&answer.stdout).map_err(|_| format!("{answer:?}"))?;
            let pods = summary["pods"].as_array().cloned().unwrap_or_default();
            let pod = pods
                .into_iter()
                .find(|pod| pod["podRef"]["name"] == "measured")
                .ok_or_else(|| answer.stdout.clone())?;
            let container = &pod["containers"][0];
            let processor = container["cpu"]["usageCoreNanoSeconds"].as_u64();
            let memory = container["memory"]["workingSetBytes"].as_u64();
            // Under load a second on the clock is less of the processor.
            match (processor, memory) {
                (Some(100_000_000..), Some(1..)) => Ok(()),
                _ => Err(pod.to_string()),
            }
        })
        .await
        .unwrap();
        bench.delete("measured").await;
    });
}

#[test]
fn twelve_pods_at_once_all_run_to_their_own_end() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let name = |number: u32| format!("one-of-twelve-{number}");
        for number in 1..=12 {
            let code = (1000 + number).to_string();
            let main = probe("main", &["print", &code, "exit", &code]);
            bench
                .create(&name(number), &json!({ "containers": [main] }))
                .await;
        }
        for number in 1..=12 {
            let status = bench.ended(&name(number)).await;
            assert_eq!(codes(&status), [1000 + i64::from(number)]);
            let log = bench.logs(&name(number), "main").await;
            assert!(log.contains(&(1000 + number).to_string()), "{log}");
            bench.delete(&name(number)).await;
        }
    });
}

#[test]
fn kubelet_and_containerd_may_be_killed_and_started_again_and_no_container_notices() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.alone().await;
        let go = "C:\\node\\go-on";
        let main = probe(
            "main",
            &["print", "before", "await", go, "print", "after", "hang"],
        );
        bench
            .create("stays", &json!({ "containers": [main] }))
            .await;
        let before = bench.running("stays").await;
        bench.wait_logs("stays", "main", "before").await;
        bench.node.restart_kubelet().await.unwrap();
        bench.node.restart_containerd().await.unwrap();
        std::fs::write(bench.node.drive().join("node/go-on"), "x").unwrap();
        let log = bench.wait_logs("stays", "main", "after").await;
        assert_eq!(log.matches("before").count(), 1, "{log}");
        let after = bench.running("stays").await;
        assert_eq!(restarts(&after), 0);
        assert_eq!(
            containers(&before)[0]["containerID"],
            containers(&after)[0]["containerID"]
        );
        let code = bench.exec("stays", &["exit", "5"], "").await;
        assert_eq!(code.code, Some(5), "{code:?}");
        bench.delete("stays").await;
    });
}

#[test]
fn after_a_loss_of_power_the_node_has_another_boot_id_and_runs_its_pods_again() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.alone().await;
        let main = probe("main", &["hang"]);
        bench
            .create(
                "survivor",
                &json!({ "containers": [main], "restartPolicy": "Always" }),
            )
            .await;
        let before = bench.running("survivor").await;
        let uuid = bench
            .read_node()
            .await
            .status
            .unwrap()
            .node_info
            .unwrap()
            .system_uuid;
        bench.node.reboot().await.unwrap();
        let first = containers(&before)[0]["containerID"].clone();
        bench
            .wait("survivor", "running in a new container", |status| {
                let now = &status["containerStatuses"][0];
                now["state"]["running"].is_object() && now["containerID"] != first
            })
            .await;
        let info = bench.read_node().await.status.unwrap().node_info.unwrap();
        assert_eq!(info.boot_id, bench.node.machine().boot.to_string());
        assert_eq!(info.system_uuid, uuid);
        bench.delete("survivor").await;
    });
}

#[test]
fn a_node_with_a_new_image_of_windows_has_another_system_uuid() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.alone().await;
        let info = || async { bench.read_node().await.status.unwrap().node_info.unwrap() };
        let before = info().await;
        bench.node.reimage().await.unwrap();
        let after = info().await;
        assert_ne!(after.system_uuid, before.system_uuid);
        assert_eq!(after.boot_id, "1");
        let spec = json!({ "containers": [probe("main", &["exit", "0"])] });
        bench.create("afterwards", &spec).await;
        assert_eq!(bench.ended("afterwards").await["phase"], "Succeeded");
        bench.delete("afterwards").await;
    });
}
