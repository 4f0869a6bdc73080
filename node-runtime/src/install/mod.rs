//! `install`: makes containerd of a node know the runtime, and forget it again.
//!
//! Three things make a node able to run pods of the `RuntimeClass` named `hosttask`: the shim beside `containerd.exe` under its own
//! name (after a restart containerd looks for shims there and nowhere else), a drop-in that names the runtime, and an import
//! of the drop-in in containerd's own configuration. containerd reads its configuration only when it starts.
//!
//! ```text
//!   services, files ──look──▶ Found ──plan (pure)──▶ steps ──apply──▶ files, services
//! ```
//!
//! *Guarantees*: what is as it should be is not touched, and containerd is then not restarted; each file is replaced as a
//! whole; a containerd that does not start with the new configuration gets the old one back and is started again.

mod apply;
mod containerd_config;
mod look;
mod plan;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

pub use apply::apply;
pub use containerd_config::{ConfigError, DROP_IN, with_import, without_import};
pub use look::{Asked, look};
pub use plan::{Found, Standing, Step, Target, plan};

/// The programs that are put beside containerd, without the ending of the system.
pub const PROGRAMS: [&str; 2] = ["containerd-shim-hosttask-v1", "hosttask-node"];

/// Where the records of containers that containerd started are: a folder per namespace is in it, each of which
/// `hosttask-node --root` takes. It is beside the folder of the containers that people start.
pub fn shim_root(places: &crate::sys::Places) -> PathBuf {
    let mut root = PathBuf::from(&places.state_root);
    root.set_file_name("containerd");
    root
}

/// Where everything is on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The folder of the programs that are installed.
    pub source: PathBuf,
    /// The folder of `containerd.exe`.
    pub containerd: PathBuf,
    /// containerd's configuration.
    pub config: PathBuf,
    /// The drop-in.
    pub drop_in: PathBuf,
    /// The name of containerd's service.
    pub service: String,
}

/// Why the runtime could not be installed or removed.
#[derive(Debug, Error)]
#[expect(
    clippy::error_impl_error,
    reason = "one error per module, named by the module"
)]
pub enum Error {
    /// The service cannot be asked.
    #[error(
        "failed to {verb} the service {name}; name the service with --service, or leave it alone with --no-restart, --containerd and --config"
    )]
    Service {
        /// What was tried.
        verb: &'static str,
        /// The service.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no services that could be asked.
    #[error(
        "this system has no services that could be asked for containerd; name --containerd and --config"
    )]
    NoServices,
    /// The service is started by a line in which no program is found.
    #[error(
        "the service {name} starts no program that is named by a full path; name its folder with --containerd"
    )]
    NoProgram {
        /// The service.
        name: String,
    },
    /// There is no configuration to add the import to.
    #[error(
        "there is no configuration of containerd at {}; write one with `containerd config default`, or name it with --config",
        path.display()
    )]
    NoConfig {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// containerd's configuration cannot be edited.
    #[error("failed to edit {}", path.display())]
    Config {
        /// The configuration.
        path: PathBuf,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// A file could not be used.
    #[error("failed to {verb} {}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// containerd did not start again, and was given its former configuration back.
    #[error(
        "containerd did not start with the runtime in its configuration; the former configuration is back{}",
        if *runs_again { ", and containerd runs" } else { ", but containerd does not run: look at its log" }
    )]
    NotStarted {
        /// Whether it runs with the former one.
        runs_again: bool,
        /// Why it did not start.
        source: Box<Self>,
    },
}

impl Error {
    fn file(verb: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { verb, path, source }
    }

    fn service(verb: &'static str, name: &str) -> impl FnOnce(io::Error) -> Self {
        let name = name.to_owned();
        move |source| Self::Service { verb, name, source }
    }
}
