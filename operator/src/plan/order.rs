//! `order`: which node of a wave goes first, which have to wait for their group, and which `partition` holds back. Pure.

use std::cmp::Ordering;

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

/// Takes the nodes of a wave that `partition` holds back from its candidates, and counts them as held: the last ones in the
/// order of those that are still to be started. What is `urgent` goes first here, too: a node that is not well would else hold
/// its place in the budget for as long as it is held back.
pub(super) fn hold_back<'a, T>(
    partition: Amount,
    revision: &str,
    wave: &mut WaveTally,
    urgent: &mut Vec<(&'a NodeView, T)>,
    others: &mut Vec<(&'a NodeView, T)>,
) {
    let mut left = held(partition, wave.base);
    for list in [others, urgent] {
        list.sort_by_cached_key(|(node, _)| Rank::of(node, revision));
        let kept = list.len().saturating_sub(left);
        let taken = list.drain(kept..).count();
        left -= taken;
        wave.held += i32::try_from(taken).unwrap_or(i32::MAX);
    }
    wave.open -= wave.held;
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
        let [first, second, third] =
            [("n-1", "a"), ("n-2", "b"), ("n-3", "c")].map(|(name, zone)| node(name, zone));
        let left = |partition| {
            let (mut urgent, mut others) = (vec![(&third, ())], vec![(&second, ()), (&first, ())]);
            let mut wave = WaveTally {
                base: 5,
                open: 3,
                ..WaveTally::default()
            };
            let partition = Amount::Count(partition);
            hold_back(partition, "r", &mut wave, &mut urgent, &mut others);
            assert_eq!(wave.held + wave.open, 3);
            let left = urgent.iter().chain(&others);
            let names = left.map(|(node, ())| node.name.clone());
            names.collect::<Vec<_>>()
        };
        assert_eq!(left(1), ["n-3", "n-1"], "what is not well goes first");
        assert_eq!(left(2), ["n-3"]);
        assert!(left(3).is_empty() && left(5).is_empty());
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
