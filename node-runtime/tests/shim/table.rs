//! Every call in every state, in both versions of the service: what it answers.

use std::fmt::Debug;
use std::time::Duration;

use hosttask_node_runtime::ttrpc::{Code, Error};

use crate::node::{Dialect, Node, config, pod_config};
use crate::task::{Answer, KILL, Shim};

/// How far a task is when it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    Created,
    Running,
    Paused,
    Stopped,
}

const STATES: [State; 5] = [
    State::Unknown,
    State::Created,
    State::Running,
    State::Paused,
    State::Stopped,
];

/// What a call comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// It is not answered until something happens.
    Waits,
    Fails(Code),
}

use Outcome::{Done, Waits};

const UNKNOWN: Outcome = Outcome::Fails(Code::NotFound);
const REFUSED: Outcome = Outcome::Fails(Code::FailedPrecondition);
const TAKEN: Outcome = Outcome::Fails(Code::AlreadyExists);
const NEVER: Outcome = Outcome::Fails(Code::Unimplemented);

/// Each call, and what it comes to where there is no such task, and where it is created, running, paused, stopped.
const TABLE: [(&str, [Outcome; 5]); 22] = [
    ("State", [UNKNOWN, Done, Done, Done, Done]),
    ("State of a process", [UNKNOWN; 5]),
    ("Create", [Done, TAKEN, TAKEN, TAKEN, TAKEN]),
    ("Start", [UNKNOWN, Done, REFUSED, REFUSED, REFUSED]),
    ("Start of a process", [UNKNOWN; 5]),
    ("Delete", [UNKNOWN, Done, REFUSED, REFUSED, Done]),
    ("Delete of a process", [UNKNOWN; 5]),
    ("Pids", [UNKNOWN, Done, Done, Done, Done]),
    ("Pause", [UNKNOWN, REFUSED, Done, REFUSED, REFUSED]),
    ("Resume", [UNKNOWN, REFUSED, REFUSED, Done, REFUSED]),
    ("Checkpoint", [NEVER; 5]),
    ("Kill", [UNKNOWN, Done, Done, Done, UNKNOWN]),
    ("Kill of a process", [UNKNOWN; 5]),
    ("Kill by an odd number", [REFUSED; 5]),
    ("Exec", [UNKNOWN, REFUSED, Done, Done, REFUSED]),
    ("ResizePty", [UNKNOWN, REFUSED, NEVER, NEVER, REFUSED]),
    ("CloseIO", [UNKNOWN, Done, Done, Done, Done]),
    ("Update", [UNKNOWN, Done, Done, Done, REFUSED]),
    ("Wait", [UNKNOWN, Waits, Waits, Waits, Done]),
    ("Wait for a process", [UNKNOWN; 5]),
    ("Stats", [UNKNOWN, Done, Done, Done, Done]),
    ("Connect", [Done; 5]),
];

fn outcome<T: Debug>(answer: Answer<T>) -> Outcome {
    match answer {
        Ok(_) => Done,
        Err(Error::Status(status)) => {
            assert!(status.message.len() > 10, "{status:?}");
            Outcome::Fails(status.code)
        }
        Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => Waits,
        Err(other) => panic!("{other:?}"),
    }
}

fn call(shim: &Shim, node: &Node, name: &str, id: &str) -> Outcome {
    const MOMENT: Duration = Duration::from_millis(100);
    const NOBODY: &str = "nobody";
    match name {
        "State" => outcome(shim.state(id, "")),
        "State of a process" => outcome(shim.state(id, NOBODY)),
        "Create" => outcome(shim.create(node, id)),
        "Start" => outcome(shim.start(id, "")),
        "Start of a process" => outcome(shim.start(id, NOBODY)),
        "Delete" => outcome(shim.delete(id, "")),
        "Delete of a process" => outcome(shim.delete(id, NOBODY)),
        "Pids" => outcome(shim.pids(id)),
        "Pause" => outcome(shim.pause(id)),
        "Resume" => outcome(shim.resume(id)),
        "Checkpoint" => outcome(shim.checkpoint(id)),
        "Kill" => outcome(shim.kill(id, "", KILL)),
        "Kill of a process" => outcome(shim.kill(id, NOBODY, KILL)),
        "Kill by an odd number" => outcome(shim.kill(id, "", 77)),
        "Exec" => outcome(shim.exec(id, "new", &["exit", "0"])),
        "ResizePty" => outcome(shim.resize(id)),
        "CloseIO" => outcome(shim.close_io(id)),
        "Update" => outcome(shim.update(id)),
        "Wait" => outcome(shim.wait(id, "", MOMENT)),
        "Wait for a process" => outcome(shim.wait(id, NOBODY, MOMENT)),
        "Stats" => outcome(shim.stats(id)),
        "Connect" => outcome(shim.connect(id)),
        other => panic!("{other} is no call"),
    }
}

/// Brings a task of a pod so far.
fn prepare(shim: &Shim, node: &Node, id: &str, state: State) {
    node.bundle_of(id, &config(&["hang"], Some(&shim.id)));
    if state == State::Unknown {
        return;
    }
    shim.create(node, id).unwrap();
    if state == State::Created {
        return;
    }
    shim.start(id, "").unwrap();
    match state {
        State::Paused => drop(shim.pause(id).unwrap()),
        State::Stopped => {
            shim.kill(id, "", KILL).unwrap();
            shim.ended(id, "");
        }
        State::Unknown | State::Created | State::Running => {}
    }
}

/// Removes a task, however far it is.
fn remove(shim: &Shim, id: &str) {
    if shim.state(id, "").is_err() {
        return;
    }
    drop(shim.kill(id, "", KILL));
    shim.ended(id, "");
    shim.delete(id, "").unwrap();
}

fn every_call_in_every_state(dialect: Dialect) {
    let node = Node::new();
    let pod = node.name("pod");
    node.bundle_of(&pod, &pod_config(&pod));
    let shim = node.start(&pod, dialect);
    shim.create(&node, &pod).unwrap();
    shim.start(&pod, "").unwrap();
    let mut wrong = Vec::new();
    for (row, (name, wanted)) in TABLE.iter().enumerate() {
        for (state, wanted) in STATES.into_iter().zip(wanted) {
            let id = node.name(&format!("{state:?}-{row}").to_lowercase());
            prepare(&shim, &node, &id, state);
            let came = call(&shim, &node, name, &id);
            if came != *wanted {
                wrong.push(format!("{name} where {state:?}: {came:?}, not {wanted:?}"));
            }
            remove(&shim, &id);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    shim.kill(&pod, "", KILL).unwrap();
    shim.delete(&pod, "").unwrap();
    shim.leave(&node);
    assert_eq!(node.recorded(), [""; 0]);
}

#[test]
fn every_call_in_every_state_of_version_2() {
    every_call_in_every_state(Dialect::Json2);
}

#[test]
fn every_call_in_every_state_of_version_3() {
    every_call_in_every_state(Dialect::Message);
}
