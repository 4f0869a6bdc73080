//! `root`: where a container's files come from, and where they appear.

use super::RootPlan;
use super::field::Fields;
use super::path::{self, PathError, Start};
use super::problem::Problems;
use crate::sys::{Places, Rules};

/// Reads `root` and `windows.layerFolders`. At most one of them says something; nothing at all is an empty root.
pub(super) fn read(
    root: Option<Fields>,
    layer_folders: Vec<String>,
    location: Option<String>,
    rules: Rules,
    problems: &mut Problems,
) -> RootPlan {
    let mut plan = RootPlan {
        layers: Vec::new(),
        location,
        read_only: false,
        is_shared: !layer_folders.is_empty(),
    };
    let mut path = None;
    if let Some(mut root) = root {
        plan.read_only = root.flag("readonly", problems);
        path = root.text("path", problems).filter(|path| !path.is_empty());
        root.finish(problems);
    }
    match path {
        Some(_) if !layer_folders.is_empty() => {
            problems.add(
                "root.path",
                "windows.layerFolders names the root too; leave one of them out",
            );
        }
        Some(text) => match folder(rules, &text) {
            Ok(folder) => plan.layers.push(folder),
            Err(error) => problems.add_value("root.path", &text, error),
        },
        None => plan.layers = layers(layer_folders, rules, problems),
    }
    plan
}

/// The layers, lowest first.
///
/// The spec has the topmost first and, as the last, a folder for the disk that hcsshim writes to. We need none: what is
/// written goes to the runtime's own folder.
fn layers(mut folders: Vec<String>, rules: Rules, problems: &mut Problems) -> Vec<String> {
    if folders.len() == 1 {
        problems.add(
            "windows.layerFolders",
            "only the folder to write to is given; put the layers of the image before it, or leave the list out",
        );
    }
    folders.pop();
    let mut layers = Vec::new();
    for (number, text) in folders.iter().enumerate() {
        match path::canonical(rules, text) {
            Ok(layer) => layers.push(layer),
            Err(error) => {
                problems.add_value(&format!("windows.layerFolders[{number}]"), text, error);
            }
        }
    }
    layers.reverse();
    layers
}

/// A full path, or one below the bundle.
fn folder(rules: Rules, text: &str) -> Result<String, PathError> {
    match path::start(rules, text)? {
        Start::Relative(_) => path::canonical_relative(rules, text),
        Start::Full(..) | Start::Rooted(_) => path::canonical(rules, text),
    }
}

/// Where the root is to appear, with a separator at its end; or the rule it breaks.
///
/// It becomes a link, so that it must be a place of its own: not a drive, nothing of the system, nothing of ours.
pub(super) fn location(text: &str, places: &Places) -> Result<String, String> {
    let rules = places.rules;
    let location = path::canonical(rules, text).map_err(|error| error.to_string())?;
    let separator = path::separator(rules);
    if location.ends_with(separator) || location.starts_with("\\\\") {
        return Err("a whole drive cannot be the root; choose a folder in it".to_owned());
    }
    let taken = [&places.windows, &places.system, &places.state_root];
    let is_taken = taken.into_iter().filter(|it| !it.is_empty()).any(|taken| {
        path::below(rules, &location, taken).is_some()
            || path::below(rules, taken, &location).is_some()
    });
    if is_taken {
        return Err(
            "it is in, or above, a folder of the system or of this runtime; choose a folder of its own".to_owned(),
        );
    }
    Ok(format!("{location}{separator}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::places_of;

    #[test]
    fn a_location_is_a_folder_of_its_own_with_a_separator_at_its_end() {
        let places = places_of(Rules::Windows);
        let of = |text| location(text, &places);
        assert_eq!(of(r"c:\roots\a").as_deref(), Ok(r"C:\roots\a\"));
        assert_eq!(of(r"D:/roots/").as_deref(), Ok(r"D:\roots\"));
        let bad = [
            "",
            "roots",
            r"C:\",
            r"\\?\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\",
            r"c:\windows",
            r"C:\WINDOWS\Temp\root",
            r"C:\ProgramData",
            r"C:\ProgramData\hosttask\node\x",
            r"\\server\share\root",
            r"C:\a\..\Windows",
            r"C:\NUL",
        ];
        for text in bad {
            assert!(of(text).is_err(), "{text}");
        }
        assert!(of(r"C:\ProgramData2").is_ok());
    }
}
