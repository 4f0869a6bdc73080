//! A stand-in for a `GitOps` engine: applies the same object again and again, whatever happened to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::tasks::Tasks;

/// Applies until it is dropped, server-side and by force, as Flux's kustomize-controller does.
#[derive(Debug)]
pub struct Reapplier {
    rounds: Arc<AtomicU64>,
    work: JoinHandle<()>,
}

impl Drop for Reapplier {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Reapplier {
    /// Applies `task` at once and then once per `period`.
    pub fn start(tasks: Tasks, task: Value, period: Duration) -> Self {
        let rounds = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&rounds);
        let work = tokio::spawn(async move {
            let name = task
                .pointer("/metadata/name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let params = PatchParams::apply("kustomize-controller").force();
            let mut ticks = tokio::time::interval(period);
            loop {
                ticks.tick().await;
                // A refused round is not counted, and a scenario waits for rounds.
                if tasks
                    .api()
                    .patch(name, &params, &Patch::Apply(&task))
                    .await
                    .is_ok()
                {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { rounds, work }
    }

    /// How many times it has applied.
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }
}
