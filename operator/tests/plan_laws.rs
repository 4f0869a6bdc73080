//! The laws of `plan`, over random histories of a small cluster.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a law fails by panicking"
)]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/task.rs"]
mod task;

use std::collections::{BTreeMap, BTreeSet};

use cluster::{Cluster, Quality, World};
use hosttask_crds::node::LedgerState;
use hosttask_crds::task::{Mode, WindowsHostTaskStatus};
use hosttask_operator::desired::Amount;
use hosttask_operator::observed::PodView;
use hosttask_operator::plan::{Action, Plan};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Reconcile,
    Crash(usize),
    Sync,
    DaemonSetController,
    Kubelet(usize),
    Advance(u64),
    Power(usize, bool),
    Join,
    Leave(usize),
    Disturb(usize),
    Want(Quality, u8),
    Pause(bool),
    Suspend(bool),
    Budget(i32),
    ExpireJobs,
}

const NODES: usize = 7;

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
        2 => node.prop_map(Step::Disturb),
        2 => (quality, 0..3_u8).prop_map(|(quality, number)| Step::Want(quality, number)),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => prop::bool::weighted(0.2).prop_map(Step::Suspend),
        1 => (0..4_i32).prop_map(Step::Budget),
        1 => Just(Step::ExpireJobs),
    ];
    prop::collection::vec(step, 1..120)
}

/// One history, with the laws checked at every step.
struct History {
    cluster: Cluster,
    /// Daemon: nodes whose healthy pod we deleted, until a pod is healthy there again.
    ours: BTreeSet<String>,
    /// RunOnce: what ended well, by node UID and revision.
    done: BTreeSet<(String, String)>,
}

impl History {
    fn new(mode: Mode) -> Self {
        Self {
            cluster: Cluster::new(mode, 5),
            ours: BTreeSet::new(),
            done: BTreeSet::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        let cluster = &mut self.cluster;
        match *step {
            Step::Reconcile => self.reconcile(None),
            Step::Crash(at) => self.reconcile(Some(at)),
            Step::Sync => cluster.sync(),
            Step::DaemonSetController => cluster.daemon_set_controller(),
            Step::Kubelet(node) => cluster.kubelet(node),
            Step::Advance(seconds) => cluster.advance(seconds),
            Step::Power(node, up) => cluster.power(node, up),
            Step::Join if cluster.world.nodes.len() < NODES => cluster.join(),
            Step::Join => {}
            Step::Leave(node) => cluster.leave(node),
            Step::Disturb(node) => cluster.disturb(node),
            Step::Want(quality, number) => cluster.want(quality, number),
            Step::Pause(paused) => cluster.desired.paused = paused,
            Step::Suspend(suspend) => cluster.desired.suspend = suspend,
            Step::Budget(nodes) => cluster.desired.max_unavailable = Amount::Count(nodes),
            Step::ExpireJobs => cluster.expire_jobs(),
        }
        let world = &self.cluster.world;
        self.ours.retain(|name| {
            world.nodes.iter().any(|node| node.name == *name)
                && !world
                    .pods
                    .iter()
                    .any(|pod| pod.node == *name && !pod.deleting && pod.ready_since.is_some())
        });
        for job in world.jobs.iter().filter(|job| {
            job.end
                .as_ref()
                .is_some_and(|end| end.complete || end.exit.as_ref().unwrap().code == 3010)
        }) {
            self.done
                .insert((job.node_uid.clone(), job.revision.clone()));
        }
    }

    fn reconcile(&mut self, crash: Option<usize>) {
        let plan = self.cluster.plan();
        assert_eq!(
            plan,
            self.cluster.plan(),
            "the same facts give the same plan"
        );
        self.check_writes(&plan);
        let before = self.cluster.status.clone();
        if self.cluster.apply(&plan, crash) {
            check_status(&self.cluster, &before);
        }
        let mut running: BTreeMap<&str, i32> = BTreeMap::new();
        for job in self
            .cluster
            .world
            .jobs
            .iter()
            .filter(|job| job.end.is_none())
        {
            *running.entry(&job.node_uid).or_default() += 1;
        }
        assert!(
            running.values().all(|jobs| *jobs == 1),
            "two Jobs run on one node: {running:?}"
        );
    }

    fn check_writes(&mut self, plan: &Plan) {
        let Cluster {
            desired,
            seen,
            world,
            status,
            template,
            ..
        } = &self.cluster;
        let Amount::Count(max) = desired.max_unavailable else {
            panic!("the laws count nodes")
        };
        let update = plan.status.update_revision.clone().unwrap();
        let is_start =
            |action: &&Action| matches!(action, Action::DeletePod { .. } | Action::CreateJob(_));
        let starts = plan.actions.iter().filter(is_start).count();
        if desired.suspend || desired.paused {
            assert_eq!(starts, 0, "a held task starts no node");
        }
        let mut after = seen.clone();
        for action in &plan.actions {
            match action {
                Action::DeletePod { uid, node, .. } => {
                    let pod = seen.pods.iter().find(|pod| pod.uid == *uid).unwrap();
                    assert!(
                        !pod.deleting && pod.revision != update,
                        "{pod:?} needs no replacement"
                    );
                    assert!(
                        seen.nodes
                            .iter()
                            .any(|seen| seen.name == *node && seen.ready),
                        "{node} does not answer"
                    );
                    assert_eq!(
                        template, &update,
                        "the controller would start the old template again"
                    );
                    after
                        .pods
                        .iter_mut()
                        .filter(|pod| pod.uid == *uid)
                        .for_each(|pod| pod.deleting = true);
                    let max = usize::try_from(max).unwrap();
                    if pod.ready_since.is_some() {
                        let disturbed = disturbed(&after);
                        assert!(
                            disturbed <= max,
                            "{disturbed} nodes disturbed, {max} allowed"
                        );
                    } else {
                        let flight = in_flight(&after, &update);
                        assert!(flight <= max, "{flight} nodes in flight, {max} allowed");
                    }
                    let serving = |pod: &&PodView| pod.uid == *uid && pod.ready_since.is_some();
                    // Taking one more serving node is what the budget is about, whatever the watches missed.
                    if world.pods.iter().any(|pod| serving(&pod))
                        && self.ours.insert(node.clone())
                        && status.wave.is_some()
                    {
                        let held = self
                            .ours
                            .iter()
                            .filter(|name| holds_slot(world, name))
                            .count();
                        assert!(
                            held <= max,
                            "we took {held} healthy nodes, {max} allowed: {:?}",
                            self.ours
                        );
                    }
                }
                Action::CreateJob(job) => {
                    let annotations = job.metadata.annotations.clone().unwrap();
                    let uid = annotations["hosttask.dev/node-uid"].clone();
                    assert!(
                        !self.done.contains(&(uid.clone(), update.clone())),
                        "{uid} ran {update} already"
                    );
                    let busy = |world: &World| {
                        let names: BTreeSet<_> = world
                            .jobs
                            .iter()
                            .filter(|job| job.end.is_none())
                            .map(|job| &job.node)
                            .collect();
                        world
                            .nodes
                            .iter()
                            .filter(|node| names.contains(&node.name))
                            .count()
                    };
                    assert!(
                        busy(seen) + starts <= usize::try_from(max).unwrap(),
                        "budget of Jobs"
                    );
                }
                _ => {}
            }
        }
    }

    /// Everything recovers; the operator must then bring the task to its end.
    fn settle(&mut self) {
        self.cluster.desired.paused = false;
        self.cluster.desired.suspend = false;
        self.cluster.desired.max_unavailable = Amount::Count(2);
        self.cluster.want(Quality::Good, 0);
        for node in 0..NODES {
            self.cluster.power(node, true);
        }
        for round in 0..80 {
            self.cluster.sync();
            self.reconcile(None);
            self.step(&Step::DaemonSetController);
            (0..NODES).for_each(|node| self.step(&Step::Kubelet(node)));
            self.cluster.advance(if round % 4 == 3 { 2000 } else { 5 });
        }
        self.cluster.sync();
        let ready = condition(&self.cluster.status, "Ready");
        assert_eq!(
            ready.map(|(status, _)| status),
            Some("True"),
            "{:#?}",
            self.cluster.status
        );
        let plan = self.cluster.plan();
        assert_eq!(
            (plan.actions, &plan.status),
            (Vec::new(), &self.cluster.status),
            "a settled task plans nothing"
        );
        self.cluster.advance(60);
        assert_eq!(
            self.cluster.plan().status,
            self.cluster.status,
            "time alone changes nothing"
        );
        let good = self
            .cluster
            .world
            .nodes
            .iter()
            .filter(|node| match self.cluster.desired.mode {
                Mode::Daemon => self.cluster.world.pods.iter().any(|pod| {
                    pod.node == node.name
                        && Some(&pod.revision) == plan.status.update_revision.as_ref()
                        && pod.ready_since.is_some()
                }),
                Mode::RunOnce => self
                    .cluster
                    .world
                    .ledger
                    .get(&node.name)
                    .is_some_and(|entry| {
                        entry.state == LedgerState::Succeeded
                            && Some(&entry.revision) == plan.status.update_revision.as_ref()
                    }),
            });
        assert_eq!(
            good.count(),
            self.cluster.world.nodes.len(),
            "every node has it"
        );
    }
}

fn serves(world: &World, node: &str) -> bool {
    world
        .pods
        .iter()
        .any(|pod| pod.node == node && !pod.deleting && pod.ready_since.is_some())
}

/// Reachable nodes without a pod that serves.
fn disturbed(world: &World) -> usize {
    world
        .nodes
        .iter()
        .filter(|node| node.ready && !serves(world, &node.name))
        .count()
}

/// Reachable nodes whose pod is gone, going or at `update` without serving.
fn in_flight(world: &World, update: &str) -> usize {
    let started = |node: &str| {
        let mut pods = world
            .pods
            .iter()
            .filter(|pod| pod.node == node && !pod.deleting)
            .peekable();
        pods.peek().is_none() || pods.any(|pod| pod.revision == update)
    };
    world
        .nodes
        .iter()
        .filter(|node| node.ready && started(&node.name) && !serves(world, &node.name))
        .count()
}

/// A node that left before its replacement was created is given up; one that left after keeps its slot.
fn holds_slot(world: &World, name: &str) -> bool {
    let node = world.nodes.iter().find(|node| node.name == name).unwrap();
    let left = node.ready_changed.unwrap();
    node.ready
        || world
            .pods
            .iter()
            .any(|pod| pod.node == name && (pod.deleting || pod.created <= left))
}

fn condition<'a>(status: &'a WindowsHostTaskStatus, kind: &str) -> Option<(&'a str, &'a str)> {
    let found = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)?;
    Some((&found.status, &found.reason))
}

fn check_status(cluster: &Cluster, before: &WindowsHostTaskStatus) {
    let Cluster {
        status,
        seen,
        desired,
        ..
    } = cluster;
    let (_, reason) = condition(status, "Ready").unwrap();
    assert_eq!(
        task::kstatus(status, desired.generation),
        task::by_table(reason),
        "{reason}"
    );
    let has = |kind| condition(status, kind).is_some();
    assert!(
        !(has("Reconciling") && has("Stalled")),
        "both Reconciling and Stalled"
    );
    let update = status.update_revision.as_ref().unwrap();
    let counted = status.updated_nodes.unwrap();
    let finished = before.stable_revision.as_ref() == Some(update) && before.wave.is_none();
    if finished && before.update_revision.as_ref() == Some(update) {
        assert!(
            !has("Reconciling"),
            "a finished rollout goes back to Reconciling"
        );
    }
    let sum = [
        status.pending_nodes,
        status.in_progress_nodes,
        status.failed_nodes,
        status.unreachable_nodes,
    ];
    let sum: i32 = sum.into_iter().map(Option::unwrap).sum();
    let truth = match desired.mode {
        Mode::Daemon => seen
            .nodes
            .iter()
            .filter(|node| {
                seen.pods
                    .iter()
                    .any(|pod| pod.node == node.name && pod.revision == *update)
            })
            .count(),
        Mode::RunOnce => {
            let good = status.healthy_nodes.unwrap();
            assert_eq!(
                sum + good,
                status.desired_nodes.unwrap(),
                "each node is counted once: {status:#?}"
            );
            seen.nodes
                .iter()
                .filter(|node| {
                    seen.ledger
                        .get(&node.name)
                        .is_some_and(|entry| entry.revision == *update)
                })
                .count()
        }
    };
    assert!(
        usize::try_from(counted).unwrap() <= truth,
        "the status is ahead: {counted} of {truth}"
    );
    if condition(status, "Ready").unwrap().0 == "True" && !finished {
        let reachable = seen.nodes.iter().filter(|node| node.ready);
        let missing: Vec<_> = reachable
            .filter(|node| match desired.mode {
                Mode::Daemon => !serves(seen, &node.name),
                Mode::RunOnce => !seen.ledger.get(&node.name).is_some_and(|entry| {
                    entry.state != LedgerState::Failed && entry.revision == *update
                }),
            })
            .collect();
        assert!(missing.is_empty(), "Ready, but not on {missing:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_daemon_task_keeps_every_law_and_converges(steps in steps()) {
        let mut history = History::new(Mode::Daemon);
        steps.iter().for_each(|step| history.step(step));
        history.settle();
    }

    #[test]
    fn a_run_once_task_keeps_every_law_and_converges(steps in steps()) {
        let mut history = History::new(Mode::RunOnce);
        steps.iter().for_each(|step| history.step(step));
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
