//! Each step of a re-homing, and what happens to it when the world changes meanwhile.
//!
//! Longer than 400 lines: every step of one procedure, in order.

use hosttask_crds::task::Approval;
use serde_json::json;

use super::*;
use crate::desired::{Operator, Requirement, TaskKey, Wave};
use crate::observed::{ForeignSet, NodeView, RevisionView};
use crate::validate::{InputsView, TaskInput, validate};

/// A wave of the nodes whose label `ring` has this value.
fn wave(name: &str, ring: &str) -> Wave {
    Wave {
        name: name.into(),
        requirements: vec![Requirement {
            key: "ring".into(),
            operator: Operator::In,
            values: vec![ring.into()],
        }],
        approval: Approval::Auto,
        ..Wave::rest()
    }
}

fn desired(waves: Vec<Wave>) -> Desired {
    let spec = json!({
        "mode": "Daemon",
        "runAs": {"account": "System"},
        "template": {"spec": {"containers": [{"name": "agent", "image": "example.com/agent:1"}]}},
    });
    let key = TaskKey {
        namespace: "ns".into(),
        name: "agent".into(),
    };
    let task = TaskInput {
        key: &key,
        uid: "task",
        generation: 1,
        spec: &spec,
    };
    let mut desired = validate(&task, &InputsView::default()).unwrap();
    desired.waves = waves;
    desired
}

/// Two waves: canary, and the rest.
fn two() -> Desired {
    desired(vec![wave("canary", "0"), Wave::rest()])
}

fn one() -> Desired {
    desired(vec![Wave::rest()])
}

fn node(name: &str, wave: usize) -> NodeView {
    NodeView {
        name: name.into(),
        ready: true,
        wave,
        ..NodeView::default()
    }
}

fn set(desired: &Desired, wave: &str) -> DaemonSetState {
    DaemonSetState {
        name: revision::daemon_set_name("agent", wave),
        uid: format!("set-{wave}"),
        revision: "agent-r1".into(),
        settled: true,
        wave: wave.into(),
        layout: revision::layout(&desired.waves),
        ..DaemonSetState::default()
    }
}

fn pod(node: &str, wave: &str) -> PodView {
    PodView {
        name: format!("agent-{node}"),
        uid: format!("pod-{node}"),
        node: node.into(),
        wave: wave.into(),
        revision: "agent-r1".into(),
        ..PodView::default()
    }
}

fn orphan(node: &str, wave: &str) -> PodView {
    PodView {
        orphan: true,
        ..pod(node, wave)
    }
}

/// Two nodes, the first in wave 0 of what is wanted, the second in wave 1; one DaemonSet of the task without waves.
fn before() -> Observed {
    Observed {
        nodes: vec![node("win-1", 0), node("win-2", 1)],
        daemon_sets: vec![set(&one(), "default")],
        pods: vec![pod("win-1", "default"), pod("win-2", "default")],
        ..Observed::default()
    }
}

fn actions(rehome: Rehome) -> Vec<Action> {
    match rehome {
        Rehome::Working { actions, .. } => actions,
        Rehome::Settled => panic!("settled"),
    }
}

fn waits_for(rehome: Rehome) -> String {
    match rehome {
        Rehome::Working { waits_for, .. } => waits_for,
        Rehome::Settled => panic!("settled"),
    }
}

/// The actions in short.
fn short(rehome: Rehome) -> Vec<String> {
    let text = |action: Action| match &action {
        Action::CheckDaemonSet(set) => {
            format!("check {}", set.metadata.name.as_deref().unwrap())
        }
        Action::OrphanDaemonSet { uid, .. } => format!("orphan {uid}"),
        Action::MovePod { uid, wave, .. } => format!("move {uid} to {wave}"),
        Action::CheckJob(_)
        | Action::CreateRevision(_)
        | Action::RenumberRevision { .. }
        | Action::DeleteRevision { .. }
        | Action::ApplyDaemonSet(_)
        | Action::UngatePod { .. }
        | Action::DeletePod { .. }
        | Action::CreateJob(_)
        | Action::DeleteJob { .. }
        | Action::RecordResult { .. }
        | Action::Publish(_) => panic!("{action:?} belongs to no re-homing"),
    };
    actions(rehome).into_iter().map(text).collect()
}

#[test]
fn daemon_sets_of_the_wanted_layout_are_left_alone() {
    let observed = Observed {
        daemon_sets: vec![set(&two(), "canary"), set(&two(), "default")],
        pods: vec![pod("win-1", "canary"), pod("win-2", "default")],
        ..before()
    };
    assert_eq!(rehome(&two(), &observed), Rehome::Settled);
    assert_eq!(rehome(&two(), &Observed::default()), Rehome::Settled);
}

#[test]
fn the_api_server_is_asked_before_anything_is_taken_apart() {
    assert_eq!(
        short(rehome(&two(), &before())),
        ["check agent-canary", "check agent", "orphan set-default"]
    );
}

#[test]
fn nothing_happens_to_pods_while_a_former_daemon_set_is_there() {
    let mut observed = before();
    observed.daemon_sets[0].deleting = true;
    observed.pods[0].orphan = true;
    assert_eq!(short(rehome(&two(), &observed)), [""; 0]);
    assert_eq!(
        waits_for(rehome(&two(), &observed)),
        "the DaemonSets of its former waves to go: agent"
    );
}

#[test]
fn what_a_crash_left_is_taken_apart_without_asking_again() {
    let mut observed = before();
    let three = desired(vec![wave("canary", "0"), wave("early", "1"), Wave::rest()]);
    observed.daemon_sets = vec![set(&three, "canary"), set(&three, "early")];
    observed.daemon_sets[0].deleting = true;
    assert_eq!(short(rehome(&two(), &observed)), ["orphan set-early"]);
}

#[test]
fn pods_get_the_wave_of_their_node_and_only_then_are_daemon_sets_made() {
    let mut observed = Observed {
        daemon_sets: Vec::new(),
        pods: vec![orphan("win-1", "default"), orphan("win-2", "default")],
        ..before()
    };
    assert_eq!(
        short(rehome(&two(), &observed)),
        ["move pod-win-1 to canary"]
    );
    observed.pods[0].wave = "canary".into();
    assert_eq!(rehome(&two(), &observed), Rehome::Settled);
}

#[test]
fn a_pod_whose_release_was_not_seen_yet_is_moved_all_the_same() {
    let observed = Observed {
        daemon_sets: Vec::new(),
        pods: vec![pod("win-1", "default")],
        ..before()
    };
    assert_eq!(
        short(rehome(&two(), &observed)),
        ["move pod-win-1 to canary"]
    );
}

#[test]
fn ending_pods_are_not_moved_and_ended_ones_are_for_the_new_daemon_set_to_replace() {
    let mut observed = Observed {
        daemon_sets: Vec::new(),
        pods: vec![orphan("win-1", "default"), orphan("win-2", "early")],
        ..before()
    };
    observed.pods[0].deleting = true;
    observed.pods[1].finished = true;
    assert_eq!(
        short(rehome(&two(), &observed)),
        ["move pod-win-2 to default"]
    );
}

#[test]
fn a_pod_that_appears_late_is_moved_beside_the_new_daemon_sets() {
    let gone = orphan("win-2", "early");
    let observed = Observed {
        daemon_sets: vec![set(&two(), "canary"), set(&two(), "default")],
        pods: vec![pod("win-1", "canary"), gone],
        ..before()
    };
    assert_eq!(
        short(rehome(&two(), &observed)),
        ["move pod-win-2 to default"]
    );
}

#[test]
fn a_node_that_changes_its_label_is_left_to_the_daemon_sets_that_exist() {
    let mut observed = Observed {
        daemon_sets: vec![set(&two(), "canary"), set(&two(), "default")],
        pods: vec![pod("win-1", "canary"), pod("win-2", "default")],
        ..before()
    };
    observed.nodes[1].wave = 0;
    assert_eq!(rehome(&two(), &observed), Rehome::Settled);
    observed.daemon_sets.pop();
    observed.pods[1].orphan = true;
    assert_eq!(
        short(rehome(&two(), &observed)),
        ["move pod-win-2 to canary"],
        "nothing but this keeps it"
    );
}

#[test]
fn a_pod_outside_the_fleet_goes_to_a_daemon_set_once_there_is_one_and_never_before() {
    let mut observed = Observed {
        daemon_sets: Vec::new(),
        pods: vec![orphan("win-9", "early"), orphan("win-8", "canary")],
        ..before()
    };
    assert_eq!(rehome(&two(), &observed), Rehome::Settled);
    observed.daemon_sets = vec![set(&two(), "canary")];
    assert_eq!(
        short(rehome(&two(), &observed)),
        ["move pod-win-9 to canary"]
    );
    observed.daemon_sets.push(set(&two(), "default"));
    assert_eq!(
        short(rehome(&two(), &observed)),
        ["move pod-win-9 to default"]
    );
    observed.pods[0].orphan = false;
    assert_eq!(
        rehome(&two(), &observed),
        Rehome::Settled,
        "somebody else's, or about to go"
    );
}

#[test]
fn two_pods_on_one_node_both_go_to_its_wave() {
    let mut observed = Observed {
        daemon_sets: Vec::new(),
        pods: vec![orphan("win-1", "default"), orphan("win-1", "early")],
        ..before()
    };
    observed.pods[1].uid = "second".into();
    assert_eq!(
        short(rehome(&two(), &observed)),
        ["move pod-win-1 to canary", "move second to canary"]
    );
}

#[test]
fn it_waits_for_ending_pods_of_reachable_nodes_before_it_begins() {
    let mut observed = before();
    observed.pods[1].deleting = true;
    assert_eq!(waits_for(rehome(&two(), &observed)), "pods to end on win-2");
    assert_eq!(short(rehome(&two(), &observed)), [""; 0]);
    observed.nodes[1].ready = false;
    assert_eq!(short(rehome(&two(), &observed)).len(), 3);
}

#[test]
fn waves_that_come_back_at_once_keep_their_pods() {
    let mut going = set(&two(), "canary");
    going.deleting = true;
    let observed = Observed {
        daemon_sets: vec![going],
        pods: vec![orphan("win-1", "canary"), orphan("win-2", "default")],
        ..before()
    };
    assert_eq!(rehome(&two(), &observed), Rehome::Settled);
    let single = desired(vec![Wave::rest()]);
    assert_eq!(short(rehome(&single, &observed)), [""; 0], "one is going");
}

#[test]
fn daemon_sets_from_before_there_were_waves_keep_their_pods_too() {
    let mut observed = before();
    let old = &mut observed.daemon_sets[0];
    (old.wave, old.layout) = (String::new(), String::new());
    observed
        .pods
        .iter_mut()
        .for_each(|pod| pod.wave = String::new());
    observed.nodes[1].wave = 0;
    assert_eq!(
        short(rehome(&one(), &observed)),
        ["move pod-win-1 to default", "move pod-win-2 to default"]
    );
    observed
        .pods
        .iter_mut()
        .for_each(|pod| pod.wave = "default".into());
    assert_eq!(
        short(rehome(&one(), &observed)),
        ["orphan set-default"],
        "its selector is another one: the API server would refuse the check"
    );
}

#[test]
fn a_suspended_task_begins_nothing_and_finishes_what_has_begun() {
    let mut desired = two();
    desired.suspend = true;
    let mut observed = before();
    assert_eq!(short(rehome(&desired, &observed)), [""; 0]);
    let step = Action::MovePod {
        name: "agent-win-1".into(),
        uid: "pod-win-1".into(),
        node: "win-1".into(),
        wave: "canary".into(),
    };
    assert!(!goes_on(&desired, &observed, &step));
    observed.daemon_sets.clear();
    observed.pods = vec![orphan("win-1", "default"), orphan("win-2", "default")];
    assert_eq!(
        actions(rehome(&desired, &observed)),
        std::slice::from_ref(&step)
    );
    assert!(goes_on(&desired, &observed, &step));
}

#[test]
fn a_suspended_task_gets_missing_daemon_sets_back_at_revisions_it_has() {
    let mut desired = two();
    desired.suspend = true;
    let mut observed = Observed {
        daemon_sets: vec![set(&two(), "default")],
        pods: vec![orphan("win-1", "canary"), pod("win-2", "default")],
        revisions: vec![RevisionView {
            name: "agent-r1".into(),
            ours: true,
            ..RevisionView::default()
        }],
        ..before()
    };
    let apply = |wave, revision| {
        Action::ApplyDaemonSet(Box::new(build::daemon_set(
            &desired,
            wave,
            &desired.content,
            revision,
        )))
    };
    assert!(goes_on(&desired, &observed, &apply(0, "agent-r1")));
    assert!(
        !goes_on(&desired, &observed, &apply(1, "agent-r1")),
        "it is there"
    );
    assert!(
        !goes_on(&desired, &observed, &apply(0, "agent-r2")),
        "it was never rolled out"
    );
    observed.foreign = vec![ForeignSet {
        name: "agent-canary".into(),
        owner: "Deployment x".into(),
    }];
    assert!(!goes_on(&desired, &observed, &apply(0, "agent-r1")));
    observed.foreign.clear();
    observed.pods[0].orphan = false;
    assert!(
        !goes_on(&desired, &observed, &apply(0, "agent-r1")),
        "nothing had begun"
    );
}

#[test]
fn a_name_that_somebody_else_holds_keeps_the_daemon_sets_together() {
    let mut observed = before();
    observed.foreign = vec![ForeignSet {
        name: "agent-canary".into(),
        owner: "Deployment x".into(),
    }];
    assert_eq!(short(rehome(&two(), &observed)), [""; 0]);
}
