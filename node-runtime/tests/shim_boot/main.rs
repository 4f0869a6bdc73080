//! The program `containerd-shim-hosttask-v1` as containerd uses it: how it is started, found, told to leave and removed.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

mod bench;
mod ending;
mod starting;
