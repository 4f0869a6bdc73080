//! The metrics: names that controller dashboards know, and our own about tasks. No label ever holds free text or a node.
//!
//! Longer than 400 lines: one list of metrics, from which the reference page is made.

pub mod labels;
mod maker;
mod meters;
pub mod process;

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hosttask_crds::task::WindowsHostTaskStatus;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use self::labels::Passed;
use self::labels::{
    Build, Condition, Controller, Failed, Kind, Leader, NodeState, Queue, Reconciled, Request,
    Write,
};
pub use self::maker::Description;
use self::maker::{Maker, pass_buckets, queue_buckets};
use crate::desired::TaskKey;
use crate::error::Cause;
use crate::queue::driver::Gauge as QueueGauge;
use crate::watch::KindHealth;

/// A gauge of seconds or another fraction.
pub type Fraction = Gauge<f64, AtomicU64>;

/// The name under which the operator's reconciles and its queue stand in the metrics.
pub const CONTROLLER: &str = "windowshosttask";

/// Every metric of the operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    descriptions: Vec<Description>,
    host: String,
    passes: Family<Reconciled, Counter>,
    failures: Family<Controller, Counter>,
    failures_by_cause: Family<Failed, Counter>,
    panics: Family<Controller, Counter>,
    pass_time: Family<Controller, Histogram, fn() -> Histogram>,
    workers: Family<Controller, Gauge>,
    busy: Family<Controller, Gauge>,
    depth: Family<Queue, Gauge>,
    adds: Family<Queue, Counter>,
    retries: Family<Queue, Counter>,
    queue_time: Family<Queue, Histogram, fn() -> Histogram>,
    work_time: Family<Queue, Histogram, fn() -> Histogram>,
    unfinished: Family<Queue, Fraction>,
    longest: Family<Queue, Fraction>,
    requests: Family<Request, Counter>,
    writes: Family<Write, Counter>,
    leader: Family<Leader, Gauge>,
    nodes: Family<NodeState, Gauge>,
    conditions: Family<Condition, Gauge>,
    tracked: Family<Kind, Gauge>,
    watch_age: Family<Kind, Fraction>,
    watch_errors: Family<Kind, Counter>,
    lists: Family<Kind, Counter>,
    undecodable: Family<Kind, Counter>,
    process: process::Process,
    /// What a task's series were last set for, so that they can be removed with it.
    known: Mutex<std::collections::BTreeSet<TaskKey>>,
}

impl Metrics {
    /// All metrics at zero. `host` is the API server's, as in `rest_client_requests_total`.
    #[expect(
        clippy::too_many_lines,
        reason = "one line per metric: this is the list of them"
    )]
    pub fn new(host: String) -> Self {
        let mut m = Maker::default();
        let seconds: fn() -> Histogram = pass_buckets;
        let queued: fn() -> Histogram = queue_buckets;
        let (controller, queue) = (&["controller"] as &[_], &["name", "controller"] as &[_]);
        let metrics = Self {
            passes: m.add(
                "controller_runtime_reconcile",
                &["controller", "result"],
                "Passes by how they ended: success, requeue_after or error",
                Family::default(),
            ),
            failures: m.add(
                "controller_runtime_reconcile_errors",
                controller,
                "Passes that failed",
                Family::default(),
            ),
            failures_by_cause: m.add(
                "hosttask_reconcile_failures",
                &["controller", "cause"],
                "Passes that failed, by cause",
                Family::default(),
            ),
            panics: m.add(
                "controller_runtime_reconcile_panics",
                controller,
                "Passes that panicked",
                Family::default(),
            ),
            pass_time: m.add(
                "controller_runtime_reconcile_time_seconds",
                controller,
                "How long passes took, in seconds",
                Family::new_with_constructor(seconds),
            ),
            workers: m.add(
                "controller_runtime_max_concurrent_reconciles",
                controller,
                "How many passes may run at once",
                Family::default(),
            ),
            busy: m.add(
                "controller_runtime_active_workers",
                controller,
                "How many passes are running",
                Family::default(),
            ),
            depth: m.add(
                "workqueue_depth",
                queue,
                "Keys that wait for a worker",
                Family::default(),
            ),
            adds: m.add(
                "workqueue_adds",
                queue,
                "Keys that became ready",
                Family::default(),
            ),
            retries: m.add(
                "workqueue_retries",
                queue,
                "Keys that failed and are tried again",
                Family::default(),
            ),
            queue_time: m.add(
                "workqueue_queue_duration_seconds",
                queue,
                "How long keys waited for a worker, in seconds",
                Family::new_with_constructor(queued),
            ),
            work_time: m.add(
                "workqueue_work_duration_seconds",
                queue,
                "How long the work on a key took, in seconds",
                Family::new_with_constructor(queued),
            ),
            unfinished: m.add(
                "workqueue_unfinished_work_seconds",
                queue,
                "How long all running passes together have been running, in seconds",
                Family::default(),
            ),
            longest: m.add(
                "workqueue_longest_running_processor_seconds",
                queue,
                "How long the oldest running pass has been running, in seconds",
                Family::default(),
            ),
            requests: m.add(
                "rest_client_requests",
                &["code", "method", "host"],
                "Requests to the API server by answer; code <error> where there was none",
                Family::default(),
            ),
            writes: m.add(
                "hosttask_api_writes",
                &["verb", "resource"],
                "Successful writes, without dry runs",
                Family::default(),
            ),
            leader: m.add(
                "leader_election_master_status",
                &["name"],
                "Whether this replica is the leader",
                Family::default(),
            ),
            nodes: m.add(
                "hosttask_nodes",
                &["namespace", "name", "state"],
                "Nodes of a task by state, as in its status",
                Family::default(),
            ),
            conditions: m.add(
                "hosttask_status_condition",
                &["namespace", "name", "type", "status"],
                "Conditions of a task: 1 for the status it has",
                Family::default(),
            ),
            tracked: m.add(
                "hosttask_tracked_objects",
                &["kind"],
                "Objects in the index",
                Family::default(),
            ),
            watch_age: m.add(
                "hosttask_watch_last_event_age_seconds",
                &["kind"],
                "Time since the watch last said anything, bookmarks included, in seconds",
                Family::default(),
            ),
            watch_errors: m.add(
                "hosttask_watch_errors",
                &["kind"],
                "Watches that broke or were refused",
                Family::default(),
            ),
            lists: m.add(
                "hosttask_lists",
                &["kind"],
                "Lists that were begun; in a steady state there are none",
                Family::default(),
            ),
            undecodable: m.add(
                "hosttask_undecodable_objects",
                &["kind"],
                "Objects that could not be decoded and so were left out",
                Family::default(),
            ),
            process: process::Process::register(&mut |name, help, gauge| {
                m.add(name, &[], help, gauge);
            }),
            known: Mutex::default(),
            host,
            registry: Registry::default(),
            descriptions: Vec::new(),
        };
        let build: Family<Build, Gauge> = m.add(
            "build_info",
            &["version"],
            "The version that runs: always 1",
            Family::default(),
        );
        build
            .get_or_create(&Build {
                version: env!("CARGO_PKG_VERSION"),
            })
            .set(1);
        Self {
            registry: m.registry,
            descriptions: m.descriptions,
            ..metrics
        }
    }

    /// Every metric, in the order in which they are scraped.
    pub fn descriptions(&self) -> &[Description] {
        &self.descriptions
    }

    /// The text that a scrape gets, in the `OpenMetrics` format.
    pub fn render(&self) -> String {
        self.process.update();
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing into a String does not fail; an encoder of ours that did would show here as an empty scrape.
            Err(std::fmt::Error) => String::new(),
        }
    }

    /// So many passes may run at once.
    pub fn set_workers(&self, workers: usize) {
        self.workers
            .get_or_create(&Controller::OURS)
            .set(signed(workers));
    }

    /// A pass ended.
    pub fn passed(&self, how: Passed, took: Duration) {
        let result = match how {
            Passed::Success => "success",
            Passed::RequeueAfter => "requeue_after",
            Passed::Error(_) => "error",
        };
        self.passes
            .get_or_create(&Reconciled {
                controller: CONTROLLER,
                result,
            })
            .inc();
        self.pass_time
            .get_or_create(&Controller::OURS)
            .observe(took.as_secs_f64());
        if let Passed::Error(cause) = how {
            self.failures.get_or_create(&Controller::OURS).inc();
            self.failures_by_cause
                .get_or_create(&Failed {
                    controller: CONTROLLER,
                    cause: cause.as_str(),
                })
                .inc();
            if cause == Cause::Panic {
                self.panics.get_or_create(&Controller::OURS).inc();
            }
        }
    }

    /// Whether this replica leads the election called `lease`.
    pub fn set_leader(&self, lease: &str, leads: bool) {
        self.leader
            .get_or_create(&Leader {
                name: lease.to_owned(),
            })
            .set(i64::from(leads));
    }

    /// The state of the work queue at the time of a scrape.
    pub fn set_queue(&self, gauge: QueueGauge) {
        self.depth
            .get_or_create(&Queue::OURS)
            .set(signed(gauge.depth));
        self.busy
            .get_or_create(&Controller::OURS)
            .set(signed(gauge.running));
        self.unfinished
            .get_or_create(&Queue::OURS)
            .set(gauge.unfinished.as_secs_f64());
        self.longest
            .get_or_create(&Queue::OURS)
            .set(gauge.longest.as_secs_f64());
    }

    /// How many objects of a kind the index holds at the time of a scrape.
    pub fn set_tracked(&self, kind: &'static str, objects: usize) {
        self.tracked
            .get_or_create(&Kind { kind })
            .set(signed(objects));
    }

    /// The state of the watches of a kind at the time of a scrape. Without an age nothing of the kind is watched now.
    pub fn set_watch(&self, health: &KindHealth) {
        let kind = Kind { kind: health.kind };
        match health.age {
            Some(age) => {
                self.watch_age.get_or_create(&kind).set(age.as_secs_f64());
            }
            None => {
                self.watch_age.remove(&kind);
            }
        }
        for (family, total) in [
            (&self.watch_errors, health.errors),
            (&self.lists, health.lists),
            (&self.undecodable, health.undecodable),
        ] {
            let counter = family.get_or_create(&kind);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    /// The status of a task as it was last reported.
    pub fn set_task(&self, key: &TaskKey, status: &WindowsHostTaskStatus) {
        for (state, nodes) in labels::node_states(status) {
            self.nodes
                .get_or_create(&NodeState::new(key, state))
                .set(i64::from(nodes.unwrap_or(0)));
        }
        for (label, holds) in labels::conditions(key, status) {
            self.conditions.get_or_create(&label).set(i64::from(holds));
        }
        self.known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(key.clone());
    }

    /// A task is gone: its series end.
    pub fn forget_task(&self, key: &TaskKey) {
        if !self
            .known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(key)
        {
            return;
        }
        let none = WindowsHostTaskStatus::default();
        for (state, _) in labels::node_states(&none) {
            self.nodes.remove(&NodeState::new(key, state));
        }
        for (label, _) in labels::conditions(key, &none) {
            self.conditions.remove(&label);
        }
    }
}

fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
