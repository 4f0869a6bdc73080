//! The page of features names tests: each of them is there.

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

#[test]
fn every_test_that_the_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/features.md")).unwrap();
    let mut text = String::new();
    for folder in ["src", "tests"] {
        sources(&root.join(folder), &mut text);
    }
    let names: Vec<&str> = page
        .split('`')
        .filter_map(|word| word.split_once("::"))
        .filter(|(file, case)| *file != "file" || *case != "case")
        .map(|(_, case)| case)
        .collect();
    assert!(names.len() > 60, "only {} tests are named", names.len());
    // A case of the contract stands as `pub fn` in its module.
    let missing: Vec<&&str> = names
        .iter()
        .filter(|case| !text.contains(&format!("fn {case}(")))
        .collect();
    assert!(
        missing.is_empty(),
        "named on the page and not there: {missing:?}"
    );
}
