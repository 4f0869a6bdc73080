//! What a node's conditions, and how long they have been so, make of it.

use std::time::Duration;

use hosttask_crds::task::ConditionStatus;

use super::*;
use crate::desired::NodeCondition;
use crate::index::tests::desired;
use crate::observed::ConditionView;

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A task that wants `Disk` to be True, and holds a node for away after a minute.
fn wants_disk() -> Desired {
    Desired {
        node_conditions: vec![NodeCondition {
            kind: "Disk".into(),
            status: ConditionStatus::True,
        }],
        unreachable_after: Duration::from_mins(1),
        ..desired()
    }
}

/// A node that became Ready, or not, at second 100, and whose disk became so at another.
fn node(ready: bool, disk: Option<(&str, i64)>) -> NodeView {
    let disk = disk.map(|(status, changed)| ConditionView {
        kind: "Disk".into(),
        status: status.into(),
        changed: Some(second(changed)),
    });
    NodeView {
        ready,
        ready_changed: Some(second(100)),
        conditions: disk.into_iter().collect(),
        ..NodeView::default()
    }
}

#[test]
fn a_node_is_away_once_it_lacked_something_for_long_enough_and_in_limbo_before() {
    let limbo = |until| Reach::Limbo {
        until: second(until),
    };
    let cases = [
        (node(true, Some(("True", 0))), 1_000, Reach::Here),
        (node(false, Some(("True", 0))), 159, limbo(160)),
        (node(false, Some(("True", 0))), 160, Reach::Away),
        (node(true, Some(("False", 130))), 189, limbo(190)),
        (node(true, Some(("False", 130))), 190, Reach::Away),
        (node(true, None), 0, Reach::Away),
        // Of two things that it lacks, the first that is too long ago decides.
        (node(false, Some(("False", 130))), 150, limbo(160)),
        (node(false, Some(("Unknown", 40))), 150, Reach::Away),
    ];
    for (node, now, expected) in cases {
        let found = reach(&node, &wants_disk(), false, second(now));
        assert_eq!(found, expected, "{node:?} at {now}");
    }
}

#[test]
fn where_the_rollout_has_no_more_to_do_only_ready_counts() {
    let at = |node: &NodeView| reach(node, &wants_disk(), true, second(1_000));
    assert_eq!(at(&node(true, Some(("False", 0)))), Reach::Here);
    assert_eq!(at(&node(false, Some(("True", 0)))), Reach::Away);
}

#[test]
fn a_condition_that_went_since_the_start_is_a_regression_and_one_that_was_never_there_is_not() {
    let cases = [
        (node(true, Some(("False", 50))), Some(("Disk", "False"))),
        (node(true, Some(("False", 49))), None),
        (node(true, Some(("True", 60))), None),
        (node(true, Some(("Unknown", 60))), Some(("Disk", "Unknown"))),
        // A node that does not answer has no known conditions.
        (node(false, Some(("Unknown", 60))), None),
        (node(false, Some(("False", 60))), Some(("Disk", "False"))),
        (node(true, None), None),
    ];
    let task = wants_disk();
    for (node, expected) in cases {
        assert_eq!(regressed(&node, &task, second(50)), expected, "{node:?}");
    }
}
