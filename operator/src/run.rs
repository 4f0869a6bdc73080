//! The running process: what is started in which order, and how it ends.
//!
//! ```text
//!   client ─▶ servers ─▶ watches ─▶ every list seen ─▶ election ─▶ lists read again ─▶ workers
//!                                                        │ standby: warm, writes nothing
//!   SIGTERM: take no more work ─▶ finish running passes (10 s) ─▶ release the Lease ─▶ exit 0
//!   leadership lost: fence closed ─▶ exit 3 at once
//! ```

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
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
    let timing = args.timing()?;
    let mut stop = Stop::new()?;
    let config = client::infer().await?;
    let host = config
        .cluster_url
        .authority()
        .map(ToString::to_string)
        .unwrap_or_default();
    let lease_namespace = args
        .leader_election_namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let metrics = Arc::new(Metrics::new(host));
    let fence = Arc::new(if args.leader_elect {
        Fence::closed()
    } else {
        Fence::open()
    });
    let client = client::connect(
        config,
        args.limits(),
        Arc::clone(&fence),
        Arc::clone(&metrics) as Arc<dyn client::Meter>,
    )?;

    let index = Arc::new(Index::new(args.namespace.clone()));
    let queue: Arc<SharedQueue<Key>> = Arc::new(SharedQueue::new(
        Arc::clone(&metrics) as Arc<dyn driver::Meter>
    ));
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
    let (parts, health) = (Arc::clone(&metrics), watches.health());
    let process = Arc::new(Process::new(
        Arc::clone(&index),
        Arc::clone(&queue),
        parts,
        health,
    ));
    let mut servers = serve(args, &process).await?;
    let mut ticks = tokio::spawn(tick(process));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "Started the operator");

    let identity = identity(clock());
    let api: Api<Lease> = Api::namespaced(client.clone(), &lease_namespace);
    let mut election = Election::new(api, &args.lease_name, &identity, timing, fence, clock);
    metrics.set_leader(&args.lease_name, !args.leader_elect);

    // Standby. What the watches find is collected in the queue, once per key, and nobody takes it.
    let lead = async {
        watches.synced().await;
        tracing::info!("Read every list");
        if args.leader_elect {
            election.acquire().await;
        }
    };
    tokio::select! {
        () = stop.wait() => {
            election.release().await;
            return Ok(Ended::Stopped);
        }
        ended = defect(&mut ticks, &mut servers) => return Ok(ended),
        () = lead => {}
    }
    metrics.set_leader(&args.lease_name, true);

    // Leader.
    let (stop_workers, stopped) = watch::channel(false);
    let workers = usize::from(args.max_concurrent_reconciles);
    metrics.set_workers(workers);
    let work = {
        let events = Events::new(client.clone(), &identity);
        let (index, queue) = (Arc::clone(&index), Arc::clone(&queue));
        Arc::new(Reconciler::new(
            client,
            index,
            queue,
            events,
            Arc::clone(&metrics),
            clock,
        ))
    };
    let run_workers = async {
        if args.leader_elect {
            // The lists the standby kept warm may lag behind the last writes of the leader before us.
            watches.resync().await;
        }
        index.keys().into_iter().for_each(|key| queue.add(key));
        tracing::info!(workers, "Started the workers");
        driver::run(Arc::clone(&queue), workers, stopped, move |key| {
            Arc::clone(&work).work(key)
        })
        .await;
    };
    tokio::pin!(run_workers);
    let mut hold = Box::pin(async {
        if args.leader_elect {
            election.hold().await
        } else {
            std::future::pending().await
        }
    });
    tokio::select! {
        () = stop.wait() => {}
        () = &mut hold => return Ok(Ended::LostLeadership),
        () = &mut run_workers => return Ok(Ended::Defect),
        ended = defect(&mut ticks, &mut servers) => return Ok(ended),
    }

    stop_workers.send_replace(true);
    tracing::info!("Stopped taking work");
    tokio::select! {
        () = &mut run_workers => {}
        () = &mut hold => return Ok(Ended::LostLeadership),
        () = tokio::time::sleep(DRAIN) => tracing::warn!("Gave up on passes that did not end"),
    }
    drop(hold);
    if args.leader_elect {
        election.release().await;
    }
    tracing::info!("Stopped the operator");
    Ok(Ended::Stopped)
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

/// Ends when one of the parts that never end does.
async fn defect(ticks: &mut JoinHandle<()>, servers: &mut JoinHandle<()>) -> Ended {
    let part = tokio::select! {
        _ = ticks => "ticks",
        _ = servers => "servers",
    };
    tracing::error!(part, "Ended unexpectedly");
    Ended::Defect
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

    fn wait(&mut self) -> impl Future<Output = ()> {
        async {
            tokio::select! { _ = self.term.recv() => {}, _ = self.int.recv() => {} }
        }
    }
}
