//! The writing edge of the operator, played on a cluster in memory.

use std::collections::BTreeMap;

use hosttask_crds::label;
use hosttask_operator::desired::Wave;
use hosttask_operator::observed::{DaemonSetState, JobView, NodeView, PodView, RevisionView};
use hosttask_operator::plan::{Action, Plan};
use hosttask_operator::{build, revision};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::batch::v1::Job;

use crate::cluster::{Cluster, World};

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
            Action::ApplyDaemonSet(applied) => self.apply_daemon_set(applied),
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
            Action::OrphanDaemonSet { .. } | Action::MovePod { .. } | Action::UngatePod { .. } => {
                panic!("one wave never needs {action:?}")
            }
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
            Action::RecordResult { node, entry } => {
                let machine = |world: &World| {
                    let found = world.nodes.iter().find(|view| view.name == *node);
                    found.map(NodeView::machine)
                };
                // A result of the machine that the operator saw is void on another one.
                let same = machine(&self.world) == machine(&self.seen);
                self.seen.ledger.insert(node.clone(), (**entry).clone());
                if same {
                    self.world.ledger.insert(node.clone(), (**entry).clone());
                }
            }
        }
        true
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

    fn apply_daemon_set(&mut self, applied: &DaemonSet) {
        let template = applied.spec.template.metadata.clone();
        let revision = template.and_then(|meta| meta.labels).unwrap()[label::REVISION].clone();
        assert!(
            self.world
                .revisions
                .iter()
                .any(|known| known.name == revision),
            "no revision {revision}"
        );
        let hash = build::applied(applied).to_owned();
        self.both(|world| {
            world.daemon_set = Some(DaemonSetState {
                name: "agent".into(),
                uid: "ds".into(),
                applied: hash.clone(),
                revision: revision.clone(),
                settled: false,
                deleting: false,
                wave: label::DEFAULT_WAVE.to_owned(),
                layout: revision::layout(&[Wave::rest()]),
            });
        });
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
