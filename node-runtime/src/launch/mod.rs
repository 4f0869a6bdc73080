//! `launch`: from an OCI `config.json` to what is started, or to every problem with it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::sys::{Console, User};

/// What a container is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The first process.
    pub process: ProcessPlan,
    /// The root.
    pub root: RootPlan,
    /// What else appears in it, in the order of the config.
    pub mounts: Vec<MountPlan>,
    /// Limits of the container's job.
    pub limits: Limits,
    /// All annotations of the config.
    pub annotations: BTreeMap<String, String>,
}

/// A process before anything of the host was looked at.
#[derive(Clone, PartialEq, Eq)]
pub struct ProcessPlan {
    /// Who it runs as.
    pub user: User,
    /// What is run.
    pub command: Command,
    /// The folder it starts in as the config has it, with variables; empty: the root.
    pub directory: String,
    /// The config's own variables, over those of the user.
    pub environment: BTreeMap<String, String>,
    /// Its pseudo console.
    pub console: Option<Console>,
    /// Privileges to remove.
    pub drop_privileges: BTreeSet<String>,
    /// Whether a batch file may be run, through `cmd.exe /d /s /c`.
    pub allow_batch: bool,
}

/// What is run.
#[derive(Clone, PartialEq, Eq)]
pub enum Command {
    /// Arguments, the first naming the program.
    Arguments(Vec<String>),
    /// A line that is passed on as it is; its first word, as Windows splits it, names the program.
    Line(String),
}

/// What is secret, arguments and values of variables, is left out: this ends up in logs.
impl fmt::Debug for ProcessPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessPlan")
            .field("user", &self.user)
            .field("directory", &self.directory)
            .field("environment", &self.environment.keys())
            .field("console", &self.console)
            .field("drop_privileges", &self.drop_privileges)
            .finish_non_exhaustive()
    }
}

/// The root of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootPlan {
    /// Folders, lowest layer first, or the one of `root.path`; none: an empty root. Relative ones are the bundle's.
    pub layers: Vec<String>,
    /// Where it appears, with a separator at its end; none: below the host's own place, by the container's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Whether nothing may be written into it.
    pub read_only: bool,
}

/// A folder or a file of the host that appears in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountPlan {
    /// A full path of the host.
    pub source: String,
    /// A full path as the program writes it: `C:\etc\app`.
    pub destination: String,
    /// Whether it must not be written.
    pub read_only: bool,
}
