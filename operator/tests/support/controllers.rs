//! The DaemonSet controller and the garbage collector, played on a cluster in memory.
//!
//! As in Kubernetes: a DaemonSet adopts pods that nothing controls and that carry its labels, never one that is ending; lets
//! go pods that lost them; makes a pod on each node its affinity selects and where it has none, not even one that is
//! ending; deletes pods of other nodes, ended ones, and the newer of two. It works with the DaemonSet as it knew it the
//! last time. While a DaemonSet is deleted it makes nothing once it knows; before, it fails to adopt, and makes nothing
//! where there is a pod to adopt.

use std::collections::BTreeMap;

use hosttask_crds::label;
use hosttask_operator::desired::Desired;
use hosttask_operator::observed::PodView;
use hosttask_operator::revision;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::NodeSelectorRequirement;

use crate::cluster::{Cluster, PodEvent};

/// A DaemonSet as the API server has it, and as its controller knows it.
#[derive(Clone, Debug)]
pub(crate) struct Controlled {
    pub(crate) wanted: DaemonSet,
    pub(crate) known: Option<DaemonSet>,
    pub(crate) knows_deletion: bool,
}

impl Controlled {
    pub(crate) fn new(wanted: DaemonSet) -> Self {
        Self {
            wanted,
            known: None,
            knows_deletion: false,
        }
    }

    /// What the controller works with.
    pub(crate) fn known(&self) -> &DaemonSet {
        self.known.as_ref().unwrap_or(&self.wanted)
    }
}

/// The labels of the pods of a DaemonSet.
pub(crate) fn pod_labels(set: &DaemonSet) -> BTreeMap<String, String> {
    let template = set.spec.template.metadata.clone();
    template.and_then(|meta| meta.labels).unwrap()
}

/// Whether the node affinity of a DaemonSet selects a node with these labels.
fn selects(set: &DaemonSet, labels: &BTreeMap<String, String>) -> bool {
    let spec = set.spec.template.spec.as_ref().unwrap();
    let affinity = spec.affinity.as_ref().unwrap().node_affinity.as_ref();
    let required = affinity
        .and_then(|it| {
            it.required_during_scheduling_ignored_during_execution
                .as_ref()
        })
        .unwrap();
    let holds = |it: &NodeSelectorRequirement| {
        let value = labels.get(&it.key);
        let is_listed = value.is_some_and(|value| it.values.iter().flatten().any(|v| v == value));
        match it.operator.as_str() {
            "In" => is_listed,
            "NotIn" => !is_listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            other => panic!("{other} is no operator"),
        }
    };
    // A term without expressions selects nothing in Kubernetes; no test task has no requirement at all.
    let mut terms = required.node_selector_terms.iter();
    terms.any(|term| term.match_expressions.iter().flatten().all(holds))
}

impl Cluster {
    /// The revision that the controller of a wave starts on a node it has to fill.
    pub(crate) fn template_of(&self, wave: &str) -> Option<String> {
        let name = revision::daemon_set_name(&self.desired.key.name, wave);
        let state = self.world.daemon_sets.iter().find(|set| set.name == name)?;
        let known = self.controlled[&state.uid].known();
        Some(pod_labels(known)[label::REVISION].clone())
    }

    /// The DaemonSet controller looks at every DaemonSet once, and learns of what changed since.
    pub(crate) fn daemon_set_controller(&mut self) {
        for uid in self.controlled.keys().cloned().collect::<Vec<_>>() {
            self.sync_set(&uid);
        }
        for (uid, ghost) in std::mem::take(&mut self.ghosts) {
            self.fill(&uid, &ghost);
            let owned = |pod: &&PodView| self.owners.get(&pod.uid) == Some(&uid);
            let strays = self.world.pods.iter().filter(owned);
            self.strays.extend(strays.map(|pod| pod.node.clone()));
        }
    }

    fn sync_set(&mut self, uid: &str) {
        let set = self.controlled[uid].clone();
        let at = self
            .world
            .daemon_sets
            .iter()
            .position(|it| it.uid == uid)
            .unwrap();
        let state = self.world.daemon_sets[at].clone();
        let known = self.controlled.get_mut(uid).unwrap();
        known.known = Some(set.wanted.clone());
        known.knows_deletion = state.deleting;
        if set.knows_deletion {
            return;
        }
        let wave = pod_labels(set.known())[label::WAVE].clone();
        if state.deleting {
            if self.adoptable(&wave).next().is_none() {
                self.fill(uid, &set);
            }
            return;
        }
        self.world.daemon_sets[at].settled = true;
        self.let_go(uid, &wave);
        self.adopt(uid, &wave);
        self.fill(uid, &set);
    }

    fn adoptable(&self, wave: &str) -> impl Iterator<Item = &PodView> {
        self.world
            .pods
            .iter()
            .filter(move |pod| pod.orphan && !pod.deleting && pod.wave == wave)
    }

    fn adopt(&mut self, uid: &str, wave: &str) {
        let adopted: Vec<String> = self.adoptable(wave).map(|pod| pod.uid.clone()).collect();
        for pod in &mut self.world.pods {
            if adopted.contains(&pod.uid) {
                pod.orphan = false;
                pod.resource_version.push('a');
                self.owners.insert(pod.uid.clone(), uid.to_owned());
            }
        }
    }

    fn let_go(&mut self, uid: &str, wave: &str) {
        for pod in &mut self.world.pods {
            let is_ours = self.owners.get(&pod.uid).is_some_and(|owner| owner == uid);
            if is_ours && pod.wave != wave && !pod.deleting {
                pod.orphan = true;
                pod.resource_version.push('o');
                self.owners.remove(&pod.uid);
            }
        }
    }

    /// Makes and deletes the pods of a DaemonSet, node by node.
    fn fill(&mut self, uid: &str, set: &Controlled) {
        for node in self.world.nodes.clone() {
            let is_ours = |pod: &&PodView| {
                pod.node == node.name && self.owners.get(&pod.uid).is_some_and(|it| it == uid)
            };
            let mut mine: Vec<PodView> = self.world.pods.iter().filter(is_ours).cloned().collect();
            if !selects(set.known(), &self.world.labels[&node.name]) {
                for pod in &mine {
                    self.drop_pod(pod, Vec::new());
                }
            } else if mine.is_empty() {
                self.make_pod(uid, set.known(), &node.name);
            } else {
                mine.sort_by_key(|pod| self.born[&pod.uid]);
                let live: Vec<_> = mine.iter().filter(|pod| !pod.deleting).collect();
                for newer in live.iter().skip(1) {
                    self.drop_pod(newer, vec![live[0].clone()]);
                }
            }
        }
    }

    fn drop_pod(&mut self, pod: &PodView, kept: Vec<PodView>) {
        let mut pods = self.world.pods.iter_mut();
        let Some(pod) = pods.find(|it| it.uid == pod.uid && !it.deleting) else {
            return;
        };
        pod.deleting = true;
        pod.resource_version.push('x');
        let pod = pod.clone();
        self.events.push(PodEvent::Deleted { pod, kept });
    }

    fn make_pod(&mut self, uid: &str, set: &DaemonSet, node: &str) {
        let serial = self.next();
        let labels = pod_labels(set);
        let gates = &set.spec.template.spec.as_ref().unwrap().scheduling_gates;
        let pod = PodView {
            name: format!("agent-{serial}"),
            uid: format!("pod-{serial}"),
            resource_version: "1".into(),
            node: node.to_owned(),
            revision: labels[label::REVISION].clone(),
            wave: labels[label::WAVE].clone(),
            gated: gates.is_some(),
            created: self.now,
            ..PodView::default()
        };
        let here = self.world.pods.iter().filter(|it| it.node == node);
        let beside = here.filter(|it| !it.deleting).cloned().collect();
        self.owners.insert(pod.uid.clone(), uid.to_owned());
        self.born.insert(pod.uid.clone(), serial);
        self.world.pods.push(pod.clone());
        self.events.push(PodEvent::Made { pod, beside });
    }

    /// The garbage collector: first lets the pods of deleted DaemonSets go, then the DaemonSets, then deletes pods whose
    /// DaemonSet is gone.
    pub(crate) fn garbage_collector(&mut self) {
        for set in self.world.daemon_sets.clone() {
            if !set.deleting {
                continue;
            }
            let mut held = false;
            for pod in &mut self.world.pods {
                if self.owners.get(&pod.uid).is_some_and(|it| *it == set.uid) {
                    held = true;
                    pod.orphan = true;
                    pod.resource_version.push('o');
                    self.owners.remove(&pod.uid);
                }
            }
            if !held {
                self.remove_set(&set.uid);
            }
        }
        let is_left = |pod: &PodView| {
            let owner = self.owners.get(&pod.uid);
            owner.is_some_and(|owner| {
                !self.controlled.contains_key(owner) && !self.ghosts.contains_key(owner)
            })
        };
        for pod in &mut self.world.pods {
            pod.deleting |= is_left(pod);
        }
    }

    fn remove_set(&mut self, uid: &str) {
        let gone = self.controlled.remove(uid).unwrap();
        self.world.daemon_sets.retain(|set| set.uid != uid);
        let wave = pod_labels(gone.known())[label::WAVE].clone();
        if !gone.knows_deletion && self.adoptable(&wave).next().is_none() {
            self.ghosts.insert(uid.to_owned(), gone);
        }
    }

    /// Every pod is controlled by the DaemonSet of its node's wave, and every node has one.
    pub(crate) fn is_at_home(&self, desired: &Desired, wave: impl Fn(&str) -> Option<String>) {
        for pod in &self.world.pods {
            let owner = self
                .owners
                .get(&pod.uid)
                .and_then(|uid| self.controlled.get(uid));
            let name = owner.and_then(|set| set.wanted.metadata.name.clone());
            let expected =
                wave(&pod.node).map(|wave| revision::daemon_set_name(&desired.key.name, &wave));
            assert_eq!(name, expected, "{pod:?}");
        }
        for node in &self.world.nodes {
            let pods = self.world.pods.iter().filter(|pod| pod.node == node.name);
            let expected = usize::from(wave(&node.name).is_some());
            assert_eq!(pods.count(), expected, "pods on {}", node.name);
        }
    }
}
