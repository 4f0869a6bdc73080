//! Schema generation.
