//! What is true of a cluster, counted another way than the plan does: from nodes, pods and ledgers alone.

use std::collections::BTreeSet;

use hosttask_crds::node::LedgerState;
use hosttask_crds::task::{Approval, Mode};
use hosttask_operator::desired::{Amount, Desired, Wave};
use hosttask_operator::observed::{Exit, JobEnd, NodeView, PodView};
use jiff::Timestamp;

use crate::cluster::{CONDITION, Cluster, POOL, RING, World};

/// Whether the task selects the node. The placements of the laws name a pool, or none.
pub(crate) fn is_selected(desired: &Desired, world: &World, node: &str) -> bool {
    let labels = &world.labels[node];
    let mut wanted = desired.placement.requirements.iter();
    wanted.all(|it| it.key == POOL && it.values.contains(&labels[POOL]))
}

/// The nodes of the task.
pub(crate) fn fleet<'a>(
    desired: &'a Desired,
    world: &'a World,
) -> impl Iterator<Item = &'a NodeView> {
    let nodes = world.nodes.iter();
    nodes.filter(|node| is_selected(desired, world, &node.name))
}

/// The position of the node's wave: the first that names its ring. The waves of the laws name rings, the last none.
pub(crate) fn wave_of(desired: &Desired, world: &World, node: &str) -> usize {
    let ring = &world.labels[node][RING];
    let takes = |wave: &Wave| {
        let mut wanted = wave.requirements.iter();
        wanted.all(|it| it.key == RING && it.values.contains(ring))
    };
    desired.waves.iter().position(takes).unwrap()
}

/// The nodes of one wave.
pub(crate) fn wave<'a>(
    desired: &'a Desired,
    world: &'a World,
    position: usize,
) -> impl Iterator<Item = &'a NodeView> {
    fleet(desired, world).filter(move |node| wave_of(desired, world, &node.name) == position)
}

/// Whether the node answers and has the conditions that the task asks for.
pub(crate) fn is_reachable(desired: &Desired, node: &NodeView) -> bool {
    let asks = !desired.node_conditions.is_empty();
    let holds = || {
        let mut all = node.conditions.iter();
        all.any(|it| it.kind == CONDITION && it.status == "True")
    };
    node.ready && (!asks || holds())
}

fn pods<'a>(world: &'a World, node: &'a str) -> impl Iterator<Item = &'a PodView> {
    let live = world.pods.iter().filter(|pod| !pod.deleting);
    live.filter(move |pod| pod.node == node)
}

/// Whether a pod of the task is ready there.
pub(crate) fn serves(world: &World, node: &str) -> bool {
    pods(world, node).any(|pod| pod.ready_since.is_some())
}

/// Whether a pod of this revision is ready there.
pub(crate) fn serves_at(world: &World, node: &str, revision: &str) -> bool {
    pods(world, node).any(|pod| pod.revision == revision && pod.ready_since.is_some())
}

/// Reachable nodes of a wave without a pod that serves.
pub(crate) fn disturbed(desired: &Desired, world: &World, position: usize) -> usize {
    wave(desired, world, position)
        .filter(|node| is_reachable(desired, node) && !serves(world, &node.name))
        .count()
}

/// Reachable nodes of a wave whose pod is gone, going or at `update` without serving.
pub(crate) fn in_flight(desired: &Desired, world: &World, position: usize, update: &str) -> usize {
    let started = |node: &str| {
        let mut pods = pods(world, node).peekable();
        pods.peek().is_none() || pods.any(|pod| pod.revision == update)
    };
    wave(desired, world, position)
        .filter(|node| is_reachable(desired, node))
        .filter(|node| started(&node.name) && !serves(world, &node.name))
        .count()
}

/// A node that left before its replacement was created is given up; one that left after keeps its slot.
/// `touched`: in the rollout of the revision that is asked about.
pub(crate) fn holds_slot(desired: &Desired, world: &World, name: &str, touched: bool) -> bool {
    let node = world.nodes.iter().find(|node| node.name == name).unwrap();
    let left = node.ready_changed.unwrap();
    let mut pods = world.pods.iter().filter(|pod| pod.node == name);
    is_reachable(desired, node)
        || (!node.ready && touched && pods.any(|pod| pod.deleting || pod.created < left))
}

/// Whether nothing is left to do for a revision on a node: it serves, or the program ended well.
pub(crate) fn is_done(desired: &Desired, world: &World, node: &str, revision: &str) -> bool {
    match desired.mode {
        Mode::Daemon => serves_at(world, node, revision),
        Mode::RunOnce | Mode::Scheduled => {
            let entry = world.ledger.get(node);
            let recorded = entry.is_some_and(|entry| {
                entry.revision == revision && entry.state != LedgerState::Failed
            });
            let well = |exit: &Exit| exit.code == 0 || exit.code == 3010;
            recorded
                || ended(world, node, revision).any(|(_, end)| end.exit.as_ref().is_some_and(well))
        }
    }
}

/// Whether the program of a revision was tried there as often as it may be, or the pod is at the revision.
pub(crate) fn is_over(desired: &Desired, world: &World, node: &str, revision: &str) -> bool {
    match desired.mode {
        Mode::Daemon => pods(world, node).any(|pod| pod.revision == revision),
        Mode::RunOnce | Mode::Scheduled => {
            let entry = world.ledger.get(node);
            let recorded = entry.filter(|entry| entry.revision == revision);
            let mut tried = ended(world, node, revision)
                .map(|(attempt, _)| attempt)
                .chain(recorded.map(|entry| entry.attempts));
            tried.any(|attempt| attempt > desired.job.retry_limit)
                || is_done(desired, world, node, revision)
        }
    }
}

/// The Jobs of a revision that ended on a node: the attempt, and how.
fn ended<'a>(
    world: &'a World,
    node: &'a str,
    revision: &'a str,
) -> impl Iterator<Item = (i32, &'a JobEnd)> {
    let jobs = world.jobs.iter();
    jobs.filter(move |job| job.node == node && job.revision == revision)
        .filter_map(|job| Some((job.attempt, job.end.as_ref()?)))
}

/// Whether a wave may be well: every reachable node has the revision, and enough of them do well.
pub(crate) fn is_well(desired: &Desired, world: &World, position: usize, revision: &str) -> bool {
    let is_here = |node: &&NodeView| is_reachable(desired, node);
    let held = |node: &&NodeView| node.unschedulable && !desired.placement.include_unschedulable;
    let nodes: Vec<_> = wave(desired, world, position)
        .filter(is_here)
        .filter(|node| !held(node))
        .collect();
    let good = nodes
        .iter()
        .filter(|node| is_done(desired, world, &node.name, revision));
    let needed = match desired.min_healthy {
        Amount::Percent(percent) => {
            let percent = usize::try_from(percent).unwrap();
            (nodes.len() * percent).div_ceil(100)
        }
        Amount::Count(count) => usize::try_from(count).unwrap().min(nodes.len()),
    };
    good.count() >= needed
        && nodes
            .iter()
            .all(|node| is_over(desired, world, &node.name, revision))
}

/// Whether nobody has to approve the wave, or somebody did.
pub(crate) fn is_approved(cluster: &Cluster, position: usize, revision: &str) -> bool {
    let waves = &cluster.desired.waves;
    let said: BTreeSet<&String> = [
        &cluster.desired.approved_wave,
        &cluster.requests.approved_wave,
    ]
    .into_iter()
    .flatten()
    .collect();
    waves[position].approval == Approval::Auto
        || waves[position..]
            .iter()
            .any(|wave| said.contains(&format!("{revision}/{}", wave.name)))
}

/// Whether the maintenance window of the laws is open: from 2 to 3 o'clock.
pub(crate) fn is_open(desired: &Desired, now: Timestamp) -> bool {
    desired.windows.is_empty() || now.as_second().rem_euclid(86_400) / 3_600 == 2
}
