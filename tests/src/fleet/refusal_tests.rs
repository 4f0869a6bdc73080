//! What a Windows node refuses, and how it shows.

use serde_json::{Value, json};

use super::builder::{Bench, pod};

fn bench(spec: Value) -> Bench {
    let mut bench = Bench::new(pod(spec), "rules: []");
    bench.run(60.0);
    bench
}

fn account(name: Option<&str>) -> Value {
    json!({"restartPolicy": "Never",
        "securityContext": {"windowsOptions": {"hostProcess": true, "runAsUserName": name}}})
}

#[test]
fn a_pod_for_another_operating_system_fails_at_admission() {
    let bench = bench(json!({"os": {"name": "linux"}}));
    assert_eq!(
        (bench.phase(), bench.status.reason.as_deref()),
        ("Failed", Some("PodOSNotSupported"))
    );
    assert!(bench.starts.is_empty() && bench.status.container_statuses.is_none());

    let mut labelled = pod(json!({}));
    labelled
        .labels
        .insert("kubernetes.io/os".to_owned(), "linux".to_owned());
    let mut bench = Bench::new(labelled, "rules: []");
    bench.run(1.0);
    assert_eq!(
        bench.status.reason.as_deref(),
        Some("PodOSSelectorNodeLabelDoesNotMatch")
    );
}

#[test]
fn a_sandbox_that_cannot_be_made_leaves_the_pod_creating_with_an_event() {
    let image = "example.com/agent:1";
    let mixed = json!({"securityContext": {}, "containers": [
        {"name": "main", "image": image, "securityContext": {"windowsOptions": {"hostProcess": true}}},
        {"name": "other", "image": image},
    ]});
    let denied = json!({
        "securityContext": {"windowsOptions": {"hostProcess": false}},
        "containers": [{"name": "main", "image": image, "securityContext": {"windowsOptions": {"hostProcess": true}}}],
    });
    for (spec, message) in [
        (mixed, "both HostProcess and non-HostProcess"),
        (denied, "is set to false"),
        (json!({"hostNetwork": false}), "hostNetwork is required"),
    ] {
        let bench = bench(spec);
        assert_eq!(
            (bench.phase(), bench.doing().as_str()),
            ("Pending", "ContainerCreating")
        );
        assert!(bench.starts.is_empty());
        assert_eq!(bench.refusals.len(), 1);
        let event = &bench.refusals[0];
        assert!(
            event.starts_with("FailedCreatePodSandBox: ") && event.contains(message),
            "{event}"
        );
        assert_eq!(bench.condition("PodReadyToStartContainers").0, "False");
    }
}

#[test]
fn accounts_that_exist_on_every_node_run() {
    for name in [
        "NT AUTHORITY\\SYSTEM",
        "NT AUTHORITY\\Local service",
        "NT AUTHORITY\\NetworkService",
        "Administrators",
        "performance monitor users",
    ] {
        assert_eq!(bench(account(Some(name))).phase(), "Succeeded", "{name}");
    }
}

#[test]
fn accounts_that_cannot_log_on_are_start_errors() {
    for (name, message) in [
        (Some("nt authority\\SYSTEM"), "failed to logon user"),
        (Some("CONTOSO\\svc"), "failed to logon user"),
        (Some("ContainerUser"), "failed to logon user"),
        (Some("a\\b\\c"), "more than one backslash"),
        (None, "empty username or group name passed"),
    ] {
        let bench = bench(account(name));
        assert_eq!(
            (bench.phase(), bench.doing().as_str()),
            ("Failed", "StartError(128)"),
            "{name:?}"
        );
        let end = bench.main().state.as_ref().unwrap().terminated.clone();
        let told = end.unwrap().message.unwrap();
        assert!(told.contains(message), "{name:?}: {told}");
        assert!(bench.starts.is_empty());
    }
}

#[test]
fn without_an_account_the_one_of_the_image_is_used() {
    let spec = |image: &str| {
        let mut spec = account(None);
        spec["containers"] = json!([{"name": "main", "image": image}]);
        spec
    };
    let nano = bench(spec("mcr.microsoft.com/windows/nanoserver:ltsc2022"));
    let told = nano
        .main()
        .state
        .as_ref()
        .unwrap()
        .terminated
        .clone()
        .unwrap();
    assert!(told.message.unwrap().contains("ContainerUser"));
    let script = r#"rules: [{behaviour: {imageUser: "NT AUTHORITY\\SYSTEM"}}]"#;
    let mut scripted = Bench::new(pod(spec("example.com/own:1")), script);
    scripted.run(60.0);
    assert_eq!(scripted.phase(), "Succeeded");
}

#[test]
fn the_inherit_annotation_needs_no_account_and_the_disable_annotation_refuses() {
    for (annotation, phase) in [
        ("microsoft.com/hostprocess-inherit-user", "Succeeded"),
        ("microsoft.com/disable-hostprocess-container", "Failed"),
    ] {
        let mut agent = pod(account(None));
        agent
            .annotations
            .insert(annotation.to_owned(), "true".to_owned());
        let mut bench = Bench::new(agent, "rules: []");
        bench.run(60.0);
        assert_eq!(bench.phase(), phase, "{annotation}");
    }
}

#[test]
fn a_failed_start_of_a_daemon_shows_its_own_reason_and_then_the_back_off() {
    let mut bench = Bench::new(
        pod(json!({"securityContext": {"windowsOptions": {"hostProcess": true}}})),
        "rules: []",
    );
    bench.run(1.0);
    assert_eq!(
        (bench.phase(), bench.doing().as_str()),
        ("Running", "RunContainerError")
    );
    bench.run(5.0);
    assert_eq!(bench.doing(), "CrashLoopBackOff");
    bench.run(30.0);
    assert!(bench.main().restart_count >= 2);
    let last = bench
        .main()
        .last_state
        .as_ref()
        .unwrap()
        .terminated
        .clone()
        .unwrap();
    assert_eq!(
        (last.reason.as_deref(), last.exit_code),
        (Some("StartError"), 128)
    );
}

#[test]
fn an_administrator_account_breaks_the_non_root_policy() {
    let bench = bench(json!({"securityContext": {"runAsNonRoot": true,
        "windowsOptions": {"hostProcess": true, "runAsUserName": "containeradministrator"}}}));
    assert_eq!(
        (bench.phase(), bench.doing().as_str()),
        ("Pending", "CreateContainerConfigError")
    );
    assert_eq!(
        bench.refusals.len(),
        1,
        "the same refusal is told once: {:?}",
        bench.refusals
    );
}

#[test]
fn a_mount_at_drive_c_is_a_create_error_and_one_below_it_is_not() {
    let spec = |path: &str| {
        json!({"volumes": [{"name": "data", "emptyDir": {}}], "containers": [
            {"name": "main", "image": "a:1", "volumeMounts": [{"name": "data", "mountPath": path}]},
        ]})
    };
    for path in ["C:", "c:\\", "C:/"] {
        let bench = bench(spec(path));
        assert_eq!(bench.doing(), "CreateContainerError", "{path}");
    }
    assert_eq!(bench(spec("C:\\data")).doing(), "running");
}

#[test]
fn a_named_pipe_mount_is_refused_for_host_process_containers_only() {
    let spec = |host_process: bool| {
        json!({
            "restartPolicy": "Never",
            "securityContext": {"windowsOptions":
                {"hostProcess": host_process, "runAsUserName": "NT AUTHORITY\\SYSTEM"}},
            "volumes": [{"name": "pipe", "hostPath": {"path": "//./Pipe/containerd-containerd"}}],
            "containers": [{"name": "main", "image": "a:1",
                "volumeMounts": [{"name": "pipe", "mountPath": "\\\\.\\pipe\\containerd"}]}],
        })
    };
    let refused = bench(spec(true));
    assert_eq!(refused.doing(), "StartError(128)");
    assert!(refused.refusals[0].contains("named pipe"));
    assert_eq!(bench(spec(false)).phase(), "Succeeded");
}

#[test]
fn a_missing_image_is_tried_again_and_found_when_it_appears() {
    let mut bench = Bench::new(
        pod(json!({})),
        "rules: [{behaviour: {image: Missing, pullSeconds: 1}}]",
    );
    bench.run(1.5);
    assert_eq!(
        (bench.phase(), bench.doing().as_str()),
        ("Pending", "ErrImagePull")
    );
    bench.run(5.0);
    assert_eq!(bench.doing(), "ImagePullBackOff");
    bench.script = super::script::Script::default();
    bench.run(60.0);
    assert_eq!(bench.doing(), "running");
}
