//! `hosttask-node`: runs HostProcess containers from the command line.

fn main() {}
