//! Our shim under a real containerd on Linux: whatever `ctr` and containerd's API can ask, restarts and kills in every state.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the test, and a test that cannot run says so"
)]

#[path = "containerd/bench.rs"]
mod bench;
#[path = "containerd/ctr.rs"]
mod ctr;
#[path = "containerd/killed.rs"]
mod killed;
#[path = "containerd/many.rs"]
mod many;
#[path = "containerd/output.rs"]
mod output;
#[path = "containerd/restart.rs"]
mod restart;
#[path = "containerd/trouble.rs"]
mod trouble;
