//! A scene: one scenario's plot of nodes, its namespace, and the witnesses that watch it from the beginning.

use std::collections::BTreeMap;
use std::time::Duration;

use hosttask_crds::task::{WindowsHostTask, WindowsHostTaskStatus};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use super::journal::Journal;
use super::plots::Plot;
use super::statuses::Statuses;
use super::tasks::{Tasks, condition};
use super::verdict::Verdict;
use super::{BedError, TestBed};
use crate::fleet::{Behaviour, FleetError, Glob, Rule};
use crate::poll::{self, TimedOut};

/// How long a step of a scenario may take on a slow machine.
const SOON: Duration = Duration::from_mins(2);

/// What a scenario works with.
#[derive(Debug)]
pub struct Scene {
    /// The shared bed.
    pub bed: &'static TestBed,
    /// The tasks of the scenario's namespace, which is called as the plot.
    pub tasks: Tasks,
    /// Every change of the pods.
    pub journal: Journal,
    /// Every status.
    pub statuses: Statuses,
    /// The scenario's nodes.
    pub plot: Plot,
    plots: &'static [Plot],
}

/// An Event about a task, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its reason.
    pub reason: String,
    /// Its text.
    pub note: String,
    /// The node it is about, where there is one.
    pub node: Option<String>,
}

impl Scene {
    /// Makes the namespace of a plot and begins to watch.
    ///
    /// # Errors
    /// The namespace cannot be made.
    ///
    /// # Panics
    /// There is no plot of this name.
    pub async fn open(
        bed: &'static TestBed,
        plots: &'static [Plot],
        name: &str,
    ) -> Result<Self, BedError> {
        #[expect(
            clippy::expect_used,
            reason = "a misspelled plot is a mistake in the test"
        )]
        let plot = *plots
            .iter()
            .find(|plot| plot.name == name)
            .expect("the plot is in the list of the suite");
        let tasks = bed.namespace(name).await?;
        Ok(Self {
            bed,
            tasks,
            journal: Journal::start(bed.client(), name).await,
            statuses: Statuses::start(bed.client(), name),
            plot,
            plots,
        })
    }

    /// The plot's nodes, those of ring `canary` first, then those of `pilot`.
    pub fn nodes(&self) -> Vec<String> {
        self.plot.nodes(self.plots)
    }

    /// The nodes of a ring as labelled at the start: `canary`, `pilot` or `default`.
    pub fn nodes_in(&self, ring: &str) -> Vec<String> {
        let mut nodes = self.nodes();
        nodes.retain(|node| self.ring(node).as_deref() == Some(ring));
        nodes
    }

    /// The ring of a node as labelled at the start. None for nodes of other plots.
    pub fn ring(&self, node: &str) -> Option<String> {
        self.plot.ring(self.plots, node)
    }

    /// How many nodes the plot has, as counters in the status have it.
    pub fn count(&self) -> Option<i32> {
        i32::try_from(self.plot.size()).ok()
    }

    /// Applies a task to this plot only.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn apply(&self, task: Value) -> Result<WindowsHostTask, BedError> {
        let task = self.plot.task(task);
        self.tasks.apply(&task).await.map_err(|source| {
            let name = task.pointer("/metadata/name").map(Value::to_string);
            BedError::Request {
                what: format!("apply task {}", name.unwrap_or_default()),
                source,
            }
        })
    }

    /// Applies a Daemon task to this plot and waits until it is rolled out.
    ///
    /// # Errors
    /// It is refused, or takes too long.
    pub async fn runs(&self, task: Value) -> Result<WindowsHostTaskStatus, BedError> {
        let applied = self.apply(task).await?;
        let name = applied.metadata.name.unwrap_or_default();
        self.complete(&name).await
    }

    /// Waits until a Daemon task is rolled out.
    ///
    /// # Errors
    /// It takes too long.
    pub async fn complete(&self, name: &str) -> Result<WindowsHostTaskStatus, BedError> {
        let status = self
            .tasks
            .wait(name, "to be rolled out", SOON, |status| {
                condition(status, "Ready")
                    .is_some_and(|c| c.status == "True" && c.reason == "RolloutComplete")
                    && status.stable_revision == status.update_revision
            })
            .await?;
        Ok(status)
    }

    /// Changes fields of a task's spec by merge patch.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn change(&self, name: &str, patch: &Value) -> Result<WindowsHostTask, BedError> {
        self.tasks
            .change(name, patch)
            .await
            .map_err(|source| BedError::Request {
                what: format!("change task {name}"),
                source,
            })
    }

    /// Changes a task and waits until the operator has taken up the other content. Returns the new revision.
    ///
    /// # Errors
    /// It is refused, or takes too long.
    pub async fn update(&self, name: &str, patch: &Value) -> Result<String, BedError> {
        let before = self.status(name).await?.update_revision;
        self.change(name, patch).await?;
        let status = self
            .tasks
            .wait(name, "the other revision to be taken up", SOON, |status| {
                status.update_revision != before
            })
            .await?;
        Ok(status.update_revision.unwrap_or_default())
    }

    /// The status of a task now.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn status(&self, name: &str) -> Result<WindowsHostTaskStatus, BedError> {
        self.tasks
            .status(name)
            .await
            .map_err(|source| BedError::Request {
                what: format!("read task {name}"),
                source,
            })
    }

    /// Waits for a status and reason of Ready.
    ///
    /// # Errors
    /// It takes too long.
    pub async fn ready(
        &self,
        name: &str,
        status: &str,
        reason: &str,
    ) -> Result<WindowsHostTaskStatus, TimedOut> {
        self.tasks.wait_ready(name, status, reason, SOON).await
    }

    /// Sets annotations of a task, or removes them where the value is null.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn annotate(&self, name: &str, annotations: &Value) -> Result<(), BedError> {
        let patch = json!({ "metadata": { "annotations": annotations } });
        self.change(name, &patch).await.map(drop)
    }

    /// Makes containers behave from now on, on these nodes of this plot and with images that match only.
    ///
    /// # Errors
    /// The fleet has stopped.
    pub async fn behave(
        &self,
        nodes: &[String],
        image: &str,
        behaviour: Behaviour,
    ) -> Result<(), FleetError> {
        let rule = Rule {
            nodes: nodes.iter().map(Glob::new).collect(),
            image: Some(Glob::new(image)),
            behaviour,
            ..Rule::default()
        };
        self.bed.fleet.set_behaviour(rule).await
    }

    /// The worst since a mark, by ring as labelled at the start.
    pub fn verdict(&self, task: &str, since: usize) -> Verdict {
        self.journal.verdict(task, since, |node| self.ring(node))
    }

    /// The worst since a mark, all nodes of the plot taken as one wave `default`.
    pub fn verdict_as_one(&self, task: &str, since: usize) -> Verdict {
        self.journal.verdict(task, since, |node| {
            self.ring(node).map(|_| "default".to_owned())
        })
    }

    /// Waits until every node of the plot has a live pod of the task at the revision.
    ///
    /// # Errors
    /// It takes too long.
    pub async fn all_at(
        &self,
        task: &str,
        nodes: &[String],
        revision: &str,
    ) -> Result<(), TimedOut> {
        poll::until(&format!("{task} at {revision}"), SOON, || async {
            let revisions = self.journal.revisions(task);
            let others: BTreeMap<_, _> = nodes
                .iter()
                .map(|node| (node, revisions.get(node)))
                .filter(|(_, at)| at.map(String::as_str) != Some(revision))
                .collect();
            if others.is_empty() {
                Ok(())
            } else {
                Err(format!("{others:?}"))
            }
        })
        .await
    }

    /// The Events of the namespace about a task.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn events(&self, task: &str) -> Result<Vec<Told>, BedError> {
        let api = Api::<Event>::namespaced(self.bed.client(), &self.tasks.namespace);
        let found = api
            .list(&ListParams::default())
            .await
            .map_err(|source| BedError::Request {
                what: "list events".to_owned(),
                source,
            })?;
        let of_task = found
            .items
            .into_iter()
            .filter(|event| event.involved_object.name.as_deref() == Some(task));
        Ok(of_task
            .map(|event| Told {
                reason: event.reason.unwrap_or_default(),
                note: event.message.unwrap_or_default(),
                node: event.related.and_then(|related| related.name),
            })
            .collect())
    }

    /// Waits until an Event with this reason is there.
    ///
    /// # Errors
    /// It takes too long.
    pub async fn told(&self, task: &str, reason: &str) -> Result<Told, TimedOut> {
        poll::until(&format!("the event {reason}"), SOON, || async {
            let events = self.events(task).await.map_err(|error| error.to_string())?;
            let found = events.iter().find(|event| event.reason == reason).cloned();
            found.ok_or_else(|| format!("{events:?}"))
        })
        .await
    }

    /// Fails if the operator writes anything about this namespace for `period`. Leases and Events do not count.
    ///
    /// # Errors
    /// It wrote.
    pub async fn quiet(&self, period: Duration) -> Result<(), TimedOut> {
        let count = || -> Result<Vec<String>, String> {
            let writes = self
                .bed
                .operator_writes()
                .map_err(|error| error.to_string())?;
            let own = writes
                .iter()
                .filter(|event| event.namespace == self.tasks.namespace);
            Ok(own
                .map(|event| format!("{} {}/{}", event.verb, event.resource, event.name))
                .collect())
        };
        let before = count().unwrap_or_default().len();
        poll::throughout("silence", period, || async {
            let now = count()?;
            match now.get(before..) {
                Some([]) | None => Ok(()),
                Some(more) => Err(format!("{more:?}")),
            }
        })
        .await
    }

    /// What Flux and Helm 4 read of a task.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn kstatus(&self, name: &str) -> Result<String, BedError> {
        let task = self
            .tasks
            .api()
            .get(name)
            .await
            .map_err(|source| BedError::Request {
                what: format!("read task {name}"),
                source,
            })?;
        let object = serde_json::to_value(task).unwrap_or_default();
        Ok(self.bed.cluster.kstatus(&object).await?.status)
    }
}
