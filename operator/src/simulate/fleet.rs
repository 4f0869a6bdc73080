//! The virtual nodes: invented, with shares of labels, or as a file describes them.

use std::collections::BTreeMap;
use std::str::FromStr;

use hosttask_crds::label::{OS, WINDOWS_BUILD};
use k8s_openapi::api::core::v1::Node;
use serde::Deserialize;
use serde_json::Value;

use crate::desired::{Desired, Operator, Requirement};
use crate::placement::Taint;

/// The zones of an invented fleet, by turns.
const ZONES: [&str; 3] = ["zone-a", "zone-b", "zone-c"];
/// The label of the zone.
const ZONE: &str = "topology.kubernetes.io/zone";
/// The build of invented nodes where the task does not ask for another: Windows Server 2022.
const BUILD: &str = "10.0.20348";
/// The share of a wave that nothing else decides, in percent.
const SHARE: usize = 5;
/// The most nodes of a fleet.
pub(super) const MOST: usize = 100_000;

/// A node that does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VirtualNode {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Whether it does not answer.
    pub dead: bool,
}

/// A label that a part of the fleet has, such as `ring=canary:5%` or `ring=canary:5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    key: String,
    value: String,
    count: Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    Nodes(usize),
    Percent(usize),
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text}: write KEY=VALUE:COUNT, such as ring=canary:5 or ring=canary:10%");
        let (label, count) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (key, value) = label.split_once('=').ok_or_else(wrong)?;
        let count = match count.strip_suffix('%') {
            Some(percent) => Count::Percent(percent.parse().map_err(|_| wrong())?),
            None => Count::Nodes(count.parse().map_err(|_| wrong())?),
        };
        Ok(Self {
            key: key.to_owned(),
            value: value.to_owned(),
            count,
        })
    }
}

/// Why a fleet file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// It is no YAML.
    #[error("failed to read the fleet as YAML: {0}")]
    Yaml(String),
    /// It has another form than a fleet.
    #[error(
        "failed to read the fleet at {field}: {message}; write `groups: [{{ count: 200, labels: {{ ring: canary }} }}]`, or save `kubectl get nodes -o yaml`"
    )]
    Form {
        /// The path of the field that does not fit.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// It has too many nodes, or none.
    #[error("failed to make a fleet of {0} nodes; write 1 to {MOST}")]
    Size(usize),
}

/// `nodes` invented nodes that the task selects, with the labels of `shares`. Where no share speaks of a label that a wave
/// selects, a small part of the fleet gets it, so that the wave is not empty.
///
/// # Errors
/// There are none, or too many.
pub fn invent(
    nodes: usize,
    shares: &[Share],
    desired: &Desired,
) -> Result<Vec<VirtualNode>, FleetError> {
    if nodes == 0 || nodes > MOST {
        return Err(FleetError::Size(nodes));
    }
    let mut fleet: Vec<VirtualNode> = (1..=nodes)
        .zip(ZONES.iter().cycle())
        .map(|(number, zone)| {
            let name = format!("win-{number:05}");
            let labels = BTreeMap::from(
                [
                    (OS, "windows"),
                    (WINDOWS_BUILD, BUILD),
                    (ZONE, *zone),
                    ("kubernetes.io/hostname", name.as_str()),
                ]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
            );
            VirtualNode {
                name,
                labels,
                ..VirtualNode::default()
            }
        })
        .collect();
    let told = |key: &str| shares.iter().any(|share| share.key == key);
    for requirement in &desired.placement.requirements {
        if !told(&requirement.key) {
            for node in &mut fleet {
                meet(node, requirement);
            }
        }
    }
    let mut next = 0;
    for wave in &desired.waves {
        let untold = wave.requirements.iter().all(|it| !told(&it.key));
        if !untold || wave.requirements.is_empty() {
            continue;
        }
        let count = (nodes * SHARE).div_ceil(100);
        for node in fleet.iter_mut().skip(next).take(count) {
            wave.requirements.iter().for_each(|it| meet(node, it));
        }
        next += count;
    }
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    for share in shares {
        let count = match share.count {
            Count::Nodes(count) => count,
            Count::Percent(percent) => nodes.saturating_mul(percent).div_ceil(100),
        };
        // Two values of one label are for different nodes.
        let begin = taken.entry(&share.key).or_default();
        for node in fleet.iter_mut().skip(*begin).take(count) {
            node.labels.insert(share.key.clone(), share.value.clone());
        }
        *begin += count;
    }
    Ok(fleet)
}

/// Gives a node the label that a requirement asks for, unless it meets it already.
fn meet(node: &mut VirtualNode, requirement: &Requirement) {
    if requirement.is_met_by(&node.labels) {
        return;
    }
    match requirement.operator {
        Operator::In => {
            if let Some(value) = requirement.values.first() {
                node.labels.insert(requirement.key.clone(), value.clone());
            }
        }
        Operator::Exists => {
            node.labels
                .insert(requirement.key.clone(), "true".to_owned());
        }
        Operator::NotIn | Operator::DoesNotExist => {
            node.labels.remove(&requirement.key);
        }
    }
}

/// A fleet file of our own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    groups: Vec<Group>,
}

/// Nodes that are alike.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Group {
    /// How many.
    #[serde(default = "one")]
    count: usize,
    /// The beginning of their names.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    taints: Vec<Taint>,
    #[serde(default)]
    unschedulable: bool,
    #[serde(default)]
    dead: bool,
}

fn one() -> usize {
    1
}

/// Reads a fleet file: groups of nodes, or a list of nodes as `kubectl get nodes -o yaml` prints it.
///
/// # Errors
/// It is neither, or has no nodes or too many.
pub fn read(text: &str) -> Result<Vec<VirtualNode>, FleetError> {
    let value: Value =
        serde_saphyr::from_str(text).map_err(|error| FleetError::Yaml(error.to_string()))?;
    let mut fleet = if value.get("items").is_some() {
        listed(&value)?
    } else {
        grouped(value)?
    };
    if fleet.is_empty() || fleet.len() > MOST {
        return Err(FleetError::Size(fleet.len()));
    }
    fleet.sort_by(|one, other| one.name.cmp(&other.name));
    fleet.dedup_by(|one, other| one.name == other.name);
    Ok(fleet)
}

fn form(error: &serde_path_to_error::Error<serde_json::Error>) -> FleetError {
    FleetError::Form {
        field: error.path().to_string(),
        message: error.inner().to_string(),
    }
}

fn grouped(value: Value) -> Result<Vec<VirtualNode>, FleetError> {
    let file: File = serde_path_to_error::deserialize(value).map_err(|error| form(&error))?;
    let size = file
        .groups
        .iter()
        .fold(0_usize, |sum, group| sum.saturating_add(group.count));
    if size > MOST {
        return Err(FleetError::Size(size));
    }
    let mut number = 0;
    let mut fleet = Vec::new();
    for group in file.groups {
        for _ in 0..group.count {
            number += 1;
            let name = match &group.name {
                Some(name) if group.count == 1 => name.clone(),
                Some(name) => format!("{name}-{number:05}"),
                None => format!("win-{number:05}"),
            };
            let mut labels = BTreeMap::from(
                [
                    (OS, "windows"),
                    (WINDOWS_BUILD, BUILD),
                    ("kubernetes.io/hostname", &name),
                ]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
            );
            labels.extend(group.labels.clone());
            fleet.push(VirtualNode {
                name,
                labels,
                taints: group.taints.clone(),
                unschedulable: group.unschedulable,
                dead: group.dead,
            });
        }
    }
    Ok(fleet)
}

/// The Windows nodes of a `NodeList`.
fn listed(value: &Value) -> Result<Vec<VirtualNode>, FleetError> {
    let items = value.get("items").cloned().unwrap_or_default();
    let nodes: Vec<Node> = serde_path_to_error::deserialize(items).map_err(|error| form(&error))?;
    Ok(nodes.into_iter().filter_map(real).collect())
}

fn real(node: Node) -> Option<VirtualNode> {
    let labels = node.metadata.labels.unwrap_or_default();
    if labels.get(OS).map(String::as_str) != Some("windows") {
        return None;
    }
    let spec = node.spec.unwrap_or_default();
    let taints = spec.taints.into_iter().flatten().map(|taint| Taint {
        key: taint.key,
        value: taint.value.unwrap_or_default(),
        effect: taint.effect,
    });
    let conditions = node
        .status
        .and_then(|status| status.conditions)
        .unwrap_or_default();
    Some(VirtualNode {
        name: node.metadata.name?,
        labels,
        taints: taints.collect(),
        unschedulable: spec.unschedulable.unwrap_or(false),
        dead: conditions
            .iter()
            .any(|it| it.type_ == "Ready" && it.status != "True"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_or_says_how_to_write_it() {
        let share: Share = "ring=canary:5%".parse().unwrap();
        assert_eq!(share.count, Count::Percent(5));
        assert!(
            "ring=canary"
                .parse::<Share>()
                .unwrap_err()
                .contains("ring=canary:5")
        );
    }

    #[test]
    fn groups_and_a_node_list_are_both_fleets() {
        let groups = "groups: [{ count: 3, labels: { ring: canary } }, { name: odd, dead: true }]";
        let fleet = read(groups).unwrap();
        assert_eq!(
            (fleet.len(), fleet.iter().filter(|node| node.dead).count()),
            (4, 1)
        );
        let list = "
items:
- { metadata: { name: linux-1, labels: { kubernetes.io/os: linux } } }
- metadata: { name: win-1, labels: { kubernetes.io/os: windows } }
  spec: { unschedulable: true, taints: [{ key: os, value: windows, effect: NoSchedule }] }
  status: { conditions: [{ type: Ready, status: Unknown }] }
";
        let fleet = read(list).unwrap();
        assert_eq!(fleet.len(), 1);
        assert!(fleet[0].dead && fleet[0].unschedulable && fleet[0].taints[0].key == "os");
    }

    #[test]
    fn a_wrong_fleet_names_the_field_and_the_fix() {
        let error = read("groups: [{ cuont: 3 }]").unwrap_err().to_string();
        assert!(
            error.contains("groups[0]") && error.contains("cuont"),
            "{error}"
        );
        assert!(
            read("groups: []")
                .unwrap_err()
                .to_string()
                .contains("1 to 100000")
        );
        assert!(read("groups: [{ count: 99999999 }]").is_err());
    }
}
