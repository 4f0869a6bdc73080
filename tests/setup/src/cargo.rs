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
        .env("CARGO_TARGET_DIR", target_dir())
        // What helps the next build costs this one a fifth, and in a new clone there is no next one.
        .env("CARGO_INCREMENTAL", "0");
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

/// The packages around a cluster. Every build of one of them chooses all: what is chosen decides which features a library is built
/// with, and each other choice would build the libraries, and all of ours that use them, once more.
pub(crate) const AROUND_A_CLUSTER: [&str; 4] = [
    "hosttask-crds",
    "hosttask-operator",
    "hosttask-tests",
    "hosttask-setup",
];

/// The package of the model. It is chosen beside the others where it is run, and not elsewhere: it is optimized, and takes a while.
pub(crate) const MODEL: &str = "hosttask-model";

/// The packages that are built for Windows too, chosen together for the same reason.
pub(crate) const FOR_WINDOWS: [&str; 2] = ["hosttask-crds", RUNTIME];

/// What a Windows node needs of them. The others would be built with all of Kubernetes' API for nobody.
pub(crate) const WINDOWS_PROGRAMS: [&str; 6] = [
    "--bin",
    "hosttask-node",
    "--bin",
    "containerd-shim-hosttask-v1",
    "--bin",
    "probe",
];

/// The package of the node runtime. On Linux it is built by itself: it is the only one there that nothing of a cluster is part of.
pub(crate) const RUNTIME: &str = "hosttask-node-runtime";

/// Chooses packages for a Cargo command.
pub(crate) fn choose<'a>(packages: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    packages.iter().flat_map(|package| ["--package", *package])
}

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
        let windows = ["--target", WINDOWS];
        for variant in [&[][..], &["--release"], &windows] {
            let mut clean = cargo();
            clean.args(["clean", "--quiet", "--locked"]).args(variant);
            clean.args(choose(&AROUND_A_CLUSTER));
            clean.args(choose(&[MODEL])).args(choose(&FOR_WINDOWS));
            // A variant that was never built, or a target that is not installed yet, has nothing to remove.
            clean.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        }
        forget_ours(&target_dir().join(MIRI))?;
    }
    fs::create_dir_all(target_dir())?;
    fs::write(&mark, here)
}

/// Where Miri is told to put what it makes, in the target folder.
pub(crate) const MIRI: &str = "miri";

/// Removes what was made of our packages from a folder of Miri's. It takes nothing there for old, and runs the sources of the checkout
/// that it was made in. It is another Cargo's folder, which ours may not know its way in.
fn forget_ours(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let is_ours = ["hosttask", "libhosttask"]
            .iter()
            .any(|ours| name.as_encoded_bytes().starts_with(ours.as_bytes()));
        match (entry.file_type()?.is_dir(), is_ours) {
            (true, true) => fs::remove_dir_all(path)?,
            (false, true) => fs::remove_file(path)?,
            (true, false) => forget_ours(&path)?,
            (false, false) => {}
        }
    }
    Ok(())
}

/// The arguments of `cargo test` for the library, the programs and the test programs of packages, but for some. Folders are theirs.
pub(crate) fn tests_of(folders: &[&str], left_out: &[&str]) -> Vec<String> {
    let mut arguments = vec!["--lib".to_owned(), "--bins".to_owned()];
    let programs = folders.iter().flat_map(|folder| names_of_tests(folder));
    let programs = programs.filter(|name| !left_out.contains(&name.as_str()));
    arguments.extend(programs.flat_map(|name| ["--test".to_owned(), name]));
    arguments
}

/// The arguments of `cargo test` for all test programs of the package in a folder, and nothing else of it.
pub(crate) fn test_programs(package: &str) -> Vec<String> {
    let names = names_of_tests(package).into_iter();
    names.flat_map(|name| ["--test".to_owned(), name]).collect()
}

/// The test programs of the package in a folder of the repository, as Cargo finds them.
fn names_of_tests(package: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(package).join("tests"));
    let paths = entries.into_iter().flatten().flatten().map(|it| it.path());
    let programs = paths.filter(|path| {
        path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").is_file()
    });
    let names = programs.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_program_is_run_and_no_two_packages_have_one_of_the_same_name() {
        let folders = ["crds", "operator", "operator/model", "node-runtime"];
        let all = folders.map(names_of_tests);
        assert!(all.iter().all(|names| !names.is_empty()), "{all:?}");
        let arguments = tests_of(&["crds", "operator"], &["golden"]);
        let has = |name: &str| arguments.iter().any(|it| it == name);
        assert!(has("--lib") && has("--bins") && has("laws") && has("plan_golden"));
        assert!(!has("golden") && !has("contract"));
        // `--test` takes a name, whichever of the chosen packages has it.
        let manifest = fs::read_to_string(root().join("tests/Cargo.toml")).unwrap();
        let around = all[..3].iter().flatten();
        for name in around {
            assert!(!manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
        let distinct: std::collections::BTreeSet<_> = all[..3].iter().flatten().collect();
        assert_eq!(distinct.len(), all[..3].iter().flatten().count());
    }

    #[test]
    fn what_miri_made_of_ours_is_gone_and_the_rest_stays() {
        let folder = std::env::temp_dir().join(format!("hosttask-miri-{}", std::process::id()));
        forget_ours(&folder).unwrap();
        let ours = [
            "a/.fingerprint/hosttask-crds-1",
            "a/deps/libhosttask_crds-1.rmeta",
        ];
        let others = ["a/.fingerprint/serde-1", "a/deps/libserde-1.rmeta"];
        for made in [ours, others].concat() {
            fs::create_dir_all(folder.join(made).parent().unwrap()).unwrap();
            if made.ends_with("rmeta") {
                fs::write(folder.join(made), "").unwrap();
            } else {
                fs::create_dir(folder.join(made)).unwrap();
            }
        }
        forget_ours(&folder).unwrap();
        let left = [ours, others].concat();
        let left: Vec<_> = left.iter().filter(|it| folder.join(it).exists()).collect();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(left, others.iter().collect::<Vec<_>>());
    }

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
