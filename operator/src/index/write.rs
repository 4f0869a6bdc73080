//! How our own writes enter the index, and how they leave it.

use std::collections::BTreeMap;

use hosttask_crds::node::LedgerEntry;
use jiff::Timestamp;

use super::change::{Kind, Object, Source};
use super::expect::{Expectation, Identity, LedgerWrite, Overdue, Settled, Ticket};
use super::owner::version;
use super::state::{Keys, PendingEntry, State};
use super::symbol::Uid;
use crate::desired::TaskKey;
use crate::plan::node::LedgerView;

impl State {
    pub(super) fn expect(
        &mut self,
        task: &TaskKey,
        task_uid: &str,
        expectation: Expectation,
        now: Timestamp,
    ) -> Ticket {
        let shown = self.shows(&task.namespace, &expectation);
        let lists: BTreeMap<Kind, u32> = self
            .lists
            .iter()
            .map(|(kind, list)| (*kind, list.epoch))
            .collect();
        let epoch = |kind| lists.get(&kind).copied().unwrap_or_default();
        let ticket = self
            .expectations
            .insert(task, task_uid, expectation, epoch, now);
        if shown {
            self.expectations.withdraw(&ticket);
        }
        self.doubt_flight(task);
        ticket
    }

    pub(super) fn withdraw(&mut self, ticket: &Ticket) {
        if let Some(open) = self.expectations.withdraw(ticket) {
            self.doubt_flight(&open.key);
        }
    }

    /// Whether the rows show a write already: the watch can be quicker than the response.
    fn shows(&self, namespace: &str, expectation: &Expectation) -> bool {
        match expectation {
            Expectation::PodDeleted { uid, .. } => self
                .pods
                .get(&Uid::of(uid).0)
                .is_none_or(|row| row.deleting),
            Expectation::PodMoved { uid, wave, .. } => self
                .pods
                .get(&Uid::of(uid).0)
                .is_none_or(|row| row.deleting || self.symbols.text(row.wave) == wave),
            Expectation::PodUngated { uid, .. } => self
                .pods
                .get(&Uid::of(uid).0)
                .is_none_or(|row| row.deleting || !row.gated),
            Expectation::JobDeleted { name, uid } => self
                .jobs
                .get(namespace, name)
                .is_none_or(|row| row.deleting || *row.uid != **uid),
            Expectation::JobCreated(job) => self
                .jobs
                .get(namespace, &job.name)
                .is_some_and(|row| job.uid.is_empty() || *row.uid == *job.uid),
            Expectation::DaemonSetApplied { state, generation } => self
                .daemon_sets
                .get(namespace, &state.name)
                .is_some_and(|row| *row.uid == *state.uid && row.generation >= *generation),
            Expectation::DaemonSetOrphaned { name, uid } => self
                .daemon_sets
                .get(namespace, name)
                .is_none_or(|row| row.deleting || *row.uid != **uid),
            Expectation::RevisionWritten(view) => self
                .revisions
                .get(namespace, &view.name)
                .is_some_and(|row| *row.uid == *view.uid && row.number >= view.number),
            Expectation::RevisionDeleted { name, uid } => self
                .revisions
                .get(namespace, name)
                .is_none_or(|row| *row.uid != **uid),
        }
    }

    pub(super) fn settle(
        &mut self,
        overdue: &Overdue,
        settled: Settled,
        now: Timestamp,
        keys: &mut Keys,
    ) {
        let Some(open) = self.expectations.withdraw(&overdue.ticket) else {
            return;
        };
        self.doubt_flight(&open.key);
        let Overdue {
            namespace, name, ..
        } = overdue;
        let absent = match (settled, &overdue.ticket.identity) {
            // Another pod of the same name is another pod.
            (
                Settled::Found(Object::Pod(pod)),
                Identity::Pod(uid) | Identity::PodWave(uid) | Identity::PodGate(uid),
            ) if pod.metadata.uid != *uid => true,
            (Settled::Found(object), _) => {
                self.seen(object, Source::List, now, keys);
                false
            }
            (Settled::Absent, _) => true,
        };
        if !absent {
            return;
        }
        match &overdue.ticket.identity {
            Identity::Pod(uid) | Identity::PodWave(uid) | Identity::PodGate(uid) => {
                self.drop_pod(Uid::of(uid).0, keys);
            }
            Identity::Job(..) => self.drop_job(namespace, name, keys),
            Identity::DaemonSet(..) => self.drop_daemon_set(namespace, name, keys),
            Identity::Revision(..) => self.drop_revision(namespace, name, keys),
        }
    }

    pub(super) fn record(&mut self, node: &str, entry: LedgerEntry) {
        let row = self
            .symbols
            .find(node)
            .and_then(|name| self.nodes.get(&name));
        // The result of a node that is gone is of no use to anybody.
        let Some((row, _)) = row else { return };
        let pending = PendingEntry {
            node: row.view(node),
            entry,
        };
        let entries = self.pending.entry(node.to_owned()).or_default();
        entries.insert(pending.entry.task_uid.clone(), pending);
    }

    pub(super) fn wrote_ledger(&mut self, node: &str, view: LedgerView) {
        let shown = self.ledgers.get(node).is_some_and(|(row, _)| {
            *row.uid == *view.uid
                && version(&row.resource_version) >= version(&view.resource_version)
        });
        if !shown {
            let epoch = self.epoch(Kind::Ledger);
            self.ledger_writes
                .insert(node.to_owned(), LedgerWrite { view, epoch });
        }
    }
}
