//! `start`: from what containerd says to a shim that answers.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use containerd_shim_protos::api::ConnectRequest;
use protobuf::Message as _;

use super::arguments::Options;
use super::bundle::{Bundle, Known};
use super::error::CommandError;
use super::message::{self, Order};
use crate::id::Id;
use crate::install;
use crate::keeper::boot;
use crate::keeper::protocol::Kind;
use crate::shim::address;
use crate::sys::{Host, Places, ProcessId, Rules};
use crate::ttrpc::{Client, Code, Error};

/// The variable that names the folder with the records of all namespaces.
pub(super) const STATE_ROOT: &str = "HOSTTASK_STATE_ROOT";

/// How long a shim may take to be connected to, and to answer. A busy machine needs seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long is waited for a shim of the same name that may run already.
const LOOK: Duration = Duration::from_secs(2);

/// How long it rests before it looks again whether a name that is taken has a shim that answers, or is free.
const REST: Duration = Duration::from_millis(100);

/// What a shim is asked to see that it answers.
const SERVICE: &str = "containerd.task.v3.Task";

/// What `start` was given.
pub(super) struct Start<'a> {
    pub(super) host: Arc<dyn Host>,
    pub(super) options: &'a Options,
    pub(super) order: Order,
    pub(super) state_root: PathBuf,
    pub(super) program: PathBuf,
}

/// The folder with the records of all namespaces: the one that was named, or the usual one.
pub(super) fn state_root(places: &Places) -> Result<PathBuf, CommandError> {
    let named = env::var_os(STATE_ROOT).filter(|it| !it.is_empty());
    let root = named.map_or_else(|| install::shim_root(places), PathBuf::from);
    std::path::absolute(&root).map_err(CommandError::file("find the full path of", root))
}

impl Start<'_> {
    /// Sees that a shim answers, and prints where.
    pub(super) fn run(&self, output: &mut dyn Write) -> Result<(), CommandError> {
        let bundle = Bundle::open(self.options.bundle.as_deref())?;
        leave(&self.program)?;
        match bundle.pod().filter(|pod| *pod != self.options.id) {
            Some(sandbox) => self.join(&bundle, sandbox, output),
            None => self.own(&bundle, output),
        }
    }

    /// Adds a container to a pod whose shim runs.
    fn join(
        &self,
        bundle: &Bundle,
        sandbox: Id,
        output: &mut dyn Write,
    ) -> Result<(), CommandError> {
        let address = self.address(&sandbox);
        if let Err(source) = self.ask(&address, &sandbox, PATIENCE) {
            return Err(CommandError::NoSandbox {
                sandbox,
                address,
                source,
            });
        }
        bundle.tell_address(&address)?;
        self.print(&address, output)
    }

    /// Starts a shim, unless the one of that name runs: then somebody else started it, or asks again. One that is about to leave
    /// does not count, and is waited for as long as its name is taken.
    fn own(&self, bundle: &Bundle, output: &mut dyn Write) -> Result<(), CommandError> {
        let id = &self.options.id;
        let address = self.address(id);
        self.make_folder(&address)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Err(source) = self.ask(&address, id, LOOK) else {
                return self.print(&address, output);
            };
            if let Some(process) = self.begin(bundle, &address)? {
                let told = self.tell(bundle, &address, process, output);
                return told.inspect_err(|_| {
                    end(self.host.as_ref(), process);
                    bundle.forget(process);
                    sweep(self.host.as_ref(), &address);
                });
            }
            if Instant::now() >= deadline {
                return Err(CommandError::Unready { address, source });
            }
            thread::sleep(REST);
        }
    }

    /// Starts a shim; none where its address is taken: another start was quicker, or an old shim is just leaving.
    fn begin(&self, bundle: &Bundle, address: &str) -> Result<Option<ProcessId>, CommandError> {
        let arguments = self.arguments(bundle, address);
        let started = boot::start(self.host.as_ref(), &self.program, &arguments);
        match started.map_err(CommandError::from) {
            Ok(process) => Ok(Some(process)),
            Err(CommandError::Refused(failure)) if failure.kind == Kind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sees that the new shim answers, and tells everybody.
    fn tell(
        &self,
        bundle: &Bundle,
        address: &str,
        process: ProcessId,
        output: &mut dyn Write,
    ) -> Result<(), CommandError> {
        let answered = self.ask(address, &self.options.id, PATIENCE);
        answered.map_err(|source| CommandError::Unready {
            address: address.to_owned(),
            source,
        })?;
        bundle.tell(&Known {
            process,
            address: address.to_owned(),
            state_root: self.state_root.clone(),
        })?;
        self.print(address, output)
    }

    /// Whether a shim answers, whatever it says but that it leaves.
    fn ask(&self, address: &str, id: &Id, patience: Duration) -> Result<(), Error> {
        let request = ConnectRequest {
            id: id.to_string(),
            ..ConnectRequest::default()
        };
        let client = Client::connect(&self.host, address, patience)?;
        match client.call(SERVICE, "Connect", &request.write_to_bytes()?, patience) {
            Err(Error::Status(status)) if status.code != Code::Unavailable => Ok(()),
            answer => answer.map(drop),
        }
    }

    fn print(&self, address: &str, output: &mut dyn Write) -> Result<(), CommandError> {
        let answer = message::answer(&self.order, address).map_err(CommandError::Print)?;
        output.write_all(&answer).map_err(CommandError::Print)?;
        output.flush().map_err(CommandError::Print)
    }

    fn address(&self, id: &Id) -> String {
        address::of_shim(
            &self.host.places(),
            &self.order.containerd,
            self.order.socket_folder.as_deref(),
            &self.options.namespace,
            id,
        )
    }

    /// Makes the folder of the socket, where there are sockets in folders.
    fn make_folder(&self, address: &str) -> Result<(), CommandError> {
        let path = address.strip_prefix("unix://").map(Path::new);
        let folder = match self.host.places().rules {
            Rules::Windows => None,
            Rules::Posix => path.and_then(Path::parent),
        };
        let Some(folder) = folder else { return Ok(()) };
        std::fs::create_dir_all(folder).map_err(CommandError::file("make the folder", folder))
    }

    fn arguments(&self, bundle: &Bundle, address: &str) -> Vec<String> {
        let root = self.state_root.to_string_lossy();
        let bundle = bundle.0.to_string_lossy();
        let options = self.options;
        let mut arguments: Vec<String> = [
            ["-namespace", options.namespace.as_str()],
            ["-id", options.id.as_str()],
            ["-bundle", &bundle],
            ["-socket", address],
            ["-state-root", &root],
        ]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect();
        if let Some(events) = &self.order.events {
            arguments.extend(["-events".to_owned(), events.clone()]);
        }
        if self.order.debug {
            arguments.push("-debug".to_owned());
        }
        arguments.push("serve".to_owned());
        arguments
    }
}

/// Leaves the bundle, which has to be removed while the shim lives: it begins where we are.
pub(super) fn leave(program: &Path) -> Result<(), CommandError> {
    let folder = program.parent().unwrap_or(program);
    env::set_current_dir(folder).map_err(CommandError::file("change to", folder))
}

/// Ends a shim that nobody will know. One that is gone is what we want.
fn end(host: &dyn Host, process: ProcessId) {
    if let Ok(Some(process)) = host.open_process(process) {
        drop(process.terminate(1));
        drop(process.wait(PATIENCE));
    }
}

/// Removes the socket that a shim leaves that was killed: whoever serves its address next does so, and leaves it clean. One
/// that lives keeps it.
pub(super) fn sweep(host: &dyn Host, address: &str) {
    if host.places().rules == Rules::Posix {
        drop(host.listen(address));
    }
}
