//! Real manifests: those we ship are valid, and those of others fail for the fields that are illegal and no other.

use std::path::{Path, PathBuf};

use hosttask_crds::WindowsHostTask;

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn documents(path: &Path) -> Vec<Value> {
    serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|it| it == "yaml") {
            files.push(path);
        }
    }
    files
}

/// Every input that a spec names, as present.
fn all_inputs(spec: &Value) -> InputsView {
    let names = |kind: &str| {
        let list = spec
            .pointer(&format!("/inputs/{kind}"))
            .and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .map(|it| {
                (
                    it["name"].as_str().unwrap().to_owned(),
                    InputState::Present("d".into()),
                )
            })
            .collect()
    };
    InputsView {
        config_maps: names("configMaps"),
        secrets: names("secrets"),
    }
}

#[test]
fn the_recipes_and_samples_are_valid_tasks() {
    let mut tasks = 0;
    for folder in ["config/recipes", "config/samples"] {
        for path in yaml_files(&root().join(folder)) {
            for document in documents(&path) {
                if document["kind"] == "WindowsHostTask" {
                    let spec = &document["spec"];
                    let problems = check(spec, &all_inputs(spec)).err();
                    assert_eq!(problems, None, "{}", path.display());
                    tasks += 1;
                }
            }
        }
    }
    assert!(tasks >= 6, "only {tasks} tasks were found");
}

/// The YAML blocks of a page.
fn blocks(page: &str) -> Vec<Value> {
    let blocks = page.split("```yaml\n").skip(1);
    let texts = blocks.map(|it| it.split("```").next().unwrap_or_default());
    texts
        .map(|it| serde_saphyr::from_str(it).unwrap())
        .collect()
}

#[test]
fn every_example_of_the_documentation_is_part_of_a_valid_task() {
    let page = std::fs::read_to_string(root().join("crds/docs/rollout.md")).unwrap();
    let examples = blocks(&page);
    assert!(examples.len() >= 9, "only {} were found", examples.len());
    for example in examples {
        let mut task = json!({
            "apiVersion": "hosttask.dev/v1alpha1",
            "kind": "WindowsHostTask",
            "metadata": {"name": "agent"},
            "spec": {
                "mode": "Daemon",
                "runAs": {"account": "System"},
                "template": {"spec": {"containers": [{"name": "a", "image": "a"}]}},
            },
        });
        for (field, value) in example["spec"].as_object().unwrap() {
            task["spec"][field] = value.clone();
        }
        // A field that the type does not know would be gone.
        let typed: WindowsHostTask = serde_json::from_value(task.clone()).unwrap();
        assert_eq!(serde_json::to_value(&typed).unwrap(), task);
        assert_eq!(
            check(&task["spec"], &InputsView::default()).err(),
            None,
            "{example}"
        );
    }
}

/// The task one would first try: the pod of a DaemonSet as it is, with its account.
fn as_task(set: &Value) -> Value {
    json!({"mode": "Daemon", "runAs": {"account": "System"}, "template": set["spec"]["template"]})
}

#[test]
fn published_daemon_sets_fail_for_the_fields_that_are_illegal_and_no_other() {
    let folder = root().join("../shared/manifests");
    if !folder.is_dir() {
        println!("not run: ../shared/manifests is not here");
        return;
    }
    let selector = "spec.template.spec.nodeSelector";
    let (affinity, tolerations) = (
        "spec.template.spec.affinity",
        "spec.template.spec.tolerations",
    );
    let privileged = "spec.template.spec.containers[0].securityContext.privileged";
    for (file, expected) in [
        (
            "microsoft__wcnspectserv-daemon.yaml",
            &[selector, tolerations, privileged][..],
        ),
        ("sig-windows-tools__csi-proxy.yaml", &[selector]),
        (
            "sig-windows-tools__containerd-logger-eventflow.yaml",
            &[selector],
        ),
        ("windows_exporter__daemonset.yaml", &[selector]),
        ("jsturtevant__trigger-logger.yaml", &[selector, tolerations]),
        ("sig-windows-tools__calico.yaml", &[affinity, tolerations]),
        (
            "sig-windows-tools__kube-proxy-calico.yaml",
            &[selector, tolerations],
        ),
    ] {
        let all = documents(&folder.join(file));
        let set = all.iter().find(|it| it["kind"] == "DaemonSet").unwrap();
        let problems = check(&as_task(set), &InputsView::default()).unwrap_err();
        let fields: Vec<&str> = problems.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(fields, expected, "{file}");
    }
}

#[test]
fn the_fields_that_published_charts_set_on_linux_are_each_named() {
    let mut spec = daemon();
    set(&mut spec, "/template/spec/hostPID", json!(true));
    set(
        &mut spec,
        "/template/spec/containers/0/securityContext/privileged",
        json!(true),
    );
    set(
        &mut spec,
        "/template/spec/volumes/1",
        json!({"name": "b", "emptyDir": {"medium": "Memory"}}),
    );
    let problems = check(&spec, &inputs()).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.template.spec.hostPID",
            "spec.template.spec.volumes[1].emptyDir.medium",
            "spec.template.spec.containers[0].securityContext.privileged",
        ]
    );
}
