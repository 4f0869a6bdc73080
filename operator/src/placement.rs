//! Which nodes a task runs on: `spec.placement` compiled, with Kubernetes' rules for labels and taints.

use std::collections::BTreeMap;

use hosttask_crds::label::{OS, WINDOWS_BUILD};
use hosttask_crds::task::Tolerate;
use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::{Deserialize, Serialize};

use crate::desired::{Operator, Placement, Requirement, Wave};

/// A taint of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    /// The key.
    pub key: String,
    /// The value; empty where there is none.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// Taint keys by which vendors and common guides set Windows pools apart: `os=windows`, `os=Windows`,
/// `node.kubernetes.io/os=win1809`, ….
const POOL_TAINTS: [&str; 2] = ["os", "node.kubernetes.io/os"];

/// What the DaemonSet controller lets its pods tolerate, with the effect. Pods of Jobs get the same from `build`.
pub(crate) const NODE_STATE: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/network-unavailable", "NoSchedule"),
];

/// The taint of a cordoned node.
pub(crate) const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Compiles `spec.placement`. It takes what `validate` accepts; of anything else it drops what has no meaning.
pub fn compile(placement: Option<&hosttask_crds::task::Placement>) -> Placement {
    let empty = hosttask_crds::task::Placement::default();
    let placement = placement.unwrap_or(&empty);
    let mut requirements = vec![within(OS, vec!["windows".to_owned()])];
    if !placement.windows_builds.is_empty() {
        requirements.push(within(WINDOWS_BUILD, placement.windows_builds.clone()));
    }
    if let Some(selector) = &placement.node_selector {
        requirements.extend(self::requirements(selector));
    }
    let tolerate = placement.tolerate.unwrap_or_default();
    let mut tolerations = match tolerate {
        Tolerate::All => vec![exists(None, None)],
        Tolerate::WindowsPools => POOL_TAINTS
            .iter()
            .map(|key| exists(Some(key), None))
            .collect(),
        Tolerate::None => Vec::new(),
    };
    tolerations.extend(placement.tolerations.iter().cloned());
    Placement {
        requirements,
        tolerations,
        tolerate,
        include_unschedulable: placement.include_unschedulable.unwrap_or(true),
    }
}

/// What a selector asks of a node's labels. It drops what `validate` refuses.
pub(crate) fn requirements(selector: &LabelSelector) -> Vec<Requirement> {
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| within(key, vec![value.clone()]));
    let expressions = selector.match_expressions.iter().flatten();
    let expressions = expressions.filter_map(|it| {
        Some(Requirement {
            key: it.key.clone(),
            operator: Operator::parse(&it.operator)?,
            values: it.values.clone().unwrap_or_default(),
        })
    });
    labels.chain(expressions).collect()
}

/// The position of the wave that a node with these labels is in: the first whose requirements it meets.
pub fn wave_of(waves: &[Wave], labels: &BTreeMap<String, String>) -> usize {
    waves
        .iter()
        .position(|wave| wave.requirements.iter().all(|it| it.is_met_by(labels)))
        .unwrap_or_else(|| waves.len().saturating_sub(1))
}

/// How many alternatives [`scope`] writes for the last wave: the product of the requirements of the others.
pub fn alternatives(waves: &[Wave]) -> usize {
    let others = waves.split_last().map_or(&[][..], |(_, others)| others);
    others.iter().fold(1, |product, wave| {
        product.saturating_mul(wave.requirements.len().max(1))
    })
}

/// The nodes of one wave, as alternatives of requirements all of which must be met: those of the placement and of the
/// wave, and one requirement of every earlier wave turned into its opposite.
pub(crate) fn scope(
    placement: &Placement,
    waves: &[Wave],
    position: usize,
) -> Vec<Vec<Requirement>> {
    let own = waves
        .get(position)
        .map_or(&[][..], |wave| &wave.requirements);
    let mut alternatives = vec![[&placement.requirements, own].concat()];
    for earlier in waves.iter().take(position) {
        alternatives = alternatives
            .iter()
            .flat_map(|all| {
                earlier.requirements.iter().map(move |not| {
                    let mut all = all.clone();
                    all.push(not.opposite());
                    all
                })
            })
            .collect();
    }
    alternatives
}

/// A toleration with operator Exists: of every key where none is given, of every effect where none is given.
pub(crate) fn exists(key: Option<&str>, effect: Option<&str>) -> Toleration {
    Toleration {
        key: key.map(str::to_owned),
        operator: Some("Exists".to_owned()),
        effect: effect.map(str::to_owned),
        ..Toleration::default()
    }
}

fn within(key: &str, values: Vec<String>) -> Requirement {
    Requirement {
        key: key.to_owned(),
        operator: Operator::In,
        values,
    }
}

impl Operator {
    /// The operator of that name, as `LabelSelector` and node affinity spell it.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "In" => Some(Self::In),
            "NotIn" => Some(Self::NotIn),
            "Exists" => Some(Self::Exists),
            "DoesNotExist" => Some(Self::DoesNotExist),
            _ => None,
        }
    }

    /// The operator as `LabelSelector` and node affinity spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
        }
    }
}

impl Placement {
    /// Whether a node with these labels meets every requirement.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.is_met_by(labels))
    }

    /// Whether a pod of the task may stay on a node with these taints.
    ///
    /// Taints with `PreferNoSchedule` forbid nothing. Taints that say how a node *is* (not ready, unreachable, cordoned,
    /// under pressure), whatever their effect, do not take it out of the task's nodes: such a node is waited for and
    /// reported, not forgotten.
    pub fn tolerates(&self, taints: &[Taint]) -> bool {
        taints
            .iter()
            .filter(|taint| taint.effect != "PreferNoSchedule")
            .all(|taint| {
                is_node_state(&taint.key) || self.tolerations.iter().any(|it| covers(it, taint))
            })
    }
}

impl Requirement {
    /// What a node meets if and only if it does not meet this.
    fn opposite(&self) -> Self {
        let operator = match self.operator {
            Operator::In => Operator::NotIn,
            Operator::NotIn => Operator::In,
            Operator::Exists => Operator::DoesNotExist,
            Operator::DoesNotExist => Operator::Exists,
        };
        Self {
            operator,
            ..self.clone()
        }
    }

    /// An absent label meets `NotIn`, as in Kubernetes.
    pub(crate) fn is_met_by(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let is_listed = || value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::In => is_listed(),
            Operator::NotIn => !is_listed(),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

fn is_node_state(key: &str) -> bool {
    key == UNSCHEDULABLE || NODE_STATE.iter().any(|(state, _)| *state == key)
}

fn covers(toleration: &Toleration, taint: &Taint) -> bool {
    let is_any_or = |wanted: &Option<String>, actual: &str| {
        wanted
            .as_deref()
            .is_none_or(|wanted| wanted.is_empty() || wanted == actual)
    };
    if !is_any_or(&toleration.effect, &taint.effect) || !is_any_or(&toleration.key, &taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => toleration.value.as_deref().unwrap_or_default() == taint.value,
        _ => false,
    }
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
