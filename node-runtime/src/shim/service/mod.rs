//! The task service: what containerd asks of a shim, the same in its versions 2 and 3.
//!
//! ```text
//!   call ─▶ dispatch ─▶ create · process · look · change · delete ─▶ tasks ─┬─ Held     a container and its processes
//!                                                                         └─ Sandbox  a pod: its job, no process
//!                                 told ◀── the events of a container, in order ── one thread for each
//! ```
//!
//! *Guarantees*: a task whose creation failed leaves nothing; events are published in containerd's order, once each; a `Wait`
//! is answered after the exit was published; an end is told once nothing of the container runs and its volumes are free;
//! nothing but `Wait` waits without a bound.

mod change;
mod clean;
mod config;
mod create;
mod delete;
mod details;
mod dispatch;
mod events;
mod failure;
mod groups;
mod held;
mod look;
mod options;
mod packed;
mod posix;
mod process;
mod sandbox;
mod signal;
mod stats;
mod tasks;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use containerd_shim_protos::api::ShutdownRequest;

use crate::id::Id;
use crate::record::Store;
use crate::shim::publisher::Publish;
use crate::sys::{Host, ProcessId, Rules};

use self::tasks::Tasks;

pub use self::clean::{Cleaned, clean};

/// What a shim is given when it starts.
pub struct Setup {
    /// The host.
    pub host: Arc<dyn Host>,
    /// The namespace of containerd.
    pub namespace: String,
    /// The name of the shim: that of its pod's sandbox, or of its one container.
    pub id: String,
    /// The folder of all shims, with the records of each namespace in a folder of its own.
    pub state_root: PathBuf,
    /// Who is told what happens.
    pub publisher: Arc<dyn Publish>,
    /// This process, as others find it: [`crate::sys::own_process`]. Without it, what a crash left of a creation is never
    /// removed.
    pub keeper: Option<ProcessId>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("namespace", &self.namespace)
            .field("id", &self.id)
            .field("state_root", &self.state_root)
            .finish_non_exhaustive()
    }
}

/// Why a shim cannot begin, or cannot clean up.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "one error per module, named by the module"
)]
pub enum Error {
    /// A name is none.
    #[error("the {what} is no name")]
    Name {
        /// Which name.
        what: &'static str,
        /// Why.
        source: crate::id::IdError,
    },
    /// The records cannot be reached.
    #[error("failed to open the records in {}", path.display())]
    Store {
        /// The folder of all shims.
        path: PathBuf,
        /// Why.
        source: crate::record::Error,
    },
    /// What is left of a container cannot be removed.
    #[error("failed to remove what is left of the container")]
    Left(#[source] crate::container::Error),
}

/// The tasks of a shim: a pod with its containers, or one container.
pub struct Shim {
    host: Arc<dyn Host>,
    store: Arc<Store>,
    namespace: Id,
    id: Id,
    publisher: Arc<dyn Publish>,
    keeper: Option<ProcessId>,
    tasks: Tasks,
}

impl fmt::Debug for Shim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shim")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Shim {
    /// A shim without tasks.
    ///
    /// # Errors
    /// Where a name is none, or the records cannot be reached.
    pub fn new(setup: Setup) -> Result<Arc<Self>, Error> {
        let id = name("id of the shim", &setup.id)?;
        let namespace = name("namespace", &setup.namespace)?;
        let store = open(setup.host.as_ref(), &namespace, &setup.state_root)?;
        Ok(Arc::new(Self {
            namespace,
            store: Arc::new(store),
            host: setup.host,
            id,
            publisher: setup.publisher,
            keeper: setup.keeper,
            tasks: Tasks::default(),
        }))
    }

    /// Whether the process can leave: it was told to, and has no task.
    pub fn is_over(&self) -> bool {
        self.tasks.is_over()
    }

    /// Whether it has a task, or one is being made.
    pub fn has_tasks(&self) -> bool {
        self.tasks.is_used()
    }

    /// Obeys only when it is meant and its own task is deleted; then it leaves as soon as nothing is left.
    fn shutdown(&self, request: &ShutdownRequest) {
        if request.id == self.id.as_str() {
            self.tasks.leave_without(&self.id);
        }
    }

    /// Which rules hold for configs and signals.
    fn rules(&self) -> Rules {
        self.host.places().rules
    }

    /// The number of this process.
    fn pid(&self) -> u32 {
        self.keeper.map_or_else(std::process::id, |own| own.pid)
    }
}

fn name(what: &'static str, text: &str) -> Result<Id, Error> {
    Id::parse(text).map_err(|source| Error::Name { what, source })
}

fn open(host: &dyn Host, namespace: &Id, root: &Path) -> Result<Store, Error> {
    let opened = Store::open_namespace(root, namespace, host.storage());
    opened.map_err(|source| Error::Store {
        path: root.to_path_buf(),
        source,
    })
}
