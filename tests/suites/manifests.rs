//! What `config` holds is valid: objects, tasks, the operator's own pod, its roles, and what kustomize makes of them.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, in its helpers too, and says what it left out"
)]

mod permissions;
mod validated;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hosttask_crds::WindowsHostTask;
use hosttask_tests::manifest::{self, Document};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn config(folder: &str) -> PathBuf {
    manifest::repository().join("config").join(folder)
}

fn objects(folder: &str) -> Vec<Document> {
    manifest::objects(&config(folder)).unwrap()
}

/// Tasks of the samples and recipes, each with the objects it is shipped with and those a cluster already has.
fn tasks() -> Vec<(Document, Vec<Document>)> {
    let fixture = manifest::repository().join("tests/fixtures/cluster/kube-system.yaml");
    let present = manifest::documents(&fixture).unwrap();
    let mut folders = vec![config("samples")];
    let recipes = fs::read_dir(config("recipes"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    folders.extend(recipes.filter(|path| path.is_dir()));
    let mut found = Vec::new();
    for folder in folders {
        let shipped = manifest::objects(&folder).unwrap();
        let cluster = [shipped.clone(), present.clone()].concat();
        let tasks = shipped
            .into_iter()
            .filter(|it| it.kind() == "WindowsHostTask");
        found.extend(tasks.map(|task| (task, cluster.clone())));
    }
    assert!(found.len() >= 6, "{} tasks", found.len());
    found
}

/// Every field of `written` that is not in `read`: a field the type does not know, or with another value.
fn lost(written: &Value, read: &Value, path: &str, found: &mut Vec<String>) {
    match (written, read) {
        (Value::Object(fields), Value::Object(known)) => {
            for (field, value) in fields {
                let inner = known.get(field).unwrap_or(&Value::Null);
                lost(value, inner, &format!("{path}.{field}"), found);
            }
        }
        (Value::Array(items), Value::Array(known)) if items.len() == known.len() => {
            for (index, (item, known)) in items.iter().zip(known).enumerate() {
                lost(item, known, &format!("{path}[{index}]"), found);
            }
        }
        _ if written == read => {}
        _ => found.push(path.to_owned()),
    }
}

fn unknown_fields<T: DeserializeOwned + Serialize>(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match serde_json::from_value::<T>(value.clone()) {
        Ok(typed) => lost(value, &serde_json::to_value(typed).unwrap(), "", &mut found),
        Err(error) => found.push(error.to_string()),
    }
    found
}

#[test]
fn every_object_has_only_fields_that_its_api_knows() {
    let mut wrong = Vec::new();
    for folder in [
        "rbac",
        "operator",
        "default",
        "network-policy",
        "samples",
        "recipes",
    ] {
        for document in objects(folder) {
            let value = &document.value;
            let found = match document.kind() {
                "WindowsHostTask" => {
                    let task = manifest::task(&document).unwrap();
                    let typed = serde_json::to_value(task.spec.template.typed().unwrap()).unwrap();
                    let mut found = unknown_fields::<WindowsHostTask>(value);
                    lost(
                        &value["spec"]["template"],
                        &typed,
                        ".spec.template",
                        &mut found,
                    );
                    found
                }
                "Namespace" => unknown_fields::<Namespace>(value),
                "ConfigMap" => unknown_fields::<ConfigMap>(value),
                "Service" => unknown_fields::<Service>(value),
                "ServiceAccount" => unknown_fields::<ServiceAccount>(value),
                "Deployment" => unknown_fields::<Deployment>(value),
                "PodDisruptionBudget" => unknown_fields::<PodDisruptionBudget>(value),
                "NetworkPolicy" => unknown_fields::<NetworkPolicy>(value),
                "ClusterRole" => unknown_fields::<ClusterRole>(value),
                "ClusterRoleBinding" => unknown_fields::<ClusterRoleBinding>(value),
                "Role" => unknown_fields::<Role>(value),
                "RoleBinding" => unknown_fields::<RoleBinding>(value),
                // Of the Prometheus operator; no Rust type of it here.
                "PodMonitor" => Vec::new(),
                other => vec![format!("kind {other:?} is not checked by this test")],
            };
            let name = format!("{} {}", document.kind(), document.name());
            wrong.extend(found.into_iter().map(|field| format!("{name}: {field}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_operator_accepts_every_sample_and_recipe() {
    for (task, cluster) in tasks() {
        let problems = validated::desired(&task, &cluster)
            .err()
            .unwrap_or_default();
        assert!(problems.is_empty(), "{}: {problems:#?}", task.name());
    }
}

#[test]
fn a_task_names_only_objects_that_it_is_shipped_with_or_that_the_cluster_has() {
    for (task, cluster) in tasks() {
        let has = |kind: &str, name: &Value| {
            let name = name.as_str().unwrap();
            let mut all = cluster
                .iter()
                .filter(|it| it.namespace() == task.namespace());
            let is_there = all.any(|it| it.kind() == kind && it.name() == name);
            assert!(is_there, "{}: {kind} {name} is nowhere", task.name());
        };
        let spec = &task.value["spec"];
        for input in spec["inputs"]["configMaps"]
            .as_array()
            .into_iter()
            .flatten()
        {
            has("ConfigMap", &input["name"]);
        }
        let pod = &spec["template"]["spec"];
        if let Some(account) = pod.get("serviceAccountName") {
            has("ServiceAccount", account);
        }
        for volume in pod["volumes"].as_array().into_iter().flatten() {
            if let Some(name) = volume.pointer("/configMap/name") {
                has("ConfigMap", name);
            }
        }
    }
}

#[test]
fn a_task_lives_where_pod_security_admits_host_process_pods() {
    for (task, cluster) in tasks() {
        // kube-system carries no level.
        if task.namespace() == "kube-system" {
            continue;
        }
        let mut namespaces = cluster.iter().filter(|it| it.kind() == "Namespace");
        let namespace = namespaces.find(|it| it.name() == task.namespace()).unwrap();
        let level = &namespace.value["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
        assert_eq!(level, "privileged", "{}", task.name());
    }
}

#[test]
fn flux_is_told_never_to_recreate_a_task() {
    for (task, _) in tasks() {
        let force = &task.value["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/force"];
        assert_eq!(force, "Disabled", "{}", task.name());
    }
}

fn deployment() -> Deployment {
    let document = manifest::documents(&config("operator/deployment.yaml"))
        .unwrap()
        .remove(0);
    serde_json::from_value(document.value).unwrap()
}

#[test]
fn the_operator_is_admitted_where_pod_security_is_restricted() {
    let namespace = &objects("default")[0].value;
    let level = &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(level, "restricted");

    let pod = serde_json::to_value(deployment().spec.template.spec.unwrap()).unwrap();
    for absent in [
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "volumes",
        "initContainers",
    ] {
        assert!(pod[absent].is_null(), "{absent}");
    }
    let context = &pod["securityContext"];
    assert_eq!(context["runAsNonRoot"], true);
    assert_ne!(context["runAsUser"], 0);
    assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
    for container in pod["containers"].as_array().unwrap() {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(
            context["capabilities"],
            serde_json::json!({ "drop": ["ALL"] })
        );
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert!(context["privileged"].is_null() && context["procMount"].is_null());
        for port in container["ports"].as_array().unwrap() {
            assert!(port["hostPort"].is_null());
        }
    }
}

#[test]
fn the_operator_runs_twice_and_a_drain_leaves_one() {
    let spec = deployment().spec;
    assert_eq!(spec.replicas, Some(2));
    let labels = spec.template.metadata.unwrap().labels.unwrap();
    let selected = |selector: &Value| {
        let wanted = selector.as_object().unwrap();
        assert!(!wanted.is_empty());
        wanted
            .iter()
            .all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str())
    };
    let find = |kind: &str| {
        objects("operator")
            .into_iter()
            .find(|it| it.kind() == kind)
            .unwrap()
            .value
    };
    let budget = find("PodDisruptionBudget");
    assert_eq!(budget["spec"]["minAvailable"], 1);
    assert!(selected(&budget["spec"]["selector"]["matchLabels"]));
    assert!(selected(&find("Service")["spec"]["selector"]));
    assert!(selected(
        &objects("network-policy")[0].value["spec"]["podSelector"]["matchLabels"]
    ));
    assert_eq!(spec.selector.match_labels.unwrap(), labels);
}

#[test]
fn the_image_of_the_operator_has_the_version_of_the_workspace() {
    let pod = deployment().spec.template.spec.unwrap();
    let image = concat!(
        "ghcr.io/hosttask/hosttask-operator:v",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(pod.containers[0].image.as_deref(), Some(image));
}

/// What `kubectl kustomize` prints for a folder.
fn build(folder: &Path) -> Vec<Document> {
    let programs = hosttask_setup::control_plane::programs(&mut |line| println!("{line}")).unwrap();
    let mut command = Command::new(programs.kubectl);
    let output = command.arg("kustomize").arg(folder).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", folder.display());
    // kustomize warns about deprecated fields there.
    assert_eq!(errors, "", "{}", folder.display());
    manifest::parse(folder, &String::from_utf8(output.stdout).unwrap()).unwrap()
}

/// Objects as `Kind name`, in order of the words.
fn names(objects: &[Document]) -> Vec<String> {
    let mut names: Vec<_> = objects
        .iter()
        .map(|it| format!("{} {}", it.kind(), it.name()))
        .collect();
    names.sort();
    names
}

/// Builds an overlay somewhere else; in `text`, `CONFIG` stands for the path to our folder.
fn overlay(text: &str) -> Vec<Document> {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().canonicalize().unwrap();
    // kustomize takes relative paths only.
    let up = "../".repeat(folder.components().count() - 1);
    let config = config("").canonicalize().unwrap();
    let config = format!("{up}{}", config.strip_prefix("/").unwrap().display());
    fs::write(
        folder.join("kustomization.yaml"),
        text.replace("CONFIG", &config),
    )
    .unwrap();
    build(&folder)
}

#[test]
fn one_folder_installs_everything() {
    let everything = [
        "ClusterRole hosttask-editor",
        "ClusterRole hosttask-operator",
        "ClusterRole hosttask-secret-reader",
        "ClusterRole hosttask-viewer",
        "ClusterRoleBinding hosttask-operator",
        "CustomResourceDefinition windowshostnodes.hosttask.dev",
        "CustomResourceDefinition windowshosttasks.hosttask.dev",
        "Deployment hosttask-operator",
        "Namespace hosttask-system",
        "PodDisruptionBudget hosttask-operator",
        "Role hosttask-operator",
        "RoleBinding hosttask-operator",
        "Service hosttask-operator-metrics",
        "ServiceAccount hosttask-operator",
    ];
    assert_eq!(names(&build(&config("default"))), everything);
}

#[test]
fn the_network_policy_is_added_by_an_overlay() {
    let found = overlay("resources: [CONFIG/operator]\ncomponents: [CONFIG/network-policy]\n");
    assert!(names(&found).contains(&"NetworkPolicy hosttask-operator".to_owned()));
}

#[test]
fn an_overlay_chooses_the_version_of_a_recipe() {
    let images = "images: [{ name: sigwindowstools/kube-proxy, newTag: v0 }]";
    let found = overlay(&format!(
        "resources: [CONFIG/recipes/kube-proxy]\n{images}\n"
    ));
    let image = found[0]
        .value
        .pointer("/spec/template/spec/containers/0/image");
    assert_eq!(image.unwrap(), "sigwindowstools/kube-proxy:v0");
}

#[test]
fn samples_and_recipes_build_with_every_file_in_them() {
    let mut folders = vec![
        config("samples"),
        config("recipes/windows-exporter/pod-monitor"),
    ];
    let recipes = fs::read_dir(config("recipes"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    folders.extend(recipes.filter(|path| path.is_dir()));
    for folder in folders {
        let mut written = names(&manifest::objects(&folder).unwrap());
        if folder.ends_with("windows-exporter") {
            // Needs the Prometheus operator, and so is a folder of its own.
            written.retain(|name| !name.starts_with("PodMonitor"));
        }
        assert_eq!(names(&build(&folder)), written, "{}", folder.display());
    }
    let all = names(&build(&config("recipes")));
    assert_eq!(
        all.iter()
            .filter(|name| name.starts_with("WindowsHostTask"))
            .count(),
        4
    );
}
