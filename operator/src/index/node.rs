//! Nodes and their ledgers: the rows that stay of them.

use std::collections::BTreeMap;

use hosttask_crds::label;
use hosttask_crds::node::WindowsHostNodeStatus;
use jiff::Timestamp;

use super::change::Source;
use super::symbol::{Symbol, Symbols};
use super::wire::Ledger;
use super::wire::node::Node;
use crate::observed::NodeView;
use crate::placement::Taint;
use crate::plan::node::LedgerView;

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
        let labels = node.metadata.labels.0.iter();
        Self {
            uid: node.metadata.uid.as_str().into(),
            labels: labels
                .map(|(key, value)| (symbols.acquire(key), symbols.acquire(value)))
                .collect(),
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
        for (key, value) in self.labels {
            symbols.release(key);
            symbols.release(value);
        }
    }

    pub(super) fn labels(&self, symbols: &Symbols) -> BTreeMap<String, String> {
        let pairs = self.labels.iter();
        pairs
            .map(|&(key, value)| (symbols.text(key).to_owned(), symbols.text(value).to_owned()))
            .collect()
    }

    pub(super) fn windows_build(&self, symbols: &Symbols) -> Option<String> {
        let mut pairs = self.labels.iter();
        let build = pairs.find(|(key, _)| symbols.text(*key) == label::WINDOWS_BUILD);
        build.map(|&(_, value)| symbols.text(value).to_owned())
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
