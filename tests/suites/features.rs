//! The table of features in `operator/docs/features.md`: every test that it names exists.

use std::collections::BTreeSet;
use std::fs;

use hosttask_tests::bed::workspace_root;

/// What stands in backticks and has the form `file#test` or is a path to a file below `tests`.
fn named(text: &str) -> Vec<&str> {
    let spans = text.split('`').skip(1).step_by(2);
    spans
        .filter(|span| span.contains('#') || span.starts_with("operator/tests/fixtures/"))
        .collect()
}

#[test]
fn every_test_that_the_table_of_features_names_exists() {
    let root = workspace_root();
    let table = fs::read_to_string(root.join("operator/docs/features.md")).unwrap();
    let mut missing = Vec::new();
    for id in named(&table) {
        let (file, test) = id.split_once('#').unwrap_or((id, ""));
        let source = fs::read_to_string(root.join(file)).unwrap_or_default();
        let there = if test.is_empty() {
            !source.is_empty()
        } else {
            source.contains(&format!("fn {test}("))
        };
        if !there {
            missing.push(id);
        }
    }
    assert!(missing.is_empty(), "named and not there: {missing:#?}");
}

#[test]
fn every_row_of_the_table_of_features_names_a_test() {
    let table = fs::read_to_string(workspace_root().join("operator/docs/features.md")).unwrap();
    let mut rows = BTreeSet::new();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let number = line.split('|').nth(1).unwrap_or_default().trim();
        let Ok(number) = number.parse::<u32>() else {
            continue;
        };
        assert!(!named(line).is_empty(), "row {number} names no test");
        rows.insert(number);
    }
    let promised: BTreeSet<u32> = (4..=20)
        .chain(25..=27)
        .chain(30..=32)
        .chain(37..=39)
        .collect();
    assert_eq!(rows, promised);
}

#[test]
fn names_of_tests_are_told_from_other_words_in_backticks() {
    let line = "| 8 | `maxUnavailable` | `tests/suites/a.rs#name` and `operator/tests/fixtures/plan/b.yaml` |";
    assert_eq!(
        named(line),
        [
            "tests/suites/a.rs#name",
            "operator/tests/fixtures/plan/b.yaml"
        ]
    );
}
