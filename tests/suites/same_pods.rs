//! The same pods on a simulated node and on a real Windows node: the simulated kubelet reports what the real one reports.
//!
//! What may differ, and why, stands in `tests/docs/fleet.md`, whose table this suite reads.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed step fails the scenario"
)]

#[path = "same_pods/bench.rs"]
mod bench;
#[path = "same_pods/case.rs"]
mod case;
#[path = "same_pods/explained.rs"]
mod explained;
#[path = "same_pods/journal.rs"]
mod journal;
#[path = "same_pods/pods/mod.rs"]
mod pods;
#[path = "same_pods/trace.rs"]
mod trace;

use futures::future::join_all;
use hosttask_tests::bed::scenario;

use bench::Bench;
use explained::Table;
use trace::{Difference, differences};

#[test]
fn thirty_pods_are_reported_alike_by_a_simulated_and_by_a_real_kubelet() {
    scenario(async {
        let bench = Bench::start().await;
        let cases = pods::all();
        assert!(cases.len() >= 30, "{} pods", cases.len());
        let pairs = join_all(cases.iter().map(|case| bench.play(case))).await;
        let mut compared = 0;
        let mut found: Vec<Difference> = Vec::new();
        for (case, (simulated, real)) in cases.iter().zip(&pairs) {
            compared += simulated.len().max(real.len());
            found.extend(differences(case.name, simulated, real));
        }
        let table = Table::read();
        let (unexplained, outdated) = table.against(&found);
        println!(
            "{} pods, {compared} sequences compared, {} differ and are explained",
            cases.len(),
            found.len() - unexplained.len()
        );
        let listed: Vec<String> = unexplained.iter().map(ToString::to_string).collect();
        assert!(
            listed.is_empty(),
            "{} sequences differ:\n{}",
            listed.len(),
            listed.join("\n")
        );
        assert!(
            outdated.is_empty(),
            "tests/docs/fleet.md explains differences that do not occur any more:\n{}",
            outdated.join("\n")
        );
    });
}
