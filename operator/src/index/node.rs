//! Nodes and their ledgers: the rows that stay of them.

use std::collections::{BTreeMap, BTreeSet};

use hosttask_crds::label;
use hosttask_crds::node::WindowsHostNodeStatus;
use jiff::Timestamp;

use super::change::Source;
use super::symbol::{Symbol, Symbols};
use super::wire::node::Node;
use super::wire::{Condition, Ledger};
use crate::observed::{ConditionView, NodeView};
use crate::placement::Taint;
use crate::plan::node::LedgerView;

/// A condition of a node. Each interned string has one user per row.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ConditionRow {
    kind: Symbol,
    status: Symbol,
    /// When the status changed, by our own clock where we saw it happen.
    changed: Option<Timestamp>,
    /// The node's own time of that change.
    there: Option<Timestamp>,
}

impl ConditionRow {
    /// `before`: the row of the same machine; `is_known`: whether the node had a row at all.
    fn new(
        condition: &Condition,
        before: Option<&Self>,
        is_live: bool,
        now: Timestamp,
        symbols: &mut Symbols,
    ) -> Self {
        let there = condition.last_transition_time.0;
        let status = symbols.acquire(&condition.status);
        let known = before.filter(|row| row.status == status && row.there == there);
        Self {
            kind: symbols.acquire(&condition.kind),
            status,
            changed: match known {
                Some(row) => row.changed,
                None if is_live => Some(now),
                None => there.map(|time| time.min(now)),
            },
            there,
        }
    }
}

/// What stays of a node. Heartbeats are not in it, so that they change nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NodeRow {
    pub(super) uid: Box<str>,
    /// Interned: most labels are the same on every node of a pool.
    pub(super) labels: Box<[(Symbol, Symbol)]>,
    pub(super) taints: Box<[Taint]>,
    pub(super) ready: bool,
    ready_changed: Option<Timestamp>,
    /// The node's own time of that change.
    ready_changed_there: Option<Timestamp>,
    conditions: Box<[ConditionRow]>,
    pub(super) unschedulable: bool,
    pub(super) system_uuid: Box<str>,
    pub(super) boot_id: Box<str>,
}

impl NodeRow {
    pub(super) fn new(
        node: &Node,
        before: Option<&Self>,
        source: Source,
        now: Timestamp,
        symbols: &mut Symbols,
    ) -> Self {
        let ready = node
            .status
            .conditions
            .iter()
            .find(|condition| condition.kind == "Ready");
        let changed_there = ready.and_then(|condition| condition.last_transition_time.0);
        let is_ready = ready.is_some_and(|condition| condition.status == "True");
        let known = before.filter(|row| {
            *row.uid == *node.metadata.uid
                && row.ready == is_ready
                && row.ready_changed_there == changed_there
        });
        // As for pods: by our own clock where we saw it happen, never in the future.
        let changed = match (known, source, before) {
            (Some(row), _, _) => row.ready_changed,
            (None, Source::Watch, Some(_)) => Some(now),
            (None, _, _) => changed_there.map(|time| time.min(now)),
        };
        let is_live = source == Source::Watch && before.is_some();
        let same = before.filter(|row| *row.uid == *node.metadata.uid);
        let conditions = node.status.conditions.iter().map(|condition| {
            let kind = symbols.find(&condition.kind);
            let rows = same.iter().flat_map(|row| &row.conditions);
            let before = rows.clone().find(|row| Some(row.kind) == kind);
            ConditionRow::new(condition, before, is_live, now, symbols)
        });
        let conditions = conditions.collect();
        let labels = node.metadata.labels.0.iter();
        Self {
            uid: node.metadata.uid.as_str().into(),
            labels: labels
                .map(|(key, value)| (symbols.acquire(key), symbols.acquire(value)))
                .collect(),
            conditions,
            taints: node.spec.taints.clone().into(),
            ready: is_ready,
            ready_changed: changed,
            ready_changed_there: changed_there,
            unschedulable: node.spec.unschedulable,
            system_uuid: node.status.node_info.system_uuid.as_str().into(),
            boot_id: node.status.node_info.boot_id.as_str().into(),
        }
    }

    pub(super) fn release(self, symbols: &mut Symbols) {
        let labels = self.labels.into_iter();
        let conditions = self.conditions.into_iter();
        for (key, value) in labels.chain(conditions.map(|row| (row.kind, row.status))) {
            symbols.release(key);
            symbols.release(value);
        }
    }

    /// Whether nothing but conditions (other than Ready) differs.
    pub(super) fn is_same_but_for_conditions(&self, other: &Self) -> bool {
        (&self.uid, &self.system_uuid, &self.boot_id)
            == (&other.uid, &other.system_uuid, &other.boot_id)
            && (&self.labels, &self.taints, self.unschedulable)
                == (&other.labels, &other.taints, other.unschedulable)
            && (self.ready, self.ready_changed) == (other.ready, other.ready_changed)
    }

    /// The types of the conditions that differ.
    pub(super) fn changed_conditions(&self, other: &Self, symbols: &Symbols) -> BTreeSet<String> {
        let missing_in = |row: &Self, other: &Self| -> Vec<Symbol> {
            let rows = row.conditions.iter();
            rows.filter(|condition| !other.conditions.contains(condition))
                .map(|condition| condition.kind)
                .collect()
        };
        let all = [missing_in(self, other), missing_in(other, self)].concat();
        all.into_iter()
            .map(|kind| symbols.text(kind).to_owned())
            .collect()
    }

    /// Its conditions of these types, in this order.
    pub(super) fn conditions<'a>(
        &self,
        types: impl IntoIterator<Item = &'a str>,
        symbols: &Symbols,
    ) -> Vec<ConditionView> {
        let found = types.into_iter().filter_map(|kind| {
            let symbol = symbols.find(kind)?;
            let row = self.conditions.iter().find(|row| row.kind == symbol)?;
            Some(ConditionView {
                kind: kind.to_owned(),
                status: symbols.text(row.status).to_owned(),
                changed: row.changed,
            })
        });
        found.collect()
    }

    /// The value of a label.
    pub(super) fn label(&self, key: &str, symbols: &Symbols) -> Option<String> {
        let key = symbols.find(key)?;
        let (_, value) = self.labels.iter().find(|(of, _)| *of == key)?;
        Some(symbols.text(*value).to_owned())
    }

    pub(super) fn labels(&self, symbols: &Symbols) -> BTreeMap<String, String> {
        let pairs = self.labels.iter();
        pairs
            .map(|&(key, value)| (symbols.text(key).to_owned(), symbols.text(value).to_owned()))
            .collect()
    }

    pub(super) fn windows_build(&self, symbols: &Symbols) -> Option<String> {
        self.label(label::WINDOWS_BUILD, symbols)
    }

    pub(super) fn view(&self, name: &str) -> NodeView {
        NodeView {
            name: name.to_owned(),
            uid: self.uid.to_string(),
            ready: self.ready,
            ready_changed: self.ready_changed,
            unschedulable: self.unschedulable,
            system_uuid: self.system_uuid.to_string(),
            boot_id: self.boot_id.to_string(),
            ..NodeView::default()
        }
    }
}

/// What stays of a `WindowsHostNode`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LedgerRow {
    pub(super) uid: Box<str>,
    pub(super) owner_uid: Option<Box<str>>,
    pub(super) resource_version: Box<str>,
    pub(super) status: WindowsHostNodeStatus,
}

impl LedgerRow {
    pub(super) fn new(ledger: &Ledger) -> Self {
        let metadata = &ledger.metadata;
        let mut owners = metadata.owner_references.iter();
        let owner = owners.find(|owner| owner.kind == "Node");
        Self {
            uid: metadata.uid.as_str().into(),
            owner_uid: owner.map(|owner| owner.uid.as_str().into()),
            resource_version: metadata.resource_version.as_str().into(),
            status: ledger.status.clone(),
        }
    }

    pub(super) fn view(&self) -> LedgerView {
        LedgerView {
            uid: self.uid.to_string(),
            resource_version: self.resource_version.to_string(),
            owner_uid: self.owner_uid.as_deref().map(str::to_owned),
            status: self.status.clone(),
        }
    }
}
