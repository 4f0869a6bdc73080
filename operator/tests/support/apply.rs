//! The writing edge of the operator, played on a cluster in memory.

use std::collections::BTreeMap;

use hosttask_crds::label;
use hosttask_crds::node::LedgerEntry;
use hosttask_operator::observed::{
    DaemonSetState, ForeignSet, JobView, NodeView, PodView, RevisionView,
};
use hosttask_operator::plan::{Action, Plan};
use hosttask_operator::{build, revision};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::batch::v1::Job;

use crate::cluster::{Cluster, World};
use crate::controllers::{Controlled, pod_labels};

impl Cluster {
    /// One pass. The operator dies before action `crash`. Returns whether the status was written.
    pub(crate) fn apply(&mut self, plan: &Plan, crash: Option<usize>) -> bool {
        for (at, action) in plan.actions.iter().enumerate() {
            if crash == Some(at) || !self.write(action) {
                return false;
            }
        }
        if crash.is_some() {
            return false;
        }
        self.status = plan.status.clone();
        true
    }

    fn write(&mut self, action: &Action) -> bool {
        match action {
            Action::CheckDaemonSet(_) | Action::CheckJob(_) | Action::Publish(_) => {}
            Action::CreateRevision(created) => self.create_revision(created),
            Action::RenumberRevision { name, number, .. } => self.both(|world| {
                world
                    .revisions
                    .iter_mut()
                    .filter(|r| r.name == *name)
                    .for_each(|r| r.number = *number);
            }),
            Action::DeleteRevision { name, .. } => {
                self.both(|world| world.revisions.retain(|r| r.name != *name));
            }
            Action::ApplyDaemonSet(applied) => return self.apply_daemon_set(applied),
            Action::DeletePod {
                uid,
                resource_version,
                ..
            } => {
                let same = |pod: &&mut PodView| {
                    pod.uid == *uid && pod.resource_version == *resource_version
                };
                let Some(pod) = self.world.pods.iter_mut().find(same) else {
                    return false;
                };
                pod.deleting = true;
                pod.resource_version.push('x');
                self.seen
                    .pods
                    .iter_mut()
                    .filter(|pod| pod.uid == *uid)
                    .for_each(|pod| pod.deleting = true);
            }
            Action::OrphanDaemonSet { name, uid } => {
                self.assert_ours(name);
                self.both(|world| {
                    let same = world.daemon_sets.iter_mut().filter(|set| set.uid == *uid);
                    same.for_each(|set| set.deleting = true);
                });
            }
            Action::MovePod { uid, wave, .. } => self.move_pod(uid, wave),
            Action::UngatePod { uid, .. } => self.both(|world| {
                let same = world.pods.iter_mut().filter(|pod| pod.uid == *uid);
                same.for_each(|pod| pod.gated = false);
            }),
            Action::CreateJob(job) => self.create_job(job),
            Action::DeleteJob { uid, .. } => {
                if !self.world.jobs.iter().any(|job| job.uid == *uid) {
                    return false;
                }
                self.both(|world| {
                    let same = world.jobs.iter_mut().filter(|job| job.uid == *uid);
                    same.for_each(|job| job.deleting = true);
                });
            }
            Action::RecordResult { node, entry } => self.record(node, entry),
        }
        true
    }

    fn move_pod(&mut self, uid: &str, wave: &str) {
        let lives = self.owners.get(uid).and_then(|owner| {
            let mut sets = self.world.daemon_sets.iter();
            sets.find(|set| set.uid == *owner)
        });
        assert!(
            lives.is_none(),
            "{uid} is moved while it belongs to {lives:?}"
        );
        self.both(|world| {
            for pod in world.pods.iter_mut().filter(|pod| pod.uid == uid) {
                wave.clone_into(&mut pod.wave);
                pod.resource_version.push('m');
            }
        });
    }

    fn record(&mut self, node: &str, entry: &LedgerEntry) {
        let machine = |world: &World| {
            let found = world.nodes.iter().find(|view| view.name == node);
            found.map(NodeView::machine)
        };
        // A result of the machine that the operator saw is void on another one.
        let same = machine(&self.world) == machine(&self.seen);
        self.seen.ledger.insert(node.to_owned(), entry.clone());
        if same {
            self.world.ledger.insert(node.to_owned(), entry.clone());
        }
    }

    fn create_revision(&mut self, created: &ControllerRevision) {
        let name = created.metadata.name.clone().unwrap();
        assert!(
            self.world
                .revisions
                .iter()
                .all(|revision| revision.name != name),
            "{name} exists"
        );
        self.contents
            .insert(name.clone(), self.desired.content.clone());
        let digest = revision::digest(&created.data.0);
        let number = created.revision.unwrap();
        let view = RevisionView {
            uid: format!("rev-{name}"),
            name,
            number,
            digest,
            ours: true,
        };
        self.both(|world| world.revisions.push(view.clone()));
    }

    /// Server-side apply. Returns whether the API server takes it.
    fn apply_daemon_set(&mut self, applied: &DaemonSet) -> bool {
        let name = applied.metadata.name.clone().unwrap();
        let labels = pod_labels(applied);
        let revision = labels[label::REVISION].clone();
        assert!(
            self.world
                .revisions
                .iter()
                .any(|known| known.name == revision),
            "no revision {revision}"
        );
        self.assert_ours(&name);
        let known = self.world.daemon_sets.iter().find(|set| set.name == name);
        let uid = if let Some(uid) = known.map(|set| set.uid.clone()) {
            let known = self.controlled.get_mut(&uid).unwrap();
            if known.wanted.spec.selector != applied.spec.selector {
                return false;
            }
            known.wanted = applied.clone();
            uid
        } else {
            let uid = format!("set-{}", self.next());
            self.controlled
                .insert(uid.clone(), Controlled::new(applied.clone()));
            uid
        };
        let annotations = applied.metadata.annotations.as_ref().unwrap();
        let state = DaemonSetState {
            name: name.clone(),
            uid,
            applied: build::applied(applied).to_owned(),
            revision,
            settled: false,
            deleting: known_deleting(&self.world, &name),
            wave: labels[label::WAVE].clone(),
            layout: annotations[label::LAYOUT].clone(),
        };
        self.both(|world| {
            world.daemon_sets.retain(|set| set.name != name);
            world.daemon_sets.push(state.clone());
            world.daemon_sets.sort_by(|a, b| a.name.cmp(&b.name));
        });
        true
    }

    fn assert_ours(&self, name: &str) {
        let taken = self.foreign.iter().any(|other| other.name == name);
        assert!(!taken, "DaemonSet {name} is somebody else's");
    }

    /// The DaemonSets of somebody else that have a name the waves need.
    pub(crate) fn foreign_names(&self) -> Vec<ForeignSet> {
        let waves = self.desired.waves.iter();
        let names: Vec<String> = waves
            .map(|wave| revision::daemon_set_name(&self.desired.key.name, &wave.name))
            .collect();
        let foreign = self.foreign.iter();
        foreign
            .filter(|other| names.contains(&other.name))
            .cloned()
            .collect()
    }

    fn create_job(&mut self, job: &Job) {
        let text =
            |from: &Option<BTreeMap<String, String>>, key| from.as_ref().unwrap()[key].clone();
        let view = JobView {
            name: job.metadata.name.clone().unwrap(),
            uid: job.metadata.name.clone().unwrap(),
            node: text(&job.metadata.annotations, label::NODE),
            machine: text(&job.metadata.annotations, label::MACHINE),
            revision: text(&job.metadata.labels, label::REVISION),
            attempt: text(&job.metadata.labels, label::ATTEMPT).parse().unwrap(),
            created: self.now,
            ..JobView::default()
        };
        // A deterministic name: what exists already is not created again.
        let exists = self.world.jobs.iter().any(|job| job.name == view.name);
        let node = self.world.nodes.iter().any(|node| node.name == view.node);
        if !exists && node {
            self.world.jobs.push(view.clone());
        }
        self.seen.jobs.push(view);
    }

    fn both(&mut self, write: impl Fn(&mut World)) {
        write(&mut self.world);
        write(&mut self.seen);
    }
}

fn known_deleting(world: &World, name: &str) -> bool {
    let mut sets = world.daemon_sets.iter();
    sets.any(|set| set.name == name && set.deleting)
}
