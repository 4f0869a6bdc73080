//! The laws of `plan`, over random histories of a small cluster.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a law fails by panicking"
)]

#[path = "support/apply.rs"]
mod apply;
#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/history.rs"]
mod history;
#[path = "support/task.rs"]
mod task;
#[path = "support/truth.rs"]
mod truth;

use cluster::Quality;
use history::{History, NODES, Step};
use hosttask_crds::task::Mode;
use proptest::prelude::*;
use truth::disturbed;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = 0..NODES;
    let quality = prop_oneof![
        Just(Quality::Good),
        Just(Quality::Crashes),
        Just(Quality::Hangs)
    ];
    let step = prop_oneof![
        12 => Just(Step::Reconcile),
        2 => (0..4_usize).prop_map(Step::Crash),
        8 => Just(Step::Sync),
        8 => Just(Step::DaemonSetController),
        12 => node.clone().prop_map(Step::Kubelet),
        4 => prop_oneof![Just(1), Just(40), Just(400), Just(2000)].prop_map(Step::Advance),
        3 => (node.clone(), any::<bool>()).prop_map(|(node, up)| Step::Power(node, up)),
        1 => Just(Step::Join),
        1 => node.clone().prop_map(Step::Leave),
        2 => node.clone().prop_map(Step::Reimage),
        2 => node.prop_map(Step::Disturb),
        2 => (quality, 0..3_u8).prop_map(|(quality, number)| Step::Want(quality, number)),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => prop::bool::weighted(0.2).prop_map(Step::Suspend),
        1 => (0..4_i32).prop_map(Step::Budget),
        1 => Just(Step::ExpireJobs),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_daemon_task_keeps_every_law_and_converges(steps in steps()) {
        let mut history = History::new(Mode::Daemon);
        for step in &steps {
            history.step(step);
        }
        history.settle();
    }

    #[test]
    fn a_run_once_task_keeps_every_law_and_converges(steps in steps()) {
        let mut history = History::new(Mode::RunOnce);
        for step in &steps {
            history.step(step);
        }
        history.settle();
    }
}

#[test]
fn three_bad_updates_in_a_row_leave_all_but_the_budget_serving() {
    let mut history = History::new(Mode::Daemon);
    history.settle();
    for (number, quality) in [
        (1, Quality::Crashes),
        (1, Quality::Hangs),
        (2, Quality::Crashes),
    ] {
        history.cluster.want(quality, number);
        for _ in 0..40 {
            history.cluster.sync();
            history.reconcile(None);
            history.step(&Step::DaemonSetController);
            (0..NODES).for_each(|node| history.step(&Step::Kubelet(node)));
            history.cluster.advance(100);
            assert!(
                disturbed(&history.cluster.world) <= 2,
                "5 nodes, 2 may be disturbed"
            );
        }
        assert_eq!(
            task::kstatus(&history.cluster.status, history.cluster.desired.generation),
            "Failed"
        );
    }
    assert_eq!(
        disturbed(&history.cluster.world),
        2,
        "the bad updates did reach nodes"
    );
    history.settle();
}
