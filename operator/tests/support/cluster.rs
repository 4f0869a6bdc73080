//! A cluster in memory: it plays the DaemonSet and Job controllers, kubelets and the operator's edges, one step at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use hosttask_crds::node::LedgerEntry;
use hosttask_crds::task::{Mode, WindowsHostTaskStatus};
use hosttask_operator::desired::{Content, Desired};
use hosttask_operator::observed::{
    DaemonSetState, Exit, JobEnd, JobView, NodeView, Observed, PodView, RevisionView, Trouble,
};
use hosttask_operator::plan::{Plan, plan};
use jiff::Timestamp;

use crate::task;

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
    pub(crate) pods: Vec<PodView>,
    pub(crate) jobs: Vec<JobView>,
    pub(crate) daemon_set: Option<DaemonSetState>,
    pub(crate) ledger: BTreeMap<String, LedgerEntry>,
    pub(crate) revisions: Vec<RevisionView>,
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
    /// The revision that the DaemonSet controller last saw in the template.
    pub(crate) template: String,
    pub(crate) contents: BTreeMap<String, Content>,
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
            template: String::new(),
            contents: BTreeMap::new(),
            serial: 0,
        };
        (0..nodes).for_each(|_| cluster.join());
        cluster.sync();
        cluster
    }

    fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(crate) fn want(&mut self, quality: Quality, number: u8) {
        self.desired.content = task::content(&format!("{quality:?}-{number}"));
        self.desired.generation += 1;
    }

    pub(crate) fn join(&mut self) {
        let serial = self.next();
        self.world.nodes.push(NodeView {
            name: format!("win-{serial:03}"),
            uid: format!("node-{serial}"),
            ready: true,
            ready_changed: Some(self.now),
            boot_id: "boot".into(),
            ..NodeView::default()
        });
    }

    pub(crate) fn leave(&mut self, index: usize) {
        if index < self.world.nodes.len() && self.world.nodes.len() > 1 {
            let gone = self.world.nodes.remove(index);
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

    /// The watches catch up.
    pub(crate) fn sync(&mut self) {
        self.seen = self.world.clone();
    }

    /// The DaemonSet controller works with the template it knows, and then learns the current one.
    pub(crate) fn daemon_set_controller(&mut self) {
        let Some(daemon_set) = self.world.daemon_set.clone() else {
            return;
        };
        let template = if self.template.is_empty() {
            daemon_set.revision.clone()
        } else {
            self.template.clone()
        };
        for node in self.world.nodes.clone() {
            if self.world.pods.iter().any(|pod| pod.node == node.name) {
                continue;
            }
            let serial = self.next();
            self.world.pods.push(PodView {
                name: format!("agent-{serial}"),
                uid: format!("pod-{serial}"),
                resource_version: "1".into(),
                node: node.name,
                revision: template.clone(),
                created: self.now,
                ..PodView::default()
            });
        }
        self.template.clone_from(&daemon_set.revision);
        self.world.daemon_set = Some(DaemonSetState {
            settled: true,
            ..daemon_set
        });
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
        let Some(node) = self
            .world
            .nodes
            .get(index)
            .filter(|node| node.ready)
            .cloned()
        else {
            return;
        };
        self.world
            .pods
            .retain(|pod| pod.node != node.name || !pod.deleting);
        for at in 0..self.world.pods.len() {
            let pod = self.world.pods[at].clone();
            if pod.node != node.name {
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
            .retain(|job| job.node != node.name || !job.deleting);
        let now = self.now;
        for at in 0..self.world.jobs.len() {
            let job = &self.world.jobs[at];
            // Whatever machine it was created for.
            if job.node != node.name || job.end.is_some() {
                continue;
            }
            let code = match self.quality(&job.revision) {
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
            self.world.jobs[at].end = Some(JobEnd {
                complete: code == 0,
                reason: reason.into(),
                message: String::new(),
                time: now,
                exit: Some(exit),
            });
        }
    }

    /// A running pod loses its readiness for a reason of its own.
    pub(crate) fn disturb(&mut self, index: usize) {
        let now = self.now;
        let Some(name) = self.world.nodes.get(index).map(|node| node.name.clone()) else {
            return;
        };
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
            pods,
            jobs,
            daemon_set,
            ledger,
            revisions,
        } = self.seen.clone();
        let stable = self.status.stable_revision.as_ref();
        Observed {
            status: self.status.clone(),
            nodes,
            daemon_sets: daemon_set.into_iter().collect(),
            pods,
            jobs,
            ledger,
            revisions,
            stable_content: stable.and_then(|stable| self.contents.get(stable)).cloned(),
            ..Observed::default()
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.desired, &self.observed(), self.now)
    }
}
