//! The simulated Windows fleet: one process that plays the kubelets of 1 to 5,000 Windows nodes.
//!
//! ```text
//!   watch of all bound pods ─► engine ─► machine::step(now, node, pod, script, state) ─► status, deletion, next wake-up
//!   commands, script events ─►   │  ▲                      (pure)                                    │
//!                                ▼  └────────────────────────────────────────────────────────────────┘
//!                     bounded writes: pod status, pod deletion, lease, node
//! ```
//!
//! What a pod does is decided in pure code by time, script and seed; the engine only keeps the states and does the
//! requests. The scripts are documented in `tests/docs/fleet.md`.

mod api;
#[cfg(test)]
mod builder;
mod chance;
mod command;
mod conditions;
mod container;
#[cfg(test)]
mod container_tests;
mod engine;
mod glob;
mod life;
#[cfg(test)]
mod loss_tests;
mod machine;
#[cfg(test)]
mod machine_tests;
mod node;
mod options;
mod pod;
mod readiness;
mod refusal;
#[cfg(test)]
mod refusal_tests;
pub mod script;
mod script_check;
#[cfg(test)]
mod script_tests;
mod state;
mod stats;
mod status;
mod stop;
mod timing;
mod watch;
mod writes;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

pub use api::ApiError;
pub use chance::Span;
pub use command::FleetError;
pub use glob::Glob;
pub use node::{NodeCondition, Taints};
pub use options::FleetOptions;
pub use script::{Behaviour, Rule, Script};
pub use stats::Stats;

use command::{Command, What};
use engine::Engine;

/// How many nodes register at the same time.
const REGISTRATIONS: usize = 16;

/// A running fleet. It stops when it is dropped; its Node objects stay, as those of machines that lost their power.
#[derive(Debug)]
pub struct Fleet {
    commands: mpsc::UnboundedSender<Command>,
    stats: Arc<Mutex<Stats>>,
    names: Vec<String>,
    // Dropping the set ends the tasks.
    _tasks: JoinSet<()>,
}

impl Fleet {
    /// Registers the nodes and begins to play their kubelets. A Node that exists already is taken over.
    ///
    /// # Errors
    /// A node could not be registered.
    pub async fn start(client: Client, options: FleetOptions) -> Result<Self, FleetError> {
        let seconds = options.lease_seconds();
        let machines = (1..=options.nodes).map(|index| options.machine(index));
        let registrations = machines.map(|machine| {
            let client = client.clone();
            async move {
                let uid = api::register(&client, &machine, seconds).await?;
                Ok::<_, ApiError>((machine, uid))
            }
        });
        let registered: Vec<_> = stream::iter(registrations)
            .buffer_unordered(REGISTRATIONS)
            .try_collect()
            .await?;
        let stats = Arc::new(Mutex::new(Stats::default()));
        let mut engine = Engine::new(client.clone(), options, Arc::clone(&stats));
        engine.next_index = engine.options.nodes + 1;
        let mut names: Vec<String> = registered
            .iter()
            .map(|(machine, _)| machine.facts.name.clone())
            .collect();
        names.sort_unstable();
        for (machine, uid) in registered {
            engine.host_joined(machine, uid);
        }
        let (commands, told) = mpsc::unbounded_channel();
        let (pods, seen) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(watch::follow(client, pods));
        tasks.spawn(engine.run(seen, told));
        Ok(Self {
            commands,
            stats,
            names,
            _tasks: tasks,
        })
    }

    /// The names of the nodes that registered at the start, in order.
    pub fn nodes(&self) -> &[String] {
        &self.names
    }

    /// What the nodes have done so far.
    pub fn stats(&self) -> Stats {
        self.stats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts a rule before all others. It holds from now on, for running containers too.
    ///
    /// # Errors
    /// The fleet has stopped.
    pub async fn set_behaviour(&self, rule: Rule) -> Result<(), FleetError> {
        self.tell(What::Rule(Box::new(rule))).await.map(drop)
    }

    /// Replaces the script. Its events are counted from now on.
    ///
    /// # Errors
    /// The fleet has stopped.
    pub async fn set_script(&self, script: Script) -> Result<(), FleetError> {
        self.tell(What::Script(Box::new(script))).await.map(drop)
    }

    /// The node stops answering: no lease, no status, no deletion. Its containers go on unseen.
    ///
    /// # Errors
    /// The node is unknown or restarting.
    pub async fn kill_node(&self, node: &str) -> Result<(), FleetError> {
        self.tell(What::Kill(node.to_owned())).await.map(drop)
    }

    /// The node answers again and reports what happened meanwhile.
    ///
    /// # Errors
    /// The node is unknown, alive or restarting, or could not be reported.
    pub async fn revive_node(&self, node: &str) -> Result<(), FleetError> {
        self.tell(What::Revive(node.to_owned())).await.map(drop)
    }

    /// The node restarts: it is silent for `down` and then has another boot ID; containers are started anew. Returns when
    /// the node has reported itself.
    ///
    /// # Errors
    /// The node is unknown or restarting already, or could not be reported.
    pub async fn reboot_node(&self, node: &str, down: Duration) -> Result<(), FleetError> {
        self.tell(What::Reboot {
            node: node.to_owned(),
            down,
        })
        .await
        .map(drop)
    }

    /// The node is installed anew: it is silent for `down` and then has another system UUID and boot ID. With `new_object`
    /// the Node object is deleted and created again, so that it has another UID too. Returns when it has reported itself.
    ///
    /// # Errors
    /// The node is unknown or restarting already, or could not be reported.
    pub async fn reimage_node(
        &self,
        node: &str,
        down: Duration,
        new_object: bool,
    ) -> Result<(), FleetError> {
        self.tell(What::Reimage {
            node: node.to_owned(),
            down,
            new_object,
        })
        .await
        .map(drop)
    }

    /// The node reports a condition from now on, also after it was dead or restarted.
    ///
    /// # Errors
    /// The node is unknown or restarting, or the report failed.
    pub async fn set_condition(
        &self,
        node: &str,
        condition: NodeCondition,
    ) -> Result<(), FleetError> {
        let node = node.to_owned();
        self.tell(What::Condition { node, condition })
            .await
            .map(drop)
    }

    /// New nodes join. Returns their names.
    ///
    /// # Errors
    /// A node could not be registered; others may have been.
    pub async fn add_nodes(&self, count: usize) -> Result<Vec<String>, FleetError> {
        self.tell(What::Add(count)).await
    }

    /// The node leaves with its Node object.
    ///
    /// # Errors
    /// The node is unknown or restarting, or its object could not be deleted.
    pub async fn remove_node(&self, node: &str) -> Result<(), FleetError> {
        self.tell(What::Remove(node.to_owned())).await.map(drop)
    }

    async fn tell(&self, what: What) -> Result<Vec<String>, FleetError> {
        let (done, outcome) = oneshot::channel();
        self.commands
            .send(Command {
                what,
                done: Some(done),
            })
            .map_err(|_| FleetError::Stopped)?;
        outcome.await.map_err(|_| FleetError::Stopped)?
    }
}
