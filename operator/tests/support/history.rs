//! A history of a cluster, with the laws of `plan` checked at every step.

use std::collections::{BTreeMap, BTreeSet};

use hosttask_crds::node::LedgerState;
use hosttask_crds::task::{Mode, WindowsHostTaskStatus};
use hosttask_operator::desired::Amount;
use hosttask_operator::observed::{Exit, JobView, PodView};
use hosttask_operator::plan::{Action, Plan};

use crate::cluster::{Cluster, Quality, World};
use crate::task;
use crate::truth::{disturbed, holds_slot, in_flight, serves};

/// The most nodes a cluster has.
pub(crate) const NODES: usize = 7;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Reconcile,
    Crash(usize),
    Sync,
    DaemonSetController,
    Kubelet(usize),
    Advance(u64),
    Power(usize, bool),
    Join,
    Leave(usize),
    Reimage(usize),
    Disturb(usize),
    Want(Quality, u8),
    Pause(bool),
    Suspend(bool),
    Budget(i32),
    ExpireJobs,
}

/// One history, with the laws checked at every step.
pub(crate) struct History {
    pub(crate) cluster: Cluster,
    /// Daemon: nodes whose healthy pod we deleted, until a pod is healthy there again.
    ours: BTreeSet<String>,
    /// RunOnce: what ended well, by node UID and revision.
    done: BTreeSet<(String, String)>,
    /// RunOnce: the Jobs that `done` was told of.
    ended: BTreeSet<String>,
}

impl History {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            cluster: Cluster::new(mode, 5),
            ours: BTreeSet::new(),
            done: BTreeSet::new(),
            ended: BTreeSet::new(),
        }
    }

    pub(crate) fn step(&mut self, step: &Step) {
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
            Step::Leave(node) => cluster.leave(node),
            // A daemon's pods would go with their Node: that is Leave and Join.
            Step::Reimage(node) if cluster.desired.mode == Mode::RunOnce => cluster.reimage(node),
            Step::Join | Step::Reimage(_) => {}
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
        for job in &world.jobs {
            let well = |exit: &Exit| exit.code == 0 || exit.code == 3010;
            let end = job.end.as_ref().and_then(|end| end.exit.as_ref());
            if end.is_some_and(well) && self.ended.insert(job.name.clone()) {
                self.done
                    .insert((job.machine.clone(), job.revision.clone()));
            }
        }
    }

    pub(crate) fn reconcile(&mut self, crash: Option<usize>) {
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
            *running.entry(&job.node).or_default() += 1;
        }
        assert!(
            running.values().all(|jobs| *jobs == 1),
            "two Jobs run on one node: {running:?}"
        );
    }

    fn check_writes(&mut self, plan: &Plan) {
        let desired = &self.cluster.desired;
        let Amount::Count(max) = desired.max_unavailable else {
            panic!("the laws count nodes")
        };
        let max = usize::try_from(max).unwrap();
        let held = desired.suspend || desired.paused;
        let update = plan.status.update_revision.clone().unwrap();
        let mut after = self.cluster.seen.clone();
        for action in &plan.actions {
            if let Action::DeletePod { uid, node, .. } = action {
                assert!(!held, "a held task starts no node");
                self.check_delete(&mut after, uid, node, &update, max);
            } else if let Action::CreateJob(job) = action {
                assert!(!held, "a held task starts no node");
                let machine =
                    job.metadata.annotations.as_ref().unwrap()["hosttask.dev/machine"].clone();
                assert!(
                    !self.done.contains(&(machine.clone(), update.clone())),
                    "{machine} ran {update} already"
                );
                // What another revision did to the node may have to be done again.
                self.done
                    .retain(|(uid, revision)| *uid != machine || *revision == update);
                let node = job.metadata.annotations.as_ref().unwrap()["hosttask.dev/node"].clone();
                after.jobs.push(JobView {
                    node,
                    ..JobView::default()
                });
                let running = after
                    .jobs
                    .iter()
                    .filter(|job| job.end.is_none())
                    .map(|job| &job.node);
                let running: BTreeSet<_> = running.collect();
                let busy = after
                    .nodes
                    .iter()
                    .filter(|node| running.contains(&node.name))
                    .count();
                assert!(busy <= max, "{busy} nodes run a Job, {max} allowed");
            }
        }
    }

    /// `after` is what the operator has seen, with the deletes of this pass so far.
    fn check_delete(&mut self, after: &mut World, uid: &str, node: &str, update: &str, max: usize) {
        let Cluster {
            seen,
            world,
            status,
            template,
            ..
        } = &self.cluster;
        let pod = seen.pods.iter().find(|pod| pod.uid == uid).unwrap();
        assert!(
            !pod.deleting && pod.revision != update,
            "{pod:?} needs no replacement"
        );
        assert!(
            seen.nodes
                .iter()
                .any(|seen| seen.name == node && seen.ready),
            "{node} does not answer"
        );
        assert_eq!(
            template, update,
            "the controller would start the old template again"
        );
        after
            .pods
            .iter_mut()
            .filter(|pod| pod.uid == uid)
            .for_each(|pod| pod.deleting = true);
        if pod.ready_since.is_some() {
            let disturbed = disturbed(after);
            assert!(
                disturbed <= max,
                "{disturbed} nodes disturbed, {max} allowed"
            );
        } else {
            let flight = in_flight(after, update);
            assert!(flight <= max, "{flight} nodes in flight, {max} allowed");
        }
        // Taking one more serving node is what the budget is about, whatever the watches missed.
        let serving = |pod: &PodView| pod.uid == uid && pod.ready_since.is_some();
        if world.pods.iter().any(serving)
            && self.ours.insert(node.to_owned())
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

    /// Everything recovers; the operator must then bring the task to its end.
    pub(crate) fn settle(&mut self) {
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
