//! Tools the parts need beyond Rust and Go: found, or installed where that is allowed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hosttask_setup::control_plane::in_path;
use hosttask_setup::windows_node;

use crate::cargo;
use crate::part::{NotSetUp, Session};

/// The Rust target of Windows programs that are built on Linux.
pub(crate) const WINDOWS: &str = "x86_64-pc-windows-gnu";
/// Lints and licence checks changed between releases, so the version is ours to choose.
const CARGO_DENY: &str = "0.20.2";

/// One at a time looks for a tool and installs it: parts that run side by side may need the same one.
fn alone() -> MutexGuard<'static, ()> {
    static TOOLS: Mutex<()> = Mutex::new(());
    TOOLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes sure that a component of the Rust toolchain is there (`rustfmt`, `clippy`).
pub(crate) fn component(
    part: &mut Session,
    subcommand: &str,
    component: &str,
) -> Result<(), NotSetUp> {
    let _alone = alone();
    if part.run(cargo::cargo().args([subcommand, "--version"])).0 {
        return Ok(());
    }
    rustup(part, &["component", "add", component])
}

/// Makes sure that Windows programs can be compiled and linked.
pub(crate) fn windows_compiler(part: &mut Session) -> Result<(), NotSetUp> {
    let _alone = alone();
    let installed = part.run(in_root("rustup").args(["target", "list", "--installed"]));
    if !installed.1.lines().any(|line| line.trim() == WINDOWS) {
        rustup(part, &["target", "add", WINDOWS])?;
    }
    if in_path("x86_64-w64-mingw32-gcc").is_none() {
        apt(part, "gcc-mingw-w64-x86-64")?;
    }
    Ok(())
}

/// Adds Miri to a nightly toolchain that is there. Returns whether it was: the toolchain itself is for the user to choose.
pub(crate) fn miri(part: &mut Session) -> bool {
    let _alone = alone();
    let mut nightly = in_root("rustup");
    nightly.args(["run", "nightly", "rustc", "--version"]);
    let add = ["component", "add", "--toolchain", "nightly"];
    let mut components = in_root("rustup");
    components.args(add).args(["miri", "rust-src"]);
    part.run(&mut nightly).0 && part.run(&mut components).0
}

/// Finds Wine, or installs it.
pub(crate) fn wine(part: &mut Session) -> Result<PathBuf, NotSetUp> {
    let _alone = alone();
    if let Some(found) = windows_node::wine() {
        return Ok(found);
    }
    apt(part, "wine64")?;
    windows_node::wine().ok_or_else(|| NotSetUp("wine64 is installed but was not found".to_owned()))
}

/// Finds cargo-deny in the cache, or builds it there.
pub(crate) fn cargo_deny(part: &mut Session) -> Result<PathBuf, NotSetUp> {
    let root = hosttask_setup::cache_dir()
        .join("tools")
        .join(format!("cargo-deny-{CARGO_DENY}"));
    let program = root.join("bin").join("cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    let mut install = cargo::cargo();
    // Without optimization it builds in a third of the time, and it runs for seconds only.
    install.args([
        "install",
        "--locked",
        "--debug",
        "--version",
        CARGO_DENY,
        "--root",
    ]);
    install
        .arg(&root)
        .arg("cargo-deny")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env_remove("CARGO_TARGET_DIR");
    if part.run(&mut install).0 {
        return Ok(program);
    }
    let root = root.display();
    Err(NotSetUp(format!(
        "cargo install --locked --debug --version {CARGO_DENY} --root {root} cargo-deny"
    )))
}

/// Runs rustup for the toolchain that `rust-toolchain.toml` names.
fn rustup(part: &mut Session, arguments: &[&str]) -> Result<(), NotSetUp> {
    if part.run(in_root("rustup").args(arguments)).0 {
        return Ok(());
    }
    Err(NotSetUp(format!("rustup {}", arguments.join(" "))))
}

fn in_root(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(cargo::root());
    command
}

/// Installs a Debian package when this user may.
fn apt(part: &mut Session, package: &str) -> Result<(), NotSetUp> {
    let is_root = part
        .run(Command::new("id").arg("-u"))
        .1
        .lines()
        .any(|line| line.trim() == "0");
    let apt_get = |arguments: &[&str]| {
        let mut command = if is_root {
            Command::new("apt-get")
        } else {
            Command::new("sudo")
        };
        if !is_root {
            // -n: fail instead of asking for a password nobody sees.
            command.args(["-n", "apt-get"]);
        }
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let is_there = Path::new("/usr/bin/apt-get").is_file()
        && part.run(&mut apt_get(&["update"])).0
        && part
            .run(&mut apt_get(&[
                "install",
                "-y",
                "--no-install-recommends",
                package,
            ]))
            .0;
    if is_there {
        return Ok(());
    }
    Err(NotSetUp(format!(
        "sudo apt-get install -y --no-install-recommends {package}"
    )))
}
