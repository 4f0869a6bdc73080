//! The programs that the demonstration's tasks run on the real Windows node.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::SetupError;
use crate::fingerprint::fingerprint;
use crate::windows_node::{self, COMPILER};

/// Where each program is. Their names differ from those in the images, where two releases have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoPrograms {
    /// A service that runs until it is ended, with two programs below it.
    pub forwarder: PathBuf,
    /// Its bad release, which ends as soon as it starts: it needs a library that no node has.
    pub bad_forwarder: PathBuf,
    /// An installer that ends with 3010: done, and a reboot is required.
    pub installer: PathBuf,
}

/// Builds the programs into the cache, once for each content of their sources. That takes seconds.
///
/// # Errors
/// The compiler is missing (the message has the command that installs it), or fails.
pub fn programs(report: &mut dyn FnMut(&str)) -> Result<DemoPrograms, SetupError> {
    windows_node::compiler()?;
    let sources = windows_node::sources().join("demo");
    let name = fingerprint(&sources, COMPILER, &[])?;
    let folder = crate::cache_dir().join("windows-demo").join(name);
    fs::create_dir_all(&folder).map_err(SetupError::io(format!("create {}", folder.display())))?;
    let source = |name: &str| sources.join(name);
    let mut build = |output: &str, kind: &[&str], inputs: &[&Path]| {
        let output = folder.join(output);
        if !output.is_file() {
            report(&format!("building {}", output.display()));
            windows_node::compile(kind, inputs, &output)?;
        }
        Ok::<_, SetupError>(output)
    };
    let forwarder = source("forwarder.c");
    let (code, name) = (source("codec.c"), source("codec.def"));
    let codec = build("codec.dll", &["-shared"], &[&code, &name])?;
    Ok(DemoPrograms {
        bad_forwarder: build("forwarder-2.exe", &["-DNEEDS_CODEC"], &[&forwarder, &codec])?,
        forwarder: build("forwarder-1.exe", &[], &[&forwarder])?,
        installer: build("installer.exe", &[], &[&source("installer.c")])?,
    })
}
