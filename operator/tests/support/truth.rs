//! What is true of a cluster, counted another way than the plan does.

use crate::cluster::World;

pub(crate) fn serves(world: &World, node: &str) -> bool {
    world
        .pods
        .iter()
        .any(|pod| pod.node == node && !pod.deleting && pod.ready_since.is_some())
}

/// Reachable nodes without a pod that serves.
pub(crate) fn disturbed(world: &World) -> usize {
    world
        .nodes
        .iter()
        .filter(|node| node.ready && !serves(world, &node.name))
        .count()
}

/// Reachable nodes whose pod is gone, going or at `update` without serving.
pub(crate) fn in_flight(world: &World, update: &str) -> usize {
    let started = |node: &str| {
        let mut pods = world
            .pods
            .iter()
            .filter(|pod| pod.node == node && !pod.deleting)
            .peekable();
        pods.peek().is_none() || pods.any(|pod| pod.revision == update)
    };
    world
        .nodes
        .iter()
        .filter(|node| node.ready && started(&node.name) && !serves(world, &node.name))
        .count()
}

/// A node that left before its replacement was created is given up; one that left after keeps its slot.
pub(crate) fn holds_slot(world: &World, name: &str) -> bool {
    let node = world.nodes.iter().find(|node| node.name == name).unwrap();
    let left = node.ready_changed.unwrap();
    node.ready
        || world
            .pods
            .iter()
            .any(|pod| pod.node == name && (pod.deleting || pod.created <= left))
}
