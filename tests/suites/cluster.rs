//! The local control plane keeps its promises to the suites.
//!
//! Longer than 400 lines: what the bench promises is one list, read from top to bottom.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by a panic, in its helpers too"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use hosttask_tests::cluster::{ClusterOptions, LocalCluster, Signal, Supervised};
use hosttask_tests::poll::until;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::KubeConfigOptions;
use kube::{Api, Client};
use serde_json::json;

/// Set for the process that is to be killed while it holds a cluster.
const HOLD: &str = "HOSTTASK_TEST_HOLD";
/// Two cores may be shared with a compiler.
const LIMIT: Duration = Duration::from_mins(2);

/// Only etcd and the API server: what a test without pods needs.
fn bare() -> ClusterOptions {
    ClusterOptions {
        controllers: false,
        scheduler: false,
        ..ClusterOptions::default()
    }
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some([("key".to_owned(), value.to_owned())].into()),
        ..ConfigMap::default()
    }
}

fn config_maps(client: Client) -> Api<ConfigMap> {
    Api::namespaced(client, "default")
}

/// Whether the process exists and is not only waiting to be collected.
fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim()
            .starts_with('Z')
    })
}

async fn until_gone(pids: &[u32], folder: &Path) {
    until(
        "the end of every server and of the folder",
        LIMIT,
        || async {
            let alive: Vec<u32> = pids.iter().copied().filter(|pid| is_alive(*pid)).collect();
            if alive.is_empty() && !folder.exists() {
                return Ok(());
            }
            Err(format!(
                "alive: {alive:?}, folder there: {}",
                folder.exists()
            ))
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn the_server_is_trusted_by_its_own_authority_and_by_no_other() {
    let cluster = LocalCluster::shared();
    let version = cluster.client().apiserver_version().await.unwrap();
    assert_eq!(version.major, "1");
    assert!(!cluster.config().accept_invalid_certs);
    assert_eq!(cluster.config().cluster_url.scheme_str(), Some("https"));

    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut config = cluster.config();
    config.root_cert = Some(vec![stranger.cert.der().to_vec()]);
    config.root_cert_file = None;
    config.auth_info = kube::config::AuthInfo::default();
    let error = Client::try_from(config)
        .unwrap()
        .apiserver_version()
        .await
        .unwrap_err();
    let chain = format!("{error:?}");
    assert!(
        chain.contains("UnknownIssuer"),
        "refused for another reason: {chain}"
    );
}

#[tokio::test]
async fn host_process_pods_are_created_and_bound_on_every_windows_node_and_on_no_other() {
    let client = LocalCluster::shared().client();
    for (name, os) in [
        ("win-1", "windows"),
        ("win-2", "windows"),
        ("lin-1", "linux"),
    ] {
        create_ready_node(&client, name, os).await;
    }
    let daemon_set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "agent" },
        "spec": {
            "selector": { "matchLabels": { "app": "agent" } },
            "template": {
                "metadata": { "labels": { "app": "agent" } },
                "spec": {
                    "os": { "name": "windows" },
                    "hostNetwork": true,
                    "nodeSelector": { "kubernetes.io/os": "windows" },
                    "securityContext": { "windowsOptions": {
                        "hostProcess": true, "runAsUserName": "NT AUTHORITY\\SYSTEM",
                    } },
                    "containers": [{ "name": "agent", "image": "agent:1" }],
                },
            },
        },
    });
    let daemon_sets =
        Api::<k8s_openapi::api::apps::v1::DaemonSet>::namespaced(client.clone(), "default");
    daemon_sets
        .create(
            &PostParams::default(),
            &serde_json::from_value(daemon_set).unwrap(),
        )
        .await
        .unwrap();

    let pods = Api::<Pod>::namespaced(client, "default");
    let bound = until("a bound pod on both Windows nodes", LIMIT, || async {
        let list = pods
            .list(&ListParams::default().labels("app=agent"))
            .await
            .unwrap();
        let mut nodes: Vec<String> = list
            .items
            .into_iter()
            .filter_map(|pod| pod.spec.and_then(|spec| spec.node_name))
            .collect();
        nodes.sort();
        if nodes.len() >= 2 {
            Ok(nodes)
        } else {
            Err(format!("{nodes:?}"))
        }
    })
    .await
    .unwrap();
    assert_eq!(bound, ["win-1", "win-2"]);
}

async fn create_ready_node(client: &Client, name: &str, os: &str) {
    let nodes = Api::<Node>::all(client.clone());
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": {
            "kubernetes.io/os": os, "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name,
        } },
    });
    nodes
        .create(
            &PostParams::default(),
            &serde_json::from_value(node).unwrap(),
        )
        .await
        .unwrap();
    let status = json!({ "status": {
        "capacity": { "cpu": "4", "memory": "16Gi", "pods": "110" },
        "allocatable": { "cpu": "4", "memory": "16Gi", "pods": "110" },
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready",
            "lastHeartbeatTime": jiff::Timestamp::now(), "lastTransitionTime": jiff::Timestamp::now(),
        }],
    } });
    nodes
        .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_audit_log_counts_a_write_once_and_a_dry_run_never() {
    let cluster = LocalCluster::shared();
    let maps = config_maps(cluster.client());
    let mut reader = cluster.audit_reader();
    reader.skip_to_end().unwrap();

    let rehearsal = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    maps.create(&rehearsal, &config_map("counted", "1"))
        .await
        .unwrap();
    maps.create(&PostParams::default(), &config_map("counted", "1"))
        .await
        .unwrap();
    maps.create(&PostParams::default(), &config_map("counted", "1"))
        .await
        .unwrap_err();
    maps.get("counted").await.unwrap();

    let mut seen = Vec::new();
    until("the read in the log", LIMIT, || {
        seen.extend(
            reader
                .read()
                .unwrap()
                .into_iter()
                .filter(|event| event.user == "admin"),
        );
        // The log's lines come after the answers, and not always in their order.
        let ours = seen
            .iter()
            .filter(|event| event.resource == "configmaps")
            .count();
        async move {
            if ours >= 4 {
                Ok(())
            } else {
                Err(format!("{ours} requests"))
            }
        }
    })
    .await
    .unwrap();
    seen.retain(|event| event.resource == "configmaps");
    assert_eq!(seen.len(), 4);
    let writes: Vec<_> = seen.iter().filter(|event| event.is_write()).collect();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!((writes[0].verb.as_str(), writes[0].code), ("create", 201));
    assert_eq!(
        (writes[0].namespace.as_str(), writes[0].name.as_str()),
        ("default", "counted")
    );
    let mut others: Vec<_> = seen
        .iter()
        .filter(|event| !event.is_write())
        .map(|e| (e.code, e.dry_run))
        .collect();
    others.sort_unstable();
    assert_eq!(others, [(200, false), (201, true), (409, false)]);
}

#[tokio::test]
async fn a_service_account_may_do_what_its_role_says_and_nothing_else() {
    let cluster = LocalCluster::shared();
    let manifest = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"},
         "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "reader"},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
         "subjects": [{"kind": "ServiceAccount", "name": "reader"}]}]}"#;
    let applied = cluster
        .kubectl_with_input(
            &["apply", "--server-side", "--namespace=default", "-f", "-"],
            manifest,
        )
        .await
        .unwrap();
    assert!(applied.is_success(), "{}", applied.stderr);

    let kubeconfig = cluster
        .service_account_kubeconfig("default", "reader")
        .await
        .unwrap();
    let file = kube::config::Kubeconfig::read_from(&kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .unwrap();
    let maps = config_maps(Client::try_from(config).unwrap());
    // The authorizer learns of a new role by its watch.
    until("the role to take effect", LIMIT, || async {
        maps.list(&ListParams::default())
            .await
            .map_err(|error| error.to_string())
    })
    .await
    .unwrap();
    let refused = maps
        .create(&PostParams::default(), &config_map("x", "1"))
        .await
        .unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 403));
}

#[tokio::test]
async fn kubectl_and_kstatus_answer() {
    let cluster = LocalCluster::shared();
    let ready = cluster.kubectl(&["get", "--raw", "/readyz"]).await.unwrap();
    assert_eq!(
        (ready.stdout.as_str(), ready.code),
        ("ok", Some(0)),
        "{}",
        ready.stderr
    );
    let missing = cluster
        .kubectl(&["get", "configmap", "no-such-name"])
        .await
        .unwrap();
    assert!(missing.stderr.contains("NotFound") && !missing.is_success());

    let object = |observed: i64, status: &str| {
        json!({
            "apiVersion": "example.com/v1", "kind": "Thing", "metadata": { "name": "a", "generation": 2 },
            "status": { "observedGeneration": observed,
                "conditions": [{ "type": "Ready", "status": status, "reason": "R", "message": "m" }] },
        })
    };
    assert_eq!(
        cluster.kstatus(&object(2, "True")).await.unwrap().status,
        "Current"
    );
    assert_eq!(
        cluster.kstatus(&object(2, "False")).await.unwrap().status,
        "InProgress"
    );
    assert_eq!(
        cluster.kstatus(&object(1, "True")).await.unwrap().status,
        "InProgress"
    );
}

#[tokio::test]
async fn two_clusters_live_side_by_side_and_end_apart() {
    let (first, second) =
        tokio::try_join!(LocalCluster::start(bare()), LocalCluster::start(bare())).unwrap();
    let (one, two) = (config_maps(first.client()), config_maps(second.client()));
    one.create(&PostParams::default(), &config_map("mine", "1"))
        .await
        .unwrap();
    assert!(two.get_opt("mine").await.unwrap().is_none());

    let (pids, folder) = (first.pids(), first.dir().to_owned());
    assert_eq!(pids.iter().filter(|pid| is_alive(**pid)).count(), 2);
    drop(first);
    until_gone(&pids, &folder).await;
    two.create(&PostParams::default(), &config_map("mine", "1"))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_api_server_restart_keeps_the_data_and_the_address() {
    let cluster = LocalCluster::start(bare()).await.unwrap();
    let maps = config_maps(cluster.client());
    maps.create(&PostParams::default(), &config_map("stays", "before"))
        .await
        .unwrap();

    cluster.stop_api_server().await.unwrap();
    maps.get("stays").await.unwrap_err();
    cluster.start_api_server().await.unwrap();
    assert_eq!(
        maps.get("stays").await.unwrap().data.unwrap()["key"],
        "before"
    );

    cluster.kill_api_server().unwrap();
    cluster.start_api_server().await.unwrap();
    assert_eq!(
        maps.get("stays").await.unwrap().data.unwrap()["key"],
        "before"
    );
}

#[tokio::test]
async fn a_panic_keeps_the_logs_and_ends_the_servers() {
    let cluster = LocalCluster::start(bare()).await.unwrap();
    let (pids, folder) = (cluster.pids(), cluster.dir().to_owned());
    let task = tokio::spawn(async move {
        let _held = cluster;
        // Unlike `panic!` it runs no panic hook, which would keep the shared cluster's logs too.
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(task.await.unwrap_err().is_panic());
    assert!(folder.join("kube-apiserver.log").is_file());
    std::fs::remove_dir_all(&folder).unwrap();
    until_gone(&pids, &folder).await;
}

#[tokio::test]
async fn a_killed_process_leaves_no_server_and_no_folder() {
    if std::env::var_os(HOLD).is_some() {
        let cluster = LocalCluster::start(bare()).await.unwrap();
        // Standard output belongs to the test harness; a file is simpler to wait for.
        let report = json!({ "pids": cluster.pids(), "folder": cluster.dir() }).to_string();
        let path = PathBuf::from(std::env::var_os(HOLD).unwrap());
        std::fs::write(path.with_extension("partial"), report).unwrap();
        std::fs::rename(path.with_extension("partial"), path).unwrap();
        return std::future::pending().await;
    }
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("report");
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_process_leaves_no_server_and_no_folder"])
        .env(HOLD, &file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let report: serde_json::Value = until("the cluster of the other process", LIMIT, || async {
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    })
    .await
    .unwrap();
    let pids: Vec<u32> = serde_json::from_value(report["pids"].clone()).unwrap();
    let folder: PathBuf = serde_json::from_value(report["folder"].clone()).unwrap();
    assert!(pids.len() == 2 && pids.iter().all(|pid| is_alive(*pid)) && folder.is_dir());

    // SIGKILL: no destructor runs.
    holder.kill().unwrap();
    holder.wait().unwrap();
    until_gone(&pids, &folder).await;
}

#[tokio::test]
async fn a_supervised_program_tells_its_exit_code_and_obeys_signals() {
    let folder = tempfile::tempdir().unwrap();
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("GREETING", "hello");
        command
    };
    let ends = Supervised::start("ends", &shell("echo $GREETING; exit 3"), folder.path());
    let ends = ends.unwrap();
    assert_eq!(ends.wait().await.unwrap().code(), Some(3));
    assert_eq!(std::fs::read_to_string(ends.log()).unwrap(), "hello\n");

    let script = "trap 'exit 7' USR1; echo up; while :; do sleep 0.02; done";
    let obeys = Supervised::start("obeys", &shell(script), folder.path()).unwrap();
    until("the trap", LIMIT, || async {
        std::fs::read_to_string(obeys.log())
            .ok()
            .filter(|log| !log.is_empty())
            .ok_or_else(String::new)
    })
    .await
    .unwrap();
    obeys.signal(Signal::USR1).unwrap();
    assert_eq!(obeys.wait().await.unwrap().code(), Some(7));

    let lives = Supervised::start("lives", &shell("exec sleep 600"), folder.path()).unwrap();
    assert!(is_alive(lives.pid()) && lives.try_wait().unwrap().is_none());
    assert_eq!(lives.kill().unwrap().code(), Some(128 + 9));
    assert!(!is_alive(lives.pid()));

    let stops = Supervised::start("stops", &shell("exec sleep 600"), folder.path()).unwrap();
    assert_eq!(stops.stop().await.unwrap().code(), Some(128 + 15));

    let absent = Supervised::start("absent", &Command::new("/no/such/program"), folder.path());
    let text = absent.unwrap_err().to_string();
    assert!(
        text.contains("absent ended") && text.contains("/no/such/program"),
        "{text}"
    );
}
