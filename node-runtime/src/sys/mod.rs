//! `sys`: what the runtime asks of an operating system, as small traits, and the backend of the system it was built for.
//!
//! Nothing above this module knows which system it runs on. A backend decides nothing: it does what it is told and says what
//! it saw. The contract of each trait stands in its MUST sentences, and `tests/contract` runs the same suite on every
//! backend: [`fake`] (in memory, everywhere), Windows (job objects, under Wine), and Linux (process groups; for tests and
//! demonstrations only). Longer than other files: the contract is read as a whole, and three backends are held to it.

mod companion;
pub mod fake;
#[cfg(unix)]
mod linux;
pub mod log_driver;
pub mod services;
#[cfg(windows)]
mod windows;

#[cfg_attr(unix, path = "linux/tree.rs")]
#[cfg_attr(windows, path = "windows/tree.rs")]
pub mod tree;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::limits::Limits;

pub use services::Services;

#[cfg(unix)]
pub use linux::{helper_main, live_handles, on_interrupt, own_process, pipe};
#[cfg(unix)]
use std::os::unix::fs::symlink;
#[cfg(windows)]
pub use windows::{
    access_of, helper_main, live_handles, native_from_inside, on_interrupt, own_process, pipe,
    spawn_retries,
};

/// Something that runs programs in jobs.
pub trait Host: fmt::Debug + Send + Sync {
    /// What it can do. MUST NOT change while the program runs.
    fn features(&self) -> Features;

    /// Which rules its paths, command lines and environments follow, and where its own folders are.
    fn places(&self) -> Places;

    /// Changes with every start of the system, and only then.
    fn boot_id(&self) -> io::Result<String>;

    /// The time of day. For records only: deadlines use [`std::time::Instant`].
    fn now(&self) -> Timestamp;

    /// Makes an empty job. `name` has at most 200 characters of `A-Z a-z 0-9 _ . -`.
    ///
    /// When the last handle of it is closed, also by the death of this process, every process in it MUST end.
    /// Fails with `AlreadyExists` while a job of that name lives.
    fn create_job(&self, name: &str) -> io::Result<Arc<dyn Job>>;

    /// Opens a job that lives; `NotFound` where none does. Closing it again MUST NOT end anything while others hold it.
    fn open_job(&self, name: &str) -> io::Result<Arc<dyn Job>>;

    /// Logs a user on, for any number of processes. What it made for that (accounts, loaded profiles) MUST be gone when the
    /// last reference is dropped, and MUST be marked so that [`Host::sweep_identities`] finds it after a crash.
    /// `owner` is the container it is for.
    fn log_on(&self, user: &User, owner: &str) -> io::Result<Arc<dyn Identity>>;

    /// Removes what [`Host::log_on`] made for owners that `lives` does not know. Returns what was removed, in words.
    fn sweep_identities(&self, lives: &dyn Fn(&str) -> bool) -> io::Result<Vec<String>>;

    /// Finds the process of an identity that was recorded; none where it ended, even if its number was given to another.
    fn open_process(&self, id: ProcessId) -> io::Result<Option<Arc<dyn Process>>>;

    /// Serves an address for administrators only: the name of a pipe, or on Linux the path of a socket, also as `unix://PATH`.
    /// `AlreadyExists` while somebody serves it: a second server MUST be refused, not share it. Clients of other machines MUST
    /// be refused.
    fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>>;

    /// Connects to an address, waiting at most `timeout` for a server that is busy. `NotFound` where nobody serves it.
    fn connect(&self, address: &str, timeout: Duration) -> io::Result<Box<dyn Connection>>;

    /// Starts a program that outlives this one, with no job, no console, and no open handle of ours but the given one as its
    /// standard output. It is the keeper of a container.
    fn spawn_detached(
        &self,
        program: &Path,
        arguments: &[String],
        output: File,
    ) -> io::Result<ProcessId>;

    /// Makes links, junctions and mounts.
    fn storage(&self) -> &dyn Storage;
}

/// A set of processes that live and end together.
///
/// A process that is started in it, and whatever that starts, MUST be in it from its first instruction on.
pub trait Job: fmt::Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// For the backend, which needs its own type again.
    fn as_any(&self) -> &dyn Any;

    /// Makes a job inside this one. Processes in it are in both, so that limits of both hold.
    fn nest(&self, name: &str) -> io::Result<Arc<dyn Job>>;

    /// Starts a program in it. The child MUST get the three streams and no other handle; those that are none are closed, or
    /// lead nowhere: reading ends at once, and what is written is lost.
    ///
    /// `NotFound` where the program does not exist, `PermissionDenied` where it may not be run, `InvalidInput` where it is no
    /// program, `QuotaExceeded` where a limit of processes is reached. Nothing is left of a program that could not be started.
    fn spawn(
        &self,
        launch: &Launch,
        streams: Streams,
        identity: &dyn Identity,
    ) -> io::Result<Arc<dyn Process>>;

    /// Sets limits, also while it runs. Those that are none are lifted. `Unsupported` names the first that the host lacks;
    /// nothing is changed then.
    fn set_limits(&self, limits: &Limits) -> io::Result<()>;

    /// What it used so far, ended processes included.
    fn usage(&self) -> io::Result<Usage>;

    /// The processes in it, in order of their number. One that ends meanwhile is left out.
    fn processes(&self) -> io::Result<Vec<ProcessInfo>>;

    /// Asks every process in it to end, in the way programs of the system expect it (Ctrl+C, `WM_CLOSE`; `SIGTERM`). Returns
    /// the numbers of those that could not be asked. It does not wait.
    fn interrupt(&self) -> io::Result<Vec<u32>>;

    /// Ends every process in it with this exit code. Once it returns, no new process can be started by those in it.
    fn terminate(&self, exit_code: u32) -> io::Result<()>;

    /// Stops every process in it, also those that are started meanwhile, until [`Job::resume`].
    fn suspend(&self) -> io::Result<()>;

    /// Lets them go on.
    fn resume(&self) -> io::Result<()>;

    /// Waits until no process is in it. Returns whether that is so. A job that never had one is empty.
    fn wait_empty(&self, timeout: Duration) -> io::Result<bool>;

    /// The next thing that happened in it, oldest first; none when nothing did for `timeout`. A slow reader loses the oldest
    /// ones but never [`Notice::MemoryLimit`] and [`Notice::ProcessLimit`].
    fn next_notice(&self, timeout: Duration) -> io::Result<Option<Notice>>;
}

/// A process, held by a handle: its number cannot be given to another while this lives.
pub trait Process: fmt::Debug + Send + Sync {
    /// Which process it is.
    fn id(&self) -> ProcessId;

    /// Lets a process run that was started suspended.
    fn resume(&self) -> io::Result<()>;

    /// Waits for its end; none after `timeout`. The exit code is the whole 32-bit one. Every waiter gets it, however often.
    /// Linux has eight bits, and tells those only to whoever started the process: others get 255.
    fn wait(&self, timeout: Duration) -> io::Result<Option<u32>>;

    /// Ends this process alone with this exit code. One that ended already is no error.
    fn terminate(&self, exit_code: u32) -> io::Result<()>;

    /// Asks this process alone to end, as [`Job::interrupt`] does; false where it could not be asked.
    fn interrupt(&self) -> io::Result<bool>;

    /// Sets the size of its pseudo console. `Unsupported` where it has none.
    fn resize(&self, console: Console) -> io::Result<()>;
}

/// A user that is logged on.
pub trait Identity: fmt::Debug + Send + Sync {
    /// The account, as the system spells it.
    fn account(&self) -> &str;

    /// The environment that the system gives this user.
    fn environment(&self) -> io::Result<BTreeMap<String, String>>;

    /// For the backend, which needs its own type again.
    fn as_any(&self) -> &dyn Any;
}

/// Serves an address.
pub trait Listener: fmt::Debug + Send {
    /// The next client; none after `timeout`. One that is gone already is a client too: what it sent MUST be read from it.
    fn accept(&mut self, timeout: Duration) -> io::Result<Option<Box<dyn Connection>>>;

    /// Makes [`Listener::accept`] fail from another thread, the one under way and those to come.
    fn canceller(&self) -> Cancel;
}

/// A stream to another process: one side at a time reads or writes. Reading ends with 0 when the other side closed it.
pub trait Connection: io::Read + io::Write + fmt::Debug + Send {
    /// How long a read or a write may take; `TimedOut` after that. None waits for ever.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// Makes a write fail from another thread, the one under way and those to come. How much of it arrived is not known.
    fn canceller(&self) -> Cancel;

    /// Its two directions, for a thread each. It is closed when both are dropped. Cancellers are those of the directions then.
    fn split(self: Box<Self>) -> io::Result<Halves>;

    /// Whether what was written and nobody has read yet would be lost, were this end closed now.
    fn holds_unread(&self) -> bool {
        false
    }
}

/// The two directions of a connection.
pub type Halves = (Box<dyn Incoming>, Box<dyn Outgoing>);

/// What comes in over a connection, while another thread may use the way out.
pub trait Incoming: io::Read + fmt::Debug + Send {
    /// How long a read may take; `TimedOut` after that. None waits for ever. The other direction keeps its own.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// Makes a read end or fail from another thread, the one under way and those to come.
    fn canceller(&self) -> Cancel;
}

/// What goes out over a connection, while another thread may read from it.
pub trait Outgoing: io::Write + fmt::Debug + Send {
    /// How long a write may take; `TimedOut` after that. None waits for ever. The other direction keeps its own.
    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// Makes a write fail from another thread, the one under way and those to come. How much of it arrived is not known.
    fn canceller(&self) -> Cancel;
}

/// Ends what another thread waits for. A second time changes nothing.
pub type Cancel = Box<dyn Fn() + Send + Sync>;

/// Ways to make a folder appear at another place.
pub trait Storage: fmt::Debug + Send + Sync {
    /// The means the host has, best first.
    fn means(&self) -> Vec<Means>;

    /// Makes `source` appear at `target` by `means`. `target` MUST NOT exist; its parent does. `job` is what a bind is for: it
    /// has no process yet, and what stands at `target` is only hidden from it. Such a bind goes with its job.
    ///
    /// `Unsupported` where the means cannot do it (read-only, or a file where it only does folders).
    fn attach(&self, means: Means, attachment: &Attachment<'_>) -> io::Result<()>;

    /// Undoes [`Storage::attach`]. What is gone already is no error. It MUST NOT follow the link: what it leads to stays.
    fn detach(&self, means: Means, target: &Path) -> io::Result<()>;

    /// What an entry is, without following it; none where nothing is.
    fn entry(&self, path: &Path) -> io::Result<Option<Entry>>;

    /// The drive of a volume, `C:\` of `\\?\Volume{…}\`; none where it has none, or the host has no volumes.
    fn drive_of(&self, _volume: &str) -> Option<String> {
        None
    }

    /// Allows only administrators and the system to reach a folder and all in it. One that is protected is left as it is.
    ///
    /// `PermissionDenied` names the folder and its owner where that is somebody else, who could undo it at any time.
    fn protect(&self, folder: &Path) -> io::Result<()>;

    /// Lets every user of the host read and run what will be in an empty folder, and change it where it is `writable`, even
    /// below a folder that is protected: programs of containers run as users of their own.
    fn share(&self, folder: &Path, writable: bool) -> io::Result<()>;
}

/// What is to appear where.
#[derive(Debug, Clone, Copy)]
pub struct Attachment<'a> {
    /// The folder or file that exists.
    pub source: &'a Path,
    /// Where it is to appear.
    pub target: &'a Path,
    /// Whether it must not be written through `target`.
    pub read_only: bool,
    /// The job that sees it, for [`Means::BindFilter`].
    pub job: Option<&'a dyn Job>,
}

/// A way to make a folder appear at another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// The bind filter, seen by one job alone. Files and folders, read-only where asked for.
    BindFilter,
    /// A bind mount of Linux.
    BindMount,
    /// A mount point of a volume. Only roots of volumes.
    VolumeMountPoint,
    /// A junction. Only folders of the same machine.
    Junction,
    /// A symbolic link. Files and folders.
    Symlink,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, a junction, a mount point or any other reparse point.
    Link,
}

/// Which rules hold, and where things are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Places {
    /// The rules.
    pub rules: Rules,
    /// The system's folder: `C:\Windows`; empty on Linux.
    pub windows: String,
    /// Where the programs of the system are: `C:\Windows\System32`; `/usr/bin` on Linux.
    pub system: String,
    /// Where a container's root appears, with a separator at its end: `C:\hpc\`.
    pub container_root: String,
    /// Where the runtime keeps its records by default: `C:\ProgramData\hosttask\node`.
    pub state_root: String,
    /// How many logical processors the host has.
    pub processors: u32,
}

/// Which rules paths, command lines and environments follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rules {
    /// `\`, drives, one command line, names of variables in any case.
    Windows,
    /// `/`, an array of arguments.
    Posix,
}

/// What a host can do. Each is what the backend found out, not what it was built with.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each read on its own"
)]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    /// The backend: `windows`, `linux`, `fake`.
    pub backend: String,
    /// The system and its version, as it says itself; `wine` and its version where it is that.
    pub system: String,
    /// A job in a job.
    pub nested_jobs: bool,
    /// A job as an application silo, with its own view of the file system.
    pub silo: bool,
    /// The bind filter.
    pub bind_filter: bool,
    /// Why no job has a view of its own, though a trial asked for one; none where jobs can have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view_refused: Option<String>,
    /// Pseudo consoles.
    pub pseudo_console: bool,
    /// Limits that are accepted by the system. Whether it enforces them, only a real Windows can show.
    pub limits: BTreeSet<LimitKind>,
    /// Notices of limits that were reached.
    pub limit_notices: bool,
    /// Commit and peak of the whole job.
    pub job_memory_usage: bool,
    /// Input and output of the whole job.
    pub job_io_usage: bool,
    /// Pausing.
    pub suspend: bool,
    /// Service accounts (`NT AUTHORITY\…`).
    pub service_accounts: bool,
    /// Temporary accounts in a local group.
    pub group_accounts: bool,
    /// Ways to place a container's root, best first.
    pub means: Vec<Means>,
}

/// A kind of limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// Committed memory of all processes together.
    JobMemory,
    /// Committed memory of each process.
    ProcessMemory,
    /// A cap on processor time.
    CpuCap,
    /// A weight of processor time.
    CpuWeight,
    /// Which processors may be used.
    Affinity,
    /// How many processes may run at once.
    ActiveProcesses,
    /// The priority class.
    Priority,
    /// What a process may do with the desktop.
    UserInterface,
    /// Bytes sent in a second.
    NetworkRate,
    /// Operations and bytes of disks in a second.
    IoRate,
}

/// Who a program runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum User {
    /// Whoever the runtime runs as.
    Inherit,
    /// `NT AUTHORITY\SYSTEM`.
    System,
    /// `NT AUTHORITY\LocalService`.
    LocalService,
    /// `NT AUTHORITY\NetworkService`.
    NetworkService,
    /// A temporary account that is a member of this local group.
    Group(String),
}

/// A program to start: everything is resolved, nothing is searched for any more.
#[derive(Clone, PartialEq, Eq)]
pub struct Launch {
    /// The full path of the program.
    pub program: String,
    /// Its arguments, the first being its name.
    pub arguments: Vec<String>,
    /// The same as one line, in the quoting of the rules; what Windows passes on.
    pub command_line: String,
    /// The folder it starts in. It exists.
    pub directory: String,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// Its pseudo console, in place of the streams `stdout` and `stderr`.
    pub console: Option<Console>,
    /// Whether it waits for [`Process::resume`] before its first instruction.
    pub suspended: bool,
    /// Names of privileges that are removed from its token for good, such as `SeDebugPrivilege`.
    pub drop_privileges: BTreeSet<String>,
}

/// What is secret, arguments and values of variables, is left out: this ends up in logs.
impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch")
            .field("program", &self.program)
            .field("arguments", &self.arguments.len())
            .field("directory", &self.directory)
            .field("environment", &self.environment.keys())
            .field("console", &self.console)
            .field("suspended", &self.suspended)
            .field("drop_privileges", &self.drop_privileges)
            .finish_non_exhaustive()
    }
}

/// The size of a console, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// 1 to 32,767.
    pub columns: u16,
    /// 1 to 32,767.
    pub rows: u16,
}

/// The child's ends of its streams. Each is closed here once the child has it.
#[derive(Debug, Default)]
pub struct Streams {
    /// What it reads.
    pub stdin: Option<File>,
    /// What it prints.
    pub stdout: Option<File>,
    /// What it complains.
    pub stderr: Option<File>,
}

/// Which process: a number alone is given to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    /// The number.
    pub pid: u32,
    /// When it was started, in the unit of the backend (100 ns of Windows, ticks of Linux): only compared.
    pub started: u64,
}

/// What a job used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Processor time in user mode, in nanoseconds.
    pub user_nanoseconds: u64,
    /// Processor time in the kernel, in nanoseconds.
    pub kernel_nanoseconds: u64,
    /// Processes that run.
    pub active_processes: u32,
    /// Processes that ever were in it.
    pub total_processes: u32,
    /// Page faults; none where the host does not count them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_faults: Option<u64>,
    /// Committed bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_bytes: Option<u64>,
    /// The most it ever had committed, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_peak_bytes: Option<u64>,
    /// Bytes in memory that no other process shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_working_set_bytes: Option<u64>,
    /// Input and output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io: Option<IoUsage>,
}

/// Input and output of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IoUsage {
    /// Read operations.
    pub read_operations: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Write operations.
    pub write_operations: u64,
    /// Bytes written.
    pub write_bytes: u64,
}

/// A process of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessInfo {
    /// Its number.
    pub pid: u32,
    /// The number of the one that started it; 0 where unknown.
    pub parent: u32,
    /// The name of its program.
    pub name: String,
    /// When it was started.
    pub created: Timestamp,
    /// Processor time in user mode, in nanoseconds.
    pub user_nanoseconds: u64,
    /// Processor time in the kernel, in nanoseconds.
    pub kernel_nanoseconds: u64,
    /// Committed bytes.
    pub commit_bytes: u64,
    /// Bytes in memory that it does not share.
    pub private_working_set_bytes: u64,
    /// Bytes in memory that it shares.
    pub shared_working_set_bytes: u64,
}

/// Something that happened in a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Notice {
    /// A process was started.
    Started {
        /// Its number.
        pid: u32,
    },
    /// A process ended.
    Ended {
        /// Its number.
        pid: u32,
        /// Whether by an exception.
        abnormal: bool,
    },
    /// The last process ended.
    Empty,
    /// A process was refused memory.
    MemoryLimit {
        /// Its number; none where the whole job reached its limit and the system does not say who asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
    },
    /// A process was refused for the number of those that run.
    ProcessLimit,
}

/// The backend of the system this program was built for.
///
/// # Errors
/// What the system said where it lacks something no container can do without.
#[cfg(unix)]
pub fn native() -> io::Result<Arc<dyn Host>> {
    Ok(Arc::new(linux::LinuxHost::open()?))
}

/// The backend of the system this program was built for.
///
/// # Errors
/// What the system said where it lacks something no container can do without.
#[cfg(windows)]
pub fn native() -> io::Result<Arc<dyn Host>> {
    Ok(Arc::new(windows::WindowsHost::open()?))
}

/// What an entry is, without following it; none where nothing is.
fn entry(path: &Path) -> io::Result<Option<Entry>> {
    let kind = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A file stands where the path has a folder.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(if kind.is_symlink() {
        Entry::Link
    } else if kind.is_dir() {
        Entry::Folder
    } else {
        Entry::File
    }))
}

/// Makes a symbolic link.
#[cfg(windows)]
fn symlink(source: &Path, target: &Path) -> io::Result<()> {
    if source.is_dir() {
        return std::os::windows::fs::symlink_dir(source, target);
    }
    std::os::windows::fs::symlink_file(source, target)
}

/// Asks the system to start a program outside of the job of this one, where the job lets it: no job of this crate does.
#[cfg(windows)]
pub fn break_away(command: &mut std::process::Command) {
    use std::os::windows::process::CommandExt as _;
    const CREATE_BREAKAWAY_FROM_JOB: u32 = 0x0100_0000;
    command.creation_flags(CREATE_BREAKAWAY_FROM_JOB);
}

/// Waits until the names in a folder are on the disk. Windows opens no folder as a file, and keeps names in its own journal.
///
/// # Errors
/// The disk cannot write.
#[cfg(windows)]
#[expect(clippy::unnecessary_wraps, reason = "it can fail on other systems")]
pub(crate) fn flush_names(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Waits until the names in a folder are on the disk.
///
/// # Errors
/// The folder cannot be opened, or the disk cannot write.
#[cfg(unix)]
pub(crate) fn flush_names(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Asks the system to give a program a console of its own without a window, as every program of a container has.
#[cfg(windows)]
pub fn own_console(command: &mut std::process::Command) {
    use std::os::windows::process::CommandExt as _;
    const CREATE_NO_WINDOW: u32 = 0x0800_0000;
    command.creation_flags(CREATE_NO_WINDOW);
}

/// Where programs have no consoles of their own, this asks for nothing.
#[cfg(unix)]
pub fn own_console(_command: &mut std::process::Command) {}

/// Asks the system to start a program in a process group of its own, out of the reach of signals to ours.
#[cfg(unix)]
pub fn break_away(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

/// What an image says about a file. Each system takes what it knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The permission bits of POSIX.
    pub mode: u32,
    /// The attributes of Windows, such as hidden.
    pub windows: u32,
}
