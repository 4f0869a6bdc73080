//! The volumes of kubelet on the real node. Without the bind filter, which Wine lacks, they are below the root of a container.

use hosttask_tests::poll;
use hosttask_tests::windows_node::WindowsNode;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::bench::{Bench, SOON, bench, codes, probe, scenario, with};

/// The root of a container, as its programs name it.
const ROOT: &str = "%CONTAINER_SANDBOX_MOUNT_POINT%";

/// Creates an object of the namespace `default`, or changes it.
async fn apply<K>(bench: &Bench, name: &str, object: &Value)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api = Api::<K>::namespaced(bench.cluster.client(), "default");
    let how = PatchParams::apply("suite").force();
    api.patch(name, &how, &Patch::Apply(object)).await.unwrap();
}

async fn config_map(bench: &Bench, name: &str, colour: &str) {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "colour": colour },
    });
    apply::<ConfigMap>(bench, name, &object).await;
}

/// A container that stays, with mounts given as volume, path and more fields.
fn mounting(name: &str, mounts: &[(&str, &str, Value)]) -> Value {
    let mounts: Vec<Value> = mounts
        .iter()
        .map(|(volume, path, more)| with(json!({ "name": volume, "mountPath": path }), more))
        .collect();
    with(probe(name, &["hang"]), &json!({ "volumeMounts": mounts }))
}

/// What a program of the pod reads there.
async fn shown(bench: &Bench, pod: &str, path: &str) -> String {
    let output = bench
        .exec(pod, &["show", &format!("{ROOT}\\{path}")], "")
        .await;
    format!("{}{}", output.stdout, output.stderr)
}

#[test]
fn the_files_of_every_kind_of_volume_are_read_at_their_paths() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        config_map(bench, "kinds", "green").await;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "kinds" }, "stringData": { "word": "sesame" },
        });
        apply::<Secret>(bench, "kinds", &secret).await;
        let host = bench.node.drive().join("node/shared");
        std::fs::create_dir_all(&host).unwrap();
        std::fs::write(host.join("file"), "of the host").unwrap();

        let none = json!({});
        let one_file = json!({ "subPath": "colour" });
        let part = json!({ "subPath": "inner" });
        let main = mounting(
            "main",
            &[
                ("settings", "C:\\mounts\\settings", none.clone()),
                ("settings", "C:\\mounts\\one-file", one_file),
                ("password", "C:\\mounts\\password", none.clone()),
                ("about", "C:\\mounts\\about", none.clone()),
                ("all", "C:\\mounts\\all", none.clone()),
                ("scratch", "C:\\mounts\\scratch", none.clone()),
                ("scratch", "C:\\mounts\\part", part),
                ("host", "C:\\mounts\\host", none.clone()),
            ],
        );
        let labels = json!({ "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } });
        let volumes = json!([
            { "name": "settings", "configMap": { "name": "kinds" } },
            { "name": "password", "secret": { "secretName": "kinds" } },
            { "name": "about", "downwardAPI": { "items": [labels] } },
            { "name": "all", "projected": { "sources": [
                { "serviceAccountToken": { "path": "token" } },
                { "configMap": { "name": "kinds" } },
                { "secret": { "name": "kinds" } },
            ] } },
            { "name": "scratch", "emptyDir": {} },
            { "name": "host", "hostPath": { "path": "C:\\node\\shared" } },
        ]);
        let spec = json!({ "containers": [main], "volumes": volumes });
        bench.create("kinds", &spec).await;
        bench.running("kinds").await;

        for (path, wanted) in [
            ("mounts\\settings\\colour", "green"),
            ("mounts\\one-file", "green"),
            ("mounts\\password\\word", "sesame"),
            ("mounts\\about\\labels", "blue"),
            // A token is three words of base64 and begins as JSON does.
            ("mounts\\all\\token", "eyJ"),
            ("mounts\\all\\colour", "green"),
            ("mounts\\all\\word", "sesame"),
            ("mounts\\host\\file", "of the host"),
            (
                "var\\run\\secrets\\kubernetes.io\\serviceaccount\\namespace",
                "default",
            ),
        ] {
            let text = shown(bench, "kinds", path).await;
            assert!(text.contains(wanted), "{path}: {text}");
        }

        // What is written appears on the host, and only in the volume it was written to.
        for place in ["scratch", "part", "host"] {
            let path = format!("{ROOT}\\mounts\\{place}\\new");
            let written = bench.exec("kinds", &["write", &path, place], "").await;
            assert_eq!(written.code, Some(0), "{written:?}");
        }
        assert_eq!(std::fs::read_to_string(host.join("new")).unwrap(), "host");
        let below = shown(bench, "kinds", "mounts\\scratch\\inner\\new").await;
        assert!(below.contains("part"), "{below}");
        bench.delete("kinds").await;
        assert!(
            host.join("file").exists(),
            "the end of a pod removes no file of the host"
        );
    });
}

#[test]
fn a_changed_config_map_is_seen_in_a_running_container() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        config_map(bench, "changes", "green").await;
        let main = mounting("main", &[("settings", "C:\\mounts\\settings", json!({}))]);
        let spec = json!({
            "containers": [main],
            "volumes": [{ "name": "settings", "configMap": { "name": "changes" } }],
        });
        bench.create("changes", &spec).await;
        bench.running("changes").await;
        let text = shown(bench, "changes", "mounts\\settings\\colour").await;
        assert!(text.contains("green"), "{text}");
        config_map(bench, "changes", "red").await;
        poll::until("the new colour", SOON, || async {
            let text = shown(bench, "changes", "mounts\\settings\\colour").await;
            if text.contains("red") {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await
        .unwrap();
        bench.delete("changes").await;
    });
}

#[test]
fn an_empty_folder_is_shared_by_the_containers_of_a_pod() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let mounted = |container: Value| {
            with(
                container,
                &json!({ "volumeMounts": [{ "name": "scratch", "mountPath": "C:\\shared" }] }),
            )
        };
        let file = format!("{ROOT}\\shared\\word");
        let spec = json!({
            "containers": [
                mounted(probe("writer", &["write", &file, "handed over"])),
                mounted(probe("reader", &["await", &file, "show", &file])),
            ],
            "volumes": [{ "name": "scratch", "emptyDir": {} }],
        });
        bench.create("shares", &spec).await;
        let status = bench.ended("shares").await;
        assert_eq!(status["phase"], "Succeeded", "{status}");
        bench.wait_logs("shares", "reader", "handed over").await;
        bench.delete("shares").await;
    });
}

#[test]
fn a_mount_that_must_not_be_written_is_refused_where_that_cannot_be_kept() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let main = mounting(
            "main",
            &[("scratch", "C:\\locked", json!({ "readOnly": true }))],
        );
        let spec = json!({
            "containers": [main],
            "volumes": [{ "name": "scratch", "emptyDir": {} }],
        });
        bench.create("locked", &spec).await;
        let said = |status: &Value| {
            let waiting = &status["containerStatuses"][0]["state"]["waiting"]["message"];
            let ended = &status["containerStatuses"][0]["state"]["terminated"]["message"];
            format!("{waiting}{ended}")
        };
        let status = bench
            .wait("locked", "refused", |status| {
                said(status).contains("read-only")
            })
            .await;
        assert!(said(&status).contains("locked"), "{status}");
        bench.delete("locked").await;
    });
}

#[test]
fn a_program_of_the_image_is_found_in_the_root_of_its_container() {
    scenario(async {
        let bench = bench().await;
        let _quiet = bench.beside_others().await;
        let main = json!({
            "name": "main", "image": WindowsNode::IMAGE, "imagePullPolicy": "Never",
            "command": ["probe.exe"], "args": ["print", "of the image", "exit", "6"],
        });
        bench
            .create("of-the-image", &json!({ "containers": [main] }))
            .await;
        let status = bench.ended("of-the-image").await;
        assert_eq!(codes(&status), [6], "{status}");
        bench
            .wait_logs("of-the-image", "main", "of the image")
            .await;
        bench.delete("of-the-image").await;
    });
}
