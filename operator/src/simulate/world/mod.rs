//! The virtual cluster: what the operator would see, and the nodes, controllers and kubelets that change it.

mod jobs;
mod machine;
mod pods;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hosttask_crds::task::Mode;
use jiff::Timestamp;

use super::chance::Span;
use super::fault::{Fault, How, Which};
use super::fleet::VirtualNode;
use super::journal::Journal;
use crate::desired::{Content, Desired};
use crate::observed::{DependencyView, Exit, Observed};
use crate::plan::tally::later;

/// How long the DaemonSet controller takes to see a new template, and the operator its own writes.
const SOON: u64 = 1;
/// How long before a rollout dead nodes died.
const LONG_AGO: i64 = 3600;

/// How quick the virtual nodes are.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From the creation of a daemon pod until it is ready.
    pub start: Span,
    /// From the deletion of a pod until it is gone.
    pub stop: Span,
    /// From the creation of a Job until its program ended.
    pub run: Span,
}

impl Pace {
    /// Everything happens at once.
    pub(super) const INSTANT: Self = Self {
        start: Span::NONE,
        stop: Span::NONE,
        run: Span::NONE,
    };
}

/// What will happen.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The operator looks again.
    Look,
    /// The DaemonSet controller sees the template of a DaemonSet.
    TemplateSeen(String),
    /// A deleted DaemonSet is gone.
    SetGone(String),
    /// A deleted pod is gone.
    PodGone(String),
    /// A pod's program runs, or shows that it cannot.
    PodRuns(String),
    /// A pod stops being ready.
    PodBreaks(String),
    /// A Job's program ends.
    JobEnds(String),
    /// A node stops answering.
    NodeDown(String),
    /// A node answers again.
    NodeUp(String),
    /// A node loses the condition that the task asks for.
    ConditionLost(String),
    /// Somebody approves a wave.
    Approve(String),
}

/// A virtual node and how it does.
#[derive(Clone, Debug)]
struct Machine {
    node: VirtualNode,
    ready: bool,
    changed: Timestamp,
    lost_condition: Option<Timestamp>,
}

/// Everything there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) desired: Desired,
    /// What the operator sees: always all of it, at once.
    pub(super) observed: Observed,
    pub(super) contents: BTreeMap<String, Content>,
    pub(super) journal: Journal,
    pub(super) pace: Pace,
    /// The revision before the update; none during the first rollout.
    pub(super) old: Option<String>,
    /// Whether the rollout under way is the last of the simulation.
    pub(super) is_last: bool,
    /// Nodes whose pod this rollout replaced.
    pub(super) touched: BTreeSet<String>,
    machines: BTreeMap<String, Machine>,
    /// The position of a pod in `observed.pods` by its UID.
    pods: BTreeMap<String, usize>,
    /// The template that the DaemonSet controller knows, by DaemonSet.
    templates: BTreeMap<String, String>,
    events: BTreeMap<(Timestamp, u64), Event>,
    faults: Vec<(Fault, BTreeSet<String>)>,
    /// How the programs of running Jobs will end; none: by their deadline.
    exits: BTreeMap<String, Option<Exit>>,
    /// How often a fault struck a node.
    struck: BTreeMap<(usize, String), u32>,
    seed: u64,
    serial: u64,
}

impl World {
    pub(super) fn new(
        fleet: &[VirtualNode],
        desired: Desired,
        seed: u64,
        begin: Timestamp,
    ) -> Self {
        let long_ago = before(begin, 86_400);
        let machines = fleet.iter().map(|node| {
            let machine = Machine {
                node: node.clone(),
                ready: true,
                changed: long_ago,
                lost_condition: None,
            };
            (node.name.clone(), machine)
        });
        let mut world = Self {
            now: begin,
            desired: desired.clone(),
            observed: Observed {
                created: begin,
                ..Observed::default()
            },
            contents: BTreeMap::new(),
            journal: Journal::default(),
            pace: Pace::INSTANT,
            old: None,
            is_last: false,
            touched: BTreeSet::new(),
            machines: machines.collect(),
            pods: BTreeMap::new(),
            templates: BTreeMap::new(),
            events: BTreeMap::new(),
            faults: Vec::new(),
            exits: BTreeMap::new(),
            struck: BTreeMap::new(),
            seed,
            serial: 0,
        };
        world.want(desired);
        world
    }

    /// The user applies a task: another spec for the same object.
    pub(super) fn want(&mut self, desired: Desired) {
        self.desired = desired;
        let names: Vec<String> = self.machines.keys().cloned().collect();
        self.observed.nodes = names.iter().filter_map(|name| self.view(name)).collect();
        let done: BTreeSet<String> = self
            .observed
            .nodes
            .iter()
            .map(|node| node.name.clone())
            .collect();
        // What the task depends on is taken to be well everywhere.
        let dependency = |name: &String| DependencyView {
            name: name.clone(),
            exists: true,
            is_cycle: false,
            done: done.clone(),
        };
        self.observed.dependencies = self.desired.depends_on.iter().map(dependency).collect();
        self.push(0, Event::Look);
    }

    /// From now on things go wrong as the script says. Dead nodes died an hour ago, whoever dies later has its time.
    pub(super) fn strike(&mut self, faults: &[Fault]) {
        let nodes: Vec<_> = self
            .observed
            .nodes
            .iter()
            .filter_map(|node| self.machines.get(&node.name))
            .map(|machine| (machine.node.name.as_str(), &machine.node.labels))
            .collect();
        let chosen = faults
            .iter()
            .enumerate()
            .map(|(place, fault)| (fault.clone(), fault.choose(self.seed, place, &nodes)));
        self.faults = chosen.collect();
        let mut deaths: Vec<(String, Option<u64>, Option<u64>)> = self
            .faults
            .iter()
            .filter(|(fault, _)| fault.how == How::Dead)
            .flat_map(|(fault, nodes)| {
                nodes
                    .iter()
                    .map(|node| (node.clone(), fault.after, fault.lasts))
            })
            .collect();
        let dead = self.machines.values().filter(|machine| machine.node.dead);
        deaths.extend(dead.map(|machine| (machine.node.name.clone(), None, None)));
        for (node, after, lasts) in deaths {
            match after {
                Some(after) => self.push(after, Event::NodeDown(node.clone())),
                None => self.power(&node, false, before(self.now, LONG_AGO)),
            }
            if let Some(lasts) = lasts {
                self.push(
                    after.unwrap_or(0).saturating_add(lasts),
                    Event::NodeUp(node),
                );
            }
        }
    }

    pub(super) fn push(&mut self, delay: u64, event: Event) {
        self.serial += 1;
        let time = later(self.now, Duration::from_secs(delay));
        self.events.insert((time, self.serial), event);
    }

    /// The operator looks again once its writes were seen.
    pub(super) fn look_soon(&mut self) {
        self.push(SOON, Event::Look);
    }

    /// When something happens next.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.events.keys().next().map(|(time, _)| *time)
    }

    /// Lets everything happen that is due. Returns whether the operator has to look.
    pub(super) fn happen(&mut self) -> bool {
        let mut look = false;
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let event = entry.remove();
            look |= self.one(event);
        }
        look
    }

    fn one(&mut self, event: Event) -> bool {
        match event {
            Event::Look => {}
            Event::TemplateSeen(set) => self.template_seen(&set),
            Event::SetGone(set) => {
                self.observed.daemon_sets.retain(|it| it.name != set);
                self.templates.remove(&set);
            }
            Event::PodGone(uid) => return self.pod_gone(&uid),
            Event::PodRuns(uid) => self.pod_runs(&uid),
            Event::PodBreaks(uid) => {
                let now = self.now;
                if let Some(pod) = self.pod(&uid) {
                    (pod.ready_since, pod.unready_since) = (None, Some(now));
                }
            }
            Event::JobEnds(name) => self.job_ends(&name),
            Event::NodeDown(node) => self.power(&node, false, self.now),
            Event::NodeUp(node) => self.power(&node, true, self.now),
            Event::ConditionLost(node) => {
                let now = self.now;
                if let Some(machine) = self.machines.get_mut(&node) {
                    machine.lost_condition.get_or_insert(now);
                }
                self.refresh(&node);
            }
            Event::Approve(wave) => {
                self.journal.note(self.now, "Approved", &wave, false);
                self.observed.requests.approved_wave = Some(wave);
            }
        }
        true
    }

    /// The fault that strikes a program on a node; `count` it.
    pub(super) fn fault(&mut self, node: &str, revision: &str, count: bool) -> Option<Fault> {
        let is_new = self.is_last && self.old.as_deref() != Some(revision);
        let is_old = !is_new;
        for (place, (fault, nodes)) in self.faults.iter().enumerate() {
            let fits = match fault.revision {
                Which::Old => is_old,
                Which::New => is_new,
                Which::Any => true,
            };
            if !fits || fault.how == How::Dead || !nodes.contains(node) {
                continue;
            }
            let times = self.struck.entry((place, node.to_owned())).or_default();
            if fault.times.is_some_and(|most| *times >= most) {
                continue;
            }
            *times += u32::from(count);
            return Some(fault.clone());
        }
        None
    }

    /// Whether the task runs a program as long as the node exists.
    pub(super) fn is_daemon(&self) -> bool {
        self.desired.mode == Mode::Daemon
    }
}

fn before(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(time.as_second().saturating_sub(seconds)).unwrap_or(time)
}
