//! The bench: a local control plane, a simulated Windows fleet, and what the suites share.

pub mod bed;
pub mod cluster;
pub mod containerd;
pub mod demo;
pub mod fleet;
pub mod manifest;
pub mod poll;
pub mod windows_node;
