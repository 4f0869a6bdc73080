//! What containerd is told, as edits of texts: the import in its own configuration, and the drop-in that is imported.

use std::path::Path;

use thiserror::Error;
use toml_edit::{Array, DocumentMut, Item, Value, value};

/// The drop-in. Version 2 is what containerd 1.7 reads, and what 2.x brings to its own version by itself.
pub const DROP_IN: &str = r#"# HostProcess containers as job objects: pods ask for them by `runtimeClassName: hosttask`.
version = 2

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.hosttask]
  runtime_type = "io.containerd.hosttask.v1"
  # What a pod says to the runtime: see the annotations in its documentation.
  pod_annotations = ["dev.hosttask/*"]
  container_annotations = ["dev.hosttask/*"]
"#;

/// Why a configuration cannot be edited.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It is no TOML.
    #[error("it is not valid TOML")]
    Syntax(#[from] toml_edit::TomlError),
    /// `imports` is something else than a list of texts.
    #[error("`imports` is no list of paths; make it one")]
    Imports,
    /// The path of the drop-in cannot be written in a configuration.
    #[error("the path {0:?} is not Unicode; choose another folder with --config")]
    Path(std::path::PathBuf),
}

/// The configuration with an import of the drop-in; none where it imports it already. `folder` is that of the configuration,
/// to which relative imports belong. Comments and order stay.
///
/// # Errors
/// [`ConfigError`].
pub fn with_import(
    config: &str,
    folder: &Path,
    drop_in: &Path,
) -> Result<Option<String>, ConfigError> {
    let mut document: DocumentMut = config.parse()?;
    let imports = list(&document)?;
    let path = drop_in
        .to_str()
        .ok_or_else(|| ConfigError::Path(drop_in.to_owned()))?;
    if imports
        .iter()
        .any(|pattern| covers(pattern, folder, drop_in))
    {
        return Ok(None);
    }
    if let Some(array) = document.get_mut("imports").and_then(Item::as_array_mut) {
        array.push(path);
    } else {
        let mut array = Array::new();
        array.push(path);
        document.insert("imports", value(array));
    }
    Ok(Some(document.to_string()))
}

/// The configuration without an import of exactly the drop-in; none where there is none. A pattern that covers more stays.
///
/// # Errors
/// [`ConfigError`].
pub fn without_import(config: &str, drop_in: &Path) -> Result<Option<String>, ConfigError> {
    let mut document: DocumentMut = config.parse()?;
    let imports = list(&document)?;
    let is_ours = |text: &str| Some(plain(text)) == drop_in.to_str().map(plain);
    if !imports.iter().any(|text| is_ours(text)) {
        return Ok(None);
    }
    if let Some(array) = document.get_mut("imports").and_then(Item::as_array_mut) {
        array.retain(|it| !it.as_str().is_some_and(is_ours));
    }
    Ok(Some(document.to_string()))
}

fn list(document: &DocumentMut) -> Result<Vec<String>, ConfigError> {
    let Some(item) = document.get("imports") else {
        return Ok(Vec::new());
    };
    let array = item.as_array().ok_or(ConfigError::Imports)?;
    let text = |it: &Value| it.as_str().map(ToOwned::to_owned);
    array
        .iter()
        .map(|it| text(it).ok_or(ConfigError::Imports))
        .collect()
}

/// Whether an import takes in the drop-in: it is named, or all files of its folder that end as it does are.
///
/// Other patterns are taken for others: a second import of one file does no harm, containerd reads each once.
fn covers(pattern: &str, folder: &Path, drop_in: &Path) -> bool {
    let pattern = plain(pattern);
    let is_absolute = pattern.starts_with('/') || pattern.get(1..2) == Some(":");
    let pattern = if is_absolute {
        pattern
    } else {
        format!("{}/{pattern}", plain(&folder.to_string_lossy()))
    };
    let (pattern, drop_in) = (plain(&pattern), plain(&drop_in.to_string_lossy()));
    let (Some((pattern_in, name)), Some((drop_in_in, _))) =
        (pattern.rsplit_once('/'), drop_in.rsplit_once('/'))
    else {
        return false;
    };
    pattern == drop_in || (pattern_in == drop_in_in && ["*", "*.toml"].contains(&name))
}

/// A path as it is compared: Windows knows both separators and no case. On Linux, where this only runs in tests, the same.
fn plain(path: &str) -> String {
    let path = path.replace('\\', "/").to_lowercase();
    path.split("/./").collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = r"C:\Program Files\containerd";
    const FILE: &str = r"C:\Program Files\containerd\conf.d\hosttask.toml";

    fn with(config: &str) -> Option<String> {
        with_import(config, Path::new(FOLDER), Path::new(FILE)).unwrap()
    }

    #[test]
    fn an_import_is_added_once_and_comments_stay() {
        let config = "# mine\nversion = 2\nimports = []\n\n[grpc] # and this\naddress = 'x'\n";
        let added = with(config).unwrap();
        assert!(added.contains("# mine\n") && added.contains("[grpc] # and this"));
        assert_eq!(with(&added), None);
        let document: DocumentMut = added.parse().unwrap();
        assert_eq!(list(&document).unwrap(), [FILE]);
    }

    #[test]
    fn a_configuration_without_imports_gets_them_before_its_first_table() {
        let added = with("version = 3\n[grpc]\naddress = 'x'\n").unwrap();
        let document: DocumentMut = added.parse().unwrap();
        assert_eq!(list(&document).unwrap(), [FILE]);
        assert_eq!(document["grpc"]["address"].as_str(), Some("x"));
    }

    #[test]
    fn what_is_imported_by_a_pattern_is_not_imported_again() {
        for pattern in [
            r"C:\\Program Files\\containerd\\conf.d\\*.toml",
            "c:/program files/containerd/CONF.D/*",
            "conf.d/*.toml",
            "./conf.d/hosttask.toml",
        ] {
            assert_eq!(
                with(&format!("imports = [\"{pattern}\"]")),
                None,
                "{pattern}"
            );
        }
        for pattern in ["conf.d/a*.toml", "*.toml", "other/*.toml"] {
            assert!(
                with(&format!("imports = [\"{pattern}\"]")).is_some(),
                "{pattern}"
            );
        }
    }

    #[test]
    fn only_our_own_import_is_taken_away() {
        let others = "imports = ['other.toml', 'C:\\Program Files\\containerd\\conf.d\\*.toml']\n";
        assert_eq!(without_import(others, Path::new(FILE)).unwrap(), None);
        let added = with("imports = ['other.toml']\n[a]\n").unwrap();
        let without = without_import(&added, Path::new(FILE)).unwrap().unwrap();
        let document: DocumentMut = without.parse().unwrap();
        assert_eq!(list(&document).unwrap(), ["other.toml"]);
    }

    #[test]
    fn what_cannot_be_edited_is_said() {
        let folder = Path::new(FOLDER);
        let wrong = with_import("imports = 3", folder, Path::new(FILE));
        assert!(matches!(wrong, Err(ConfigError::Imports)));
        let wrong = with_import("imports = [1]", folder, Path::new(FILE));
        assert!(matches!(wrong, Err(ConfigError::Imports)));
        assert!(matches!(
            with_import("= 1", folder, Path::new(FILE)),
            Err(ConfigError::Syntax(_))
        ));
    }

    #[test]
    fn the_drop_in_is_toml_that_names_the_runtime() {
        let document: DocumentMut = DROP_IN.parse().unwrap();
        let runtimes = &document["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"];
        let kind = runtimes["hosttask"]["runtime_type"].as_str();
        assert_eq!(kind, Some("io.containerd.hosttask.v1"));
    }
}
