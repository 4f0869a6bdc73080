//! How the process is doing: alive, ready, and in numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::index::{Index, Key, Kind};
use crate::metrics::Metrics;
use crate::queue::driver::SharedQueue;
use crate::reconcile::DEADLINE;
use crate::server::Probe;
use crate::watch::Health;

/// After how long without a heartbeat the process counts as dead. The heart beats every few seconds.
const SILENCE: Duration = Duration::from_mins(1);
/// A pass that runs this long ignores its own deadline: something blocks a worker.
const STUCK: Duration = DEADLINE.saturating_mul(4);

/// The parts whose state is served.
#[derive(Debug)]
pub struct Process {
    index: Arc<Index>,
    queue: Arc<SharedQueue<Key>>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    began: Instant,
    /// Milliseconds from `began` to the last heartbeat.
    heartbeat: AtomicU64,
}

impl Process {
    /// A process that began just now.
    pub fn new(
        index: Arc<Index>,
        queue: Arc<SharedQueue<Key>>,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            index,
            queue,
            metrics,
            health,
            began: Instant::now(),
            heartbeat: AtomicU64::new(0),
        }
    }

    /// The main loop still turns.
    pub fn beat(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heartbeat.store(millis, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(
            self.heartbeat.load(Ordering::Relaxed),
        ))
    }
}

/// Whether a process is alive that has been silent, and whose oldest pass has been running, for these times.
fn alive(silence: Duration, longest: Duration) -> Result<(), String> {
    if silence > SILENCE {
        return Err(format!(
            "the main loop has been silent for {} s",
            silence.as_secs()
        ));
    }
    if longest > STUCK {
        return Err(format!(
            "a pass has been running for {} s",
            longest.as_secs()
        ));
    }
    Ok(())
}

impl Probe for Process {
    fn alive(&self) -> Result<(), String> {
        alive(self.silence(), self.queue.gauge().longest)
    }

    fn ready(&self) -> Result<(), String> {
        if self.index.synced() {
            Ok(())
        } else {
            Err("not every list has been read yet".to_owned())
        }
    }

    fn metrics(&self) -> String {
        self.metrics.set_queue(self.queue.gauge());
        let counts = self.index.counts();
        for (kind, objects) in [
            (Kind::Task, counts.tasks),
            (Kind::Node, counts.nodes),
            (Kind::DaemonSet, counts.daemon_sets),
            (Kind::Job, counts.jobs),
            (Kind::Pod, counts.pods),
            (Kind::Revision, counts.revisions),
            (Kind::Ledger, counts.ledgers),
        ] {
            self.metrics.set_tracked(kind.as_str(), objects);
        }
        for health in self.health.snapshot() {
            self.metrics.set_watch(&health);
        }
        self.metrics.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_loop_and_a_blocked_worker_end_the_life_of_the_process() {
        let (short, minute) = (Duration::from_secs(5), Duration::from_secs(61));
        assert!(alive(short, DEADLINE).is_ok());
        assert!(
            alive(minute, Duration::ZERO)
                .unwrap_err()
                .contains("silent for 61 s")
        );
        assert!(
            alive(short, Duration::from_secs(121))
                .unwrap_err()
                .contains("running for 121 s")
        );
    }
}
