//! The node runtime: HostProcess containers as Windows job objects.
//!
//! ```text
//!   hosttask-node (command line)          containerd-shim-hosttask-v1
//!         │ keeper: one process per container, asked over a pipe  │
//!         └──────────────────────┬───────────────────────────────┘
//!                            container        runs effects, owns the locks
//!            ┌───────────────┬───┴────────┬──────────────┐
//!          launch          state        record        storage
//!     OCI spec → plan   State × Request  on disk     root, mounts
//!            └───────────────┴───┬────────┴──────────────┘
//!                               sys           small traits
//!                    ┌───────────┼───────────┐
//!                 Windows      Linux        fake
//!               job objects   tests only   in memory
//! ```
//!
//! Everything above `sys` is written against its traits and compiled, tested and linted on Linux too.

pub mod container;
pub mod id;
pub mod install;
pub mod keeper;
pub mod launch;
pub mod limits;
pub mod log;
pub mod record;
pub mod shim;
pub mod state;
pub mod storage;
pub mod sys;
pub mod ttrpc;

pub mod cli;
