//! `limits`: `windows.resources` and annotations to limits of a job.

use std::collections::BTreeSet;

use super::document;
use super::field::{Fields, Refusal};
use super::problem::Problems;
use crate::limits::{Cpu, GroupAffinity, Limits, NetworkRate, Priority, UiRestriction};
use crate::sys::{Features, LimitKind};

/// The least memory of a job or a process. Below it nothing starts, and the limit was meant in another unit.
const LEAST_MEMORY: u64 = 1024 * 1024;

/// A processor rate of all processors, in hundredths of a percent; also the largest weight of the OCI spec.
const WHOLE: u64 = 10_000;

/// The largest weight of a job.
const MOST_WEIGHT: u64 = 9;

const STORAGE: &str =
    "Windows cannot limit the input and output of a job since version 1607; leave it out";

const STORAGE_REFUSALS: &[Refusal] = &[
    ("iops", STORAGE),
    ("bps", STORAGE),
    (
        "sandboxSize",
        "the root of a HostProcess container is a plain folder without a size; leave it out",
    ),
];

/// A value, and the field it was given in.
#[derive(Debug, Clone)]
pub(super) struct Given<T> {
    pub(super) path: String,
    pub(super) value: T,
}

/// What limits a config asks for, before anything is checked. Zero was left out: it is no limit, as in hcsshim.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) memory_bytes: Option<Given<u64>>,
    pub(super) process_memory_bytes: Option<Given<u64>>,
    pub(super) cpu_count: Option<Given<u64>>,
    pub(super) cpu_maximum: Option<Given<u64>>,
    pub(super) cpu_weight: Option<Given<u64>>,
    pub(super) affinity: Vec<Given<(u64, u64)>>,
    pub(super) active_processes: Option<Given<u64>>,
    pub(super) priority: Option<Given<Priority>>,
    pub(super) ui: Option<Given<BTreeSet<UiRestriction>>>,
    pub(super) network_bytes: Option<Given<u64>>,
    pub(super) network_dscp: Option<Given<u64>>,
}

/// Reads new limits for a running container: a `windows.resources` object of the OCI spec.
///
/// What it leaves out, or sets to zero, is none in the result; the caller decides whether the old limit stays.
pub fn update(resources: &[u8], features: &Features, processors: u32) -> Result<Limits, Problems> {
    let mut problems = Problems::default();
    let Some(fields) = document::read(resources, &mut problems) else {
        return Err(problems);
    };
    let mut asked = Asked::default();
    asked.read(fields, &mut problems);
    let limits = asked.limits(features, processors, &mut problems);
    problems.unless_any(Some(limits))
}

/// Checks limits that were given one by one, as a config's are: each for its range and for what the host can do.
///
/// `option` is the name under which a limit was given; what is wrong is said of that name.
///
/// # Errors
/// All that is wrong.
pub fn check(
    limits: &Limits,
    features: &Features,
    option: impl Fn(LimitKind) -> &'static str,
) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let given = |kind, value: u64| Given {
        path: option(kind).to_owned(),
        value,
    };
    if let Some(bytes) = limits.job_memory_bytes {
        memory(Some(&given(LimitKind::JobMemory, bytes)), &mut problems);
    }
    if let Some(bytes) = limits.process_memory_bytes {
        memory(Some(&given(LimitKind::ProcessMemory, bytes)), &mut problems);
    }
    let _checked: Option<u64> = match limits.cpu {
        Some(Cpu::Cap(cap)) => {
            let cap = given(LimitKind::CpuCap, cap.into());
            ranged(&cap, 1, WHOLE, &mut problems)
        }
        Some(Cpu::Weight(weight)) => {
            let weight = given(LimitKind::CpuWeight, weight.into());
            ranged(&weight, 1, MOST_WEIGHT, &mut problems)
        }
        None => None,
    };
    if let Some(count) = limits.active_processes {
        let count = given(LimitKind::ActiveProcesses, count.into());
        let _checked: Option<u32> = ranged(&count, 1, u64::from(u32::MAX), &mut problems);
    }
    refuse_unknown(limits, features, &option, &mut problems);
    problems.unless_any(Some(()))
}

impl Asked {
    /// Takes what a `windows.resources` object has.
    pub(super) fn read(&mut self, mut resources: Fields, problems: &mut Problems) {
        if let Some(mut memory) = resources.object("memory", problems) {
            self.memory_bytes = given(&mut memory, "limit", problems);
            memory.finish(problems);
        }
        if let Some(mut cpu) = resources.object("cpu", problems) {
            self.cpu_count = given(&mut cpu, "count", problems);
            self.cpu_weight = given(&mut cpu, "shares", problems);
            self.cpu_maximum = given(&mut cpu, "maximum", problems);
            self.read_affinity(&mut cpu, problems);
            cpu.finish(problems);
        }
        if let Some(mut storage) = resources.object("storage", problems) {
            storage.refuse(STORAGE_REFUSALS, problems);
            storage.finish(problems);
        }
        resources.finish(problems);
    }

    fn read_affinity(&mut self, cpu: &mut Fields, problems: &mut Problems) {
        for mut entry in cpu.objects("affinity", problems) {
            let path = entry.path("mask");
            let mask = entry.number("mask", problems).unwrap_or(0);
            let group = entry.number("group", problems).unwrap_or(0);
            entry.finish(problems);
            let value = (mask, group);
            self.affinity.push(Given { path, value });
        }
    }

    /// The limits, each checked for its range and for what the host can do.
    pub(super) fn limits(
        &self,
        features: &Features,
        processors: u32,
        problems: &mut Problems,
    ) -> Limits {
        let limits = Limits {
            job_memory_bytes: memory(self.memory_bytes.as_ref(), problems),
            process_memory_bytes: memory(self.process_memory_bytes.as_ref(), problems),
            cpu: self.cpu(processors, problems),
            affinity: self.affinity(processors, problems),
            active_processes: self.active_processes(problems),
            priority: self.priority.as_ref().map(|given| given.value),
            ui: self
                .ui
                .as_ref()
                .map_or_else(BTreeSet::new, |given| given.value.clone()),
            network: self.network(problems),
        };
        refuse_unknown(&limits, features, |kind| self.path_of(kind), problems);
        limits
    }

    /// At most one of count, maximum and weight: Windows has one of a cap and a weight.
    fn cpu(&self, processors: u32, problems: &mut Problems) -> Option<Cpu> {
        let all = [&self.cpu_count, &self.cpu_maximum, &self.cpu_weight];
        let clash = all.into_iter().flatten().nth(1);
        // The range of each is checked also where only one can stay: nobody is to meet the next problem then.
        let maximum = self.cpu_maximum.as_ref();
        let maximum: Option<u16> = maximum.and_then(|it| ranged(it, 1, WHOLE, problems));
        let weight = self.cpu_weight.as_ref();
        let shares: Option<u64> = weight.and_then(|it| ranged(it, 1, WHOLE, problems));
        if let Some(second) = clash {
            let rule = "only one of the count, the maximum and the shares of the processor can be set; leave the others out";
            problems.add(&second.path, rule);
            return None;
        }
        if let Some(count) = &self.cpu_count {
            let all = u64::from(processors.max(1));
            let cap = (count.value.min(all) * WHOLE / all).max(1);
            return u16::try_from(cap).ok().map(Cpu::Cap);
        }
        if let Some(shares) = shares {
            return u8::try_from(1 + 8 * shares / WHOLE).ok().map(Cpu::Weight);
        }
        maximum.map(Cpu::Cap)
    }

    fn affinity(&self, processors: u32, problems: &mut Problems) -> Vec<GroupAffinity> {
        let mut list: Vec<GroupAffinity> = Vec::new();
        for Given { path, value } in &self.affinity {
            let (mask, group) = *value;
            let Ok(group) = u16::try_from(group) else {
                problems.add_value(
                    path,
                    &group.to_string(),
                    "no host has that group of processors",
                );
                continue;
            };
            // A host with more than 64 has several groups, and which has how many is not known here.
            let has_one_group = processors <= 64;
            let known = if has_one_group {
                u64::MAX >> (64 - processors.clamp(1, 64))
            } else {
                u64::MAX
            };
            let shown = format!("{mask:#x}");
            if mask == 0 {
                problems.add(path, "no processor is chosen; set at least one bit");
            } else if mask & !known != 0 || (has_one_group && group > 0) {
                let rule = format_args!(
                    "this host has {processors} processors, all in group 0; choose among them"
                );
                problems.add_value(path, &shown, rule);
            } else if list.iter().any(|other| other.group == group) {
                problems.add_value(
                    path,
                    &shown,
                    "the group is given twice; put both masks into one",
                );
            } else {
                list.push(GroupAffinity { group, mask });
            }
        }
        list
    }

    fn active_processes(&self, problems: &mut Problems) -> Option<u32> {
        let given = self.active_processes.as_ref()?;
        ranged(given, 1, u64::from(u32::MAX), problems)
    }

    fn network(&self, problems: &mut Problems) -> Option<NetworkRate> {
        let dscp = self.network_dscp.as_ref();
        let rate = NetworkRate {
            bytes_per_second: self.network_bytes.as_ref().map(|given| given.value),
            dscp: dscp.and_then(|given| ranged(given, 0, 63, problems)),
        };
        (rate.bytes_per_second.is_some() || rate.dscp.is_some()).then_some(rate)
    }

    /// The field that asked for a kind of limit.
    fn path_of(&self, kind: LimitKind) -> String {
        let number = |given: &Option<Given<u64>>| given.as_ref().map(|given| given.path.clone());
        let path = match kind {
            LimitKind::JobMemory => number(&self.memory_bytes),
            LimitKind::ProcessMemory => number(&self.process_memory_bytes),
            LimitKind::CpuCap => number(&self.cpu_count).or_else(|| number(&self.cpu_maximum)),
            LimitKind::CpuWeight => number(&self.cpu_weight),
            LimitKind::Affinity => self.affinity.first().map(|given| given.path.clone()),
            LimitKind::ActiveProcesses => number(&self.active_processes),
            LimitKind::Priority => self.priority.as_ref().map(|given| given.path.clone()),
            LimitKind::UserInterface => self.ui.as_ref().map(|given| given.path.clone()),
            LimitKind::NetworkRate => {
                number(&self.network_bytes).or_else(|| number(&self.network_dscp))
            }
            LimitKind::IoRate => None,
        };
        path.unwrap_or_default()
    }
}

/// Refuses the kinds of limits that the host does not have, each by the name it was given under.
fn refuse_unknown<P: AsRef<str>>(
    limits: &Limits,
    features: &Features,
    path_of: impl Fn(LimitKind) -> P,
    problems: &mut Problems,
) {
    for kind in limits.kinds().difference(&features.limits) {
        let rule = format_args!("this host cannot limit {}; leave it out", words(*kind));
        problems.add(path_of(*kind).as_ref(), rule);
    }
}

/// A number of a field; zero is none.
fn given(fields: &mut Fields, name: &str, problems: &mut Problems) -> Option<Given<u64>> {
    let value = fields.number(name, problems).filter(|value| *value > 0)?;
    let path = fields.path(name);
    Some(Given { path, value })
}

fn memory(given: Option<&Given<u64>>, problems: &mut Problems) -> Option<u64> {
    // The kernel takes it for a signed number of pages.
    let most = i64::MAX.cast_unsigned();
    ranged(given?, LEAST_MEMORY, most, problems)
}

/// A number that is in its range, and fits.
fn ranged<T: TryFrom<u64>>(
    given: &Given<u64>,
    least: u64,
    most: u64,
    problems: &mut Problems,
) -> Option<T> {
    let fits = T::try_from(given.value).ok();
    if fits.is_none() || given.value < least || given.value > most {
        let rule = format_args!("it must be from {least} to {most}");
        problems.add_value(&given.path, &given.value.to_string(), rule);
        return None;
    }
    fits
}

fn words(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::JobMemory => "the memory of a job",
        LimitKind::ProcessMemory => "the memory of each process",
        LimitKind::CpuCap => "processor time",
        LimitKind::CpuWeight => "processor time by weight",
        LimitKind::Affinity => "which processors are used",
        LimitKind::ActiveProcesses => "the number of processes",
        LimitKind::Priority => "the priority",
        LimitKind::UserInterface => "the use of the desktop",
        LimitKind::NetworkRate => "what is sent",
        LimitKind::IoRate => "input and output",
    }
}

#[cfg(test)]
mod tests;
