//! The task service of the shim: every method and every state, on the fake host and with real processes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod bench;
mod cleaning;
mod configs;
mod execs;
mod lives;
mod pods;
mod questions;
mod signals;
