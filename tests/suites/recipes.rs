//! The recipes run what their authors published: the pods are equal but for the differences that are written down.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by a panic, in its helpers too, and says what it left out"
)]

mod validated;

use std::fs;
use std::path::{Path, PathBuf};

use hosttask_operator::build::daemon_set;
use hosttask_tests::manifest::difference::{Comparison, Difference, findings};
use hosttask_tests::manifest::{self, Document, pod};
use k8s_openapi::api::apps::v1::DaemonSet;
use serde_json::Value;

const RECIPES: [&str; 4] = ["calico", "csi-proxy", "kube-proxy", "windows-exporter"];

fn recipes() -> PathBuf {
    manifest::repository().join("config/recipes")
}

/// The published manifests, as data; a clone alone does not have them.
fn published() -> Option<PathBuf> {
    let folder = manifest::repository().join("../shared/manifests");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("not run: {} is absent", folder.display());
    None
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn comparison(recipe: &str) -> Comparison {
    read(&recipes().join(recipe).join("differences.yaml"))
}

/// The differences that hold for every recipe.
fn everywhere() -> Vec<Difference> {
    read(&recipes().join("differences.yaml"))
}

fn only(mut found: Vec<Document>, what: &str) -> Document {
    assert_eq!(found.len(), 1, "{what}");
    found.remove(0)
}

/// The pods of a recipe's task, as the operator builds them.
fn ours(recipe: &str) -> Value {
    let mut cluster = manifest::objects(&recipes().join(recipe)).unwrap();
    let fixture = manifest::repository().join("tests/fixtures/cluster/kube-system.yaml");
    cluster.extend(manifest::documents(&fixture).unwrap());
    let tasks = cluster.iter().filter(|it| it.kind() == "WindowsHostTask");
    let task = only(tasks.cloned().collect(), recipe);
    let desired = validated::desired(&task, &cluster).unwrap();
    let set = daemon_set(&desired, 0, &desired.content, "revision");
    pod::normal(&set.spec.template)
}

fn upstream(folder: &Path, of: &Comparison) -> Value {
    let mut documents = manifest::documents(&folder.join(&of.upstream.file)).unwrap();
    documents.retain(|it| it.kind() == "DaemonSet" && it.name() == of.upstream.daemon_set);
    let document = only(documents, &of.upstream.daemon_set);
    let set: DaemonSet = serde_json::from_value(document.value).unwrap();
    pod::normal(&set.spec.template)
}

#[test]
fn a_recipe_differs_from_what_its_authors_published_only_where_it_says_so() {
    let Some(folder) = published() else { return };
    let mut wrong = Vec::new();
    for recipe in RECIPES {
        let comparison = comparison(recipe);
        let listed = [everywhere(), comparison.differences.clone()].concat();
        let found = findings(&upstream(&folder, &comparison), &ours(recipe), &listed);
        wrong.extend(
            found
                .into_iter()
                .map(|finding| format!("{recipe}: {finding}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_said_of_every_recipe_is_true_of_one_at_least() {
    let Some(folder) = published() else { return };
    let pods = RECIPES.map(|recipe| (upstream(&folder, &comparison(recipe)), ours(recipe)));
    for difference in everywhere() {
        let is_used = pods
            .iter()
            .any(|(upstream, ours)| difference.fits(upstream, ours));
        assert!(is_used, "{} is nowhere", difference.path);
    }
}

#[test]
fn every_recipe_has_a_list_and_every_difference_a_reason() {
    let folders: Vec<_> = fs::read_dir(recipes())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut sorted = folders;
    sorted.sort();
    assert_eq!(sorted, RECIPES);
    for recipe in RECIPES {
        let comparison = comparison(recipe);
        assert!(!comparison.upstream.source.is_empty());
        for difference in comparison.differences.iter().chain(&everywhere()) {
            assert!(
                difference.why.len() > 20,
                "{recipe}: {} has no reason",
                difference.path
            );
        }
        let wildcards = comparison
            .differences
            .iter()
            .filter(|it| it.path.contains("[*]"));
        assert_eq!(
            wildcards.count(),
            0,
            "{recipe}: [*] is for config/recipes/differences.yaml"
        );
    }
}

#[test]
fn the_tasks_that_install_the_node_runtime_are_valid() {
    let runtime = manifest::repository().join("config/runtime");
    for folder in ["install", "doctor", "uninstall"] {
        let documents = manifest::documents(&runtime.join(folder).join("task.yaml")).unwrap();
        let task = only(documents, folder);
        let problems = validated::desired(&task, &[]).err().unwrap_or_default();
        assert!(problems.is_empty(), "{folder}: {problems:?}");
    }
}

#[test]
fn no_recipe_follows_a_moving_tag() {
    for recipe in RECIPES {
        let pod = ours(recipe);
        for list in ["containers", "initContainers"] {
            for (name, container) in pod["spec"][list].as_object().into_iter().flatten() {
                let image = container["image"].as_str().unwrap();
                let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
                let is_version = tag
                    .trim_start_matches('v')
                    .starts_with(|c: char| c.is_ascii_digit());
                assert!(is_version, "{recipe}: {name}: {image} names no version");
            }
        }
    }
}

#[test]
fn a_recipe_rolls_out_again_when_a_config_map_it_mounts_changes() {
    for recipe in RECIPES {
        let objects = manifest::objects(&recipes().join(recipe)).unwrap();
        let tasks = objects
            .into_iter()
            .filter(|it| it.kind() == "WindowsHostTask");
        let task = only(tasks.collect(), recipe);
        let spec = &task.value["spec"];
        let inputs: Vec<_> = spec["inputs"]["configMaps"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|input| input["name"].clone())
            .collect();
        for volume in spec["template"]["spec"]["volumes"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let Some(name) = volume.pointer("/configMap/name") else {
                continue;
            };
            assert!(
                inputs.contains(name),
                "{recipe}: {name} is mounted and not in inputs.configMaps"
            );
        }
    }
}
