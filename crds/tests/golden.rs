//! What is generated equals what is checked in; `UPDATE_GOLDEN=1` rewrites it.
#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

use std::fs;
use std::path::{Path, PathBuf};

use hosttask_crds::{reference, schema};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[track_caller]
fn check(path: &str, generated: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, generated).unwrap();
    }
    let checked_in = fs::read_to_string(&file).unwrap_or_default();
    let first = checked_in
        .lines()
        .zip(generated.lines())
        .position(|(a, b)| a != b);
    assert!(
        checked_in == generated,
        "{path} is not what the types generate (first difference after line {first:?}); run UPDATE_GOLDEN=1 cargo test -p hosttask-crds --test golden"
    );
}

#[test]
fn the_definitions_are_checked_in() {
    for (file, text) in schema::yaml().unwrap() {
        check(&format!("config/crd/{file}"), &text);
    }
}

#[test]
fn the_reference_pages_are_checked_in() {
    check("crds/docs/api.md", &reference::api().unwrap());
    check("crds/docs/reasons.md", &reference::reasons());
}

#[test]
fn the_kustomization_lists_every_definition() {
    let text = fs::read_to_string(root().join("config/crd/kustomization.yaml")).unwrap();
    for (file, _) in schema::yaml().unwrap() {
        assert!(text.contains(&format!("- {file}")), "{file}");
    }
}

#[test]
fn a_definition_fits_into_the_annotation_of_client_side_apply() {
    for (file, text) in schema::yaml().unwrap() {
        assert!(text.len() < 200 * 1024, "{file} has {} bytes", text.len());
    }
    for definition in schema::manifests().unwrap() {
        let size = definition.to_string().len();
        assert!(size < 200_000, "{size}");
    }
}
