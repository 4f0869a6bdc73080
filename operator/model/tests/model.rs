//! The shipped plan in every reachable state of small worlds; see `operator/docs/model.md`.
//!
//! `MODEL_STATES=1e8 cargo test --release -p hosttask-model --test model -- --nocapture` is the long run.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of states are shares of each other"
)]

use hosttask_crds::task::FailureAction;
use hosttask_model::config::{Config, Edit, Fault, Quality};
use hosttask_model::machine::explore;

/// How many states (different ones, over all worlds) a run explores at least. A world that is smaller is explored completely.
const GATE: usize = 1_000_000;

const OPERATOR: &[Fault] = &[
    Fault::Crash,
    Fault::Lost,
    Fault::Twice,
    Fault::Stall,
    Fault::TakeOver,
];
const LAG: &[Fault] = &[Fault::LagFacts, Fault::LagPods, Fault::LagSet, Fault::Crash];
const NODES: &[Fault] = &[Fault::Die, Fault::Reimage, Fault::Flake, Fault::UserDelete];
const JOBS: &[Fault] = &[
    Fault::LagJobs,
    Fault::LagFacts,
    Fault::Crash,
    Fault::Lost,
    Fault::Twice,
    Fault::Usurp,
    Fault::Reimage,
];
const GOOD: &[Quality] = &[Quality::Good, Quality::Good];
const BAD: &[Quality] = &[Quality::Good, Quality::Crashes];
const HALF: &[Quality] = &[Quality::Good, Quality::CrashesOnTwo];
const HANGS: &[Quality] = &[Quality::Good, Quality::Hangs];

/// One wave.
fn one() -> Vec<Config> {
    let one = |name, contents, faults| Config {
        contents,
        faults,
        ..Config::daemon(name)
    };
    let failing = |policy, config| Config {
        policy: Some(policy),
        ..config
    };
    vec![
        one("operator", GOOD, OPERATOR),
        one("lag", GOOD, LAG),
        one("nodes", GOOD, NODES),
        one("bad, operator", BAD, OPERATOR),
        one("never ready", HANGS, OPERATOR),
        failing(
            FailureAction::Rollback,
            one("rollback, operator", BAD, OPERATOR),
        ),
        failing(FailureAction::Rollback, one("rollback, lag", BAD, LAG)),
        Config {
            edits: &[
                Edit::Content(1),
                Edit::Retry,
                Edit::Content(0),
                Edit::Pause(true),
            ],
            edit_budget: 3,
            ..failing(FailureAction::Pause, one("pause, retry, back", BAD, NODES))
        },
        Config {
            pools: &[0, 0, 0],
            max_unavailable: 2,
            ..one("three nodes", GOOD, LAG)
        },
    ]
}

/// Two waves, and Jobs.
fn more() -> Vec<Config> {
    let waves = |name, contents, faults| Config {
        pools: &[0, 1],
        layouts: &[Some(0), Some(1), None],
        soak: 1,
        contents,
        faults,
        ..Config::daemon(name)
    };
    let jobs = |name, contents| Config {
        contents,
        faults: JOBS,
        ..Config::run_once(name)
    };
    vec![
        waves("waves, operator", GOOD, OPERATOR),
        waves("waves, lag", GOOD, LAG),
        waves("waves, nodes", GOOD, NODES),
        waves("waves, relabelled", GOOD, &[Fault::Relabel, Fault::Crash]),
        Config {
            manual: true,
            edits: &[
                Edit::Content(1),
                Edit::Approve,
                Edit::CloseWindow(true),
                Edit::Pause(true),
            ],
            edit_budget: 2,
            ..waves("waves, gates", GOOD, NODES)
        },
        Config {
            policy: Some(FailureAction::Rollback),
            ..waves("waves, rollback", HALF, OPERATOR)
        },
        Config {
            edits: &[Edit::Content(1), Edit::Layout(1), Edit::Layout(2)],
            edit_budget: 2,
            ..waves("waves, edited", GOOD, OPERATOR)
        },
        jobs("jobs", GOOD),
        jobs("jobs, bad", BAD),
    ]
}

#[test]
fn the_shipped_plan_breaks_no_law_and_never_gets_stuck() {
    let wanted = std::env::var("MODEL_STATES").ok();
    let wanted = wanted.map_or(GATE as f64, |text| text.parse().unwrap());
    let configs: Vec<Config> = one().into_iter().chain(more()).collect();
    println!(
        "{:<22} {:>6} {:>9} {:>8} {:>5} {:>6} {:>9} {:>7}  violations",
        "world", "faults", "states", "plans", "depth", "ends", "complete", "s"
    );
    let (mut states, mut seconds, mut broken) = (0, 0.0, Vec::new());
    let worlds = configs.len() as f64;
    for fault_budget in [0, 1, 2] {
        // stateright counts every step it takes, this counts different states: about four steps lead to each.
        let share = wanted * [0.2, 0.4, 0.6][usize::from(fault_budget)] / worlds;
        for config in &configs {
            let config = Config {
                fault_budget,
                ..config.clone()
            };
            let report = explore(config, None, (share * 4.0) as usize);
            println!(
                "{:<22} {fault_budget:>6} {:>9} {:>8} {:>5} {:>6} {:>9} {:>7.1}  {:?}",
                report.name,
                report.states,
                report.plans,
                report.depth,
                report.ends,
                report.complete,
                report.time.as_secs_f64(),
                report.broken
            );
            states += report.states;
            seconds += report.time.as_secs_f64();
            broken.extend(report.broken.map(|it| (report.name, it)));
        }
    }
    println!(
        "{states} states in {seconds:.0} s, {} violations",
        broken.len()
    );
    assert!(broken.is_empty(), "{broken:#?}");
}
