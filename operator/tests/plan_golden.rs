//! One situation per file in `fixtures/plan`, and exactly what is planned and reported in it. A new file is a new test;
//! `UPDATE_GOLDEN=1` writes the outcomes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a golden fails by panicking"
)]

#[path = "support/situation.rs"]
mod situation;
#[path = "support/task.rs"]
mod task;

use std::fmt::Write as _;
use std::path::Path;

use hosttask_crds::node::LedgerEntry;
use hosttask_crds::{Reason, label};
use hosttask_operator::desired::Desired;
use hosttask_operator::observed::Observed;
use hosttask_operator::plan::{Action, Plan, has_ended, invalid, plan, results};
use hosttask_operator::validate::Problem;
use k8s_openapi::api::apps::v1::DaemonSet;
use situation::{CONTENTS, Situation, name};

/// Between the situation and its outcome.
const BORDER: &str = "\n---\n";

#[test]
fn every_situation_has_the_outcome_that_stands_in_its_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/plan");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differ = String::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let (given, expected) = text
            .split_once(BORDER)
            .unwrap_or_else(|| (text.trim_end(), ""));
        let got = outcome(&Situation::parse(given));
        if update {
            std::fs::write(file, format!("{given}{BORDER}{got}")).unwrap();
        } else if expected != got {
            let name = file.file_name().unwrap().display();
            writeln!(differ, "== {name}\nexpected:\n{expected}\ngot:\n{got}").unwrap();
        }
    }
    assert!(files.len() >= 20, "{} situations", files.len());
    assert!(differ.is_empty(), "{differ}");
}

/// What is planned and reported, with revisions by the content they are of.
fn outcome(situation: &Situation) -> String {
    let (desired, mut observed) = (situation.desired(), situation.observed());
    let plan = look(situation, &desired, &observed);
    let ready = plan
        .status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
        .unwrap();
    let read = task::kstatus(&plan.status, desired.generation);
    assert_eq!(read, task::by_table(&ready.reason), "{}", situation.about);
    // The same facts once more, with the status that was written: nothing new to say.
    observed.status = plan.status.clone();
    let again = look(situation, &desired, &observed);
    assert!(
        again.status == plan.status || situation.restless.is_some(),
        "{}: the status does not rest:\n{:#?}\n{:#?}",
        situation.about,
        plan.status,
        again.status
    );
    let mut text = short(&plan, read);
    for content in CONTENTS {
        text = text.replace(&name(content), &format!("rev:{content}"));
    }
    text
}

/// One pass over the task.
fn look(situation: &Situation, desired: &Desired, observed: &Observed) -> Plan {
    let Some(wrong) = &situation.invalid else {
        return plan(desired, observed, situation.now);
    };
    let problem = Problem {
        reason: Reason::InvalidSpec,
        field: "spec".into(),
        value: None,
        message: wrong.clone(),
    };
    let (generation, problems) = (desired.generation, [problem]);
    let results = results(desired, observed);
    assert_eq!(has_ended(desired, observed), !results.is_empty());
    invalid(
        generation,
        &observed.status,
        &problems,
        results,
        situation.now,
    )
}

fn short(plan: &Plan, kstatus: &str) -> String {
    let mut text = String::from("actions:\n");
    for action in &plan.actions {
        writeln!(text, "- {}", describe(action)).unwrap();
    }
    let requeue = plan.requeue.map_or_else(
        || "never".to_owned(),
        |after| format!("{} s", after.as_secs()),
    );
    writeln!(text, "requeue: {requeue}\nkstatus: {kstatus}\nstatus:").unwrap();
    for line in serde_saphyr::to_string(&plan.status).unwrap().lines() {
        writeln!(text, "  {line}").unwrap();
    }
    text
}

fn describe(action: &Action) -> String {
    match action {
        Action::CheckDaemonSet(set) => with_revision("CheckDaemonSet", set),
        Action::ApplyDaemonSet(set) => with_revision("ApplyDaemonSet", set),
        Action::CheckJob(job) | Action::CreateJob(job) => {
            let verb = if matches!(action, Action::CheckJob(_)) {
                "CheckJob"
            } else {
                "CreateJob"
            };
            let of = |from: &Option<std::collections::BTreeMap<String, String>>, key| {
                from.as_ref().and_then(|map| map.get(key)).cloned().unwrap()
            };
            let node = of(&job.metadata.annotations, label::NODE);
            let labels = job.metadata.labels.as_ref().unwrap();
            let check = labels.get(label::STEP).map_or("", |_| " check");
            let tick = labels.get(label::TICK).map(|tick| {
                let tick = jiff::Timestamp::from_second(tick.parse().unwrap());
                format!(" for {}", tick.unwrap())
            });
            format!(
                "{verb} {node} attempt {}{check}{}",
                of(&job.metadata.labels, label::ATTEMPT),
                tick.unwrap_or_default()
            )
        }
        Action::CreateRevision(created) => {
            format!(
                "CreateRevision {} number {}",
                created.metadata.name.as_ref().unwrap(),
                created.revision.unwrap()
            )
        }
        Action::RenumberRevision { name, number, .. } => {
            format!("RenumberRevision {name} number {number}")
        }
        Action::DeleteRevision { name, .. } => format!("DeleteRevision {name}"),
        Action::OrphanDaemonSet { name, .. } => format!("OrphanDaemonSet {name}"),
        Action::MovePod { name, wave, .. } => format!("MovePod {name} to {wave}"),
        Action::UngatePod { name, .. } => format!("UngatePod {name}"),
        Action::DeletePod { name, .. } => format!("DeletePod {name}"),
        Action::DeleteJob { name, .. } => format!("DeleteJob {name}"),
        Action::RecordResult { node, entry } => record(node, entry),
        Action::Publish(note) => {
            let kind = if note.warning { "Warning" } else { "Normal" };
            let about = note
                .node
                .as_ref()
                .map(|name| format!(" [{name}]"))
                .unwrap_or_default();
            format!(
                "Publish {kind} {}{about} {}",
                note.reason.as_str(),
                note.note
            )
        }
    }
}

fn with_revision(verb: &str, set: &DaemonSet) -> String {
    let template = set.spec.template.metadata.as_ref();
    let labels = template.and_then(|it| it.labels.as_ref()).unwrap();
    let name = set.metadata.name.as_deref().unwrap();
    format!("{verb} {name} {}", labels[label::REVISION])
}

fn record(node: &str, entry: &LedgerEntry) -> String {
    let retry = entry
        .next_retry_time
        .as_ref()
        .map_or_else(|| "none".to_owned(), |time| time.0.to_string());
    format!(
        "RecordResult {node} {:?} {} attempt {} exit {:?} retry {retry}",
        entry.state,
        entry.reason.as_deref().unwrap_or_default(),
        entry.attempts,
        entry.exit_code
    )
}
