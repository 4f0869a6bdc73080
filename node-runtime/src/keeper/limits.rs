//! Limits over limits: what is named changes, everything else stays.

use std::collections::BTreeSet;

use crate::limits::{Cpu, Limits};
use crate::sys::LimitKind;

/// `now` with each limit that `asked` has, and without those in `lift`.
pub(crate) fn overlay(now: &Limits, asked: Limits, lift: &BTreeSet<LimitKind>) -> Limits {
    let rest = without(now, lift);
    Limits {
        job_memory_bytes: asked.job_memory_bytes.or(rest.job_memory_bytes),
        process_memory_bytes: asked.process_memory_bytes.or(rest.process_memory_bytes),
        cpu: asked.cpu.or(rest.cpu),
        affinity: if asked.affinity.is_empty() {
            rest.affinity
        } else {
            asked.affinity
        },
        active_processes: asked.active_processes.or(rest.active_processes),
        priority: asked.priority.or(rest.priority),
        ui: if asked.ui.is_empty() {
            rest.ui
        } else {
            asked.ui
        },
        network: asked.network.or(rest.network),
    }
}

fn without(limits: &Limits, lift: &BTreeSet<LimitKind>) -> Limits {
    let mut rest = limits.clone();
    for kind in lift {
        match kind {
            LimitKind::JobMemory => rest.job_memory_bytes = None,
            LimitKind::ProcessMemory => rest.process_memory_bytes = None,
            LimitKind::CpuCap => rest.cpu = rest.cpu.filter(|it| matches!(it, Cpu::Weight(_))),
            LimitKind::CpuWeight => rest.cpu = rest.cpu.filter(|it| matches!(it, Cpu::Cap(_))),
            LimitKind::Affinity => rest.affinity.clear(),
            LimitKind::ActiveProcesses => rest.active_processes = None,
            LimitKind::Priority => rest.priority = None,
            LimitKind::UserInterface => rest.ui.clear(),
            LimitKind::NetworkRate => rest.network = None,
            // Nobody can set it.
            LimitKind::IoRate => {}
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Priority;

    fn now() -> Limits {
        Limits {
            job_memory_bytes: Some(1 << 30),
            cpu: Some(Cpu::Weight(3)),
            active_processes: Some(10),
            priority: Some(Priority::High),
            ..Limits::default()
        }
    }

    #[test]
    fn what_is_asked_changes_and_the_rest_stays() {
        let asked = Limits {
            job_memory_bytes: Some(1 << 20),
            cpu: Some(Cpu::Cap(50)),
            ..Limits::default()
        };
        let after = overlay(&now(), asked, &BTreeSet::new());
        assert_eq!(after.job_memory_bytes, Some(1 << 20));
        assert_eq!(after.cpu, Some(Cpu::Cap(50)));
        assert_eq!(after.active_processes, Some(10));
        assert_eq!(after.priority, Some(Priority::High));
    }

    #[test]
    fn every_limit_can_be_lifted_and_nothing_else_with_it() {
        for kind in now().kinds() {
            let after = overlay(&now(), Limits::default(), &BTreeSet::from([kind]));
            let left: BTreeSet<LimitKind> =
                now().kinds().into_iter().filter(|it| *it != kind).collect();
            assert_eq!(after.kinds(), left);
        }
    }
}
