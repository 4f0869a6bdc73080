//! `limits`: what a job may use. Plain data; [`crate::launch`] makes it from the OCI spec.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::sys::LimitKind;

/// What a job may use. None is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Committed bytes of all processes together, from 1 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_memory_bytes: Option<u64>,
    /// Committed bytes of each process, from 1 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_memory_bytes: Option<u64>,
    /// Processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Which processors may be used; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub affinity: Vec<GroupAffinity>,
    /// How many processes may run at once, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_processes: Option<u32>,
    /// The priority class of every process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// What no process may do with the desktop.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub ui: BTreeSet<UiRestriction>,
    /// What may be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkRate>,
}

/// Processor time: a cap or a weight, never both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cpu {
    /// At most this many hundredths of a percent of all processors, 1 to 10,000.
    Cap(u16),
    /// A share beside other jobs, 1 to 9; 5 is what a job without one has.
    Weight(u8),
}

/// Processors of a processor group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupAffinity {
    /// The group.
    pub group: u16,
    /// One bit for each processor of the group, at least one.
    pub mask: u64,
}

/// A priority class of Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// Only when nothing else wants the processor.
    Idle,
    /// Below normal.
    BelowNormal,
    /// As any program.
    Normal,
    /// Above normal.
    AboveNormal,
    /// High.
    High,
}

/// Something with the desktop that is forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UiRestriction {
    /// Handles of other jobs' windows.
    Handles,
    /// Reading the clipboard.
    ReadClipboard,
    /// Writing the clipboard.
    WriteClipboard,
    /// Settings of the system.
    SystemParameters,
    /// Settings of the display.
    DisplaySettings,
    /// Global atoms.
    GlobalAtoms,
    /// Making and switching desktops.
    Desktop,
    /// Logging off and shutting down.
    ExitWindows,
}

/// What a job may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkRate {
    /// Bytes in a second, from 1; none: only the mark is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// The DSCP mark of its packets, 0 to 63.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dscp: Option<u8>,
}

impl Limits {
    /// The kinds that are set.
    pub fn kinds(&self) -> BTreeSet<LimitKind> {
        let cpu = match self.cpu {
            Some(Cpu::Cap(_)) => Some(LimitKind::CpuCap),
            Some(Cpu::Weight(_)) => Some(LimitKind::CpuWeight),
            None => None,
        };
        let set = [
            (self.job_memory_bytes.is_some(), LimitKind::JobMemory),
            (
                self.process_memory_bytes.is_some(),
                LimitKind::ProcessMemory,
            ),
            (!self.affinity.is_empty(), LimitKind::Affinity),
            (self.active_processes.is_some(), LimitKind::ActiveProcesses),
            (self.priority.is_some(), LimitKind::Priority),
            (!self.ui.is_empty(), LimitKind::UserInterface),
            (self.network.is_some(), LimitKind::NetworkRate),
        ];
        let set = set.into_iter().filter(|(is_set, _)| *is_set);
        set.map(|(_, kind)| kind).chain(cpu).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One limit of every kind.
    fn all() -> Limits {
        Limits {
            job_memory_bytes: Some(1 << 30),
            process_memory_bytes: Some(1 << 20),
            cpu: Some(Cpu::Cap(5_000)),
            affinity: vec![GroupAffinity { group: 0, mask: 1 }],
            active_processes: Some(10),
            priority: Some(Priority::High),
            ui: BTreeSet::from([UiRestriction::Desktop]),
            network: Some(NetworkRate {
                bytes_per_second: Some(1),
                dscp: None,
            }),
        }
    }

    #[test]
    fn every_limit_is_of_a_kind() {
        assert_eq!(all().kinds().len(), 8);
        assert_eq!(Limits::default().kinds(), BTreeSet::new());
        let weight = Limits {
            cpu: Some(Cpu::Weight(9)),
            ..Limits::default()
        };
        assert_eq!(weight.kinds(), BTreeSet::from([LimitKind::CpuWeight]));
    }

    #[test]
    fn limits_are_the_same_after_a_way_through_json() {
        for limits in [all(), Limits::default()] {
            let json = serde_json::to_string(&limits).unwrap();
            assert_eq!(
                serde_json::from_str::<Limits>(&json).unwrap(),
                limits,
                "{json}"
            );
        }
        assert!(serde_json::from_str::<Limits>(r#"{"jobMemory":1}"#).is_err());
    }
}
