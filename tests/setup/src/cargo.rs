//! How this repository's own packages are built: always into the cache, so that a second clone is warm.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use crate::tools::WINDOWS;

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

/// The packages of this repository.
const PACKAGES: [&str; 5] = [
    "hosttask-crds",
    "hosttask-operator",
    "hosttask-node-runtime",
    "hosttask-tests",
    "hosttask-setup",
];

/// Makes sure that nothing in the shared target folder was built from another checkout.
///
/// Cargo names what it builds by the package's place within its workspace and judges its age by the sources' times, so
/// it takes an artifact of a newer clone for one of this, older one. The dependencies are the same and stay.
pub(crate) fn claim_target_dir() -> io::Result<()> {
    let mark = target_dir().join("checkout");
    let here = root().canonicalize()?;
    let here = here.as_os_str().as_encoded_bytes();
    if fs::read(&mark).is_ok_and(|last| last == here) {
        return Ok(());
    }
    if target_dir().is_dir() {
        for variant in [&[][..], &["--release"], &["--target", WINDOWS]] {
            let mut clean = cargo();
            clean.args(["clean", "--quiet", "--locked"]).args(variant);
            for package in PACKAGES {
                clean.args(["--package", package]);
            }
            // A variant that was never built, or a target that is not installed yet, has nothing to remove.
            clean.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        }
    }
    fs::create_dir_all(target_dir())?;
    fs::write(&mark, here)
}

/// The arguments of `cargo test` for the library, the programs and the test programs `all` of a package, but for some.
pub(crate) fn tests_of(package: &str, mut all: Vec<String>, left_out: &[&str]) -> Vec<String> {
    all.retain(|name| !left_out.contains(&name.as_str()));
    all.sort();
    let always = ["--package", package, "--lib", "--bins"].map(ToOwned::to_owned);
    let tests = all.into_iter().flat_map(|name| ["--test".to_owned(), name]);
    always.into_iter().chain(tests).collect()
}
