//! The writes of a plan, carried out on the virtual cluster.

use std::collections::BTreeMap;

use hosttask_crds::label;
use hosttask_crds::node::LedgerEntry;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::batch::v1::Job;

use super::world::{Event, World};
use crate::build;
use crate::observed::{DaemonSetState, JobView, RevisionView};
use crate::plan::{Action, Note};
use crate::revision;

impl World {
    /// One write. Returns whether the operator looks again once it sees its own write: what sets nodes in motion is looked at
    /// when they move.
    pub(super) fn act(&mut self, action: Action) -> bool {
        match action {
            Action::CheckDaemonSet(_) | Action::CheckJob(_) => return false,
            Action::CreateRevision(created) => self.create_revision(&created),
            Action::RenumberRevision { name, number, .. } => {
                let mut all = self.observed.revisions.iter_mut();
                if let Some(found) = all.find(|it| it.name == name) {
                    found.number = number;
                }
                self.observed.revisions.sort_by_key(|it| it.number);
            }
            Action::DeleteRevision { name, .. } => {
                self.observed.revisions.retain(|it| it.name != name);
                self.contents.remove(&name);
            }
            Action::ApplyDaemonSet(applied) => self.apply_daemon_set(&applied),
            Action::OrphanDaemonSet { name, .. } => self.orphan(&name),
            Action::MovePod { uid, wave, .. } => {
                if let Some(pod) = self.pod(&uid) {
                    pod.wave = wave;
                }
            }
            Action::UngatePod { uid, .. } => {
                if let Some(pod) = self.pod(&uid) {
                    pod.gated = false;
                }
                return self.start_pod(&uid);
            }
            Action::DeletePod { uid, node, .. } => {
                let wave = self.node(&node).map_or(0, |node| node.wave);
                self.journal.starts(self.now, wave);
                self.touched.insert(node);
                self.delete_pod(&uid);
                return false;
            }
            Action::CreateJob(job) => {
                self.create_job(&job);
                return false;
            }
            Action::DeleteJob { name, .. } => {
                let mut all = self.observed.jobs.iter();
                let found = all.find(|job| job.name == name);
                let pods = found.map(|job| (job.node.clone(), job.revision.clone()));
                self.observed.jobs.retain(|job| job.name != name);
                if let Some((node, revision)) = pods {
                    self.drop_job_pods(&node, &revision);
                }
            }
            Action::RecordResult { node, entry } => self.record(&node, *entry),
            Action::Publish(note) => {
                self.tell(&note);
                return false;
            }
        }
        true
    }

    fn tell(&mut self, note: &Note) {
        self.journal
            .note(self.now, note.reason.as_str(), &note.note, note.warning);
    }

    fn create_revision(&mut self, created: &ControllerRevision) {
        let name = created.metadata.name.clone().unwrap_or_default();
        self.contents
            .insert(name.clone(), self.desired.content.clone());
        self.observed.revisions.push(RevisionView {
            uid: format!("uid-{name}"),
            number: created.revision.unwrap_or(1),
            digest: revision::digest(&created.data.0),
            ours: true,
            name,
        });
    }

    fn apply_daemon_set(&mut self, applied: &DaemonSet) {
        let text = |from: &Option<BTreeMap<String, String>>, key: &str| {
            from.as_ref()
                .and_then(|all| all.get(key))
                .cloned()
                .unwrap_or_default()
        };
        let name = applied.metadata.name.clone().unwrap_or_default();
        let template = applied.spec.template.metadata.clone().unwrap_or_default();
        let state = DaemonSetState {
            name: name.clone(),
            uid: format!(
                "uid-{name}-{}",
                text(&applied.metadata.annotations, label::LAYOUT)
            ),
            applied: build::applied(applied).to_owned(),
            revision: text(&template.labels, label::REVISION),
            settled: false,
            deleting: false,
            wave: text(&applied.metadata.labels, label::WAVE),
            layout: text(&applied.metadata.annotations, label::LAYOUT),
        };
        let sets = &mut self.observed.daemon_sets;
        sets.retain(|it| it.name != name);
        sets.push(state);
        sets.sort_by(|one, other| one.name.cmp(&other.name));
        self.push(1, Event::TemplateSeen(name));
    }

    /// A DaemonSet is deleted, and its pods stay: nothing controls them until another adopts them.
    fn orphan(&mut self, name: &str) {
        let sets = &mut self.observed.daemon_sets;
        let Some(set) = sets.iter_mut().find(|it| it.name == name) else {
            return;
        };
        set.deleting = true;
        let wave = set.wave.clone();
        self.observed
            .pods
            .iter_mut()
            .filter(|pod| pod.wave == wave)
            .for_each(|pod| pod.orphan = true);
        self.push(1, Event::SetGone(name.to_owned()));
    }

    fn create_job(&mut self, job: &Job) {
        let text = |from: &Option<BTreeMap<String, String>>, key: &str| {
            from.as_ref()
                .and_then(|all| all.get(key))
                .cloned()
                .unwrap_or_default()
        };
        let name = job.metadata.name.clone().unwrap_or_default();
        // A deterministic name: what exists already is not created again.
        if self.observed.jobs.iter().any(|job| job.name == name) {
            return;
        }
        let view = JobView {
            name: name.clone(),
            uid: format!("uid-{name}"),
            node: text(&job.metadata.annotations, label::NODE),
            machine: text(&job.metadata.annotations, label::MACHINE),
            revision: text(&job.metadata.labels, label::REVISION),
            attempt: text(&job.metadata.labels, label::ATTEMPT)
                .parse()
                .unwrap_or(1),
            created: self.now,
            ..JobView::default()
        };
        let (node, revision) = (view.node.clone(), view.revision.clone());
        let wave = self.node(&node).map_or(0, |node| node.wave);
        self.journal.starts(self.now, wave);
        self.touched.insert(node.clone());
        self.observed.jobs.push(view);
        self.start_job(&name, &node, &revision);
    }

    /// A result is in the ledger: Kubernetes may remove the Job.
    fn record(&mut self, node: &str, entry: LedgerEntry) {
        self.observed.jobs.retain(|job| {
            job.node != node
                || job.end.is_none()
                || job.revision != entry.revision
                || job.attempt > entry.attempts
        });
        self.observed.ledger.insert(node.to_owned(), entry);
    }
}
