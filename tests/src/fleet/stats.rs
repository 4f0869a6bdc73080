//! What happened on the simulated nodes, for tests to count: starts and how many pods of a task ran side by side.

use std::collections::{BTreeMap, BTreeSet};

/// Counts since the fleet started. They are what the nodes did, not what they could report.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    starts: BTreeMap<(String, String, String), u32>,
    pod_starts: BTreeMap<String, u32>,
    running: BTreeMap<(String, String), BTreeSet<String>>,
    most_running: BTreeMap<(String, String), usize>,
    /// Requests that changed a pod's status or removed a pod.
    pub pod_writes: u64,
    /// Lease renewals.
    pub lease_writes: u64,
    /// Requests that were refused or lost and were made again.
    pub retries: u64,
}

impl Stats {
    /// How often containers of the task were started on the node.
    pub fn starts(&self, node: &str, task: &str) -> u32 {
        let of_task = self
            .starts
            .iter()
            .filter(|((on, of, _), _)| on == node && of == task);
        of_task.map(|(_, count)| count).sum()
    }

    /// How often the container of that name of the task was started on the node.
    pub fn container_starts(&self, node: &str, task: &str, container: &str) -> u32 {
        let key = (node.to_owned(), task.to_owned(), container.to_owned());
        self.starts.get(&key).copied().unwrap_or(0)
    }

    /// How often containers of the pod (`namespace/name`) were started.
    pub fn pod_starts(&self, pod: &str) -> u32 {
        self.pod_starts.get(pod).copied().unwrap_or(0)
    }

    /// How often containers of the task were started on all nodes together.
    pub fn starts_of_task(&self, task: &str) -> u32 {
        self.starts
            .iter()
            .filter(|((_, of, _), _)| of == task)
            .map(|(_, count)| count)
            .sum()
    }

    /// The most pods of the task that ever had a process on the node at the same time.
    pub fn most_running(&self, node: &str, task: &str) -> usize {
        self.most_running
            .get(&(node.to_owned(), task.to_owned()))
            .copied()
            .unwrap_or(0)
    }

    /// The most pods of one task that ever had a process on one node at the same time, whatever the task and node.
    pub fn most_running_anywhere(&self) -> usize {
        self.most_running.values().copied().max().unwrap_or(0)
    }

    pub(super) fn started(&mut self, node: &str, task: &str, pod: &str, container: &str) {
        *self
            .starts
            .entry((node.to_owned(), task.to_owned(), container.to_owned()))
            .or_default() += 1;
        *self.pod_starts.entry(pod.to_owned()).or_default() += 1;
    }

    pub(super) fn runs(&mut self, node: &str, task: &str, uid: &str, has_process: bool) {
        let key = (node.to_owned(), task.to_owned());
        let running = self.running.entry(key.clone()).or_default();
        if !has_process {
            running.remove(uid);
        } else if running.insert(uid.to_owned()) {
            let most = self.most_running.entry(key).or_default();
            *most = running.len().max(*most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_overlap_count_together_and_pods_in_turn_do_not() {
        let mut stats = Stats::default();
        for (uid, runs) in [("a", true), ("a", true), ("a", false), ("b", true)] {
            stats.runs("win-0001", "agent", uid, runs);
        }
        assert_eq!(stats.most_running("win-0001", "agent"), 1);
        stats.runs("win-0001", "agent", "c", true);
        assert_eq!(
            (
                stats.most_running("win-0001", "agent"),
                stats.most_running("win-0002", "agent")
            ),
            (2, 0)
        );
        assert_eq!(stats.most_running_anywhere(), 2);
    }

    #[test]
    fn starts_are_counted_per_node_task_and_container() {
        let mut stats = Stats::default();
        stats.started("win-0001", "agent", "ns/agent-a", "install");
        stats.started("win-0001", "agent", "ns/agent-a", "run");
        stats.started("win-0001", "agent", "ns/agent-b", "run");
        stats.started("win-0002", "agent", "ns/agent-c", "run");
        assert_eq!(stats.starts("win-0001", "agent"), 3);
        assert_eq!(stats.container_starts("win-0001", "agent", "run"), 2);
        assert_eq!(
            (
                stats.pod_starts("ns/agent-a"),
                stats.starts_of_task("agent")
            ),
            (2, 4)
        );
    }
}
