//! In flight: the nodes that a task is working on, as far as the rows and our own writes tell. It is what tasks must know of
//! each other, and it survives a restart because nothing of it is remembered.
//!
//! A node that is not Ready is never in flight: nothing can be started there, and it must not use up what others may do.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::Key;
use super::expect::Expectation;
use super::fleet::TaskRow;
use super::observed::PodWrites;
use super::owner::{JobRow, task_text};
use super::state::{Keys, State};
use super::symbol::Symbol;
use crate::desired::TaskKey;

/// How long Kubernetes may take to create a pod. After that something keeps it from doing so, and others need not wait.
const CREATION: SignedDuration = SignedDuration::from_mins(1);

/// The nodes a task is working on.
#[derive(Debug, Default)]
pub(super) struct Flight {
    nodes: BTreeSet<String>,
    /// Nodes whose pod went and has no successor yet, and since when.
    gaps: BTreeMap<Symbol, Timestamp>,
    /// When time alone changes it.
    until: Option<Timestamp>,
    /// Whether it has to be found out again.
    pub(super) stale: bool,
}

impl Flight {
    fn add(&mut self, node: &str, until: Option<Timestamp>) {
        self.nodes.insert(node.to_owned());
        self.until = match (self.until, until) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    fn holds(&self, now: Timestamp) -> bool {
        !self.stale && self.until.is_none_or(|until| now < until)
    }
}

impl State {
    /// Something changed for these tasks: adds those that depend on them. `far`: the tasks themselves changed, not only what
    /// belongs to them.
    pub(super) fn concern(&mut self, keys: &mut Keys, far: bool) {
        for key in keys.iter() {
            if let Key::Task(task) = key
                && let Some(flight) = self.flights.get_mut(task)
            {
                flight.stale = true;
            }
        }
        self.dependents.add_to(keys, far);
    }

    /// Something about a task changed.
    pub(super) fn doubt_flight(&mut self, key: &TaskKey) {
        if let Some(flight) = self.flights.get_mut(key) {
            flight.stale = true;
        }
    }

    /// Something about many tasks changed.
    pub(super) fn doubt_flights(&mut self) {
        for flight in self.flights.values_mut() {
            flight.stale = true;
        }
    }

    /// The nodes that each task is working on; tasks that work on none are left out.
    pub(super) fn in_flight(&mut self, now: Timestamp) -> BTreeMap<TaskKey, BTreeSet<String>> {
        let mut all = BTreeMap::new();
        for (key, row) in &self.tasks {
            let known = self.flights.get(key);
            if known.is_none_or(|flight| !flight.holds(now)) {
                let gaps = known.map(|flight| &flight.gaps);
                let flight = self.flight(key, row, gaps, now);
                self.flights.insert(key.clone(), flight);
            }
            let nodes = self.flights.get(key).map(|flight| &flight.nodes);
            if let Some(nodes) = nodes.filter(|nodes| !nodes.is_empty()) {
                all.insert(key.clone(), nodes.clone());
            }
        }
        all
    }

    fn flight(
        &self,
        key: &TaskKey,
        row: &TaskRow,
        gaps: Option<&BTreeMap<Symbol, Timestamp>>,
        now: Timestamp,
    ) -> Flight {
        let task = task_text(&key.namespace, &row.uid);
        if row.is_daemon() {
            self.daemon_flight(&task, row, gaps, now)
        } else {
            self.job_flight(&task, row, now)
        }
    }

    /// A daemon pod is in flight from its deletion until its successor is ready, or something is known to keep it from that.
    fn daemon_flight(
        &self,
        task: &str,
        row: &TaskRow,
        gaps: Option<&BTreeMap<Symbol, Timestamp>>,
        now: Timestamp,
    ) -> Flight {
        let mut flight = Flight::default();
        let writes = PodWrites::new(self.expectations.of_task(task));
        let mut with = BTreeSet::new();
        let replaces = row.replaces_pods();
        for (uid, pod) in self.pods_of_symbol(row.symbol) {
            with.insert(pod.node);
            if !self.is_ready(pod.node) {
                continue;
            }
            let node = self.symbols.text(pod.node);
            if pod.deleting || writes.deletes(&pod.uid_text(uid)) {
                flight.add(node, None);
            } else if replaces && pod.is_starting() {
                let until = after(pod.created(), row.start_grace());
                if now < until {
                    flight.add(node, Some(until));
                }
            }
        }
        if !replaces {
            return flight;
        }
        for &node in row.fleet.difference(&with) {
            let before = gaps.and_then(|gaps| gaps.get(&node)).copied();
            let since = before.unwrap_or(now);
            flight.gaps.insert(node, since);
            let until = after(since, CREATION);
            if self.is_ready(node) && now < until {
                flight.add(self.symbols.text(node), Some(until));
            }
        }
        flight
    }

    /// A Job is in flight until it ended, except where its pod cannot start.
    fn job_flight(&self, task: &str, row: &TaskRow, now: Timestamp) -> Flight {
        let mut flight = Flight::default();
        let pods: BTreeMap<Symbol, bool> = self
            .pods_of_symbol(row.symbol)
            .map(|(_, pod)| (pod.controller, pod.is_stuck()))
            .collect();
        let open = |job: &&JobRow| job.end.is_none() && self.is_ready(job.node);
        for job in self
            .jobs
            .of_task(row.symbol)
            .map(|(_, job)| job)
            .filter(open)
        {
            let node = self.symbols.text(job.node);
            let pod = self.symbols.find(&job.uid).and_then(|uid| pods.get(&uid));
            match pod {
                Some(true) => {}
                Some(false) => flight.add(node, None),
                None => {
                    let until = after(job.created, CREATION);
                    if now < until {
                        flight.add(node, Some(until));
                    }
                }
            }
        }
        for expectation in self.expectations.of_task(task) {
            if let Expectation::JobCreated(job) = expectation
                && self
                    .symbols
                    .find(&job.node)
                    .is_some_and(|node| self.is_ready(node))
            {
                flight.add(&job.node, None);
            }
        }
        flight
    }

    fn is_ready(&self, node: Symbol) -> bool {
        self.nodes.get(&node).is_some_and(|(row, _)| row.ready)
    }
}

fn after(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}
