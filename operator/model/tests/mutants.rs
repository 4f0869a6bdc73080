//! Every seeded mistake is caught by the model; the table says by which law, and after how many steps.
#![expect(
    clippy::unwrap_used,
    clippy::too_many_lines,
    clippy::similar_names,
    reason = "the mistakes are one table"
)]

use hosttask_crds::task::FailureAction;
use hosttask_model::config::{Config, Edit, Fault, Quality};
use hosttask_model::machine::explore;
use hosttask_model::mutant::Mutant;

/// More states than any mistake needs.
const STATES: usize = 400_000;

/// Each mistake, and the world that it is looked for in.
fn mutants() -> Vec<(Mutant, Config)> {
    let one = Config::daemon("one wave");
    let waves = Config {
        pools: &[0, 1],
        layouts: &[Some(0), Some(1), None],
        ..Config::daemon("two waves")
    };
    let jobs = Config::run_once("jobs");
    let with = |faults: &'static [Fault], config: &Config| Config {
        faults,
        fault_budget: u8::try_from(faults.len()).unwrap(),
        ..config.clone()
    };
    let wish = |edits: &'static [Edit], config: &Config| Config {
        edits,
        edit_budget: u8::try_from(edits.len()).unwrap(),
        ..config.clone()
    };
    let failing = |contents: &'static [Quality], policy, config: &Config| Config {
        contents,
        policy: Some(policy),
        ..config.clone()
    };
    let bad = &[Quality::Good, Quality::Crashes];
    let half = &[Quality::Good, Quality::CrashesOnTwo];
    let good = &[Quality::Good, Quality::Good];
    let soaking = Config {
        soak: 1,
        ..waves.clone()
    };
    let manual = Config {
        manual: true,
        ..waves.clone()
    };
    vec![
        (Mutant::BudgetOff, one.clone()),
        (Mutant::BadFirstOff, with(&[Fault::Flake], &one)),
        (Mutant::InFlightNotCounted, one.clone()),
        (Mutant::UnreachableStarted, with(&[Fault::Die], &one)),
        (Mutant::WaveOrderOff, waves.clone()),
        (Mutant::SoakOff, soaking),
        (Mutant::ApprovalOff, manual),
        (
            Mutant::WindowIgnored,
            wish(&[Edit::CloseWindow(true), Edit::Content(1)], &one),
        ),
        (
            Mutant::PauseIgnored,
            wish(&[Edit::Pause(true), Edit::Content(1)], &one),
        ),
        (
            Mutant::LatchForgotten,
            failing(bad, FailureAction::Rollback, &one),
        ),
        (
            Mutant::RollbackMissing,
            failing(bad, FailureAction::Rollback, &one),
        ),
        (
            Mutant::RollbackReversed,
            failing(half, FailureAction::Rollback, &waves),
        ),
        (
            Mutant::RegressedIgnored,
            with(&[Fault::Die], &failing(good, FailureAction::Pause, &one)),
        ),
        (
            Mutant::MovedWithoutOrphaning,
            wish(&[Edit::Layout(1)], &waves),
        ),
        (Mutant::AffinityFirst, wish(&[Edit::Layout(1)], &waves)),
        (Mutant::LedgerForgotten, jobs.clone()),
        (
            Mutant::NaiveCache,
            with(&[Fault::LagPods, Fault::Flake], &one),
        ),
        (
            Mutant::StaleRestart,
            with(&[Fault::LagPods, Fault::Crash, Fault::Flake], &one),
        ),
        (
            Mutant::NoFence,
            with(&[Fault::Stall, Fault::TakeOver, Fault::Flake], &one),
        ),
        (
            Mutant::NoPrecondition,
            with(&[Fault::Reimage, Fault::Stall, Fault::Usurp], &jobs),
        ),
        (Mutant::GeneratedNames, with(&[Fault::Twice], &jobs)),
    ]
}

#[test]
fn every_seeded_mistake_is_caught() {
    let mut missed = Vec::new();
    println!(
        "{:<24} {:<16} {:>5} {:>8} {:>6}",
        "mistake", "caught by", "steps", "states", "s"
    );
    let mutants = mutants();
    for (mutant, config) in &mutants {
        let report = explore(config.clone(), Some(*mutant), STATES);
        let (law, way) = report.broken.unwrap_or(("MISSED", Vec::new()));
        println!(
            "{:<24} {law:<16} {:>5} {:>8} {:>6.1}",
            format!("{mutant:?}"),
            way.len(),
            report.states,
            report.time.as_secs_f64()
        );
        if law == "MISSED" {
            missed.push(*mutant);
        }
    }
    println!(
        "{} of {} caught",
        mutants.len() - missed.len(),
        mutants.len()
    );
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
