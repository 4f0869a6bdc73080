//! `dependsOn`: which task waits for which, and on which nodes a task that others wait for is well.

use std::collections::{BTreeMap, BTreeSet};

use hosttask_crds::node::LedgerState;
use serde_json::Value;

use super::Key;
use super::fleet::TaskRow;
use super::observed::PodWrites;
use super::owner::task_text;
use super::state::{Keys, State};
use crate::desired::{Desired, TaskKey};
use crate::observed::{DependencyView, NodeView};

/// The names of the tasks that a spec depends on. The spec may be invalid: what has no name is left out.
pub(super) fn depends_on(spec: &Value) -> BTreeSet<String> {
    let all = spec.get("dependsOn").and_then(Value::as_array);
    let names = all.into_iter().flatten().filter_map(|one| one.get("name"));
    names
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

/// Whether something leads from one task to another, over one dependency or several. A task that depends on itself leads to
/// itself.
fn leads_to<'a, N>(from: &'a str, to: &str, next: impl Fn(&'a str) -> N) -> bool
where
    N: IntoIterator<Item = &'a str>,
{
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(name) = open.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            open.extend(next(name));
        }
    }
    false
}

/// Which tasks depend on a task, directly.
#[derive(Debug, Default)]
pub(super) struct Dependents(BTreeMap<TaskKey, BTreeSet<TaskKey>>);

impl Dependents {
    /// A task depends on other tasks than before.
    pub(super) fn change(
        &mut self,
        key: &TaskKey,
        before: &BTreeSet<String>,
        now: &BTreeSet<String>,
    ) {
        let of = |name: &String| TaskKey {
            namespace: key.namespace.clone(),
            name: name.clone(),
        };
        for name in before.difference(now) {
            let dependency = of(name);
            if let Some(all) = self.0.get_mut(&dependency) {
                all.remove(key);
                if all.is_empty() {
                    self.0.remove(&dependency);
                }
            }
        }
        for name in now.difference(before) {
            self.0.entry(of(name)).or_default().insert(key.clone());
        }
    }

    /// Adds the tasks that depend on one of these. `far`: also those that depend on them, and so on: what a task depends on
    /// may close or open a cycle for all of them.
    pub(super) fn add_to(&self, keys: &mut Keys, far: bool) {
        if self.0.is_empty() {
            return;
        }
        let mut open: Vec<TaskKey> = keys
            .iter()
            .filter_map(|key| match key {
                Key::Task(task) => Some(task.clone()),
                Key::Node(_) | Key::Strays => None,
            })
            .collect();
        while let Some(task) = open.pop() {
            for dependent in self.0.get(&task).into_iter().flatten() {
                if keys.insert(Key::Task(dependent.clone())) && far {
                    open.push(dependent.clone());
                }
            }
        }
    }
}

impl State {
    /// The tasks that a task depends on, in its order. `nodes`: those of the task that asks.
    pub(super) fn dependencies(
        &self,
        desired: &Desired,
        nodes: &[NodeView],
    ) -> Vec<DependencyView> {
        let namespace = &desired.key.namespace;
        let row = |name: &str| {
            let (namespace, name) = (namespace.clone(), name.to_owned());
            self.tasks.get(&TaskKey { namespace, name })
        };
        let next = |name| {
            let names = row(name).map(|row| &row.depends_on);
            names.into_iter().flatten().map(String::as_str)
        };
        let views = desired.depends_on.iter().map(|name| {
            // The children of a task that is being deleted go with it.
            let found = row(name).filter(|row| !row.deleting);
            DependencyView {
                name: name.clone(),
                exists: found.is_some(),
                is_cycle: leads_to(name, &desired.key.name, next),
                done: found
                    .map(|row| self.done(namespace, row, nodes))
                    .unwrap_or_default(),
            }
        });
        views.collect()
    }

    /// The nodes on which a task is well at the revision that it last asked for.
    fn done(&self, namespace: &str, row: &TaskRow, nodes: &[NodeView]) -> BTreeSet<String> {
        let Some(update) = row.update_revision() else {
            return BTreeSet::new();
        };
        if row.is_daemon() {
            return self.serving(namespace, row, update);
        }
        let entries = nodes.iter().filter_map(|node| {
            let pending = self.pending_entry(&node.name, &row.uid);
            let entry = pending.or_else(|| self.ledger_entry(node, &row.uid))?;
            let is_current = entry.revision == update || !row.reruns_on_change();
            (is_current && entry.state == LedgerState::Succeeded).then(|| node.name.clone())
        });
        entries.collect()
    }

    /// The nodes with a pod at a revision that is ready and stays.
    fn serving(&self, namespace: &str, row: &TaskRow, update: &str) -> BTreeSet<String> {
        let Some(update) = self.symbols.find(update) else {
            return BTreeSet::new();
        };
        let task = task_text(namespace, &row.uid);
        let writes = PodWrites::new(self.expectations.of_task(&task));
        let pods = self.pods_of_symbol(row.symbol);
        let serving = pods.filter(|(uid, pod)| {
            pod.is_serving() && pod.revision == update && !writes.deletes(&pod.uid_text(*uid))
        });
        serving
            .map(|(_, pod)| self.symbols.text(pod.node).to_owned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Graph = BTreeMap<String, BTreeSet<String>>;

    fn leads(graph: &Graph, from: &str, to: &str) -> bool {
        let next = |name: &str| graph.get(name).into_iter().flatten().map(String::as_str);
        leads_to(from, to, next)
    }

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::new();
        for (from, to) in edges {
            let all = graph.entry((*from).to_owned()).or_default();
            all.insert((*to).to_owned());
        }
        graph
    }

    #[test]
    fn a_cycle_is_found_over_several_tasks_and_a_diamond_is_none() {
        let cycle = graph(&[("a", "b"), ("b", "c"), ("c", "a"), ("b", "x")]);
        assert!(leads(&cycle, "b", "a"));
        assert!(!leads(&cycle, "x", "a"));
        assert!(leads(&graph(&[("a", "a")]), "a", "a"));
        let diamond = graph(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]);
        assert!(!leads(&diamond, "b", "a") && !leads(&diamond, "c", "a"));
        let beside = graph(&[("a", "b"), ("b", "c"), ("c", "b")]);
        assert!(!leads(&beside, "b", "a"), "a is not on the cycle");
    }

    proptest! {
        #[test]
        fn a_way_is_found_where_walking_every_edge_often_enough_finds_one(
            edges in prop::collection::btree_set((0_u8..6, 0_u8..6), 0..14), from in 0_u8..6, to in 0_u8..6,
        ) {
            let mut reached = BTreeSet::from([from]);
            for _ in 0..6 {
                let more: Vec<u8> = edges.iter().filter(|(a, _)| reached.contains(a)).map(|(_, b)| *b).collect();
                reached.extend(more);
            }
            let name = |number: &u8| number.to_string();
            let mut graph = Graph::new();
            for (a, b) in &edges {
                graph.entry(name(a)).or_default().insert(name(b));
            }
            prop_assert_eq!(leads(&graph, &name(&from), &name(&to)), reached.contains(&to));
        }

        #[test]
        fn the_dependents_are_those_of_the_last_change(
            changes in prop::collection::vec((0_u8..4, prop::collection::btree_set(0_u8..4, 0..3)), 0..12),
        ) {
            let key = |number: &u8| TaskKey { namespace: "a".into(), name: number.to_string() };
            let mut known: BTreeMap<u8, BTreeSet<String>> = BTreeMap::new();
            let mut dependents = Dependents::default();
            for (task, on) in &changes {
                let now: BTreeSet<String> = on.iter().map(ToString::to_string).collect();
                let before = known.insert(*task, now.clone()).unwrap_or_default();
                dependents.change(&key(task), &before, &now);
            }
            for number in 0..4_u8 {
                let mut keys = Keys::from([Key::Task(key(&number))]);
                dependents.add_to(&mut keys, false);
                let expected = known.iter().filter(|(_, on)| on.contains(&number.to_string()));
                let mut expected: Keys = expected.map(|(task, _)| Key::Task(key(task))).collect();
                expected.insert(Key::Task(key(&number)));
                prop_assert_eq!(keys, expected);
            }
        }
    }
}
