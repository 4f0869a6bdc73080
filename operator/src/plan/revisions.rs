//! `Revisions`: which `ControllerRevision` the content asks for, how it comes to be the newest, and which old ones go.

use std::collections::BTreeSet;

use super::Action;
use crate::desired::Desired;
use crate::observed::Observed;
use crate::{build, revision};

/// The revision that the spec and the inputs ask for.
#[derive(Debug)]
pub(super) struct Revisions {
    /// Its name.
    pub(super) update: String,
    /// How often a name was taken by other content.
    pub(super) collision: i32,
    /// The write that makes it the newest revision, if it is not.
    pub(super) write: Option<Action>,
}

impl Revisions {
    /// Finds the revision of the content, or the name it will have. Content is the same where its digest is; a name that
    /// other content or somebody else has taken is never used.
    pub(super) fn choose(desired: &Desired, observed: &Observed) -> Self {
        let digest = revision::digest(&desired.content.raw);
        let collision = observed.status.collision_count.unwrap_or(0).max(0);
        let ours = || observed.revisions.iter().filter(|revision| revision.ours);
        let newest = ours().map(|revision| revision.number).max().unwrap_or(0);
        let number = newest.saturating_add(1);
        if let Some(known) = ours()
            .filter(|revision| revision.digest == digest)
            .max_by_key(|revision| revision.number)
        {
            let write = (known.number < newest).then(|| Action::RenumberRevision {
                name: known.name.clone(),
                uid: known.uid.clone(),
                number,
            });
            return Self {
                update: known.name.clone(),
                collision,
                write,
            };
        }
        let taken: BTreeSet<&str> = observed
            .revisions
            .iter()
            .map(|revision| revision.name.as_str())
            .collect();
        let mut collision = collision;
        let mut update = revision::name(&desired.key.name, &desired.content.raw, collision);
        // Each turn meets another name, so it ends after as many turns as there are revisions.
        while taken.contains(update.as_str()) && collision < i32::MAX {
            collision += 1;
            update = revision::name(&desired.key.name, &desired.content.raw, collision);
        }
        let create = build::controller_revision(desired, &update, number);
        Self {
            write: Some(Action::CreateRevision(Box::new(create))),
            update,
            collision,
        }
    }

    /// Whether the content was never rolled out before.
    pub(super) fn is_new(&self) -> bool {
        matches!(self.write, Some(Action::CreateRevision(_)))
    }

    /// Deletes the oldest revisions beyond the history limit. What may still be needed is kept: the update and the stable
    /// revision, that of the template, and those that pods or running Jobs have.
    pub(super) fn prune(&self, desired: &Desired, observed: &Observed) -> Vec<Action> {
        let mut live: BTreeSet<&str> = observed
            .pods
            .iter()
            .map(|pod| pod.revision.as_str())
            .collect();
        live.extend(
            observed
                .jobs
                .iter()
                .filter(|job| job.end.is_none())
                .map(|job| job.revision.as_str()),
        );
        live.extend(observed.status.stable_revision.as_deref());
        live.insert(&self.update);
        live.extend(observed.daemon_sets.iter().map(|set| set.revision.as_str()));
        let mut old: Vec<_> = observed
            .revisions
            .iter()
            .filter(|revision| revision.ours && !live.contains(revision.name.as_str()))
            .collect();
        old.sort_by(|a, b| a.number.cmp(&b.number).then_with(|| a.name.cmp(&b.name)));
        let surplus = old.len().saturating_sub(desired.revision_history_limit);
        old.into_iter()
            .take(surplus)
            .map(|revision| Action::DeleteRevision {
                name: revision.name.clone(),
                uid: revision.uid.clone(),
            })
            .collect()
    }
}
