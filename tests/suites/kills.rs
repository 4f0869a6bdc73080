//! The operator is killed after every single write of a rollout in two waves, and of a rollback: the end is the same each
//! time, and the budget of every wave holds.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step fails the scenario"
)]
#![expect(clippy::print_stderr, reason = "the number of kills is told")]

#[path = "kills/proxy.rs"]
mod proxy;
#[path = "kills/round.rs"]
mod round;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::join_all;
use hosttask_tests::bed::{BedOptions, Plot, TestBed, fleet, plot, scenario, shared};
use hosttask_tests::fleet::{Behaviour, Glob, Rule};
use round::{Kind, Outcome, Round};
use tokio::sync::OnceCell;

/// Where rounds are played side by side: two canaries and two others each.
static PLOTS: [Plot; 8] = [
    plot("forth-1", 2, 0, 2),
    plot("forth-2", 2, 0, 2),
    plot("forth-3", 2, 0, 2),
    plot("forth-4", 2, 0, 2),
    plot("back-1", 2, 0, 2),
    plot("back-2", 2, 0, 2),
    plot("back-3", 2, 0, 2),
    plot("back-4", 2, 0, 2),
];
/// By how many writes of the status two rounds of one kind may differ.
const VARIATION: usize = 3;
/// More writes than any round has.
const MOST: usize = 100;

async fn bed() -> &'static TestBed {
    static BED: OnceCell<TestBed> = OnceCell::const_new();
    let bed = shared(&BED, || BedOptions {
        fleet: fleet(&PLOTS),
        ..BedOptions::default()
    })
    .await;
    // The bad update does well on canaries and crashes on the others.
    for plot in &PLOTS {
        let others = plot.nodes(&PLOTS).into_iter().skip(plot.canary);
        let rule = Rule {
            nodes: others.map(Glob::new).collect(),
            image: Some(Glob::new("app:bad")),
            behaviour: Behaviour {
                crash_loop: Some(hosttask_tests::fleet::script::CrashLoop::default()),
                ..Behaviour::default()
            },
            ..Rule::default()
        };
        bed.fleet.set_behaviour(rule).await.unwrap();
    }
    bed
}

/// Plays rounds on one plot until a round had fewer writes than it was to be killed after.
async fn lane(
    plot: Plot,
    kind: Kind,
    next: &AtomicUsize,
    over: &AtomicBool,
) -> Vec<(usize, Outcome)> {
    let bed = bed().await;
    let mut outcomes = Vec::new();
    while !over.load(Ordering::SeqCst) {
        let last = next.fetch_add(1, Ordering::SeqCst);
        assert!(last <= MOST, "no {kind:?} has {MOST} writes");
        let outcome = Round {
            bed,
            plots: &PLOTS,
            plot,
            kind,
            last,
        }
        .play()
        .await;
        // Round 0 is the one without a kill.
        if last > 0 && !outcome.was_killed {
            over.store(true, Ordering::SeqCst);
        }
        outcomes.push((last, outcome));
    }
    outcomes
}

/// Every ordinal of one kind, side by side. Compares each end with that of the round without a kill.
async fn every_write(kind: Kind, plots: &[Plot]) {
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let lanes = plots.iter().map(|plot| lane(*plot, kind, &next, &over));
    let mut outcomes: Vec<(usize, Outcome)> = join_all(lanes).await.into_iter().flatten().collect();
    outcomes.sort_by_key(|(last, _)| *last);
    let (_, whole) = outcomes.first().unwrap();
    let kills = outcomes
        .iter()
        .filter(|(_, outcome)| outcome.was_killed)
        .count();
    eprintln!(
        "{}: killed {kills} times, after each of its writes; {} writes without a kill",
        kind.name(),
        whole.writes
    );
    let text = |outcome: &Outcome| serde_json::to_string_pretty(&outcome.end).unwrap();
    let mut wrong = Vec::new();
    for (last, outcome) in &outcomes {
        if outcome.end != whole.end {
            wrong.push(format!("write {last}: it ended as {}", text(outcome)));
        }
        for wave in ["canary", "default"] {
            let disturbed = outcome.verdict.disturbed(wave);
            if disturbed > 1 {
                wrong.push(format!(
                    "write {last}: {disturbed} nodes of {wave} were disturbed"
                ));
            }
        }
        if outcome.verdict.most_on_a_node > 1 {
            wrong.push(format!("write {last}: there were two pods on one node"));
        }
    }
    let kind = kind.name();
    assert!(
        wrong.is_empty(),
        "{kind}, killed after {}\nwithout a kill it ended as {}",
        wrong.join("\n"),
        text(whole)
    );
    // How often the status is written depends on what a pass happens to see together: the round that had fewer writes than
    // it was to be killed after may have had one or two fewer than the first.
    assert!(
        kills > 0 && kills + VARIATION >= whole.writes,
        "{kills} kills, {} writes",
        whole.writes
    );
}

#[test]
fn a_rollout_killed_after_any_write_ends_as_if_it_had_not_been() {
    let (forth, _) = PLOTS.split_at(4);
    scenario(every_write(Kind::Rollout, forth));
}

#[test]
fn a_rollback_killed_after_any_write_ends_as_if_it_had_not_been() {
    let (_, back) = PLOTS.split_at(4);
    scenario(every_write(Kind::Rollback, back));
}
