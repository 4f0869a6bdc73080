//! `storage::archive`: reads the tar archive of an image layer, compressed or not, entry by entry, in bounded memory.
//!
//! The extension headers are read here and not by the tar library, which would take them into memory whatever their size.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use tar::{Archive, EntryType, Header};

use crate::storage::error::{EntryFault, Error};
use crate::storage::path::Unfit;
use crate::sys::Attributes;

/// The most bytes of an extension header: a path and a security descriptor have far fewer.
const LARGEST_EXTENSION: u64 = 1024 * 1024;

/// `FILE_ATTRIBUTE_DIRECTORY`, which tells a link to a folder from one to a file.
const FOLDER_ATTRIBUTE: u32 = 0x10;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A folder.
    Folder,
    /// A file; its bytes follow.
    File,
    /// Another name of the file with this name in the archive.
    HardLink(String),
    /// A link with this text as its target, and whether it leads to a folder where the archive tells.
    Link(String, Option<bool>),
}

/// An entry.
#[derive(Debug)]
pub(crate) struct Item {
    /// Its name as the archive has it, for messages.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// What the archive says about the file.
    pub(crate) attributes: Attributes,
    /// When it was changed, in seconds since 1970.
    pub(crate) modified: u64,
    /// Records of it that were left out, by name.
    pub(crate) ignored: Vec<String>,
}

/// Takes an entry and, if it is a file, its bytes.
pub(crate) type Take<'a> = dyn FnMut(Item, &mut dyn Read) -> Result<(), Error> + 'a;

/// What the extension headers before an entry said about it.
#[derive(Debug, Default)]
struct Extension {
    path: Option<String>,
    target: Option<String>,
    size: Option<u64>,
    attributes: Option<u32>,
    is_mount_point: bool,
    ignored: Vec<String>,
}

/// A reader that fails once it gave as many bytes as allowed, so that a small compressed layer cannot keep us for days.
struct Capped<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let left = u64::try_from(read).ok();
        let left = left.and_then(|read| self.left.checked_sub(read));
        self.left = left.ok_or(ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}

/// Reads the archive at `layer` to its end, at most so many bytes of it after decompression.
pub(crate) fn read(layer: &Path, most: u64, take: &mut Take<'_>) -> Result<(), Error> {
    let failed = |source| Error::Layer {
        layer: layer.to_path_buf(),
        source,
    };
    let mut file = File::open(layer).map_err(failed)?;
    let mut start = [0; 4];
    let length = fill(&mut file, &mut start).map_err(failed)?;
    let start = start.get(..length).unwrap_or_default();
    let whole = BufReader::with_capacity(256 * 1024, io::Cursor::new(start.to_vec()).chain(file));
    match start {
        [0x1f, 0x8b, ..] => {
            let reader = MultiGzDecoder::new(whole);
            entries(layer, Capped { reader, left: most }, take)
        }
        [0x28, 0xb5, 0x2f, 0xfd] => Err(Error::Compression {
            layer: layer.to_path_buf(),
            name: "zstd",
        }),
        _ => entries(
            layer,
            Capped {
                reader: whole,
                left: most,
            },
            take,
        ),
    }
}

/// Reads as many bytes as there are, or as fit.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

fn entries(layer: &Path, reader: impl Read, take: &mut Take<'_>) -> Result<(), Error> {
    let failed = |source| Error::Layer {
        layer: layer.to_path_buf(),
        source,
    };
    let mut archive = Archive::new(reader);
    let mut extension = Extension::default();
    for entry in archive.entries().map_err(failed)?.raw(true) {
        let mut entry = entry.map_err(failed)?;
        let header = entry.header().clone();
        let shown = match &extension.path {
            Some(name) => name.clone(),
            None => String::from_utf8_lossy(&header.path_bytes()).into_owned(),
        };
        let refuse = |why| Error::Entry {
            layer: layer.to_path_buf(),
            name: shown.clone(),
            why,
        };
        let kind = header.entry_type();
        if kind == EntryType::XGlobalHeader {
            // Comments of tools such as git. Nothing in it is about one entry.
            drop(small(&mut entry).map_err(refuse)?);
        } else if kind == EntryType::XHeader {
            let bytes = small(&mut entry).map_err(refuse)?;
            extension.take(&bytes).map_err(refuse)?;
        } else if kind == EntryType::GNULongName {
            extension.path = Some(text(&small(&mut entry).map_err(refuse)?).map_err(refuse)?);
        } else if kind == EntryType::GNULongLink {
            extension.target = Some(text(&small(&mut entry).map_err(refuse)?).map_err(refuse)?);
        } else {
            let item = item(&header, std::mem::take(&mut extension)).map_err(refuse)?;
            take(item, &mut entry)?;
        }
    }
    // What follows the last entry is read too, so that the checksum of a compressed layer is compared.
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(failed)?;
    Ok(())
}

/// The bytes of an extension header.
fn small(reader: &mut dyn Read) -> Result<Vec<u8>, EntryFault> {
    let mut bytes = Vec::new();
    let read = reader.take(LARGEST_EXTENSION + 1).read_to_end(&mut bytes);
    let read = read.map_err(EntryFault::Io)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > LARGEST_EXTENSION {
        return Err(EntryFault::Extension);
    }
    Ok(bytes)
}

/// A name, up to its first zero.
fn text(bytes: &[u8]) -> Result<String, EntryFault> {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = str::from_utf8(name).map_err(|_| EntryFault::Unfit(Unfit::NotText))?;
    Ok(name.to_owned())
}

fn item(header: &Header, extension: Extension) -> Result<Item, EntryFault> {
    let name = match extension.path {
        Some(name) => name,
        None => text(&header.path_bytes())?,
    };
    let target = || match &extension.target {
        Some(target) => Ok(target.clone()),
        None => text(&header.link_name_bytes().unwrap_or_default()),
    };
    let size = header.entry_size().map_err(EntryFault::Io)?;
    if extension.size.is_some_and(|told| told != size) {
        // The bytes are found by the header's size. Where the two differ, two readers would see two archives.
        return Err(EntryFault::Size);
    }
    let attributes = extension.attributes.unwrap_or(0);
    let tells_folder = extension.attributes.map(|it| it & FOLDER_ATTRIBUTE != 0);
    let is_folder = if extension.is_mount_point {
        Some(true)
    } else {
        tells_folder
    };
    let told = header.entry_type();
    // Archives older than POSIX mark a folder by its name alone.
    let kind = if told.is_dir() || (told.is_file() && name.ends_with('/')) {
        Kind::Folder
    } else if told.is_file() || told.is_contiguous() {
        Kind::File
    } else if told.is_hard_link() {
        Kind::HardLink(target()?)
    } else if told.is_symlink() {
        Kind::Link(target()?, is_folder)
    } else if told.is_gnu_sparse() {
        return Err(EntryFault::Kind("a sparse file"));
    } else if told.is_character_special() || told.is_block_special() {
        return Err(EntryFault::Kind("a device"));
    } else if told.is_fifo() {
        return Err(EntryFault::Kind("a pipe"));
    } else {
        return Err(EntryFault::Kind("something unknown"));
    };
    Ok(Item {
        name,
        kind,
        attributes: Attributes {
            mode: header.mode().unwrap_or(0o644),
            windows: attributes,
        },
        modified: header.mtime().unwrap_or(0),
        ignored: extension.ignored,
    })
}

impl Extension {
    /// Reads the records `LENGTH KEY=VALUE\n`.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), EntryFault> {
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ');
            let space = space.ok_or(EntryFault::Extension)?;
            let (digits, _) = bytes.split_at(space);
            let length: usize = number(digits)?;
            let record = bytes.get(space + 1..length).ok_or(EntryFault::Extension)?;
            let record = record.strip_suffix(b"\n").ok_or(EntryFault::Extension)?;
            let equals = record.iter().position(|byte| *byte == b'=');
            let (key, value) = record.split_at(equals.ok_or(EntryFault::Extension)?);
            self.record(key, value.get(1..).unwrap_or_default())?;
            bytes = bytes.get(length..).unwrap_or_default();
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), EntryFault> {
        match key {
            b"path" => self.path = Some(text(value)?),
            b"linkpath" => self.target = Some(text(value)?),
            b"size" => self.size = Some(number(value)?),
            b"MSWINDOWS.fileattr" => self.attributes = Some(number(value)?),
            b"MSWINDOWS.mountpoint" => self.is_mount_point = value == b"1",
            _ if key.starts_with(b"MSWINDOWS.") || key.starts_with(b"SCHILY.xattr.") => {
                self.ignored.push(String::from_utf8_lossy(key).into_owned());
            }
            // Times and numbers of users: not kept by plain trees, as everybody knows.
            _ => {}
        }
        Ok(())
    }
}

/// A decimal number in text.
fn number<T: std::str::FromStr>(digits: &[u8]) -> Result<T, EntryFault> {
    let digits = str::from_utf8(digits).map_err(|_| EntryFault::Extension)?;
    digits.parse().map_err(|_| EntryFault::Extension)
}
