//! The config of a bundle: what kind of task it asks for, before the launch plan reads the rest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::failure::Failure;
use super::{groups, posix};
use crate::id::Id;
use crate::launch::LARGEST;
use crate::sys::Rules;

/// Says that a container runs on the host.
const HOST_PROCESS: &str = "microsoft.com/hostprocess-container";

/// Says whether a task is a pod or a container of one.
const TYPE: &str = "io.kubernetes.cri.container-type";

/// Says of which pod.
const POD: &str = "io.kubernetes.cri.sandbox-id";

/// The weight that containerd writes into the config of every pod.
const SHARES_OF_POD: u64 = 2;

/// Annotations that a pod's containers have as the pod has them, unless they have their own.
const PASSED: [&str; 2] = [
    "microsoft.com/hostprocess-inherit-user",
    "microsoft.com/hostprocess-rootfs-location",
];

/// A config.
pub(super) struct Config {
    /// What the launch plan reads.
    pub(super) document: Vec<u8>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// What a task is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A container without a pod.
    Alone,
    /// A pod.
    Pod,
    /// A container of a pod with this name.
    Member(String),
}

/// What is read of a config here.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Config {
    /// Reads the config of a bundle. What containerd writes on Linux by itself, and this backend neither does nor promises, is
    /// left out.
    pub(super) fn read(bundle: &Path, rules: Rules) -> Result<Self, Failure> {
        let path = bundle.join("config.json");
        let mut document = Vec::new();
        // One byte more than the launch plan takes, so that it is the one to refuse it.
        let most = u64::try_from(LARGEST).unwrap_or(u64::MAX).saturating_add(1);
        let read = File::open(&path).and_then(|file| file.take(most).read_to_end(&mut document));
        read.map_err(|source| Failure::Config { path, source })?;
        Self::parse(document, rules)
    }

    /// The same of its text.
    pub(super) fn parse(document: Vec<u8>, rules: Rules) -> Result<Self, Failure> {
        let outline: Outline = serde_json::from_slice(&document).map_err(json)?;
        let document = match rules {
            Rules::Windows => groups::container(document)?,
            Rules::Posix => posix::container(&document)?,
        };
        Ok(Self {
            document,
            annotations: outline.annotations.unwrap_or_default(),
        })
    }

    /// What the task is to be.
    pub(super) fn role(&self, id: &Id) -> Result<Role, Failure> {
        let kind = self.annotations.get(TYPE).map(String::as_str);
        let pod = self.annotations.get(POD);
        match (kind, pod) {
            (None, None) => Ok(Role::Alone),
            (Some("sandbox"), Some(pod)) if pod == id.as_str() => Ok(Role::Pod),
            (Some("container"), Some(pod)) => Ok(Role::Member(pod.clone())),
            (Some("sandbox"), _) => Err(annotation(POD, "a pod has its own id here; correct it")),
            (Some("container"), None) => Err(annotation(POD, "it is missing; name the pod")),
            (Some(_), _) => Err(annotation(TYPE, "write sandbox or container")),
            (None, Some(_)) => Err(annotation(
                TYPE,
                "it is missing; write sandbox or container",
            )),
        }
    }

    /// Whether it is a container on the host, as all of ours are.
    pub(super) fn check_host_process(&self, rules: Rules) -> Result<(), Failure> {
        let says = self.annotations.get(HOST_PROCESS).map(String::as_str);
        if rules == Rules::Posix || says == Some("true") {
            return Ok(());
        }
        Err(annotation(
            HOST_PROCESS,
            "this runtime has only HostProcess containers; set securityContext.windowsOptions.hostProcess of the pod, which writes true here, or use another runtime class",
        ))
    }

    /// The `windows.resources` of a pod, for all of its containers together; none where it has none.
    ///
    /// containerd writes a weight of its own for the processor, meant for the process of a pod, which ours do not have.
    pub(super) fn resources_of_pod(&self) -> Result<Option<Vec<u8>>, Failure> {
        let mut config: Value = serde_json::from_slice(&self.document).map_err(json)?;
        let Some(resources) = config.pointer_mut("/windows/resources") else {
            return Ok(None);
        };
        if resources.is_null() {
            return Ok(None);
        }
        if let Some(Value::Object(processor)) = resources.get_mut("cpu")
            && processor.get("shares").and_then(Value::as_u64) == Some(SHARES_OF_POD)
        {
            processor.remove("shares");
        }
        serde_json::to_vec(resources).map(Some).map_err(json)
    }

    /// Takes over what the pod says for all its containers.
    pub(super) fn inherit(&mut self, pod: &BTreeMap<String, String>) -> Result<(), Failure> {
        let missing = PASSED
            .iter()
            .filter(|name| !self.annotations.contains_key(**name));
        let passed: Vec<(&str, &String)> = missing
            .filter_map(|name| Some((*name, pod.get(*name)?)))
            .collect();
        if passed.is_empty() {
            return Ok(());
        }
        let mut document: Value = serde_json::from_slice(&self.document).map_err(json)?;
        if let Some(config) = document.as_object_mut() {
            let annotations = config
                .entry("annotations")
                .or_insert_with(|| Value::Object(serde_json::Map::new()));
            if let Some(annotations) = annotations.as_object_mut() {
                for (name, value) in passed {
                    annotations.insert(name.to_owned(), Value::String(value.clone()));
                }
            }
        }
        self.document = serde_json::to_vec(&document).map_err(json)?;
        Ok(())
    }
}

/// A config that is no JSON. Its text is not shown: it can be secret.
pub(super) fn json(source: serde_json::Error) -> Failure {
    Failure::Json {
        what: "config.json",
        source,
    }
}

fn annotation(name: &str, rule: &'static str) -> Failure {
    Failure::Field {
        field: format!("annotations[{name}]"),
        rule,
    }
}
