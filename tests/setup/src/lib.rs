//! What both commands and the suites need before anything can run: the cache folder and the bench's programs.

pub mod containerd;
pub mod control_plane;
pub mod demo_programs;
mod error;
mod fingerprint;
mod go;
mod module;
pub mod version;
pub mod vet;
pub mod windows_node;

use std::path::PathBuf;

pub use error::SetupError;
pub use go::{COMPILE as GO_COMPILE, collect_less};

/// The folder for everything that is built once and kept: the control plane, the Cargo target folder of
/// the two commands, installed tools, logs.
///
/// `HOSTTASK_CACHE` names it; else it is `hosttask` in `XDG_CACHE_HOME` or in `~/.cache`. It lies outside
/// the clone, so that a second clone starts warm. Without a home folder it is a folder in the system's
/// temporary folder.
pub fn cache_dir() -> PathBuf {
    cache_dir_from(|name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    })
}

fn cache_dir_from(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    if let Some(chosen) = variable("HOSTTASK_CACHE") {
        // A relative path would mean another folder for each process that changes its working folder.
        return std::path::absolute(&chosen).unwrap_or(chosen);
    }
    variable("XDG_CACHE_HOME")
        // The XDG specification says that relative paths are to be ignored.
        .filter(|path| path.is_absolute())
        .or_else(|| variable("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("hosttask")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(values: &[(&str, &str)]) -> PathBuf {
        cache_dir_from(|name| {
            values
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| PathBuf::from(value))
        })
    }

    #[test]
    fn the_cache_is_the_first_of_our_variable_the_xdg_folder_and_the_home() {
        let all = [
            ("HOSTTASK_CACHE", "/a"),
            ("XDG_CACHE_HOME", "/b"),
            ("HOME", "/c"),
        ];
        assert_eq!(with(&all), PathBuf::from("/a"));
        assert_eq!(with(&all[1..]), PathBuf::from("/b/hosttask"));
        assert_eq!(with(&all[2..]), PathBuf::from("/c/.cache/hosttask"));
        assert_eq!(with(&[]), std::env::temp_dir().join("hosttask"));
    }

    #[test]
    fn relative_cache_folders_never_depend_on_the_working_folder() {
        assert!(with(&[("HOSTTASK_CACHE", "near")]).is_absolute());
        assert_eq!(
            with(&[("XDG_CACHE_HOME", "near"), ("HOME", "/c")]),
            PathBuf::from("/c/.cache/hosttask")
        );
    }
}
