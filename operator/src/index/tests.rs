//! The rules of the index.
