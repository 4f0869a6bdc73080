//! `cli`: the command line `hosttask-node`.
