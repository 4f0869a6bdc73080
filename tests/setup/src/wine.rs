//! A private Wine prefix in which the tests of the Windows crates run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hosttask_setup::windows_node;

use crate::cargo;
use crate::part::{NotSetUp, Session};

/// A prefix that is ready, with its server running.
pub(crate) struct Wine {
    program: PathBuf,
    prefix: PathBuf,
    /// The script that Cargo starts Windows programs with.
    pub(crate) runner: PathBuf,
    /// Held while it is used: the part that is done with it ends its server.
    _alone: MutexGuard<'static, ()>,
}

impl Wine {
    /// Makes the prefix where it is missing and starts its server.
    pub(crate) fn start(part: &mut Session, program: PathBuf) -> Result<Self, NotSetUp> {
        static USED: Mutex<()> = Mutex::new(());
        let alone = USED.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = hosttask_setup::cache_dir().join("wine");
        let wine = Self {
            _alone: alone,
            program,
            prefix: folder.join("prefix"),
            runner: folder.join("run"),
        };
        let failed = |error| NotSetUp(format!("a writable {}: {error}", folder.display()));
        fs::create_dir_all(&folder).map_err(failed)?;
        let ready = wine.prefix.join("ready");
        if !ready.is_file() {
            // A start that was cut off leaves half a prefix.
            let _ = fs::remove_dir_all(&wine.prefix);
            if !part.run(wine.command().args(["wineboot", "-i"])).0 {
                return Err(NotSetUp(
                    "a Wine that can make a prefix (wineboot failed)".to_owned(),
                ));
            }
            part.run(wine.server().arg("-w"));
            wine.add_randomness(part)?;
            fs::write(&ready, b"").map_err(failed)?;
        }
        wine.write_runner().map_err(failed)?;
        // One server for all tests: a start takes 50 ms instead of 800. It ends after a minute of rest.
        part.run(wine.server().arg("-p60"));
        // The first program starts services that keep its output open for ever: it must not be a test.
        let mut first = wine.command();
        first
            .args(["cmd", "/c", "ver"])
            .stdin(std::process::Stdio::null());
        first
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        first.status().map_err(failed)?;
        Ok(wine)
    }

    /// Ends the server of this prefix and of no other.
    pub(crate) fn stop(&self, part: &mut Session) {
        part.run(self.server().arg("-k"));
    }

    /// Builds the library that Wine before version 9 lacks.
    fn add_randomness(&self, part: &mut Session) -> Result<(), NotSetUp> {
        let library = self
            .prefix
            .join("drive_c/windows/system32/bcryptprimitives.dll");
        if library.exists() {
            return Ok(());
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("wine")
            .join("bcryptprimitives.c");
        let mut compiler = Command::new("x86_64-w64-mingw32-gcc");
        compiler.args([
            "-shared",
            "-O2",
            "-Wall",
            "-Werror",
            "-Wl,--strip-all",
            "-o",
        ]);
        compiler.arg(&library).arg(source).arg("-ladvapi32");
        if part.run(&mut compiler).0 {
            return Ok(());
        }
        Err(NotSetUp(
            "a mingw compiler that builds bcryptprimitives.c".to_owned(),
        ))
    }

    fn write_runner(&self) -> std::io::Result<()> {
        let script = format!(
            "#!/bin/sh\nWINEPREFIX='{}' WINEDEBUG=-all exec '{}' \"$@\"\n",
            self.prefix.display(),
            self.program.display()
        );
        fs::write(&self.runner, script)?;
        fs::set_permissions(&self.runner, fs::Permissions::from_mode(0o755))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        self.prepare(&mut command);
        command
    }

    /// The server lies beside Wine, under one of two names.
    fn server(&self) -> Command {
        let mut command = windows_node::wine_server(&self.program)
            .map_or_else(|| Command::new("wineserver"), Command::new);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        command
            .current_dir(cargo::root())
            .env("WINEPREFIX", &self.prefix)
            .env("WINEDEBUG", "-all")
            // Else Wine asks in a window whether to fetch .NET and a browser.
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .env_remove("DISPLAY");
    }
}
