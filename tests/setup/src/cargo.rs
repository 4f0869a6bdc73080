//! How this repository's own packages are built: always into the cache, so that a second clone is warm.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}

/// Where Cargo puts what both commands build.
pub(crate) fn target_dir() -> PathBuf {
    hosttask_setup::cache_dir().join("target")
}

/// A Cargo command in the root of the repository.
pub(crate) fn cargo() -> Command {
    // Cargo names itself to what it runs; outside of it the one in PATH is asked.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command
        .current_dir(root())
        .env("CARGO_TARGET_DIR", target_dir());
    command
}
