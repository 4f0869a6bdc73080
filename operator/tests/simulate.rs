//! What a simulation must keep: it can be repeated, it keeps the budget, and its JSON is what people's scripts read.
//!
//! Longer than 400 lines: every case runs the same binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use hosttask_crds::task::Mode;
use hosttask_operator::desired::{Amount, Operator, Requirement, Wave};
use hosttask_operator::simulate::{
    Outcome, Pace, Sample, Setting, Share, TaskFile, invent, picture, simulate,
};
use proptest::prelude::*;
use serde_json::Value;

const TASK: &str = "
apiVersion: hosttask.dev/v1alpha1
kind: WindowsHostTask
metadata: { name: agent, namespace: ops }
spec:
  mode: Daemon
  runAs: { account: System }
  template: { spec: { containers: [{ name: main, image: 'app:v1' }] } }
  rollout: { maxUnavailable: 10% }
";

/// The task above, with further lines of its spec, on `nodes` nodes.
fn setting(more: &str, nodes: usize, faults: &[&str]) -> Setting {
    let text = match more {
        "" => TASK.to_owned(),
        more => format!(
            "{}{more}",
            TASK.replace("  rollout: { maxUnavailable: 10% }\n", "")
        ),
    };
    let desired = TaskFile::read(&text, None).unwrap().desired;
    let span = |text: &str| text.parse().unwrap();
    Setting {
        fleet: invent(nodes, &[], &desired).unwrap(),
        desired,
        from: None,
        first_only: false,
        faults: faults.iter().map(|fault| fault.parse().unwrap()).collect(),
        pace: Pace {
            start: span("20s..60s"),
            stop: span("2s..10s"),
            run: span("30s..2m"),
        },
        seed: 1,
        begin: "2026-01-05T08:00:00Z".parse().unwrap(),
        limit: Duration::from_hours(240),
        approve_after: Some(Duration::from_mins(10)),
    }
}

fn run_once(more: &str, nodes: usize, faults: &[&str]) -> Setting {
    let mut setting = setting(more, nodes, faults);
    setting.desired.mode = Mode::RunOnce;
    setting
}

#[test]
fn an_update_of_a_healthy_fleet_completes_within_its_budget() {
    let report = simulate(&setting("", 50, &[]));
    let [first, update] = report.rollouts.as_slice() else {
        panic!("{report:#?}")
    };
    assert_eq!(
        (first.outcome, update.outcome),
        (Outcome::Complete, Outcome::Complete)
    );
    assert_ne!(first.revision, update.revision);
    assert_eq!((update.started, update.most_disturbed), (50, Some(5)));
    assert_eq!(update.counts.updated, 50);
    assert_eq!(update.waves[0].budget, 5);
}

#[test]
fn a_bad_update_disturbs_no_more_nodes_than_the_budget() {
    let report = simulate(&setting("", 50, &["how=never-ready"]));
    let update = report.rollouts.last().unwrap();
    assert_eq!(update.outcome, Outcome::Stopped, "{update:#?}");
    assert_eq!((update.started, update.most_disturbed), (5, Some(5)));
    assert_eq!(update.counts.healthy, 45);
}

#[test]
fn dead_nodes_hold_up_nothing_and_are_updated_when_they_return() {
    let report = simulate(&setting("", 100, &["nodes=3%,how=dead"]));
    let update = report.rollouts.last().unwrap();
    assert_eq!(update.outcome, Outcome::Complete);
    assert_eq!((update.counts.updated, update.counts.unreachable), (97, 3));
    let report = simulate(&setting("", 100, &["nodes=3%,how=dead,for=2h"]));
    let update = report.rollouts.last().unwrap();
    assert_eq!((update.counts.updated, update.counts.unreachable), (100, 0));
}

#[test]
fn a_run_once_task_runs_everywhere_and_retries_what_failed() {
    let report = simulate(&run_once("", 40, &["nodes=2,how=crash,code=1603,times=1"]));
    let update = report.rollouts.last().unwrap();
    assert_eq!(update.outcome, Outcome::Complete, "{update:#?}");
    assert_eq!((update.started, update.counts.healthy), (42, 40));
    assert!(update.most_disturbed <= Some(4));
}

#[test]
fn an_old_task_runs_everywhere_before_the_update_begins() {
    let mut setting = setting("", 30, &[]);
    let mut old = setting.desired.clone();
    old.content.raw["simulated"] = Value::from("other");
    setting.from = Some(old);
    let report = simulate(&setting);
    let [update] = report.rollouts.as_slice() else {
        panic!("{report:#?}")
    };
    assert_eq!(
        (update.name, update.started, update.outcome),
        ("update", 30, Outcome::Complete)
    );
}

#[test]
fn a_node_that_no_wave_or_placement_selects_is_left_out() {
    let mut setting = setting("", 10, &[]);
    setting.fleet.iter_mut().take(4).for_each(|node| {
        node.labels
            .insert("kubernetes.io/os".into(), "linux".into());
    });
    let report = simulate(&setting);
    assert_eq!((report.fleet_nodes, report.nodes), (10, 6));
}

#[test]
fn invented_nodes_have_the_labels_that_the_waves_select() {
    let mut desired = setting("", 10, &[]).desired;
    let canary = Wave {
        name: "canary".into(),
        requirements: vec![Requirement {
            key: "ring".into(),
            operator: Operator::In,
            values: vec!["canary".into()],
        }],
        ..Wave::rest()
    };
    desired.waves = vec![canary, Wave::rest()];
    let count = |shares: &[&str]| {
        let shares: Vec<Share> = shares.iter().map(|share| share.parse().unwrap()).collect();
        let fleet = invent(200, &shares, &desired).unwrap();
        fleet
            .iter()
            .filter(|node| node.labels.get("ring").is_some_and(|it| it == "canary"))
            .count()
    };
    assert_eq!(
        (
            count(&[]),
            count(&["ring=canary:3"]),
            count(&["ring=canary:50%"])
        ),
        (10, 3, 100)
    );
}

#[test]
fn the_picture_is_a_whole_document_that_needs_nothing_else() {
    let report = simulate(&setting("", 50, &["nodes=4%,how=crash"]));
    let svg = picture(&report, report.rollouts.last().unwrap());
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for part in [
        "class=\"updated\"",
        "class=\"failed\"",
        "prefers-color-scheme: dark",
        ">nodes</text>",
    ] {
        assert!(svg.contains(part), "{part}");
    }
    assert!(!svg.contains("href") && !svg.contains("url("));
    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
}

/// Canary nodes first, and what failed is brought back.
const CAREFUL: &str = "  rollout:
    maxUnavailable: 10%
    waves: [{ name: canary, nodeSelector: { matchLabels: { ring: canary } }, soakSeconds: 600 }]
    failurePolicy: { maxFailedNodes: 1, action: Rollback }
";

#[test]
fn a_bad_update_is_rolled_back_and_its_node_is_blamed() {
    let report = simulate(&setting(
        CAREFUL,
        60,
        &["where=ring=canary,how=crash,code=1603"],
    ));
    let update = report.rollouts.last().unwrap();
    assert_eq!(
        (update.outcome, update.reason.as_str()),
        (Outcome::RolledBack, "RolledBack")
    );
    assert_eq!((update.counts.updated, update.counts.healthy), (0, 60));
    assert_eq!(update.failures[0].exit_code, Some(1603));
    let others = &update.waves[1];
    assert_eq!((others.name.as_str(), others.started), ("default", 0));
    assert!(
        update
            .timeline
            .iter()
            .any(|entry| entry.reason == "RollingBack")
    );
}

#[test]
fn the_waves_come_one_after_the_other_with_the_soak_between_them() {
    let report = simulate(&setting(CAREFUL, 60, &[]));
    let update = report.rollouts.last().unwrap();
    let [canary, others] = update.waves.as_slice() else {
        panic!("{update:#?}")
    };
    assert_eq!(
        (canary.nodes, canary.budget, others.nodes, others.budget),
        (3, 1, 57, 5)
    );
    assert!(canary.ended.unwrap() - canary.began.unwrap() >= 600);
    assert!(others.began >= canary.ended);
}

#[test]
fn editing_the_waves_alone_restarts_no_pod() {
    let mut setting = setting(CAREFUL, 60, &[]);
    let old = hosttask_operator::desired::Desired {
        waves: vec![Wave::rest()],
        ..setting.desired.clone()
    };
    setting.from = Some(old.clone());
    let report = simulate(&setting);
    let update = report.rollouts.last().unwrap();
    assert_eq!(
        (update.outcome, update.started),
        (Outcome::Complete, 0),
        "{update:#?}"
    );
    // With other content as well every pod is replaced once.
    let mut other = old;
    other.content.raw["simulated"] = Value::from("other");
    setting.from = Some(other);
    let report = simulate(&setting);
    let update = report.rollouts.last().unwrap();
    assert_eq!(
        (update.outcome, update.started),
        (Outcome::Complete, 60),
        "{update:#?}"
    );
}

#[test]
fn a_wave_that_asks_for_approval_waits_until_somebody_approves() {
    let text = CAREFUL.replace("soakSeconds: 600", "approval: Manual");
    let mut setting = setting(&text, 20, &[]);
    let report = simulate(&setting);
    assert_eq!(report.rollouts.last().unwrap().outcome, Outcome::Complete);
    setting.approve_after = None;
    let report = simulate(&setting);
    let [first] = report.rollouts.as_slice() else {
        panic!("there is no update before the first rollout is over")
    };
    assert_eq!(
        (first.outcome, first.reason.as_str()),
        (Outcome::Waiting, "AwaitingApproval")
    );
}

#[test]
fn a_rollout_waits_for_its_maintenance_window() {
    let windows =
        "  rollout: { maintenanceWindows: [{ schedule: '0 22 * * *', durationSeconds: 3600 }] }\n";
    let mut setting = setting(windows, 10, &[]);
    setting.first_only = true;
    let report = simulate(&setting);
    let first = report.rollouts.last().unwrap();
    assert_eq!(first.outcome, Outcome::Complete, "{first:#?}");
    // It begins at 8 o'clock.
    assert!(first.ready_after_seconds >= Some(14 * 3600), "{first:#?}");
}

/// The path of every field of a JSON document.
fn paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                paths(value, &format!("{at}.{name}"), found);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| paths(item, &format!("{at}[]"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.insert(at.to_owned());
        }
    }
}

#[test]
fn the_json_has_the_fields_that_scripts_read() {
    let mut setting = setting(CAREFUL, 40, &["where=ring=canary,how=crash,message=no"]);
    setting.first_only = false;
    let mut found = BTreeSet::new();
    paths(
        &serde_json::to_value(simulate(&setting)).unwrap(),
        "",
        &mut found,
    );
    let expected = [
        ".assumptions[]",
        ".fleetNodes",
        ".mode",
        ".nodes",
        ".seed",
        ".task",
        ".rollouts[].counts.desired",
        ".rollouts[].counts.failed",
        ".rollouts[].counts.healthy",
        ".rollouts[].counts.pending",
        ".rollouts[].counts.unreachable",
        ".rollouts[].counts.updated",
        ".rollouts[].failures[].exitCode",
        ".rollouts[].failures[].message",
        ".rollouts[].failures[].node",
        ".rollouts[].failures[].reason",
        ".rollouts[].failures[].revision",
        ".rollouts[].message",
        ".rollouts[].mostDisturbed",
        ".rollouts[].name",
        ".rollouts[].outcome",
        ".rollouts[].passes",
        ".rollouts[].readyAfterSeconds",
        ".rollouts[].reason",
        ".rollouts[].revision",
        ".rollouts[].seconds",
        ".rollouts[].started",
        ".rollouts[].timeline[].at",
        ".rollouts[].timeline[].nodes",
        ".rollouts[].timeline[].reason",
        ".rollouts[].timeline[].text",
        ".rollouts[].timeline[].warning",
        ".rollouts[].waves[].began",
        ".rollouts[].waves[].budget",
        ".rollouts[].waves[].ended",
        ".rollouts[].waves[].mostDisturbed",
        ".rollouts[].waves[].name",
        ".rollouts[].waves[].nodes",
        ".rollouts[].waves[].started",
    ];
    let expected: BTreeSet<String> = expected.into_iter().map(str::to_owned).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    assert!(missing.is_empty(), "gone: {missing:?}");
}

#[test]
fn the_command_ends_with_0_with_2_for_a_wrong_task_and_with_1_for_everything_else() {
    let folder = std::env::temp_dir().join(format!("hosttask-simulate-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let good = file("good.yaml", TASK);
    let wrong = file(
        "wrong.yaml",
        &TASK.replace("account: System", "acount: System"),
    );
    let run = |words: &[&str]| {
        let program = Command::new(env!("CARGO_BIN_EXE_hosttask"))
            .args(words)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            program.status.code(),
            text(program.stdout),
            text(program.stderr),
        )
    };
    let (code, out, _) = run(&["simulate", "-f", &good, "-o", "json", "--nodes", "5"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, report["nodes"].as_u64()), (Some(0), Some(5)));
    let svg = file("picture.svg", "");
    assert_eq!(
        run(&["simulate", "-f", &good, "--nodes", "5", "--svg", &svg]).0,
        Some(0)
    );
    assert!(std::fs::read_to_string(&svg).unwrap().starts_with("<svg"));
    let (code, out, told) = run(&["simulate", "-f", &wrong, "-o", "json"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(
        told.contains("spec.runAs.acount") && told.contains("write account"),
        "{told}"
    );
    let problems: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(problems["problems"][0]["field"], "spec.runAs.acount");
    assert_eq!(run(&["simulate", "-f", "/does/not/exist.yaml"]).0, Some(1));
    assert_eq!(
        run(&["simulate", "-f", &good, "--fail", "how=explodes"]).0,
        Some(1)
    );
    assert_eq!(run(&["simulate", "--help"]).0, Some(0));
    std::fs::remove_dir_all(&folder).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_update_does_the_budget_is_kept_and_the_run_can_be_repeated(
        seed in any::<u64>(),
        nodes in 1..40_usize,
        budget in prop_oneof![(1..6).prop_map(Amount::Count), (1..60).prop_map(Amount::Percent)],
        how in prop_oneof![Just("crash"), Just("never-ready"), Just("image"), Just("slow,for=30m")],
        share in 0..101_usize,
        daemon in any::<bool>(),
    ) {
        let fault = format!("nodes={share}%,how={how}");
        let mut setting = setting("", nodes, &[&fault, "nodes=10%,how=dead,revision=any"]);
        setting.desired.max_unavailable = budget;
        setting.seed = seed;
        if !daemon {
            setting.desired.mode = Mode::RunOnce;
        }
        let report = simulate(&setting);
        prop_assert_eq!(&report, &simulate(&setting));
        for rollout in &report.rollouts {
            for wave in rollout.waves.iter().filter(|_| rollout.most_disturbed.is_some()) {
                prop_assert!(wave.most_disturbed <= wave.budget, "{:#?}", rollout);
            }
            let all = |sample: &Sample| sample.stack().iter().sum::<usize>();
            prop_assert!(rollout.samples.iter().all(|sample| all(sample) == report.nodes));
        }
    }
}
