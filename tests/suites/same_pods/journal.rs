//! What the control plane showed of every pod, in order, from one watch.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use hosttask_tests::poll;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::Value;

/// How long a step may take: two cores run a control plane, a node and perhaps a compiler.
const SOON: Duration = Duration::from_mins(5);

#[derive(Default)]
struct Pages {
    statuses: BTreeMap<String, Vec<Value>>,
    gone: BTreeSet<String>,
}

/// All statuses of all pods of a namespace. Cheap to clone: every clone is the same journal.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Pages>>);

impl Journal {
    /// Begins to follow the pods; ends with the process.
    pub(crate) fn follow(pods: Api<Pod>) -> Self {
        let journal = Self::default();
        let writer = journal.clone();
        tokio::spawn(async move {
            let config = watcher::Config::default();
            let mut events = pin!(watcher(pods, config).default_backoff());
            while let Some(event) = events.next().await {
                match event {
                    Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                        writer.write(&pod);
                    }
                    Ok(watcher::Event::Delete(pod)) => {
                        writer.write(&pod);
                        writer.pages().gone.insert(pod.name_any());
                    }
                    Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
                }
            }
        });
        journal
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, pod: &Pod) {
        let status = serde_json::to_value(&pod.status).unwrap();
        let mut pages = self.pages();
        let seen = pages.statuses.entry(pod.name_any()).or_default();
        if seen.last() != Some(&status) {
            seen.push(status);
        }
    }

    /// Waits until a status of the pod, the one numbered `from` or a later one, is as `wanted` says. Returns its number.
    pub(crate) async fn wait(
        &self,
        pod: &str,
        what: &str,
        from: usize,
        wanted: &(dyn Fn(&Value) -> bool + Send + Sync),
    ) -> usize {
        poll::until(&format!("pod {pod} {what}"), SOON, || async {
            let seen = self.statuses(pod);
            let mut later = seen.iter().enumerate().skip(from);
            let found = later.find(|(_, status)| wanted(status));
            found
                .map(|(number, _)| number)
                .ok_or_else(|| seen.last().map(ToString::to_string).unwrap_or_default())
        })
        .await
        .unwrap()
    }

    /// Waits until the pod is gone.
    pub(crate) async fn wait_gone(&self, pod: &str) {
        poll::until(&format!("pod {pod} to be gone"), SOON, || async {
            if self.pages().gone.contains(pod) {
                Ok(())
            } else {
                Err(format!("{:?}", self.statuses(pod).last()))
            }
        })
        .await
        .unwrap();
    }

    /// All statuses of a pod so far.
    pub(crate) fn statuses(&self, pod: &str) -> Vec<Value> {
        self.pages().statuses.get(pod).cloned().unwrap_or_default()
    }
}
