//! An independent witness: every change of a task's pods, in order, straight from the API server.
//!
//! It asks the operator nothing. What happened is written down first and judged afterwards, by pure functions over the
//! list ([`super::Verdict`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use hosttask_crds::label;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::watcher::{self, Event};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::verdict::{Verdict, judge};

/// What a pod did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Did {
    /// It was made.
    Appear,
    /// It became ready.
    BecomeReady,
    /// It stopped being ready, without having been told to stop.
    LoseReady,
    /// Its deletion was asked for.
    BeginToStop,
    /// It ended by itself.
    End,
    /// Its object is gone.
    Leave,
}

/// A change of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When it was seen.
    pub at: Instant,
    /// The task.
    pub task: String,
    /// The node it is, or will be, on.
    pub node: String,
    /// The pod.
    pub uid: String,
    /// The revision of its content.
    pub revision: String,
    /// What happened.
    pub did: Did,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    task: String,
    node: String,
    revision: String,
    ready: bool,
    stopping: bool,
    ended: bool,
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<String, Row>,
    listed: BTreeSet<String>,
    moments: Vec<Moment>,
    synced: bool,
}

/// A watch on the pods of all tasks of a namespace.
#[derive(Debug)]
pub struct Journal {
    state: Arc<Mutex<State>>,
    watch: JoinHandle<()>,
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Journal {
    /// Begins to write down, and returns once the pods that exist already are in the list.
    pub async fn start(client: kube::Client, namespace: &str) -> Self {
        let api = Api::<Pod>::namespaced(client, namespace);
        let config = watcher::Config::default().labels(label::TASK);
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let (synced, waits) = tokio::sync::oneshot::channel();
        let mut synced = Some(synced);
        let watch = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher::watcher(api, config));
            while let Some(event) = events.next().await {
                // The watcher begins again by itself.
                let Ok(event) = event else { continue };
                let mut state = lock(&shared);
                state.take(event);
                if state.synced
                    && let Some(synced) = synced.take()
                {
                    // Nobody waits any more: fine.
                    let _ = synced.send(());
                }
            }
        });
        // An error means that the watch has ended, and the list stays empty: the scenario fails by itself.
        let _ = waits.await;
        Self { state, watch }
    }

    /// Everything so far.
    pub fn moments(&self) -> Vec<Moment> {
        lock(&self.state).moments.clone()
    }

    /// How many changes there are so far: what happens from now on begins here.
    pub fn mark(&self) -> usize {
        lock(&self.state).moments.len()
    }

    /// The live pods of a task now: UID by node. A node with two shows the one that comes last in the alphabet.
    pub fn pods(&self, task: &str) -> BTreeMap<String, String> {
        let state = lock(&self.state);
        let live = state
            .rows
            .iter()
            .filter(|(_, row)| row.task == task && !row.stopping && !row.ended);
        live.map(|(uid, row)| (row.node.clone(), uid.clone()))
            .collect()
    }

    /// The revision of the live pod of a task on each node now.
    pub fn revisions(&self, task: &str) -> BTreeMap<String, String> {
        let state = lock(&self.state);
        let live = state
            .rows
            .values()
            .filter(|row| row.task == task && !row.stopping && !row.ended);
        live.map(|row| (row.node.clone(), row.revision.clone()))
            .collect()
    }

    /// When each node did something at a revision for the first time.
    pub fn first(&self, task: &str, revision: &str, did: Did) -> BTreeMap<String, Instant> {
        let state = lock(&self.state);
        let mut found = BTreeMap::new();
        for moment in &state.moments {
            if moment.task == task && moment.revision == revision && moment.did == did {
                found.entry(moment.node.clone()).or_insert(moment.at);
            }
        }
        found
    }

    /// The worst that happened to a task since a mark, where `group` says which wave a node is in, and none for nodes that
    /// are left out (dead ones).
    pub fn verdict(
        &self,
        task: &str,
        since: usize,
        group: impl Fn(&str) -> Option<String>,
    ) -> Verdict {
        judge(&lock(&self.state).moments, task, since, group)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn take(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => {
                self.listed
                    .insert(pod.metadata.uid.clone().unwrap_or_default());
                self.see(&pod);
            }
            Event::InitDone => {
                let gone: Vec<String> = self
                    .rows
                    .keys()
                    .filter(|uid| !self.listed.contains(*uid))
                    .cloned()
                    .collect();
                for uid in gone {
                    self.forget(&uid);
                }
                self.synced = true;
            }
            Event::Apply(pod) => self.see(&pod),
            Event::Delete(pod) => self.forget(pod.metadata.uid.as_deref().unwrap_or_default()),
        }
    }

    fn see(&mut self, pod: &Pod) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let now = row(pod);
        let before = self.rows.insert(uid.clone(), now.clone());
        let changed = |of: fn(&Row) -> bool| of(&now) && !before.as_ref().is_some_and(of);
        let mut did = Vec::new();
        if before.is_none() {
            did.push(Did::Appear);
        }
        if changed(|row| row.ready) {
            did.push(Did::BecomeReady);
        }
        if changed(|row| row.stopping) {
            did.push(Did::BeginToStop);
        }
        if changed(|row| row.ended) {
            did.push(Did::End);
        }
        let lost = before.as_ref().is_some_and(|row| row.ready) && !now.ready;
        if lost && !now.stopping && !now.ended {
            did.push(Did::LoseReady);
        }
        for did in did {
            self.note(&uid, &now, did);
        }
    }

    fn forget(&mut self, uid: &str) {
        if let Some(row) = self.rows.remove(uid) {
            self.note(uid, &row, Did::Leave);
        }
    }

    fn note(&mut self, uid: &str, row: &Row, did: Did) {
        self.moments.push(Moment {
            at: Instant::now(),
            task: row.task.clone(),
            node: row.node.clone(),
            uid: uid.to_owned(),
            revision: row.revision.clone(),
            did,
        });
    }
}

fn row(pod: &Pod) -> Row {
    let label = |key: &str| {
        let labels = pod.metadata.labels.as_ref();
        labels
            .and_then(|labels| labels.get(key))
            .cloned()
            .unwrap_or_default()
    };
    let status = pod.status.as_ref();
    let ended = matches!(
        status.and_then(|status| status.phase.as_deref()),
        Some("Succeeded" | "Failed")
    );
    let stopping = pod.metadata.deletion_timestamp.is_some();
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"));
    Row {
        task: label(label::TASK),
        node: node_of(pod),
        revision: label(label::REVISION),
        ready: ready && !stopping && !ended,
        stopping,
        ended,
    }
}

/// The node a pod is bound to, or the one its affinity names before the scheduler has seen it.
fn node_of(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    if let Some(name) = spec.and_then(|spec| spec.node_name.clone()) {
        return name;
    }
    let terms = spec
        .and_then(|spec| spec.affinity.as_ref()?.node_affinity.as_ref())
        .and_then(|affinity| {
            affinity
                .required_during_scheduling_ignored_during_execution
                .as_ref()
        });
    let mut fields = terms
        .into_iter()
        .flat_map(|required| &required.node_selector_terms)
        .filter_map(|term| term.match_fields.as_ref())
        .flatten();
    fields
        .find_map(|field| field.values.as_ref()?.first().cloned())
        .unwrap_or_default()
}
