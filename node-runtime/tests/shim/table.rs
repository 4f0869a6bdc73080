//! Every call in every state, in both versions of the service: what it answers.

use std::fmt::Debug;
use std::time::Duration;

use containerd_shim_protos::api::Status;
use hosttask_node_runtime::ttrpc::{Code, Error};

use crate::node::{Dialect, LONG, Node, config, pod_config};
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

/// Makes a call, and waits no longer than a moment where `wanted` says that nothing comes.
fn call(shim: &Shim, node: &Node, name: &str, id: &str, wanted: Outcome) -> Outcome {
    const MOMENT: Duration = Duration::from_millis(100);
    const NOBODY: &str = "nobody";
    let patience = if wanted == Waits { MOMENT } else { LONG };
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
        "Wait" => outcome(shim.wait(id, "", patience)),
        "Wait for a process" => outcome(shim.wait(id, NOBODY, patience)),
        "Stats" => outcome(shim.stats(id)),
        "Connect" => outcome(shim.connect(id)),
        other => panic!("{other} is no call"),
    }
}

/// Whether a call that was done leaves the task as it was.
fn only_looks(name: &str) -> bool {
    let looks = [
        "State", "Pids", "CloseIO", "Update", "Wait", "Stats", "Connect",
    ];
    looks.contains(&name)
}

/// A pod whose containers are brought so far, one after the other.
struct Bench {
    node: Node,
    shim: Shim,
    made: u32,
}

impl Bench {
    fn new(dialect: Dialect) -> Self {
        let node = Node::new();
        let pod = node.name("pod");
        node.bundle_of(&pod, &pod_config(&pod));
        let shim = node.start(&pod, dialect);
        shim.create(&node, &pod).unwrap();
        shim.start(&pod, "").unwrap();
        Self {
            node,
            shim,
            made: 0,
        }
    }

    /// A task in a state.
    fn prepare(&mut self, state: State) -> String {
        self.made += 1;
        let (node, shim) = (&self.node, &self.shim);
        let id = node.name(&format!("{state:?}-{}", self.made).to_lowercase());
        node.bundle_of(&id, &config(&["hang"], Some(&shim.id)));
        if state != State::Unknown {
            shim.create(node, &id).unwrap();
        }
        if [State::Running, State::Paused, State::Stopped].contains(&state) {
            shim.start(&id, "").unwrap();
        }
        if state == State::Paused {
            shim.pause(&id).unwrap();
        }
        if state == State::Stopped {
            shim.kill(&id, "", KILL).unwrap();
            shim.ended(&id, "");
        }
        assert_eq!(self.state_of(&id), state);
        id
    }

    fn state_of(&self, id: &str) -> State {
        match self.shim.state(id, "") {
            Err(_) => State::Unknown,
            Ok(it) => match it.status.unwrap() {
                Status::CREATED => State::Created,
                Status::RUNNING => State::Running,
                Status::PAUSED => State::Paused,
                Status::STOPPED => State::Stopped,
                other @ (Status::UNKNOWN | Status::PAUSING) => panic!("{other:?}"),
            },
        }
    }

    /// Removes a task, however far it is.
    fn remove(&self, id: &str) {
        if self.state_of(id) == State::Unknown {
            return;
        }
        drop(self.shim.kill(id, "", KILL));
        self.shim.ended(id, "");
        self.shim.delete(id, "").unwrap();
    }

    /// Makes every call in a state; what was done to a task is done to no other.
    fn all_calls_in(&mut self, column: usize, state: State) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut id = self.prepare(state);
        for (name, wanted) in &TABLE {
            let wanted = wanted[column];
            let came = call(&self.shim, &self.node, name, &id, wanted);
            if came != wanted {
                wrong.push(format!("{name} where {state:?}: {came:?}, not {wanted:?}"));
            }
            if came == Done && !only_looks(name) {
                self.remove(&id);
                id = self.prepare(state);
            } else {
                assert_eq!(self.state_of(&id), state, "after {name}: {came:?}");
            }
        }
        self.remove(&id);
        wrong
    }
}

fn every_call_in_every_state(dialect: Dialect) {
    let mut bench = Bench::new(dialect);
    let columns = STATES.into_iter().enumerate();
    let wrong: Vec<_> = columns
        .flat_map(|(column, state)| bench.all_calls_in(column, state))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let Bench { node, shim, .. } = bench;
    let pod = shim.id.clone();
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
