//! ttrpc: the calls that containerd and its shims make to each other, over the pipes and sockets of [`crate::sys`].
//!
//! ```text
//!   connection ── frame ── message ─┬─ server ── Service   what the shim answers
//!                                   └─ client              what the shim and its tests ask
//! ```
//!
//! The messages come from the crates `ttrpc` and `containerd-shim-protos`; the server and the client do not. Those of `ttrpc`
//! 0.10 make their own pipes on Windows: without a list of who may reach them, so that any user could serve the name first
//! or call the shim, and without a way to refuse other machines. They start a thread for each connection and each request
//! without a bound, and a client that sends half a frame or takes no answer holds a thread for ever.

mod client;
mod conversation;
pub mod frame;
pub mod message;
mod patience;
pub mod server;
mod status;
mod tally;

pub use client::{Client, Error};
pub use server::serve;
pub use status::{Code, Status};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A call that is to be answered.
pub struct Call<'a> {
    /// The service, such as `containerd.task.v3.Task`.
    pub service: &'a str,
    /// The method, such as `Create`.
    pub method: &'a str,
    /// The encoded request of the method.
    pub payload: &'a [u8],
    /// How long the client waits; none where it names no time.
    pub timeout: Option<Duration>,
    /// Who waits for the answer. Whoever answers late looks at it now and then.
    pub caller: Caller,
}

/// The request is left out: it can hold values of environment variables.
impl std::fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("service", &self.service)
            .field("method", &self.method)
            .field("payload", &self.payload.len())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Whether somebody still waits for an answer. The default is a caller that waits for ever.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    has_left: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Caller {
    /// A caller that is gone once the flag is set, or after a time from now.
    fn new(has_left: &Arc<AtomicBool>, timeout: Option<Duration>) -> Self {
        Self {
            has_left: Arc::clone(has_left),
            deadline: timeout.and_then(|it| Instant::now().checked_add(it)),
        }
    }

    /// Whether the connection broke or the caller's time is over, so that nobody takes the answer.
    pub fn is_gone(&self) -> bool {
        self.has_left.load(Ordering::Acquire)
            || self.deadline.is_some_and(|until| until <= Instant::now())
    }
}

/// What answers calls.
pub trait Service: Send + Sync {
    /// Answers a call with the encoded response of the method. It may block, as `Wait` does, until [`Caller::is_gone`].
    ///
    /// # Errors
    /// What the client is told. `Unimplemented` for a service or a method that it lacks.
    fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, Status>;

    /// How many clients there are; told whenever that changes, in order. It must not wait for anything.
    fn clients(&self, _count: usize) {}

    /// Whether a method waits for something without a bound, so that its calls may not take every place of a client.
    fn waits(&self, _service: &str, _method: &str) -> bool {
        false
    }
}
