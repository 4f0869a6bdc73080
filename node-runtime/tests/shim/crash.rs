//! A shim that is killed before, in and after each of its calls: nothing of its container goes on, and `delete` leaves nothing.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use hosttask_node_runtime::sys::ProcessId;

use crate::node::{LONG, NAMESPACE, Node, is_locked, until};
use crate::task::{KILL, Shim};

/// The calls of a life, in order.
const CALLS: [&str; 12] = [
    "Create",
    "Start",
    "State",
    "Pids",
    "Exec",
    "Start exec",
    "Stats",
    "Pause",
    "Resume",
    "Kill",
    "Wait",
    "Delete",
];

/// When the shim is killed: before a call, so long after it was sent, or once it was answered.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Before,
    In(Duration),
    After,
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        // splitmix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn moment(&mut self) -> Moment {
        match self.below(4) {
            0 => Moment::Before,
            1 => Moment::After,
            _ => Moment::In(Duration::from_micros(self.below(4000))),
        }
    }
}

/// Files that a program, its child and a program that is added keep locked as long as they run.
struct Locks([PathBuf; 3]);

impl Locks {
    fn are_free(&self) -> bool {
        !self.0.iter().any(|it| is_locked(it))
    }

    /// Waits until what a call has started really runs.
    fn settle(&self, call: &str) {
        let [outer, inner, added] = &self.0;
        match call {
            "Start" => until("both programs run", || is_locked(outer) && is_locked(inner)),
            "Start exec" => until("the added program runs", || is_locked(added)),
            _ => {}
        }
    }

    fn paths(&self) -> [&str; 3] {
        self.0.each_ref().map(|it| it.to_str().unwrap())
    }
}

/// Whatever a call answers: the shim may be dying.
fn call(name: &str, shim: &Shim, node: &Node, locks: &Locks) {
    let id = &shim.id;
    let [_, _, added] = locks.paths();
    match name {
        "Create" => drop(shim.create(node, id)),
        "Start" => drop(shim.start(id, "")),
        "State" => drop(shim.state(id, "")),
        "Pids" => drop(shim.pids(id)),
        "Exec" => drop(shim.exec(id, "more", &["lock", added, "hang"])),
        "Start exec" => drop(shim.start(id, "more")),
        "Stats" => drop(shim.stats(id)),
        "Pause" => drop(shim.pause(id)),
        "Resume" => drop(shim.resume(id)),
        "Kill" => drop(shim.kill(id, "", KILL)),
        "Wait" => drop(shim.wait(id, "", LONG)),
        "Delete" => drop(shim.delete(id, "")),
        other => panic!("{other} is no call"),
    }
}

fn die(node: &Node, name: &str, boundary: usize, moment: Moment) {
    let id = node.name(name);
    let locks = Locks([1, 2, 3].map(|it| node.path(&format!("{name}-{it}"))));
    let [outer, inner, _] = locks.paths();
    let shim = node.shim(
        &id,
        &["leave", "lock", inner, "hang", ";", "lock", outer, "hang"],
    );
    let process = node.process_of(&id);
    for it in CALLS.iter().take(boundary) {
        call(it, &shim, node, &locks);
        locks.settle(it);
    }
    let last = CALLS[boundary];
    // The server of Wine 8 crashes where a program is ended that has just been born.
    let hurries = !(node.is_wine() && last.starts_with("Start"));
    let kill = || node.kill(process);
    match moment {
        Moment::Before => kill(),
        Moment::In(delay) if hurries => thread::scope(|scope| {
            scope.spawn(|| call(last, &shim, node, &locks));
            thread::park_timeout(delay);
            kill();
        }),
        Moment::After | Moment::In(_) => {
            call(last, &shim, node, &locks);
            if !hurries {
                locks.settle(last);
            }
            kill();
        }
    }
    assert_gone(node, &id, &shim.address, process, &locks);
}

/// That nothing runs, and that `delete` leaves nothing.
fn assert_gone(node: &Node, id: &str, address: &str, process: ProcessId, locks: &Locks) {
    until("the shim is dead", || !node.runs(process));
    until("its programs are dead", || locks.are_free());
    node.delete(id);
    let left = node.recorded();
    assert!(!left.iter().any(|it| it.contains(id)), "{left:?}");
    // Twice is no error: containerd may ask again.
    node.delete(id);
    if let Some(socket) = address.strip_prefix("unix://") {
        assert!(!Path::new(socket).exists(), "{socket}");
        assert!(!Path::new(&format!("{socket}.lock")).exists(), "{socket}");
    }
}

#[test]
fn a_shim_that_is_killed_at_any_call_takes_everything_along() {
    // Under Wine a shim needs seconds to start. All two hundred are for the bench.
    let node = Node::new();
    let cases = if node.is_windows() { 12 } else { 40 };
    let mut dice = Dice(0x5EED);
    for case in 0..cases {
        let boundary = usize::try_from(dice.below(12)).unwrap();
        let moment = dice.moment();
        // The harness shows it where one fails.
        println!("{case}: {} {moment:?}", CALLS[boundary]);
        die(&node, &format!("crash{case}"), boundary, moment);
    }
}

#[test]
fn a_container_follows_one_whose_shim_was_killed() {
    let node = Node::new();
    let id = node.name("web");
    let ready = node.text("ready");
    let shim = node.shim(&id, &["ready", &ready, "hang"]);
    shim.run(&node, &id);
    until("its program runs", || Path::new(&ready).exists());
    let process = node.process_of(&id);
    node.kill(process);
    drop(shim);
    let deleted = node.delete(&id);
    // Nobody saw how it ended.
    assert_eq!(deleted.exit_status, 255);
    let shim = node.shim(&id, &["exit", "6"]);
    shim.run(&node, &id);
    assert_eq!(shim.ended(&id, ""), 6);
    shim.delete(&id, "").unwrap();
    shim.leave(&node);
    let records = node.path("state").join(NAMESPACE);
    assert_eq!(node.recorded(), [""; 0], "{}", records.display());
}
