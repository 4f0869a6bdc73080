//! `annotation`: what annotations ask for. Those of hcsshim mean what they mean there; ours are under `dev.hosttask/`.
//!
//! They are listed in `docs/config.md`. A number that is none is refused, where hcsshim takes it for no limit. Others of these
//! three owners are refused too, so that a limit is not lost by a typing error; those of everybody else are kept and mean
//! nothing here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::Context;
use super::limits::{Asked, Given};
use super::privilege;
use super::problem::Problems;
use super::root;
use crate::limits::{Priority, UiRestriction};

/// Owners whose annotations are instructions to a runtime.
const OWNERS: [&str; 3] = ["dev.hosttask/", "microsoft.com/", "io.microsoft."];

const CONTAINER_TYPE: &str = "io.kubernetes.cri.container-type";
const SANDBOX_ID: &str = "io.kubernetes.cri.sandbox-id";

/// Everything a desktop restriction can name.
const ALL_RESTRICTIONS: [UiRestriction; 8] = [
    UiRestriction::Handles,
    UiRestriction::ReadClipboard,
    UiRestriction::WriteClipboard,
    UiRestriction::SystemParameters,
    UiRestriction::DisplaySettings,
    UiRestriction::GlobalAtoms,
    UiRestriction::Desktop,
    UiRestriction::ExitWindows,
];

/// What annotations ask for, limits apart.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    /// Whether the user is the runtime's own.
    pub(super) inherit_user: bool,
    /// Where the root appears, with a separator at its end.
    pub(super) location: Option<String>,
    /// Privileges to remove.
    pub(super) drop_privileges: BTreeSet<String>,
    /// Whether batch files may be run.
    pub(super) allow_batch: bool,
}

impl Annotations {
    /// Reads them all; limits go to `asked`, over what is there.
    pub(super) fn read(
        all: &BTreeMap<String, String>,
        context: &Context<'_>,
        asked: &mut Asked,
        problems: &mut Problems,
    ) -> Self {
        let mut read = Self::default();
        for (name, value) in all {
            let mut entry = Entry {
                path: format!("annotations[{name}]"),
                value,
                problems,
            };
            if !read.take(name, &mut entry, context) && !take_limit(name, &mut entry, asked) {
                entry.refuse_unknown(name);
            }
        }
        check_sandbox(all, context, problems);
        read
    }

    /// Takes one that is no limit; false if it is not known.
    fn take(&mut self, name: &str, entry: &mut Entry<'_>, context: &Context<'_>) -> bool {
        match name {
            "microsoft.com/hostprocess-container" => {
                if entry.flag() == Some(false) {
                    entry.wrong("this runtime has only HostProcess containers; write true, or use another runtime class");
                }
            }
            "microsoft.com/disable-hostprocess-container"
            | "io.microsoft.disable-unsafe-operations" => {
                if entry.flag() == Some(true) {
                    entry.wrong("it forbids HostProcess containers, so this one is not made; remove it, or the container");
                }
            }
            "microsoft.com/hostprocess-inherit-user" => {
                self.inherit_user = entry.flag().unwrap_or_default();
            }
            "microsoft.com/hostprocess-rootfs-location" => {
                match root::location(entry.value, context.places) {
                    Ok(location) => self.location = Some(location),
                    Err(rule) => entry.wrong(&rule),
                }
            }
            "dev.hosttask/drop-privileges" => match privilege::parse(entry.value) {
                Ok(names) => self.drop_privileges = names,
                Err(name) => {
                    let rule = format!(
                        "\"{name}\" is no privilege of Windows; write names with commas, such as SeDebugPrivilege"
                    );
                    entry.problems.add(&entry.path, rule);
                }
            },
            "dev.hosttask/allow-batch-files" => {
                self.allow_batch = entry.flag().unwrap_or_default();
            }
            _ => return false,
        }
        true
    }
}

/// Takes one that is a limit; false if it is not known.
fn take_limit(name: &str, entry: &mut Entry<'_>, asked: &mut Asked) -> bool {
    if let Some(name) = name.strip_prefix("io.microsoft.container.") {
        let field = match name {
            "memory.sizeinmb" => {
                let bytes = entry.nonzero().and_then(|given| entry.mebibytes(given));
                override_with(&mut asked.memory_bytes, bytes);
                return true;
            }
            "processor.count" => &mut asked.cpu_count,
            "processor.limit" => &mut asked.cpu_maximum,
            "processor.weight" => &mut asked.cpu_weight,
            _ => return false,
        };
        override_with(field, entry.nonzero());
        return true;
    }
    match name.strip_prefix("dev.hosttask/") {
        Some("active-processes") => asked.active_processes = entry.number(),
        Some("process-memory-bytes") => asked.process_memory_bytes = entry.number(),
        Some("network-dscp") => asked.network_dscp = entry.number(),
        Some("network-bytes-per-second") => {
            asked.network_bytes = entry.nonzero();
            if asked.network_bytes.is_none() {
                entry.wrong("write how many bytes a second may be sent, from 1");
            }
        }
        Some("priority") => asked.priority = entry.priority(),
        Some("ui-restrictions") => asked.ui = entry.restrictions(),
        _ => return false,
    }
    true
}

/// A value of an annotation takes the place of the config's; none leaves it.
fn override_with<T>(field: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *field = value;
    }
}

/// containerd says whether this is the pod or a container of it, and of which pod. One without the other is a mistake.
fn check_sandbox(all: &BTreeMap<String, String>, context: &Context<'_>, problems: &mut Problems) {
    let path = |name: &str| format!("annotations[{name}]");
    let (kind, sandbox) = (all.get(CONTAINER_TYPE), all.get(SANDBOX_ID));
    match (kind.map(String::as_str), sandbox) {
        (None, None) | (Some("container"), Some(_)) => {}
        (Some("sandbox"), Some(sandbox)) if sandbox == context.id.as_str() => {}
        (Some("sandbox"), Some(sandbox)) => {
            problems.add_value(
                &path(SANDBOX_ID),
                sandbox,
                "a pod has its own id here; correct it",
            );
        }
        (Some("sandbox" | "container"), None) => {
            problems.add(
                &path(CONTAINER_TYPE),
                format_args!("add the annotation {SANDBOX_ID}"),
            );
        }
        (None, Some(_)) => {
            problems.add(
                &path(SANDBOX_ID),
                format_args!("add the annotation {CONTAINER_TYPE}"),
            );
        }
        (Some(other), _) => {
            problems.add_value(&path(CONTAINER_TYPE), other, "write sandbox or container");
        }
    }
}

/// An annotation that is being read.
struct Entry<'a> {
    path: String,
    value: &'a str,
    problems: &'a mut Problems,
}

impl Entry<'_> {
    fn wrong(&mut self, rule: &str) {
        self.problems.add_value(&self.path, self.value, rule);
    }

    fn flag(&mut self) -> Option<bool> {
        match self.value {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.wrong("write true or false");
                None
            }
        }
    }

    /// Digits only: `+1`, ` 1` and `0x1` are mistakes.
    fn number(&mut self) -> Option<Given<u64>> {
        let is_digits = self.value.bytes().all(|it| it.is_ascii_digit());
        match self.value.parse() {
            Ok(value) if is_digits => Some(Given {
                path: self.path.clone(),
                value,
            }),
            _ => {
                self.wrong("write a whole number in digits");
                None
            }
        }
    }

    /// A number of hcsshim: zero is none.
    fn nonzero(&mut self) -> Option<Given<u64>> {
        self.number().filter(|given| given.value > 0)
    }

    fn mebibytes(&mut self, given: Given<u64>) -> Option<Given<u64>> {
        let Some(value) = given.value.checked_mul(1024 * 1024) else {
            self.wrong("no host has that much memory; write how many MiB");
            return None;
        };
        Some(Given { value, ..given })
    }

    fn priority(&mut self) -> Option<Given<Priority>> {
        let Ok(value) = named(self.value) else {
            self.wrong("write idle, below-normal, normal, above-normal or high");
            return None;
        };
        let path = self.path.clone();
        Some(Given { path, value })
    }

    fn restrictions(&mut self) -> Option<Given<BTreeSet<UiRestriction>>> {
        let path = self.path.clone();
        if self.value == "all" {
            let value = BTreeSet::from(ALL_RESTRICTIONS);
            return Some(Given { path, value });
        }
        let names = self.value.split(',').map(|name| named(name.trim()));
        if let Ok(value) = names.collect() {
            return Some(Given { path, value });
        }
        self.wrong("write all, or some of handles, read-clipboard, write-clipboard, system-parameters, display-settings, global-atoms, desktop and exit-windows, with commas");
        None
    }

    /// Nothing takes it: it is an instruction that nobody follows, or it is none.
    fn refuse_unknown(&mut self, name: &str) {
        let is_instruction = OWNERS.iter().any(|owner| name.starts_with(owner));
        let asks_nothing = matches!(self.value, "" | "0" | "false");
        if name.starts_with("io.microsoft.container.storage.") && !asks_nothing {
            self.wrong("Windows cannot limit the input and output of a job since version 1607; leave it out");
        } else if is_instruction && !asks_nothing {
            self.wrong("this runtime does not know it, or it is not for HostProcess containers; remove it, or correct its name");
        }
    }
}

/// A value by the name it has in JSON.
fn named<'a, T: Deserialize<'a>>(name: &'a str) -> Result<T, ValueError> {
    let reader: StrDeserializer<'a, ValueError> = name.into_deserializer();
    T::deserialize(reader)
}
