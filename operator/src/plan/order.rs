//! `order`: which node of a wave goes first, which have to wait for their group, and which `partition` holds back. Pure.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::budget;
use super::course::WaveTally;
use crate::desired::{Amount, Desired};
use crate::observed::NodeView;

/// The place of a node in its wave: by the labels of `rollout.order`, a node without the label last, then by
/// [`budget::place`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rank<'a> {
    topology: &'a [Option<String>],
    place: [u8; 32],
}

impl<'a> Rank<'a> {
    /// The rank of a node in the rollout of a revision.
    pub(super) fn of(node: &'a NodeView, revision: &str) -> Self {
        Self {
            topology: &node.topology,
            place: budget::place(&node.uid, revision),
        }
    }
}

impl Ord for Rank<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.topology, other.topology).then_with(|| self.place.cmp(&other.place))
    }
}

impl PartialOrd for Rank<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The first group of a wave that is not done, where groups follow one another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FirstGroup<'a>(Option<&'a [Option<String>]>);

impl<'a> FirstGroup<'a> {
    /// This node is pending or in progress.
    pub(super) fn meet(&mut self, desired: &Desired, node: &'a NodeView) {
        let group = group(desired, node);
        if self.0.is_none_or(|first| compare(group, first).is_lt()) {
            self.0 = Some(group);
        }
    }

    /// Whether the node's group may start.
    pub(super) fn admits(&self, desired: &Desired, node: &NodeView) -> bool {
        self.0
            .is_none_or(|first| compare(group(desired, node), first).is_le())
    }
}

/// The values that name the group of a node: those up to the last sequential label, none where no label is sequential.
fn group<'a>(desired: &Desired, node: &'a NodeView) -> &'a [Option<String>] {
    let length = desired
        .order
        .iter()
        .rposition(|order| order.sequential)
        .map_or(0, |last| last + 1);
    node.topology
        .get(..length.min(node.topology.len()))
        .unwrap_or_default()
}

/// Alphabetical; an absent value is last.
fn compare(one: &[Option<String>], other: &[Option<String>]) -> Ordering {
    let key = |value: &Option<String>| value.is_none();
    for (one, other) in one.iter().zip(other) {
        let order = key(one).cmp(&key(other)).then_with(|| one.cmp(other));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes the nodes of a wave that `partition` holds back from its `candidates`, and counts them as held: the last ones in the
/// order of those that are still to be started. Returns how many of each list were taken.
pub(super) fn hold_back<T, const LISTS: usize>(
    partition: Amount,
    revision: &str,
    wave: &mut WaveTally,
    candidates: [&mut Vec<(&NodeView, T)>; LISTS],
) -> [i32; LISTS] {
    let mut waiting: Vec<&NodeView> = candidates
        .iter()
        .flat_map(|list| list.iter().map(|(node, _)| *node))
        .collect();
    waiting.sort_by_cached_key(|node| Rank::of(node, revision));
    let count = held(partition, wave.base);
    let held = waiting.iter().rev().take(count);
    let held: BTreeSet<String> = held.map(|node| node.name.clone()).collect();
    let taken = candidates.map(|list| {
        let before = list.len();
        list.retain(|(node, _)| !held.contains(&node.name));
        i32::try_from(before - list.len()).unwrap_or(i32::MAX)
    });
    wave.held = taken.iter().sum();
    wave.open -= wave.held;
    taken
}

/// How many of `nodes` nodes `partition` holds back: a percentage is rounded up.
pub(super) fn held(partition: Amount, nodes: i32) -> usize {
    usize::try_from(budget::needed(partition, nodes).min(nodes)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(zones: &[Option<&str>]) -> Vec<Option<String>> {
        zones.iter().map(|zone| zone.map(str::to_owned)).collect()
    }

    #[test]
    fn nodes_without_the_label_are_last() {
        let mut zones = [
            values(&[None]),
            values(&[Some("b")]),
            values(&[Some("a")]),
            values(&[Some("")]),
        ];
        zones.sort_by(|one, other| compare(one, other));
        let sorted: Vec<_> = zones.iter().map(|zone| zone[0].as_deref()).collect();
        assert_eq!(sorted, [Some(""), Some("a"), Some("b"), None]);
    }

    #[test]
    fn a_partition_holds_the_last_of_those_that_wait_whoever_else_has_the_revision() {
        let node = |name: &str, zone: &str| NodeView {
            name: name.into(),
            topology: values(&[Some(zone)]),
            ..NodeView::default()
        };
        let (first, second, third) = (node("n-1", "a"), node("n-2", "b"), node("n-3", "c"));
        let mut bad = vec![(&third, ())];
        let mut healthy = vec![(&first, ()), (&second, ())];
        let mut wave = WaveTally {
            base: 4,
            open: 3,
            ..WaveTally::default()
        };
        let lists = [&mut bad, &mut healthy];
        let taken = hold_back(Amount::Count(2), "r", &mut wave, lists);
        assert_eq!((taken, wave.held, wave.open), ([1, 1], 2, 1));
        let left: Vec<&str> = healthy
            .iter()
            .map(|(node, ())| node.name.as_str())
            .collect();
        assert_eq!((bad.len(), left), (0, vec!["n-1"]));
    }

    #[test]
    fn a_partition_holds_a_rounded_up_share_and_never_more_than_all() {
        assert_eq!(
            [
                held(Amount::Percent(50), 5),
                held(Amount::Percent(1), 5),
                held(Amount::Count(9), 5),
                held(Amount::Count(2), 5)
            ],
            [3, 1, 5, 2]
        );
    }
}
