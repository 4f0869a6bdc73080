//! `go vet` for the programs of the bench, kept to their own packages.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::SetupError;
use crate::go::{COMPILE, Go};
use crate::module::Module;

/// The command that looks for mistakes in packages of the module in `folder`, built as `arguments` and `environment` say. `compile` are the
/// compiler's flags of its build, so that what was compiled is used again.
///
/// The first call builds the program of `tests/vet` into the cache.
///
/// # Errors
/// Go is missing or too old, or the program cannot be built.
pub fn command(
    folder: &Path,
    compile: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
    report: &mut dyn FnMut(&str),
) -> Result<Command, SetupError> {
    let program = "vet";
    let tool = Module {
        sources: &sources(),
        package: "",
        arguments: ["build", "-trimpath", COMPILE].map(OsString::from).to_vec(),
        environment: &[],
        program,
        names: &[],
        what: "the program that go vet starts",
    }
    .build(report)?
    .join(program);
    let go = Go::find(folder)?;
    let mut flag = OsString::from("-vettool=");
    flag.push(tool);
    let mut command = go.command();
    command
        .args(["vet", "-trimpath", compile])
        .arg(flag)
        .args(arguments);
    command
        .envs(environment.iter().copied())
        .env("HOSTTASK_VET", go.tool("vet", folder)?)
        .current_dir(folder);
    Ok(command)
}

/// The folder with the Go sources of the program that stands before the vet tool.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("vet")
}
