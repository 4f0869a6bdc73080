//! Layers of any content, and what they become.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hosttask_node_runtime::storage::{EntryFault, Error, Summary, unpack};
use tar::{EntryType, Header};

/// A layer, entry by entry, without a check of any name.
#[derive(Default)]
pub(crate) struct Layer(Vec<u8>);

impl Layer {
    pub(crate) fn entry(mut self, kind: EntryType, name: &str, target: &str, bytes: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_mtime(1_700_000_000);
        header.set_size(u64::try_from(bytes.len()).unwrap());
        if name.len() > 100 || target.len() > 100 {
            self = self.extended(&[("path", name), ("linkpath", target)]);
        } else {
            let old = header.as_old_mut();
            old.name[..name.len()].copy_from_slice(name.as_bytes());
            old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.padded(bytes)
    }

    pub(crate) fn padded(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Records for the next entry.
    pub(crate) fn extended(self, records: &[(&str, &str)]) -> Self {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let rest = format!(" {key}={value}\n");
            let mut length = rest.len() + 1;
            while length.to_string().len() + rest.len() != length {
                length += 1;
            }
            bytes.extend(format!("{length}{rest}").into_bytes());
        }
        self.entry(EntryType::XHeader, "extended", "", &bytes)
    }

    pub(crate) fn file(self, name: &str, bytes: &str) -> Self {
        self.entry(EntryType::Regular, name, "", bytes.as_bytes())
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", b"")
    }

    pub(crate) fn hard(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, b"")
    }

    pub(crate) fn link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, b"")
    }

    pub(crate) fn write(self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        let bytes = [self.0, vec![0; 1024]].concat();
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// Unpacks layers, and tells every path with the content of files and `->` and the target of links.
pub(crate) fn unpacked(layers: Vec<Layer>) -> Result<(BTreeMap<String, String>, Summary), Error> {
    let folder = tempfile::tempdir().unwrap();
    let layers: Vec<_> = layers
        .into_iter()
        .enumerate()
        .map(|(number, layer)| layer.write(folder.path(), &format!("{number}.tar")))
        .collect();
    let root = folder.path().join("root");
    let summary = unpack(&layers, &root, &mut |_| {});
    let beside = fs::read_dir(folder.path()).unwrap().count();
    match summary {
        Ok(summary) => {
            assert_eq!(beside, layers.len() + 1, "something is beside the root");
            Ok((tree(&root), summary))
        }
        Err(error) => {
            assert_eq!(beside, layers.len(), "something is left: {error}");
            Err(error)
        }
    }
}

pub(crate) fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            let name = name.replace('\\', "/");
            let kind = entry.file_type().unwrap();
            let content = if kind.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().to_str().unwrap())
            } else if kind.is_dir() {
                open.push(path);
                "/".to_owned()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            found.insert(name, content);
        }
    }
    found
}

pub(crate) fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, content): &(&str, &str)| ((*name).to_owned(), (*content).to_owned());
    pairs.iter().map(owned).collect()
}

pub(crate) fn refused(layer: Layer) -> EntryFault {
    let error = unpacked(vec![layer]).unwrap_err();
    let Error::Entry { why, .. } = error else {
        unreachable!("{error:?}");
    };
    why
}

/// Wine 8 makes no links.
pub(crate) fn makes_links() -> bool {
    let layer = Layer::default().link("a", "b");
    unpacked(vec![layer]).is_ok()
}
