//! A Go module of this repository: built once into the cache, one build for each content of its sources.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::SetupError;
use crate::fingerprint::fingerprint;
use crate::go::Go;

/// A build nobody has used for so long makes room.
const KEEP: Duration = Duration::from_hours(24);

/// One program of a module.
pub(crate) struct Module<'a> {
    /// The folder with `go.mod`.
    pub(crate) sources: &'a Path,
    /// The folder of the main package in it; empty is the module's own.
    pub(crate) package: &'a str,
    /// Arguments of `go build` but for the output and the package.
    pub(crate) arguments: Vec<OsString>,
    /// Variables of `go build`, such as the system it builds for.
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// The name of its file, and of its folder in the cache.
    pub(crate) program: &'a str,
    /// The names it answers to: symbolic links beside it.
    pub(crate) names: &'a [&'a str],
    /// What it is and how long it takes, for whoever waits, as in "building …".
    pub(crate) what: &'a str,
}

impl Module<'_> {
    /// Builds the program unless that was done before, and returns the folder with its names.
    ///
    /// `report` gets a line now and then. Two processes never build the same at once.
    ///
    /// # Errors
    /// Go is missing or too old, the build fails, or the cache folder cannot be written.
    pub(crate) fn build(&self, report: &mut dyn FnMut(&str)) -> Result<PathBuf, SetupError> {
        let go = Go::find(self.sources)?;
        let base = crate::cache_dir().join(self.program);
        let folder = base.join(self.fingerprint(&go)?);
        fs::create_dir_all(&folder)
            .map_err(SetupError::io(format!("create {}", folder.display())))?;

        // Held until the function returns; the system drops it when the process dies.
        let lock_path = base.join("lock");
        let lock = File::create(&lock_path)
            .map_err(SetupError::io(format!("create {}", lock_path.display())))?;
        if lock.try_lock().is_err() {
            report(&format!(
                "waiting for another process that builds {}",
                self.program
            ));
            lock.lock()
                .map_err(SetupError::io(format!("lock {}", lock_path.display())))?;
        }
        let program = folder.join(self.program);
        if !program.is_file() {
            self.compile(&go, &program, &base.join("build.log"), report)?;
        }
        for name in self.names {
            let link = folder.join(name);
            if !link.exists() {
                symlink(self.program, &link)
                    .map_err(SetupError::io(format!("link {}", link.display())))?;
            }
        }
        // The modification time of this file is when the build was last used.
        let used = folder.join("used");
        fs::write(&used, b"").map_err(SetupError::io(format!("write {}", used.display())))?;
        remove_old_builds(&base, &folder);
        Ok(folder)
    }

    fn compile(
        &self,
        go: &Go,
        program: &Path,
        log: &Path,
        report: &mut dyn FnMut(&str),
    ) -> Result<(), SetupError> {
        report(&format!("building {}", self.what));
        let partial = program.with_extension("partial");
        let mut command = self.arguments.clone();
        command.extend(["-o".into(), partial.clone().into_os_string()]);
        command.push(format!("./{}", self.package).into());
        go.run(self.sources, &command, self.environment, log, report)?;
        // A build that was cut off must never look finished.
        fs::rename(&partial, program)
            .map_err(SetupError::io(format!("rename {}", partial.display())))
    }

    fn fingerprint(&self, go: &Go) -> Result<String, SetupError> {
        let mut parts = self.arguments.clone();
        for (name, value) in self.environment {
            parts.push(format!("{name}={value}").into());
        }
        if !self.package.is_empty() {
            // The module's own folder has its versions, the package's its text.
            let inner = fingerprint(&self.sources.join(self.package), &go.version, &[])?;
            parts.push(inner.into());
        }
        fingerprint(self.sources, &go.version, &parts)
    }
}

/// Removes builds of other sources that nobody has used for a day.
///
/// Not at once: another clone with other sources may be running its programs from there.
fn remove_old_builds(base: &Path, current: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    for folder in entries.flatten().map(|entry| entry.path()) {
        let is_old = folder
            .join("used")
            .metadata()
            .and_then(|used| used.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > KEEP));
        if folder != current && is_old {
            // A folder that cannot be removed costs space, nothing else.
            let _ = fs::remove_dir_all(&folder);
        }
    }
}
