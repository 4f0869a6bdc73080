//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::quantity::{Bytes, Grace, OrNone};
use crate::id::Id;
use crate::state::Signal;

/// Runs HostProcess containers: programs of this host in jobs, with a root, limits and an end that leaves nothing.
#[derive(Debug, Parser)]
#[command(name = "hosttask-node", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Arguments {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The table that every help page ends with.
const EXIT_CODES: &str = "Exit codes: 0 done; 125 it failed; 126 the program cannot be run; 127 the program was not found. \
Attached `run` and `exec` end with the program's own code: all 32 bits of it on Windows, the lowest 8 on Linux. \
`state` has all 32 bits everywhere.";

/// What holds for every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The folder with the records of all containers [default: the host's own, see `doctor`]
    #[arg(
        long,
        global = true,
        env = "HOSTTASK_NODE_ROOT",
        hide_env_values = true,
        value_name = "DIR"
    )]
    pub root: Option<PathBuf>,
    /// A file to which errors and what keepers do are appended as well
    #[arg(long, global = true, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// How errors are written
    #[arg(long, global = true, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// How results are written [default: a table where people read, JSON where programs do]
    #[arg(short, long, global = true, value_name = "FORMAT")]
    pub output: Option<Output>,
}

/// How errors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of words.
    Text,
    /// One JSON object in a line.
    Json,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a container, start it, and stay with it until it ends; it goes on where this command is killed
    Run(Run),
    /// Create a container without starting it
    Create(Create),
    /// Start a container that was created
    Start(One),
    /// Run another program in a container that runs
    Exec(Exec),
    /// Show how far a container is
    State(State),
    /// List the containers
    List,
    /// List the processes of a container
    Ps(One),
    /// Show what a container used
    Stats(One),
    /// Show what happens to a container until it is deleted
    Events(Events),
    /// Change limits of a container that lives
    Update(Box<Update>),
    /// Stop time for a container
    Pause(One),
    /// Let a paused container go on
    Resume(One),
    /// Send a signal to a container
    Kill(Kill),
    /// Ask all processes of a container to end, and end those that do not
    Stop(Stop),
    /// Remove a container that ended, and all that was made for it
    Delete(Delete),
    /// Remove what crashes left; a container that ended stays, with its exit code, until `delete`
    Sweep,
    /// Show what this host can do and what to do about the rest
    Doctor,
    /// Show the features as OCI runtimes do
    Features,
    /// Print a config.json to start from
    Spec(Spec),
    /// Unpack layers of an image into a folder
    Unpack(Unpack),
    /// Make containerd of this node know the runtime: the shim, a drop-in, its import; restarts containerd where it has to
    Install(Install),
    /// Make containerd of this node forget the runtime
    Uninstall(Uninstall),
    /// Print a script that completes commands in a shell
    Completion(Completion),
    /// Hold a container (started by `create` and `run`)
    #[command(hide = true)]
    Keeper(Keeper),
}

/// A container.
#[derive(Debug, Args)]
pub struct One {
    /// Its name
    #[arg(value_parser = Id::parse)]
    pub id: Id,
}

/// `state`.
#[derive(Debug, Args)]
pub struct State {
    /// The container
    #[arg(value_parser = Id::parse)]
    pub id: Id,
    /// Show a process that was started by `exec` in place of the container
    #[arg(long, value_name = "ID", value_parser = Id::parse)]
    pub exec: Option<Id>,
}

/// What `create` and `run` share.
#[derive(Debug, Args)]
pub struct Create {
    /// Its name: letters and digits, joined by single '.', '_' or '-'
    #[arg(value_parser = Id::parse)]
    pub id: Id,
    /// The folder with its config.json [default: the current one]
    #[arg(short, long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// The streams and the pid file
    #[command(flatten)]
    pub streams: Streams,
}

/// Where streams lead, and where the pid is written.
#[derive(Debug, Clone, Args)]
pub struct Streams {
    /// A file that the program reads [default: our own input where attached, else nothing]
    #[arg(long, value_name = "FILE")]
    pub stdin: Option<PathBuf>,
    /// A file to which its output is appended [default: our own output where attached, else nowhere]
    #[arg(long, value_name = "FILE")]
    pub stdout: Option<PathBuf>,
    /// A file to which its complaints are appended [default: as its output]
    #[arg(long, value_name = "FILE")]
    pub stderr: Option<PathBuf>,
    /// A file that gets the number of its process (with `create`: of the keeper, since there is no process yet)
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The container
    #[command(flatten)]
    pub create: Create,
    /// Return as soon as it runs
    #[arg(short, long)]
    pub detach: bool,
    /// Delete it when it ends
    #[arg(long, conflicts_with = "detach")]
    pub rm: bool,
    /// How long its processes have to end after Ctrl+C
    #[arg(long, default_value = "30s", value_name = "TIME")]
    pub grace: Grace,
    /// A program and its arguments, in place of a bundle: it runs as you do, in the current folder
    #[arg(last = true, value_name = "PROGRAM", conflicts_with = "bundle")]
    pub program: Vec<String>,
}

/// `exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// The container
    #[arg(value_parser = Id::parse)]
    pub id: Id,
    /// Its user [default: the container's]
    #[arg(short, long, value_name = "NAME")]
    pub user: Option<String>,
    /// The folder it starts in [default: the container's]
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<String>,
    /// A variable over those of the container
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Give it a pseudo console
    #[arg(short, long)]
    pub tty: bool,
    /// A file with an OCI process object, in place of all these
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["user", "cwd", "env", "tty", "program"])]
    pub process: Option<PathBuf>,
    /// Its name in the container [default: one that is free]
    #[arg(long, value_name = "ID", value_parser = Id::parse)]
    pub exec_id: Option<Id>,
    /// Return as soon as it runs
    #[arg(short, long)]
    pub detach: bool,
    /// The streams and the pid file
    #[command(flatten)]
    pub streams: Streams,
    /// The program and its arguments
    #[arg(
        last = true,
        value_name = "PROGRAM",
        required_unless_present = "process"
    )]
    pub program: Vec<String>,
}

/// `events`.
#[derive(Debug, Args)]
pub struct Events {
    /// The container
    #[arg(value_parser = Id::parse)]
    pub id: Id,
    /// Show once what it used, and no events
    #[arg(long)]
    pub stats: bool,
    /// How often to show what it used, between the events [default: never]
    #[arg(long, value_name = "TIME", conflicts_with = "stats")]
    pub interval: Option<Grace>,
}

/// `update`.
#[derive(Debug, Args)]
pub struct Update {
    /// The container
    #[arg(value_parser = Id::parse)]
    pub id: Id,
    /// A file with an OCI windows.resources object
    #[arg(short, long, value_name = "FILE")]
    pub resources: Option<PathBuf>,
    /// Memory of all processes together, such as 512MiB, or none
    #[arg(long, value_name = "BYTES")]
    pub memory_bytes: Option<OrNone<Bytes>>,
    /// Memory of each process, such as 64MiB, or none
    #[arg(long, value_name = "BYTES")]
    pub process_memory_bytes: Option<OrNone<Bytes>>,
    /// The most processor time, in hundredths of a percent of all processors, 1 to 10000, or none
    #[arg(long, value_name = "N")]
    pub cpu_maximum: Option<OrNone<u16>>,
    /// The share of processor time beside other containers, 1 to 9, or none
    #[arg(long, value_name = "N", conflicts_with = "cpu_maximum")]
    pub cpu_weight: Option<OrNone<u8>>,
    /// How many processes may run at once, or none
    #[arg(long, value_name = "N")]
    pub processes: Option<OrNone<u32>>,
}

/// `kill`.
#[derive(Debug, Args)]
pub struct Kill {
    /// The container
    #[arg(value_parser = Id::parse)]
    pub id: Id,
    /// The signal: TERM, INT, HUP, QUIT, or a console event such as `CTRL_C`, asks to end; KILL ends
    #[arg(default_value = "TERM", value_parser = Signal::parse)]
    pub signal: Signal,
    /// Said by other tools; here a signal for a container always reaches all of its processes
    #[arg(short, long)]
    pub all: bool,
    /// Send it to a process that was started by `exec`
    #[arg(long, value_name = "ID", value_parser = Id::parse, conflicts_with = "all")]
    pub exec: Option<Id>,
}

/// `stop`.
#[derive(Debug, Args)]
pub struct Stop {
    /// The container
    #[arg(value_parser = Id::parse)]
    pub id: Id,
    /// How long its processes have to end by themselves
    #[arg(short, long, default_value = "30s", value_name = "TIME")]
    pub grace: Grace,
}

/// `delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The container
    #[arg(value_parser = Id::parse)]
    pub id: Id,
    /// End it first if it runs; a container that does not exist is no error
    #[arg(short, long)]
    pub force: bool,
    /// Forget a process that was started by `exec -d` and ended, in place of the container
    #[arg(long, value_name = "ID", value_parser = Id::parse, conflicts_with = "force")]
    pub exec: Option<Id>,
}

/// `spec`.
#[derive(Debug, Args)]
pub struct Spec {
    /// Write it as config.json into this folder, unless there is one
    #[arg(short, long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
}

/// `unpack`.
#[derive(Debug, Args)]
pub struct Unpack {
    /// Where to: a folder that does not exist yet
    pub target: PathBuf,
    /// The layers, lowest first: tar files, also compressed by gzip, or folders
    #[arg(required = true, value_name = "LAYER")]
    pub layers: Vec<PathBuf>,
}

/// What `install` and `uninstall` share.
#[derive(Debug, Clone, Args)]
pub struct Node {
    /// The folder with the programs to install [default: that of this program]
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// The folder of containerd [default: that of its service]
    #[arg(long, value_name = "DIR")]
    pub containerd: Option<PathBuf>,
    /// The configuration of containerd [default: that of its service]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The service of containerd
    #[arg(long, default_value = "containerd", value_name = "NAME")]
    pub service: String,
    /// Leave the restart of containerd to somebody else
    #[arg(long)]
    pub no_restart: bool,
}

/// `install`.
#[derive(Debug, Args)]
pub struct Install {
    /// Where everything is
    #[command(flatten)]
    pub node: Node,
    /// Change nothing; end with 1 where there is something to do
    #[arg(long)]
    pub check: bool,
}

/// `uninstall`.
#[derive(Debug, Args)]
pub struct Uninstall {
    /// Where everything is
    #[command(flatten)]
    pub node: Node,
    /// Also while containers of the runtime are on the node
    #[arg(short, long)]
    pub force: bool,
}

/// `completion`.
#[derive(Debug, Args)]
pub struct Completion {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `keeper`.
#[derive(Debug, Args)]
pub struct Keeper {
    /// The container
    #[arg(value_parser = Id::parse)]
    pub id: Id,
}
