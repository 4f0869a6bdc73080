//! One round: a rollout in a namespace of its own, whose operator is killed after one write and started again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hosttask_crds::label;
use hosttask_crds::task::WindowsHostTaskStatus;
use hosttask_tests::bed::{
    Journal, OperatorOptions, OperatorProcess, Plot, Tasks, TestBed, Verdict, condition, daemon,
    image, wave, with,
};
use hosttask_tests::cluster::Signal;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use crate::proxy::Proxy;

/// How long a step may take on a slow machine.
const SOON: Duration = Duration::from_mins(3);
/// The task's name in every namespace.
const TASK: &str = "agent";

/// What is rolled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A good update.
    Rollout,
    /// An update that crashes on nodes of the second wave, and is rolled back.
    Rollback,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::Rollback => "rollback",
        }
    }

    fn image(self) -> &'static str {
        match self {
            Self::Rollout => "app:v2",
            Self::Rollback => "app:bad",
        }
    }

    /// The reason of Ready at the end.
    fn reason(self) -> &'static str {
        match self {
            Self::Rollout => "RolloutComplete",
            Self::Rollback => "RolledBack",
        }
    }
}

/// What came of a round.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Whether the operator was killed: not where there were fewer writes than that.
    pub(crate) was_killed: bool,
    /// How many writes there were until the end, where it was not killed.
    pub(crate) writes: usize,
    /// The end, without times and names of nodes.
    pub(crate) end: Value,
    /// What an independent witness saw.
    pub(crate) verdict: Verdict,
}

/// One round on the nodes of a plot.
pub(crate) struct Round {
    pub(crate) bed: &'static TestBed,
    pub(crate) plots: &'static [Plot],
    pub(crate) plot: Plot,
    pub(crate) kind: Kind,
    /// After which write the operator is killed; 0: it is not.
    pub(crate) last: usize,
}

impl Round {
    /// Plays the round.
    pub(crate) async fn play(&self) -> Outcome {
        let name = format!("{}-{}", self.kind.name(), self.last);
        let tasks = self.bed.namespace(&name).await.unwrap();
        let journal = Journal::start(self.bed.client(), &name).await;
        let proxy = Arc::new(Proxy::start(self.bed, &name).await);
        let mut operator = self.operator(&proxy, &name);
        tasks.apply(&self.task()).await.unwrap();
        self.wait(&tasks, &proxy, &mut operator, "RolloutComplete", true)
            .await;
        let mark = journal.mark();
        proxy.arm(self.last);
        tasks.change(TASK, &image(self.kind.image())).await.unwrap();
        tokio::select! {
            () = proxy.struck() => {}
            () = self.wait(&tasks, &proxy, &mut operator, self.kind.reason(), false) => {}
        }
        let writes = proxy.writes();
        // The write it is killed after may be the very one that the end is read from.
        let was_killed = self.last > 0 && writes >= self.last;
        if was_killed {
            operator.process.signal(Signal::KILL).unwrap();
            operator.process.wait().await.unwrap();
            proxy.arm(0);
            operator = self.operator(&proxy, &name);
            self.wait(&tasks, &proxy, &mut operator, self.kind.reason(), false)
                .await;
        }
        let verdict = journal.verdict(TASK, mark, |node| self.plot.ring(self.plots, node));
        let end = self.end(&tasks).await;
        tasks.delete(TASK).await.unwrap();
        operator.process.stop().await.unwrap();
        Outcome {
            was_killed,
            writes,
            end,
            verdict,
        }
    }

    fn task(&self) -> Value {
        let rollout = json!({ "spec": { "rollout": {
            "maxUnavailable": 1,
            "waves": [wave("canary", &json!({ "soakSeconds": 1 }))],
            "failurePolicy": { "maxFailedNodes": 1, "action": "Rollback" },
        } } });
        self.plot.task(with(daemon(TASK, "app:v1"), &rollout))
    }

    /// An operator for this namespace alone, with a Lease that a successor need not wait for long.
    fn operator(&self, proxy: &Proxy, name: &str) -> OperatorProcess {
        let args = [
            format!("--namespace={name}"),
            format!("--lease-name={name}"),
            "--lease-duration=3s".to_owned(),
            "--renew-deadline=2s".to_owned(),
            "--retry-period=500ms".to_owned(),
        ];
        let options = OperatorOptions {
            args: args.to_vec(),
        };
        OperatorProcess::start_with(&proxy.kubeconfig, self.bed.cluster.dir(), options).unwrap()
    }

    /// Waits until the task is where it has to be. On a machine that is too slow for the short Lease the operator ends by
    /// itself; it is started again, as a Deployment does.
    async fn wait(
        &self,
        tasks: &Tasks,
        proxy: &Proxy,
        operator: &mut OperatorProcess,
        reason: &str,
        is_first: bool,
    ) {
        let begin = Instant::now();
        let mut last = WindowsHostTaskStatus::default();
        while begin.elapsed() < SOON {
            if !operator.is_running() {
                *operator = self.operator(proxy, &tasks.namespace);
            }
            let task = tasks.api().get(TASK).await.unwrap();
            last = task.status.unwrap_or_default();
            let is_there = condition(&last, "Ready").is_some_and(|ready| ready.reason == reason);
            let is_of_now = last.observed_generation == task.metadata.generation;
            // The first condition of a new task may be that of the spec before.
            let is_new = is_first || self.kind == Kind::Rollback || last.wave.is_none();
            if is_there && is_of_now && is_new {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let text = serde_json::to_string_pretty(&last).unwrap();
        panic!("{}: no {reason} within {SOON:?}: {text}", tasks.namespace);
    }

    /// Everything that must be the same however often the operator was killed.
    async fn end(&self, tasks: &Tasks) -> Value {
        let status = serde_json::to_value(tasks.status(TASK).await.unwrap()).unwrap();
        let client = self.bed.client();
        let sets = Api::<DaemonSet>::namespaced(client.clone(), &tasks.namespace);
        let sets = sets.list(&ListParams::default()).await.unwrap().items;
        let revisions = Api::<ControllerRevision>::namespaced(client, &tasks.namespace);
        let ours = ListParams::default().labels(label::TASK_UID);
        let mut revisions = revisions.list(&ours).await.unwrap().items;
        // The DaemonSet controller keeps its own history, under names of its own.
        revisions.retain(|it| {
            let mut owners = it.metadata.owner_references.iter().flatten();
            owners.all(|owner| owner.kind == "WindowsHostTask")
        });
        let pods: BTreeMap<String, Vec<String>> =
            tasks
                .pods(TASK)
                .await
                .unwrap()
                .iter()
                .fold(BTreeMap::new(), |mut all, pod| {
                    let node = pod
                        .spec
                        .as_ref()
                        .and_then(|spec| spec.node_name.clone())
                        .unwrap();
                    let ring = self.plot.ring(self.plots, &node).unwrap();
                    let word = format!(
                        "{ring}: {} in {}",
                        text(&pod.metadata, label::REVISION),
                        text(&pod.metadata, label::WAVE)
                    );
                    all.entry(node).or_default().push(word);
                    all
                });
        let mut pods: Vec<Vec<String>> = pods.into_values().collect();
        pods.sort();
        let end = json!({
            "status": status,
            "daemonSets": sets.iter().map(|set| {
                let template = set.spec.template.metadata.clone().unwrap_or_default();
                json!([set.metadata.name, text(&set.metadata, label::WAVE), text(&template, label::REVISION)])
            }).collect::<Vec<_>>(),
            "revisions": revisions.iter().map(|it| json!([it.metadata.name, it.revision])).collect::<Vec<_>>(),
            "pods": pods,
        });
        masked(end, &self.plot.nodes(self.plots))
    }
}

fn text(meta: &ObjectMeta, key: &str) -> String {
    meta.labels
        .as_ref()
        .and_then(|all| all.get(key))
        .cloned()
        .unwrap_or_default()
}

/// Without times and without the names of nodes and pods, which differ between rounds.
fn masked(value: Value, nodes: &[String]) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(name, _)| !name.ends_with("Time"))
            .map(|(name, value)| (name, masked(value, nodes)))
            .collect(),
        Value::Array(items) => items.into_iter().map(|item| masked(item, nodes)).collect(),
        Value::String(text) => {
            let text = nodes
                .iter()
                .fold(text, |text, node| text.replace(node.as_str(), "NODE"));
            // The kubelet names the pod that it restarts, and every pod has another name.
            let text = text
                .split_once(" pod=")
                .map_or(text.as_str(), |(text, _)| text);
            Value::String(text.to_owned())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}
