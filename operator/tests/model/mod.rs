//! A model of a small cluster around the shipped plan, explored completely.
//!
//! The plan is the real one; everything else (API server, controllers, kubelets, users, accidents, and the operator's edges)
//! is played in few words, so that a state is small. `docs/model.md` says what is covered.

pub(crate) mod config;
mod graph;
mod laws;
pub(crate) mod machine;
pub(crate) mod mutant;
mod operator;
mod state;
mod view;
mod words;
mod world;
mod writes;
