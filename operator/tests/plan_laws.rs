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
#[path = "support/controllers.rs"]
mod controllers;
#[path = "support/history.rs"]
mod history;
#[path = "support/laws.rs"]
mod laws;
#[path = "support/shape.rs"]
mod shape;
#[path = "support/task.rs"]
mod task;
#[path = "support/truth.rs"]
mod truth;
#[path = "support/waves.rs"]
mod waves;

use std::collections::BTreeSet;

use cluster::{POOL, Quality, RING, ZONE};
use history::{History, NODES, Step};
use hosttask_crds::task::{FailureAction, Mode};
use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;
use shape::{Edit, LAYOUT_COUNT};

fn any_quality() -> impl Strategy<Value = Quality> {
    prop_oneof![
        2 => Just(Quality::Good),
        1 => Just(Quality::Crashes),
        1 => Just(Quality::Hangs)
    ]
}

fn any_budget() -> impl Strategy<Value = Option<i32>> {
    prop::option::of(0..3_i32)
}

/// What happens to a cluster, and the machinery that works in it.
fn step() -> BoxedStrategy<Step> {
    let node = 0..NODES;
    prop_oneof![
        4 => Just(Step::Round),
        12 => Just(Step::Reconcile),
        2 => (0..4_usize).prop_map(Step::Crash),
        8 => Just(Step::Sync),
        8 => Just(Step::DaemonSetController),
        4 => Just(Step::GarbageCollector),
        12 => node.clone().prop_map(Step::Kubelet),
        4 => prop_oneof![Just(1), Just(40), Just(400), Just(2000)].prop_map(Step::Advance),
        3 => (node.clone(), any::<bool>()).prop_map(|(node, up)| Step::Power(node, up)),
        1 => Just(Step::Join),
        1 => node.clone().prop_map(Step::Leave),
        2 => node.clone().prop_map(Step::Reimage),
        2 => node.prop_map(Step::Disturb),
        2 => (any_quality(), 0..3_u8).prop_map(|(quality, number)| Step::Want(quality, number)),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => prop::bool::weighted(0.2).prop_map(Step::Suspend),
        1 => (0..4_i32).prop_map(Step::Budget),
        1 => Just(Step::ExpireJobs),
    ]
    .boxed()
}

/// What people change about the waves, and about the nodes in them.
fn wave_step() -> BoxedStrategy<Step> {
    let node = 0..NODES;
    let label = prop_oneof![
        2 => (Just(RING), 0..3_u8),
        1 => (Just(POOL), 0..2_u8),
        1 => (Just(ZONE), 0..2_u8),
    ];
    let edit = prop_oneof![
        4 => (0..LAYOUT_COUNT).prop_map(Edit::Layout),
        1 => prop_oneof![Just(0), Just(300)].prop_map(Edit::Soak),
        2 => any::<bool>().prop_map(Edit::Manual),
        2 => (0..3_usize).prop_map(Edit::Approve),
        1 => any_budget().prop_map(Edit::WaveBudget),
        1 => prop::option::of(any::<bool>()).prop_map(Edit::Order),
        1 => any::<bool>().prop_map(Edit::Place),
        1 => Just(Edit::Touch),
    ];
    prop_oneof![
        4 => edit.prop_map(Step::Edit),
        1 => (node, label).prop_map(|(node, (key, value))| Step::Relabel(node, key, value)),
        1 => (prop::sample::select(&["canary", "default"][..]), any::<bool>())
            .prop_map(|(wave, there)| Step::Foreign(wave, there)),
    ]
    .boxed()
}

/// What holds a rollout up, or ends it.
fn gate_step(mode: Mode) -> BoxedStrategy<Step> {
    let node = 0..NODES;
    let action = if mode == Mode::Daemon {
        prop_oneof![
            Just(FailureAction::Pause),
            Just(FailureAction::Rollback),
            Just(FailureAction::Continue)
        ]
        .boxed()
    } else {
        prop_oneof![Just(FailureAction::Pause), Just(FailureAction::Continue)].boxed()
    };
    let edit = prop_oneof![
        3 => prop::option::weighted(0.8, (1..3_i32, action)).prop_map(Edit::Policy),
        2 => Just(Edit::Retry),
        1 => prop::bool::weighted(0.4).prop_map(Edit::Window),
        1 => prop::option::of(0..4_i32).prop_map(Edit::Partition),
        1 => any::<bool>().prop_map(Edit::Depends),
        1 => any::<bool>().prop_map(Edit::Conditions),
        1 => prop_oneof![Just(0), Just(60)].prop_map(Edit::UnreachableAfter),
        1 => any_budget().prop_map(Edit::MaxUnreachable),
    ];
    prop_oneof![
        6 => edit.prop_map(Step::Edit),
        1 => prop::option::weighted(0.8, any::<u8>()).prop_map(Step::Dependency),
        1 => (node.clone(), any::<bool>()).prop_map(|(node, busy)| Step::Busy(node, busy)),
        1 => prop::option::of(0..3_i32).prop_map(Step::Slots),
        2 => (node, any::<bool>()).prop_map(|(node, holds)| Step::Condition(node, holds)),
        2 => Just(Step::Advance(10_800)),
    ]
    .boxed()
}

fn steps(mode: Mode) -> impl Strategy<Value = Vec<Step>> {
    let any = prop_oneof![
        8 => step(),
        1 => wave_step(),
        1 => gate_step(mode),
    ];
    let plain = prop::collection::vec(step(), 1..120);
    prop_oneof![
        1 => plain,
        3 => prop::collection::vec(any, 1..160)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_daemon_task_keeps_every_law_and_converges(steps in steps(Mode::Daemon)) {
        let mut history = History::new(Mode::Daemon);
        for step in &steps {
            history.step(step);
        }
        history.settle();
    }

    #[test]
    fn a_run_once_task_keeps_every_law_and_converges(steps in steps(Mode::RunOnce)) {
        let mut history = History::new(Mode::RunOnce);
        for step in &steps {
            history.step(step);
        }
        history.settle();
    }
}

/// The machinery alone: nothing breaks but the operator.
fn machinery() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Reconcile),
        2 => (0..4_usize).prop_map(Step::Crash),
        4 => Just(Step::Sync),
        3 => Just(Step::DaemonSetController),
        3 => Just(Step::GarbageCollector),
        4 => (0..NODES).prop_map(Step::Kubelet),
        1 => Just(Step::Advance(40)),
    ]
}

/// What people may change without a pod being restarted.
fn harmless() -> impl Strategy<Value = Step> {
    let edit = prop_oneof![
        4 => (0..LAYOUT_COUNT).prop_map(Edit::Layout),
        1 => prop_oneof![Just(0), Just(300)].prop_map(Edit::Soak),
        1 => any::<bool>().prop_map(Edit::Manual),
        1 => any_budget().prop_map(Edit::WaveBudget),
        1 => prop::option::of(any::<bool>()).prop_map(Edit::Order),
        1 => any::<bool>().prop_map(Edit::Window),
        1 => any::<bool>().prop_map(Edit::Place),
        1 => Just(Edit::Policy(Some((1, FailureAction::Rollback)))),
        1 => Just(Edit::Retry),
        1 => Just(Edit::Touch),
    ];
    prop_oneof![
        4 => edit.prop_map(Step::Edit),
        1 => (0..3_i32).prop_map(Step::Budget),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => any::<bool>().prop_map(Step::Suspend),
    ]
}

/// Which pods run.
fn running(history: &History) -> BTreeSet<String> {
    let pods = history.cluster.world.pods.iter();
    pods.map(|pod| pod.uid.clone()).collect()
}

/// A task that was rolled out, with this layout, budget and policy.
fn rolled_out(layout: usize, budget: i32, policy: (i32, FailureAction)) -> History {
    let mut history = History::new(Mode::Daemon);
    history.edit(&Edit::Layout(layout));
    history.settle();
    history.step(&Step::Budget(budget));
    history.edit(&Edit::Policy(Some(policy)));
    history
}

fn reason(history: &History) -> &str {
    history::condition(&history.cluster.status, "Ready").map_or("", |(_, reason)| reason)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_content_restarts_a_pod(
        steps in prop::collection::vec(prop_oneof![1 => harmless(), 5 => machinery()], 1..120),
    ) {
        let mut history = History::new(Mode::Daemon);
        history.settle();
        let before = running(&history);
        for step in &steps {
            history.step(step);
        }
        history.recover();
        history.run(40);
        history.check_settled();
        prop_assert_eq!(running(&history), before);
    }

    #[test]
    fn a_bad_update_is_rolled_back_everywhere_and_not_tried_again(
        layout in 0..LAYOUT_COUNT,
        budget in 1..4_i32,
        failed in 1..3_i32,
        quality in prop_oneof![Just(Quality::Crashes), Just(Quality::Hangs)],
        steps in prop::collection::vec(machinery(), 0..60),
    ) {
        // Where fewer nodes are started than have to fail, the rollout stands: the first wave may be one node.
        let failed = if layout == 0 { failed.min(budget) } else { 1 };
        let mut history = rolled_out(layout, budget, (failed, FailureAction::Rollback));
        let stable = history.cluster.status.stable_revision.clone().unwrap();
        history.cluster.want(quality, 1);
        for step in &steps {
            history.step(step);
        }
        history.run(60);
        prop_assert_eq!(reason(&history), "RolledBack");
        history.check_settled();
        let world = &history.cluster.world;
        let at_stable = |node: &str| truth::serves_at(world, node, &stable);
        prop_assert!(world.nodes.iter().all(|node| at_stable(&node.name)));
        // A tool that applies the same spec again and again changes nothing.
        let before = running(&history);
        for _ in 0..4 {
            history.edit(&Edit::Touch);
            history.run(4);
        }
        prop_assert_eq!(running(&history), before.clone());
        prop_assert_eq!(reason(&history), "RolledBack");
        history.edit(&Edit::Retry);
        history.run(60);
        prop_assert_ne!(running(&history), before, "it is tried again when somebody asks for it");
        prop_assert_eq!(reason(&history), "RolledBack");
    }

    #[test]
    fn a_failed_rollout_that_pauses_starts_nothing_until_somebody_asks(
        layout in 0..LAYOUT_COUNT,
        quality in prop_oneof![Just(Quality::Crashes), Just(Quality::Hangs)],
        steps in prop::collection::vec(machinery(), 0..60),
    ) {
        let mut history = rolled_out(layout, 1, (1, FailureAction::Pause));
        history.cluster.want(quality, 1);
        for step in &steps {
            history.step(step);
        }
        history.run(30);
        prop_assert_eq!(reason(&history), "FailureThresholdExceeded");
        let before = running(&history);
        history.step(&Step::Budget(3));
        history.edit(&Edit::Touch);
        history.run(8);
        prop_assert_eq!(running(&history), before);
        history.settle();
    }
}

/// How many nodes serve no pod.
fn disturbed(history: &History) -> usize {
    let cluster = &history.cluster;
    (0..cluster.desired.waves.len())
        .map(|wave| truth::disturbed(&cluster.desired, &cluster.world, wave))
        .sum()
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
            assert!(disturbed(&history) <= 2, "5 nodes, 2 may be disturbed");
        }
        assert_eq!(
            task::kstatus(&history.cluster.status, history.cluster.desired.generation),
            "Failed"
        );
    }
    assert_eq!(disturbed(&history), 2, "the bad updates did reach nodes");
    history.settle();
}
