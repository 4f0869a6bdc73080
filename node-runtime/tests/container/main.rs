//! Containers on the fake host and, where the same holds there, with real processes of the system the tests run on.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod added;
mod bench;
mod faults;
mod interleavings;
mod lifecycle;
mod limits;
mod recover;
#[path = "../scene/mod.rs"]
mod scene;
mod shim_rootfs;
mod shim_streams;
mod shim_volumes;
mod stopping;
mod streams;
