//! Which gate holds, which is told, and how shares of the fleet are counted.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::desired::Window;
use crate::index::tests::desired;
use crate::observed::DependencyView;

fn noon() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn night() -> Window {
    Window {
        schedule: "0 2 * * *".into(),
        duration: Duration::from_hours(1),
        time_zone: "UTC".into(),
    }
}

fn dependency(name: &str, exists: bool, is_cycle: bool, done: &[&str]) -> DependencyView {
    DependencyView {
        name: name.into(),
        exists,
        is_cycle,
        done: done
            .iter()
            .map(|node| (*node).to_owned())
            .collect::<BTreeSet<_>>(),
    }
}

fn silent(unreachable: i32) -> Tally {
    let mut tally = Tally::default();
    (tally.desired, tally.unreachable) = (10, unreachable);
    tally
}

#[test]
fn the_nodes_that_may_be_silent_are_rounded_down() {
    let of = |percent, nodes| floor(Amount::Percent(percent), nodes);
    assert_eq!([of(20, 10), of(20, 9), of(0, 9), of(100, 9)], [2, 1, 0, 9]);
    assert_eq!(floor(Amount::Count(3), 2), 3);
}

#[test]
fn a_gate_that_is_shut_for_all_is_told_silent_nodes_first() {
    let observed = Observed::default();
    let task = Desired {
        windows: vec![night()],
        max_unreachable: Some(Amount::Percent(20)),
        ..desired()
    };
    for (unreachable, reason) in [
        (3, Reason::TooManyUnreachable),
        (2, Reason::WaitingForWindow),
    ] {
        let tally = silent(unreachable);
        let gates = Gates::of(&task, &observed, &tally, noon());
        let told = gates.shut(&task, &tally);
        let is = matches!(&told, Some(Phase::Held { reason: it, .. }) if *it == reason);
        assert!(is && !gates.is_open(), "{told:?}");
    }
    let task = desired();
    let gates = Gates::of(&task, &observed, &silent(10), noon());
    assert!(gates.is_open() && gates.shut(&task, &silent(10)).is_none());
}

#[test]
fn a_node_waits_for_tasks_it_depends_on_before_it_waits_for_others() {
    let mut observed = Observed {
        dependencies: vec![dependency("driver", true, false, &["n-1", "n-2"])],
        ..Observed::default()
    };
    observed.grants.busy = [("n-2", "ns/a"), ("n-3", "ns/a")]
        .map(|(node, task)| (node.to_owned(), task.to_owned()))
        .into();
    let (task, tally) = (desired(), Tally::default());
    let gates = Gates::of(&task, &observed, &tally, noon());
    let bars = ["n-1", "n-2", "n-3"].map(|node| gates.bar(node));
    assert_eq!(bars, [None, Some(Bar::OtherTask), Some(Bar::Dependency)]);
    assert!(gates.is_open(), "it is decided node by node");
}

#[test]
fn a_task_that_is_missing_is_named_before_one_that_is_not_done_and_a_circle_stops_all() {
    let observed = Observed {
        dependencies: vec![
            dependency("driver", true, false, &[]),
            dependency("gone", false, false, &[]),
        ],
        ..Observed::default()
    };
    let (task, tally) = (desired(), Tally::default());
    let gates = Gates::of(&task, &observed, &tally, noon());
    let told = gates.dependency("n-1");
    let says = |it: &Phase, word: &str| matches!(it, Phase::Held { message, .. } if message.contains(word));
    assert!(
        says(&told, "task gone of dependsOn does not exist"),
        "{told:?}"
    );
    assert!(gates.circle().is_none());
    let observed = Observed {
        dependencies: vec![dependency("driver", true, true, &["n-1"])],
        ..Observed::default()
    };
    let gates = Gates::of(&task, &observed, &tally, noon());
    assert!(!gates.is_open() && gates.circle().is_some());
}

#[test]
fn without_a_limit_every_node_may_start_and_a_wrong_one_starts_none() {
    let (task, tally) = (desired(), Tally::default());
    let slots = |slots| {
        let mut observed = Observed::default();
        observed.grants.slots = slots;
        Gates::of(&task, &observed, &tally, noon()).slots()
    };
    assert_eq!(
        [slots(None), slots(Some(2)), slots(Some(-1))],
        [usize::MAX, 2, 0]
    );
}
