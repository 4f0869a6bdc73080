//! The running process: what is started in which order, and how it ends.
//!
//! ```text
//!   client ─▶ servers ─▶ watches ─▶ every list seen ─▶ election ─▶ lists read again ─▶ workers
//!                                                        │ standby: warm, writes nothing
//!   SIGTERM: take no more work ─▶ finish running passes (10 s) ─▶ release the Lease ─▶ exit 0
//!   leadership lost: fence closed ─▶ exit 3 at once
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::args::Args;
use crate::client;
use crate::event::Events;
use crate::index::{Index, Key};
use crate::leader::TimingError;
use crate::leader::driver::Election;
use crate::leader::fence::Fence;
use crate::metrics::Metrics;
use crate::process::Process;
use crate::queue::driver::{self, SharedQueue};
use crate::reconcile::Reconciler;
use crate::server::{self, Probe};
use crate::watch::{OnChange, Watches};

/// How long running passes may take to end after a signal.
const DRAIN: Duration = Duration::from_secs(10);
/// How often the heart beats.
const TICK: Duration = Duration::from_secs(5);

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By a signal.
    Stopped,
    /// Another replica is the leader now, or nobody could tell.
    LostLeadership,
    /// A part that never ends did: a defect.
    Defect,
}

impl Ended {
    /// The exit code of a process that could not start.
    pub const CANNOT_START: u8 = 1;

    /// The exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Stopped => 0,
            Self::LostLeadership => 3,
            Self::Defect => 4,
        }
    }
}

/// Why the process could not start.
#[expect(
    clippy::error_impl_error,
    reason = "one Error per step; the module is part of its name"
)]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to the cluster.
    #[error("failed to connect")]
    Connect(#[from] client::Error),
    /// A port could not be opened.
    #[error("failed to listen for {what}")]
    Listen {
        /// For what.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The timing of the election contradicts itself.
    #[error("failed to set up the election")]
    Timing(#[from] TimingError),
    /// Signals cannot be received.
    #[error("failed to listen for signals")]
    Signals(#[source] io::Error),
}

/// Runs the operator until a signal, or until it must end. `clock` tells the time of day.
pub async fn run(args: &Args, clock: fn() -> Timestamp) -> Result<Ended, Error> {
    let mut stop = Stop::new()?;
    let mut operator = Operator::start(args, clock).await?;
    if let Some(ended) = operator.stand_by(&mut stop).await {
        return Ok(ended);
    }
    let ended = operator.lead(&mut stop).await;
    tracing::info!("Stopped the operator");
    Ok(ended)
}

/// The parts of the running process.
struct Operator<'a> {
    args: &'a Args,
    clock: fn() -> Timestamp,
    client: Client,
    index: Arc<Index>,
    queue: Arc<SharedQueue<Key>>,
    metrics: Arc<Metrics>,
    watches: Watches,
    election: Election,
    identity: String,
    /// Parts that never end unless something is broken.
    background: Background,
}

impl<'a> Operator<'a> {
    /// Starts everything that a standby runs.
    async fn start(args: &'a Args, clock: fn() -> Timestamp) -> Result<Self, Error> {
        let timing = args.timing()?;
        let config = client::infer().await?;
        let host = config
            .cluster_url
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default();
        let own_namespace = || config.default_namespace.clone();
        let lease_namespace = args
            .leader_election_namespace
            .clone()
            .unwrap_or_else(own_namespace);
        let metrics = Arc::new(Metrics::new(host));
        let fence = Arc::new(if args.leader_elect {
            Fence::closed()
        } else {
            Fence::open()
        });
        let meter = Arc::clone(&metrics) as Arc<dyn client::Meter>;
        let client = client::connect(config, args.limits(), Arc::clone(&fence), meter)?;

        let index = Arc::new(Index::new(args.namespace.clone()));
        let meter = Arc::clone(&metrics) as Arc<dyn driver::Meter>;
        let queue: Arc<SharedQueue<Key>> = Arc::new(SharedQueue::new(meter));
        let on_change: OnChange = {
            let queue = Arc::clone(&queue);
            Arc::new(move |keys: Vec<Key>| keys.into_iter().for_each(|key| queue.add(key)))
        };
        let watches = Watches::start(
            client.clone(),
            &index,
            args.namespace.clone(),
            on_change,
            clock,
        );
        let process = {
            let (index, queue, metrics) =
                (Arc::clone(&index), Arc::clone(&queue), Arc::clone(&metrics));
            Arc::new(Process::new(index, queue, metrics, watches.health()))
        };
        let servers = serve(args, &process).await?;
        let background = Background {
            servers,
            ticks: tokio::spawn(tick(process)),
        };
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "Started the operator");

        let identity = identity(clock());
        let api: Api<Lease> = Api::namespaced(client.clone(), &lease_namespace);
        let election = Election::new(api, &args.lease_name, &identity, timing, fence, clock);
        metrics.set_leader(&args.lease_name, !args.leader_elect);
        Ok(Self {
            args,
            clock,
            client,
            index,
            queue,
            metrics,
            watches,
            election,
            identity,
            background,
        })
    }

    /// Waits until this process may work. What the watches find meanwhile is collected in the queue, once per key, and
    /// nobody takes it. Returns how the process ended, where it did.
    async fn stand_by(&mut self, stop: &mut Stop) -> Option<Ended> {
        let ready = async {
            self.watches.synced().await;
            tracing::info!("Read every list");
            if self.args.leader_elect {
                self.election.acquire().await;
            }
        };
        let ended = tokio::select! {
            () = stop.wait() => Some(Ended::Stopped),
            ended = self.background.defect() => Some(ended),
            () = ready => None,
        };
        if ended == Some(Ended::Stopped) {
            self.election.release().await;
        }
        self.metrics
            .set_leader(&self.args.lease_name, ended.is_none());
        ended
    }

    /// Works until a signal or until the leadership is lost.
    async fn lead(&mut self, stop: &mut Stop) -> Ended {
        let (stop_workers, stopped) = watch::channel(false);
        let workers = usize::from(self.args.max_concurrent_reconciles);
        self.metrics.set_workers(workers);
        let events = Events::new(self.client.clone(), &self.identity, self.clock);
        let (index, queue, metrics) = (
            Arc::clone(&self.index),
            Arc::clone(&self.queue),
            Arc::clone(&self.metrics),
        );
        let work = Reconciler::new(
            self.client.clone(),
            index,
            queue,
            events,
            metrics,
            self.clock,
        );
        let work = Arc::new(work.with_max_disrupted_nodes(self.args.max_disrupted_nodes));
        let (args, watches, queue) = (self.args, &self.watches, &self.queue);
        let run_workers = async {
            if args.leader_elect {
                // The lists the standby kept warm may lag behind the last writes of the leader before us.
                watches.resync().await;
            }
            self.index.keys().into_iter().for_each(|key| queue.add(key));
            tracing::info!(workers, "Started the workers");
            driver::run(Arc::clone(queue), workers, stopped, move |key| {
                Arc::clone(&work).work(key)
            })
            .await;
        };
        tokio::pin!(run_workers);
        let election = &mut self.election;
        let mut hold = Box::pin(async {
            if args.leader_elect {
                election.hold().await;
            } else {
                std::future::pending::<()>().await;
            }
        });
        tokio::select! {
            () = stop.wait() => {}
            () = &mut hold => return Ended::LostLeadership,
            () = &mut run_workers => return Ended::Defect,
            ended = self.background.defect() => return ended,
        }
        stop_workers.send_replace(true);
        tracing::info!("Stopped taking work");
        tokio::select! {
            () = &mut run_workers => {}
            () = &mut hold => return Ended::LostLeadership,
            () = tokio::time::sleep(DRAIN) => tracing::warn!("Gave up on passes that did not end"),
        }
        drop(hold);
        if args.leader_elect {
            self.election.release().await;
        }
        Ended::Stopped
    }
}

/// Parts that never end unless something is broken.
struct Background {
    servers: JoinHandle<()>,
    ticks: JoinHandle<()>,
}

impl Background {
    /// Ends when one of them does.
    async fn defect(&mut self) -> Ended {
        let part = tokio::select! {
            _ = &mut self.ticks => "ticks",
            _ = &mut self.servers => "servers",
        };
        tracing::error!(part, "Ended unexpectedly");
        Ended::Defect
    }
}

/// The servers that the arguments ask for. A server that ends is a defect; none at all never ends.
async fn serve(args: &Args, process: &Arc<Process>) -> Result<JoinHandle<()>, Error> {
    let open = |bind: server::Bind, what| async move {
        bind.open()
            .await
            .map_err(|source| Error::Listen { what, source })
    };
    let health = open(args.health_probe_bind_address, "health").await?;
    let metrics = open(args.metrics_bind_address, "metrics").await?;
    let probe: Arc<dyn Probe> = Arc::clone(process) as Arc<dyn Probe>;
    Ok(tokio::spawn(async move {
        let health = async {
            match health {
                Some(listener) => server::serve_health(listener, Arc::clone(&probe)).await,
                None => std::future::pending().await,
            }
        };
        let metrics = async {
            match metrics {
                Some(listener) => server::serve_metrics(listener, Arc::clone(&probe)).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! { ended = health => ended, ended = metrics => ended };
        if let Err(error) = ended {
            tracing::error!(%error, "Lost a server");
        }
    }))
}

/// The heartbeat.
async fn tick(process: Arc<Process>) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        process.beat();
    }
}

/// A name for this process that no other one has: the pod's or the machine's, and when it began.
fn identity(now: Timestamp) -> String {
    let host = std::env::var("HOSTNAME")
        .ok()
        .filter(|name| !name.is_empty());
    let host = host.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    let host = host.as_deref().map_or("hosttask-operator", str::trim);
    format!("{host}_{}-{:x}", std::process::id(), now.as_nanosecond())
}

/// The signals that end the process.
struct Stop {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::Signals);
        Ok(Self {
            term: listen(SignalKind::terminate())?,
            int: listen(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! { _ = self.term.recv() => {}, _ = self.int.recv() => {} }
    }
}
