//! `keeper`: one process per container, which holds it and answers for it.

pub mod address;
pub mod frame;
