//! An independent witness for Jobs: how many were unfinished at once, of a task and on a node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use hosttask_crds::label;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::runtime::watcher::{self, Event};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What the Jobs of a namespace did so far.
#[derive(Clone, Debug, Default)]
pub struct JobSamples {
    /// By task: the most Jobs that were unfinished at the same moment.
    pub most_of_a_task: BTreeMap<String, usize>,
    /// By node: the most Jobs, of any task, that were unfinished at the same moment.
    pub most_on_a_node: BTreeMap<String, usize>,
    /// When each Job was seen first: task, node and time, in order.
    pub begun: Vec<(String, String, Instant)>,
}

#[derive(Debug, Default)]
struct State {
    unfinished: BTreeMap<String, (String, String)>,
    seen: BTreeMap<String, Instant>,
    samples: JobSamples,
}

/// A watch on the Jobs of a namespace.
#[derive(Debug)]
pub struct JobWitness {
    state: Arc<Mutex<State>>,
    watch: JoinHandle<()>,
}

impl Drop for JobWitness {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl JobWitness {
    /// Begins to watch.
    pub fn start(client: kube::Client, namespace: &str) -> Self {
        let api = Api::<Job>::namespaced(client, namespace);
        let config = watcher::Config::default().labels(label::TASK);
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let watch = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher::watcher(api, config));
            while let Some(event) = events.next().await {
                // The watcher begins again by itself.
                let Ok(event) = event else { continue };
                lock(&shared).take(event);
            }
        });
        Self { state, watch }
    }

    /// What was seen so far.
    pub fn samples(&self) -> JobSamples {
        lock(&self.state).samples.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn take(&mut self, event: Event<Job>) {
        match event {
            Event::Init => self.unfinished.clear(),
            Event::InitApply(job) | Event::Apply(job) => {
                self.see(&job);
                self.sample();
            }
            Event::Delete(job) => {
                self.unfinished
                    .remove(job.metadata.uid.as_deref().unwrap_or_default());
            }
            Event::InitDone => self.sample(),
        }
    }

    fn see(&mut self, job: &Job) {
        let uid = job.metadata.uid.clone().unwrap_or_default();
        let label = job
            .metadata
            .labels
            .as_ref()
            .and_then(|all| all.get(label::TASK));
        let node = job
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(label::NODE));
        let of = (
            label.cloned().unwrap_or_default(),
            node.cloned().unwrap_or_default(),
        );
        if !self.seen.contains_key(&uid) {
            let now = Instant::now();
            self.seen.insert(uid.clone(), now);
            self.samples.begun.push((of.0.clone(), of.1.clone(), now));
        }
        let conditions = job
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_ref());
        let over = conditions.is_some_and(|all| {
            all.iter().any(|one| {
                one.status == "True" && matches!(one.type_.as_str(), "Complete" | "Failed")
            })
        });
        if over {
            self.unfinished.remove(&uid);
        } else {
            self.unfinished.insert(uid, of);
        }
    }

    fn sample(&mut self) {
        let mut tasks = BTreeMap::<&str, usize>::new();
        let mut nodes = BTreeMap::<&str, usize>::new();
        for (task, node) in self.unfinished.values() {
            *tasks.entry(task).or_default() += 1;
            *nodes.entry(node).or_default() += 1;
        }
        let raise = |most: &mut BTreeMap<String, usize>, now: BTreeMap<&str, usize>| {
            for (name, count) in now {
                let most = most.entry(name.to_owned()).or_default();
                *most = count.max(*most);
            }
        };
        raise(&mut self.samples.most_of_a_task, tasks);
        raise(&mut self.samples.most_on_a_node, nodes);
    }
}
