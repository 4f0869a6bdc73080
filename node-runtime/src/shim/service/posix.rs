//! What containerd writes into every config on Linux, unasked, taken out before the launch plan reads it.
//!
//! The backend for Linux is for tests and demonstrations: it isolates nothing, and `features` says so. What containerd's
//! default spec asks for (namespaces, masked paths, capabilities, the usual mounts) is what every container there gets, so
//! it says nothing about this one. Whatever somebody has to ask for, such as limits of memory, is refused by name.

use serde_json::{Map, Value};

use super::config::json;
use super::failure::Failure;

/// What the section `linux` of every spec has.
const LINUX: [&str; 6] = [
    "namespaces",
    "maskedPaths",
    "readonlyPaths",
    "cgroupsPath",
    "rootfsPropagation",
    "devices",
];

/// What the process of every spec has.
const PROCESS: [&str; 6] = [
    "capabilities",
    "rlimits",
    "noNewPrivileges",
    "apparmorProfile",
    "oomScoreAdj",
    "selinuxLabel",
];

/// The file systems that every spec mounts.
const MOUNTS: [&str; 7] = [
    "proc", "tmpfs", "devpts", "mqueue", "sysfs", "cgroup", "cgroup2",
];

/// The shares of the processor that everybody has who asks for none; `ctr` writes them.
const EQUAL_SHARES: u64 = 1024;

const RULE: &str =
    "the backend for Linux is for tests, isolates nothing and limits nothing; leave it out";

/// The config of a container without all that.
pub(super) fn container(document: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut config: Value = serde_json::from_slice(document).map_err(json)?;
    let Some(fields) = config.as_object_mut() else {
        return Ok(document.to_vec());
    };
    if let Some(linux) = fields.remove("linux") {
        check_linux(linux)?;
    }
    if let Some(Value::Array(mounts)) = fields.get_mut("mounts") {
        mounts.retain(|mount| !is_usual(mount));
    }
    if let Some(Value::Object(process)) = fields.get_mut("process") {
        trim(process);
    }
    serde_json::to_vec(&config).map_err(json)
}

/// The same of a process that is added.
pub(super) fn process(document: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut process: Value = serde_json::from_slice(document).map_err(json)?;
    let Some(fields) = process.as_object_mut() else {
        return Ok(document.to_vec());
    };
    trim(fields);
    serde_json::to_vec(&process).map_err(json)
}

fn trim(process: &mut Map<String, Value>) {
    for name in PROCESS {
        process.remove(name);
    }
    if let Some(Value::Object(user)) = process.get_mut("user") {
        // Groups that the image gives its user: here the user is whoever runs the runtime.
        user.remove("additionalGids");
    }
}

fn is_usual(mount: &Value) -> bool {
    let kind = mount.get("type").and_then(Value::as_str);
    kind.is_some_and(|kind| MOUNTS.contains(&kind))
}

/// Whether the section says nothing beside what every one does.
fn check_linux(linux: Value) -> Result<(), Failure> {
    let Value::Object(mut linux) = linux else {
        return Ok(());
    };
    for name in LINUX {
        linux.remove(name);
    }
    if let Some(Value::Object(resources)) = linux.get_mut("resources") {
        // Which devices may be used: every spec forbids all but a few.
        resources.remove("devices");
        if let Some(Value::Object(cpu)) = resources.get_mut("cpu")
            && cpu.get("shares").and_then(Value::as_u64) == Some(EQUAL_SHARES)
        {
            cpu.remove("shares");
        }
        refuse("linux.resources.", resources)?;
        linux.remove("resources");
    }
    refuse("linux.", &linux)
}

fn refuse(path: &str, fields: &Map<String, Value>) -> Result<(), Failure> {
    match fields.iter().find(|(_, value)| !asks_nothing(value)) {
        None => Ok(()),
        Some((name, _)) => Err(Failure::Field {
            field: format!("{path}{name}"),
            rule: RULE,
        }),
    }
}

/// Whether a value is what a program writes that fills in every field.
fn asks_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.values().all(asks_nothing),
    }
}
