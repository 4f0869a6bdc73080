//! The cases for the real API server are complete: a rule without one would never be seen to work.
#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use hosttask_crds::schema::RULES;
use serde_json::Value;

fn cases() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/crd");
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_some_and(|it| it == "yaml") && name != "base" {
            let text = fs::read_to_string(&path).unwrap();
            all.push((name, serde_saphyr::from_str(&text).unwrap()));
        }
    }
    all
}

fn list<'a>(case: &'a Value, key: &str) -> &'a [Value] {
    case[key].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn every_rule_has_a_file_and_every_file_a_rule() {
    let files: BTreeSet<String> = cases().into_iter().map(|(name, _)| name).collect();
    let files: BTreeSet<&str> = files
        .iter()
        .map(String::as_str)
        .filter(|it| !it.starts_with("schema_"))
        .collect();
    let rules: BTreeSet<&str> = RULES.iter().map(|it| it.name).collect();
    assert_eq!(files, rules);
}

#[test]
fn every_file_has_a_case_that_is_accepted_and_one_that_is_refused_with_the_words_of_the_rule() {
    for (name, case) in cases() {
        assert_eq!(case["rule"], *name);
        assert!(!list(&case, "accept").is_empty(), "{name}");
        let refused = list(&case, "reject").iter().chain(list(&case, "update"));
        let messages: Vec<&str> = refused.filter_map(|it| it["message"].as_str()).collect();
        assert!(!messages.is_empty(), "{name}");
        if let Some(rule) = RULES.iter().find(|it| it.name == name) {
            assert!(
                messages.iter().all(|it| rule.message.contains(it)),
                "{name}"
            );
        }
    }
}
