//! `FleetOptions`: how many nodes, of which kind, and how fast their kubelets' own delays go.

use std::time::Duration;

use jiff::SignedDuration;

use super::glob::Glob;
use super::node::{Machine, Taints};
use super::script::Script;

/// Leases of the whole fleet together are renewed at most this often per second.
const LEASES_PER_SECOND: u64 = 15;
/// The kubelet's own interval between renewals.
const LEASE_INTERVAL: u64 = 10;

/// How a fleet is made up. `Default` is 12 healthy nodes in three zones at real speed.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// How many nodes register at the start.
    pub nodes: usize,
    /// What node names begin with: `win` gives `win-0001`.
    pub prefix: String,
    /// Decides everything that varies. Equal seeds give equal timelines.
    pub seed: u64,
    /// How many zones the nodes are spread over.
    pub zones: usize,
    /// The taints of the node pools.
    pub taints: Taints,
    /// How much faster than real the kubelet's own delays go: back-off, probe delays and periods.
    pub speed: f64,
    /// What containers do and what happens to nodes.
    pub script: Script,
    /// The time between two renewals of a node's lease. Default: the kubelet's 10 s, longer for large fleets, so that the
    /// fleet writes fewer than 20 leases per second. The control plane's `--node-monitor-grace-period` must be longer.
    pub lease_interval: Option<Duration>,
    /// How many requests about pods are under way at the same time at most.
    pub writers: usize,
    /// The local groups that exist on every node.
    pub local_groups: Vec<String>,
    /// Labels that nodes have beside those of their pool: which nodes, key and value.
    pub labels: Vec<(Glob, String, String)>,
    /// Nodes whose clock is wrong, and by how much it is ahead. The first entry that matches a node decides.
    pub clocks: Vec<(Glob, SignedDuration)>,
    /// Whether refusals are also published as Events, as a kubelet does.
    pub events: bool,
}

impl Default for FleetOptions {
    fn default() -> Self {
        let groups = [
            "Administrators",
            "Backup Operators",
            "Event Log Readers",
            "Guests",
            "Hyper-V Administrators",
            "Network Configuration Operators",
            "Performance Log Users",
            "Performance Monitor Users",
            "Remote Desktop Users",
            "Remote Management Users",
            "Users",
        ];
        Self {
            nodes: 12,
            prefix: "win".to_owned(),
            seed: 1,
            zones: 3,
            taints: Taints::Mixed,
            speed: 1.0,
            script: Script::default(),
            lease_interval: None,
            writers: 16,
            local_groups: groups.map(str::to_owned).to_vec(),
            labels: Vec::new(),
            clocks: Vec::new(),
            events: true,
        }
    }
}

impl FleetOptions {
    /// The time between two renewals of a node's lease.
    pub fn lease_interval(&self) -> Duration {
        let nodes = u64::try_from(self.nodes).unwrap_or(u64::MAX);
        self.lease_interval
            .unwrap_or_else(|| Duration::from_secs((nodes / LEASES_PER_SECOND).max(LEASE_INTERVAL)))
    }

    /// The `leaseDurationSeconds` that goes with the interval: four renewals, as the kubelet has it.
    pub(super) fn lease_seconds(&self) -> u64 {
        (self.lease_interval().as_secs() * 4).max(1)
    }

    pub(super) fn machine(&self, index: usize) -> Machine {
        let mut machine = Machine::new(
            index,
            &self.prefix,
            self.seed,
            self.zones,
            self.taints,
            &self.local_groups,
        );
        let name = machine.facts.name.clone();
        let of_node = self
            .labels
            .iter()
            .filter(|(nodes, ..)| nodes.matches(&name));
        machine.labels = of_node
            .map(|(_, key, value)| (key.clone(), value.clone()))
            .collect();
        let clock = self.clocks.iter().find(|(nodes, _)| nodes.matches(&name));
        machine.clock = clock.map_or(SignedDuration::ZERO, |(_, ahead)| *ahead);
        machine
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn labels_and_clocks_are_those_of_the_first_names_that_match() {
        let options = FleetOptions {
            labels: vec![
                (Glob::new("win-000*"), "ring".into(), "canary".into()),
                (Glob::new("win-0001"), "disk".into(), "slow".into()),
            ],
            clocks: vec![
                (Glob::new("win-0001"), SignedDuration::from_secs(90)),
                (Glob::new("*"), SignedDuration::from_secs(-90)),
            ],
            ..FleetOptions::default()
        };
        let (first, eleventh) = (options.machine(1), options.machine(11));
        assert_eq!(first.labels.len(), 2);
        assert!(eleventh.labels.is_empty());
        assert_eq!((first.clock.as_secs(), eleventh.clock.as_secs()), (90, -90));
        assert!(first.now() > Timestamp::now() && eleventh.now() < Timestamp::now());
        let node = first.object(first.now());
        assert_eq!(
            node.pointer("/metadata/labels/ring"),
            Some(&serde_json::json!("canary"))
        );
    }

    #[test]
    fn five_thousand_nodes_renew_fewer_than_twenty_leases_per_second() {
        for nodes in [1, 12, 200, 5000] {
            let options = FleetOptions {
                nodes,
                ..FleetOptions::default()
            };
            let nodes = f64::from(u32::try_from(nodes).unwrap());
            assert!(
                nodes / options.lease_interval().as_secs_f64() < 20.0,
                "{nodes} nodes"
            );
            assert!(options.lease_interval() >= Duration::from_secs(10));
        }
    }
}
