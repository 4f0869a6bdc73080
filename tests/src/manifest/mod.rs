//! The project's own YAML, read as tests need it, and pods in a form in which they can be compared.

pub mod difference;
pub mod pod;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hosttask_crds::WindowsHostTask;
use serde_json::Value;

/// A manifest could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file or folder cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not YAML, or not what it is read as.
    #[error("failed to parse {}", path.display())]
    Parse {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// One object of a YAML file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file it stands in.
    pub path: PathBuf,
    /// The object as it is written.
    pub value: Value,
}

impl Document {
    /// The object's kind; empty where it has none.
    pub fn kind(&self) -> &str {
        text(&self.value, "/kind")
    }

    /// The object's name; empty where it has none.
    pub fn name(&self) -> &str {
        text(&self.value, "/metadata/name")
    }

    /// The object's namespace; empty where it has none.
    pub fn namespace(&self) -> &str {
        text(&self.value, "/metadata/namespace")
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// The YAML files below a folder, in order of their paths.
pub fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let reading = |source| ManifestError::Read {
        path: folder.to_path_buf(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(reading)? {
        let path = entry.map_err(reading)?.path();
        if path.is_dir() {
            found.extend(yaml_files(&path)?);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The documents of one YAML file. Empty ones are left out.
pub fn documents(path: &Path) -> Result<Vec<Document>, ManifestError> {
    let text = fs::read_to_string(path).map_err(|source| ManifestError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    parse(path, &text)
}

/// The documents of a text that came from `path`. Empty ones are left out.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Document>, ManifestError> {
    let values: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|source| ManifestError::Parse {
            path: path.to_path_buf(),
            source: source.into(),
        })?;
    Ok(values
        .into_iter()
        .filter(|value| !value.is_null())
        .map(|value| Document {
            path: path.to_path_buf(),
            value,
        })
        .collect())
}

/// The Kubernetes objects below a folder: what is for kustomize and the lists of differences are left out.
pub fn objects(folder: &Path) -> Result<Vec<Document>, ManifestError> {
    let mut found = Vec::new();
    for path in yaml_files(folder)? {
        let name = path.file_name().unwrap_or_default();
        if name != "kustomization.yaml" && name != "differences.yaml" {
            found.extend(documents(&path)?);
        }
    }
    Ok(found)
}

/// A task as the API type.
pub fn task(document: &Document) -> Result<WindowsHostTask, ManifestError> {
    serde_json::from_value(document.value.clone()).map_err(|source| ManifestError::Parse {
        path: document.path.clone(),
        source: source.into(),
    })
}
