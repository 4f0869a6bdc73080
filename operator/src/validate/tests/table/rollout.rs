//! Cases of what steers a rollout: waves, windows, conditions and dependencies.

use super::super::super::{
    dependency as d, limits as l, rollout as r, selector as s, wave as w, window,
};
use super::*;

fn steer(rule: &'static Rule, pointer: &str, value: Value) -> Case {
    of(steered(), rule, pointer, value, &field(pointer))
}

/// `steered` without waves.
fn plain(rule: &'static Rule, pointer: &str, value: Value) -> Case {
    case(rule, pointer, value)
}

pub(super) fn rollout_cases() -> Vec<Case> {
    let amounts = |rule, pointer, values: &[Value]| -> Vec<Case> {
        values
            .iter()
            .map(|it| steer(rule, pointer, it.clone()))
            .collect()
    };
    let at_least_one = [
        json!(0),
        json!("0%"),
        json!("101%"),
        json!("5"),
        json!("+5%"),
    ];
    let any_number = [json!(-1), json!("101%"), json!("many"), json!("%")];
    let mut cases = amounts(
        &r::MAX_UNAVAILABLE,
        "/rollout/maxUnavailable",
        &at_least_one,
    );
    let wave = "/rollout/waves/0/maxUnavailable";
    cases.extend(amounts(&r::MAX_UNAVAILABLE, wave, &at_least_one));
    let failed = "/rollout/failurePolicy/maxFailedNodes";
    cases.extend(amounts(&r::MAX_FAILED, failed, &at_least_one));
    let unreachable = "/rollout/unreachableNodes/maxUnreachable";
    cases.extend(amounts(&r::MAX_UNREACHABLE, unreachable, &any_number));
    for value in any_number {
        cases.push(plain(&w::PARTITION, "/rollout/partition", value));
    }
    let rollback = "/rollout/failurePolicy/action";
    cases.extend([
        plain(
            &r::DEADLINE_ORDER,
            "/rollout/progressDeadlineSeconds",
            json!(30),
        ),
        of(
            run_once(),
            &r::ROLLBACK_MODE,
            rollback,
            json!("Rollback"),
            &field(rollback),
        ),
    ]);
    for (pointer, value) in [
        ("/rollout/waves/0/soakSeconds", 2_592_001),
        ("/rollout/unreachableNodes/afterSeconds", -1),
        ("/rollout/maintenanceWindows/0/durationSeconds", 59),
        ("/rollout/maintenanceWindows/0/durationSeconds", 604_801),
    ] {
        cases.push(steer(&l::RANGE, pointer, json!(value)));
    }
    cases
}

pub(super) fn wave_cases() -> Vec<Case> {
    let name = "/rollout/waves/0/name";
    let labels = "/rollout/waves/0/nodeSelector/matchLabels";
    let expression = "/rollout/waves/1/nodeSelector/matchExpressions/0";
    let many: BTreeMap<String, &str> = (0..33).map(|it| (format!("l{it}"), "x")).collect();
    let two = json!([
        {"key": "a", "operator": "Exists"},
        {"key": "b", "operator": "DoesNotExist"},
    ]);
    let mut product = steer(&w::ALTERNATIVES, labels, json!(many));
    set(
        &mut product.spec,
        "/rollout/waves/1/nodeSelector/matchExpressions",
        two,
    );
    product.field = "spec.rollout.waves".into();
    let approved = "/rollout/approvedWave";
    let mut cases = vec![
        steer(&w::PARTITION_OR_WAVES, "/rollout/partition", json!(1)),
        steer(&w::PARTITION_OR_WAVES, "/rollout/partition", json!("10%")),
        steer(&w::DEFAULT_NAME, name, json!("default")),
        steer(&w::TWICE, "/rollout/waves/1/name", json!("canary")),
        steer(
            &w::EMPTY_SELECTOR,
            "/rollout/waves/0/nodeSelector",
            json!({}),
        ),
        steer(
            &w::EMPTY_SELECTOR,
            "/rollout/waves/0/nodeSelector",
            json!({"matchLabels": {}, "matchExpressions": []}),
        ),
        product,
        steer(&s::KEY, &format!("{labels}/a b"), json!("x")),
        steer(&s::VALUE, &format!("{labels}/ring"), json!("a b")),
        steer(&s::OPERATOR, &format!("{expression}/operator"), json!("Gt")),
        steer(&s::VALUES, &format!("{expression}/values"), json!([])),
        steer(
            &s::NOT_WINDOWS,
            &format!("{labels}/kubernetes.io~1os"),
            json!("linux"),
        ),
    ];
    for text in ["", "A", "-a", "a-", "a.b", "aaaaaaaaaaaaaaaaaaaaa"] {
        cases.push(steer(&w::NAME, name, json!(text)));
    }
    for text in ["canary", "/canary", "a/", "a/b/c", ""] {
        cases.push(steer(&w::APPROVED_WAVE, approved, json!(text)));
    }
    cases
}

pub(super) fn order_cases() -> Vec<Case> {
    let zone = json!({"topologyKey": "topology.kubernetes.io/zone"});
    let (schedule, time_zone) = (
        "/rollout/maintenanceWindows/0/schedule",
        "/rollout/maintenanceWindows/0/timeZone",
    );
    let condition = "/health/nodeConditions/0";
    let mut cases = vec![
        steer(
            &r::ORDER_KEY,
            "/rollout/order/0/topologyKey",
            json!("a zone"),
        ),
        steer(&r::ORDER_TWICE, "/rollout/order/1", zone).named("topologyKey"),
        steer(&window::TIME_ZONE, time_zone, json!("Berlin")),
        steer(
            &l::CONDITION_TYPE,
            &format!("{condition}/type"),
            json!("Disk Pressure"),
        ),
        steer(
            &l::CONDITION_TWICE,
            &format!("{condition}/type"),
            json!("DiskPressure"),
        )
        .at("spec.health.nodeConditions[1].type"),
        steer(
            &l::CONDITION_READY,
            &format!("{condition}/status"),
            json!("False"),
        ),
        steer(
            &l::CONDITION_READY,
            &format!("{condition}/status"),
            json!("Unknown"),
        ),
        steer(&d::NAME, "/dependsOn/0/name", json!("other/network")),
        steer(&d::SELF, "/dependsOn/0/name", json!("agent")),
        steer(&d::TWICE, "/dependsOn/1", json!({"name": "network"})).named("name"),
    ];
    for text in [
        "",
        "every day",
        "0 2 * *",
        "0 2 * * * *",
        "61 2 * * *",
        "0 2 30 2 *",
        "@daily",
    ] {
        cases.push(steer(&window::CRON, schedule, json!(text)));
    }
    cases
}

#[test]
fn a_wrong_time_zone_does_not_hide_a_wrong_schedule() {
    let mut spec = steered();
    let at = "/rollout/maintenanceWindows/0";
    set(
        &mut spec,
        at,
        json!({"schedule": "often", "durationSeconds": 60, "timeZone": "Mars"}),
    );
    let problems = check(&spec, &inputs()).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|it| it.field.as_str()).collect();
    let at = "spec.rollout.maintenanceWindows[0]";
    assert_eq!(fields, [format!("{at}.timeZone"), format!("{at}.schedule")]);
}
