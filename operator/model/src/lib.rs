//! A model of a small cluster around the shipped plan, explored completely.
//!
//! The plan is the real one; everything else (API server, controllers, kubelets, users, accidents, and the operator's edges)
//! is played in few words, so that a state is small. `operator/docs/model.md` says what is covered.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_types,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    clippy::struct_excessive_bools,
    reason = "it serves tests, which fail by panicking; what is explored is looked up by hash and never listed; a table of all there is may be long"
)]

pub mod config;
mod graph;
mod laws;
pub mod machine;
pub mod mutant;
mod operator;
mod state;
mod view;
mod words;
mod world;
mod writes;
