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

/// Where the optimized operator of the model is built.
pub(crate) fn model_dir() -> PathBuf {
    target_dir().join("model")
}

/// A Cargo command in the root of the repository.
pub(crate) fn cargo() -> Command {
    // Cargo names itself to what it runs; outside of it the one in PATH is asked.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command
        .current_dir(root())
        .env("CARGO_TARGET_DIR", target_dir());
    forget_run(&mut command);
    command
}

/// Keeps from a Cargo what `cargo run` told us of our own package. A build script that asks for one of these would be run again in
/// each checkout, and whatever depends on it be built again.
pub(crate) fn forget_run(command: &mut Command) {
    for name in std::env::vars_os().map(|(name, _)| name).filter(is_of_run) {
        command.env_remove(name);
    }
}

fn is_of_run(variable: &OsString) -> bool {
    const TOLD: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];
    let name = variable.to_str().unwrap_or_default();
    TOLD.iter().any(|prefix| name.starts_with(prefix))
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
        let debug = (target_dir(), &[][..]);
        let release = (target_dir(), &["--release"][..]);
        let windows = (target_dir(), &["--target", WINDOWS][..]);
        for (folder, variant) in [debug, release, windows, (model_dir(), &[][..])] {
            let mut clean = cargo();
            clean.env("CARGO_TARGET_DIR", folder);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inner_cargo_hears_nothing_of_our_package_and_all_that_is_set_for_it() {
        let is_forgotten = |name: &str| is_of_run(&OsString::from(name));
        // Cargo tells both to every test as well.
        assert!(is_forgotten("CARGO_MANIFEST_DIR") && is_forgotten("CARGO_PKG_VERSION_MAJOR"));
        assert!(!is_forgotten("CARGO_TARGET_DIR") && !is_forgotten("CARGO_HOME"));
        let command = cargo();
        let mut removed = command.get_envs().filter(|(_, value)| value.is_none());
        assert!(removed.any(|(name, _)| name == "CARGO_MANIFEST_DIR"));
    }
}
