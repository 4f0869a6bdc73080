//! The pages of features and of methods name tests: each of them is there.

#![expect(
    clippy::unwrap_used,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

use std::fs;
use std::path::Path;

/// Everything that Rust files below a folder say.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|end| end == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// The tests that a page names.
fn named(page: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs").join(page)).unwrap();
    let words = page.split('`').filter_map(|word| word.split_once("::"));
    let cases = words.filter(|(file, case)| *file != "file" || *case != "case");
    cases.map(|(_, case)| case.to_owned()).collect()
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    for folder in ["src", "tests"] {
        sources(&root.join(folder), &mut text);
    }
    for (page, least) in [("features.md", 60), ("rpc.md", 30)] {
        let names = named(page);
        assert!(names.len() > least, "{page}: only {}", names.len());
        // A case of the contract stands as `pub fn` in its module.
        let missing: Vec<&String> = names
            .iter()
            .filter(|case| !text.contains(&format!("fn {case}(")))
            .collect();
        assert!(
            missing.is_empty(),
            "named on {page} and not there: {missing:?}"
        );
    }
}

/// What the proto of containerd lists.
const METHODS: [&str; 17] = [
    "State",
    "Create",
    "Start",
    "Delete",
    "Pids",
    "Pause",
    "Resume",
    "Checkpoint",
    "Kill",
    "Exec",
    "ResizePty",
    "CloseIO",
    "Update",
    "Wait",
    "Stats",
    "Connect",
    "Shutdown",
];

#[test]
fn every_method_of_the_task_service_has_a_row() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rpc.md");
    let page = fs::read_to_string(page).unwrap();
    let firsts = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let rows: Vec<&str> = firsts.flat_map(|first| first.split(", ")).collect();
    for method in METHODS {
        let cell = format!("`{method}`");
        assert!(rows.contains(&cell.as_str()), "{method} has no row");
    }
}
