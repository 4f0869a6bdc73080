//! Every status that the tasks of a namespace ever had, in order: for what must never have been said in between.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use hosttask_crds::task::{WindowsHostTask, WindowsHostTaskStatus};
use kube::Api;
use kube::runtime::watcher::{self, Event};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::tasks::condition;

/// A status and when it was seen.
#[derive(Clone, Debug)]
pub struct Said {
    /// When.
    pub at: Instant,
    /// The task.
    pub task: String,
    /// The generation of the spec at that time.
    pub generation: i64,
    /// The status.
    pub status: WindowsHostTaskStatus,
}

impl Said {
    /// Status and reason of the condition Ready, where there is one.
    pub fn ready(&self) -> Option<(&str, &str)> {
        let ready = condition(&self.status, "Ready")?;
        Some((&ready.status, &ready.reason))
    }
}

/// A watch on the tasks of a namespace.
#[derive(Debug)]
pub struct Statuses {
    said: Arc<Mutex<Vec<Said>>>,
    watch: JoinHandle<()>,
}

impl Drop for Statuses {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Statuses {
    /// Begins to write down.
    pub fn start(client: kube::Client, namespace: &str) -> Self {
        let api = Api::<WindowsHostTask>::namespaced(client, namespace);
        let said = Arc::new(Mutex::new(Vec::<Said>::new()));
        let shared = Arc::clone(&said);
        let watch = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher::watcher(api, watcher::Config::default()));
            while let Some(event) = events.next().await {
                let Ok(Event::InitApply(task) | Event::Apply(task)) = event else {
                    continue;
                };
                let now = Said {
                    at: Instant::now(),
                    task: task.metadata.name.unwrap_or_default(),
                    generation: task.metadata.generation.unwrap_or_default(),
                    status: task.status.unwrap_or_default(),
                };
                let mut said = lock(&shared);
                let before = said.iter().rev().find(|one| one.task == now.task);
                if before.is_none_or(|before| before.status != now.status) {
                    said.push(now);
                }
            }
        });
        Self { said, watch }
    }

    /// The statuses of a task so far.
    pub fn of(&self, task: &str) -> Vec<Said> {
        let said = lock(&self.said);
        said.iter()
            .filter(|one| one.task == task)
            .cloned()
            .collect()
    }

    /// The reasons of Ready in the order in which they followed each other.
    pub fn reasons(&self, task: &str) -> Vec<String> {
        let mut reasons: Vec<String> = Vec::new();
        for said in self.of(task) {
            let reason = said.ready().map_or("", |(_, reason)| reason);
            if reasons.last().map(String::as_str) != Some(reason) {
                reasons.push(reason.to_owned());
            }
        }
        reasons
    }
}

fn lock(said: &Mutex<Vec<Said>>) -> MutexGuard<'_, Vec<Said>> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}
