//! `directory`: the folder a process starts in.

use super::path::{self, Start};
use super::resolve::ResolveError;
use super::view::View;

/// Finds the folder.
///
/// | the config says | the folder |
/// | --- | --- |
/// | nothing | the root |
/// | `bin`, `.\bin` | that one of the root |
/// | `%CONTAINER_SANDBOX_MOUNT_POINT%\bin`, `$env:…/bin` | that one of the root |
/// | `C:\hpc\bin`, where the root is expected | that one of the root |
/// | `C:\app`, `\app` | the root's own, and if it has none, the host's |
/// | `C:\Windows\…` | the host's |
///
/// One of the root need not exist: it is made when the process starts. Nothing is made on the host.
pub(super) fn resolve(text: &str, view: &View<'_>) -> Result<String, ResolveError> {
    let rules = view.places().rules;
    let text = view.expand(text);
    let bad = |why| ResolveError::Directory {
        directory: text.clone(),
        why,
    };
    if text.is_empty() {
        return path::join(rules, view.root(), ".").map_err(bad);
    }
    let base = match path::start(rules, &text).map_err(bad)? {
        Start::Relative(_) => view.root().to_owned(),
        Start::Full(..) | Start::Rooted(_) => path::system_drive(view.places()),
    };
    let full = path::join(rules, &base, &text).map_err(bad)?;
    if matches!(path::start(rules, &text), Ok(Start::Relative(_))) && !view.is_in_root(&full) {
        return Err(bad(path::PathError::Above));
    }
    let candidates = view.candidates(full);
    let found = candidates.iter().find(|candidate| {
        // An only candidate in the root is meant, whether it exists or not.
        candidates.len() == 1 && view.is_in_root(candidate) || view.is_folder(candidate)
    });
    match found {
        Some(found) => path::join(rules, found, ".").map_err(bad),
        None => Err(ResolveError::DirectoryNotFound {
            directory: text,
            tried: candidates,
        }),
    }
}
