//! Reparse points: telling them from folders, and making junctions.
#![expect(unsafe_code, reason = "a junction is set by a control code")]

use std::fs::{self, OpenOptions};
use std::io;
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::ptr;

use windows_sys::Win32::Foundation::GENERIC_WRITE;
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_FLAG_OPEN_REPARSE_POINT,
};
use windows_sys::Win32::System::IO::DeviceIoControl;
use windows_sys::Win32::System::Ioctl::FSCTL_SET_REPARSE_POINT;
use windows_sys::Win32::System::SystemServices::IO_REPARSE_TAG_MOUNT_POINT;

use super::handle::check;
use crate::sys::Entry;

/// What an entry is, without following it.
pub(super) fn entry(path: &Path) -> io::Result<Option<Entry>> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if is_absent(error.kind()) => return Ok(None),
        metadata => metadata?,
    };
    let has = |attribute| metadata.file_attributes() & attribute != 0;
    Ok(Some(
        if has(FILE_ATTRIBUTE_REPARSE_POINT) || metadata.is_symlink() {
            Entry::Link
        } else if has(FILE_ATTRIBUTE_DIRECTORY) {
            Entry::Folder
        } else {
            Entry::File
        },
    ))
}

fn is_absent(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Makes an empty folder lead to another one.
pub(super) fn make_junction(source: &Path, folder: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .access_mode(GENERIC_WRITE)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
        .open(folder)?;
    let data = junction_data(source)?;
    let length = u32::try_from(data.len()).map_err(io::Error::other)?;
    let mut written = 0;
    // SAFETY: the file is open; `data` has as many bytes as are named; nothing is read back; `written` receives one value.
    let result = unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            FSCTL_SET_REPARSE_POINT,
            data.as_ptr().cast(),
            length,
            ptr::null_mut(),
            0,
            &raw mut written,
            ptr::null_mut(),
        )
    };
    check(result)
}

/// The bytes of a `REPARSE_DATA_BUFFER` for a mount point: tag, length, reserved, then the offsets and lengths of two names in
/// a buffer: the one the system follows and the one that is shown.
fn junction_data(source: &Path) -> io::Result<Vec<u8>> {
    let shown = fs::canonicalize(source)?.to_string_lossy().into_owned();
    let shown = shown.strip_prefix(r"\\?\").unwrap_or(&shown);
    if shown.starts_with(r"UNC\") {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a junction leads to a folder of this machine only; use a local folder",
        ));
    }
    let followed: Vec<u16> = format!(r"\??\{shown}").encode_utf16().collect();
    let shown: Vec<u16> = shown.encode_utf16().collect();
    let (followed_bytes, shown_bytes) = (followed.len() * 2, shown.len() * 2);
    // Both names end with a zero that their lengths leave out.
    let fields = [0, followed_bytes, followed_bytes + 2, shown_bytes];
    let names = followed.iter().chain(&[0]).chain(&shown).chain(&[0]);
    let length = fields.len() * 2 + followed_bytes + shown_bytes + 4;
    let mut data = IO_REPARSE_TAG_MOUNT_POINT.to_le_bytes().to_vec();
    for field in [length, 0].into_iter().chain(fields) {
        let field = u16::try_from(field).map_err(|_| io::ErrorKind::InvalidFilename)?;
        data.extend(field.to_le_bytes());
    }
    data.extend(names.flat_map(|unit| unit.to_le_bytes()));
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_junction_names_its_folder_twice() {
        let folder = tempfile::tempdir().unwrap();
        let data = junction_data(folder.path()).unwrap();
        let number = |at: usize| usize::from(u16::from_le_bytes([data[at], data[at + 1]]));
        assert_eq!(data[..4], 0xA000_0003_u32.to_le_bytes());
        assert_eq!(number(4), data.len() - 8);
        let name = |offset: usize, length: usize| {
            let bytes = &data[16 + offset..16 + offset + length];
            let units: Vec<u16> = bytes
                .chunks(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect();
            String::from_utf16(&units).unwrap()
        };
        let followed = name(number(8), number(10));
        let shown = name(number(12), number(14));
        assert_eq!(followed, format!(r"\??\{shown}"));
        assert!(Path::new(&shown).is_dir(), "{shown}");
    }
}
