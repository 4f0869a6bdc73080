//! The shim as containerd uses it: the real program is started and called over ttrpc, in every state and in both versions of
//! the task service, on Linux and under Wine.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

mod attacks;
mod crash;
mod events;
mod life;
mod node;
mod refusals;
mod several;
mod table;
mod task;
