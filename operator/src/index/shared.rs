//! How tasks, nodes, ledgers and inputs alter the rows: the changes that concern more than one task.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Key;
use super::change::{Kind, Source};
use super::fleet::{TaskRow, takes};
use super::inputs::{InputKind, Named};
use super::node::{LedgerRow, NodeRow};
use super::owner::{task_text, version};
use super::state::{Keys, State, key};
use super::symbol::Symbol;
use super::wire;
use super::wire::node::Node;
use crate::desired::TaskKey;
use crate::plan::node::{counts, shows};

impl State {
    pub(super) fn see_task(&mut self, task: wire::Task, now: Timestamp, keys: &mut Keys) {
        let key = key(&task.metadata);
        let before = self.tasks.remove(&key);
        let face = before.as_ref().map(|row| {
            let (uid, generation, deleting, version) = row.face();
            (uid.to_owned(), generation, deleting, version.to_owned())
        });
        let old = before
            .as_ref()
            .map(|row| (row.symbol, row.uid.clone(), row.inputs.clone()));
        let depended = before
            .as_ref()
            .map(|row| row.depends_on.clone())
            .unwrap_or_default();
        let mut row = TaskRow::new(task, before, now, &mut self.symbols);
        row.mark = self.epoch(Kind::Task);
        let same_spec = face
            .as_ref()
            .is_some_and(|face| face.0 == row.uid && face.1 == row.generation);
        if !same_spec {
            let nodes = self.nodes.iter();
            let fleet = nodes.filter(|(_, (node, _))| takes(&row.placement, node, &self.symbols));
            row.fleet = fleet.map(|(&name, _)| name).collect();
        }
        if let Some((symbol, uid, _)) = &old {
            if *uid != row.uid {
                self.task_keys.remove(symbol);
                self.push_strays(*symbol, keys);
                self.forget(&key.namespace, uid, keys);
            }
            self.symbols.release(*symbol);
        }
        self.task_keys.insert(row.symbol, key.clone());
        let (uid, generation, deleting, version) = row.face();
        let changed = face != Some((uid.to_owned(), generation, deleting, version.to_owned()));
        self.dependents.change(&key, &depended, &row.depends_on);
        let inputs_changed = old.is_none_or(|(_, _, inputs)| inputs != row.inputs);
        self.tasks.insert(key.clone(), row);
        if inputs_changed {
            self.want_inputs();
        }
        if changed {
            keys.insert(Key::Task(key));
        }
    }

    pub(super) fn drop_task(&mut self, key: &TaskKey, keys: &mut Keys) {
        let Some(row) = self.tasks.remove(key) else {
            return;
        };
        self.task_keys.remove(&row.symbol);
        self.dependents
            .change(key, &row.depends_on, &BTreeSet::new());
        self.flights.remove(key);
        self.push_strays(row.symbol, keys);
        self.symbols.release(row.symbol);
        self.forget(&key.namespace, &row.uid, keys);
        if !row.inputs.is_empty() {
            self.want_inputs();
        }
        keys.insert(Key::Task(key.clone()));
    }

    /// A task is gone, and pods may be left to nobody.
    fn push_strays(&self, task: Symbol, keys: &mut Keys) {
        if self.pods_of_symbol(task).any(|(_, pod)| pod.orphan) {
            keys.insert(Key::Strays);
        }
    }

    /// A task is no more: its results are not worth keeping, and its writes not worth waiting for.
    fn forget(&mut self, namespace: &str, uid: &str, keys: &mut Keys) {
        self.expectations.forget(&task_text(namespace, uid));
        for entries in self.pending.values_mut() {
            entries.remove(uid);
        }
        self.pending.retain(|_, entries| !entries.is_empty());
        let ledgers = self.ledgers.iter();
        let with = ledgers
            .filter(|(_, (row, _))| row.status.tasks.iter().any(|entry| entry.task_uid == uid));
        keys.extend(with.map(|(name, _)| Key::Node(name.clone())));
    }

    fn want_inputs(&mut self) {
        let mut wanted = Named::new();
        for (key, row) in &self.tasks {
            for (kind, name) in &row.inputs {
                let names = wanted.entry((*kind, key.namespace.clone())).or_default();
                names.insert(name.clone());
            }
        }
        self.inputs.want(wanted);
    }

    /// The tasks that name an input, or any input of its kind and namespace.
    pub(super) fn push_input(
        &self,
        kind: InputKind,
        namespace: &str,
        name: Option<&str>,
        keys: &mut Keys,
    ) {
        let tasks = self
            .tasks
            .iter()
            .filter(|(key, _)| key.namespace == namespace);
        let naming = tasks.filter(|(_, row)| {
            row.inputs
                .iter()
                .any(|(of, input)| *of == kind && name.is_none_or(|name| name == input))
        });
        keys.extend(naming.map(|(key, _)| Key::Task(key.clone())));
    }

    pub(super) fn see_node(
        &mut self,
        node: &Node,
        source: Source,
        now: Timestamp,
        keys: &mut Keys,
    ) {
        let name = self.symbols.acquire(&node.metadata.name);
        let mark = self.epoch(Kind::Node);
        let before = self.nodes.remove(&name).map(|(row, _)| row);
        let row = NodeRow::new(node, before.as_ref(), source, now, &mut self.symbols);
        if before.is_some() {
            // The name has one user per row.
            self.symbols.release(name);
        }
        if before.as_ref() == Some(&row) {
            row_again(self, name, before, row, mark);
            return;
        }
        let identity = |row: &NodeRow| {
            (
                row.uid.clone(),
                row.system_uuid.clone(),
                row.boot_id.clone(),
                row.windows_build(&self.symbols),
            )
        };
        if before.as_ref().map(identity) != Some(identity(&row)) {
            keys.insert(Key::Node(node.metadata.name.clone()));
        }
        let same = before
            .as_ref()
            .is_some_and(|before| row.is_same_but_for_conditions(before));
        let conditions = before
            .as_ref()
            .map(|before| row.changed_conditions(before, &self.symbols))
            .unwrap_or_default();
        if before
            .as_ref()
            .is_none_or(|before| before.ready != row.ready)
        {
            self.doubt_flights();
        }
        let moved = before
            .as_ref()
            .is_none_or(|before| before.labels != row.labels || before.taints != row.taints);
        for (key, task) in &mut self.tasks {
            let was = task.fleet.contains(&name);
            let is = if moved {
                takes(&task.placement, &row, &self.symbols)
            } else {
                was
            };
            if is {
                task.fleet.insert(name);
            } else {
                task.fleet.remove(&name);
            }
            if moved {
                task.waves.remove(&name);
            }
            let concerned = !same || !task.conditions.is_disjoint(&conditions);
            if (was || is) && concerned {
                keys.insert(Key::Task(key.clone()));
            }
        }
        row_again(self, name, before, row, mark);
        self.void_pending(&node.metadata.name);
    }

    pub(super) fn drop_node(&mut self, name: Symbol, keys: &mut Keys) {
        let Some((row, _)) = self.nodes.remove(&name) else {
            return;
        };
        for (key, task) in &mut self.tasks {
            task.waves.remove(&name);
            if task.fleet.remove(&name) {
                keys.insert(Key::Task(key.clone()));
            }
        }
        let text = self.symbols.text(name).to_owned();
        self.pending.remove(&text);
        keys.insert(Key::Node(text));
        row.release(&mut self.symbols);
        self.symbols.release(name);
    }

    /// Drops pending results that another machine produced: the node of that name was re-imaged since.
    fn void_pending(&mut self, node: &str) {
        let Some((row, _)) = self
            .symbols
            .find(node)
            .and_then(|name| self.nodes.get(&name))
        else {
            return;
        };
        let view = row.view(node);
        if let Some(entries) = self.pending.get_mut(node) {
            entries.retain(|_, pending| {
                if pending.node.system_uuid.is_empty() || view.system_uuid.is_empty() {
                    pending.node.uid == view.uid
                } else {
                    pending.node.system_uuid == view.system_uuid
                }
            });
            if entries.is_empty() {
                self.pending.remove(node);
            }
        }
    }

    pub(super) fn see_ledger(&mut self, ledger: &wire::Ledger, keys: &mut Keys) {
        let name = &ledger.metadata.name;
        let row = LedgerRow::new(ledger);
        let shown = self.ledger_writes.get(name).is_some_and(|write| {
            *write.view.uid != *row.uid
                || version(&row.resource_version) >= version(&write.view.resource_version)
        });
        if shown {
            self.ledger_writes.remove(name);
        }
        let mark = self.epoch(Kind::Ledger);
        let before = self
            .ledgers
            .insert(name.clone(), (row, mark))
            .map(|(row, _)| row);
        self.drop_shown(name);
        self.push_ledger(name, before.as_ref(), keys);
    }

    pub(super) fn drop_ledger(&mut self, name: &str, keys: &mut Keys) {
        self.ledger_writes.remove(name);
        let before = self.ledgers.remove(name).map(|(row, _)| row);
        if before.is_some() {
            self.push_ledger(name, before.as_ref(), keys);
        }
    }

    /// Drops pending results that the ledger shows. A void ledger shows nothing: the same attempt of the same revision in
    /// it ran on the machine that the node used to be.
    fn drop_shown(&mut self, node: &str) {
        let Some((row, _)) = self.ledgers.get(node) else {
            return;
        };
        let Some(entries) = self.pending.get_mut(node) else {
            return;
        };
        entries.retain(|uid, pending| {
            let entry = row.status.tasks.iter().find(|it| it.task_uid == *uid);
            !entry.is_some_and(|it| {
                shows(it, &pending.entry) && counts(it, &row.status, &pending.node)
            })
        });
        if entries.is_empty() {
            self.pending.remove(node);
        }
    }

    /// The node, and the tasks whose entry differs.
    fn push_ledger(&self, name: &str, before: Option<&LedgerRow>, keys: &mut Keys) {
        let now = self.ledgers.get(name).map(|(row, _)| row);
        if now == before {
            return;
        }
        keys.insert(Key::Node(name.to_owned()));
        let (old, new) = (entries(before), entries(now));
        let differ = old.iter().filter(|entry| !new.contains(entry));
        let differ = differ.chain(new.iter().filter(|entry| !old.contains(entry)));
        let uids: BTreeSet<&str> = differ.map(|entry| entry.task_uid.as_str()).collect();
        let tasks = self
            .tasks
            .iter()
            .filter(|(_, row)| uids.contains(row.uid.as_str()));
        keys.extend(tasks.map(|(key, _)| Key::Task(key.clone())));
    }
}

fn entries(row: Option<&LedgerRow>) -> &[hosttask_crds::node::LedgerEntry] {
    row.map_or(&[], |row| &row.status.tasks)
}

/// Puts the row of a node in and gives back what the row before held.
fn row_again(state: &mut State, name: Symbol, before: Option<NodeRow>, row: NodeRow, mark: u32) {
    state.nodes.insert(name, (row, mark));
    if let Some(before) = before {
        before.release(&mut state.symbols);
    }
}
