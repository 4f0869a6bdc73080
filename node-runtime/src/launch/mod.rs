//! `launch`: from an OCI `config.json` to what is started, or to every problem with it. Pure.
//!
//! Two steps. [`plan`] reads the config when a container is created: it knows the host's places and features, but looks at
//! nothing. [`resolve`] runs when a process is started: the root is in place by then, and it finds the program and the folder
//! through two questions that the caller answers.
//!
//! What a config asks for and nobody can do is refused by the name of its field, never left out silently.
//!
#![doc = include_str!("../../docs/config.md")]

mod annotation;
mod batch;
pub mod command_line;
mod directory;
mod document;
mod environment;
mod executable;
mod field;
mod limits;
mod missing;
mod mount;
pub mod path;
mod privilege;
mod problem;
mod process;
mod resolve;
mod root;
mod spec;
mod user;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

pub use command_line::{quote, split};
pub use document::LARGEST;
pub use limits::{check as check_limits, update};
pub use missing::{Look, missing};
pub use problem::{Problem, Problems};
pub use resolve::{ResolveError, resolve};
pub use spec::{exec, plan};

use crate::id::Id;
use crate::limits::Limits;
use crate::sys::{Console, Features, Places, User};

/// What a config is read for.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The rules, and where things are.
    pub places: &'a Places,
    /// What the host can do.
    pub features: &'a Features,
    /// The container.
    pub id: &'a Id,
    /// The folder of the config.
    pub bundle: &'a str,
}

/// What a process is started in.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The rules, and where things are.
    pub places: &'a Places,
    /// Where the root appears, with a separator at its end.
    pub root: &'a str,
    /// What the system gives the user.
    pub user_environment: &'a BTreeMap<String, String>,
    /// Whether a file stands at a full path; links are followed.
    pub is_file: &'a dyn Fn(&str) -> bool,
    /// Whether a folder stands at a full path; links are followed.
    pub is_folder: &'a dyn Fn(&str) -> bool,
}

/// Values of variables are left out.
impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("places", &self.places)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

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
    /// The user as the config spells it; empty where it names none. containerd sends the same spelling with every exec.
    pub user_name: String,
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
    /// The folder it starts in as the config has it, with variables; empty: the root. One that does not exist is made, but
    /// only below the root.
    pub directory: String,
    /// Where programs of the config expect the root, with a separator at its end: `C:\hpc\`. Where the root appears elsewhere,
    /// the program, the folder and `PATH` are led there.
    pub expected_root: String,
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

/// The text is left out: arguments are secret.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(arguments) => write!(f, "Arguments({} of them)", arguments.len()),
            Self::Line(_) => f.write_str("Line(…)"),
        }
    }
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
    /// Whether the layers are others' as well. Then nothing is written into them: even a single one is copied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_shared: bool,
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
