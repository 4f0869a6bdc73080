//! Tells containerd what happens to tasks.

use protobuf::well_known_types::any::Any;

/// Tells containerd what happened.
pub trait Publish: Send + Sync {
    /// Queues an event and returns at once. Events arrive in the order in which they were queued.
    fn publish(&self, topic: &str, event: Any);
}
