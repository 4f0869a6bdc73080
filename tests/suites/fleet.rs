//! The simulated Windows fleet on the real control plane: the built-in controllers take it for real nodes.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by a panic, in its helpers too"
)]

#[path = "fleet/bench.rs"]
mod bench;

use std::time::Duration;

use hosttask_tests::cluster::ClusterOptions;
use hosttask_tests::fleet::FleetOptions;
use hosttask_tests::poll::until;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Namespace};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::json;

use bench::{LIMIT, daemon_set, is_ready, main_container, options, phase, spec, start};

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_daemon_set_becomes_ready_on_every_node() {
    let bench = start(ClusterOptions::default(), options(12, "rules: []")).await;
    bench
        .create_daemon_set(&daemon_set("agent", json!({})))
        .await;
    bench.daemon_set_is_ready("agent", 12).await;
    let stats = bench.fleet.stats();
    for node in bench.fleet.nodes() {
        assert_eq!(stats.starts(node, "agent"), 1, "{node}");
        assert_eq!(stats.most_running(node, "agent"), 1, "{node}");
    }
    let node = bench.nodes().get("win-0001").await.unwrap();
    let info = node.status.unwrap().node_info.unwrap();
    assert_eq!(info.operating_system, "windows");
    assert!(info.os_image.starts_with("Windows Server"));
    // Each pod costs the node two reports: it was accepted, and it is ready.
    assert!(stats.pod_writes <= 24, "{} writes", stats.pod_writes);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_nodes_run_in_one_process() {
    let bench = start(ClusterOptions::default(), options(200, "rules: []")).await;
    bench
        .create_daemon_set(&daemon_set("agent", json!({})))
        .await;
    bench.daemon_set_is_ready("agent", 200).await;
    let stats = bench.fleet.stats();
    assert_eq!(stats.starts_of_task("agent"), 200);
    assert_eq!(stats.most_running_anywhere(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_asks_for_a_reboot_fails_with_code_3010_in_the_pods_status() {
    let script =
        "rules: [{task: install, behaviour: {exit: {code: 3010, log: \"restart needed\"}}}]";
    let bench = start(ClusterOptions::default(), options(1, script)).await;
    let job: Job = serde_json::from_value(json!({
        "metadata": {"name": "install"},
        "spec": {"backoffLimit": 0, "template": {
            "metadata": {"labels": {"hosttask.dev/task": "install"}},
            "spec": spec(json!({"restartPolicy": "Never", "containers": [{
                "name": "main", "image": "example.com/agent:1",
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }]})),
        }},
    }))
    .unwrap();
    let jobs: Api<Job> = Api::namespaced(bench.client.clone(), "default");
    jobs.create(&PostParams::default(), &job).await.unwrap();
    let failed = until("the Job to fail", LIMIT, || async {
        let job = jobs
            .get("install")
            .await
            .map_err(|error| error.to_string())?;
        let conditions = job
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        let failed = conditions
            .iter()
            .any(|condition| condition.type_ == "Failed" && condition.status == "True");
        failed
            .then_some(())
            .ok_or_else(|| format!("{conditions:?}"))
    });
    failed.await.unwrap();
    let pod = bench.one_pod("hosttask.dev/task=install").await;
    assert_eq!(phase(&pod), "Failed");
    let end = &main_container(&pod)["state"]["terminated"];
    assert_eq!(
        (&end["exitCode"], &end["message"]),
        (&json!(3010), &json!("restart needed"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_counts_restarts_and_backs_off() {
    let script = "rules: [{behaviour: {crashLoop: {code: -1073741819}}}]";
    let bench = start(ClusterOptions::default(), options(1, script)).await;
    bench.create_pod("crash", "win-0001", json!({})).await;
    let pod = bench
        .pod_when("crash", |pod| {
            let main = main_container(pod);
            main["restartCount"].as_i64() >= Some(3)
                && main["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    let main = main_container(&pod);
    assert_eq!(
        main["lastState"]["terminated"]["exitCode"],
        json!(-1_073_741_819)
    );
    assert_eq!((phase(&pod), is_ready(&pod)), ("Running", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_turns_unknown_stays_silent_and_catches_up_when_it_revives() {
    let cluster = ClusterOptions {
        node_monitor_grace: Duration::from_secs(6),
        ..ClusterOptions::default()
    };
    let fleet = FleetOptions {
        lease_interval: Some(Duration::from_secs(1)),
        ..options(2, "rules: []")
    };
    let bench = start(cluster, fleet).await;
    for pod in ["stays", "serves"] {
        bench.create_pod(pod, "win-0001", json!({})).await;
        bench.pod_when(pod, is_ready).await;
    }
    bench.fleet.kill_node("win-0001").await.unwrap();
    let ready_is = |wanted: &'static str| {
        let nodes = bench.nodes();
        async move {
            let what = format!("Ready={wanted}");
            let seen = until(&what, LIMIT, || async {
                let node = nodes
                    .get("win-0001")
                    .await
                    .map_err(|error| error.to_string())?;
                let conditions = node
                    .status
                    .and_then(|status| status.conditions)
                    .unwrap_or_default();
                let ready = conditions
                    .into_iter()
                    .find(|condition| condition.type_ == "Ready");
                let status = ready.map(|ready| ready.status).unwrap_or_default();
                if status == wanted {
                    Ok(())
                } else {
                    Err(status)
                }
            });
            seen.await.unwrap();
        }
    };
    ready_is("Unknown").await;
    // The controllers take the pods of a silent node for not ready.
    bench.pod_when("serves", |pod| !is_ready(pod)).await;
    bench
        .pods()
        .delete("stays", &DeleteParams::default())
        .await
        .unwrap();
    let before = bench.create_pod("later", "win-0001", json!({})).await;
    // The other node is the clock: when its pod is ready, a living node would have reported the first one too.
    bench.create_pod("other", "win-0002", json!({})).await;
    bench.pod_when("other", is_ready).await;
    let later = bench.pods().get("later").await.unwrap();
    assert_eq!(
        later.status.unwrap().container_statuses,
        before.status.unwrap().container_statuses
    );
    let stays = bench.pods().get("stays").await.unwrap();
    assert!(stays.metadata.deletion_timestamp.is_some());
    bench.fleet.revive_node("win-0001").await.unwrap();
    ready_is("True").await;
    let gone = until("the deleted pod to go", LIMIT, || async {
        let left = bench
            .pods()
            .get_opt("stays")
            .await
            .map_err(|error| error.to_string())?;
        left.map_or(Ok(()), |_| Err("still there".to_owned()))
    });
    gone.await.unwrap();
    bench.pod_when("later", is_ready).await;
    bench.pod_when("serves", is_ready).await;
    assert_eq!(bench.fleet.stats().starts("win-0001", "serves"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_changes_the_boot_id_and_starts_the_containers_again() {
    let bench = start(ClusterOptions::default(), options(1, "rules: []")).await;
    let info = || async {
        let node = bench.nodes().get("win-0001").await.unwrap();
        (node.metadata.uid, node.status.unwrap().node_info.unwrap())
    };
    bench.create_pod("agent", "win-0001", json!({})).await;
    bench.pod_when("agent", is_ready).await;
    let (_, first) = info().await;
    bench
        .fleet
        .reboot_node("win-0001", Duration::from_millis(200))
        .await
        .unwrap();
    let (_, second) = info().await;
    assert_ne!(first.boot_id, second.boot_id);
    assert_eq!(first.system_uuid, second.system_uuid);
    let pod = bench
        .pod_when("agent", |pod| {
            is_ready(pod) && main_container(pod)["restartCount"] == 1
        })
        .await;
    assert_eq!(
        main_container(&pod)["lastState"]["terminated"]["exitCode"],
        json!(255)
    );
    assert_eq!(bench.fleet.stats().starts("win-0001", "agent"), 2);
    let (uid, _) = info().await;
    bench
        .fleet
        .reimage_node("win-0001", Duration::ZERO, true)
        .await
        .unwrap();
    let (new_uid, third) = info().await;
    assert_ne!(uid, new_uid);
    assert_ne!(second.system_uuid, third.system_uuid);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_join_and_leave() {
    let bench = start(ClusterOptions::default(), options(2, "rules: []")).await;
    bench
        .create_daemon_set(&daemon_set("agent", json!({})))
        .await;
    bench.daemon_set_is_ready("agent", 2).await;
    let joined = bench.fleet.add_nodes(3).await.unwrap();
    assert_eq!(joined, ["win-0003", "win-0004", "win-0005"]);
    bench.daemon_set_is_ready("agent", 5).await;
    bench.fleet.remove_node("win-0001").await.unwrap();
    assert!(bench.nodes().get_opt("win-0001").await.unwrap().is_none());
    assert!(bench.fleet.remove_node("win-0001").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_waits_for_the_containers_within_the_grace_period() {
    let script = "rules: [{task: slow, behaviour: {stop: {afterSeconds: 3}}}]";
    let bench = start(ClusterOptions::default(), options(1, script)).await;
    bench.create_pod("slow", "win-0001", json!({})).await;
    bench.pod_when("slow", is_ready).await;
    let asked = std::time::Instant::now();
    bench
        .pods()
        .delete("slow", &DeleteParams::default())
        .await
        .unwrap();
    bench
        .pod_when("slow", |pod| {
            pod.metadata.deletion_timestamp.is_some()
                && is_ready(pod)
                && !main_container(pod)["state"]["running"].is_null()
        })
        .await;
    let gone = until("the pod to go", LIMIT, || async {
        let left = bench
            .pods()
            .get_opt("slow")
            .await
            .map_err(|error| error.to_string())?;
        left.map_or(Ok(()), |_| Err("still there".to_owned()))
    });
    gone.await.unwrap();
    assert!(
        asked.elapsed() >= Duration::from_secs(3),
        "gone after {:?}",
        asked.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_windows_node_refuses_shows_in_the_status_and_as_an_event() {
    let bench = start(ClusterOptions::default(), options(1, "rules: []")).await;
    let linux = json!({"os": {"name": "linux"}, "securityContext": {}});
    bench.create_pod("linux", "win-0001", linux).await;
    let pod = bench.pod_when("linux", |pod| phase(pod) == "Failed").await;
    assert_eq!(
        pod.status.unwrap().reason.as_deref(),
        Some("PodOSNotSupported")
    );

    let nobody = json!({"restartPolicy": "Never", "securityContext": {"windowsOptions": {"hostProcess": true}}});
    bench.create_pod("nobody", "win-0001", nobody).await;
    let pod = bench.pod_when("nobody", |pod| phase(pod) == "Failed").await;
    let end = &main_container(&pod)["state"]["terminated"];
    assert_eq!(
        (&end["reason"], &end["exitCode"]),
        (&json!("StartError"), &json!(128))
    );

    let drive = json!({
        "volumes": [{"name": "drive", "emptyDir": {}}],
        "containers": [{"name": "main", "image": "example.com/agent:1",
            "volumeMounts": [{"name": "drive", "mountPath": "C:\\"}]}],
    });
    bench.create_pod("drive", "win-0001", drive).await;
    let pod = bench
        .pod_when("drive", |pod| {
            main_container(pod)["state"]["waiting"]["reason"] == "CreateContainerError"
        })
        .await;
    assert_eq!(phase(&pod), "Pending");

    let events: Api<Event> = Api::namespaced(bench.client.clone(), "default");
    let reported = until("an event of each refusal", LIMIT, || async {
        let events = events
            .list(&ListParams::default())
            .await
            .map_err(|error| error.to_string())?;
        let mut about: Vec<String> = events
            .items
            .into_iter()
            .map(|event| event.involved_object)
            .filter(|about| about.kind.as_deref() == Some("Pod"))
            .filter_map(|about| about.name)
            .collect();
        about.sort_unstable();
        about.dedup();
        if about == ["drive", "linux", "nobody"] {
            Ok(())
        } else {
            Err(format!("{about:?}"))
        }
    });
    reported.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_api_server_loses_no_report() {
    let script = "rules: [{behaviour: {pullSeconds: 2}}]";
    let bench = start(ClusterOptions::default(), options(3, script)).await;
    bench
        .create_daemon_set(&daemon_set("agent", json!({})))
        .await;
    bench.one_pod("app=agent").await;
    bench.cluster.kill_api_server().unwrap();
    bench.cluster.start_api_server().await.unwrap();
    bench.daemon_set_is_ready("agent", 3).await;
    let namespaces: Api<Namespace> = Api::all(bench.client.clone());
    assert!(namespaces.get("default").await.is_ok());
    assert_eq!(bench.fleet.stats().starts_of_task("agent"), 3);
}
