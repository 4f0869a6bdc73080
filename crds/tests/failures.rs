//! What the operator says of a node is what the reference page explains.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use hosttask_crds::failure::WORDS;
use serde_json::Value;

/// Words of Kubernetes, repeated where none of ours fits.
const KUBERNETES: [&str; 5] = [
    "BackoffLimitExceeded",
    "ContainerCreating",
    "ErrImagePull",
    "ImagePullBackOff",
    "PodFailurePolicy",
];

/// The reasons of all failures and ledger entries in a document: objects that name a revision as well.
fn reasons(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let is_entry = fields.contains_key("revision")
                && (fields.contains_key("node") || fields.contains_key("state"));
            let reason = fields.get("reason").and_then(Value::as_str);
            found.extend(reason.filter(|_| is_entry).map(str::to_owned));
            fields.values().for_each(|it| reasons(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| reasons(it, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_word_that_the_plan_uses_in_its_goldens_is_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../operator/tests/fixtures/plan");
    let mut used = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        // Actions are lines for the reader; the situation before them and the status after them are documents.
        let (situation, expected) = text.split_once("\n---\n").unwrap();
        let status = expected.split_once("\nstatus:\n").map(|(_, it)| it);
        for document in [Some(situation), status].into_iter().flatten() {
            reasons(&serde_saphyr::from_str(document).unwrap(), &mut used);
        }
    }
    assert!(used.len() >= 8, "only {used:?} were found");
    let is_known = |word: &String| {
        WORDS.iter().any(|it| it.name == word) || KUBERNETES.contains(&word.as_str())
    };
    let unknown: Vec<&String> = used.iter().filter(|it| !is_known(it)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn no_word_is_explained_twice() {
    let names: BTreeSet<&str> = WORDS.iter().map(|it| it.name).collect();
    assert_eq!(names.len(), WORDS.len());
}
