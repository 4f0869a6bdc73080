//! A cluster in memory: nodes, kubelets, the Job controller and what the operator sees of them, one step at a time. The
//! DaemonSet controller and the garbage collector stand in `controllers`, the operator's writes in `apply`.
//!
//! Longer than 400 lines: one state, and the small things that happen to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hosttask_crds::node::LedgerEntry;
use hosttask_crds::task::{Mode, WindowsHostTaskStatus};
use hosttask_operator::desired::{Content, Desired};
use hosttask_operator::observed::{
    ConditionView, DaemonSetState, DependencyView, Exit, ForeignSet, Grants, JobEnd, JobView,
    NodeView, Observed, PodView, Requests, RevisionView, Trouble,
};
use hosttask_operator::placement;
use hosttask_operator::plan::{Plan, plan};
use jiff::Timestamp;

use crate::controllers::Controlled;
use crate::task;

/// The label that the waves of the laws divide the fleet by.
pub(crate) const RING: &str = "ring";
/// The label that `rollout.order` may name.
pub(crate) const ZONE: &str = "zone";
/// The label that `placement` may select by.
pub(crate) const POOL: &str = "pool";
/// The condition of nodes that `health.nodeConditions` may name.
pub(crate) const CONDITION: &str = "NetworkReady";
/// The task that `dependsOn` may name.
pub(crate) const DEPENDENCY: &str = "csi";

/// What a content does on a node; it is written in the content itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quality {
    /// Ready at once; as a Job: exit code 0.
    Good,
    /// Crashes; as a Job: exit code 1603.
    Crashes,
    /// Never becomes ready; as a Job: exit code 3010.
    Hangs,
}

/// The objects, as the API server has them or as the operator has seen them.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) nodes: Vec<NodeView>,
    /// The labels of each node.
    pub(crate) labels: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) pods: Vec<PodView>,
    pub(crate) jobs: Vec<JobView>,
    pub(crate) daemon_sets: Vec<DaemonSetState>,
    pub(crate) ledger: BTreeMap<String, LedgerEntry>,
    pub(crate) revisions: Vec<RevisionView>,
    /// The nodes on which the other task is done; none: it does not exist.
    pub(crate) dependency: Option<BTreeSet<String>>,
    /// What other tasks leave to this one.
    pub(crate) grants: Grants,
}

/// Something that happened to a pod.
#[derive(Clone, Debug)]
pub(crate) enum PodEvent {
    /// A controller made it, while these live pods were on its node.
    Made { pod: PodView, beside: Vec<PodView> },
    /// A controller deletes it; `kept` is the one that stays on its node, where it had two.
    Deleted { pod: PodView, kept: Vec<PodView> },
}

#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) now: Timestamp,
    pub(crate) desired: Desired,
    /// The truth.
    pub(crate) world: World,
    /// What the operator's watches have shown, with its own writes.
    pub(crate) seen: World,
    pub(crate) status: WindowsHostTaskStatus,
    pub(crate) requests: Requests,
    /// DaemonSets of somebody else, which the operator reads live.
    pub(crate) foreign: Vec<ForeignSet>,
    /// The task's DaemonSets by UID, as the API server and their controller have them.
    pub(crate) controlled: BTreeMap<String, Controlled>,
    /// DaemonSets that are gone, and whose controller may not know yet.
    pub(crate) ghosts: BTreeMap<String, Controlled>,
    /// Nodes on which the controller of a DaemonSet that was gone already made a pod.
    pub(crate) strays: BTreeSet<String>,
    /// The DaemonSet that controls each pod, by UIDs.
    pub(crate) owners: BTreeMap<String, String>,
    pub(crate) contents: BTreeMap<String, Content>,
    /// When the label of a node changed, or whether the task selects it, counted as `born` is.
    pub(crate) moved: BTreeMap<String, u64>,
    /// When each pod was made, by UID.
    pub(crate) born: BTreeMap<String, u64>,
    /// What happened to pods since it was last looked at.
    pub(crate) events: Vec<PodEvent>,
    serial: u64,
}

impl Cluster {
    pub(crate) fn new(mode: Mode, nodes: usize) -> Self {
        let mut cluster = Self {
            now: Timestamp::from_second(1_700_000_000).unwrap(),
            desired: task::desired(mode, "Good-0"),
            world: World::default(),
            seen: World::default(),
            status: WindowsHostTaskStatus {
                observed_generation: Some(-1),
                ..WindowsHostTaskStatus::default()
            },
            requests: Requests::default(),
            foreign: Vec::new(),
            controlled: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            strays: BTreeSet::new(),
            owners: BTreeMap::new(),
            contents: BTreeMap::new(),
            moved: BTreeMap::new(),
            born: BTreeMap::new(),
            events: Vec::new(),
            serial: 0,
        };
        (0..nodes).for_each(|_| cluster.join());
        cluster.sync();
        cluster
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(crate) fn want(&mut self, quality: Quality, number: u8) {
        self.desired.content = task::content(&format!("{quality:?}-{number}"));
        self.desired.generation += 1;
    }

    pub(crate) fn join(&mut self) {
        let serial = self.next();
        let name = format!("win-{serial:03}");
        let label = |key: &str, value: u64| (key.to_owned(), value.to_string());
        let labels = [
            label(RING, serial % 3),
            label(ZONE, serial % 2),
            label(POOL, 0),
        ];
        self.world.labels.insert(name.clone(), labels.into());
        self.world.nodes.push(NodeView {
            name,
            uid: format!("node-{serial}"),
            ready: true,
            ready_changed: Some(self.now),
            boot_id: "boot".into(),
            conditions: vec![ConditionView {
                kind: CONDITION.into(),
                status: "True".into(),
                changed: Some(self.now),
            }],
            ..NodeView::default()
        });
    }

    pub(crate) fn name(&self, index: usize) -> Option<String> {
        self.world.nodes.get(index).map(|node| node.name.clone())
    }

    pub(crate) fn leave(&mut self, index: usize) {
        if index < self.world.nodes.len() && self.world.nodes.len() > 1 {
            let gone = self.world.nodes.remove(index);
            self.world.labels.remove(&gone.name);
            self.world.pods.retain(|pod| pod.node != gone.name);
            self.world.jobs.retain(|job| job.node != gone.name);
            self.world.ledger.remove(&gone.name);
        }
    }

    /// Another machine takes the node's name. Jobs of the former one stay, pinned by that name.
    pub(crate) fn reimage(&mut self, index: usize) {
        let serial = self.next();
        if let Some(node) = self.world.nodes.get_mut(index) {
            node.uid = format!("node-{serial}");
            let name = node.name.clone();
            self.world.ledger.remove(&name);
        }
    }

    pub(crate) fn power(&mut self, index: usize, ready: bool) {
        let now = self.now;
        let Some(node) = self
            .world
            .nodes
            .get_mut(index)
            .filter(|node| node.ready != ready)
        else {
            return;
        };
        (node.ready, node.ready_changed) = (ready, Some(now));
        for pod in self
            .world
            .pods
            .iter_mut()
            .filter(|pod| pod.node == node.name)
        {
            pod.ready_since = ready.then_some(now).filter(|_| pod.ready_since.is_some());
            pod.resource_version.push('n');
        }
    }

    /// The condition that `health.nodeConditions` may name changes.
    pub(crate) fn condition(&mut self, index: usize, holds: bool) {
        let status = if holds { "True" } else { "False" };
        let now = self.now;
        let node = self.world.nodes.get_mut(index);
        let condition = node.and_then(|node| node.conditions.first_mut());
        if let Some(condition) = condition.filter(|it| it.status != status) {
            condition.status = status.into();
            condition.changed = Some(now);
        }
    }

    /// Somebody changes a label of a node.
    pub(crate) fn relabel(&mut self, index: usize, key: &str, value: u8) {
        let Some(name) = self.name(index) else { return };
        let serial = self.next();
        let labels = self.world.labels.get_mut(&name).unwrap();
        let before = labels.insert(key.to_owned(), value.to_string());
        if before != Some(value.to_string()) {
            self.moved.insert(name, serial);
        }
    }

    /// The watches catch up. What they show late, the operator acts on late.
    pub(crate) fn sync(&mut self) {
        for (node, labels) in self.world.labels.clone() {
            if self
                .seen
                .labels
                .get(&node)
                .is_some_and(|seen| *seen != labels)
            {
                let serial = self.next();
                self.moved.insert(node, serial);
            }
        }
        self.seen = self.world.clone();
    }

    fn quality(&self, revision: &str) -> Quality {
        match self
            .contents
            .get(revision)
            .and_then(|content| content.raw["template"].as_str())
        {
            Some(text) if text.starts_with("Crashes") => Quality::Crashes,
            Some(text) if text.starts_with("Hangs") => Quality::Hangs,
            _ => Quality::Good,
        }
    }

    /// The kubelet of one node (and the Job controller after it) moves what is on the node.
    pub(crate) fn kubelet(&mut self, index: usize) {
        let node = self.world.nodes.get(index).filter(|node| node.ready);
        let Some(name) = node.map(|node| node.name.clone()) else {
            return;
        };
        self.world
            .pods
            .retain(|pod| pod.node != name || !pod.deleting);
        for at in 0..self.world.pods.len() {
            let pod = self.world.pods[at].clone();
            if pod.node != name || pod.gated {
                continue;
            }
            let mut next = pod.clone();
            match self.quality(&pod.revision) {
                Quality::Good => next.ready_since = pod.ready_since.or(Some(self.now)),
                Quality::Crashes => {
                    next.recent_restarts = 5;
                    next.trouble = Some(Trouble {
                        reason: "CrashLoopBackOff".into(),
                        message: "back-off".into(),
                    });
                }
                Quality::Hangs => {}
            }
            if next != pod {
                next.resource_version.push('k');
                self.world.pods[at] = next;
            }
        }
        self.world
            .jobs
            .retain(|job| job.node != name || !job.deleting);
        for at in 0..self.world.jobs.len() {
            let job = &self.world.jobs[at];
            // Whatever machine it was created for.
            if job.node == name && job.end.is_none() {
                self.world.jobs[at].end = Some(self.end(&job.revision));
            }
        }
    }

    fn end(&self, revision: &str) -> JobEnd {
        let code = match self.quality(revision) {
            Quality::Good => 0,
            Quality::Crashes => 1603,
            Quality::Hangs => 3010,
        };
        let exit = Exit {
            code,
            reason: "Error".into(),
            message: format!("exit {code}"),
        };
        let reason = if code == 0 { "" } else { "PodFailurePolicy" };
        JobEnd {
            complete: code == 0,
            reason: reason.into(),
            message: String::new(),
            time: self.now,
            exit: Some(exit),
        }
    }

    /// A running pod loses its readiness for a reason of its own.
    pub(crate) fn disturb(&mut self, index: usize) {
        let now = self.now;
        let Some(name) = self.name(index) else { return };
        for pod in self
            .world
            .pods
            .iter_mut()
            .filter(|pod| pod.node == name && pod.ready_since.is_some())
        {
            (pod.ready_since, pod.unready_since) = (None, Some(now));
            pod.resource_version.push('d');
        }
    }

    /// Kubernetes removes finished Jobs whose result is in the ledger.
    pub(crate) fn expire_jobs(&mut self) {
        let ledger = self.world.ledger.clone();
        self.world.jobs.retain(|job| {
            let known = ledger.get(&job.node).is_some_and(|entry| {
                entry.revision == job.revision && entry.attempts >= job.attempt
            });
            job.end.is_none() || !known
        });
    }

    pub(crate) fn advance(&mut self, seconds: u64) {
        self.now = self.now.checked_add(Duration::from_secs(seconds)).unwrap();
    }

    pub(crate) fn observed(&self) -> Observed {
        let World {
            nodes,
            labels,
            pods,
            jobs,
            daemon_sets,
            ledger,
            revisions,
            dependency,
            grants,
        } = self.seen.clone();
        let desired = &self.desired;
        let (fleet, left): (Vec<_>, Vec<_>) = nodes
            .into_iter()
            .map(|node| self.view(node, &labels))
            .partition(|node| desired.placement.selects(&labels[&node.name]));
        let stable = self.status.stable_revision.as_ref();
        let depends = desired.depends_on.iter().map(|name| DependencyView {
            name: name.clone(),
            exists: dependency.is_some(),
            is_cycle: false,
            done: dependency.clone().unwrap_or_default(),
        });
        Observed {
            status: self.status.clone(),
            nodes: fleet,
            left: left
                .into_iter()
                .filter(|node| jobs.iter().any(|job| job.node == node.name))
                .collect(),
            daemon_sets,
            foreign: self.foreign_names(),
            pods,
            jobs,
            ledger,
            revisions,
            stable_content: stable.and_then(|stable| self.contents.get(stable)).cloned(),
            requests: self.requests.clone(),
            dependencies: depends.collect(),
            grants,
            ..Observed::default()
        }
    }

    /// A node as the index shows it to the task.
    fn view(
        &self,
        mut node: NodeView,
        labels: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> NodeView {
        let (desired, labels) = (&self.desired, &labels[&node.name]);
        node.wave = placement::wave_of(&desired.waves, labels);
        let topology = desired.order.iter().map(|it| labels.get(&it.key).cloned());
        node.topology = topology.collect();
        node.conditions.retain(|it| {
            desired
                .node_conditions
                .iter()
                .any(|wanted| wanted.kind == it.kind)
        });
        node
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.desired, &self.observed(), self.now)
    }
}
