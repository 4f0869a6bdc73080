//! `apply`: carries out a plan, one write after the other. Nothing is decided here: what needs an `if` about the fleet
//! belongs into `plan`. What is handled here is that a write may have happened before and its answer was lost.
//!
//! Longer than 400 lines: one `match` over all writes, without decisions.

mod ownership;
mod write;

use std::fmt;

use hosttask_crds::Reason;
use hosttask_crds::label::{DEPENDENCY_GATE, FIELD_MANAGER, WAVE};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{
    Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::{Client, ResourceExt};
use serde_json::json;

use self::ownership::{controller, is_same_work, owner};
pub use self::write::Write;
use crate::client::Withheld;
use crate::desired::TaskKey;
use crate::error::{Cause, cause_of, refusal, withheld};
use crate::event::Events;
use crate::index::{Expectation, Index, Key, Ticket};
use crate::plan::Action;
use crate::queue::driver::SharedQueue;
use crate::status::Rejection;

/// Why a write did not happen.
#[expect(
    clippy::error_impl_error,
    reason = "one Error per step; the module is part of its name"
)]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not take it, or could not be asked.
    #[error("failed to {what} {name}")]
    Write {
        /// The kind of write.
        what: Write,
        /// The object's name.
        name: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object of that name exists and is not this task's.
    #[error("failed to {what} {name}: it exists and is controlled by {owner}")]
    NameConflict {
        /// The kind of write.
        what: Write,
        /// The object's name.
        name: String,
        /// Who controls it.
        owner: String,
    },
}

impl Error {
    fn write(what: Write, name: &str, source: kube::Error) -> Self {
        Self::Write {
            what,
            name: name.to_owned(),
            source: Box::new(source),
        }
    }

    /// Why, as one word.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Write { source, .. } => cause_of(source),
            Self::NameConflict { .. } => Cause::NameConflict,
        }
    }

    /// The client's error, where it is one.
    pub fn client_error(&self) -> Option<&kube::Error> {
        match self {
            Self::Write { source, .. } => Some(source),
            Self::NameConflict { .. } => None,
        }
    }

    /// What it means for the status of the task, where the task has to change for it to succeed.
    pub fn rejection(&self) -> Option<Rejection> {
        match self {
            Self::Write { what, name, source } if self.cause() == Cause::Refused => {
                let kube::Error::Api(status) = source.as_ref() else {
                    return None;
                };
                let (reason, message) = refusal(&format!("the {} {name}", what.child()), status);
                Some(Rejection { reason, message })
            }
            Self::NameConflict { what, name, owner } => {
                let message = format!(
                    "{} {name} exists and is controlled by {owner}; delete it or give the task another name",
                    what.child()
                );
                Some(Rejection {
                    reason: Reason::NameConflict,
                    message,
                })
            }
            Self::Write { .. } => None,
        }
    }
}

/// Carries out the plans of one task.
pub struct Applier<'a> {
    /// The way to the API server.
    pub client: &'a Client,
    /// Learns of every write.
    pub index: &'a Index,
    /// Gets the ledgers that have something to write.
    pub queue: &'a SharedQueue<Key>,
    /// Publishes events.
    pub events: &'a Events,
    /// The task.
    pub key: &'a TaskKey,
    /// Its UID.
    pub uid: &'a str,
    /// The local clock.
    pub clock: fn() -> Timestamp,
}

impl fmt::Debug for Applier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Applier")
            .field("key", self.key)
            .field("uid", &self.uid)
            .finish_non_exhaustive()
    }
}

impl Applier<'_> {
    /// One write. On an error the rest of the plan must not be carried out, other nodes' Jobs apart: it was decided on this
    /// one's success.
    pub async fn apply(&self, action: &Action) -> Result<(), Error> {
        match action {
            Action::CheckDaemonSet(set) => self
                .apply_daemon_set(set, Write::CheckDaemonSet)
                .await
                .map(drop),
            Action::CheckJob(job) => self.check_job(job).await,
            Action::CreateRevision(revision) => self.create_revision(revision).await,
            Action::RenumberRevision { name, uid, number } => {
                self.renumber(name, uid, *number).await
            }
            Action::DeleteRevision { name, uid } => self.delete_revision(name, uid).await,
            Action::ApplyDaemonSet(set) => {
                let applied = self.apply_daemon_set(set, Write::ApplyDaemonSet).await?;
                self.expect(Expectation::daemon_set(&applied));
                Ok(())
            }
            Action::DeletePod {
                name,
                uid,
                resource_version,
                ..
            } => self.delete_pod(name, uid, resource_version).await,
            Action::OrphanDaemonSet { name, uid } => self.orphan_daemon_set(name, uid).await,
            Action::MovePod {
                name, uid, wave, ..
            } => self.move_pod(name, uid, wave).await,
            Action::UngatePod { name, uid, .. } => self.ungate_pod(name, uid).await,
            Action::CreateJob(job) => self.create_job(job).await,
            Action::DeleteJob { name, uid, .. } => self.delete_job(name, uid).await,
            Action::RecordResult { node, entry } => {
                self.index.record(node, entry.as_ref().clone());
                self.queue.add(Key::Node(node.clone()));
                Ok(())
            }
            Action::Publish(note) => {
                self.events.publish(self.key, self.uid, note).await;
                Ok(())
            }
        }
    }

    async fn apply_daemon_set(&self, set: &DaemonSet, what: Write) -> Result<DaemonSet, Error> {
        let name = set.name_any();
        let params = PatchParams {
            dry_run: what == Write::CheckDaemonSet,
            ..PatchParams::apply(FIELD_MANAGER).force()
        };
        self.api::<DaemonSet>()
            .patch(&name, &params, &Patch::Apply(set))
            .await
            .map_err(|e| Error::write(what, &name, e))
    }

    async fn check_job(&self, job: &Job) -> Result<(), Error> {
        let params = PostParams {
            dry_run: true,
            field_manager: Some(FIELD_MANAGER.into()),
        };
        match self.api::<Job>().create(&params, job).await {
            Err(error) if !is_taken(&error) => {
                Err(Error::write(Write::CheckJob, &job.name_any(), error))
            }
            _ => Ok(()),
        }
    }

    async fn create_job(&self, job: &Job) -> Result<(), Error> {
        let (api, name) = (self.api::<Job>(), job.name_any());
        // Remembered before it is sent: this future may be dropped, and the connection may break, after the server acted.
        let sent = Expectation::job(job);
        self.expect(sent.clone());
        let created = match api.create(&post(), job).await {
            Err(error) if is_taken(&error) => api.get(&name).await,
            result => result,
        };
        // Again: a list that was taken before the write and ended after it has ended the expectation too early.
        let ticket = self.expect(sent);
        let created =
            created.map_err(|error| self.failed(&ticket, Write::CreateJob, &name, error))?;
        if !is_same_work(&created, job) {
            self.index.withdraw(&ticket);
            return Err(Error::NameConflict {
                what: Write::CreateJob,
                name,
                owner: owner(&created.metadata),
            });
        }
        self.expect(Expectation::job(&created));
        Ok(())
    }

    fn expect(&self, expectation: Expectation) -> Ticket {
        self.index
            .expect(self.key, self.uid, expectation, (self.clock)())
    }

    /// A write failed. Only an answer of the API server says that it did not happen.
    fn failed(&self, ticket: &Ticket, what: Write, name: &str, error: kube::Error) -> Error {
        let refused = matches!(&error, kube::Error::Api(status) if status.code < 500);
        if refused || withheld(&error) == Some(Withheld::Fenced) {
            self.index.withdraw(ticket);
        }
        Error::write(what, name, error)
    }

    async fn create_revision(&self, revision: &ControllerRevision) -> Result<(), Error> {
        let (api, name) = (self.api::<ControllerRevision>(), revision.name_any());
        let created = match api.create(&post(), revision).await {
            Err(error) if is_taken(&error) => api.get(&name).await,
            result => result,
        };
        let created = created.map_err(|e| Error::write(Write::CreateRevision, &name, e))?;
        if controller(&created.metadata) != controller(&revision.metadata) {
            return Err(Error::NameConflict {
                what: Write::CreateRevision,
                name,
                owner: owner(&created.metadata),
            });
        }
        self.expect(Expectation::revision(&created));
        Ok(())
    }

    async fn renumber(&self, name: &str, uid: &str, number: i64) -> Result<(), Error> {
        let patch = Patch::Merge(json!({ "metadata": { "uid": uid }, "revision": number }));
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        let result = self
            .api::<ControllerRevision>()
            .patch(name, &params, &patch)
            .await;
        let renumbered = result.map_err(|e| Error::write(Write::RenumberRevision, name, e))?;
        self.expect(Expectation::revision(&renumbered));
        Ok(())
    }

    async fn delete_revision(&self, name: &str, uid: &str) -> Result<(), Error> {
        match self
            .api::<ControllerRevision>()
            .delete(name, &only(uid, None))
            .await
        {
            Err(error) if !is_gone(&error) => {
                return Err(Error::write(Write::DeleteRevision, name, error));
            }
            _ => {}
        }
        self.expect(Expectation::RevisionDeleted {
            name: name.to_owned(),
            uid: uid.to_owned(),
        });
        Ok(())
    }

    async fn delete_pod(&self, name: &str, uid: &str, resource_version: &str) -> Result<(), Error> {
        let sent = Expectation::PodDeleted {
            name: name.to_owned(),
            uid: uid.to_owned(),
        };
        self.expect(sent.clone());
        let result = self
            .api::<Pod>()
            .delete(name, &only(uid, Some(resource_version)))
            .await;
        // Again: a list that was taken before the write and ended after it has ended the expectation too early, and it still
        // shows the pod as one that serves.
        let ticket = self.expect(sent);
        result
            .map(drop)
            .map_err(|error| self.failed(&ticket, Write::DeletePod, name, error))
    }

    async fn orphan_daemon_set(&self, name: &str, uid: &str) -> Result<(), Error> {
        let sent = Expectation::DaemonSetOrphaned {
            name: name.to_owned(),
            uid: uid.to_owned(),
        };
        self.expect(sent.clone());
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Orphan),
            ..only(uid, None)
        };
        let result = self.api::<DaemonSet>().delete(name, &params).await;
        // Again, for the reason that a pod's is.
        let ticket = self.expect(sent);
        match result {
            // An earlier try, the answer to which was lost.
            Err(error) if is_gone(&error) => Ok(()),
            result => result
                .map(drop)
                .map_err(|error| self.failed(&ticket, Write::OrphanDaemonSet, name, error)),
        }
    }

    async fn move_pod(&self, name: &str, uid: &str, wave: &str) -> Result<(), Error> {
        let sent = Expectation::PodMoved {
            name: name.to_owned(),
            uid: uid.to_owned(),
            wave: wave.to_owned(),
        };
        let labels = json!({ WAVE: wave });
        let patch = json!({ "metadata": { "uid": uid, "labels": labels } });
        self.patch_pod(name, Write::MovePod, patch, sent).await
    }

    async fn ungate_pod(&self, name: &str, uid: &str) -> Result<(), Error> {
        let sent = Expectation::PodUngated {
            name: name.to_owned(),
            uid: uid.to_owned(),
        };
        let gates = json!([{ "$patch": "delete", "name": DEPENDENCY_GATE }]);
        let patch = json!({ "metadata": { "uid": uid }, "spec": { "schedulingGates": gates } });
        self.patch_pod(name, Write::UngatePod, patch, sent).await
    }

    /// A strategic merge patch of a pod. The UID in it is a precondition: another pod of that name does not accept it.
    async fn patch_pod(
        &self,
        name: &str,
        what: Write,
        patch: serde_json::Value,
        sent: Expectation,
    ) -> Result<(), Error> {
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        self.expect(sent.clone());
        let result = self
            .api::<Pod>()
            .patch(name, &params, &Patch::Strategic(patch))
            .await;
        // Again, for the reason that a deletion is.
        let ticket = self.expect(sent);
        result
            .map(drop)
            .map_err(|error| self.failed(&ticket, what, name, error))
    }

    async fn delete_job(&self, name: &str, uid: &str) -> Result<(), Error> {
        let sent = Expectation::JobDeleted {
            name: name.to_owned(),
            uid: uid.to_owned(),
        };
        self.expect(sent.clone());
        let result = self.api::<Job>().delete(name, &only(uid, None)).await;
        // Again, for the reason that a pod's is.
        let ticket = self.expect(sent);
        result
            .map(drop)
            .map_err(|error| self.failed(&ticket, Write::DeleteJob, name, error))
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.key.namespace)
    }
}

fn post() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PostParams::default()
    }
}

/// Delete this very object, and only as we know it.
fn only(uid: &str, resource_version: Option<&str>) -> DeleteParams {
    DeleteParams::background().preconditions(Preconditions {
        uid: Some(uid.to_owned()),
        resource_version: resource_version.map(ToOwned::to_owned),
    })
}

fn is_taken(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_already_exists())
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

#[cfg(test)]
mod tests;
