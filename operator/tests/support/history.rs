//! A history of a cluster, with the laws of `plan` checked at every step.
//!
//! Longer than 400 lines: one history and what is checked after each of its steps.

use std::collections::{BTreeMap, BTreeSet};

use hosttask_crds::node::LedgerState;
use hosttask_crds::task::{Mode, WindowsHostTaskStatus};
use hosttask_operator::desired::Amount;
use hosttask_operator::observed::{Exit, ForeignSet, Grants};

use crate::cluster::{Cluster, Quality, World};
use crate::laws::{Laws, check_pods};
use crate::shape::{Edit, Shape};
use crate::task;
use crate::truth;

/// The most nodes a cluster has.
pub(crate) const NODES: usize = 7;

/// After how many rounds in which nothing changed a cluster rests: three long ones are among them.
const QUIET: usize = 12;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Every part of the cluster works once.
    Round,
    Reconcile,
    Crash(usize),
    Sync,
    DaemonSetController,
    GarbageCollector,
    Kubelet(usize),
    Advance(u64),
    Power(usize, bool),
    Condition(usize, bool),
    Join,
    Leave(usize),
    Reimage(usize),
    Relabel(usize, &'static str, u8),
    Disturb(usize),
    Want(Quality, u8),
    Pause(bool),
    Suspend(bool),
    Budget(i32),
    Edit(Edit),
    /// The other task is done on these nodes, as bits; none: it is gone.
    Dependency(Option<u8>),
    Busy(usize, bool),
    Slots(Option<i32>),
    /// Somebody makes a DaemonSet of the name of this wave, where it is free; or deletes it.
    Foreign(&'static str, bool),
    ExpireJobs,
}

/// One history, with the laws checked at every step.
pub(crate) struct History {
    pub(crate) cluster: Cluster,
    pub(crate) shape: Shape,
    laws: Laws,
    /// RunOnce: the Jobs that `Laws::done` was told of.
    ended: BTreeSet<String>,
}

impl History {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            cluster: Cluster::new(mode, 5),
            shape: Shape::default(),
            laws: Laws::default(),
            ended: BTreeSet::new(),
        }
    }

    pub(crate) fn step(&mut self, step: &Step) {
        if matches!(step, Step::Round) {
            self.cluster.sync();
            self.reconcile(None);
            // What Kubernetes stamps has whole seconds, and no program ends in the second it was made in.
            self.cluster.advance(1);
            return self.work();
        }
        let cluster = &mut self.cluster;
        match *step {
            Step::Reconcile => drop(self.reconcile(None)),
            Step::Crash(at) => drop(self.reconcile(Some(at))),
            Step::Sync => cluster.sync(),
            Step::DaemonSetController => cluster.daemon_set_controller(),
            Step::GarbageCollector => cluster.garbage_collector(),
            Step::Kubelet(node) => cluster.kubelet(node),
            Step::Advance(seconds) => cluster.advance(seconds),
            Step::Power(node, up) => cluster.power(node, up),
            Step::Condition(node, holds) => cluster.condition(node, holds),
            Step::Join if cluster.world.nodes.len() < NODES => cluster.join(),
            Step::Leave(node) => cluster.leave(node),
            // A daemon's pods would go with their Node: that is Leave and Join.
            Step::Reimage(node) if cluster.desired.mode != Mode::Daemon => cluster.reimage(node),
            Step::Join | Step::Reimage(_) | Step::Round => {}
            Step::Relabel(node, key, value) => cluster.relabel(node, key, value),
            Step::Disturb(node) => cluster.disturb(node),
            Step::Want(quality, number) => cluster.want(quality, number),
            Step::Pause(paused) => cluster.desired.paused = paused,
            Step::Suspend(suspend) => cluster.desired.suspend = suspend,
            Step::Budget(nodes) => cluster.desired.max_unavailable = Amount::Count(nodes),
            Step::Edit(ref edit) => self.edit(edit),
            Step::Dependency(nodes) => depend(cluster, nodes),
            Step::Busy(node, busy) => work(cluster, node, busy),
            Step::Slots(slots) => cluster.world.grants.slots = slots,
            Step::Foreign(wave, there) => intrude(cluster, wave, there),
            Step::ExpireJobs => cluster.expire_jobs(),
        }
        check_pods(&mut self.cluster);
        let world = &self.cluster.world;
        self.laws.ours.retain(|name, _| {
            world.nodes.iter().any(|node| node.name == *name) && !truth::serves(world, name)
        });
        for job in &world.jobs {
            let well = |exit: &Exit| exit.code == 0 || exit.code == 3010;
            let end = job.end.as_ref().and_then(|end| end.exit.as_ref());
            if end.is_some_and(well) && self.ended.insert(job.name.clone()) {
                self.laws
                    .done
                    .insert((job.machine.clone(), job.revision.clone()));
            }
        }
    }

    /// A change of the spec.
    pub(crate) fn edit(&mut self, edit: &Edit) {
        edit.make(&mut self.shape, &mut self.cluster);
        if matches!(edit, Edit::Layout(_)) {
            self.laws.waves.edited(&self.cluster);
        }
    }

    /// One pass; the operator may die before one of its writes. Returns whether nothing changed.
    pub(crate) fn reconcile(&mut self, crash: Option<usize>) -> bool {
        let plan = self.cluster.plan();
        assert_eq!(
            plan,
            self.cluster.plan(),
            "the same facts give the same plan"
        );
        let update = plan.status.update_revision.clone().unwrap();
        let waves = self.laws.waves.clone();
        self.laws.waves.look(&self.cluster, &update);
        self.laws.check(&self.cluster, &plan);
        let (before, seen) = (self.cluster.status.clone(), self.cluster.seen.clone());
        if self.cluster.apply(&plan, crash) {
            check_status(&self.cluster, &before);
            self.laws.waves.written(&self.cluster, &seen);
        } else {
            // What this pass saw is forgotten with the operator.
            self.laws.waves = waves;
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
        plan.actions.is_empty() && plan.status == before
    }

    /// Every part of the cluster works, so many times at most: until nothing has changed for longer than any timer runs.
    pub(crate) fn run(&mut self, rounds: usize) {
        let mut quiet = 0;
        for round in 0..rounds {
            self.cluster.sync();
            let rests = self.reconcile(None);
            self.work();
            self.cluster.advance(if round % 4 == 3 { 2000 } else { 5 });
            quiet = if rests { quiet + 1 } else { 0 };
            if quiet == QUIET {
                break;
            }
        }
        self.cluster.sync();
    }

    fn work(&mut self) {
        self.step(&Step::DaemonSetController);
        self.step(&Step::GarbageCollector);
        (0..NODES).for_each(|node| self.step(&Step::Kubelet(node)));
    }

    /// Whatever was broken or in the way is so no longer.
    pub(crate) fn recover(&mut self) {
        let cluster = &mut self.cluster;
        cluster.desired.paused = false;
        cluster.desired.suspend = false;
        cluster.desired.max_unavailable = Amount::Count(2);
        cluster.foreign.clear();
        cluster.world.grants = Grants::default();
        for node in 0..NODES {
            cluster.power(node, true);
            cluster.condition(node, true);
        }
        depend(cluster, Some(u8::MAX));
        for edit in [
            Edit::Manual(false),
            Edit::WaveBudget(None),
            Edit::Policy(None),
            Edit::Retry,
            Edit::Window(false),
            Edit::Partition(None),
            Edit::MaxUnreachable(None),
        ] {
            self.edit(&edit);
        }
    }

    /// Everything recovers; the operator must then bring the task to its end.
    pub(crate) fn settle(&mut self) {
        self.recover();
        self.cluster.want(Quality::Good, 0);
        self.run(120);
        self.check_settled();
        let Cluster { desired, world, .. } = &self.cluster;
        let update = self.cluster.status.update_revision.as_ref().unwrap();
        let missing: Vec<_> = truth::fleet(desired, world)
            .filter(|node| !truth::is_done(desired, world, &node.name, update))
            .collect();
        assert!(missing.is_empty(), "every node has it: {missing:?}");
        assert_eq!(
            condition(&self.cluster.status, "Ready").map(|(status, _)| status),
            Some("True"),
            "{:#?}",
            self.cluster.status
        );
    }

    /// Nothing is left to do: no writes now, or later by time alone, and each pod belongs to the DaemonSet of its wave.
    pub(crate) fn check_settled(&mut self) {
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
        let Cluster { desired, world, .. } = &self.cluster;
        let wave = |node: &str| {
            let wave = truth::wave_of(desired, world, node);
            truth::is_selected(desired, world, node).then(|| desired.waves[wave].name.clone())
        };
        if desired.mode == Mode::Daemon {
            self.cluster.is_at_home(desired, wave);
        }
    }
}

fn depend(cluster: &mut Cluster, nodes: Option<u8>) {
    let names = cluster.world.nodes.iter().enumerate();
    let done = |bits: u8| {
        names
            .filter(|(at, _)| bits & (1 << (at % 8)) != 0)
            .map(|(_, node)| node.name.clone())
            .collect()
    };
    cluster.world.dependency = nodes.map(done);
}

fn work(cluster: &mut Cluster, node: usize, busy: bool) {
    let Some(name) = cluster.name(node) else {
        return;
    };
    let grants = &mut cluster.world.grants;
    if busy {
        grants.busy.insert(name, "ns/other".into());
    } else {
        grants.busy.remove(&name);
    }
}

fn intrude(cluster: &mut Cluster, wave: &str, there: bool) {
    let name = hosttask_operator::revision::daemon_set_name(&cluster.desired.key.name, wave);
    cluster.foreign.retain(|other| other.name != name);
    if there && cluster.world.daemon_sets.iter().all(|set| set.name != name) {
        cluster.foreign.push(ForeignSet {
            name,
            owner: "Deployment other".into(),
        });
    }
}

pub(crate) fn condition<'a>(
    status: &'a WindowsHostTaskStatus,
    kind: &str,
) -> Option<(&'a str, &'a str)> {
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
    let (ready, reason) = condition(status, "Ready").unwrap();
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
    let finished = before.stable_revision.as_ref() == Some(update) && before.wave.is_none();
    if finished && before.update_revision.as_ref() == Some(update) {
        assert!(
            !has("Reconciling"),
            "a finished rollout goes back to Reconciling"
        );
    }
    check_counts(cluster, update);
    if ready == "True" && !finished {
        let missing: Vec<_> = truth::fleet(desired, seen)
            .filter(|node| truth::is_reachable(desired, node))
            .filter(|node| match desired.mode {
                Mode::Daemon => !truth::serves(seen, &node.name),
                Mode::RunOnce | Mode::Scheduled => {
                    !truth::is_done(desired, seen, &node.name, update)
                }
            })
            .collect();
        // What `partition` holds back may be as it is.
        let held = match desired.partition {
            Some(Amount::Count(nodes)) => usize::try_from(nodes).unwrap(),
            _ => 0,
        };
        assert!(missing.len() <= held, "Ready, but not on {missing:?}");
    }
}

fn check_counts(cluster: &Cluster, update: &str) {
    let Cluster {
        status,
        seen,
        desired,
        ..
    } = cluster;
    let truth = truth::fleet(desired, seen)
        .filter(|node| is_counted(cluster, seen, &node.name, update))
        .count();
    let counted = status.updated_nodes.unwrap();
    assert!(
        usize::try_from(counted).unwrap() <= truth,
        "the status is ahead: {counted} of {truth}"
    );
    if desired.mode == Mode::RunOnce {
        let all = [
            status.healthy_nodes,
            status.pending_nodes,
            status.in_progress_nodes,
            status.failed_nodes,
            status.unreachable_nodes,
        ];
        let sum: i32 = all.into_iter().map(Option::unwrap).sum();
        assert_eq!(
            sum,
            status.desired_nodes.unwrap(),
            "each node is counted once: {status:#?}"
        );
    }
}

fn is_counted(cluster: &Cluster, seen: &World, node: &str, update: &str) -> bool {
    match cluster.desired.mode {
        Mode::Daemon => {
            let mut pods = seen.pods.iter();
            pods.any(|pod| pod.node == node && pod.revision == update)
        }
        Mode::RunOnce | Mode::Scheduled => {
            let entry = seen.ledger.get(node);
            entry.is_some_and(|entry| {
                entry.revision == update
                    && [
                        LedgerState::Succeeded,
                        LedgerState::RebootPending,
                        LedgerState::Failed,
                    ]
                    .contains(&entry.state)
            })
        }
    }
}
