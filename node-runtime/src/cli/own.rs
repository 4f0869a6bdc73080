//! A bundle for a program that has none: it runs as whoever runs the command, in the current folder, without limits.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::context::Context;
use super::error::CommandError;
use crate::id::Id;

/// Where the bundle of a container lies that was given a program in place of one.
pub(super) fn place(root: &Path, id: &Id) -> PathBuf {
    folder(root).join(id.as_str())
}

/// Where all of these lie.
pub(super) fn folder(root: &Path) -> PathBuf {
    root.join("bundles")
}

/// Makes it. The folder above is protected: arguments may be secret.
pub(super) fn make(
    context: &Context,
    id: &Id,
    program: &[String],
) -> Result<PathBuf, CommandError> {
    // Protects the root, and with it all that is made in it.
    context.store()?;
    let bundle = place(&context.root, id);
    let all = folder(&context.root);
    fs::create_dir_all(&all).map_err(CommandError::file("make the folder", &all))?;
    match fs::create_dir(&bundle) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(CommandError::Exists(id.clone()));
        }
        made => made.map_err(CommandError::file("make the folder", &bundle))?,
    }
    let here = std::env::current_dir().map_err(CommandError::file("find the folder", "."))?;
    let config = config(&full_program(&here, program), &here);
    let path = bundle.join("config.json");
    let written =
        fs::File::create_new(&path).and_then(|mut file| file.write_all(config.as_bytes()));
    match written {
        Ok(()) => Ok(bundle),
        Err(error) => {
            remove(&context.root, id);
            Err(CommandError::file("write", path)(error))
        }
    }
}

/// Removes it, as far as it is there. What cannot be removed now is found by `sweep`.
pub(super) fn remove(root: &Path, id: &Id) {
    drop(fs::remove_dir_all(place(root, id)));
}

/// The arguments, the program with its full path where it was named by a path: a container has a root of its own.
fn full_program(here: &Path, program: &[String]) -> Vec<String> {
    let mut arguments = program.to_vec();
    if let Some(first) = arguments.first_mut() {
        let is_path = Path::new(first.as_str()).components().count() > 1;
        if is_path {
            *first = here.join(first.as_str()).to_string_lossy().into_owned();
        }
    }
    arguments
}

fn config(arguments: &[String], here: &Path) -> String {
    let config: Value = json!({
        "ociVersion": super::OCI_VERSION,
        "process": { "args": arguments, "cwd": here.to_string_lossy() },
        "annotations": {
            "microsoft.com/hostprocess-container": "true",
            "microsoft.com/hostprocess-inherit-user": "true",
        },
        "windows": {},
    });
    config.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_named_by_a_path_is_that_of_the_current_folder_and_a_bare_name_is_searched_for() {
        let here = Path::new("/home/me");
        let full = |name: &str| full_program(here, &[name.to_owned(), "./x".to_owned()]);
        assert_eq!(full("ping"), ["ping", "./x"]);
        let joined = here.join("./run/it").to_string_lossy().into_owned();
        assert_eq!(full("./run/it"), [joined.as_str(), "./x"]);
        assert_eq!(full("/bin/true"), ["/bin/true", "./x"]);
    }
}
