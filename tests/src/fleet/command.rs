//! What tests and scripts do to nodes: die, revive, reboot, be re-imaged, join and leave.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::api::{self, ApiError};
use super::engine::{ComingUp, Engine, Host, NodeOutcome, Timer};
use super::node::{Machine, NodeCondition};
use super::script::{Happening, Rule, Script};
use super::timing::later;

/// Why the fleet could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// No node has this name.
    #[error("there is no node {0:?} in the fleet")]
    UnknownNode(String),
    /// The node cannot do this now.
    #[error("node {node:?} is {state}")]
    WrongState {
        /// The node.
        node: String,
        /// `dead`, `alive` or `restarting`.
        state: &'static str,
    },
    /// The fleet's tasks have ended.
    #[error("the fleet has stopped")]
    Stopped,
    /// A request failed.
    #[error("the API server did not do what the fleet asked for")]
    Api(#[from] ApiError),
}

/// Where the outcome of a command goes. Nobody listens to the ones of a script.
pub(super) type Acknowledge = Option<oneshot::Sender<Result<Vec<String>, FleetError>>>;

/// A command and where its outcome goes.
pub(super) struct Command {
    pub(super) what: What,
    pub(super) done: Acknowledge,
}

/// What the fleet can be told.
pub(super) enum What {
    Script(Box<Script>),
    Rule(Box<Rule>),
    Kill(String),
    Revive(String),
    Reboot {
        node: String,
        down: Duration,
    },
    Reimage {
        node: String,
        down: Duration,
        new_object: bool,
    },
    Condition {
        node: String,
        condition: NodeCondition,
    },
    Add(usize),
    Remove(String),
}

fn answer(done: Acknowledge, outcome: Result<Vec<String>, FleetError>) {
    if let Some(done) = done {
        // The caller may have stopped waiting.
        drop(done.send(outcome));
    } else if let Err(error) = outcome {
        tracing::warn!(%error, "an event of the script did not happen");
    }
}

impl Engine {
    pub(super) fn obey(&mut self, command: Command) {
        let Command { what, done } = command;
        match what {
            What::Script(script) => {
                self.events.clone_from(&script.events);
                self.options.script = *script;
                self.timers
                    .retain(|(_, timer)| !matches!(timer, Timer::Event(_)));
                self.schedule_events(Timestamp::now());
                self.step_all();
                answer(done, Ok(Vec::new()));
            }
            What::Rule(rule) => {
                self.options.script.rules.insert(0, *rule);
                self.step_all();
                answer(done, Ok(Vec::new()));
            }
            What::Kill(node) => {
                let outcome = self.host(&node).map(|host| host.alive = false);
                answer(done, outcome.map(|()| Vec::new()));
            }
            What::Revive(node) => self.revive(node, done),
            What::Reboot { node, down } => self.take_down(node, down, false, false, done),
            What::Reimage {
                node,
                down,
                new_object,
            } => self.take_down(node, down, true, new_object, done),
            What::Condition { node, condition } => self.report(node, condition, done),
            What::Add(count) => self.add(count, done),
            What::Remove(node) => self.remove(&node, done),
        }
    }

    fn host(&mut self, node: &str) -> Result<&mut Host, FleetError> {
        let host = self
            .hosts
            .get_mut(node)
            .ok_or_else(|| FleetError::UnknownNode(node.to_owned()))?;
        if host.coming_up.is_some() {
            return Err(FleetError::WrongState {
                node: node.to_owned(),
                state: "restarting",
            });
        }
        Ok(host)
    }

    fn revive(&mut self, node: String, done: Acknowledge) {
        match self.host(&node) {
            Err(error) => return answer(done, Err(error)),
            Ok(host) if host.alive => {
                return answer(
                    done,
                    Err(FleetError::WrongState {
                        node,
                        state: "alive",
                    }),
                );
            }
            Ok(host) => host.alive = true,
        }
        self.report_up(node, done);
    }

    /// The node reports a condition from now on. One that is Ready again reports its pods too: others have changed them.
    fn report(&mut self, node: String, condition: NodeCondition, done: Acknowledge) {
        let host = match self.host(&node) {
            Err(error) => return answer(done, Err(error)),
            Ok(host) => host,
        };
        let type_ = condition.type_.clone();
        host.machine.conditions.insert(type_, condition.clone());
        let recovers = condition.type_ == "Ready" && condition.status == "True";
        let uids: Vec<String> = host.pods.iter().filter(|_| recovers).cloned().collect();
        let (machine, client) = (host.machine.clone(), self.client.clone());
        self.node_work.spawn(async move {
            let outcome = api::report_condition(&client, &machine, &condition).await;
            Box::new(move |engine: &mut Self| {
                for uid in uids {
                    engine.reassert(&uid);
                }
                answer(done, outcome.map(|()| vec![node]).map_err(FleetError::from));
            }) as NodeOutcome
        });
    }

    /// Reports the node well, renews its lease, and lets its pods go on.
    fn report_up(&mut self, node: String, done: Acknowledge) {
        let Some(host) = self.hosts.get(&node) else {
            return;
        };
        let (client, machine, uid) = (self.client.clone(), host.machine.clone(), host.uid.clone());
        let seconds = self.options.lease_seconds();
        let uids: Vec<String> = host.pods.iter().cloned().collect();
        self.node_work.spawn(async move {
            let outcome = match api::renew(&client, &machine, &uid, seconds).await {
                Ok(()) => api::report_node(&client, &machine).await.map(drop),
                Err(error) => Err(error),
            };
            Box::new(move |engine: &mut Self| {
                for uid in uids {
                    engine.reassert(&uid);
                }
                answer(done, outcome.map(|()| vec![node]).map_err(FleetError::from));
            }) as NodeOutcome
        });
    }

    fn take_down(
        &mut self,
        node: String,
        down: Duration,
        installs: bool,
        new_object: bool,
        done: Acknowledge,
    ) {
        match self.host(&node) {
            Err(error) => return answer(done, Err(error)),
            Ok(host) => {
                host.alive = false;
                host.coming_up = Some(ComingUp {
                    installs,
                    new_object,
                    done,
                });
            }
        }
        self.timers
            .insert((later(Timestamp::now(), down), Timer::Up(node)));
    }

    pub(super) fn bring_up(&mut self, node: &str) {
        let Some(host) = self.hosts.get_mut(node) else {
            return;
        };
        let Some(ComingUp {
            installs,
            new_object,
            done,
        }) = host.coming_up.take()
        else {
            return;
        };
        host.alive = true;
        host.machine.boots += 1;
        host.machine.installs += u32::from(installs);
        if !new_object {
            // containerd finds the containers of the boot before without their tasks; a new disk has no containers.
            let (code, reason) = if installs {
                (137, "ContainerStatusUnknown")
            } else {
                (255, "Unknown")
            };
            self.lose(node, code, reason);
            return self.report_up(node.to_owned(), done);
        }
        host.alive = false;
        let (client, machine, name) = (self.client.clone(), host.machine.clone(), node.to_owned());
        let seconds = self.options.lease_seconds();
        self.node_work.spawn(async move {
            let outcome = match api::unregister(&client, &machine).await {
                Ok(()) => api::register(&client, &machine, seconds).await,
                Err(error) => Err(error),
            };
            Box::new(move |engine: &mut Self| {
                let outcome = outcome.map(|uid| {
                    if let Some(host) = engine.hosts.get_mut(&name) {
                        host.uid = uid;
                        host.alive = true;
                    }
                    engine.lose(&name, 137, "ContainerStatusUnknown");
                    vec![name]
                });
                answer(done, outcome.map_err(FleetError::from));
            }) as NodeOutcome
        });
    }

    fn add(&mut self, count: usize, done: Acknowledge) {
        let machines: Vec<Machine> = (0..count)
            .map(|_| {
                let index = self.next_index;
                self.next_index += 1;
                self.options.machine(index)
            })
            .collect();
        let names: Vec<String> = machines
            .iter()
            .map(|machine| machine.facts.name.clone())
            .collect();
        for machine in &machines {
            // Known before it is registered: its first pods may be seen before the answer.
            self.hosts
                .insert(machine.facts.name.clone(), Host::silent(machine.clone()));
        }
        let (client, seconds) = (self.client.clone(), self.options.lease_seconds());
        self.node_work.spawn(async move {
            let mut registered = Vec::new();
            let mut failure = None;
            for machine in machines {
                match api::register(&client, &machine, seconds).await {
                    Ok(uid) => registered.push((machine, uid)),
                    Err(error) => failure = Some((machine.facts.name, error)),
                }
            }
            Box::new(move |engine: &mut Self| {
                for (machine, uid) in registered {
                    engine.host_joined(machine, uid);
                }
                let failure = failure.map(|(name, error)| {
                    engine.hosts.remove(&name);
                    error
                });
                answer(done, failure.map_or(Ok(names), |error| Err(error.into())));
            }) as NodeOutcome
        });
    }

    /// A registered node is played from now on.
    pub(super) fn host_joined(&mut self, machine: Machine, uid: String) {
        let name = machine.facts.name.clone();
        let interval = self.options.lease_interval();
        // Spread over the interval, or 5,000 nodes would renew in the same moment for ever.
        let share = super::chance::Span::Between([0.0, interval.as_secs_f64()])
            .pick(self.options.seed, &[&name, "lease"]);
        self.timers
            .insert((later(Timestamp::now(), share), Timer::Lease(name.clone())));
        let host = self
            .hosts
            .entry(name)
            .or_insert_with(|| Host::silent(machine));
        host.uid = uid;
        host.alive = true;
        let uids: Vec<String> = host.pods.iter().cloned().collect();
        for uid in uids {
            self.step(&uid);
        }
    }

    fn remove(&mut self, node: &str, done: Acknowledge) {
        if let Err(error) = self.host(node) {
            return answer(done, Err(error));
        }
        let Some(host) = self.hosts.remove(node) else {
            return;
        };
        self.timers
            .retain(|(_, timer)| *timer != Timer::Lease(node.to_owned()));
        let client = self.client.clone();
        self.node_work.spawn(async move {
            let outcome = api::unregister(&client, &host.machine).await;
            Box::new(move |_: &mut Self| {
                answer(done, outcome.map(|()| Vec::new()).map_err(FleetError::from));
            }) as NodeOutcome
        });
    }

    pub(super) fn schedule_events(&mut self, start: Timestamp) {
        for (index, event) in self.events.iter().enumerate() {
            let delay = Duration::try_from_secs_f64(event.after_seconds).unwrap_or_default();
            self.timers
                .insert((later(start, delay), Timer::Event(index)));
        }
    }

    pub(super) fn play(&mut self, index: usize) {
        let Some(event) = self.events.get(index).cloned() else {
            return;
        };
        let down = Duration::try_from_secs_f64(event.down_seconds).unwrap_or_default();
        if event.does == Happening::Joins {
            return self.add(event.count, None);
        }
        let fits = |name: &&String| event.nodes.iter().any(|glob| glob.matches(name));
        let nodes: Vec<String> = self.hosts.keys().filter(fits).cloned().collect();
        for node in nodes {
            let what = match event.does {
                Happening::Dies => What::Kill(node),
                Happening::Revives => What::Revive(node),
                Happening::Reboots => What::Reboot { node, down },
                Happening::Reimaged => What::Reimage {
                    node,
                    down,
                    new_object: event.new_object,
                },
                Happening::Leaves => What::Remove(node),
                Happening::Joins => continue,
            };
            self.obey(Command { what, done: None });
        }
    }
}
