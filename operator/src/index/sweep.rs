//! Lists: what a consistent list did not show does not exist. Rows are marked and swept, so that a relist needs no second copy.

use jiff::Timestamp;

use super::Key;
use super::change::{Kind, Scope};
use super::state::{Keys, State};
use super::symbol::{Symbol, Uid};
use crate::desired::TaskKey;

impl State {
    /// A list begins: rows that it shows get its number.
    pub(super) fn begin(&mut self, scope: &Scope) {
        match scope {
            Scope::Kind(kind) => self.lists.entry(*kind).or_default().epoch += 1,
            Scope::Inputs(kind, namespace) => self.inputs.begin(&(*kind, namespace.clone())),
        }
    }

    /// A list ended: rows without its number go.
    pub(super) fn end(&mut self, scope: &Scope, keys: &mut Keys) {
        match scope {
            Scope::Kind(kind) => {
                let epoch = self.epoch(*kind);
                self.sweep(*kind, epoch, keys);
                self.expectations.listed(*kind, epoch);
                self.lists.entry(*kind).or_default().complete = true;
            }
            Scope::Inputs(kind, namespace) => {
                if self.inputs.end(&(*kind, namespace.clone())) {
                    self.push_input(*kind, namespace, None, keys);
                }
            }
        }
    }

    fn sweep(&mut self, kind: Kind, epoch: u32, keys: &mut Keys) {
        match kind {
            Kind::Task => {
                let rows = self.tasks.iter().filter(|(_, row)| row.mark != epoch);
                let stale: Vec<TaskKey> = rows.map(|(key, _)| key.clone()).collect();
                for key in stale {
                    self.drop_task(&key, keys);
                }
            }
            Kind::Node => {
                let rows = self.nodes.iter().filter(|(_, (_, mark))| *mark != epoch);
                let stale: Vec<Symbol> = rows.map(|(&name, _)| name).collect();
                for name in stale {
                    self.drop_node(name, keys);
                }
            }
            Kind::DaemonSet => {
                for (namespace, name) in self.daemon_sets.unseen(epoch) {
                    self.drop_daemon_set(&namespace, &name, keys);
                }
            }
            Kind::Job => {
                for (namespace, name) in self.jobs.unseen(epoch) {
                    self.drop_job(&namespace, &name, keys);
                }
            }
            Kind::Pod => {
                let rows = self.pods.iter().filter(|(_, row)| row.mark != epoch);
                let stale: Vec<Uid> = rows.map(|(&uid, _)| uid).collect();
                for uid in stale {
                    self.drop_pod(uid, keys);
                }
            }
            Kind::Revision => {
                for (namespace, name) in self.revisions.unseen(epoch) {
                    self.drop_revision(&namespace, &name, keys);
                }
            }
            Kind::Ledger => {
                let rows = self.ledgers.iter().filter(|(_, (_, mark))| *mark != epoch);
                let stale: Vec<String> = rows.map(|(name, _)| name.clone()).collect();
                for name in stale {
                    self.drop_ledger(&name, keys);
                }
                // Written before the list began and not in it: somebody deleted it again.
                self.ledger_writes.retain(|_, write| write.epoch >= epoch);
            }
            Kind::Namespace => {
                let rows = self
                    .namespaces
                    .iter()
                    .filter(|(_, (_, mark))| *mark != epoch);
                let stale: Vec<String> = rows.map(|(name, _)| name.clone()).collect();
                for name in stale {
                    self.namespaces.remove(&name);
                    self.push_namespace(&name, keys);
                }
            }
        }
    }

    /// The tasks that have to be looked at because time has passed.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<Key> {
        let mut keys = Keys::new();
        self.calm_down(now, &mut keys);
        let overdue = self.expectations.overdue(now).map(|(key, _, _)| key);
        // A pass over a task that is going settles nothing.
        let overdue = overdue.filter(|key| self.tasks.get(key).is_some_and(|row| !row.deleting));
        let missing = self.tasks.iter().filter(|(_, row)| {
            row.missing
                .as_ref()
                .is_some_and(|missing| missing.is_due(now))
        });
        let all = overdue.chain(missing.map(|(key, _)| key));
        keys.extend(all.cloned().map(Key::Task));
        self.concern(&mut keys, false);
        keys.into_iter().collect()
    }
}
