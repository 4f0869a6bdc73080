//! The containerd shim: the task service of containerd, versions 2 and 3, over the library's containers.
//!
//! ```text
//!   containerd ──start, delete──▶ boot ──starts──▶ daemon
//!        │                                            │
//!        └──────ttrpc: Create, Start, Kill, …────▶ service ──▶ Container, one per task
//!        ◀─────ttrpc: /tasks/create, /tasks/exit── publisher ◀── its events
//! ```
//!
//! One process serves a whole pod. Its death ends its containers: the jobs are closed with it.
//!
#![doc = include_str!("../../docs/rpc.md")]

pub mod address;
pub mod boot;
pub mod log_pipe;
pub mod publisher;
pub mod rootfs;
pub mod service;
pub mod streams;
