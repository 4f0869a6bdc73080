//! containerd, its client, and the shim ours is measured beside: built once from Go modules.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::SetupError;
use crate::go::COMPILE;
use crate::module::Module;

/// Where each program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The daemon.
    pub containerd: PathBuf,
    /// Its own command line client.
    pub ctr: PathBuf,
    /// A client that makes the calls its standard input asks for, one line of JSON each.
    pub client: PathBuf,
}

/// Builds containerd and its clients.
///
/// Never taken from the machine: the suites are for the version that `tests/containerd/go.mod` names. `report` gets a line now
/// and then. Two processes never build at once.
///
/// # Errors
/// Go is missing or too old, the build fails, or the cache folder cannot be written.
pub fn programs(report: &mut dyn FnMut(&str)) -> Result<Programs, SetupError> {
    let folder = Module {
        sources: &sources(),
        package: "",
        arguments: arguments(),
        environment: &[],
        program: "containerd-program",
        names: &["containerd", "ctr", "client"],
        what: "containerd from Go modules: about a minute the first time",
    }
    .build(report)?;
    Ok(Programs {
        containerd: folder.join("containerd"),
        ctr: folder.join("ctr"),
        client: folder.join("client"),
    })
}

/// Builds the shim in Go whose containers do nothing.
///
/// # Errors
/// As those of [`programs`].
pub fn idle_shim(report: &mut dyn FnMut(&str)) -> Result<PathBuf, SetupError> {
    let program = "containerd-shim-nothing-v1";
    let folder = Module {
        sources: &sources(),
        package: "shim",
        arguments: arguments(),
        environment: &[],
        program,
        names: &[],
        what: "the shim to compare with: about a minute the first time",
    }
    .build(report)?;
    Ok(folder.join(program))
}

/// The folder with the Go sources.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("containerd")
}

fn arguments() -> Vec<OsString> {
    ["build", "-trimpath", COMPILE, "-ldflags=-s -w"]
        .map(OsString::from)
        .to_vec()
}
