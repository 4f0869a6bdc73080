//! `layer`: which folders of the Windows snapshotter are plain trees.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Error;
use crate::launch::RootPlan;

/// The folder with the files of a layer.
const FILES: &str = "Files";

/// Why a layer cannot be used without the host compute service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeedsHcs {
    /// It is a base image of Windows.
    UtilityVm,
    /// It is a disk.
    Disk,
    /// It has deletions in a file that only hcsshim writes.
    Tombstones,
}

impl fmt::Display for NeedsHcs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UtilityVm => {
                "it has a UtilityVM, as base images of Windows have; build the image on the HostProcess base image"
            }
            Self::Disk => {
                "its files are in a disk or an image file; use the windows snapshotter, which unpacks layers to folders"
            }
            Self::Tombstones => {
                "it names deleted files in tombstones.txt; build the image so that no layer deletes files of another"
            }
        })
    }
}

/// The folder with the files of a layer: `Files`, or the layer itself. The folder of a root that nobody shares is taken as it
/// is.
pub(super) fn folder(layer: &str, root: &RootPlan) -> Result<String, Error> {
    if !root.is_shared {
        return Ok(layer.to_owned());
    }
    let path = Path::new(layer);
    let fails = |source| Error::Layer {
        layer: path.to_path_buf(),
        source,
    };
    let names = names(path).map_err(fails)?;
    let has = |name: &str| names.iter().any(|it| it.eq_ignore_ascii_case(name));
    let is_disk = |name: &String| {
        let ending = Path::new(name).extension();
        ending.is_some_and(|it| {
            ["vhdx", "vhd", "cim", "wim", "bcim"]
                .iter()
                .any(|disk| it.eq_ignore_ascii_case(disk))
        })
    };
    let why = if has("UtilityVM") {
        Some(NeedsHcs::UtilityVm)
    } else if has("tombstones.txt") {
        Some(NeedsHcs::Tombstones)
    } else if !has(FILES) && names.iter().any(is_disk) {
        Some(NeedsHcs::Disk)
    } else {
        None
    };
    if let Some(why) = why {
        let layer = PathBuf::from(layer);
        return Err(Error::NeedsHcs { layer, why });
    }
    if has(FILES) {
        return Ok(path.join(FILES).to_string_lossy().into_owned());
    }
    Ok(layer.to_owned())
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let name = |entry: io::Result<fs::DirEntry>| {
        entry.map(|it| it.file_name().to_string_lossy().into_owned())
    };
    fs::read_dir(folder)?.map(name).collect()
}
