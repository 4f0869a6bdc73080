//! The arithmetic of a rollout: how many nodes may be disturbed, how many must be healthy, and in which order they go.

use sha2::{Digest, Sha256};

use crate::desired::{Amount, Desired};

/// How many of `nodes` may be disturbed at once: a percentage is rounded down, but allows at least one node.
pub(super) fn allowed(max_unavailable: Amount, nodes: i32) -> i32 {
    match max_unavailable {
        Amount::Count(count) => count.max(0),
        Amount::Percent(percent) if percent <= 0 => 0,
        Amount::Percent(percent) => share(percent, nodes, 0).max(1),
    }
}

/// How many of the `nodes` of a wave may be disturbed at once: its own budget, or the rollout's.
pub(super) fn of_wave(desired: &Desired, wave: usize, nodes: i32) -> i32 {
    let own = desired
        .waves
        .get(wave)
        .and_then(|wave| wave.max_unavailable);
    allowed(own.unwrap_or(desired.max_unavailable), nodes)
}

/// How many of `nodes` must be healthy: a percentage is rounded up.
pub(crate) fn needed(min_healthy: Amount, nodes: i32) -> i32 {
    match min_healthy {
        Amount::Count(count) => count.max(0),
        Amount::Percent(percent) => share(percent, nodes, 99),
    }
}

fn share(percent: i32, nodes: i32, round: i64) -> i32 {
    let share = (i64::from(percent.clamp(0, 100)) * i64::from(nodes.max(0)) + round) / 100;
    i32::try_from(share).unwrap_or(i32::MAX)
}

/// The nodes that may be started now, out of candidates in order.
///
/// A node that is bad already and starts takes one slot and adds none: it was disturbed before. So bad nodes only wait
/// for the nodes in flight, and healthy ones for all that are in flight or bad.
pub(super) fn start<T>(
    max: i32,
    in_flight: i32,
    disturbed: i32,
    bad: Vec<T>,
    healthy: Vec<T>,
) -> Vec<T> {
    let slots = |used: i32| usize::try_from(max.saturating_sub(used)).unwrap_or(0);
    let mut started: Vec<T> = bad.into_iter().take(slots(in_flight)).collect();
    started.extend(healthy.into_iter().take(slots(disturbed)));
    started
}

/// The place of a node in a rollout: the same for the same revision, and another one for the next, so that not always
/// the same node is the first to try what is new.
pub(super) fn place(node_uid: &str, revision: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(revision)
        .chain_update([0])
        .chain_update(node_uid)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_of_disturbed_nodes_is_rounded_down_but_at_least_one() {
        let of = |percent, nodes| allowed(Amount::Percent(percent), nodes);
        assert_eq!(
            [of(10, 12), of(25, 12), of(10, 9), of(100, 12), of(1, 0)],
            [1, 3, 1, 12, 1]
        );
        assert_eq!(
            [of(0, 12), of(150, 12), of(100, i32::MAX)],
            [0, 12, i32::MAX]
        );
    }

    #[test]
    fn a_count_is_taken_as_it_is_and_zero_starts_nothing() {
        let of = |count| allowed(Amount::Count(count), 12);
        assert_eq!([of(0), of(3), of(20), of(-5)], [0, 3, 20, 0]);
    }

    #[test]
    fn a_percentage_of_healthy_nodes_is_rounded_up() {
        let of = |percent, nodes| needed(Amount::Percent(percent), nodes);
        assert_eq!(
            [
                of(95, 12),
                of(50, 12),
                of(100, 12),
                of(0, 12),
                of(1, 12),
                of(95, 0)
            ],
            [12, 6, 12, 0, 1, 0]
        );
        assert_eq!(
            needed(Amount::Count(5), 3),
            5,
            "a count that the fleet cannot reach is not reached"
        );
    }

    #[test]
    fn nodes_that_are_bad_already_go_first_and_share_the_slots() {
        // 3 slots, 1 in flight, 2 more bad: both bad nodes start, no healthy one.
        assert_eq!(start(3, 1, 3, vec!["b1", "b2"], vec!["h1"]), ["b1", "b2"]);
        // One bad node more than slots.
        assert_eq!(start(1, 0, 2, vec!["b1", "b2"], vec!["h1"]), ["b1"]);
        // Nothing is bad: healthy nodes up to the budget.
        assert_eq!(start(2, 1, 1, vec![], vec!["h1", "h2"]), ["h1"]);
        // Over budget already, for instance after maxUnavailable was lowered.
        assert_eq!(start(1, 3, 5, vec!["b1"], vec!["h1"]), [""; 0]);
    }

    #[test]
    fn the_order_is_stable_within_a_revision_and_differs_between_revisions() {
        let order = |revision: &str| {
            let mut nodes: Vec<String> = (0..20).map(|n| format!("uid-{n:02}")).collect();
            nodes.sort_by_key(|uid| place(uid, revision));
            nodes
        };
        assert_eq!(order("r1"), order("r1"));
        assert_ne!(order("r1"), order("r2"));
        assert!(!order("r1").is_sorted());
    }
}
