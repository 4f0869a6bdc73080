//! `hosttask-node` itself, run as a user runs it, on the host the test was built for: real programs, real keepers.
#![expect(
    clippy::unwrap_used,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

#[path = "command/bench.rs"]
mod bench;
#[path = "command/failures.rs"]
mod failures;
#[path = "command/keepers.rs"]
mod keepers;
#[path = "command/life.rs"]
mod life;
#[path = "command/streams.rs"]
mod streams;
