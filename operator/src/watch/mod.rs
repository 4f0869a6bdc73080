//! Watches: list, then watch, every kind on its own, narrowed on the server.
//!
//! This is not kube's `watcher` because that one hides bookmarks (so a silent connection looks like a quiet cluster), keeps
//! an `ObjectMeta` with managedFields for every object, builds a second copy of everything when it lists again, and cannot be
//! told to list again, which a process must do before its first decision as leader.
//!
//! *Guarantees*: every list is consistent and complete, an object that was deleted while we were not connected is reported as
//! gone, and one object that cannot be decoded costs only itself.
//! *Caveats*: an object that cannot be decoded is missing from the index; the health counts it.

mod backoff;
mod driver;
mod health;
mod request;
pub(crate) mod source;
#[cfg(test)]
pub(crate) mod tests;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use self::driver::Clock;
use self::driver::{Driver, Sink};
pub use self::health::{Health, KindHealth};
use crate::index::{Index, Key, Kind, Scope};
use crate::inputs;

/// How often the index is asked what is due by time alone.
const TICK: Duration = Duration::from_secs(5);
/// How long to wait before a watch that panicked is started again.
const AFTER_PANIC: Duration = Duration::from_secs(10);

/// Called with what has to be looked at again. It must return at once.
pub type OnChange = Arc<dyn Fn(Vec<Key>) + Send + Sync>;

/// What all watches share.
#[derive(Clone)]
pub(crate) struct Common {
    client: Client,
    namespace: Option<String>,
    sink: Sink,
    clock: Clock,
    health: Arc<Health>,
}

/// The running watches. Dropping it ends them.
pub struct Watches {
    index: Arc<Index>,
    health: Arc<Health>,
    resync: watch::Sender<u64>,
    listed: Vec<watch::Receiver<Option<u64>>>,
    tasks: Vec<AbortHandle>,
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watches")
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

impl Watches {
    /// Starts every watch. `namespace`: the only one whose tasks are watched, as for [`Index::new`].
    ///
    /// *Assumptions*: it is called inside a tokio runtime, and the client neither repeats a watch nor limits its rate.
    pub fn start(
        client: Client,
        index: &Arc<Index>,
        namespace: Option<String>,
        on_change: OnChange,
        clock: Clock,
    ) -> Self {
        let health = Arc::new(Health::default());
        let sink: Sink = {
            let (index, on_change) = (Arc::clone(index), Arc::clone(&on_change));
            Arc::new(move |change, now| {
                let keys = index.apply(change, now);
                if !keys.is_empty() {
                    on_change(keys);
                }
            })
        };
        let common = Common {
            client,
            namespace,
            sink,
            clock,
            health: Arc::clone(&health),
        };
        let resync = watch::Sender::new(0);
        let mut tasks = Vec::new();
        let mut listed = Vec::new();
        for kind in Kind::ALL {
            let (task, receiver) = common.spawn(Scope::Kind(kind), resync.subscribe());
            tasks.push(task);
            listed.push(receiver);
        }
        let wishes = resync.subscribe();
        tasks.push(tokio::spawn(inputs::run(common, index.wanted_inputs(), wishes)).abort_handle());
        tasks.push(tokio::spawn(tick(Arc::clone(index), on_change, clock)).abort_handle());
        Self {
            index: Arc::clone(index),
            health,
            resync,
            listed,
            tasks,
        }
    }

    /// How the watches are doing.
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Waits until every kind was listed once.
    pub async fn synced(&self) {
        self.reached(0).await;
    }

    /// Lists every kind again and waits until that is done: call it between becoming the leader and the first decision. What the
    /// previous leader wrote before that is then in the index.
    ///
    /// ConfigMaps and Secrets are not waited for: one namespace that cannot be listed would hold up the tasks of all others. Until
    /// they are listed again, they are unknown, and the tasks that name them rest.
    pub async fn resync(&self) {
        let mut target = 0;
        // Before the wish: a list that begins in between is new enough.
        self.index.doubt_inputs();
        self.resync.send_modify(|wish| {
            *wish += 1;
            target = *wish;
        });
        self.reached(target).await;
    }

    async fn reached(&self, target: u64) {
        for listed in &self.listed {
            let mut listed = listed.clone();
            // The sender lives as long as its watch; without it the process is about to end.
            if listed
                .wait_for(|met| met.is_some_and(|met| met >= target))
                .await
                .is_err()
            {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Common {
    /// Starts one watch; the receiver tells which wish for a list it has met.
    pub(crate) fn spawn(
        &self,
        scope: Scope,
        resync: watch::Receiver<u64>,
    ) -> (AbortHandle, watch::Receiver<Option<u64>>) {
        let (listed, receiver) = watch::channel(None);
        let driver = Driver {
            client: self.client.clone(),
            scope,
            namespace: self.namespace.clone(),
            sink: Arc::clone(&self.sink),
            clock: self.clock,
            health: Arc::clone(&self.health),
            resync,
            listed,
        };
        let task = tokio::spawn(async move {
            loop {
                // One defect must not silence a kind for ever.
                let ended = AssertUnwindSafe(driver.clone().run()).catch_unwind().await;
                if ended.is_err() {
                    driver.health.failed(&driver.scope);
                    tracing::error!(kind = %driver.scope, "Watch panicked and is started again");
                    tokio::time::sleep(AFTER_PANIC).await;
                }
            }
        });
        (task.abort_handle(), receiver)
    }

    /// A watch is no longer needed.
    pub(crate) fn ended(&self, scope: &Scope) {
        self.health.ended(scope);
    }
}

/// Asks the index now and then what is due by time alone.
async fn tick(index: Arc<Index>, on_change: OnChange, clock: fn() -> Timestamp) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let keys = index.due(clock());
        if !keys.is_empty() {
            on_change(keys);
        }
    }
}
