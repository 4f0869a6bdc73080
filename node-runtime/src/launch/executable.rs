//! `executable`: finds the program, so that Windows has nothing to search for.

use super::environment;
use super::path::{self, PathError, Start};
use super::resolve::ResolveError;
use super::view::View;
use crate::sys::Rules;

/// What is added to a name that is no program by itself, in this order: what `CreateProcess` adds, then what else `PATHEXT` has
/// of programs.
const ADDED: [&str; 2] = [".exe", ".com"];

/// Files that only `cmd.exe` can run.
const BATCH: [&str; 2] = [".bat", ".cmd"];

/// Files that other programs run.
const SCRIPTS: [&str; 6] = [".ps1", ".vbs", ".js", ".wsf", ".py", ".sh"];

/// How a name is looked for.
pub(super) struct Search<'a> {
    pub(super) view: &'a View<'a>,
    /// The folder the process starts in.
    pub(super) directory: &'a str,
    /// The value of `PATH`.
    pub(super) path_variable: &'a str,
    /// Whether batch files may be run.
    pub(super) allow_batch: bool,
}

impl Search<'_> {
    /// The full path of the program.
    ///
    /// A name with a separator is a path: a relative one is meant in the folder the process starts in, then in the root.
    /// A mere name is looked for in
    /// 1. the folder the process starts in, if that is in the root: then it is the image's own;
    /// 2. the folders of `PATH`, full paths only, with the root among them;
    /// 3. the folders of the system;
    /// 4. the folder the process starts in, if that is the host's: a file that somebody put there must not stand in for a
    ///    program of the system. On Linux 1 and 4 are left out, as no shell does that.
    ///
    /// On Windows `.exe` and `.com` are added to a name that does not end so; a file without them is taken last.
    pub(super) fn find(&self, name: &str) -> Result<String, ResolveError> {
        let rules = self.view.places().rules;
        let bad = |why| ResolveError::Program {
            program: name.to_owned(),
            why,
        };
        let is_path = name.contains('/') || (rules == Rules::Windows && name.contains(['\\', ':']));
        let bases = if is_path {
            self.paths(name).map_err(bad)?
        } else {
            path::check_name(rules, name).map_err(bad)?;
            self.folders()
                .iter()
                .filter_map(|folder| path::join(rules, folder, name).ok())
                .collect()
        };
        let (mut tried, mut folder) = (Vec::new(), None);
        for endings in self.endings(name) {
            for base in &bases {
                for ending in &endings {
                    let candidate = format!("{base}{ending}");
                    if self.view.is_file(&candidate) {
                        return self.check(candidate);
                    }
                    if is_path && self.view.is_folder(&candidate) {
                        folder.get_or_insert_with(|| candidate.clone());
                    }
                    tried.push(candidate);
                }
            }
        }
        if let Some(path) = folder {
            return Err(ResolveError::Folder { path });
        }
        Err(ResolveError::NotFound {
            program: name.to_owned(),
            tried,
            advice: "",
        })
    }

    /// Where a name with a separator may be.
    fn paths(&self, name: &str) -> Result<Vec<String>, PathError> {
        let places = self.view.places();
        let rules = places.rules;
        if matches!(path::start(rules, name)?, Start::Relative(_)) {
            let mut paths = vec![path::join(rules, self.directory, name)?];
            if let Ok(in_root) = path::join(rules, self.view.root(), name)
                && !paths.contains(&in_root)
                && self.view.is_in_root(&in_root)
            {
                paths.push(in_root);
            }
            return Ok(paths);
        }
        let full = path::join(rules, &path::system_drive(places), name)?;
        Ok(self.view.candidates(full))
    }

    /// Where a mere name may be.
    fn folders(&self) -> Vec<String> {
        let places = self.view.places();
        let is_own = self.view.is_in_root(self.directory);
        let mut all = Vec::new();
        if places.rules == Rules::Windows && is_own {
            all.push(self.directory.to_owned());
        }
        all.extend(environment::folders(places.rules, self.path_variable));
        all.push(places.system.clone());
        if places.rules == Rules::Windows {
            all.push(format!("{}\\System", places.windows));
            all.push(places.windows.clone());
            if !is_own {
                all.push(self.directory.to_owned());
            }
        }
        let mut folders: Vec<String> = Vec::new();
        for folder in all {
            let is_there = |other: &String| path::below(places.rules, other, &folder) == Some("");
            if !folder.is_empty() && !folders.iter().any(is_there) {
                folders.push(folder);
            }
        }
        folders
    }

    /// What is added to a name, in groups: a group is tried everywhere before the next.
    fn endings(&self, name: &str) -> Vec<Vec<&'static str>> {
        if self.view.places().rules == Rules::Posix || is_program(name) || ends(name, &BATCH) {
            return vec![vec![""]];
        }
        let mut added = ADDED.to_vec();
        if self.allow_batch {
            added.extend(BATCH);
        }
        vec![added, vec![""]]
    }

    /// A file that was found, if a program can be started of it.
    fn check(&self, path: String) -> Result<String, ResolveError> {
        if self.view.places().rules == Rules::Posix {
            return Ok(path);
        }
        if ends(&path, &BATCH) && !self.allow_batch {
            return Err(ResolveError::Batch { path });
        }
        if ends(&path, &SCRIPTS) {
            return Err(ResolveError::Script { path });
        }
        Ok(path)
    }
}

/// Whether a name ends as a program does.
pub(super) fn is_program(name: &str) -> bool {
    ends(name, &ADDED)
}

/// Whether a file is one that only `cmd.exe` can run.
pub(super) fn is_batch(path: &str) -> bool {
    ends(path, &BATCH)
}

fn ends(name: &str, endings: &[&str]) -> bool {
    let lower = name.to_ascii_lowercase();
    endings.iter().any(|ending| lower.ends_with(ending))
}
