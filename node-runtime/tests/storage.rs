//! Roots, mounts and layers on a disk: where they appear, what is refused, and that all of it is undone.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

mod disk;
#[path = "storage/ground.rs"]
mod ground;
#[path = "storage/hostile.rs"]
mod hostile;
#[path = "storage/layer.rs"]
mod layer;
#[path = "storage/place.rs"]
mod place;
#[path = "storage/undo.rs"]
mod undo;
#[path = "storage/unpack.rs"]
mod unpack;
