//! What people change about the task in the laws: its waves, policies, windows, and what they approve.

use std::time::Duration;

use hosttask_crds::task::{Approval, ConditionStatus, FailureAction};
use hosttask_operator::desired::{
    Amount, Desired, FailurePolicy, NodeCondition, Operator, Requirement, TopologyOrder, Wave,
    Window,
};

use crate::cluster::{CONDITION, Cluster, DEPENDENCY, POOL, RING, ZONE};

/// Divisions of the fleet: names of waves and the rings they take, in order.
const LAYOUTS: [&[(&str, &[&str])]; 6] = [
    &[],
    &[("canary", &["0"])],
    &[("canary", &["0"]), ("early", &["1"])],
    &[("early", &["1"]), ("canary", &["0"])],
    &[("canary", &["0", "1"])],
    &[("pilot", &["2"]), ("canary", &["0", "1"])],
];

/// How many layouts there are.
pub(crate) const LAYOUT_COUNT: usize = LAYOUTS.len();

/// One change of the spec, or of an annotation of the task.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Layout(usize),
    Soak(u64),
    Manual(bool),
    WaveBudget(Option<i32>),
    /// Approves a wave of the revision that is rolled out, by the annotation.
    Approve(usize),
    Policy(Option<(i32, FailureAction)>),
    Retry,
    Window(bool),
    Order(Option<bool>),
    Partition(Option<i32>),
    Depends(bool),
    Conditions(bool),
    UnreachableAfter(u64),
    MaxUnreachable(Option<i32>),
    /// Whether only one pool is selected.
    Place(bool),
    /// The same spec under a new generation, as a tool that applies it again and again makes.
    Touch,
}

/// The waves of one layout.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) layout: usize,
    pub(crate) soak: u64,
    pub(crate) manual: bool,
    pub(crate) budget: Option<i32>,
}

impl Shape {
    pub(crate) fn waves(&self) -> Vec<Wave> {
        let named = LAYOUTS[self.layout].iter().map(|(name, rings)| Wave {
            name: (*name).to_owned(),
            requirements: vec![is_in(RING, rings)],
            max_unavailable: self.budget.map(Amount::Count),
            soak: Duration::from_secs(self.soak),
            approval: if self.manual {
                Approval::Manual
            } else {
                Approval::Auto
            },
        });
        named.chain([Wave::rest()]).collect()
    }
}

fn is_in(key: &str, values: &[&str]) -> Requirement {
    Requirement {
        key: key.to_owned(),
        operator: Operator::In,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    }
}

impl Edit {
    /// Makes the change. The waves follow from `shape`.
    pub(crate) fn make(&self, shape: &mut Shape, cluster: &mut Cluster) {
        let desired = &mut cluster.desired;
        match *self {
            Self::Layout(layout) => shape.layout = layout,
            Self::Soak(seconds) => shape.soak = seconds,
            Self::Manual(manual) => shape.manual = manual,
            Self::WaveBudget(budget) => shape.budget = budget,
            Self::Approve(wave) => approve(cluster, wave),
            Self::Retry => {
                let serial = cluster.next();
                cluster.requests.retry = Some(serial.to_string());
            }
            Self::Policy(policy) => {
                desired.failure_policy = policy.map(|(nodes, action)| FailurePolicy {
                    max_failed: Amount::Count(nodes),
                    action,
                });
            }
            Self::Window(set) => desired.windows = set.then(window).into_iter().collect(),
            Self::Order(order) => {
                let order = order.map(|sequential| TopologyOrder {
                    key: ZONE.to_owned(),
                    sequential,
                });
                desired.order = order.into_iter().collect();
            }
            Self::Partition(nodes) => desired.partition = nodes.map(Amount::Count),
            Self::Depends(depends) => {
                let named = depends.then(|| DEPENDENCY.to_owned());
                desired.depends_on = named.into_iter().collect();
            }
            Self::Conditions(asks) => {
                let wanted = asks.then(|| NodeCondition {
                    kind: CONDITION.to_owned(),
                    status: ConditionStatus::True,
                });
                desired.node_conditions = wanted.into_iter().collect();
            }
            Self::UnreachableAfter(seconds) => {
                desired.unreachable_after = Duration::from_secs(seconds);
            }
            Self::MaxUnreachable(nodes) => desired.max_unreachable = nodes.map(Amount::Count),
            Self::Place(pool) => place(cluster, pool),
            Self::Touch => {}
        }
        let desired = &mut cluster.desired;
        desired.waves = shape.waves();
        if desired.waves.len() > 1 {
            // Validation refuses both together.
            desired.partition = None;
        }
        if !matches!(self, Self::Approve(_) | Self::Retry) {
            desired.generation += 1;
        }
    }
}

fn window() -> Window {
    Window {
        schedule: "0 2 * * *".to_owned(),
        duration: Duration::from_hours(1),
        time_zone: "UTC".to_owned(),
    }
}

fn approve(cluster: &mut Cluster, wave: usize) {
    let names = cluster.desired.waves.iter().map(|wave| &wave.name);
    let name = names.cycle().nth(wave).unwrap();
    let update = cluster.status.update_revision.clone().unwrap_or_default();
    cluster.requests.approved_wave = Some(format!("{update}/{name}"));
}

/// Selects one pool of nodes, or all. Nodes whose selection changes are no longer expected to keep their pods.
fn place(cluster: &mut Cluster, pool: bool) {
    let wanted: Vec<_> = pool.then(|| is_in(POOL, &["0"])).into_iter().collect();
    let selects = |desired: &Desired, cluster: &Cluster, node: &str| {
        desired.placement.selects(&cluster.world.labels[node])
    };
    let mut next = cluster.desired.clone();
    next.placement.requirements = wanted;
    for node in cluster.world.nodes.clone() {
        let name = &node.name;
        if selects(&cluster.desired, cluster, name) != selects(&next, cluster, name) {
            let serial = cluster.next();
            cluster.moved.insert(name.clone(), serial);
        }
    }
    cluster.desired = next;
}
