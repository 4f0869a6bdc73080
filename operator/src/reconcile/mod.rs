//! One pass: observe, validate, plan, apply, report. This file only carries facts from one step to the next.

mod memory;
mod task;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use hosttask_crds::task::WindowsHostTaskStatus;
use jiff::Timestamp;
use kube::Client;
use tokio::time::Instant;
use tracing::Instrument;

use self::memory::Memory;
use self::task::TaskPass;
use crate::arbiter::Arbiter;
use crate::desired::{Desired, TaskKey};
use crate::error::{Cause, Error, Retry, chain};
use crate::event::Events;
use crate::index::{Index, Key};
use crate::metrics::{CONTROLLER, Metrics, Passed};
use crate::observe::{ended, observe, settle};
use crate::plan::node::{NodeAction, plan_node};
use crate::plan::{Action, Plan};
use crate::queue::Outcome;
use crate::queue::driver::SharedQueue;
use crate::validate::{TaskInput, validate};
use crate::{ledger, plan, stray};

/// How long one pass may take.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Everything a pass needs.
pub struct Reconciler {
    client: Client,
    index: Arc<Index>,
    queue: Arc<SharedQueue<Key>>,
    events: Events,
    metrics: Arc<Metrics>,
    clock: fn() -> Timestamp,
    memory: Mutex<BTreeMap<TaskKey, Memory>>,
    arbiter: Mutex<Arbiter>,
    passes: AtomicU64,
}

impl std::fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconciler")
            .field("passes", &self.passes)
            .finish_non_exhaustive()
    }
}

/// What a pass did, for the log and the queue.
#[derive(Debug, Default)]
struct Done {
    /// The writes, as words.
    writes: Vec<&'static str>,
    /// When to look again even if nothing happens.
    again: Option<Duration>,
    /// The API server refused a child: the pass ends well, and counts as failed.
    refused: bool,
}

impl Reconciler {
    /// A reconciler that remembers nothing yet.
    pub fn new(
        client: Client,
        index: Arc<Index>,
        queue: Arc<SharedQueue<Key>>,
        events: Events,
        metrics: Arc<Metrics>,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            client,
            index,
            queue,
            events,
            metrics,
            clock,
            memory: Mutex::default(),
            arbiter: Mutex::default(),
            passes: AtomicU64::new(0),
        }
    }

    /// The same, where all tasks together work on no more nodes than this at once; 0 for as many as they like.
    #[must_use]
    pub fn with_max_disrupted_nodes(self, nodes: u32) -> Self {
        Self {
            arbiter: Mutex::new(Arbiter::new(nodes)),
            ..self
        }
    }

    /// Looks at a key and does what is to be done. Never panics, and ends within [`DEADLINE`].
    pub async fn work(self: Arc<Self>, key: Key) -> Outcome {
        let span = self.span(&key);
        async move {
            let started = Instant::now();
            let pass = std::panic::AssertUnwindSafe(self.pass(&key)).catch_unwind();
            let result = match tokio::time::timeout(DEADLINE, pass).await {
                Ok(Ok(result)) => result,
                Ok(Err(payload)) => Err(Error::Panic(panic_text(payload.as_ref()))),
                Err(_) => Err(Error::Deadline(DEADLINE)),
            };
            self.conclude(&key, result, started.elapsed())
        }
        .instrument(span)
        .await
    }

    fn span(&self, key: &Key) -> tracing::Span {
        let id = format!(
            "{}-{:06}",
            std::process::id(),
            self.passes.fetch_add(1, Ordering::Relaxed)
        );
        match key {
            Key::Task(task) => {
                tracing::info_span!("reconcile", controller = CONTROLLER, namespace = %task.namespace, name = %task.name,
                    reconcileID = %id, generation = tracing::field::Empty)
            }
            Key::Node(node) => {
                tracing::info_span!("reconcile", controller = "windowshostnode", name = %node, reconcileID = %id)
            }
            Key::Strays => {
                tracing::info_span!("reconcile", controller = "strays", reconcileID = %id)
            }
        }
    }

    /// Counts and logs a pass, and tells the queue what comes next.
    fn conclude(&self, key: &Key, result: Result<Done, Error>, took: Duration) -> Outcome {
        let kind = match key {
            Key::Task(_) => "WindowsHostTask",
            Key::Node(_) => "WindowsHostNode",
            Key::Strays => "pods of deleted tasks",
        };
        match result {
            Ok(done) => {
                if !done.writes.is_empty() {
                    let seconds = took.as_secs_f64();
                    tracing::info!(
                        writes = done.writes.join(","),
                        seconds,
                        "Reconciled the {kind}"
                    );
                }
                let passed = match done.again {
                    _ if done.refused => Passed::Error(Cause::Refused),
                    Some(_) => Passed::RequeueAfter,
                    None => Passed::Success,
                };
                self.metrics.passed(passed, took);
                Outcome::Success(done.again)
            }
            Err(error) => {
                let cause = error.cause();
                self.metrics.passed(Passed::Error(cause), took);
                match error.retry() {
                    Retry::Now => {
                        tracing::debug!(error = %chain(&error), "Found the {kind} out of date");
                        Outcome::Stale
                    }
                    Retry::Backoff(at_least) => {
                        tracing::warn!(cause = cause.as_str(), error = %chain(&error), "Failed to reconcile the {kind}");
                        Outcome::Failure { at_least }
                    }
                    Retry::OnChange => {
                        tracing::info!(cause = cause.as_str(), "Left the {kind} alone");
                        Outcome::Success(None)
                    }
                }
            }
        }
    }

    async fn pass(&self, key: &Key) -> Result<Done, Error> {
        match key {
            Key::Task(key) => self.task(key).await,
            Key::Node(node) => self.node(node).await,
            Key::Strays => self.strays().await,
        }
    }

    async fn task(&self, key: &TaskKey) -> Result<Done, Error> {
        let now = (self.clock)();
        let turn = self.turn(key);
        let Some(task) = self.index.task(key) else {
            turn.is_not_needed();
            self.memory().remove(key);
            self.metrics.forget_task(key);
            return Ok(Done::default());
        };
        tracing::Span::current().record("generation", task.generation);
        // Kubernetes collects the children of a task that is being deleted.
        if task.deleting {
            turn.is_not_needed();
            return Ok(Done::default());
        }
        let settled = settle(&self.client, &self.index, key, now).await; // reads
        for concerned in settled.map_err(|e| Error::Observe(Box::new(e)))? {
            self.queue.add(concerned);
        }
        let Some(inputs) = self.index.inputs(key) else {
            return Ok(Done::default());
        }; // reads
        let (stored, version) = self.remember(key, |memory| {
            memory.stored(&task.status, &task.resource_version)
        });

        let input = TaskInput {
            key,
            uid: &task.uid,
            generation: task.generation,
            spec: &task.spec,
        };
        let plan = match validate(&input, &inputs) {
            // pure
            Ok(desired) => self.decide(&desired, &stored, now).await?, // reads
            Err(problems) => {
                turn.is_not_needed();
                let ended = ended(&self.client, &self.index, &input, &stored, now).await; // reads
                let ended = ended.map_err(|e| Error::Observe(Box::new(e)))?;
                let results = ended.map(|(task, seen)| plan::results(&task, &seen)); // pure
                let results = results.unwrap_or_default();
                plan::invalid(task.generation, &stored, &problems, results, now) // pure
            }
        };
        let mut pass = TaskPass {
            reconciler: self,
            key,
            task: &task,
            stored,
            version,
            now,
            done: Done::default(),
            told: BTreeSet::new(),
        };
        pass.done.again = plan.requeue;
        let (status, error) = pass.apply(&plan).await; // writes
        let reported = pass.report(&status, &plan).await; // writes
        match error {
            Some(error) => Err(error),
            None => reported.map(|()| pass.done),
        }
    }

    /// What to do about a valid task.
    async fn decide(
        &self,
        desired: &Desired,
        stored: &WindowsHostTaskStatus,
        now: Timestamp,
    ) -> Result<Plan, Error> {
        loop {
            let absent = self.index.absent_sets(&desired.key);
            let observed = observe(&self.client, &self.index, desired, now).await; // reads
            let mut observed = observed.map_err(|e| Error::Observe(Box::new(e)))?;
            observed.status = stored.clone();
            let plan = plan::plan(desired, &observed, now); // pure
            // A DaemonSet of somebody else must not be taken over: that a name was free some time ago is not enough.
            let mut written = plan.actions.iter().filter_map(applied_set);
            if !written.any(|name| absent.contains(name)) {
                return Ok(self.arbitrate(desired, &mut observed, plan, now)); // pure, under a lock
            }
            self.index.doubt_absent_sets(&desired.key);
        }
    }

    async fn node(&self, node: &str) -> Result<Done, Error> {
        let observed = self.index.node_observed(node); // reads
        let actions = plan_node(&observed); // pure
        let stored = observed
            .ledger
            .map(|ledger| ledger.status)
            .unwrap_or_default();
        let mut done = Done::default();
        for action in &actions {
            let result = ledger::apply(&self.client, &self.index, &stored, action).await; // writes
            result.map_err(|e| Error::Apply(Box::new(e)))?;
            done.writes.push(ledger_word(action));
            // Each write changes what the next one is decided on.
            done.again = Some(Duration::ZERO);
        }
        Ok(done)
    }

    async fn strays(&self) -> Result<Done, Error> {
        let failed = |error| Error::Strays(Box::new(error));
        let orphans = self.index.orphans_without_task(); // reads
        let namespaces: BTreeSet<&String> = orphans.iter().map(|pod| &pod.namespace).collect();
        let mut tasks = BTreeSet::new();
        for namespace in namespaces {
            let uids = stray::task_uids(&self.client, namespace).await; // reads
            tasks.extend(uids.map_err(failed)?);
        }
        let mut done = Done::default();
        for pod in stray::strays(orphans, &tasks) {
            stray::delete(&self.client, &pod).await.map_err(failed)?; // writes
            tracing::info!(
                namespace = pod.namespace,
                name = pod.name,
                task = pod.task_uid,
                "Deleted a pod of a deleted task"
            );
            done.writes.push("DeletePod");
        }
        Ok(done)
    }

    fn memory(&self) -> MutexGuard<'_, BTreeMap<TaskKey, Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember<R>(&self, key: &TaskKey, f: impl FnOnce(&mut Memory) -> R) -> R {
        f(self.memory().entry(key.clone()).or_default())
    }
}

/// The name of the DaemonSet that is applied.
fn applied_set(action: &Action) -> Option<&str> {
    if let Action::ApplyDaemonSet(set) = action {
        set.metadata.name.as_deref()
    } else {
        None
    }
}

/// A write to a ledger as the log names it.
fn ledger_word(action: &NodeAction) -> &'static str {
    match action {
        NodeAction::Create { .. } => "CreateLedger",
        NodeAction::SetOwner { .. } => "AdoptLedger",
        NodeAction::WriteStatus { .. } => "WriteLedger",
    }
}

/// What a panic said.
fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests;
