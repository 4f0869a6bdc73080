//! The task service of the shim: every method and every state, on the fake host and with real processes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that fails panics, and one that cannot be run says so"
)]

mod bench;
mod cleaning;
mod configs;
mod execs;
mod inputs;
mod lives;
mod missing;
mod pod_ends;
mod pods;
mod questions;
#[path = "../scene/mod.rs"]
mod scene;
mod signals;
