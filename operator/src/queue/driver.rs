//! The work queue with a lock and workers around it: a bounded number of keys are worked on at the same time.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Outcome, Queue, Taken};

/// What the queue tells about itself, for metrics. Every call is short and does not block.
pub trait Meter: Send + Sync + 'static {
    /// A key became ready that was not.
    fn added(&self);
    /// A worker took a key that had been ready for `waited`.
    fn taken(&self, waited: Duration);
    /// A worker ended after `ran`; `retried` where the key failed and comes again.
    fn finished(&self, ran: Duration, retried: bool);
}

/// A queue that many tasks add to and many workers take from.
pub struct SharedQueue<K> {
    queue: Mutex<Queue<K>>,
    wake: Notify,
    meter: Arc<dyn Meter>,
}

impl<K> std::fmt::Debug for SharedQueue<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedQueue").finish_non_exhaustive()
    }
}

/// The state of the queue at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauge {
    /// How many keys are ready.
    pub depth: usize,
    /// How many keys are being worked on.
    pub running: usize,
    /// For how long all running keys together have been running.
    pub unfinished: Duration,
    /// For how long the oldest running key has been running.
    pub longest: Duration,
}

impl<K: Ord + Clone + Send + 'static> SharedQueue<K> {
    /// An empty queue.
    pub fn new(meter: Arc<dyn Meter>) -> Self {
        Self {
            queue: Mutex::new(Queue::default()),
            wake: Notify::new(),
            meter,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<K>> {
        // No code that holds the lock can leave the queue half changed, so a panic elsewhere does not spoil it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a key ready now.
    pub fn add(&self, key: K) {
        if self.lock().add(key, Instant::now().into_std()) {
            self.meter.added();
        }
        self.wake.notify_one();
    }

    /// Makes a key ready after a delay; the earliest of several delays counts.
    pub fn add_after(&self, key: K, delay: Duration) {
        self.lock().add_after(key, delay, Instant::now().into_std());
        self.wake.notify_one();
    }

    /// The state at this moment.
    pub fn gauge(&self) -> Gauge {
        let queue = self.lock();
        let mut gauge = Gauge {
            depth: queue.depth(),
            ..Gauge::default()
        };
        for ran in queue.running(Instant::now().into_std()) {
            gauge.running += 1;
            gauge.unfinished += ran;
            gauge.longest = gauge.longest.max(ran);
        }
        gauge
    }

    /// Waits for the next key.
    async fn next(&self) -> K {
        loop {
            let (taken, due) = {
                let mut queue = self.lock();
                let taken: Option<Taken<K>> = queue.take(Instant::now().into_std());
                if taken.is_some() && !queue.is_idle() {
                    // Pass the baton: the one permit of `notify_one` may have stood for several adds.
                    self.wake.notify_one();
                }
                (taken, queue.next_due())
            };
            if let Some(taken) = taken {
                self.meter.taken(taken.waited);
                return taken.key;
            }
            match due {
                Some(due) => {
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep_until(due.into()) => {}
                    }
                }
                None => self.wake.notified().await,
            }
        }
    }

    fn done(&self, key: &K, outcome: Outcome) {
        let (ran, retry) = self.lock().done(key, outcome, Instant::now().into_std());
        self.meter.finished(ran, retry.is_some());
        self.wake.notify_one();
    }
}

/// Works on keys with `workers` workers until `stop` is true; then no further key is taken, and the future ends when
/// the running ones are done.
///
/// *Assumptions*: `work` does not panic and ends by itself: catching panics and deadlines is the caller's part, because
/// only the caller can count them.
pub async fn run<K, W, F>(
    queue: Arc<SharedQueue<K>>,
    workers: usize,
    stop: watch::Receiver<bool>,
    work: W,
) where
    K: Ord + Clone + Send + 'static,
    W: Fn(K) -> F + Clone + Send + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut running = JoinSet::new();
    for _ in 0..workers.max(1) {
        let (queue, work, mut stop) = (Arc::clone(&queue), work.clone(), stop.clone());
        running.spawn(async move {
            loop {
                let key = tokio::select! {
                    biased;
                    _ = stop.wait_for(|stopped| *stopped) => return,
                    key = queue.next() => key,
                };
                let outcome = work(key.clone()).await;
                queue.done(&key, outcome);
            }
        });
    }
    while running.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Silent;

    impl Meter for Silent {
        fn added(&self) {}
        fn taken(&self, _: Duration) {}
        fn finished(&self, _: Duration, _: bool) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_keys_with_two_workers_are_all_processed_and_never_more_than_two_at_once() {
        let queue = Arc::new(SharedQueue::new(Arc::new(Silent)));
        let (stop, stopped) = watch::channel(false);
        let (busy, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen: Arc<Mutex<BTreeMap<u32, u32>>> = Arc::default();
        for key in 0..1_000_u32 {
            queue.add(key);
        }
        let work = {
            let (busy, peak, seen) = (Arc::clone(&busy), Arc::clone(&peak), Arc::clone(&seen));
            move |key: u32| {
                let (busy, peak, seen) = (Arc::clone(&busy), Arc::clone(&peak), Arc::clone(&seen));
                let stop = stop.clone();
                async move {
                    peak.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    busy.fetch_sub(1, Ordering::SeqCst);
                    let mut seen = seen.lock().unwrap();
                    *seen.entry(key).or_default() += 1;
                    if seen.len() == 1_000 {
                        stop.send_replace(true);
                    }
                    Outcome::Success(None)
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), run(queue, 2, stopped, work))
            .await
            .expect("it ends");
        assert_eq!(peak.load(Ordering::SeqCst), 2);
        assert!(seen.lock().unwrap().values().all(|n| *n == 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_key_wakes_a_worker_that_waits_for_nothing() {
        let queue = Arc::new(SharedQueue::new(Arc::new(Silent)));
        let (stop, stopped) = watch::channel(false);
        let started = Instant::now();
        let times: Arc<Mutex<Vec<(u8, u64)>>> = Arc::default();
        let work = {
            let times = Arc::clone(&times);
            move |key: u8| {
                let (times, stop) = (Arc::clone(&times), stop.clone());
                async move {
                    let mut times = times.lock().unwrap();
                    times.push((key, started.elapsed().as_secs()));
                    if times.len() == 4 {
                        stop.send_replace(true);
                    }
                    Outcome::Success(
                        (key == 1 && times.len() == 1).then_some(Duration::from_secs(20)),
                    )
                }
            }
        };
        let workers = tokio::spawn(run(Arc::clone(&queue), 3, stopped, work));
        tokio::task::yield_now().await;
        queue.add_after(1, Duration::from_secs(10));
        queue.add_after(2, Duration::from_secs(40));
        queue.add_after(3, Duration::from_secs(25));
        tokio::time::timeout(Duration::from_mins(2), workers)
            .await
            .expect("it ends")
            .expect("no panic");
        assert_eq!(*times.lock().unwrap(), [(1, 10), (3, 25), (1, 30), (2, 40)]);
    }
}
