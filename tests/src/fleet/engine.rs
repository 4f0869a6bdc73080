//! The edge of the fleet: one task that holds every pod's state, wakes it when its time comes and hands out the writes.
//!
//! No behaviour lives here: what a pod does next is decided in `machine`. A pod has at most one request under way; a
//! newer status replaces one that still waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use kube::Client;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use super::command::{Acknowledge, Command};
use super::life::Note;
use super::machine;
use super::node::Machine;
use super::options::FleetOptions;
use super::pod::PodView;
use super::script::NodeEvent;
use super::state::{PodState, World};
use super::stats::Stats;
use super::timing::later;
use super::watch::Seen;
use super::writes::{Done, Write};

/// Something that is due at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The pod of this UID has its next step.
    Pod(String),
    /// The pod of this UID makes its failed request again.
    Retry(String),
    /// The node renews its lease.
    Lease(String),
    /// The node is up again after a reboot or an installation.
    Up(String),
    /// The event of the script with this index happens.
    Event(usize),
}

/// A node and what is on it.
pub(super) struct Host {
    pub(super) machine: Machine,
    pub(super) uid: String,
    pub(super) alive: bool,
    /// Why it is down, with whoever waits for it to be up again.
    pub(super) coming_up: Option<ComingUp>,
    pub(super) pods: BTreeSet<String>,
}

impl Host {
    /// A machine that does not answer yet.
    pub(super) fn silent(machine: Machine) -> Self {
        Self {
            machine,
            uid: String::new(),
            alive: false,
            coming_up: None,
            pods: BTreeSet::new(),
        }
    }
}

/// What a node does while it is down.
pub(super) struct ComingUp {
    pub(super) installs: bool,
    pub(super) new_object: bool,
    pub(super) done: Acknowledge,
}

pub(super) struct Slot {
    pub(super) pod: Arc<PodView>,
    pub(super) state: Option<PodState>,
    pub(super) wake: Option<Timestamp>,
    pub(super) reported: Option<PodStatus>,
    pub(super) wants: Option<Write>,
    pub(super) busy: bool,
}

/// Whether the next turn follows.
#[derive(PartialEq, Eq)]
pub(super) enum Turn {
    Next,
    Over,
}

/// What is to be done with the answer to a request about a node.
pub(super) type NodeOutcome = Box<dyn FnOnce(&mut Engine) + Send>;

pub(super) struct Engine {
    pub(super) client: Client,
    pub(super) options: FleetOptions,
    pub(super) hosts: BTreeMap<String, Host>,
    pub(super) timers: BTreeSet<(Timestamp, Timer)>,
    pub(super) events: Vec<NodeEvent>,
    pub(super) next_index: usize,
    pub(super) stats: Arc<Mutex<Stats>>,
    /// Requests about nodes: few, and somebody waits for them.
    pub(super) node_work: JoinSet<NodeOutcome>,
    pub(super) slots: BTreeMap<String, Slot>,
    pub(super) queue: VecDeque<Timer>,
    pub(super) flight: JoinSet<Done>,
}

impl Engine {
    pub(super) fn new(client: Client, options: FleetOptions, stats: Arc<Mutex<Stats>>) -> Self {
        let events = options.script.events.clone();
        Self {
            client,
            options,
            hosts: BTreeMap::new(),
            timers: BTreeSet::new(),
            events,
            next_index: 1,
            stats,
            node_work: JoinSet::new(),
            slots: BTreeMap::new(),
            queue: VecDeque::new(),
            flight: JoinSet::new(),
        }
    }

    /// Runs until the handle is gone.
    pub(super) async fn run(
        mut self,
        mut seen: UnboundedReceiver<Seen>,
        mut commands: UnboundedReceiver<Command>,
    ) {
        self.schedule_events(Timestamp::now());
        loop {
            let due = self.timers.first().map(|(time, _)| *time);
            let pause = due.map_or(Duration::from_hours(1), |due| {
                let left = due.duration_since(Timestamp::now());
                if left.is_negative() {
                    Duration::ZERO
                } else {
                    left.unsigned_abs()
                }
            });
            let turn = tokio::select! {
                command = commands.recv() => self.take(command),
                Some(seen) = seen.recv() => self.see(seen),
                Some(Ok(done)) = self.flight.join_next() => self.finish(done),
                Some(Ok(then)) = self.node_work.join_next() => { then(&mut self); Turn::Next }
                () = tokio::time::sleep(pause) => self.ring(),
            };
            if turn == Turn::Over {
                return;
            }
            self.hand_out();
        }
    }

    fn take(&mut self, command: Option<Command>) -> Turn {
        let Some(command) = command else {
            return Turn::Over;
        };
        self.obey(command);
        Turn::Next
    }

    fn see(&mut self, seen: Seen) -> Turn {
        match seen {
            Seen::Pod(pod) => self.read(*pod),
            Seen::Gone(uid) => self.forget(&uid),
            Seen::All(uids) => {
                let gone: Vec<String> = self
                    .slots
                    .keys()
                    .filter(|uid| !uids.contains(*uid))
                    .cloned()
                    .collect();
                for uid in gone {
                    self.forget(&uid);
                }
            }
        }
        Turn::Next
    }

    fn read(&mut self, pod: PodView) {
        let Some(host) = self.hosts.get_mut(&pod.spec.node_name) else {
            return;
        };
        let uid = pod.uid.clone();
        host.pods.insert(uid.clone());
        let pod = Arc::new(pod);
        if let Some(slot) = self.slots.get_mut(&uid) {
            slot.pod = pod;
        } else {
            let slot = Slot {
                pod,
                state: None,
                wake: None,
                reported: None,
                wants: None,
                busy: false,
            };
            self.slots.insert(uid.clone(), slot);
        }
        self.step(&uid);
    }

    fn forget(&mut self, uid: &str) {
        let Some(slot) = self.slots.remove(uid) else {
            return;
        };
        if let Some(wake) = slot.wake {
            self.timers.remove(&(wake, Timer::Pod(uid.to_owned())));
        }
        if let Some(host) = self.hosts.get_mut(&slot.pod.spec.node_name) {
            host.pods.remove(uid);
        }
        self.count(|stats| stats.runs(&slot.pod.spec.node_name, slot.pod.task(), uid, false));
    }

    fn ring(&mut self) -> Turn {
        let now = Timestamp::now();
        while self.timers.first().is_some_and(|(time, _)| *time <= now) {
            let Some((_, timer)) = self.timers.pop_first() else {
                break;
            };
            match timer {
                Timer::Pod(uid) => self.step(&uid),
                Timer::Retry(_) => self.queue.push_front(timer),
                Timer::Lease(name) => {
                    let next = later(now, self.options.lease_interval());
                    self.timers.insert((next, Timer::Lease(name.clone())));
                    self.queue.push_back(Timer::Lease(name));
                }
                Timer::Up(name) => self.bring_up(&name),
                Timer::Event(index) => self.play(index),
            }
        }
        Turn::Next
    }

    /// The next step of one pod. A dead node's pods stand still.
    pub(super) fn step(&mut self, uid: &str) {
        let Some(slot) = self.slots.get_mut(uid) else {
            return;
        };
        let Some(host) = self
            .hosts
            .get(&slot.pod.spec.node_name)
            .filter(|host| host.alive)
        else {
            return;
        };
        let world = world(&self.options, host);
        let pod = Arc::clone(&slot.pod);
        let step = machine::step(&world, &pod, slot.state.take());
        let has_process = step
            .state
            .main
            .iter()
            .chain(&step.state.init)
            .any(super::container::Container::is_running);
        slot.state = Some(step.state);
        if let Some(before) = slot.wake.take() {
            self.timers.remove(&(before, Timer::Pod(uid.to_owned())));
        }
        if let Some(wake) = step.wake.map(|shown| host.machine.true_time(shown)) {
            slot.wake = Some(wake);
            self.timers.insert((wake, Timer::Pod(uid.to_owned())));
        }
        let news = step
            .status
            .filter(|status| slot.reported.as_ref() != Some(status));
        if let Some(status) = news {
            slot.reported = Some(status.clone());
            slot.wants = Some(Write::Status(Box::new(status)));
        }
        if step.delete && !matches!(slot.wants, Some(Write::Status(_))) {
            slot.wants = Some(Write::Delete);
        }
        if slot.wants.is_some() && !slot.busy {
            self.queue.push_back(Timer::Pod(uid.to_owned()));
        }
        let node = pod.spec.node_name.as_str();
        for note in step.notes {
            match note {
                Note::Started(container) => {
                    let name = format!("{}/{}", pod.namespace, pod.name);
                    self.count(|stats| stats.started(node, pod.task(), &name, &container));
                }
                Note::Refused(reason, message) => self.warn(&pod, reason, message),
            }
        }
        self.count(|stats| stats.runs(node, pod.task(), uid, has_process));
    }

    /// The pod is reported as the node sees it, whatever others wrote while the node was silent.
    pub(super) fn reassert(&mut self, uid: &str) {
        let Some(slot) = self.slots.get_mut(uid) else {
            return;
        };
        let host = self.hosts.get(&slot.pod.spec.node_name);
        let now = host.map_or_else(Timestamp::now, |host| host.machine.now());
        if let Some(state) = &mut slot.state {
            machine::reassert(state, &slot.pod, now);
        }
        slot.reported = None;
        self.step(uid);
        // A request that waited when the node died would wait for ever.
        self.queue.push_back(Timer::Retry(uid.to_owned()));
    }

    /// Every pod has its next step: the script has changed.
    pub(super) fn step_all(&mut self) {
        let all: Vec<String> = self.slots.keys().cloned().collect();
        for uid in all {
            self.step(&uid);
        }
    }

    /// What ran on the node is lost; the pods go on from there.
    pub(super) fn lose(&mut self, name: &str, code: i32, reason: &str) {
        let Some(host) = self.hosts.get(name) else {
            return;
        };
        let uids: Vec<String> = host.pods.iter().cloned().collect();
        for uid in &uids {
            let Some(slot) = self.slots.get_mut(uid) else {
                continue;
            };
            if let Some(state) = slot.state.take() {
                let world = world(&self.options, host);
                slot.state = Some(machine::after_loss(&world, &slot.pod, state, code, reason));
            }
        }
        for uid in uids {
            self.step(&uid);
        }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn world<'a>(options: &'a FleetOptions, host: &'a Host) -> World<'a> {
    World {
        now: host.machine.now(),
        seed: options.seed,
        speed: options.speed,
        script: &options.script,
        node: &host.machine.facts,
    }
}
