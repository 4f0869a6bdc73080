//! The reference page is what the rules say. `UPDATE_GOLDEN=1 cargo test` writes it.

use std::fmt::Write as _;
use std::path::Path;

use super::*;

const INTRODUCTION: &str = "\
# What makes a task invalid

The operator judges a task before it touches anything. All problems are reported at once, in the condition \
`Validated` with `Stalled`, each with its field, its value and the fix; the children of the last valid spec stay as \
they are. Rules that the API server checks in the schema are checked again, as an object may be older than a rule.

*Found by* says who would stumble over it otherwise: the API server, the kubelet, containerd, hcsshim (which starts \
the processes for containerd), Windows (nobody refuses it, it does not work), or only Hosttask, where a field \
contradicts another one. The pod is judged as it would be built, so what the operator adds (`os`, `hostNetwork`, \
`windowsOptions`, host ports, the restart policy) may be left out, or repeated with the same value.

**Accounts.** `spec.runAs` says the account, and is the most that any container may have. Under `System` a container \
may name a lesser account in its own `windowsOptions.runAsUserName`; under any other account it can only repeat it.

**Labels.** `app.kubernetes.io/managed-by` of the template is replaced by `hosttask` on pods. Nothing is copied from \
the task's own labels and annotations.

This page is written from the rules in the code; a test compares them.

| Field | Message | Found by | Reason |
| --- | --- | --- | --- |
";

fn page() -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    rules().fold(INTRODUCTION.to_owned(), |mut page, rule| {
        let (field, message) = (cell(rule.field), cell(rule.message));
        let (source, reason) = (rule.source.as_str(), rule.reason.as_str());
        writeln!(page, "| `{field}` | {message} | {source} | {reason} |").unwrap();
        page
    })
}

#[test]
fn the_reference_page_says_what_the_rules_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/validation.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, page(), "run the test with UPDATE_GOLDEN=1");
}
