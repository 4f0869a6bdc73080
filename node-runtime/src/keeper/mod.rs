//! `keeper`: one process per container, which holds it and answers for it.
//!
//! ```text
//!   hosttask-node create ──starts──▶ hosttask-node keeper ──holds──▶ Container
//!           │  ◀──────"ready"────────────┘ │
//!           └──── Create, Start, … ───────▶│  frames over Host::listen, administrators only
//!   hosttask-node kill ── Kill ───────────▶│
//! ```
//!
//! A command ends, but somebody has to hold the job, whose last handle ends every process in it: the keeper does, until the
//! container is deleted. When it is killed its container ends with it, and the next command says so from the record.
//!
//! Secrets (arguments, variables) go through the connection and the bundle, never through the keeper's command line.

pub mod address;
pub mod boot;
pub mod client;
mod failure;
pub mod frame;
mod limits;
mod process;
pub mod protocol;
pub mod server;
mod service;

pub(crate) use limits::overlay;
pub use service::Keeper;
