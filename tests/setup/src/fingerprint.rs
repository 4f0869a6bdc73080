//! Names a build by everything that goes into it.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crate::error::SetupError;

/// What the names of the files that are built end with.
const SOURCES: [&str; 6] = ["go", "mod", "sum", "c", "h", "def"];

/// Names the build: the same sources, Go version and arguments give the same 16 hexadecimal digits.
pub(crate) fn fingerprint(
    sources: &Path,
    go_version: &str,
    arguments: &[OsString],
) -> Result<String, SetupError> {
    let reading = || SetupError::io(format!("read {}", sources.display()));
    let mut files = fs::read_dir(sources)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|e| e.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(reading())?;
    files.retain(|file| {
        file.extension()
            .is_some_and(|end| SOURCES.iter().any(|one| end == *one))
    });
    files.sort();
    let mut hash = Fnv::new();
    for file in &files {
        hash.add(file.file_name().unwrap_or_default().as_encoded_bytes());
        hash.add(&fs::read(file).map_err(reading())?);
    }
    hash.add(go_version.as_bytes());
    for argument in arguments {
        hash.add(argument.as_encoded_bytes());
    }
    Ok(format!("{:016x}", hash.0))
}

/// FNV-1a, 64 bits: stable over Rust releases, which the standard library's hasher does not promise.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        // The length first, so that no two lists of parts read as the same stream.
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_named_by_its_sources_the_go_version_and_the_arguments() {
        let folder = std::env::temp_dir().join(format!("hosttask-named-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        let name = |go: &str, tags: &[&str]| {
            let arguments: Vec<OsString> = tags.iter().map(OsString::from).collect();
            fingerprint(&folder, go, &arguments).unwrap()
        };
        write("main.go", "package main");
        write("go.mod", "module a");
        let first = name("go1.26.8", &[]);
        assert_eq!(first.len(), 16);
        write("notes.txt", "not a source");
        assert_eq!(name("go1.26.8", &[]), first);

        assert_ne!(name("go1.26.9", &[]), first);
        assert_ne!(name("go1.26.8", &["-tags=kstatusonly"]), first);
        write("go.mod", "module b");
        assert_ne!(name("go1.26.8", &[]), first);
        fs::remove_dir_all(&folder).unwrap();
    }
}
