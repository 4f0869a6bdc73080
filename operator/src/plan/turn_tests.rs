//! Who is chosen, in which order, and what is said of those who are not.

use jiff::Timestamp;

use super::*;
use crate::desired::TopologyOrder;
use crate::index::tests::desired;
use crate::observed::{DependencyView, Observed};
use crate::plan::tally::Tally;

/// A node of a zone.
fn node(name: &str, zone: &str) -> NodeView {
    NodeView {
        name: name.into(),
        uid: name.into(),
        ready: true,
        topology: vec![Some(zone.into())],
        ..NodeView::default()
    }
}

/// One zone after the other.
fn by_zone() -> Desired {
    Desired {
        order: vec![TopologyOrder {
            key: "zone".into(),
            sequential: true,
        }],
        ..desired()
    }
}

/// What is chosen of nodes that are bad and nodes that are well, of which all wait; and what is left.
fn choose(
    observed: &Observed,
    orderly: bool,
    wave: WaveTally,
    max: i32,
    bad: &[NodeView],
    healthy: &[NodeView],
) -> (Vec<String>, Option<Waiting>) {
    let task = by_zone();
    let gates = Gates::of(&task, observed, &Tally::default(), Timestamp::UNIX_EPOCH);
    let mut turn = Turn::new(&task, &gates, "r", orderly);
    let mut group = FirstGroup::default();
    for node in bad.iter().chain(healthy) {
        group.meet(&task, node);
    }
    let candidates = Candidates {
        bad: bad.iter().map(|node| (node, ())).collect(),
        healthy: healthy.iter().map(|node| (node, ())).collect(),
        group,
    };
    let chosen = turn.choose(&wave, max, candidates);
    let names = chosen.into_iter().map(|(node, ())| node.name.clone());
    (names.collect(), turn.left.waiting(wave.in_flight == 0))
}

/// So many nodes in flight, and so many disturbed with them.
fn wave(in_flight: i32, disturbed: i32) -> WaveTally {
    WaveTally {
        in_flight,
        disturbed,
        ..WaveTally::default()
    }
}

#[test]
fn what_is_down_goes_first_and_only_the_first_zone_has_its_turn() {
    let observed = Observed::default();
    let (bad, healthy) = ([node("a-1", "a")], [node("a-2", "a"), node("b-1", "b")]);
    let (chosen, waits) = choose(&observed, true, wave(0, 1), 3, &bad, &healthy);
    assert_eq!(
        (chosen.join(" "), waits),
        ("a-1 a-2".into(), Some(Waiting::Budget))
    );
    let (chosen, waits) = choose(&observed, true, wave(0, 1), 1, &bad, &healthy);
    assert_eq!(
        (chosen.join(" "), waits),
        ("a-1".into(), Some(Waiting::Budget))
    );
    let (chosen, _) = choose(&observed, false, wave(0, 1), 3, &bad, &healthy);
    assert_eq!(chosen.len(), 3, "on the way back zones do not count");
}

#[test]
fn what_is_down_in_a_later_zone_starts_where_it_would_hold_up_the_first() {
    let observed = Observed::default();
    let (bad, healthy) = ([node("b-1", "b")], [node("a-1", "a")]);
    let (chosen, _) = choose(&observed, true, wave(0, 1), 1, &bad, &healthy);
    assert_eq!(chosen, ["b-1"]);
    let (chosen, _) = choose(&observed, true, wave(0, 1), 2, &bad, &healthy);
    assert_eq!(chosen, ["a-1"], "there is room for both zones");
    let (chosen, waits) = choose(&observed, true, wave(1, 2), 1, &bad, &healthy);
    assert_eq!((chosen.len(), waits), (0, Some(Waiting::Budget)));
}

#[test]
fn a_node_that_waits_for_another_task_is_passed_over_and_told_only_where_nothing_moves() {
    let mut observed = Observed {
        dependencies: vec![DependencyView {
            name: "driver".into(),
            exists: true,
            done: ["a-1".to_owned()].into(),
            ..DependencyView::default()
        }],
        ..Observed::default()
    };
    let both = [node("a-1", "a"), node("a-2", "a")];
    let (chosen, waits) = choose(&observed, true, wave(0, 0), 2, &[], &both);
    assert_eq!(
        (chosen, waits),
        (vec!["a-1".to_owned()], Some(Waiting::Budget))
    );
    let [_, second] = &both;
    let second = std::slice::from_ref(second);
    let (chosen, waits) = choose(&observed, true, wave(0, 0), 2, &[], second);
    assert_eq!((chosen.len(), waits), (0, Some(Waiting::Dependency)));
    let (chosen, _) = choose(&observed, false, wave(0, 0), 2, &[], second);
    assert_eq!(chosen, ["a-2"], "on the way back nothing is depended on");
    observed.grants.busy = [("a-2".to_owned(), "ns/other".to_owned())].into();
    let (chosen, waits) = choose(&observed, false, wave(0, 0), 2, &[], second);
    assert_eq!((chosen.len(), waits), (0, Some(Waiting::OtherTask)));
}

#[test]
fn slots_are_shared_by_all_waves_of_a_pass() {
    let mut observed = Observed::default();
    observed.grants.slots = Some(3);
    let task = desired();
    let gates = Gates::of(&task, &observed, &Tally::default(), Timestamp::UNIX_EPOCH);
    let mut turn = Turn::new(&task, &gates, "r", true);
    let nodes: Vec<_> = (0..4)
        .map(|number| node(&format!("n-{number}"), "a"))
        .collect();
    let mut counts = Vec::new();
    for pair in nodes.chunks(2) {
        let candidates = Candidates {
            bad: Vec::new(),
            healthy: pair.iter().map(|node| (node, ())).collect(),
            group: FirstGroup::default(),
        };
        counts.push(turn.choose(&wave(0, 0), 2, candidates).len());
    }
    assert_eq!((counts, turn.left.started), (vec![2, 1], 3));
    assert_eq!(turn.left.waiting(false), Some(Waiting::Budget));
}
