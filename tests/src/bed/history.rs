//! An independent witness: what the pods of a task did, event by event, straight from the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use hosttask_crds::label;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::watcher::{self, Event};
use tokio::task::JoinHandle;

/// What the witness saw so far.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// The highest number of nodes that were without a ready pod at the same moment, since the fleet was first complete.
    pub most_unavailable: usize,
    /// The highest number of live pods (not ended, not being deleted) seen on one node at the same moment.
    pub most_live_pods_on_a_node: usize,
    /// How many different pods were seen.
    pub pods_seen: usize,
    /// Nodes that have a ready pod now.
    pub ready_nodes: BTreeSet<String>,
    /// Whether the fleet was complete at some moment.
    pub was_complete: bool,
}

#[derive(Clone, Debug)]
struct Row {
    node: String,
    ready: bool,
    live: bool,
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<String, Row>,
    seen: BTreeSet<String>,
    samples: Samples,
}

/// A watch on the pods of one task that keeps the worst moment.
#[derive(Debug)]
pub struct History {
    state: Arc<Mutex<State>>,
    watch: JoinHandle<()>,
}

impl History {
    /// Starts to watch the pods of a task that runs on `nodes` nodes.
    pub fn start(client: kube::Client, namespace: &str, task: &str, nodes: usize) -> Self {
        let api = Api::<Pod>::namespaced(client, namespace);
        let config = watcher::Config::default().labels(&format!("{}={task}", label::TASK));
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let watch = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher::watcher(api, config));
            while let Some(event) = events.next().await {
                let Ok(event) = event else { continue };
                shared
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take(event, nodes);
            }
        });
        Self { state, watch }
    }

    /// What was seen so far.
    pub fn samples(&self) -> Samples {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Samples {
            pods_seen: state.seen.len(),
            ..state.samples.clone()
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl State {
    fn take(&mut self, event: Event<Pod>, nodes: usize) {
        match event {
            Event::Init => self.rows.clear(),
            Event::InitApply(pod) => self.put(&pod),
            Event::Apply(pod) => {
                self.put(&pod);
                self.sample(nodes);
            }
            Event::Delete(pod) => {
                self.rows
                    .remove(pod.metadata.uid.as_deref().unwrap_or_default());
                self.sample(nodes);
            }
            Event::InitDone => self.sample(nodes),
        }
    }

    fn put(&mut self, pod: &Pod) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let status = pod.status.as_ref();
        let ready = status
            .and_then(|status| status.conditions.as_ref())
            .is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"));
        let ended = matches!(
            status.and_then(|status| status.phase.as_deref()),
            Some("Succeeded" | "Failed")
        );
        let live = pod.metadata.deletion_timestamp.is_none() && !ended;
        let node = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.clone())
            .unwrap_or_default();
        self.seen.insert(uid.clone());
        self.rows.insert(
            uid,
            Row {
                node,
                ready: ready && live,
                live,
            },
        );
    }

    fn sample(&mut self, nodes: usize) {
        let ready: BTreeSet<String> = self
            .rows
            .values()
            .filter(|row| row.ready)
            .map(|row| row.node.clone())
            .collect();
        let mut live = BTreeMap::<&str, usize>::new();
        for row in self
            .rows
            .values()
            .filter(|row| row.live && !row.node.is_empty())
        {
            *live.entry(&row.node).or_default() += 1;
        }
        let samples = &mut self.samples;
        samples.most_live_pods_on_a_node = samples
            .most_live_pods_on_a_node
            .max(live.values().copied().max().unwrap_or(0));
        samples.was_complete |= ready.len() >= nodes;
        if samples.was_complete {
            samples.most_unavailable = samples
                .most_unavailable
                .max(nodes.saturating_sub(ready.len()));
        }
        samples.ready_nodes = ready;
    }
}
