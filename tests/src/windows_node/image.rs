//! A container image with one layer, as an archive that containerd imports: nothing of the bench comes from a registry.

use std::io;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The system of the image.
const OS: &str = "windows";
/// The processor of the image.
const PROCESSOR: &str = "amd64";

/// Makes the archive of an image: its name with a tag, the command it runs, and its files by path.
///
/// Windows layers have what is visible in a container below the folder `Files`.
///
/// # Errors
/// A path is too long for an archive.
pub(super) fn archive(
    name: &str,
    command: &[&str],
    files: &[(&str, &[u8])],
) -> io::Result<Vec<u8>> {
    let inner: Vec<(String, &[u8])> = files
        .iter()
        .map(|(path, bytes)| (format!("Files/{path}"), *bytes))
        .collect();
    let layer = pack(&["Files"], &inner)?;
    let config = json!({
        "os": OS,
        "architecture": PROCESSOR,
        "config": { "Cmd": command },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        "history": [{ "created_by": "hosttask" }],
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    })
    .to_string();
    let index = index(name, manifest.as_bytes()).to_string();
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", hexadecimal(bytes));
    pack(
        &["blobs", "blobs/sha256"],
        &[
            (
                "oci-layout".to_owned(),
                br#"{"imageLayoutVersion":"1.0.0"}"#,
            ),
            ("index.json".to_owned(), index.as_bytes()),
            (blob(&layer), &layer),
            (blob(config.as_bytes()), config.as_bytes()),
            (blob(manifest.as_bytes()), manifest.as_bytes()),
        ],
    )
}

fn index(name: &str, manifest: &[u8]) -> Value {
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", manifest);
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    if let Some(fields) = entry.as_object_mut() {
        fields.insert(
            "platform".to_owned(),
            json!({ "os": OS, "architecture": PROCESSOR }),
        );
        fields.insert(
            "annotations".to_owned(),
            json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag }),
        );
    }
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    })
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() })
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hexadecimal(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn pack(folders: &[&str], files: &[(String, &[u8])]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for folder in folders {
        let mut header = header(0, 0o755);
        header.set_entry_type(tar::EntryType::Directory);
        archive.append_data(&mut header, folder, io::empty())?;
    }
    for (path, bytes) in files {
        let mut header = header(bytes.len() as u64, 0o644);
        archive.append_data(&mut header, path, *bytes)?;
    }
    archive.into_inner()
}

/// The same bytes at every run: an image has no time and no owner here.
fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header
}

#[cfg(test)]
mod tests {

    use std::io::Read as _;

    use super::*;

    #[test]
    fn every_blob_of_an_image_has_the_name_of_its_content() {
        let bytes = archive("a.test/b:1", &["cmd"], &[("c.txt", b"d")]).unwrap();
        let mut blobs = 0;
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            if let Some(name) = path.strip_prefix("blobs/sha256/")
                && !name.is_empty()
            {
                assert_eq!(name, hexadecimal(&content));
                blobs += 1;
            }
        }
        assert_eq!(blobs, 3, "layer, configuration and manifest");
    }

    #[test]
    fn the_same_image_has_the_same_bytes() {
        let image = || archive("a.test/b:1", &["cmd"], &[("c.txt", b"d")]).unwrap();
        assert_eq!(image(), image());
    }
}
