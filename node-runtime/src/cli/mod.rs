//! `cli`: the command line `hosttask-node`.

pub mod arguments;
pub mod quantity;
