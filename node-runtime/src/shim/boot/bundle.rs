//! The files of a bundle that tell of its shim.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::CommandError;
use crate::id::Id;
use crate::sys::ProcessId;

/// What a shim is known by, for the `delete` that finds it gone or mute.
const KNOWN: &str = "hosttask-shim.json";

/// The address alone: a containerd that ended before it wrote its own file finds the shim by this.
const ADDRESS: &str = "address";

/// The number of the shim's process, for people.
const PID: &str = "shim.pid";

/// What containerd itself writes about the shim of a container.
const BOOTSTRAP: &str = "bootstrap.json";

/// The name of the pod's sandbox, which containerd writes for further containers.
const SANDBOX: &str = "sandbox";

/// What panics said.
const PANICS: &str = "panic.log";

/// The most bytes of panics that are kept, and of any file here that is read.
const MOST: u64 = 1024 * 1024;

/// What kind of container it is in a pod.
const CONTAINER_TYPE: &str = "io.kubernetes.cri.container-type";

/// Of which pod it is.
const SANDBOX_ID: &str = "io.kubernetes.cri.sandbox-id";

/// What a shim is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Known {
    /// The process.
    pub(super) process: ProcessId,
    /// Where it is reached.
    pub(super) address: String,
    /// The folder with the records of all namespaces.
    pub(super) state_root: PathBuf,
}

/// The part of `config.json` that tells where a container belongs.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// A bundle.
#[derive(Debug, Clone)]
pub(super) struct Bundle(pub(super) PathBuf);

impl Bundle {
    /// The bundle that was named, or else the current folder.
    pub(super) fn open(named: Option<&str>) -> Result<Self, CommandError> {
        let path = named.unwrap_or(".");
        let full = std::path::absolute(path);
        Ok(Self(full.map_err(CommandError::file(
            "find the full path of",
            path,
        ))?))
    }

    /// The sandbox of the pod to which the container is to be added; none where it gets a shim of its own. What is wrong with
    /// the config is said when the container is made.
    pub(super) fn pod(&self) -> Option<Id> {
        let config: Config = serde_json::from_slice(&self.read("config.json")?).ok()?;
        let kind = config.annotations.get(CONTAINER_TYPE)?;
        let sandbox = config.annotations.get(SANDBOX_ID)?;
        (kind == "container").then(|| Id::parse(sandbox).ok())?
    }

    /// Says by what the shim is known.
    pub(super) fn tell(&self, known: &Known) -> Result<(), CommandError> {
        let document = serde_json::to_vec(known).unwrap_or_default();
        self.write(KNOWN, &document)?;
        self.write(PID, known.process.pid.to_string().as_bytes())?;
        self.tell_address(&known.address)
    }

    /// Says where the shim of its pod is.
    pub(super) fn tell_address(&self, address: &str) -> Result<(), CommandError> {
        self.write(ADDRESS, address.as_bytes())
    }

    /// Removes what was told of a shim. The bundle may be gone, or tell of another one by now that was started after it: also
    /// where that is just being written.
    pub(super) fn forget(&self, process: ProcessId) {
        if self.known().is_none_or(|it| it.process != process) {
            return;
        }
        for name in [PID, ADDRESS, KNOWN] {
            drop(fs::remove_file(self.0.join(name)));
        }
    }

    /// By what its own shim is known.
    pub(super) fn known(&self) -> Option<Known> {
        serde_json::from_slice(&self.read(KNOWN)?).ok()
    }

    /// By what the shim of its pod is known: containerd keeps bundles side by side.
    pub(super) fn known_of_pod(&self) -> Option<Known> {
        let sandbox = String::from_utf8(self.read(SANDBOX)?).ok();
        let sandbox = sandbox.and_then(|it| Id::parse(&it).ok());
        let sandbox = sandbox.or_else(|| self.pod())?;
        Self(self.0.parent()?.join(sandbox.as_str())).known()
    }

    /// Where its shim is reached, from what containerd wrote, or else from what the shim did.
    pub(super) fn address(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Bootstrap {
            address: String,
        }
        let written = self
            .read(BOOTSTRAP)
            .and_then(|it| serde_json::from_slice::<Bootstrap>(&it).ok());
        let address = written.map(|it| it.address);
        address.or_else(|| String::from_utf8(self.read(ADDRESS)?).ok())
    }

    /// The file from which containerd reads the log on Linux.
    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// What panics said, if there were any.
    pub(super) fn panics(&self) -> Option<String> {
        let said = self.read(PANICS)?;
        Some(String::from_utf8_lossy(&said).into_owned())
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(self.0.join(name)).ok()?;
        file.take(MOST).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CommandError> {
        let path = self.0.join(name);
        fs::write(&path, bytes).map_err(CommandError::file("write", path))
    }
}

/// Keeps what a panic said, as long as there is not too much of it.
pub(super) fn keep_panic(bundle: &Path, said: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .append(true)
        .open(bundle.join(PANICS))?;
    let left = MOST.saturating_sub(file.metadata()?.len());
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    let end = said.floor_char_boundary(left);
    file.write_all(said.get(..end).unwrap_or_default().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(folder: &Path, name: &str) -> Bundle {
        let path = folder.join(name);
        fs::create_dir_all(&path).unwrap();
        Bundle(path)
    }

    fn known() -> Known {
        Known {
            process: ProcessId {
                pid: 7,
                started: 70,
            },
            address: "here".to_owned(),
            state_root: PathBuf::from("root"),
        }
    }

    #[test]
    fn what_was_told_is_known_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = bundle(folder.path(), "web");
        assert_eq!((bundle.known(), bundle.address()), (None, None));
        bundle.tell(&known()).unwrap();
        assert_eq!(bundle.known(), Some(known()));
        assert_eq!(bundle.address().as_deref(), Some("here"));
        assert_eq!(fs::read(bundle.0.join(PID)).unwrap(), b"7");
        let other = ProcessId {
            pid: 7,
            started: 71,
        };
        bundle.forget(other);
        assert_eq!(bundle.known(), Some(known()));
        fs::write(bundle.0.join(KNOWN), "{\"process").unwrap();
        bundle.forget(known().process);
        assert_eq!(bundle.address().as_deref(), Some("here"));
        bundle.tell(&known()).unwrap();
        bundle.forget(known().process);
        bundle.forget(known().process);
        assert_eq!(bundle.known(), None);
        assert_eq!(fs::read_dir(&bundle.0).unwrap().count(), 0);
    }

    #[test]
    fn a_container_of_a_pod_finds_the_shim_of_its_sandbox() {
        let folder = tempfile::tempdir().unwrap();
        bundle(folder.path(), "pod").tell(&known()).unwrap();
        let web = bundle(folder.path(), "web");
        assert_eq!(web.known_of_pod(), None);
        fs::write(web.0.join("sandbox"), "pod").unwrap();
        let bootstrap = r#"{"version":3,"address":"there","protocol":"ttrpc"}"#;
        fs::write(web.0.join("bootstrap.json"), bootstrap).unwrap();
        assert_eq!(web.known_of_pod(), Some(known()));
        assert_eq!(web.address().as_deref(), Some("there"));
        fs::write(web.0.join("sandbox"), "../../etc").unwrap();
        assert_eq!(web.known_of_pod(), None);
    }

    #[test]
    fn only_a_container_is_added_to_a_pod() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = bundle(folder.path(), "web");
        let pod = |config: &str| {
            fs::write(bundle.0.join("config.json"), config).unwrap();
            bundle.pod().map(String::from)
        };
        let of = |kind: &str| {
            format!(
                r#"{{"annotations":{{"{CONTAINER_TYPE}":"{kind}","{SANDBOX_ID}":"pod"}},"process":1}}"#
            )
        };
        assert_eq!(pod(&of("container")).as_deref(), Some("pod"));
        assert_eq!(pod(&of("sandbox")), None);
        assert_eq!(pod("{}"), None);
        assert_eq!(pod("rubbish"), None);
        assert_eq!(pod(&of("container").replace("\"pod\"", "\"../pod\"")), None);
    }

    #[test]
    fn the_first_megabyte_of_panics_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = bundle(folder.path(), "web");
        assert_eq!(bundle.panics(), None);
        keep_panic(&bundle.0, "first\n").unwrap();
        let long = "x".repeat(700_000);
        keep_panic(&bundle.0, &long).unwrap();
        keep_panic(&bundle.0, &long).unwrap();
        let kept = bundle.panics().unwrap();
        assert!(kept.starts_with("first\n"));
        assert_eq!(u64::try_from(kept.len()).unwrap(), MOST);
    }
}
