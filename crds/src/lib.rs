//! The `hosttask.dev` API: what people write (`WindowsHostTask`) and what the operator records (`WindowsHostNode`).
//!
//! This crate holds types, defaults, validation rules and schema generation. It has no client and no runtime, so
//! that tools which only read or write the objects can depend on it.

pub mod condition;
pub mod failure;
pub mod label;
pub mod node;
pub mod reference;
pub mod schema;
mod status;
pub mod task;
pub mod template;

pub use condition::{ConditionType, Reason};
pub use node::{WindowsHostNode, WindowsHostNodeSpec, WindowsHostNodeStatus};
pub use task::{WindowsHostTask, WindowsHostTaskSpec, WindowsHostTaskStatus};
pub use template::Template;

/// The API group of both kinds.
pub const GROUP: &str = "hosttask.dev";
/// The API version of both kinds.
pub const VERSION: &str = "v1alpha1";
