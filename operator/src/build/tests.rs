//! What the built objects must look like.
