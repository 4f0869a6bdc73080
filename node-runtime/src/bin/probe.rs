//! `probe`: a program for tests, which does what its arguments say.

fn main() {}
