//! Plots: each scenario of a suite gets nodes of its own in the shared fleet, so that scenarios run side by side.

use serde_json::{Value, json};

use super::tasks::with;
use crate::fleet::{FleetOptions, Glob};

/// The node label that names the plot.
const PLOT: &str = "plot";
/// The node label that waves select by.
pub const RING: &str = "ring";

/// The nodes of one scenario: some in ring `canary`, some in ring `pilot`, the rest in none.
#[derive(Clone, Copy, Debug)]
pub struct Plot {
    /// Its name.
    pub name: &'static str,
    /// How many nodes have the label `ring=canary`.
    pub canary: usize,
    /// How many nodes have the label `ring=pilot`.
    pub pilot: usize,
    /// How many nodes have no ring.
    pub rest: usize,
}

/// A plot in short: its name and how many nodes are in `canary`, in `pilot` and in no ring.
pub const fn plot(name: &'static str, canary: usize, pilot: usize, rest: usize) -> Plot {
    Plot {
        name,
        canary,
        pilot,
        rest,
    }
}

/// A fleet with the nodes of all plots, in their order.
pub fn fleet(plots: &[Plot]) -> FleetOptions {
    let mut options = FleetOptions {
        nodes: 0,
        ..FleetOptions::default()
    };
    for plot in plots {
        for name in plot.nodes(plots) {
            let node = Glob::new(name.as_str());
            if let Some(ring) = plot.ring(plots, &name).filter(|ring| ring != "default") {
                options.labels.push((node.clone(), RING.to_owned(), ring));
            }
            options
                .labels
                .push((node, PLOT.to_owned(), plot.name.to_owned()));
            options.nodes += 1;
        }
    }
    options
}

impl Plot {
    /// Its nodes, those of ring `canary` first, then those of `pilot`.
    pub fn nodes(&self, plots: &[Self]) -> Vec<String> {
        let before = plots.iter().take_while(|plot| plot.name != self.name);
        let first: usize = before.map(Self::size).sum();
        (first + 1..=first + self.size())
            .map(|index| format!("win-{index:04}"))
            .collect()
    }

    /// How many nodes it has.
    pub const fn size(&self) -> usize {
        self.canary + self.pilot + self.rest
    }

    /// The wave of a node under [`rings`] before anybody changes labels: `canary`, `pilot` or `default`. None for a node of
    /// another plot.
    pub fn ring(&self, plots: &[Self], node: &str) -> Option<String> {
        let place = self.nodes(plots).iter().position(|name| name == node)?;
        let ring = if place < self.canary {
            "canary"
        } else if place < self.canary + self.pilot {
            "pilot"
        } else {
            "default"
        };
        Some(ring.to_owned())
    }

    /// The task, placed on this plot only.
    pub fn task(&self, task: Value) -> Value {
        let selector = json!({ "nodeSelector": { "matchLabels": { PLOT: self.name } } });
        with(task, &json!({ "spec": { "placement": selector } }))
    }

    /// The label that puts a node into this plot.
    pub fn label(&self) -> Value {
        json!({ PLOT: self.name })
    }
}

/// A wave of the nodes of one ring, with further fields.
pub fn wave(ring: &str, fields: &Value) -> Value {
    let wave = json!({ "name": ring, "nodeSelector": { "matchLabels": { RING: ring } } });
    with(wave, fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_share_no_node_and_rings_come_in_order() {
        let plots = [plot("one", 1, 1, 1), plot("two", 0, 0, 2)];
        assert_eq!(plots[1].nodes(&plots), ["win-0004", "win-0005"]);
        let rings: Vec<_> = plots[0]
            .nodes(&plots)
            .iter()
            .map(|node| plots[0].ring(&plots, node).unwrap())
            .collect();
        assert_eq!(rings, ["canary", "pilot", "default"]);
        assert_eq!(plots[0].ring(&plots, "win-0004"), None);
        let options = fleet(&plots);
        assert_eq!(
            (options.nodes, options.labels.len()),
            (5, 7),
            "every node has its plot, two have a ring"
        );
    }
}
