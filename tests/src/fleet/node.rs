//! A Windows node as it registers itself: labels, taints, capacity, conditions, addresses and nodeInfo. Pure.
//!
//! Longer than 400 lines: one Node object, and everything that changes in it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use hosttask_crds::label;

use super::chance::{draw, uuid};
use super::state::NodeFacts;

/// Which taints the node pools carry. Vendors differ, so a fleet mixes them unless told otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Taints {
    /// One pool with `os=Windows:NoSchedule`, one with `node.kubernetes.io/os=windows:NoSchedule`, one without.
    #[default]
    Mixed,
    /// No pool has a taint.
    None,
    /// Every pool has `os=Windows:NoSchedule`.
    Os,
    /// Every pool has `node.kubernetes.io/os=windows:NoSchedule`.
    NodeOs,
}

/// What stays the same on every node of a pool.
struct Pool {
    name: &'static str,
    build: &'static str,
    kernel: &'static str,
    image: &'static str,
    kubelet: &'static str,
    containerd: &'static str,
    instance: &'static str,
    cores: u32,
    memory_ki: u64,
}

const POOLS: [Pool; 3] = [
    Pool {
        name: "win22a",
        build: "10.0.20348",
        kernel: "10.0.20348.2700",
        image: "Windows Server 2022 Datacenter",
        kubelet: "v1.37.0",
        containerd: "containerd://2.1.4",
        instance: "standard-4",
        cores: 4,
        memory_ki: 16_776_760,
    },
    Pool {
        name: "win22b",
        build: "10.0.20348",
        kernel: "10.0.20348.2655",
        image: "Windows Server 2022 Datacenter",
        kubelet: "v1.36.2",
        containerd: "containerd://2.0.5",
        instance: "standard-4",
        cores: 4,
        memory_ki: 16_776_760,
    },
    Pool {
        name: "win25",
        build: "10.0.26100",
        kernel: "10.0.26100.4061",
        image: "Windows Server 2025 Datacenter",
        kubelet: "v1.37.0",
        containerd: "containerd://2.1.4",
        instance: "standard-8",
        cores: 8,
        memory_ki: 33_553_976,
    },
];

/// A condition as the node reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCondition {
    /// The type, such as `Ready` or one of node-problem-detector.
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, as one word.
    pub reason: String,
    /// Why, as a sentence.
    pub message: String,
}

/// One node of the fleet: its place in it and how often it was booted and installed.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Counted from 1, never used again.
    pub index: usize,
    /// Name, address and groups.
    pub facts: NodeFacts,
    /// How often it was installed.
    pub installs: u32,
    /// How often it was booted.
    pub boots: u32,
    /// Labels beside those of the pool.
    pub labels: BTreeMap<String, String>,
    /// How far its clock is ahead.
    pub clock: SignedDuration,
    /// What it reports otherwise than a node that is well, by the condition's type.
    pub conditions: BTreeMap<String, NodeCondition>,
    seed: u64,
    zone: usize,
    taints: Taints,
}

impl Machine {
    /// The machine with this index. The same seed and index give the same machine.
    pub(super) fn new(
        index: usize,
        prefix: &str,
        seed: u64,
        zones: usize,
        taints: Taints,
        local_groups: &[String],
    ) -> Self {
        let facts = NodeFacts {
            name: format!("{prefix}-{index:04}"),
            ip: format!(
                "10.{}.{}.{}",
                64 + (index >> 16),
                (index >> 8) & 0xff,
                index & 0xff
            ),
            local_groups: local_groups.to_vec(),
        };
        Self {
            index,
            facts,
            installs: 1,
            boots: 1,
            labels: BTreeMap::new(),
            clock: SignedDuration::ZERO,
            conditions: BTreeMap::new(),
            seed,
            zone: index % zones.max(1),
            taints,
        }
    }

    /// The time by the node's own clock.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::now()
            .checked_add(self.clock)
            .unwrap_or(Timestamp::MAX)
    }

    /// The true time of a moment that the node's clock shows.
    pub(super) fn true_time(&self, shown: Timestamp) -> Timestamp {
        shown.checked_sub(self.clock).unwrap_or(Timestamp::MAX)
    }

    /// Changes with every boot.
    pub(super) fn boot_id(&self) -> String {
        // Windows reports a counter here, not a UUID.
        (u64::from(self.boots) + draw(self.seed, &[&self.facts.name, "boots"]) % 40).to_string()
    }

    /// Changes when the machine is installed anew.
    pub(super) fn system_uuid(&self) -> String {
        uuid(
            self.seed,
            &[&self.facts.name, "system", &self.installs.to_string()],
        )
        .to_uppercase()
    }

    fn pool(&self) -> &'static Pool {
        let [first, second, third] = &POOLS;
        match self.index % 3 {
            0 => third,
            1 => first,
            _ => second,
        }
    }

    fn taint_list(&self) -> Value {
        let os = json!([{"key": "os", "value": "Windows", "effect": "NoSchedule"}]);
        let node_os =
            json!([{"key": "node.kubernetes.io/os", "value": "windows", "effect": "NoSchedule"}]);
        match (self.taints, self.index % 3) {
            (Taints::Os, _) | (Taints::Mixed, 1) => os,
            (Taints::NodeOs, _) | (Taints::Mixed, 2) => node_os,
            (Taints::None | Taints::Mixed, _) => json!([]),
        }
    }

    /// The whole Node, as the kubelet creates it.
    pub(super) fn object(&self, now: Timestamp) -> Value {
        let pool = self.pool();
        let mut labels = json!({
            label::OS: "windows",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": self.facts.name,
            label::WINDOWS_BUILD: pool.build,
            "node.kubernetes.io/instance-type": pool.instance,
            "topology.kubernetes.io/region": "region-1",
            "topology.kubernetes.io/zone": format!("region-1-{}", self.zone + 1),
            "agentpool": pool.name,
        });
        if let Some(labels) = labels.as_object_mut() {
            let further = self.labels.iter();
            labels.extend(further.map(|(key, value)| (key.clone(), json!(value))));
        }
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.facts.name,
                "labels": labels,
                "annotations": {"node.alpha.kubernetes.io/ttl": "0"},
            },
            "spec": {"taints": self.taint_list()},
            "status": self.status(now),
        })
    }

    /// The status that the kubelet reports after a start.
    pub(super) fn status(&self, now: Timestamp) -> Value {
        let pool = self.pool();
        let resources = |reserved: u64| {
            json!({
                "cpu": pool.cores.to_string(),
                "memory": format!("{}Ki", pool.memory_ki - reserved),
                "ephemeral-storage": "133703676Ki",
                "pods": "110",
            })
        };
        json!({
            "capacity": resources(0),
            "allocatable": resources(2_097_152),
            "conditions": self.conditions(now),
            "addresses": [
                {"type": "InternalIP", "address": self.facts.ip},
                {"type": "Hostname", "address": self.facts.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": self.boot_id(),
                "containerRuntimeVersion": pool.containerd,
                "kernelVersion": pool.kernel,
                "kubeProxyVersion": pool.kubelet,
                "kubeletVersion": pool.kubelet,
                "machineID": self.facts.name,
                "operatingSystem": "windows",
                "osImage": pool.image,
                "systemUUID": self.system_uuid(),
            },
        })
    }

    /// What the node reports, all of it since `now`: the conditions of a node that is well, but for those it was told to
    /// report otherwise.
    fn conditions(&self, now: Timestamp) -> Value {
        let mut all = Self::well(now);
        if let Some(all) = all.as_array_mut() {
            let told = |one: &Value| {
                one.get("type")
                    .and_then(Value::as_str)
                    .is_some_and(|type_| self.conditions.contains_key(type_))
            };
            all.retain(|one| !told(one));
            all.extend(self.conditions.values().map(|one| one.object(now)));
        }
        all
    }

    /// The conditions of a node that is well.
    fn well(now: Timestamp) -> Value {
        let now = seconds(now);
        let one = |type_: &str, status: &str, reason: &str, message: &str| {
            json!({
                "type": type_, "status": status, "reason": reason, "message": message,
                "lastHeartbeatTime": now, "lastTransitionTime": now,
            })
        };
        json!([
            one(
                "MemoryPressure",
                "False",
                "KubeletHasSufficientMemory",
                "kubelet has sufficient memory available"
            ),
            one(
                "DiskPressure",
                "False",
                "KubeletHasNoDiskPressure",
                "kubelet has no disk pressure"
            ),
            one(
                "PIDPressure",
                "False",
                "KubeletHasSufficientPID",
                "kubelet has sufficient PID available"
            ),
            one(
                "Ready",
                "True",
                "KubeletReady",
                "kubelet is posting ready status"
            ),
        ])
    }

    /// The node's Lease. `node_uid` ties it to the Node object.
    pub(super) fn lease(&self, node_uid: &str, seconds: u64, now: Timestamp) -> Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self.facts.name,
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": self.facts.name, "uid": node_uid}
                ],
            },
            "spec": {
                "holderIdentity": self.facts.name,
                "leaseDurationSeconds": seconds,
                "renewTime": micros(now),
            },
        })
    }
}

impl NodeCondition {
    /// The condition as it stands in the Node's status, since `now`.
    pub(super) fn object(&self, now: Timestamp) -> Value {
        let now = seconds(now);
        json!({
            "type": self.type_, "status": self.status, "reason": self.reason, "message": self.message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    }
}

/// A time as `metav1.Time` is written.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time as `metav1.MicroTime` is written.
pub(super) fn micros(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(index: usize) -> Machine {
        Machine::new(index, "win", 7, 3, Taints::Mixed, &[])
    }

    #[test]
    fn a_reboot_changes_the_boot_id_and_an_installation_the_system_uuid() {
        let before = machine(1);
        let rebooted = Machine {
            boots: 2,
            ..before.clone()
        };
        assert_ne!(before.boot_id(), rebooted.boot_id());
        assert_eq!(before.system_uuid(), rebooted.system_uuid());
        let installed = Machine {
            installs: 2,
            ..before.clone()
        };
        assert_ne!(before.system_uuid(), installed.system_uuid());
        assert_eq!(before.system_uuid(), machine(1).system_uuid());
    }

    #[test]
    fn a_node_reports_what_it_was_told_to_in_place_of_what_a_well_node_says() {
        let mut machine = machine(1);
        for (type_, status) in [("Ready", "False"), ("FilterDriver", "True")] {
            let told = NodeCondition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: "Told".to_owned(),
                message: String::new(),
            };
            machine.conditions.insert(type_.to_owned(), told);
        }
        let status = machine.status(Timestamp::UNIX_EPOCH);
        let all: BTreeMap<&str, &str> = status["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                (
                    one["type"].as_str().unwrap(),
                    one["status"].as_str().unwrap(),
                )
            })
            .collect();
        let expected = [
            ("DiskPressure", "False"),
            ("FilterDriver", "True"),
            ("MemoryPressure", "False"),
            ("PIDPressure", "False"),
            ("Ready", "False"),
        ];
        assert_eq!(all, expected.into());
    }

    #[test]
    fn a_mixed_fleet_has_both_builds_every_vendor_taint_and_every_zone() {
        let nodes: Vec<Value> = (1..=12)
            .map(|index| machine(index).object(Timestamp::UNIX_EPOCH))
            .collect();
        let all = |path: &str| {
            let values: std::collections::BTreeSet<String> = nodes
                .iter()
                .map(|node| node.pointer(path).map_or(String::new(), Value::to_string))
                .collect();
            values.len()
        };
        assert_eq!(all("/metadata/labels/node.kubernetes.io~1windows-build"), 2);
        assert_eq!(all("/spec/taints"), 3);
        assert_eq!(all("/metadata/labels/topology.kubernetes.io~1zone"), 3);
        assert_eq!(all("/status/nodeInfo/kubeletVersion"), 2);
        assert_eq!(all("/status/addresses/0/address"), 12);
    }
}
