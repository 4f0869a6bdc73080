//! Mount points of volumes.
#![expect(unsafe_code, reason = "volumes are mounted by Win32 calls")]

use std::io;
use std::path::Path;

use windows_sys::Win32::Foundation::{ERROR_CALL_NOT_IMPLEMENTED, ERROR_NOT_SUPPORTED};
use windows_sys::Win32::Storage::FileSystem::{
    DeleteVolumeMountPointW, GetVolumeNameForVolumeMountPointW, GetVolumePathNamesForVolumeNameW,
    SetVolumeMountPointW,
};

use super::handle::check;
use super::library::unsupported;
use super::process::is;
use super::text::{narrow, wide};

/// Windows wants a separator at the end of all of these.
fn with_separator(path: &Path) -> io::Result<Vec<u16>> {
    let path = path.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    wide(&format!("{}\\", path.trim_end_matches('\\')))
}

/// The `\\?\Volume{…}\` of which a path is the root; `Unsupported` where it is none.
fn of_root(root: &Path) -> io::Result<Vec<u16>> {
    let root = with_separator(root)?;
    let mut volume = [0_u16; 64];
    let units = u32::try_from(volume.len()).map_err(io::Error::other)?;
    // SAFETY: the path ends with a zero; `volume` has as many units as are named.
    let result =
        unsafe { GetVolumeNameForVolumeMountPointW(root.as_ptr(), volume.as_mut_ptr(), units) };
    check(result).map_err(|_| unsupported("mount point for what is no root of a volume"))?;
    wide(&narrow(&volume))
}

/// Makes an empty folder the mount point of the volume that `source` is the root of.
pub(super) fn mount(source: &Path, folder: &Path) -> io::Result<()> {
    let (volume, folder) = (of_root(source)?, with_separator(folder)?);
    // SAFETY: both texts end with a zero.
    check(unsafe { SetVolumeMountPointW(folder.as_ptr(), volume.as_ptr()) })
}

/// Makes a mount point a folder again.
pub(super) fn unmount(folder: &Path) -> io::Result<()> {
    let folder = with_separator(folder)?;
    // SAFETY: the text ends with a zero.
    check(unsafe { DeleteVolumeMountPointW(folder.as_ptr()) })
}

/// Where a volume appears: drives and mount points, each with a separator at its end.
pub(super) fn places_of(volume: &str) -> io::Result<Vec<String>> {
    let volume = wide(volume)?;
    // More than one drive and a mount point are rare, and those that do not fit are an error.
    let mut places = [0_u16; 1024];
    let units = u32::try_from(places.len()).map_err(io::Error::other)?;
    let mut needed = 0;
    // SAFETY: the name ends with a zero; `places` has as many units as are named; `needed` receives one value.
    let result = unsafe {
        GetVolumePathNamesForVolumeNameW(
            volume.as_ptr(),
            places.as_mut_ptr(),
            units,
            &raw mut needed,
        )
    };
    check(result)?;
    let each = places
        .split(|unit| *unit == 0)
        .take_while(|it| !it.is_empty());
    Ok(each.map(String::from_utf16_lossy).collect())
}

/// Whether the system has mount points: it says something else than "not implemented" about a folder that is none.
pub(super) fn can_mount() -> bool {
    let nowhere = Path::new(r"C:\hosttask\no\such\folder");
    let refused = of_root(Path::new(r"C:\")).and_then(|volume| {
        let folder = with_separator(nowhere)?;
        // SAFETY: both texts end with a zero.
        check(unsafe { SetVolumeMountPointW(folder.as_ptr(), volume.as_ptr()) })
    });
    match refused {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => false,
        Err(error) => ![ERROR_CALL_NOT_IMPLEMENTED, ERROR_NOT_SUPPORTED]
            .into_iter()
            .any(|code| is(&error, code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_found_on_its_drive() {
        let volume = narrow(&of_root(Path::new(r"C:\")).unwrap());
        let places = places_of(&volume).unwrap();
        assert!(places.contains(&r"C:\".to_owned()), "{volume}: {places:?}");
        assert!(places_of(r"\\?\Volume{00000000-0000-0000-0000-000000000000}\").is_err());
    }
}
